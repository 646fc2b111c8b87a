"""The table of promises by home names tests that exist, for every promise and every home."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SECTION = (
    (TESTS.parent / "docs" / "reliability.md").read_text("utf-8").split("## Promises by home")[1].split("\n## ")[0]
)
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("|")]
HEAD, _, *ROWS = TABLE
HOMES = ["daemon `run`", "`once`", "Azure Functions", "Splunk add-on"]
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(test_\w+)`")


def test_every_home_has_a_column() -> None:
    assert ["promise", *HOMES] == HEAD
    assert len(ROWS) > 10


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_cell_names_its_tests_or_says_why_there_is_none(row: list[str]) -> None:
    promise, *cells = row
    assert promise
    assert len(cells) == len(HOMES)
    for cell in cells:
        assert NAMED.findall(cell) or re.fullmatch(r"— \w.{5,}", cell), f"{promise}: {cell}"


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(SECTION))))
def test_every_named_test_exists(file: str, name: str) -> None:
    path = TESTS / file
    assert path.is_file(), f"tests/{file} is gone: correct docs/reliability.md"
    assert re.search(rf"def {name}\(", path.read_text("utf-8")), (
        f"tests/{file} has no {name}: correct docs/reliability.md"
    )
