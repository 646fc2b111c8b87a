"""The alert action of the built add-on, driven as splunkd does: guarded, compared, sent once, read back, told."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve

from connector.simulator.server import WRITE
from tests.artefacts.splunk_knowledge import conf
from tests.artefacts.splunk_packages import CLIENT_ID, SPLUNK, Bench, Ended, Packages, bench, ended
from tests.fakes.kvstore import SESSION

ACTION = "ms_securescore_declare"


@pytest_asyncio.fixture
async def site(splunk: Packages, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(splunk.addon_tree, tmp_path) as found:
        yield found


async def act(site: Bench, sid: str = "1764000000.12", **given: str) -> Ended:
    configuration = {
        "account": "contoso",
        "index": "security",
        "state": "ignored",
        "comment": "accepted until May",
        "mode": "send",
        **given,
    }
    payload = {
        "server_uri": f"http://127.0.0.1:{site.splunkd.port}",
        "session_key": SESSION,
        "server_host": "sh1",
        "owner": "ada",
        "sid": sid,
        "configuration": configuration,
    }
    process = await asyncio.create_subprocess_exec(
        site.python, str(site.tree / f"bin/{ACTION}.py"), "--execute",
        stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/", env=site.env,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(payload).encode())
    process.stdin.close()
    return await ended(process)


@pytest.fixture
def may_write(site: Bench) -> None:
    known = site.authority.registrations[CLIENT_ID]
    site.authority.registrations[CLIENT_ID] = evolve(known, roles={None: frozenset({WRITE})})


def sent(site: Bench) -> int:
    return sum(request.method == "PATCH" for request in site.sim.requests)


def open_control(site: Bench) -> str:
    """A control whose state nobody has set, and that is not full."""
    tenant, now = site.tenants()[0].id, site.clock.now()
    (day,) = site.sim.world.score_documents(tenant, now, 1)
    full = {c["controlName"] for c in day["controlScores"] if float(c["scoreInPercentage"]) == 100.0}
    found = (p for p in site.sim.world.profiles(tenant, now) if len(p["controlStateUpdates"]) == 1)
    return next(str(p["id"]) for p in found if p["id"] not in full and not p["id"].startswith("scid_"))


def test_the_action_is_declared_for_enterprise_security() -> None:
    (stanza,) = conf("alert_actions.conf", SPLUNK / "package/default").values()
    cam: dict[str, Any] = json.loads(stanza["param._cam"])
    assert cam["supports_adhoc"]
    assert set(cam["required_params"]) <= {key.removeprefix("param.") for key in stanza}
    assert stanza["python.required"] == "3.13"
    assert stanza["param.mode"] == "look", "nothing is sent unless somebody says so"


async def test_a_person_s_word_is_sent_once_read_back_and_told(site: Bench, may_write: None) -> None:
    name = open_control(site)
    done = await act(site, control=name)
    assert done.code == 0, done.err
    assert sent(site) == 1
    ((where, event),) = site.splunkd.received
    assert (where["index"], where["sourcetype"], where["host"]) == ("security", "ms:securescore:health", "contoso")
    assert (event["event_type"], event["outcome"]) == ("connector.write_back", "success")
    assert (event["control"]["id"], event["after"]["state"]) == (name, "Ignored")
    assert event["user"] == "Splunk (ada@sh1)"
    assert "is being sent" in done.err, "the attempt is on record, whatever comes of it"

    again = await act(site, control=name)
    assert (again.code, sent(site), len(site.splunkd.received)) == (0, 1, 1), "the second time there is nothing to do"


async def test_it_only_looks_until_it_is_told_to_send(site: Bench, may_write: None) -> None:
    done = await act(site, control=open_control(site), mode="look")
    assert (done.code, sent(site), site.splunkd.received) == (0, 0, [])
    assert "would be sent" in done.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sid": "scheduler__ada__search__RMD5_at_1764000000_7"}, "a schedule asks for it"),
        ({"control": "scid_2010"}, "cannot be set through Graph"),
        ({"control": "NoSuchControl"}, "has no control named"),
        ({"comment": ""}, "a comment is mandatory"),
        ({"index": "nosuch"}, "there is no index"),
        ({"account": "nobody"}, "there is no account"),
    ],
)
async def test_what_is_refused_is_said_and_nothing_is_sent(
    given: dict[str, str], words: str, site: Bench, may_write: None
) -> None:
    done = await act(site, **{"control": open_control(site), **given})
    assert done.code != 0
    assert words in done.err
    assert (sent(site), site.splunkd.received) == (0, [])


async def test_without_the_permission_to_write_it_says_which_is_missing(site: Bench) -> None:
    done = await act(site, control=open_control(site))
    assert done.code == 1
    assert "SecurityEvents.ReadWrite.All" in done.err
    assert "Traceback" not in done.err
