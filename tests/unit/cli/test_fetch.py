"""`securescore fetch`: what it saves is what `source: files` reads, for one tenant or many."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from connector.cli.main import main
from connector.clock import SystemClock
from connector.model import Known
from connector.simulator.server import serve
from connector.simulator.world import World
from connector.sources.files import FilesSource
from tests.fake_graph import OTHER_TENANT, TENANT, FakeGraph, canned, history, profile_document, root
from tests.fakes.simulated import token_file

TODAY = datetime.now(UTC).date().isoformat()
CONFIG = """
state: {{path: ./state.db}}
graph: {{base_url: "{url}"}}
tenants:
  - {{name: one, tenant_id: {one}, labels: {{customer: x}}, auth: {{kind: token, file: ./token}}}}
  - {{name: two, tenant_id: {two}, auth: {{kind: token, file: ./token}}}}
  - {{name: saved, tenant_id: 33333333-2222-3333-4444-555555555555, source: files, path: ./in}}
sinks: [{{name: out, kind: file, path: ./out.jsonl}}]
"""


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[FakeGraph]:
    graph = FakeGraph(days=history(TODAY, 95), profiles=[profile_document(f"c{n}") for n in range(450)], score_page=40)
    async with TestServer(graph.app()) as server:
        (tmp_path / "token").write_text("a-token")
        (tmp_path / "token").chmod(0o600)
        text = CONFIG.format(url=root(server), one=TENANT, two=OTHER_TENANT)
        (tmp_path / "c.yaml").write_text(text)
        yield graph


async def run(folder: Path, *words: str) -> int:
    return await asyncio.to_thread(main, ["fetch", "-c", str(folder / "c.yaml"), "--out", str(folder / "to"), *words])


async def test_what_is_fetched_is_read_on_the_other_side(graph: FakeGraph, tmp_path: Path) -> None:
    assert await run(tmp_path, "--tenant", "one") == 0
    folder = tmp_path / "to" / TENANT
    source = FilesSource(path=folder, tenant_id=TENANT, clock=SystemClock())
    read = await source.read(Known())
    assert isinstance(read.days, tuple)
    assert isinstance(read.catalogue, dict)
    assert (len(read.days), len(read.catalogue)) == (95, 450), "whole pages: more than the 90 days asked for"
    assert read.days[-1].detailed
    assert (read.notes, read.partial) == ((), {})
    sums = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=folder / TODAY, check=True, capture_output=True, text=True
    )
    assert sums.stdout.count(": OK") == 6
    assert not (tmp_path / "state.db").exists()


async def test_fetching_again_leaves_what_is_whole(graph: FakeGraph, tmp_path: Path) -> None:
    assert await run(tmp_path, "--tenant", "one") == 0
    before = sorted(path.name for path in (tmp_path / "to" / TENANT / TODAY).iterdir())
    assert await run(tmp_path, "--tenant", "one") == 0
    assert sorted(path.name for path in (tmp_path / "to" / TENANT / TODAY).iterdir()) == before


async def test_one_tenants_fault_leaves_the_others(
    graph: FakeGraph, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second tenant is answered with the first one's documents; the third has nothing to be fetched."""
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "in").mkdir()
    assert await run(tmp_path) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert f"belongs to tenant {TENANT}" in said
    assert "no saved Graph responses" in said
    assert [path.name for path in (tmp_path / "to").iterdir()] == [TENANT]


@pytest.mark.parametrize(("pattern", "names"), [("customer=x", [TENANT]), ("o*", [TENANT]), (TENANT, [TENANT])])
async def test_tenants_are_chosen_by_name_glob_label_or_id(
    graph: FakeGraph, tmp_path: Path, pattern: str, names: list[str]
) -> None:
    assert await run(tmp_path, "--tenant", pattern) == 0
    assert [path.name for path in (tmp_path / "to").iterdir()] == names
    assert await run(tmp_path, "--tenant", "nobody") == 2


async def test_what_came_whole_is_saved_although_the_rest_did_not(graph: FakeGraph, tmp_path: Path) -> None:
    graph.queued["secureScoreControlProfiles"] += [canned({"error": {"code": "x"}}, status=403)]
    assert await run(tmp_path, "--tenant", "one") == 3
    saved = sorted(path.name for path in (tmp_path / "to" / TENANT / TODAY).iterdir())
    assert saved == ["SHA256SUMS", "secureScores-1.json.gz", "secureScores-2.json.gz", "secureScores-3.json.gz"]


async def test_a_folder_that_cannot_be_written_is_named(
    graph: FakeGraph, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "to").write_text("a file")
    assert await run(tmp_path, "--tenant", "one") == 1
    assert "name another folder with --out" in " ".join(capsys.readouterr().out.split())


async def test_what_azure_and_endpoint_answer_is_read_on_the_other_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The events there are those of a connector that asks itself: the same, under the same ids."""
    world = World(7, 1)
    who = world.tenants[0]
    async with serve(world, SystemClock()) as sim:
        token_file(tmp_path, who)
        auth = f"tenant_id: {who.id}, auth: {{kind: token, file: ./{who.name}.token}}"
        (tmp_path / "c.yaml").write_text(
            f"state: {{path: ./state.db}}\narm: {{base_url: '{sim.base_url}'}}\n"
            f"defender_endpoint: {{base_url: '{sim.base_url}'}}\ntenants:\n"
            f"  - {{name: azure, source: defender_cloud, compliance: on, {auth}}}\n"
            f"  - {{name: devices, source: defender_endpoint, {auth}}}\n"
            "sinks: [{name: out, kind: file, path: ./out.jsonl}]\nhealth: {listen: 'off'}\n"
        )
        assert await run(tmp_path) == 0
        assert await asyncio.to_thread(main, ["once", "-c", str(tmp_path / "c.yaml")]) == 0
    saved = {path.name for path in (tmp_path / "to").rglob("*.json.gz")}
    assert saved == {
        "resourceGraph-subscriptions-1.json.gz",
        "resourceGraph-scores-1.json.gz",
        "resourceGraph-compliance-1.json.gz",
        "exposureScore-1.json.gz",
        "exposureScore-ByMachineGroups-1.json.gz",
    }
    assert "on the other side: the same `source`" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "gap.yaml").write_text(
        f"state: {{path: ./gap.db}}\ndefaults: {{compliance: on}}\ntenants:\n"
        f"  - {{name: azure, source: defender_cloud, tenant_id: {who.id}, path: ./to/{who.id}.defender_cloud}}\n"
        f"  - {{name: dev, source: defender_endpoint, tenant_id: {who.id}, path: ./to/{who.id}.defender_endpoint}}\n"
        "sinks: [{name: out, kind: file, path: ./gap.jsonl}]\nhealth: {listen: 'off'}\n"
    )
    for command in ("check", "once", "status"):
        assert await asyncio.to_thread(main, [command, "-c", str(tmp_path / "gap.yaml")]) == 0
    assert "as saved in" in " ".join(capsys.readouterr().out.split())
    here, there = (ids_of(tmp_path / name) for name in ("out.jsonl", "gap.jsonl"))
    assert here
    assert there == here


def ids_of(file: Path) -> set[tuple[str, str]]:
    """What was told of the feeds; what a connector says of itself is its own."""
    told = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {(event["type"], event["id"]) for event in told if event["data"]["stream"] != "health"}
