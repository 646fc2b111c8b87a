"""The drills of the host README's runbook, each step as an operator does it: with the commands that the runbook names.

The daemon's work is done in this process, so that its clock can be moved; the commands are the real ones beside it.
A command that the runbook does not name cannot be run here, and one that it names must be.
"""

import asyncio
import contextlib
import gzip
import json
import re
import shlex
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import Factory, define

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.config.yaml_file import load
from connector.observe.poller import PollOutcome
from connector.registry import sink_options
from connector.simulator.server import READ, serve
from connector.simulator.world import World
from tests.fake_graph import TENANT, FakeGraph, day_document, profile_document, root
from tests.fakes.daemon import ROOT, operate
from tests.real.authority import CLIENT, bench

RUNBOOK = (ROOT / "packaging" / "host" / "README.md").read_text().partition("### Drills")[2].partition("\n## ")[0]
TODAY = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
NAMES = ("AdminMFAV2", "BlockLegacyAuthentication", "MFARegistrationV2", "SigninRiskPolicy", "UserRiskPolicy", "scid_1")
ADMIN = "admin@contoso.example"


def drill(number: int) -> str:
    """The text of one drill, on one line."""
    found = re.search(rf"(?ms)^{number}\. (.*?)(?=^\d\. |\Z)", RUNBOOK)
    assert found is not None
    return " ".join(found[1].split())


def day_of(back: int) -> str:
    return (TODAY - timedelta(days=back)).date().isoformat()


@define
class Receiver:
    """A SIEM behind a webhook. `down`: takes nothing; `refuse`: types it refuses for good; `deaf`: answers get lost."""

    down: bool = False
    deaf: int = 0
    refuse: tuple[str, ...] = ()
    got: list[dict[str, Any]] = Factory(list)

    async def answer(self, request: web.Request) -> web.Response:
        events = json.loads(await request.read())
        if self.down:
            return web.Response(status=503, text="maintenance")
        if any(e["type"] in self.refuse for e in events):
            return web.Response(status=422, text="field too long")
        self.got += events
        if self.deaf:
            self.deaf -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=204)

    def ids(self) -> list[str]:
        return [e["id"] for e in self.got]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [e["data"] for e in self.got if e["type"] == f"securescore.{kind}"]


@define
class Scene:
    """A drill: Graph, a SIEM, the configuration, a clock; `used` are the runbook's commands that were run."""

    number: int
    folder: Path
    graph: FakeGraph
    siem: Receiver
    clock: SimulatedClock
    config: dict[str, Any]
    used: set[str] = Factory(set)
    profiles: dict[str, Any] = Factory(dict)

    @property
    def path(self) -> Path:
        return self.folder / "securescore.yaml"

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.config))

    async def live(self, turns: int = 1, hours: float = 6.0) -> list[PollOutcome]:
        """The daemon for so many turns: poll, deliver, look after itself."""
        outcomes: list[PollOutcome] = []
        async with open_app(load(str(self.path), sink_options=sink_options), clock=self.clock) as app:
            for _ in range(turns):
                await self.clock.advance(hours * 3600)
                outcomes = await app.poll_once()
                await app.deliver_once(0)
                await app.deliver_once(0)  # what the look after the first one told
        return outcomes

    def publish(self, back: int, scores: dict[str, float], **states: int) -> None:
        """Microsoft publishes a day; what came before it loses its detail.

        `states`: a control that a third party covered until now, and since how many days.
        """
        for document in self.graph.days:
            for control in document["controlScores"]:
                for key in ("description", "lastSynced", "count", "total"):
                    control.pop(key, None)
        newest = day_document(day_of(back), scores, detailed=True)
        for control in newest["controlScores"]:
            control["count"] = str(int(control["score"] * 0.4))
        self.graph.days.insert(0, newest)
        for name in scores:
            updates = [("ThirdParty", day_of(states[name])), ("Default", day_of(back))] if name in states else []
            self.profiles[name] = profile_document(
                name,
                controlStateUpdates=[
                    {
                        "assignedTo": None, "comment": "the merger is over", "state": state,
                        "updatedBy": ADMIN, "updatedDateTime": f"{day}T01:30:00Z",
                    }
                    for state, day in updates
                ],
            )  # fmt: skip
        self.graph.profiles = [self.profiles[name] for name in scores]

    async def run(self, command: str, *, fails: int = 0, **values: str) -> str:
        """Run a command of the runbook, its placeholders filled in; what it says on both channels."""
        assert f"`{command}`" in drill(self.number), f"drill {self.number} does not name `{command}`"
        self.used.add(command)
        words = [values.get(word, word) for word in shlex.split(command) if word != "sudo"]
        words = [values["day"] if re.fullmatch(r"\d{4}-\d\d-\d\d", word) else word for word in words]
        code, out, err = await asyncio.to_thread(operate, *words[1:], "-c", str(self.path))
        assert code == fails, out + err
        return " ".join(f"{out} {err}".split())

    def finished(self) -> None:
        named = set(re.findall(r"`((?:sudo )?securescore [^`]+)`", drill(self.number)))
        assert named == self.used


@contextlib.asynccontextmanager
async def scene(number: int, folder: Path, days_ago: int) -> AsyncIterator[Scene]:
    """Seven days of history, first contact made and everything delivered; now it is 06:00, so many days ago."""
    graph, siem = FakeGraph(), Receiver()
    hook = web.Application()
    hook.router.add_post("/hook", siem.answer)
    token = folder / "graph.token"
    token.touch(0o600)
    token.write_text("opaque")
    async with TestServer(graph.app()) as server, TestServer(hook) as receiver:
        config = {
            "state": {"path": "state.db"},
            "graph": {"base_url": root(server)},
            "health": {"listen": "off"},
            "tenants": [{"name": "contoso", "tenant_id": TENANT, "auth": {"kind": "token", "file": "graph.token"}}],
            "sinks": [
                {
                    "name": "siem", "kind": "webhook", "url": f"{root(receiver)}/hook", "mode": "batch",
                    "start": "backfill", "streams": ["score", "change", "health"],
                },
                {"name": "archive", "kind": "file", "path": "events.jsonl"},
            ],
        }  # fmt: skip
        clock = SimulatedClock(TODAY - timedelta(days=days_ago))
        made = Scene(number, folder, graph, siem, clock, config)
        made.write()
        for back in range(days_ago + 6, days_ago - 1, -1):
            made.publish(back, dict.fromkeys(NAMES, 10.0))
        await made.live()
        yield made


FALLEN = {**dict.fromkeys(NAMES, 10.0), **dict.fromkeys(NAMES[:4], 0.0)}


async def test_1_the_score_fell_40_points_overnight(tmp_path: Path) -> None:
    async with scene(1, tmp_path, days_ago=1) as play:
        play.publish(0, FALLEN, SigninRiskPolicy=5)
        await play.live(4)
        (alert,) = play.siem.told("score.changed")[-1:]
        assert (alert["delta"], alert["severity"]) == (-40.0, 9)

        said = await play.run("securescore explain --tenant T", T="contoso")
        assert "dropped: 60.0 → 20.0 (-40.0 points)" in said
        assert "residual 0.0" in said
        assert re.search(r"SigninRiskPolicy -10.0 █+ state_asserted", said)
        assert re.search(r"AdminMFAV2 -10.0 █+ configuration", said)
        said = await play.run(
            "securescore events --tenant T --type control.score_changed --since 2026-11-21", T="contoso", day=day_of(1)
        )
        for name in NAMES[:4]:
            assert f"{name} 10.0 → 0.0" in said
        said = await play.run(
            "securescore controls show NAME --tenant T --offline", T="contoso", NAME="SigninRiskPolicy"
        )
        assert ADMIN in said
        assert "the merger is over" in said
        play.finished()


async def test_2_the_feed_is_frozen(tmp_path: Path) -> None:
    async with scene(2, tmp_path, days_ago=5) as play:
        await play.live(16)  # four days on which Microsoft publishes nothing
        said = await play.run("securescore status")
        assert day_of(5) in said
        assert re.search(rf"{day_of(1)}[T ]\d\d:", said), "the last success moves on"
        assert "stale" in said
        said = await play.run("securescore events --tenant T --type 'feed.*'", T="contoso")
        assert f"newest day is {day_of(5)}" in said
        assert "recovered" not in said
        play.publish(1, dict.fromkeys(NAMES, 10.0))
        await play.live()
        assert "Feed recovered" in await play.run("securescore events --tenant T --type 'feed.*'", T="contoso")
        assert "stale" not in await play.run("securescore status")
        play.finished()


async def test_3_the_secret_has_expired(tmp_path: Path) -> None:
    """With real sign-ins at a simulated Microsoft Entra, whose secrets end."""
    start = (TODAY - timedelta(days=100)).date()
    async with bench(tmp_path) as entra, scene(3, tmp_path, days_ago=1) as play:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        entra.ca.issue_cert("localhost").configure_cert(context)
        who = World(7, 1, start, sizes=("small",)).tenants[0]
        entra.authority.tenants.add(who.id)
        entra.app.roles[who.id] = frozenset({READ})
        entra.app.secrets["first-secret"] = True
        world = World(7, 1, start, sizes=("small",))
        async with serve(world, SystemClock(), ssl=context, authenticate=entra.authority.caller) as graph:
            reference = entra.secret("first-secret", "client_secret")
            auth = {
                "kind": "client_secret", "client_id": CLIENT, "client_secret": reference,
                "expires_on": day_of(0),
            }  # fmt: skip
            play.config.update(
                network={"ca_file": entra.network.ca_file, "timeout_s": 5},
                graph={
                    "base_url": f"https://localhost:{urlsplit(graph.base_url).port}",
                    "authority": entra.authority.base_url,
                },
                tenants=[{"name": "contoso", "tenant_id": who.id, "auth": auth}],
            )
            play.write()
            assert [o.status for o in await play.live(1, 3)] == ["ok"]
            entra.app.secrets["first-secret"] = False
            assert [o.reason for o in await play.live(1, 24)] == ["secret_expired"]

            said = await play.run("securescore status")
            assert "the client secret has expired" in said
            assert f"tenants.contoso.auth secret {day_of(0)}" in said
            said = await play.run("securescore check", fails=3)
            assert "next: Create a new secret in the app registration" in said

            entra.app.secrets["second-secret"] = True
            (tmp_path / "client_secret").write_text("second-secret")
            auth["expires_on"] = day_of(-365)
            play.write()
            assert "All good." in await play.run("securescore check")
            assert [o.status for o in await play.live(1, 1)] == ["ok"]
            said = await play.run("securescore status")
            assert "expired" not in said
            assert f"tenants.contoso.auth secret {day_of(-365)} 36" in said
            said = await play.run("securescore events --tenant T --type 'connector.*'", T="contoso")
            assert "cannot be read (secret_expired)" in said
            assert re.search(r"Recovered: access \(secret_expired, \d+ s\)", said)
        play.finished()


async def test_4_the_siem_was_down_for_three_days(tmp_path: Path) -> None:
    async with scene(4, tmp_path, days_ago=5) as play:
        before = len(play.siem.got)
        play.siem.down = True
        for back in (4, 3, 2):
            play.publish(back, {**dict.fromkeys(NAMES, 10.0), "scid_1": float(back)})
            await play.live(4)
        said = await play.run("securescore sinks list")
        assert re.search(r"siem webhook unavailable [1-9]\d* 0", said)
        assert "HTTP 503" in said
        assert "archive file ok 0 0" in said, "a dead sink delays no other"

        play.siem.down, play.siem.refuse = False, ("securescore.posture.target_missed", "securescore.control.removed")
        play.publish(1, dict.fromkeys(NAMES[:5], 10.0))  # one control leaves the score
        await play.live(4)
        drained = play.siem.got[before:]
        days = [e["data"]["day"] for e in drained if e["type"] == "securescore.score.changed"]
        assert days == sorted(days), "oldest first"
        assert len(set(days)) == 4
        assert re.search(r"siem webhook ok 0 1", await play.run("securescore sinks list"))

        assert "field too long" in await play.run("securescore parked list")
        shown = await play.run("securescore parked show --sink NAME", NAME="siem")
        (parked,) = json.loads(shown)
        assert parked["reason"] == "HTTP 422 (field too long)" or "field too long" in parked["reason"]
        play.siem.refuse = ()
        said = await play.run("securescore parked retry --sink NAME", NAME="siem")
        assert "1 events will be offered again" in said
        await play.live()
        assert parked["event"]["id"] in play.siem.ids()

        first = list(play.siem.ids())
        play.siem.got.clear()  # the SIEM lost its data
        said = await play.run("securescore replay --sink NAME --since 2026-11-20", NAME="siem", day=day_of(5))
        assert "events will be offered to siem again" in said
        await play.live()
        assert set(first) <= set(play.siem.ids()), "the same ids"
        play.finished()


async def test_5_the_state_file_is_lost(tmp_path: Path) -> None:
    async with scene(5, tmp_path, days_ago=3) as play:
        for back in (2, 1):
            play.publish(back, FALLEN if back == 1 else dict.fromkeys(NAMES, 10.0))
            await play.live(4)
        explained = await play.run("securescore explain --tenant T", T="contoso")
        assert "configuration" in explained
        told = {e["id"] for e in play.siem.got if e["type"].startswith("securescore.score")}
        for file in tmp_path.glob("state.db*"):
            file.unlink()

        said = await play.run("securescore status", fails=1)
        assert "there is no state at" in said
        graph = play.config["tenants"]
        evidence = tmp_path / "evidence" / TENANT
        for sums in evidence.glob("*/SHA256SUMS"):
            for line in sums.read_text().splitlines():
                assert gzip.decompress((sums.parent / line.split()[1]).read_bytes())
        play.config["tenants"] = [{"name": "contoso", "tenant_id": TENANT, "source": "files", "path": str(evidence)}]
        play.write()
        await play.run("securescore once --no-deliver")
        play.config["tenants"] = graph
        play.write()
        play.siem.got.clear()
        await play.live()
        assert "state_new" in {data["reason"] for data in play.siem.told("connector.problem")}
        again = {e["id"] for e in play.siem.got if e["type"].startswith("securescore.score")}
        assert told <= again, "the same facts have the same ids"
        assert await play.run("securescore explain --tenant T", T="contoso") == explained
        play.finished()


async def test_6_why_did_this_alert_come_twice(tmp_path: Path) -> None:
    async with scene(6, tmp_path, days_ago=2) as play:
        play.siem.deaf = 1
        play.publish(1, FALLEN)
        await play.live(2)
        twice = [i for i in play.siem.ids() if play.siem.ids().count(i) > 1]
        alert = next(e for e in play.siem.got if e["id"] in twice)
        said = await play.run("securescore events --id ID --trace", ID=alert["id"])
        assert re.search(r"siem accepted \S+ \S+ 2 ", said)
        assert re.search(r"archive accepted \S+ \S+ 1 ", said)

        play.publish(0, {**FALLEN, "AdminMFAV2": 5.0})
        await play.live(2)
        said = await play.run("securescore events --tenant T --control NAME", T="contoso", NAME="AdminMFAV2")
        assert "AdminMFAV2 10.0 → 0.0" in said
        assert "AdminMFAV2 0.0 → 5.0" in said
        play.finished()
