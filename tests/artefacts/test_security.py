"""SECURITY.md claims what tests prove: each test that it names exists, and it counts what the attacks are."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.fakes.hostile import STREAMS, WAYS
from tests.hostile.test_configuration import BOMBS, TABLES
from tests.hostile.test_graph import LINKS
from tests.hostile.test_memory import SHAPES
from tests.hostile.test_sign_in import ANSWERS, ELSEWHERE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
CLAIMS = TEXT.partition("## What we claim")[2].partition("\n## ")[0]


@cache
def functions_of(file: str) -> set[str]:
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def named() -> list[tuple[str, str]]:
    """File and test of every proof; a name without file belongs to the file before it."""
    found, file = [], ""
    for before, name in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", CLAIMS):
        file = before or file
        found.append((file, name))
    return found


def test_every_test_that_proves_a_claim_exists() -> None:
    assert len(named()) > 40
    assert [f"{file}::{name}" for file, name in named() if name not in functions_of(file)] == []


def test_every_claim_has_its_proof() -> None:
    rows = [line for line in CLAIMS.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "|---"))]
    assert len(rows) > 20
    assert [row[:60] for row in rows if "::test_" not in row.rpartition(" | ")[2]] == []


def test_the_record_counts_what_is_run() -> None:
    record = TEXT.partition("## What was tried")[2].partition("\n## ")[0]
    counted = [int(number) for number in re.findall(r"(?m)^\| [^|]+ \| (\d+) \w+ \|", record)]
    files = (ROOT / "tests/hostile").glob("test_fuzz_*.py")
    properties = sum(len(re.findall(r"(?m)^@budget\(", file.read_text("utf-8"))) for file in files)
    tables = (WAYS, STREAMS, SHAPES, LINKS, ANSWERS, ELSEWHERE, BOMBS, TABLES)
    assert counted == [*map(len, tables), properties]
