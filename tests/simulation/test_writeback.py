"""`securescore controls` against the simulated Graph: what it shows, what it sends, what it leaves behind."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from connector.app import open_app
from connector.cli.main import main
from connector.clock import SimulatedClock, SystemClock
from connector.config.yaml_file import load
from connector.formats import cloudevents
from connector.registry import sink_options
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve, token_for
from connector.simulator.world import World
from tests.fakes.command import securescore

READ_TOKEN, WRITE_TOKEN = "read.token", "write.token"


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


@define
class Bench:
    """A folder with a configuration, a simulated tenant, and the command."""

    folder: Path
    sim: Simulation
    capture: pytest.CaptureFixture[str]

    async def run(self, *words: str) -> tuple[int, str, str]:
        return await securescore(self.folder, self.capture, words)

    async def set(self, *words: str) -> tuple[int, str, str]:
        return await self.run("controls", "set", *words, "--yes")

    async def json(self, *words: str) -> Any:
        _, out, _ = await self.run(*words, "--json")
        return json.loads(out)

    async def events(self) -> list[dict[str, Any]]:
        _, out, _ = await self.run("events", "--type", "connector.write_back", "--format", "json")
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def sent(self) -> list[str]:
        return [seen.path for seen in self.sim.requests if seen.method == "PATCH"]

    def free(self, count: int = 1) -> list[str]:
        """Controls that nobody has touched, and that are not completed."""
        return [name for name in self._untouched() if name not in self._full()][:count]

    def completed(self) -> str:
        """A control that nobody has touched and that has full points."""
        return next(name for name in self._untouched() if name in self._full())

    def _untouched(self) -> list[str]:
        found = self.sim.world.profiles(self.sim.world.tenants[0].id, self.sim.clock.now())
        return [p["id"] for p in found if len(p["controlStateUpdates"]) == 1 and not p["id"].startswith("scid_")]

    def _full(self) -> frozenset[str]:
        (day,) = self.sim.world.score_documents(self.sim.world.tenants[0].id, self.sim.clock.now(), 1)
        full = (c["controlName"] for c in day["controlScores"] if float(c["scoreInPercentage"]) == 100.0)
        return frozenset(full)


@asynccontextmanager
async def ready(
    folder: Path, capture: pytest.CaptureFixture[str], *, once: bool = True, write_auth: bool = True
) -> AsyncIterator[Bench]:
    world = World(7, 1, (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    async with serve(world, SystemClock(), faults=Faults()) as sim:
        tenant = world.tenants[0].id
        for name, write in ((READ_TOKEN, False), (WRITE_TOKEN, True)):
            (folder / name).touch(0o600)
            (folder / name).write_text(token_for(tenant, write=write))
        extra = f", write_auth: {{kind: token, file: {WRITE_TOKEN}}}" if write_auth else ""
        (folder / "securescore.yaml").write_text(
            f"""
            state: {{path: state.db}}
            poll: {{backfill: 2d}}
            graph: {{base_url: "{sim.base_url}"}}
            tenants: [{{name: lab, tenant_id: {tenant}, auth: {{kind: token, file: {READ_TOKEN}}}{extra}}}]
            sinks: [{{name: out, kind: file, path: events.jsonl}}]
            """
        )
        bench = Bench(folder, sim, capture)
        if once:
            assert (await bench.run("once"))[0] == 0
        yield bench


async def test_list_and_show_speak_the_portals_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        assert (await bench.set(name, "--state", "third-party", "--comment", "gateway, ticket 1"))[0] == 0
        assert (await bench.run("once"))[0] == 0
        requests = len(bench.sim.requests)
        rows = await bench.json("controls", "list")
        assert len(bench.sim.requests) == requests, "the list comes from the last poll"
        (row,) = [r for r in rows if r["control"] == name]
        assert (row["state"], row["portal"]) == ("ThirdParty", "Resolved through third party")
        assert (row["comment"], row["updated_by"]) == ("gateway, ticket 1", "automation@contoso.example")
        assert {"score", "max_score", "updated_at", "assigned_to", "service", "tenant"} <= set(row)
        assert {r["portal"] for r in rows} >= {"To address", "Completed", "Resolved through third party"}

        only = await bench.json("controls", "list", "--state", "third-party")
        assert name in {r["control"] for r in only}
        assert {r["state"] for r in only} == {"ThirdParty"}
        _, out, _ = await bench.run("controls", "list", "--state", "risk accepted")
        assert "Resolved" not in out

        shown = await bench.json("controls", "show", name)
        assert [u["state"] for u in shown["history"]] == ["Default", "ThirdParty"]
        assert bench.sim.requests[requests].path == f"/v1.0/security/secureScoreControlProfiles/{name}"
        offline = await bench.json("controls", "show", name, "--offline")
        assert offline == shown
        code, out, _ = await bench.run("controls", "show", name)
        assert code == 0
        assert "Resolved through third party (ThirdParty)" in out


async def test_live_list_asks_for_one_service_and_needs_no_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys, once=False) as bench:
        rows = await bench.json("controls", "list", "--live", "--service", "AzureAD")
        assert {r["service"] for r in rows} == {"AzureAD"}
        assert "$filter=service%20eq%20" in bench.sim.requests[0].path
        assert any(r["score"] is not None for r in rows)
        assert not (tmp_path / "state.db").exists()


async def test_unknown_control_suggests_a_near_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        for words in (["show", "AdminMFAV3"], ["show", "AdminMFAV3", "--offline"]):
            code, _, error = await bench.run("controls", *words)
            assert code == 1
            assert "AdminMFAV2" in error
        code, _, error = await bench.set("AdminMFAV3", "--state", "ignored", "--comment", "x")
        assert (code, bench.sent()) == (1, [])
        assert "no control named AdminMFAV3" in error
        assert "did you mean AdminMFAV2" in error


async def test_a_control_in_another_case_is_the_one_that_microsoft_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        assert (await bench.json("controls", "show", name.swapcase()))["control"] == name
        code, out, error = await bench.set(name.swapcase(), "--state", "ignored", "--comment", "x")
        assert (code, error) == (0, "")
        assert name in out
        assert [e["subject"] for e in await bench.events()] == [name]
        assert len(bench.sent()) == 1


async def test_set_compares_sends_reads_back_and_leaves_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        words = [name, "--state", "ignored", "--comment", "Accepted until May", "--operator", "Alice Example"]
        code, out, error = await bench.set(*words)
        assert (code, error) == (0, "")
        assert "done, and read back" in out
        assert len(bench.sent()) == 1

        (event,) = await bench.events()
        data = event["data"]
        assert (event["subject"], data["outcome"], data["severity"]) == (name, "success", 4)
        assert (data["before"]["state"], data["after"]["state"]) == ("Default", "Ignored")
        assert data["after"]["comment"] == "Accepted until May"
        assert data["after"]["updated_by"].startswith("Alice Example (")
        assert data["operator"]["name"] == "Alice Example"
        assert data["operator"]["os_user"]
        assert data["tenant"]["name"] == "lab"

        code, out, _ = await bench.set(*words)
        assert (code, len(bench.sent())) == (0, 1), "the second time there is nothing to do"
        assert "unchanged" in out
        assert len(await bench.events()) == 1

        assert (await bench.run("once"))[0] == 0
        delivered = [cloudevents.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert [e.id for e in delivered if e.type == "connector.write_back"] == [event["id"]]
        changed = [e for e in delivered if e.type == "control.state_changed" and e.subject == name]
        assert [e.data["after"]["state"] for e in changed] == ["Ignored"], "the next poll sees it, too"


async def test_assigned_to_is_untouched_unless_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        base = [name, "--state", "ignored", "--comment"]
        assert (await bench.set(*base, "a", "--assigned-to", "team@contoso.example"))[0] == 0
        assert (await bench.set(*base, "b"))[0] == 0
        assert (await bench.json("controls", "show", name))["assigned_to"] == "team@contoso.example"
        assert (await bench.set(*base, "b", "--assigned-to", ""))[0] == 0
        assert (await bench.json("controls", "show", name))["assigned_to"] is None
        assert len(bench.sent()) == 3


async def test_dry_run_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        code, out, _ = await bench.run("controls", "set", name, "--state", "reviewed", "--comment", "x", "--dry-run")
        assert (code, bench.sent(), await bench.events()) == (0, [], [])
        assert "would be sent" in out
        assert "Resolved through alternate mitigation (Reviewed)" in out


async def test_nobody_there_to_confirm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        requests = len(bench.sim.requests)
        code, _, error = await bench.run("controls", "set", name, "--state", "ignored", "--comment", "x")
        assert (code, len(bench.sim.requests)) == (2, requests)
        assert "--yes" in error


async def test_device_controls_are_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        requests = len(bench.sim.requests)
        code, _, error = await bench.set("scid_2010", "--state", "ignored", "--comment", "x")
        assert (code, len(bench.sim.requests)) == (1, requests)
        assert "Defender" in error


async def test_a_completed_control_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        code, _, error = await bench.set(bench.completed(), "--state", "ignored", "--comment", "x")
        assert (code, bench.sent(), await bench.events()) == (1, [], [])
        assert "completed" in error


async def test_reading_credentials_cannot_write_and_the_attempt_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys, write_auth=False) as bench:
        names = bench.free(3)
        rows = "".join(f"{name},ignored,x\n" for name in names)
        (tmp_path / "many.csv").write_text(f"name,state,comment\n{rows}")
        code, out, error = await bench.set("--from-csv", str(tmp_path / "many.csv"))
        assert (code, len(bench.sent())) == (1, 1), "what no further line could pass is not tried again"
        assert "SecurityEvents.ReadWrite.All" in error
        assert out.count("not tried") == 2
        (event,) = await bench.events()
        assert event["data"]["outcome"] == "failure"
        assert "403" in event["data"]["detail"]


async def test_writing_uses_its_own_credential_and_reading_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        (tmp_path / READ_TOKEN).write_text("broken")
        assert (await bench.set(name, "--state", "ignored", "--comment", "x"))[0] == 0
        assert (await bench.run("controls", "show", name))[0] == 1


async def test_a_change_whose_command_was_killed_is_told_by_the_next_poll(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 between the PATCH and its event: the operator is on record nevertheless, once."""
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        bench.sim.faults.add(Fault("write_ignored", path=name))  # so that it looks for the change for seconds
        config = tmp_path / "securescore.yaml"
        words = [name, "--state", "ignored", "--comment", "x", "--operator", "Alice", "--yes", "-c", str(config)]
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connector.cli.main", "controls", "set", *words
        )
        while not bench.sent():
            assert command.returncode is None
            await asyncio.sleep(0.02)
        command.kill()
        await command.wait()
        assert await bench.events() == []
        assert (await bench.run("once"))[0] == 0
        assert await bench.events() == [], "it could still be under way"
        later = SimulatedClock(bench.sim.clock.now() + timedelta(minutes=11))
        loaded = load(str(config), sink_options=sink_options)
        for _ in range(2):
            async with open_app(loaded, clock=later) as app:
                await app.poll_once()
        (event,) = await bench.events()
        assert (event["subject"], event["data"]["outcome"], event["data"]["source"]) == (
            name,
            "unconfirmed",
            "connector",
        )
        assert event["data"]["operator"]["name"] == "Alice"


async def test_many_at_once_with_a_line_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        one, two, three = bench.free(3)
        assert (await bench.set(two, "--state", "ignored", "--comment", "known"))[0] == 0
        (tmp_path / "many.csv").write_text(
            "\ufeffname,state,comment,assigned_to\r\n"
            f'{one},Resolved through third party,"gateway, ticket 1",team@contoso.example\r\n'
            f"{two},Ignored,known,\r\n"
            "scid_2010,ignored,x,\r\n"
            "NoSuchControl,ignored,x,\r\n"
            f"{three},reviewed,x,\r\n",
            encoding="utf-8",
        )
        code, out, error = await bench.run(
            "controls", "set", "--from-csv", str(tmp_path / "many.csv"), "--yes", "--json"
        )
        report = json.loads(out)
        assert code == 3
        assert [(r["line"], r["control"], r["outcome"]) for r in report] == [
            (2, one, "success"),
            (3, two, "same"),
            (4, "scid_2010", "refused"),
            (5, "NoSuchControl", "refused"),
            (6, three, "success"),
        ]
        assert "line 4: scid_2010" in error
        events = {e["id"]: e["subject"] for e in await bench.events()}
        assert [events.get(r["event"]) for r in report] == [one, None, None, None, three]
        assert len(bench.sent()) == 3
        again, _, _ = await bench.run("controls", "set", "--from-csv", str(tmp_path / "many.csv"), "--yes")
        assert (again, len(bench.sent())) == (3, 3), "a second run sends nothing new"


async def test_more_than_25_need_to_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        names = bench.free(26)
        rows = "".join(f"{name},ignored,x\n" for name in names)
        (tmp_path / "many.csv").write_text(f"name,state,comment\n{rows}")
        code, _, error = await bench.set("--from-csv", str(tmp_path / "many.csv"))
        assert (code, bench.sent()) == (2, [])
        assert "--max 26" in error
        code, out, _ = await bench.run(
            "controls", "set", "--from-csv", str(tmp_path / "many.csv"), "--max", "26", "--dry-run", "--json"
        )
        assert (code, len(json.loads(out))) == (0, 26)


@pytest.mark.parametrize(
    ("kind", "code", "outcome"), [("write_ignored", 1, "unconfirmed"), ("write_unclear", 0, "success")]
)
async def test_what_the_service_says_is_checked_by_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, code: int, outcome: str
) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        bench.sim.faults.add(Fault(kind, path=name))
        got, _, _ = await bench.set(name, "--state", "ignored", "--comment", "x")
        assert got == code
        (event,) = await bench.events()
        assert event["data"]["outcome"] == outcome
        assert len(bench.sent()) == 1


async def test_without_a_state_nothing_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A change that cannot be recorded is not made."""
    async with ready(tmp_path, capsys, once=False) as bench:
        (name,) = bench.free()
        code, _, error = await bench.set(name, "--state", "ignored", "--comment", "x")
        assert (code, bench.sent()) == (1, [])
        assert "state" in error


async def test_beside_a_running_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon commits while events are recorded: neither is lost."""
    async with ready(tmp_path, capsys) as bench:
        names = bench.free(5)
        rows = "".join(f"{name},ignored,x\n" for name in names)
        (tmp_path / "many.csv").write_text(f"name,state,comment\n{rows}")
        config = str(bench.folder / "securescore.yaml")
        done = threading.Event()
        polls = asyncio.ensure_future(asyncio.to_thread(_polls, config, done))
        words = ["controls", "set", "--from-csv", str(tmp_path / "many.csv"), "--yes", "-c", config]
        code = await asyncio.to_thread(main, words)
        done.set()
        count = await polls
        capsys.readouterr()
        assert (code, count > 0) == (0, True)
        assert len(await bench.events()) == 5


def _polls(config: str, done: threading.Event) -> int:
    """Poll until told to stop; how many times."""
    count = 0
    while not done.is_set() or not count:
        assert main(["once", "-c", config]) == 0
        count += 1
    return count


async def test_no_token_in_any_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with ready(tmp_path, capsys) as bench:
        (name,) = bench.free()
        bench.sim.faults.add(Fault("denied", path=name, times=1))
        said = ""
        for _ in range(2):
            _, out, error = await bench.set(name, "--state", "ignored", "--comment", "x")
            said += out + error
        said += json.dumps(await bench.events())
        assert "simulated." not in said
        assert b"simulated." not in (tmp_path / "state.db").read_bytes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["set", "A"], ["--state", "--comment"]),
        (["set"], ["NAME"]),
        (["set", "A", "--state", "planned", "--comment", "x"], ["planned", "third-party"]),
        (["set", "A", "--state", "ignored", "--comment", " "], ["comment is mandatory"]),
        (["set", "A", "--state", "ignored", "--comment", "x", "--live"], ["--live"]),
        (["set", "A", "--from-csv", "x.csv"], ["stand in the file"]),
        (["set", "--from-csv", "missing.csv"], ["cannot read"]),
        (["list", "A"], ["takes no NAME"]),
        (["list", "--yes"], ["--yes"]),
        (["show"], ["NAME"]),
        (["show", "A", "--tenant", "nobody"], ["nobody"]),
    ],
)
async def test_bad_usage_is_said_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]
) -> None:
    async with ready(tmp_path, capsys, once=False) as bench:
        code, _, error = await bench.run("controls", *words)
        assert (code, len(bench.sim.requests)) == (2, 0)
        for word in expected:
            assert word in error


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_forget_takes_evidence_too_and_finds_who_is_no_longer_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path, capsys) as bench:
        tenant = bench.sim.world.tenants[0].id
        assert list((tmp_path / "evidence").rglob("*.gz"))
        text = (tmp_path / "securescore.yaml").read_text()
        (tmp_path / "securescore.yaml").write_text(
            text.replace("name: lab", "name: other").replace(tenant, "33333333-3333-3333-3333-333333333333")
        )
        rows = await bench.json("tenants", "list")
        assert [(r["name"], r["source"]) for r in rows] == [("other", "graph"), ("lab", None)]
        code, _, error = await bench.run("tenants", "forget", "nobody")
        assert code == 2
        assert "nobody" in error
        kept = {p.relative_to(tmp_path / "evidence" / tenant): p.read_bytes() for p in _files(tmp_path / "evidence")}
        code, _, error = await bench.run("tenants", "forget", "lab", "--yes", "--export", str(tmp_path / "lab.jsonl"))
        assert (code, not (tmp_path / "lab.jsonl").exists()) == (2, True)
        assert "--export" in error
        exported = tmp_path / "lab"
        code, out, _ = await bench.run("tenants", "forget", "lab", "--yes", "--export", str(exported))
        assert code == 0
        assert "exported" in out
        assert len((exported / "events.jsonl").read_text().splitlines()) > 10
        assert {p.relative_to(exported / "evidence"): p.read_bytes() for p in _files(exported / "evidence")} == kept
        assert {path.stat().st_mode & 0o77 for path in exported.rglob("*")} == {0}
        assert not _files(tmp_path / "evidence")
        assert len(await bench.json("tenants", "list")) == 1
