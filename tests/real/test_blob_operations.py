"""What a called home asks of Azure Blob Storage is what the guide of Azure says, by Azurite's access log."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.real import blob_operations
from tests.real.blob_operations import Phase

README = (Path(__file__).parents[2] / "packaging" / "azure" / "README.md").read_text()
TENANTS = 6
AROUND = 5
"""Reads of a `tend` that are not of tenants: what was written down of all, the sinks, the connector's own."""


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Phase]:
    return asyncio.run(blob_operations.counted(TENANTS, tmp_path_factory.mktemp("operations")))


def told(what: str) -> tuple[int, int, int]:
    """Lists, writes and reads of a row of the guide's table, each the first number in its cell."""
    row = re.search(rf"^\| {re.escape(what)} \| (\d+)[^|]*\| (\d+)[^|]*\| (\d+)", README, re.MULTILINE)
    assert row, what
    return int(row[1]), int(row[2]), int(row[3])


def counts(phase: Phase) -> tuple[int, int, int]:
    return tuple(phase.operations.get(kind, 0) for kind in ("list", "write", "read"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("a turn without news", "quiet round"),
        ("a turn without news, in a process that sees the tenant for the first time", "quiet round, new process"),
        ("the first turn of a tenant", "first round"),
    ],
)
def test_a_turn(what: str, name: str, phases: Mapping[str, Phase]) -> None:
    lists, writes, reads = told(what)
    assert counts(phases[name]) == (TENANTS * lists, TENANTS * writes, TENANTS * reads)
    assert phases[name].operations.get("delete", 0) <= TENANTS


def test_a_look_after_all_in_which_nothing_moved_reads_no_tenant(phases: Mapping[str, Phase]) -> None:
    found = phases["tend, nothing moved, new process"]
    assert counts(found) == told("`tend` in a new process, nothing moved")
    assert counts(phases["tend, nothing moved"])[::2] == (1, 0)


def test_a_look_after_all_reads_what_moved_once(phases: Mapping[str, Phase]) -> None:
    lists, writes, reads = told("`tend` in a new process after a round of all, with a heartbeat")
    found = counts(phases["tend after a quiet round, new process"])
    assert found[:2] == (lists, writes)
    assert found[2] <= TENANTS * reads + AROUND


def test_a_plan_lists_the_connectors_own_state_once(phases: Mapping[str, Phase]) -> None:
    assert counts(phases["plan, new process"]) == told("`plan`")
