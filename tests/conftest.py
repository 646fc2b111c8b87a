"""What holds for every test: nothing leaves this machine, the same surroundings everywhere, and no MD5 on request.

No fixtures and no fakes: those live beside the tests that use them.
"""

import gc
import hashlib
import ipaddress
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

# Suites that other files import: their asserts explain themselves too, whichever test file comes first.
pytest.register_assert_rewrite(
    *(f"tests.contract.{suite}_contract" for suite in ("store", "documents", "source")),
)

# `make test` leaves these out, or it would take ten minutes; `make check` and CI run every test. They build and install
# packages, judge them with their platforms' tools, ask a store over HTTP for every step, wait as a service would have
# them wait, or live through weeks, hundreds of tenants or hundreds of kills.
LONG = frozenset(
    {
        *(f"artefacts/test_{name}.py" for name in ("azure_zip", "bundle", "deb", "plugin", "rpm", "sbom", "wheel")),
        *(f"artefacts/test_{name}.py" for name in ("splunk_addon", "splunk_declare", "splunk_packages")),
        *(f"contract/test_{name}.py" for name in ("store_blob", "store_kvstore")),
        *(f"simulation/test_{name}.py" for name in ("daemon_month", "disk_full", "failure_classes", "many_tenants")),
        *(f"simulation/test_{name}.py" for name in ("hec_accounting", "ingestion_accounting")),
        *(f"unit/stores/test_{name}.py" for name in ("sqlite_crash", "sqlite_migration")),
        *(f"crash/test_{name}.py" for name in ("failing_disk", "kill9", "power_loss_in_a_life", "weeks")),
        *(
            f"hostile/test_{name}.py"
            for name in ("daemon_under_attack", "graph", "health_port", "mail_servers", "receivers")
        ),
        *(f"simulation/test_{name}.py" for name in ("daemon_end", "hung_files", "rebuild", "writeback")),
        *(f"simulation/test_{name}.py" for name in ("two_entries_of_a_tenant", "week_of_500_tenants", "week_of_homes")),
        "crash/test_power_loss.py",
        "simulation/test_month_of_subscriptions.py",
        "simulation/test_first_steps.py",
        "simulation/test_reports_by_mail.py",
        "unit/cli/test_lost_output.py",
        # Real receivers and proxies, processes of our own, and what takes more than two seconds by itself.
        *(f"real/{path.name}" for path in (Path(__file__).parent / "real").glob("test_*.py")),
        *(
            f"simulation/test_{name}.py"
            for name in ("hostile_texts", "operators_beside_daemon", "process", "send_test", "service")
        ),
        *(f"hostile/test_{name}.py" for name in ("configuration", "fuzz_stored", "memory")),
        "bench/test_measure.py::test_two_processes_poll_each_tenant_once_and_a_cycle_out_of_time_says_so",
        "golden/test_ocsf_releases.py",
        "contract/test_sink_mail.py::test_two_hundred_events_are_one_mail_that_readers_show_whole",
        "contract/test_sink_mail.py::test_every_sample_event_makes_a_mail_of_its_own_and_all_together_one",
        "contract/test_sink_webhook.py::test_many_at_once_wait_for_each_other_not_for_the_receivers_time_limit",
        "contract/test_store_sqlite.py::test_others_are_found_behind_any_number_of_a_tenant_that_is_left_out",
        "simulation/test_demo.py::test_the_readme_shows_what_the_demo_says",
    }
)


def _file(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files of which `make test` runs nothing are not even imported: each worker collects everything for itself."""
    left_out = config.option.markexpr == "not long" and collection_path.name.startswith("test_")
    return (left_out and _file(collection_path) in LONG) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = _file(item.path)
        if file in LONG or f"{file}::{getattr(item, 'originalname', item.name)}" in LONG:
            item.add_marker(pytest.mark.long)


def pytest_collection_finish() -> None:
    """What was collected stays for good: the garbage collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()


# Examples differ from run to run while one works; in CI a failure must come from the change, not from luck.
# SECURESCORE_FUZZ=20 looks at twenty times as many examples of every property, and then at others each time.
# `make test` looks at a quarter of the examples, `make check` at all.
FUZZ = float(os.environ.get("SECURESCORE_FUZZ", "1"))


def examples(number: int) -> int:
    """So many examples of a property, times SECURESCORE_FUZZ."""
    return max(5, round(number * FUZZ))


settings.register_profile("dev", deadline=None, max_examples=examples(100))
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=FUZZ <= 1, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What a shell may carry and a test must not depend on.
for _name in (
    *("SECURESCORE_CONFIG", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
):
    os.environ.pop(_name, None)

# No certificate of the world outside is met here; to read the authorities of the system takes 20 ms for each context.
os.environ["SSL_CERT_FILE"] = os.devnull

# With it, every worker would rewrite the asserts of all files, and every program that a test starts compile ours, anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A zone that is neither UTC nor whole hours: local time that is taken for UTC shows at once.
os.environ["TZ"] = "TST-05:45"
time.tzset()


def _stays_here(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return True  # no host at all, or not an internet address
    name = host.lower().rstrip(".")
    if name in {"", "localhost", socket.gethostname().lower()} or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def _guard(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: refuse to look up or to reach any host but this one. (Programs that a test starts are not seen.)"""
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # a string or nothing: a Unix or connected socket
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        host = args[0]
        if isinstance(host, str) and host.lower().rstrip(".").endswith(".invalid"):
            raise socket.gaierror(
                socket.EAI_NONAME, "Name or service not known"
            )  # RFC 6761 section 6.4: never resolves
    else:
        return
    if not _stays_here(host):
        pytest.fail(f"a test tried to leave this machine: {event} {host!r}")  # not an Exception: nothing swallows it


sys.addaudithook(_guard)


def _block_md5() -> None:
    """Make MD5 fail as it does on a FIPS system; there nothing of ours may even try."""
    new = hashlib.new

    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        msg = "MD5 is blocked"
        raise ValueError(msg)

    def guarded_new(name: str, *args: Any, **options: Any) -> Any:
        return refuse() if name.lower() == "md5" else new(name, *args, **options)

    hashlib.md5 = refuse
    hashlib.new = guarded_new


if os.environ.get("SECURESCORE_PURE") == "1":  # as where the extra `[fast]` is not installed
    sys.modules.update({"orjson": None, "isal": None})  # type: ignore[dict-item]  # what `import` takes for missing

if os.environ.get("SECURESCORE_BLOCK_MD5") == "1":
    _block_md5()
