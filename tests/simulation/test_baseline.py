"""Standards over tenants, end to end against the simulated Graph, with the commands that docs/baseline.md shows."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import define

from connector.clock import SystemClock
from connector.simulator.faults import Faults
from connector.simulator.server import Simulation, serve, token_for
from connector.simulator.world import World
from tests.fakes.command import securescore

PAGE = Path(__file__).parents[2] / "docs" / "baseline.md"
TENANTS = {"contoso": "gold", "fabrikam": "gold", "tailspin": "silver"}


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


@define
class Bench:
    """Three simulated tenants, a configuration of them, and the command."""

    folder: Path
    sim: Simulation
    capture: pytest.CaptureFixture[str]

    async def run(self, line: str) -> tuple[int, str, str]:
        return await securescore(self.folder, self.capture, shlex.split(line))

    async def json(self, line: str) -> Any:
        return json.loads((await self.run(line + " --json"))[1])

    def events(self, type_: str) -> list[dict[str, Any]]:
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["type"] == f"securescore.{type_}"]

    def free(self, tenant: int, count: int) -> list[str]:
        """Controls of a tenant that nobody has touched and that lack points, so that their states can be set."""
        world, now = self.sim.world, self.sim.clock.now()
        (day,) = world.score_documents(world.tenants[tenant].id, now, 1)
        open_ = {c["controlName"] for c in day["controlScores"] if float(c["scoreInPercentage"]) < 100.0}
        found = world.profiles(world.tenants[tenant].id, now)
        touched = [p["id"] for p in found if len(p["controlStateUpdates"]) != 1 or p["id"].startswith("scid_")]
        return sorted(open_ - set(touched))[:count]

    def standards(self, text: str) -> None:
        (self.folder / "baseline.yaml").write_text(text)


@asynccontextmanager
async def ready(folder: Path, capture: pytest.CaptureFixture[str], standards: str) -> AsyncIterator[Bench]:
    world = World(7, len(TENANTS), (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    async with serve(world, SystemClock(), faults=Faults()) as sim:
        rows = []
        for tenant, (name, tier) in zip(world.tenants, TENANTS.items(), strict=True):
            for kind in ("read", "write"):
                file = folder / f"{name}.{kind}"
                file.touch(0o600)
                file.write_text(token_for(tenant.id, write=kind == "write"))
            auth = f"auth: {{kind: token, file: {name}.read}}, write_auth: {{kind: token, file: {name}.write}}"
            rows.append(f"{{name: {name}, tenant_id: {tenant.id}, labels: {{tier: {tier}}}, {auth}}}")
        (folder / "securescore.yaml").write_text(
            f"""
            state: {{path: state.db}}
            baseline: baseline.yaml
            poll: {{backfill: 2d}}
            graph: {{base_url: "{sim.base_url}"}}
            tenants: [{", ".join(rows)}]
            sinks: [{{name: out, kind: file, path: events.jsonl}}]
            """
        )
        bench = Bench(folder, sim, capture)
        bench.standards(standards)
        yield bench


def told(events: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(e["data"]["tenant"]["name"], e["subject"], e["data"]["target"]["kind"]) for e in events}


async def test_from_the_baseline_to_the_proof_of_its_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with ready(tmp_path, capsys, "standards: [{name: none, tenants: [nobody], percent_min: 1}]") as bench:
        assert (await bench.run("once"))[0] == 0
        declared, full = bench.free(0, 2)
        standards = f"""
            standards:
              - name: gold
                tenants: [tier=gold]
                full: [{full}]
                declared: [{{control: {declared}, state: third-party, comment: covered by gateway X}}]
            """
        bench.standards(standards)
        assert (await bench.run("once"))[0] == 0
        begun = bench.events("posture.target_missed")
        assert ("contoso", declared, "baseline_declared") in told(begun)
        assert ("contoso", full, "baseline_full") in told(begun)
        assert {e["data"]["tenant"]["name"] for e in begun} <= {"contoso", "fabrikam"}
        assert {e["data"]["target"]["standard"] for e in begun} == {"gold"}

        status = await bench.json("status")
        assert {"kind": "baseline_full", "control": full} in status["tenants"]["contoso"]["deviations"]
        assert status["tenants"]["tailspin"]["deviations"] == []
        assert sum(len(t["deviations"]) for t in status["tenants"].values()) == len(begun)
        _, out, _ = await bench.run("status --deviations")
        assert f"{len(begun)} deviations from the baseline in" in out
        assert "tailspin" not in out
        assert "is not declared as it must be" in out

        assert (await bench.run("report --all-tenants --out r.json"))[0] == 0
        matrix = json.loads((tmp_path / "r.json").read_text())["matrix"]
        (row,) = [r for r in matrix["rows"] if r["control"] == full]
        assert row["deviations"][matrix["tenants"].index("contoso")]
        assert not row["deviations"][matrix["tenants"].index("tailspin")]
        assert (await bench.run("report --all-tenants --out r.html"))[0] == 0
        assert "not as the baseline asks" in (tmp_path / "r.html").read_text()

        line = "controls apply --baseline baseline.yaml --tenant tier=gold"
        code, out, err = await bench.run(f"{line} --dry-run")
        assert (code, bench.sim.requests[-1].method) == (0, "GET"), err
        assert "would be sent" in out
        assert "what no state can mend" in out
        assert not [r for r in bench.sim.requests if r.method == "PATCH"]
        code, _, err = await bench.run(line)
        assert (code, "nobody is there to confirm" in err) == (2, True), "a change needs a yes"
        plans = await bench.json(f"{line} --dry-run")
        wanted = sum(len(t["changes"]) for t in plans)
        assert (await bench.run(f"{line} --yes --max {wanted - 1}"))[0] == 2, "nothing is sent beyond the bound"
        assert not [r for r in bench.sim.requests if r.method == "PATCH"]

        code, out, err = await bench.run(f"{line} --yes --operator Alex")
        assert (code, out.count("done, and read back")) == (0, wanted), (out, err)
        code, out, _ = await bench.run(f"{line} --yes")
        assert (code, "No state has to be set." in out) == (0, True), "run again it sends nothing"
        assert len([r for r in bench.sim.requests if r.method == "PATCH"]) == wanted

        assert (await bench.run("once"))[0] == 0
        over = [e for e in bench.events("posture.target_met") if e["subject"] == declared]
        assert ("contoso", declared, "baseline_declared") in told(over)
        assert {e["data"]["target"]["ended"] for e in over} == {"met"}
        written = bench.events("connector.write_back")
        assert {e["data"]["operator"]["name"] for e in written} == {"Alex"}
        assert len(written) == wanted
        status = await bench.json("status")
        assert {"kind": "baseline_declared", "control": declared} not in status["tenants"]["contoso"]["deviations"]

        until = (datetime.now(UTC) + timedelta(days=30)).date()
        excuse = f"exceptions: [{{tenants: [contoso], controls: [{full}], until: {until}, reason: ticket 4711}}]"
        bench.standards(standards.replace("\n            ", "\n") + excuse)
        assert (await bench.run("once"))[0] == 0
        (excused,) = [e for e in bench.events("posture.target_met") if e["data"]["target"]["ended"] == "excused"]
        assert excused["data"]["target"]["excused_until"] == str(until)
        assert (await bench.json("status"))["tenants"]["contoso"]["deviations"] == []


async def test_one_tenants_fault_leaves_the_next_ones_their_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with ready(tmp_path, capsys, "standards: [{name: all, percent_min: 1}]") as bench:
        assert (await bench.run("once"))[0] == 0
        common = next(n for n in bench.free(0, 500) if n in bench.free(1, 500))
        bench.standards(
            f"standards: [{{name: all, tenants: ['*o*', fabrikam], declared:"
            f" [{{control: {common.upper()}, state: reviewed, comment: c}}]}}]"
        )
        (tmp_path / "contoso.write").write_text(token_for(bench.sim.world.tenants[0].id))  # may not write
        code, out, err = await bench.run("controls apply --tenant contoso --tenant fabrikam --yes")
        assert (code, out.count("done, and read back")) == (3, 1), (out, err)
        assert f"contoso: {common}: failure" in err
        assert "SecurityEvents.ReadWrite.All" in err


async def test_what_cannot_be_applied_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with ready(tmp_path, capsys, "standards: [{name: gold, tenants: [tier=gold], percent_min: 1}]") as bench:
        code, _, err = await bench.run("controls apply --tenant tailspin --dry-run")
        assert (code, "no standard in" in err) == (1, True)
        code, _, err = await bench.run("controls apply AdminMFAV2 --dry-run --state ignored")
        assert code == 2
        assert "takes no NAME" in err
        assert "--state does not belong to `controls apply`" in err
        code, _, err = await bench.run("controls apply --dry-run --baseline nothere.yaml")
        assert (code, "nothere.yaml: there is no such file" in err) == (2, True)
        code, _, err = await bench.run("controls list --baseline baseline.yaml")
        assert (code, "--baseline does not belong to `controls list`" in err) == (2, True)


async def test_the_page_shows_what_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    named, standards = re.findall(r"```yaml\n# \S+\n(.*?)```", page, re.DOTALL)
    assert yaml.safe_load(named) == {"baseline": "baseline.yaml"}
    (block,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    async with ready(tmp_path, capsys, standards) as bench:
        for line in block.splitlines():
            code, _, err = await bench.run(line.removeprefix("securescore "))
            assert code == 0, (line, err)
        kinds = {kind for _, _, kind in told(bench.events("posture.target_missed"))}
        assert kinds <= set(re.findall(r"`(baseline_\w+)`", page))
        fields = set(bench.events("posture.target_missed")[0]["data"]["target"])
        assert fields <= set(re.findall(r"`(\w+)`", page)), "each field is on the page"
