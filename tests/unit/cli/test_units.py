"""`--unit`, and what the commands show of an entry of several units beside a tenant's own of the same tenant_id."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve

from connector.app import open_app
from connector.cli.common import store_beside
from connector.cli.main import main
from connector.cli.selection import one_unit, units_of
from connector.cli.tenants import _let_go
from connector.clock import SimulatedClock, parse_iso
from connector.config.values import TenantConfig
from connector.config.yaml_file import load
from connector.errors import ConfigError, Conflict
from connector.model import Reading, Snapshot
from connector.observe import memory, units
from connector.ports import Source
from connector.registry import sink_options
from tests import fake_graph
from tests.fake_graph import day_document, profile_document
from tests.fakes.several_units import TENANT, SeveralUnits, listed, one, sub

AGGREGATE, FIRST, SECOND = TENANT, sub(1), sub(2)


class Lab:
    """Graph (saved) and Defender for Cloud (faked) of one tenant, polled into one state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        exports = folder / "exports"
        exports.mkdir()
        saved = {
            "secureScoreControlProfiles.json": profile_document("A"),
            "secureScores.json": day_document("2026-11-28", {"A": 5.0}),
        }
        for name, document in saved.items():
            (exports / name).write_text(json.dumps({"value": [document]}).replace(fake_graph.TENANT, TENANT))
        self.config = folder / "config.yaml"
        settings = {
            "state": {"path": "state.db"},
            "raw": {"keep_days": 0},
            "tenants": [
                {"name": "contoso", "tenant_id": TENANT, "source": "files", "path": "exports"},
                {
                    "name": "contoso-azure",
                    "tenant_id": TENANT,
                    "source": "defender_cloud",
                    "auth": {"kind": "managed_identity"},
                },
            ],
            "sinks": [{"name": "out", "kind": "file", "path": "events.jsonl", "start": "all"}],
        }
        self.config.write_text(yaml.safe_dump(settings))

    def poll(self, at: str, *snapshots: Snapshot, listed_too: Sequence[Snapshot] = (), status: str = "ok") -> None:
        source = SeveralUnits()
        source.holds(*snapshots)
        assert isinstance(source.reading, Reading)
        source.reading = evolve(source.reading, listed=listed(*snapshots, *listed_too))

        async def run() -> None:
            config = load(str(self.config), sink_options=sink_options, environ={})
            clock = SimulatedClock(parse_iso(at))
            async with open_app(config, clock=clock) as app:
                real = app.poller.open_source

                async def opened(tenant: TenantConfig) -> Source:
                    return source if tenant.source == "defender_cloud" else await real(tenant)

                app.poller = evolve(app.poller, open_source=opened)
                outcomes = await app.poll_once()
                assert [o.status for o in outcomes if o.tenant == "contoso-azure"] == [status], outcomes

        asyncio.run(run())

    def run(self, *words: str) -> int:
        return main([*words, "-c", str(self.config)])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    made = Lab(tmp_path)
    made.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28", name="prod"), one(2, "2026-11-28", healthy=10))
    made.poll("2026-11-29T09:00:00Z", one(1, "2026-11-29", healthy=2, name="prod"), one(2, "2026-11-29", healthy=10))
    return made


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_status_lists_the_units_of_each_entry(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run("status", "--json") == 0
    tenants = said(capsys)["tenants"]
    assert tenants["contoso"]["units"] == []
    assert (tenants["contoso"]["newest_day"], tenants["contoso-azure"]["newest_day"]) == ("2026-11-28", "2026-11-29")
    whole, first, second = tenants["contoso-azure"]["units"]
    assert whole["unit"] == {"kind": "aggregate", "id": TENANT, "name": None, "score": "ascScore"}
    assert first == {
        "unit": {"kind": "subscription", "id": FIRST, "name": "prod", "score": "ascScore"},
        "newest_day": "2026-11-29",
        "score": 6.0,
        "max": 14.0,
        "percent": 42.86,
        "state": "Enabled",
        "gone_since": None,
        "refused": [],
    }
    assert second["unit"]["name"] == "sub-2"
    assert tenants["contoso-azure"]["no_data"] == {"count": 0, "first": []}

    assert lab.run("status", "--json", "--unit", "PROD") == 0
    units = said(capsys)["tenants"]["contoso-azure"]["units"]
    assert [row["unit"]["name"] for row in units] == ["prod"]
    assert lab.run("status") == 0
    shown = capsys.readouterr().out
    assert "unit of contoso-azure" in shown
    assert shown.index("aggregate") < shown.index("prod") < shown.index("sub-2"), "the weakest first"


def test_events_of_a_unit(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def units(*words: str) -> set[str]:
        assert lab.run("events", "--format", "json", "--limit", "0", *words) == 0
        return {e["data"]["unit"]["id"] if "unit" in e["data"] else "" for e in said(capsys)}

    assert units() == {"", AGGREGATE, FIRST, SECOND}
    assert units("--unit", "prod") == {FIRST}
    assert units("--unit", "sub-*", "--unit", "aggregate") == {SECOND, AGGREGATE}
    assert units("--unit", FIRST.upper(), "--tenant", "contoso-azure") == {FIRST}
    assert units("--tenant", "contoso") == {""}
    assert units("--tenant", TENANT) == {"", AGGREGATE, FIRST, SECOND}, "the GUID is of both entries"
    assert units("--unit", sub(77)) == set(), "one that is gone may have events still"
    assert lab.run("events", "--unit", "prot") == 2
    assert "did you mean prod?" in capsys.readouterr().err
    assert lab.run("events", "--tenant", "contoso", "--unit", "prod") == 2
    assert "leave --unit out" in capsys.readouterr().err


def test_replay_of_a_unit(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run("once", "--tenant", "contoso", "--no-deliver") in (0, 3)
    assert lab.run("replay", "--sink", "out", "--unit", "prod") == 0
    assert "events will be offered to out again" in capsys.readouterr().out


def test_explain_is_of_the_whole_unless_a_unit_is_named(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run("explain", "--tenant", "contoso-azure", "--json") == 0
    whole = said(capsys)
    assert whole["unit"]["kind"] == "aggregate"
    assert {part["control"] for part in whole["contributions"]} == {FIRST}
    assert lab.run("explain", "--tenant", "contoso-azure", "--unit", "prod", "--json") == 0
    of_one = said(capsys)
    assert (of_one["unit"]["name"], of_one["delta"]) == ("prod", -3.0)
    assert [part["control"] for part in of_one["contributions"]] == ["c1"]
    assert lab.run("explain", "--tenant", "contoso-azure", "--unit", "prod") == 0
    assert "contoso-azure: prod" in capsys.readouterr().out
    assert lab.run("explain", "--tenant", "contoso-azure", "--unit", "*") == 2
    assert "3 units are selected" in capsys.readouterr().err


def test_what_is_refused_of_one_unit_is_believed_of_that_one(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def cut(number: int, day: str, name: str | None = None) -> Snapshot:
        whole = one(number, day, healthy=10, name=name)
        found = whole.days[0]  # type: ignore[index]
        return evolve(whole, days=(evolve(found, max_score=4.0, score=4.0, controls={"c2": found.controls["c2"]}),))

    for hour in (9, 10):
        lab.poll(f"2026-11-30T{hour:02}:00:00Z", cut(1, "2026-11-30", "prod"), cut(2, "2026-11-30"))
    assert lab.run("status", "--json") == 0
    azure = said(capsys)["tenants"]["contoso-azure"]
    assert sorted(r["unit"] for r in azure["refused"]) == [f"{FIRST}/ascScore", f"{SECOND}/ascScore"]
    assert lab.run("accept-snapshot", "--tenant", "contoso-azure") == 2
    assert "something of 2 units is being refused" in capsys.readouterr().err
    assert lab.run("accept-snapshot", "--tenant", "contoso-azure", "--unit", "prod") == 0
    assert "contoso-azure, prod, believes a day" in capsys.readouterr().out
    lab.poll("2026-11-30T11:00:00Z", cut(1, "2026-11-30", "prod"), cut(2, "2026-11-30"))
    assert lab.run("status", "--json") == 0
    rows = {row["unit"]["name"]: row for row in said(capsys)["tenants"]["contoso-azure"]["units"]}
    assert (rows["prod"]["newest_day"], rows["prod"]["refused"]) == ("2026-11-30", [])
    assert (rows["sub-2"]["newest_day"], len(rows["sub-2"]["refused"])) == ("2026-11-29", 1)
    assert lab.run("accept-snapshot", "--tenant", "contoso") == 2
    assert "nothing of contoso is being refused" in capsys.readouterr().err


def test_an_entry_is_forgotten_and_the_other_of_its_tenant_stays(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run("tenants", "list", "--json") == 0
    assert [(row["name"], row["units"]) for row in said(capsys)] == [("contoso", 0), ("contoso-azure", 3)]
    assert lab.run("tenants", "forget", "contoso-azure", "--yes") == 0
    events = lab.folder / "contoso-azure-export" / "events.jsonl"
    exported = [json.loads(line) for line in events.read_text().splitlines()]
    assert exported
    assert all(event["data"]["source"] == "defender_cloud" for event in exported)
    capsys.readouterr()
    assert lab.run("events", "--format", "json", "--limit", "0") == 0
    assert {event["data"]["source"] for event in said(capsys) if event["data"]["tenant"]} == {"files"}


def test_a_unit_is_let_go_and_that_is_told(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """One whose subscription stays enabled without a score would keep the entry partial for good."""
    before = one(2, "2026-11-30", healthy=10)
    lab.poll("2026-11-30T09:00:00Z", before, listed_too=[one(1, "2026-11-30", name="prod")], status="partial")
    assert lab.run("tenants", "forget", "contoso-azure", "--unit", "prod") == 2
    assert "This drops what is known of 1 unit of contoso-azure (prod)" in capsys.readouterr().err
    assert lab.run("tenants", "forget", "contoso-azure", "--unit", "prod", "--yes") == 0
    assert "1 unit of contoso-azure forgotten: prod." in capsys.readouterr().out
    assert lab.run("events", "--type", "unit.removed", "--format", "json") == 0
    (event,) = said(capsys)
    assert (event["data"]["unit"]["name"], event["data"]["reason"]) == ("prod", "forgotten")
    assert event["data"]["summary"].endswith("was forgotten by command")

    lab.poll("2026-11-30T10:00:00Z", before, listed_too=[one(1, "2026-11-30", name="prod")])
    assert lab.run("status", "--json") == 0
    azure = said(capsys)["tenants"]["contoso-azure"]
    assert (azure["error"], azure["percent"]) == (None, 100.0), "the score over all is that of the others"
    assert [row["unit"]["name"] for row in azure["units"]] == [None, "sub-2"]
    assert azure["no_data"]["count"] == 1, "it is still said that it has no score"
    assert lab.run("events", "--format", "json", "--limit", "0", "--unit", FIRST) == 0
    assert len(said(capsys)) > 1, "what was told of it stays"

    lab.poll("2026-11-30T11:00:00Z", before, one(1, "2026-11-30", name="prod"))
    assert lab.run("events", "--type", "unit.added", "--format", "json") == 0
    assert [event["data"]["unit"]["name"] for event in said(capsys)] == ["prod"]


def test_of_units_only_those_that_were_confirmed_go(lab: Lab) -> None:
    """A daemon commits between the question and the answer: what came meanwhile stays, and what left is no fault."""

    class Busy:
        tries = 0

        def __init__(self, inner: Any) -> None:
            self.load = inner.load
            self.inner = inner

        async def commit(self, *what: Any) -> None:
            Busy.tries += 1
            if Busy.tries == 1:
                raise Conflict("committed meanwhile")
            await self.inner.commit(*what)

    async def run() -> dict[str, Any]:
        config = load(str(lab.config), sink_options=sink_options, environ={})
        entry = config.tenants[1]
        async with store_beside(config) as store:
            busy: Any = Busy(store)
            await _let_go(config, busy, entry.key, [f"{FIRST}/ascScore", "left-meanwhile/ascScore"])
            return dict(units.roster(memory.head(await store.load(entry.key))))

    assert set(asyncio.run(run())) == {f"{SECOND}/ascScore", f"{AGGREGATE}/ascScore"}
    assert Busy.tries == 2


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        (["contoso-azure", "--unit", "aggregate"], "follows from its units"),
        (["contoso-azure", "--unit", "prot"], "did you mean prod?"),
        (["contoso", "--unit", "prod"], "leave --unit out"),
        (["contoso-azure", "--unit", "prod", "--export", "x"], "--export is for all of a tenant"),
        (["nobody", "--unit", "prod"], "nothing is kept of a tenant named"),
    ],
)
def test_what_cannot_be_let_go_is_said(
    words: list[str], heard: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.run("tenants", "forget", *words, "--yes") == 2
    assert heard in capsys.readouterr().err


def test_a_report_is_of_each_entry_or_of_one_unit(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def report(*words: str) -> Any:
        assert lab.run("report", "--out", "r.json", *words) == 0, capsys.readouterr().err
        capsys.readouterr()
        return json.loads((lab.folder / "r.json").read_text())

    both = report("--all-tenants")
    assert [(row["name"], row["score"]) for row in both["summaries"]] == [("contoso", 5.0), ("contoso-azure", 71.4286)]
    assert both["detailed"] == ["contoso", "contoso-azure"]
    of_one = report("--tenant", "contoso-azure", "--unit", "prod")
    (row,) = of_one["summaries"]
    assert (row["name"], row["score"], row["max_score"], row["delta"]) == ("contoso-azure.prod", 6.0, 14.0, -3.0)
    assert lab.run("report", "--out", "r.json", "--all-tenants", "--unit", "prod") == 2
    assert "--unit is of one tenant" in capsys.readouterr().err


def test_next_is_of_the_units_and_not_of_the_score_over_all(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def units(*words: str) -> list[str]:
        assert lab.run("next", "--json", *words) in (0, 3)
        return [(one["unit"] or {}).get("name", "") for one in said(capsys)["tenants"]]

    assert units() == ["", "prod", "sub-2"]
    assert units("--unit", "prod") == ["prod"]
    assert units("--tenant", "contoso-azure", "--limit", "1") == ["prod", "sub-2"]
    assert lab.run("next", "--csv", "--unit", "prod") == 0
    assert "prod" in capsys.readouterr().out
    assert lab.run("next", "--tenant", "contoso-azure") == 0
    assert "contoso-azure: prod" in capsys.readouterr().out


def test_nobody_can_be_asked_for_the_controls_of_such_an_entry(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("controls", "set", "c1", "--tenant", "contoso-azure", "--state", "ignored", "--comment", "x", "--yes")
    assert lab.run(*command) == 2
    assert "is read by source: defender_cloud" in capsys.readouterr().err


def test_the_controls_of_a_unit(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def controls(*words: str) -> dict[str, Any]:
        assert lab.run("controls", "list", "--json", "--tenant", "contoso-azure", *words) == 0
        return {row["control"]: row["score"] for row in said(capsys)}

    assert controls("--unit", "prod") == {"c1": 2.0, "c2": 4.0}
    assert controls("--unit", "sub-2") == {"c1": 10.0, "c2": 4.0}
    assert controls().keys() == {FIRST, SECOND}, "the parts of the score over all"
    assert lab.run("controls", "show", "c1", "--tenant", "contoso-azure", "--unit", "prod") == 0
    assert "Control c1" in capsys.readouterr().out
    assert lab.run("controls", "set", "c1", "--tenant", "contoso", "--unit", "prod", "--state", "ignored") == 2
    assert "--unit does not belong to `controls set`" in capsys.readouterr().err


def test_which_units_a_word_means() -> None:
    def row(id_: str, name: str, kind: str = "subscription") -> dict[str, str]:
        return {"kind": kind, "id": id_, "name": name, "score_name": "ascScore"}

    rows = {"a/ascScore": row("a", "Prod"), "a/other": row("a", "Prod"), "t/ascScore": row("t", "", "aggregate")}
    assert units_of([rows], []) == ()
    assert units_of([rows], ["prod"]) == ("a/ascScore", "a/other")
    assert units_of([rows], ["a/OTHER"]) == ("a/other",)
    assert units_of([rows], ["p*", "aggregate"]) == ("a/ascScore", "a/other", "t/ascScore")
    assert one_unit(rows, []) is None
    assert one_unit(rows, ["aggregate"]) == "t/ascScore"
    for patterns in (["prod"], ["*"], ["b"]):
        with pytest.raises(ConfigError):
            one_unit(rows, patterns)
