"""What the function app is opened from: settings, a tenants file that changes, secrets in a vault. No turn is taken."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import define

from connector import app as composer
from connector.clock import SimulatedClock, SystemClock
from connector.config.values import Config
from connector.errors import ConfigError, Denied, Unavailable
from connector.homes import functions as home
from connector.homes.azure import fetch_tenants, keep_tenants, kept_tenants, read_secrets
from connector.homes.functions import Functions, configuration
from connector.homes.tenant_turn import TURN_LIMIT_S
from connector.ports import Clock, Query
from connector.stores.documents import DocumentsStore
from tests.fakes.documents import Memory

NOW = datetime(2026, 9, 8, 8, 3, tzinfo=UTC)
TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"


def settings(**more: str) -> dict[str, str]:
    return {
        "SECURESCORE__state__blob__account_url": "https://account.blob.core.windows.net",
        "SECURESCORE__state__blob__container": "state",
        "SECURESCORE__tenants__0__name": "contoso",
        "SECURESCORE__tenants__0__tenant_id": TENANT,
        "SECURESCORE__defaults__auth__kind": "managed_identity",
        "SECURESCORE__sinks__0__name": "hook",
        "SECURESCORE__sinks__0__kind": "webhook",
        "SECURESCORE__sinks__0__url": "https://casb.example.org/hook",
        **more,
    }


def test_a_baseline_stands_in_the_settings() -> None:
    gold = {"standards": [{"name": "gold", "tenants": ["cont*"], "full": ["AdminMFAV2"], "percent_min": 60}]}
    for given in (
        {"SECURESCORE__baseline": json.dumps(gold)},
        {
            "SECURESCORE__baseline__standards__0__name": "gold",
            "SECURESCORE__baseline__standards__0__tenants": '["cont*"]',
            "SECURESCORE__baseline__standards__0__full": '["AdminMFAV2"]',
            "SECURESCORE__baseline__standards__0__percent_min": "60",
        },
    ):
        (tenant,) = configuration(settings(**given)).tenants
        asked = tenant.targets.baseline
        assert asked is not None
        assert (dict(asked.full), asked.floors["percent_min"].percent) == ({"AdminMFAV2": "gold"}, 60.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            '{"standards": [{"name": "gold", "ful": ["X"]}]}',
            "app setting SECURESCORE__baseline__standards__0__ful: unknown",
        ),
        ('{"standards": []}', "app setting SECURESCORE__baseline__standards: names no standard"),
        ("baseline.yaml", "app setting SECURESCORE__baseline: a file is read where the configuration is one"),
    ],
)
def test_a_mistake_in_a_baseline_is_told_by_its_setting(given: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration(settings(SECURESCORE__baseline=given))
    assert any(problem.startswith(words) for problem in caught.value.problems), caught.value.problems


def test_settings_and_a_tenants_file_make_one_configuration() -> None:
    config = configuration(settings(), "https://a/config/tenants.csv", f"name,tenant_id\nb,{CLIENT}\n".encode())
    assert [t.name for t in config.tenants] == ["contoso", "b"]
    assert {t.auth.kind for t in config.tenants if t.auth} == {"managed_identity"}


def test_every_problem_is_named_at_once_by_setting_or_line() -> None:
    wrong = settings(SECURESCORE__poll__interval="often", SECURESCORE__sinks__0__url="http://casb.example.org")
    with pytest.raises(ConfigError) as caught:
        configuration(wrong, "https://a/config/tenants.csv", b"name,tenant_id\nb,no-guid\n")
    words = caught.value.problems
    assert len(words) == 3
    assert any(w.startswith("app setting SECURESCORE__poll__interval: ") for w in words)
    assert any(w.startswith("app setting SECURESCORE__sinks__0__url: ") for w in words)
    assert any(w.startswith("tenants.csv line 2: ") for w in words)


def test_a_state_on_a_disk_is_refused() -> None:
    found = {name: value for name, value in settings().items() if "__state__" not in name}
    with pytest.raises(ConfigError, match="no container"):
        configuration(found)


def test_sinks_that_need_a_process_are_refused() -> None:
    changed = settings(SECURESCORE__sinks__0__kind="file", SECURESCORE__sinks__0__path="/tmp/x")
    del changed["SECURESCORE__sinks__0__url"]
    with pytest.raises(ConfigError, match="kind file"):
        configuration(changed)


@pytest.mark.parametrize("source", ["files", "defender_cloud"])
def test_a_source_that_needs_a_folder_is_refused_wherever_it_is_written(source: str) -> None:
    files = {"SECURESCORE__tenants__1__source": source, "SECURESCORE__tenants__1__path": "/x"}
    entry = {"SECURESCORE__tenants__1__name": "saved", "SECURESCORE__tenants__1__tenant_id": CLIENT}
    with pytest.raises(ConfigError, match=f"tenant saved: source: {source} reads") as caught:
        configuration(settings(**files, **entry))
    assert caught.value.hint
    listed = f"name,tenant_id,source,path\nlab,{CLIENT},files,/x\n".encode()
    with pytest.raises(ConfigError, match="tenant lab: source: files reads"):
        configuration(settings(), "https://a/config/tenants.csv", listed)


def test_reports_that_need_a_disk_are_refused() -> None:
    reports = {"SECURESCORE__reports__0__every": "month", "SECURESCORE__reports__0__path": "/x/{tenant}-{period}.html"}
    with pytest.raises(ConfigError, match="reports need a disk"):
        configuration(settings(**reports))


async def test_a_wrong_configuration_shows_in_the_status_and_fails_every_invocation() -> None:
    functions = Functions(settings(SECURESCORE__poll__intervall="1h"))
    code, text = await functions.status()
    assert code == 503
    (problem,) = json.loads(text)["problems"]
    assert problem.startswith("app setting SECURESCORE__poll__intervall: ")
    assert "did you mean interval?" in problem
    with pytest.raises(ConfigError):
        await functions.plan()
    await functions.close()


# ----------------------------------------------------------------------------------------- a tenants file that is wrong


@define
class Blobs:
    """The tenants file in its container, and the copy beside the state. `fault` is what reading the file raises."""

    file: bytes = b""
    kept: bytes | None = None
    fault: Exception | None = None

    async def fetch(self, _address: str, etag: str, *_: Any) -> tuple[bytes | None, str]:
        if self.fault is not None:
            raise self.fault
        now = hashlib.sha256(self.file).hexdigest()
        return (None, etag) if now == etag else (self.file, now)

    async def keep(self, _address: str, file: bytes, *_: Any) -> None:
        self.kept = file

    async def copy(self, *_: Any) -> bytes | None:
        return self.kept


GOOD = f"name,tenant_id\nb,{CLIENT}\n".encode()
WRONG = b"name,tenant_id\nb,not-a-guid\n"


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """Functions whose state is in memory and whose tenants file is this one."""
    made = Blobs(GOOD)
    for name, work in (("fetch_tenants", made.fetch), ("keep_tenants", made.keep), ("kept_tenants", made.copy)):
        monkeypatch.setattr(home, name, work)

    container = Memory()

    async def opened(_: Config, *, clock: Clock, **__: Any) -> DocumentsStore:
        return DocumentsStore(container, clock)

    monkeypatch.setattr(composer, "open_store", opened)
    return made


def app(clock: SimulatedClock) -> Functions:
    """A process of the app, whose one sink takes nothing: this is about who is polled, and what is told."""
    more = {"SECURESCORE__sinks__0__url": "https://hook.invalid/", "SECURESCORE_DELIVER_S": "0"}
    address = "https://account.blob.core.windows.net/c/tenants.csv"
    return Functions(settings(SECURESCORE_TENANTS_BLOB=address, **more), clock)


async def told(functions: Functions) -> list[tuple[str, str]]:
    assert functions._open is not None
    events = await functions._open.turns.app.store.history(Query())
    return [(e.type, str(e.data["reason"])) for e in events if e.data.get("reason") == "configuration"]


@pytest.mark.parametrize("fault", [None, Unavailable("no answer"), ConfigError(["HTTP 403"], "give the role")])
async def test_a_tenants_file_that_is_wrong_leaves_the_old_one_in_force_and_is_told(
    blobs: Blobs, fault: Exception | None
) -> None:
    functions = app(clock := SimulatedClock(NOW))
    assert len(await functions.plan()) == 2
    blobs.fault, blobs.file = fault, WRONG
    for _ in range(3):
        await clock.advance(600)
        assert len(await functions.plan()) == 2, "everybody has a turn, as before"
        await functions.tend()
        assert (await functions.status())[0] == 200
    assert await told(functions) == [("connector.problem", "configuration")]
    blobs.fault, blobs.file = None, GOOD + f"c,{TENANT[:-1]}2\n".encode()
    await clock.advance(600)
    assert len(await functions.plan()) == 3
    await functions.tend()
    assert await told(functions) == [("connector.problem", "configuration"), ("connector.recovered", "configuration")]
    await functions.close()


async def test_a_process_that_starts_while_the_file_is_wrong_takes_the_one_that_was_taken_last(blobs: Blobs) -> None:
    """The platform ends idle processes, so that every hourly plan may be the first call of a new one."""
    first = app(clock := SimulatedClock(NOW))
    await first.plan()
    await first.close()
    blobs.file = WRONG
    second = app(clock)
    assert len(await second.plan()) == 2
    await second.tend()
    assert await told(second) == [("connector.problem", "configuration")]
    await second.close()


async def test_without_a_file_that_was_ever_taken_the_fault_stands(blobs: Blobs) -> None:
    blobs.file = WRONG
    functions = app(SimulatedClock(NOW))
    with pytest.raises(ConfigError, match="expected a GUID"):
        await functions.plan()
    blobs.file = GOOD
    assert len(await functions.plan()) == 2
    await functions.close()


async def test_an_invocation_that_hangs_ends_before_the_platform_ends_the_worker(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = json.loads((Path(__file__).parents[3] / "packaging/azure/host.json").read_text())
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    assert TURN_LIMIT_S < home.INVOCATION_LIMIT_S < hours * 3600 + minutes * 60 + seconds
    functions = app(SimulatedClock(NOW))
    await functions.plan()
    monkeypatch.setattr(home, "INVOCATION_LIMIT_S", 0.2)

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(home, "fetch_tenants", never)
    for work in (functions.plan, functions.tend):
        with pytest.raises(Unavailable, match=r"not over after 0\.2 s"):
            await work()
    assert blobs.kept == GOOD
    await functions.close()


async def test_a_copy_that_cannot_be_kept_stops_nobody(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any) -> None:
        raise Denied("HTTP 403")

    monkeypatch.setattr(home, "keep_tenants", refused)
    functions = app(SimulatedClock(NOW))
    assert len(await functions.plan()) == 2
    await functions.close()


# ---------------------------------------------------------------------------------------------------- identity endpoint


@asynccontextmanager
async def platform(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[web.Request], web.Response | Awaitable[web.Response]]
) -> AsyncIterator[str]:
    """The identity endpoint of App Service, and one more server at the same root."""

    async def token(request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        found = f"token-for-{request.query['resource']}"
        return web.json_response(
            {"access_token": found, "expires_on": "4000000000", "token_type": "Bearer", "resource": "x"}
        )

    async def other(request: web.Request) -> web.Response:
        found = answer(request)
        return found if isinstance(found, web.Response) else await found

    application = web.Application()
    application.router.add_get("/token", token)
    application.router.add_route("*", "/{path:.*}", other)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{root}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    try:
        yield root
    finally:
        await runner.cleanup()


async def test_the_tenants_file_is_fetched_once_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token-for-https://storage.azure.com"
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=b"name,tenant_id\n", headers={"ETag": '"1"'})

    async with platform(monkeypatch, answer) as root:
        environ = {"SECURESCORE__state__blob__account_url": root}
        address = f"{root}/config/tenants.csv"
        assert await fetch_tenants(address, "", environ, SystemClock()) == (b"name,tenant_id\n", '"1"')
        assert await fetch_tenants(address, '"1"', environ, SystemClock()) == (None, '"1"')


async def test_the_file_taken_last_is_kept_beside_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token-for-https://storage.azure.com"
        if request.method == "PUT":
            kept[request.path] = await request.read()
            return web.Response(status=201)
        return web.Response(body=kept[request.path]) if request.path in kept else web.Response(status=404)

    async with platform(monkeypatch, answer) as root:
        environ = settings(SECURESCORE__state__blob__account_url=root, SECURESCORE__state__blob__prefix="app/")
        address = f"{root}/config/tenants.csv?sv=1"
        assert await kept_tenants(address, environ, SystemClock()) is None
        await keep_tenants(address, GOOD, environ, SystemClock())
        assert kept == {"/state/app/taken/tenants.csv": GOOD}
        assert await kept_tenants(address, environ, SystemClock()) == GOOD


@pytest.mark.parametrize(("status", "error"), [(403, ConfigError), (404, ConfigError), (503, Unavailable)])
async def test_a_tenants_file_that_cannot_be_had_says_why(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    async with platform(monkeypatch, lambda _: web.Response(status=status)) as root:
        with pytest.raises(error, match=str(status)):
            environ = {"SECURESCORE__state__blob__account_url": root}
            await fetch_tenants(f"{root}/config/tenants.csv", "", environ, SystemClock())


@pytest.mark.parametrize(
    "address", ["https://elsewhere.example.org/t.csv", "https://account.blob.core.windows.net.evil/t"]
)
async def test_the_identitys_token_goes_to_its_own_storage_account_only(address: str) -> None:
    with pytest.raises(ConfigError, match="not in the storage account"):
        await fetch_tenants(address, "", settings(), SystemClock())


async def test_settings_that_point_into_a_vault_are_all_tried_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with platform(monkeypatch, lambda _: web.json_response({"value": "never"})):
        environ = {
            "GOOD": "as it is",
            "ONE": "keyvault:http://vault.vault.azure.net/secrets/name",
            "TWO": "keyvault:https://vault.vault.azure.net/keys/name",
            "THREE": "keyvault:https://elsewhere.example.org/secrets/name",
            "FOUR": "keyvault:https://x.vault.azure.net.example.org/secrets/name",
        }
        with pytest.raises(ConfigError) as caught:
            await read_secrets(environ, SystemClock())
        assert [problem.split(":")[0] for problem in caught.value.problems] == [
            f"app setting {name}" for name in ("ONE", "TWO", "THREE", "FOUR")
        ]
        assert environ["GOOD"] == "as it is"


def test_one_process_opens_once_for_many_invocations() -> None:
    async def ask() -> None:
        functions = Functions(settings(SECURESCORE__poll__interval="never"))
        found = await asyncio.gather(*(functions.status() for _ in range(5)))
        assert {code for code, _ in found} == {503}

    asyncio.run(ask())
