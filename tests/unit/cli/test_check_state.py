"""`check --state`: everything that is stored is read, each fault is one line, and nothing is changed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import main
from connector.clock import SystemClock
from connector.ports import State
from connector.stores.sqlite import open_store
from tests.fake_graph import TENANT
from tests.spoiled import spoil_events
from tests.unit.cli.test_check_is_the_start import a_good_one, polled_before, tree


def found(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = main(["check", "-c", str(folder / "c.yaml"), "--json", *words])
    findings = json.loads(capsys.readouterr().out)
    return code, [f for f in findings if f["what"] == "state"]


@pytest.mark.parametrize("home", [{"path": "s.db"}, {"directory": "s"}])
def test_a_sound_state_is_said_to_be_sound(
    home: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    polled_before(tmp_path, a_good_one(tmp_path) | {"state": home})
    before = tree(tmp_path)
    code, findings = found(tmp_path, capsys, "--state")
    assert (code, [f["ok"] for f in findings]) == (0, [True, True])
    assert "sound" in findings[1]["detail"]
    assert {name: body for name, body in tree(tmp_path).items() if "s.db-" not in name} == before


def test_a_row_that_nobody_reads_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = polled_before(tmp_path, a_good_one(tmp_path))
    spoil_events(path, [1], b"torn")
    assert found(tmp_path, capsys)[0] == 0
    code, findings = found(tmp_path, capsys, "--state")
    (bad,) = [f for f in findings if not f["ok"]]
    assert code == 3
    assert (bad["subject"], bad["reason"]) == ("event 1", "state_damaged")
    assert "1 events" in bad["detail"]
    assert bad["hint"]


def test_a_document_that_nobody_reads_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    polled_before(tmp_path, a_good_one(tmp_path) | {"state": {"directory": "s"}})
    document = tmp_path / "s" / TENANT / "000000000001"
    content = bytearray(document.read_bytes())
    content[len(content) // 2] ^= 4
    document.write_bytes(content)
    code, findings = found(tmp_path, capsys, "--state")
    assert code == 3
    assert f"{TENANT}/000000000001" in [f["subject"] for f in findings if f["ok"] is False]


def test_a_part_that_no_poll_needs_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def spoil() -> None:
        async with await open_store(tmp_path / "s.db", clock=SystemClock()) as store:
            state = await store.load(TENANT)
            assert state is not None
            await store.commit(TENANT, State(state.generation, {**state.parts, "days/1999-01": b"torn"}), [])

    polled_before(tmp_path, a_good_one(tmp_path))
    asyncio.run(spoil())
    code, findings = found(tmp_path, capsys, "--state")
    (bad,) = [f for f in findings if f["ok"] is False]
    assert code == 3
    assert bad["subject"] == f"{TENANT}/days/1999-01"


def test_one_tenants_damaged_head_hides_no_other_tenant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def spoil() -> None:
        async with await open_store(tmp_path / "s.db", clock=SystemClock()) as store:
            state = await store.load(TENANT)
            assert state is not None
            await store.commit(TENANT, State(state.generation, {**state.parts, "head": b"torn"}), [])

    polled_before(tmp_path, a_good_one(tmp_path))
    asyncio.run(spoil())
    capsys.readouterr()
    assert main(["status", "-c", str(tmp_path / "c.yaml"), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert any("damaged" in (t["error"] or "") for t in status["tenants"].values())
    assert main(["tenants", "list", "-c", str(tmp_path / "c.yaml")]) == 0
    assert main(["once", "-c", str(tmp_path / "c.yaml")]) == 3, "mended, and not silently"
    capsys.readouterr()
    assert main(["status", "-c", str(tmp_path / "c.yaml"), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert "state_damaged" in [p["reason"] for p in status["problems"]]
    assert main(["once", "-c", str(tmp_path / "c.yaml")]) == 0
    assert found(tmp_path, capsys)[0] == 3, "for a week"
