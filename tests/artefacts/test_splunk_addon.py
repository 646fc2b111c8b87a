"""The built add-on, driven as splunkd does: on Python 3.13, with a bare environment, against a fake splunkd."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.artefacts import splunk_packages, splunk_pages
from tests.artefacts.splunk_packages import (
    ADDON,
    SECRET,
    Bench,
    Ended,
    Packages,
    ended,
    events_of,
    older_python,
    python313,
)
from tests.fake_resource_graph import FakeResourceGraph, scored, subscription
from tests.fakes.kvstore import SESSION, splunkd, stored_secret

DAY_S = 86_400.0


@pytest_asyncio.fixture
async def bench(splunk: Packages, tmp_path: Path) -> AsyncIterator[Bench]:
    async with splunk_packages.bench(splunk.addon_tree, tmp_path) as made:
        yield made


def ids(run: Ended) -> list[str]:
    return [json.loads(event["data"])["event_id"] for event in run.events]


def types(run: Ended) -> set[str]:
    return {json.loads(event["data"])["event_type"] for event in run.events}


async def test_describes_itself(bench: Bench) -> None:
    run = await bench.run("--scheme")
    assert (run.code, run.err) == (0, "")
    scheme = ET.fromstring(run.out)
    assert scheme.findtext("use_external_validation") == "true"
    assert scheme.findtext("use_single_instance") == "false"
    assert scheme.findtext("streaming_mode") == "xml"
    offered = {arg.get("name") for arg in scheme.iter("arg")}
    page = json.loads((splunk_packages.SPLUNK / "globalConfig.json").read_text())
    entities = {entity["field"] for entity in page["pages"]["inputs"]["services"][0]["entity"]}
    assert offered | {"name", "interval", "index"} == entities, "the page and the scheme name the same arguments"
    assert "run_only_one" not in offered, "Splunk calls it unsupported; the lease is what guards"


def parses_on_39(script: Path) -> None:
    ast39 = "import ast,sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))"
    subprocess.run([python313(), "-c", ast39, str(script)], check=True)


def test_the_input_explains_itself_on_older_pythons(splunk: Packages) -> None:
    """A Splunk before 10.2 runs it on 3.9: one clear line instead of a syntax error."""
    script = splunk.addon_tree / "bin/secure_score.py"
    for file in (script, script.with_name("secure_score_python.py")):
        parses_on_39(file)
    run = subprocess.run([older_python(), "-B", str(script), "--scheme"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("ERROR ")
    assert run.stderr.count("\n") == 1
    assert "10.2" in run.stderr


@pytest.mark.parametrize("handler", splunk_pages.HANDLERS)
@pytest.mark.parametrize("action", [1, 2, 4])
def test_the_pages_explain_themselves_on_older_pythons(
    splunk: Packages, tmp_path: Path, handler: str, action: int
) -> None:
    """Whoever starts there opens the configuration page: it says the sentence instead of an error of some package."""
    shown = splunk_pages.ask(splunk.addon_tree, tmp_path, older_python(), handler, "contoso", {}, action=action)
    assert shown.words.startswith("This add-on needs Splunk 10.2 or newer"), shown.err
    assert "this is Python 3." in shown.words
    assert "Traceback" not in shown.err
    assert not list(splunk.addon_tree.rglob("__pycache__"))


async def test_nothing_of_posix_is_needed_on_windows(bench: Bench) -> None:
    """There the state is in the KV store, with nothing chosen; files are refused in words."""
    before = "import os\ndel os.O_DIRECTORY, os.geteuid, os.getuid\n"
    before += "for each in ('fcntl', 'pwd', 'grp', 'resource'): sys.modules[each] = None\n"
    before += f"sys.path[:0] = {[str(bench.tree / 'lib')]!r}\nimport secure_score_input\n"
    before += "secure_score_input.WINDOWS = True"
    run = await changed(bench, before)
    assert run.code == 0, run.err
    assert "score.observed" in types(run)
    assert bench.splunkd.collections["ms_secure_score_state"], "the state is in the KV store"
    refused = await changed(bench, before, state_store="files")
    assert refused.code == 1
    assert "files are kept on Linux only" in refused.err
    assert "Traceback" not in refused.err


async def test_first_run_backfills_and_the_next_sends_what_changed(bench: Bench) -> None:
    first = await bench.poll()
    assert first.code == 0, first.err
    assert {event["sourcetype"] for event in first.events} == {
        "ms:securescore:score",
        "ms:securescore:inventory",
        "ms:securescore:change",
        "ms:securescore:health",
    }
    one = first.events[0]
    assert (one["stanza"], one["index"]) == ("secure_score://prod", "security")
    assert {event["host"] for event in first.events if "inventory" in event["sourcetype"]} == {"contoso"}
    days = {json.loads(e["data"])["day"] for e in first.events if e["sourcetype"] == "ms:securescore:score"}
    assert len(days) > 8, "the history is there"
    assert len(set(ids(first))) == len(first.events)
    assert SECRET not in first.out + first.err
    assert first.err.startswith("INFO ")

    again = await bench.poll()
    assert (again.code, again.out) == (0, ""), "nothing changed: not even <stream>"

    await bench.clock.advance(DAY_S)
    later = await bench.poll()
    assert later.code == 0, later.err
    assert {"score.observed", "control.score_changed"} <= types(later)
    assert len(later.events) < len(first.events) / 2
    assert not set(ids(later)) & set(ids(first))
    assert all(not json.loads(event["data"])["backfilled"] for event in later.events)
    assert not list(bench.tree.rglob("__pycache__")), "the installed folder stays as it was"


@contextmanager
def unread(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """A poll whose pipe holds few of its events: it stands still wherever its reader does."""
    command = [bench.python, str(bench.tree / "bin/secure_score.py")]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, pipesize=4096, env=bench.env, cwd="/") as process:
        assert process.stdin is not None
        process.stdin.write(bench.stdin("prod").encode())
        process.stdin.close()
        yield process


async def test_killed_between_event_and_checkpoint_repeats_the_same_ids(bench: Bench) -> None:
    """Nobody reads on, so it stands in the middle of its events when it is killed."""
    with unread(bench) as process:
        assert process.stdout is not None
        early = b""
        while early.count(b"</event>") < 20:
            early += await asyncio.to_thread(os.read, process.stdout.fileno(), 4096)
        process.kill()
        rest = await asyncio.to_thread(process.stdout.read)
    assert process.returncode == -signal.SIGKILL
    seen = [json.loads(event["data"])["event_id"] for event in events_of((early + rest).decode())]
    repeated = await bench.poll()
    assert repeated.code == 0, repeated.err
    assert set(seen) <= set(ids(repeated)), "what was not settled comes again, under the same ids"
    assert (await bench.poll()).out == ""


@pytest.mark.parametrize("after", [0.4, 1.0])
async def test_terminated_at_any_moment_loses_nothing(bench: Bench, after: float) -> None:
    process = await bench.start(stdin=bench.stdin("prod"))
    await asyncio.sleep(after)
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    cut = await ended(process)
    whole = await bench.poll()
    assert whole.code == 0, whole.err
    seen = {json.loads(event["data"])["event_id"] for event in cut.events} | set(ids(whole))
    fresh = await bench.poll("other")
    stable = {i for i, event in zip(ids(fresh), fresh.events, strict=True) if "health" not in event["sourcetype"]}
    assert stable <= seen, "every event of an undisturbed input came from the disturbed one, too"
    assert "Traceback" not in cut.err


async def test_terminated_while_splunkd_does_not_read(bench: Bench) -> None:
    with unread(bench) as process:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.read, 1000)  # it is writing; from now on nobody reads
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 128 + signal.SIGTERM
    assert (await bench.poll()).code == 0


async def test_wrong_secret_is_one_clear_error(bench: Bench) -> None:
    bench.account("wrong", bench.tenants()[0].id, secret="not the secret")
    run = await bench.poll(account="wrong")
    assert run.code == 1
    errors = [line for line in run.err.splitlines() if line.startswith("ERROR ")]
    assert len(errors) == 1
    assert "secret" in errors[0]
    assert "not the secret" not in run.err + run.out
    assert "connector.problem" in types(run), "and it is an event, so that an alert can tell"


async def test_goes_through_the_proxy_and_keeps_its_password(bench: Bench) -> None:
    """A proxy that lets nobody pass, and remembers who came."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        settings = f"{ADDON.lower()}_settings"
        proxy = {"proxy_enabled": "1", "proxy_url": "localhost", "proxy_port": port, "proxy_username": "me"}
        bench.splunkd.confs[settings] = {"proxy": proxy, "logging": {"loglevel": "ERROR"}}
        bench.splunkd.secrets += stored_secret(ADDON, settings, "proxy", {"proxy_password": "pass word/1"})
        run = await bench.poll()
    assert heads[0].startswith(b"CONNECT localhost:")
    assert b64encode(b"me:pass word/1") in heads[0]
    assert run.code == 1
    assert "proxy" in run.err
    assert "INFO" not in run.err, "the level is that of the logging page"
    proxy["no_proxy"] = "localhost, 127.0.0.0/8"
    assert (await bench.poll("around")).code == 0, "what is an exception goes without the proxy, which is gone"
    assert "pass" not in run.err + run.out


# --------------------------------------------------------------------------------------------------------- accounts

ACCOUNT = f"{ADDON.lower()}_rh_account.py"


async def save(bench: Bench, name: str, action: int = 1, /, **fields: str) -> splunk_pages.Shown:
    """Let the page save an account of the first tenant, with these fields changed."""
    given = {
        "tenant_id": bench.tenants()[0].id,
        "client_id": splunk_packages.CLIENT_ID,
        "client_secret": SECRET,
        "cloud": "global",
        "auth_kind": "client_secret",
        "ca_file": str(bench.folder / "ca.pem"),
        "graph_url": bench.sim.base_url,
        "login_url": bench.authority.base_url,
        "skip_check": "0",
        **fields,
    }
    return await asyncio.to_thread(
        splunk_pages.ask, bench.tree, bench.folder, bench.python, ACCOUNT, name, given, action=action,
        uri=f"http://127.0.0.1:{bench.splunkd.port}", session=SESSION,
    )  # fmt: skip


async def test_an_account_is_saved_after_it_has_read_something(bench: Bench) -> None:
    shown = await save(bench, "fresh")
    assert shown.words == "", shown.err
    assert shown.stored is not None
    assert shown.stored["fresh"]["client_secret"] == SECRET
    assert shown.stored["fresh"]["skip_check"] == "0"
    assert not list(bench.tree.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"client_secret": "not the secret"}, "secret"),
        ({"tenant_id": "99999999-9999-4999-8999-999999999999"}, "99999999-9999-4999-8999-999999999999"),
        ({"tenant_id": "contoso"}, "account, tenant id"),
        ({"graph_url": "http://127.0.0.1:9"}, "127.0.0.1:9"),
        ({"client_secret": ""}, "no client secret"),
        ({"auth_kind": "certificate", "certificate_file": "/nonexistent.pem"}, "which this Splunk's Python lacks"),
    ],
)
async def test_an_account_that_would_not_work_is_not_saved(bench: Bench, fields: dict[str, str], words: str) -> None:
    shown = await save(bench, "fresh", **fields)
    assert shown.stored is None
    assert words in shown.words
    assert "not the secret" not in shown.words + shown.err
    assert "Traceback" not in shown.words


async def test_an_account_without_the_permission_says_who_must_consent(bench: Bench) -> None:
    bench.authority.registrations[splunk_packages.CLIENT_ID].roles = {None: frozenset()}
    shown = await save(bench, "fresh")
    assert shown.stored is None
    assert "SecurityEvents.Read.All is missing (granted: none)" in shown.words
    assert f"/{bench.tenants()[0].id}/adminconsent?client_id=" in shown.words


async def test_saving_without_trying_is_a_choice_for_once(bench: Bench) -> None:
    shown = await save(bench, "fresh", client_secret="not the secret", skip_check="1")
    assert shown.stored is not None
    assert shown.stored["fresh"]["skip_check"] == "0"


async def test_an_edit_tries_with_the_secret_that_is_stored(bench: Bench) -> None:
    """The page shows stars for it, and sends them, or nothing, when it was not changed."""
    for unchanged in ("******", ""):
        shown = await save(bench, "contoso", 4, client_secret=unchanged)
        assert shown.stored is not None, shown.words
    bench.account("stale", bench.tenants()[0].id, secret="not the secret")
    assert (await save(bench, "stale", 4, client_secret="******")).stored is None
    assert (await save(bench, "stale", 4)).stored is not None, "a new one counts at once"


# ----------------------------------------------------------------------------------------------------------- indexes


async def test_an_index_that_is_not_there_is_refused(bench: Bench) -> None:
    proposal = bench.proposal("prod", index="nosuch")
    run = await bench.run("--validate-arguments", stdin=proposal)
    assert run.code == 1
    assert "there is no index 'nosuch', and events for it would be lost" in run.out
    bench.splunkd.outputs = ("indexer:9997",)
    forwarder = await bench.run("--validate-arguments", stdin=proposal)
    assert (forwarder.code, forwarder.out) == (0, ""), "a forwarder does not know the indexes of its indexers"


async def test_the_index_of_an_input_is_that_of_the_searches(bench: Bench) -> None:
    macro = {"definition": "index=main"}
    bench.splunkd.confs["macros"] = {"ms_securescore_index": macro}
    await bench.poll()
    assert macro["definition"] == "index=security"
    await bench.poll("two", account="fabrikam", index="other")
    assert macro["definition"] == "(index=security OR index=other)"
    await bench.poll("three", account="fabrikam", index="main", set_macro="0")
    assert "main" not in macro["definition"]
    macro["definition"] = "index=security sourcetype=ms*"
    run = await bench.poll("four", account="fabrikam", index="other")
    assert macro["definition"] == "index=security sourcetype=ms*", "what a site wrote stays"
    assert "site's own" in run.err


async def test_an_input_is_expected_from_its_first_start_on(bench: Bench) -> None:
    """Also one whose first poll fails: what never sent anything is silent, too."""
    bench.account("wrong", bench.tenants()[0].id, secret="not the secret")
    bench.splunkd.inputs = {"prod": True, "gone": False}
    rows = bench.splunkd.collections["ms_securescore_instances"]
    rows["gone"] = {"_key": "gone", "input": "gone", "host": "sh1", "instance": "x"}
    rows["theirs"] = {"_key": "theirs", "input": "theirs", "host": "another", "instance": "y"}
    run = await bench.poll(account="wrong", interval="7200")
    assert set(rows) == {"prod", "theirs"}, "what was switched off here is expected no more"
    row = rows["prod"]
    assert set(row) >= {"instance", "input", "host", "interval_s", "last_seen"}
    assert (row["input"], row["host"], row["interval_s"]) == ("prod", "sh1", 7200)
    assert abs(row["last_seen"] - datetime.now(UTC).timestamp()) < 60
    told = [json.loads(e["data"]) for e in run.events if "connector.heartbeat" in e["data"]]
    assert {each["instance"] for each in told} == {row["instance"]}, "heartbeats bear the same name"
    assert (await bench.poll("lost", account="gone")).code == 1
    assert "lost" in rows, "one that cannot even begin is missed, too"


async def test_the_input_has_a_log_of_its_own(bench: Bench) -> None:
    logs = bench.folder / "var" / "log" / "splunk"
    logs.mkdir(parents=True)
    bench.more_env["SPLUNK_HOME"] = str(bench.folder)
    run = await bench.poll()
    assert run.err == "", "what is no trouble is in the file alone"
    lines = (logs / "ta_ms_secure_score_prod.log").read_text().splitlines()
    assert all(re.match(r'\d{4}-\d\d-\d\dT[\d:]+Z log_level=INFO pid=\d+ input="prod" ', line) for line in lines), lines
    sent = [line for line in lines if 'action="events_ingested"' in line]
    counted = {re.findall(r'sourcetype_ingested="([^"]+)" n_events=(\d+)', line)[0] for line in sent}
    there = Counter(event["sourcetype"] for event in run.events)
    assert counted == {(name, str(count)) for name, count in there.items()}
    assert all('modular_input_name="secure_score://prod"' in line for line in sent)
    bench.account("wrong", bench.tenants()[0].id, secret="not the secret")
    failed = await bench.poll(account="wrong")
    assert failed.err.startswith("ERROR "), "trouble is said in both places"
    assert "log_level=ERROR" in (logs / "ta_ms_secure_score_prod.log").read_text()


# ------------------------------------------------------------------------------------------------- other scores


async def test_an_input_reads_defender_for_cloud(bench: Bench) -> None:
    """The subscriptions of the tenant, by the same account; beside Secure Score, and never summed with it."""
    whose = {"tenantId": bench.tenants()[0].id}
    rows = FakeResourceGraph(
        subscriptions=[subscription(number) | whose for number in (1, 2)],
        scores=[row | whose for row in (*scored(1, 3, 4), *scored(2, 2))],
    )

    async def answered(request: web.Request) -> web.Response:
        found = await rows.request("POST", str(request.url), body=await request.read())
        return web.Response(body=found.body, status=found.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", answered)
    async with TestServer(app) as server:
        bench.splunkd.confs[f"{ADDON.lower()}_account"]["contoso"]["arm_url"] = str(server.make_url("")).rstrip("/")
        chosen = {"reads": "defender_cloud", "scope": "tenant", "compliance": "0"}
        proposal = await bench.run("--validate-arguments", stdin=bench.proposal("azure", **chosen))
        assert (proposal.code, proposal.out) == (0, "")
        run = await bench.poll("azure", None, **chosen)
    assert run.code == 0, run.err
    told = [json.loads(event["data"]) for event in run.events if event["sourcetype"] == "ms:securescore:score"]
    assert [each["origin"] for each in told] == ["defender_cloud"] * 3, "two subscriptions, and both together"


# ------------------------------------------------------------------------------------------------- the older add-on


async def test_days_go_out_as_the_older_add_on_sent_them_too(bench: Bench) -> None:
    run = await bench.poll(older_format="1")
    assert run.code == 0, run.err
    older = [json.loads(event["data"]) for event in run.events if event["sourcetype"] == "GraphSecurity:Score"]
    ours = [json.loads(e["data"]) for e in run.events if e["sourcetype"] == "ms:securescore:score"]
    assert len(older) == len(ours) > 8
    newest = max(older, key=lambda day: str(day["createdDateTime"]))
    assert {"description", "lastSynced", "controlName", "scoreInPercentage"} <= set(newest["controlScores"][0])
    assert "GraphSecurity:Score" not in (await bench.poll("two", account="fabrikam")).out, "off unless it is asked for"


# ------------------------------------------------------------------------------------------------------ many tenants


async def test_one_process_polls_a_list_of_tenants(bench: Bench, tmp_path: Path) -> None:
    """A lookup file of the app; an app registration for all, or another account for one; an index of its own."""
    tree = tmp_path / "installed"
    shutil.copytree(bench.tree, tree)
    bench.tree = tree
    one, two = (tenant.id for tenant in bench.tenants())
    (tree / "lookups/tenants.csv").write_text(
        f"name,tenant_id,account,index,label.tier\nfirst,{one},,,gold\nsecond,{two},fabrikam,other,\n"
    )
    bench.params["tenant_list"] = "tenants.csv"
    assert (await bench.run("--validate-arguments", stdin=bench.proposal("prod", tenant_list="tenants.csv"))).code == 0
    run = await bench.poll()
    assert run.code == 0, run.err
    assert "2 tenants: 2 ok" in run.err
    where = {(e["host"], e["index"]) for e in run.events if "health" not in e["sourcetype"]}
    assert where == {("first", "security"), ("second", "other")}
    assert (await bench.poll()).out == ""
    (tree / "lookups/tenants.csv").write_text(f"name,tenant_id,index\nfirst,{one},nosuch\n")
    refused = await bench.run("--validate-arguments", stdin=bench.proposal("prod", tenant_list="tenants.csv"))
    assert "there is no index 'nosuch'" in refused.out
    with (tree / "lookups/huge.csv").open("wb") as file:
        file.truncate(2**23)
    huge = await bench.run("--validate-arguments", stdin=bench.proposal("prod", tenant_list="huge.csv"))
    assert "is larger than" in huge.out
    missing = await bench.run("--validate-arguments", stdin=bench.proposal("prod", tenant_list="gone.csv"))
    assert "gone.csv" in missing.out
    assert "Lookup table files" in missing.out


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"interval": "0 * * * *"}, "no cron"),
        ({"account": "../../x"}, "there is no account"),
        ({"backfill_days": "many", "language": "tlh"}, "backfill days"),
        ({"resend_since": "yesterday"}, "re-send since"),
    ],
)
async def test_says_what_is_wrong_with_a_proposal(bench: Bench, params: dict[str, str], words: str) -> None:
    run = await bench.run("--validate-arguments", stdin=bench.proposal("prod", **params))
    assert run.code == 1
    message = ET.fromstring(run.out).findtext("message") or ""
    assert words in message


async def test_takes_a_good_proposal_silently(bench: Bench) -> None:
    run = await bench.run("--validate-arguments", stdin=bench.proposal("prod"))
    assert (run.code, run.out, run.err) == (0, "", "")


async def test_two_inputs_side_by_side(bench: Bench) -> None:
    soon = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    bench.account("fabrikam", bench.tenants()[1].id, expires_on=soon)
    one, other = await asyncio.gather(bench.poll("one"), bench.poll("two", account="fabrikam", index="other"))
    assert (one.code, other.code) == (0, 0), one.err + other.err
    assert {event["index"] for event in one.events} == {"security"}
    assert {event["index"] for event in other.events} == {"other"}
    assert "secret_expiring" in other.out
    assert "secret_expiring" not in one.out
    assert not set(ids(one)) & set(ids(other)), "heartbeats of one host have ids of their own, too"
    again = await asyncio.gather(bench.poll("one"), bench.poll("two", account="fabrikam", index="other"))
    assert [run.out for run in again] == ["", ""]


async def test_the_same_input_twice_at_once_ends_quietly(bench: Bench) -> None:
    runs = await asyncio.gather(bench.poll(), bench.poll())
    assert [run.code for run in runs] == [0, 0], [run.err for run in runs]
    assert sorted(bool(run.events) for run in runs) in ([False, True], [True, True])


async def test_one_member_of_a_cluster_polls(bench: Bench) -> None:
    bench.splunkd.roles = ("shc_member", "search_head")
    with splunkd(app=ADDON) as second:  # another member, with the same KV store and configuration
        second.collections, second.confs = bench.splunkd.collections, bench.splunkd.confs
        second.secrets, second.roles = bench.splunkd.secrets, ("shc_member",)
        second.guid = "22222222-AAAA-4BBB-8CCC-000000000002"
        runs = await asyncio.gather(bench.poll(), bench.poll(member=second))
        assert [run.code for run in runs] == [0, 0], [run.err for run in runs]
        assert sorted(bool(run.events) for run in runs) == [False, True]
        idle = next(run for run in runs if not run.events)
        assert "another member polls" in idle.err
        owner, other = (bench.splunkd, second) if runs[0].events else (second, bench.splunkd)
        assert (await bench.poll(member=other)).out == "", "still the other one's turn"
        await bench.clock.advance(DAY_S)
        assert (await bench.poll(member=owner)).events, "its holder goes on, with the state in the KV store"
        for turn in bench.splunkd.collections["ms_secure_score_lease"].values():
            turn["until"] = "2026-01-01T00:00:00Z"  # the holder died and its time is over
        await bench.clock.advance(DAY_S)
        taken_over = await bench.poll(member=other)
        assert taken_over.events
        assert not set(ids(taken_over)) & {i for run in runs for i in ids(run)}


async def test_members_that_start_at_the_same_second_poll_once(bench: Bench) -> None:
    """The deployer gives every member the input, so all of them start it by the same clock: the lease is the guard."""
    bench.splunkd.roles = ("shc_member", "search_head")
    with ExitStack() as stack:
        members = [bench.splunkd]
        for number in (2, 3):
            other = stack.enter_context(splunkd(app=ADDON))
            other.collections, other.confs = bench.splunkd.collections, bench.splunkd.confs
            other.secrets, other.roles = bench.splunkd.secrets, ("shc_member",)
            other.guid = f"{number}2222222-AAAA-4BBB-8CCC-00000000000{number}"
            members.append(other)
        seen: list[str] = []
        for _ in range(3):
            runs = await asyncio.gather(*(bench.poll(member=member) for member in members))
            assert [run.code for run in runs] == [0, 0, 0], [run.err for run in runs]
            assert sum("another member polls" in run.err for run in runs) == 2
            seen += [each for run in runs for each in ids(run)]
            await bench.clock.advance(DAY_S)
        assert len(seen) == len(set(seen)) > 50, "nothing was told twice"
        assert len(bench.splunkd.collections["ms_securescore_instances"]) == 1, "one row an input, not one a member"


async def test_files_are_refused_in_a_cluster(bench: Bench) -> None:
    bench.splunkd.roles = ("shc_member",)
    run = await bench.run("--validate-arguments", stdin=bench.proposal("prod", state_store="files"))
    assert run.code == 1
    assert "search head cluster" in run.out


async def test_sends_again_once_for_each_day(bench: Bench) -> None:
    first = await bench.poll()
    day = (bench.clock.now() - timedelta(days=300)).date().isoformat()
    again = await bench.poll(resend_since=day)
    assert set(ids(again)) == set(ids(first))
    assert (await bench.poll(resend_since=day)).out == "", "heeded once"


async def changed(bench: Bench, before: str, **params: str) -> Ended:
    """A poll before which some Python runs in the same process."""
    folder, script = str(bench.tree / "bin"), str(bench.tree / "bin/secure_score.py")
    at = f"import runpy, sys\nsys.argv, sys.path[:0] = [{script!r}], [{folder!r}]"
    code = f"{at}\n{before}\nrunpy.run_path({script!r}, run_name='__main__')"
    process = await asyncio.create_subprocess_exec(
        bench.python, "-c", code, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/", env=bench.env
    )
    out, err = await asyncio.wait_for(process.communicate(bench.stdin("prod", **params).encode()), 60)
    return Ended(process.returncode, out.decode(), err.decode())


async def test_needs_neither_yaml_nor_sqlite(bench: Bench) -> None:
    run = await changed(bench, "sys.modules['yaml'] = sys.modules['sqlite3'] = None")
    assert run.code == 0, run.err
    assert len(run.events) > 50


async def test_ends_within_its_interval_and_goes_on_with_the_next_run(bench: Bench) -> None:
    """Nine tenths of an hour, made nothing: how fast this machine is decides nothing."""
    folders = [str(bench.tree / "lib"), str(bench.tree / "bin")]
    hurry = f"sys.path[:0] = {folders!r}\nimport secure_score_input\nsecure_score_input.SHARE = 0.0"
    cut = await changed(bench, hurry)
    assert cut.code == 1
    assert [line.split(" ")[0] for line in cut.err.splitlines()] == ["ERROR"]
    assert "the next run goes on" in cut.err
    whole = await bench.poll()
    assert whole.code == 0, whole.err
    assert "score.observed" in types(whole)


async def test_ends_by_itself_while_splunkd_does_not_read(bench: Bench) -> None:
    """A write into a pipe that nobody reads stops the whole process; its lease ends nevertheless, so it must, too."""
    folders = [str(bench.tree / "lib"), str(bench.tree / "bin")]
    script = str(bench.tree / "bin/secure_score.py")
    code = f"import runpy, sys\nsys.argv = [{script!r}]\nsys.path[:0] = {folders!r}\nimport secure_score_input as run\n"
    code += f"run.LEASE_SHARE = 10 / 3600\nrunpy.run_path({script!r}, run_name='__main__')"
    command = [bench.python, "-c", code]
    with subprocess.Popen(
        command, stdin=PIPE, stdout=PIPE, stderr=PIPE, pipesize=4096, env=bench.env, cwd="/"
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(bench.stdin("prod").encode())
        process.stdin.close()
        try:
            assert await asyncio.to_thread(process.wait, 50) == 1
        finally:
            process.kill()
        assert b"not to be ended" in process.stderr.read()
    assert (await bench.poll()).code == 0


async def test_ends_when_splunkd_s_store_hangs(bench: Bench) -> None:
    """Nothing of a hung KV store outlives the run: not its thread, and not the process that would wait for it."""
    folders = [str(bench.tree / "lib"), str(bench.tree / "bin")]
    hurry = f"sys.path[:0] = {folders!r}\nimport secure_score_input as run\nrun.SHARE = 3 / 3600"
    with bench.splunkd.hanging():
        bench.params["state_store"] = "kvstore"
        began = asyncio.get_running_loop().time()
        cut = await changed(bench, hurry)
        assert asyncio.get_running_loop().time() - began < 15
    assert cut.code == 1
    assert "the next run goes on" in cut.err
    assert (await bench.poll()).code == 0


def test_trusts_somebody_where_splunk_s_openssl_knows_nobody(splunk: Packages) -> None:
    """Python's default places for certificates need not exist inside Splunk."""
    folders = [str(splunk.addon_tree / "lib"), str(splunk.addon_tree / "bin")]
    code = f"import sys; sys.path[:0] = {folders!r}; import ssl, secure_score_input\nsecure_score_input.trust()\n"
    code += "print(ssl.create_default_context().cert_store_stats()['x509_ca'])"
    nobody = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}
    command = [python313(), "-B", "-c", code]
    done = subprocess.run(command, env={**splunk_packages.BARE, **nobody}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
