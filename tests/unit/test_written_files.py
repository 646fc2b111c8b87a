"""No module writes to whatever lies under a name: files are made by durable.py, or opened with flags of their own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(p.relative_to(ROOT).as_posix() for top in ("connector", "sinks") for p in (ROOT / top).rglob("*.py"))
MAY = {
    "connector/cli/terminal.py": 1,  # /dev/null
    "connector/homes/functions.py": 1,  # in a folder of a name that nobody knew before
}
WRITING = {"write_text", "write_bytes", "touch"}


def plain_writes(code: str) -> Iterator[int]:
    """Lines that write to whatever lies under a name."""
    if not any(word in code for word in (*WRITING, "open")):
        return  # and need not be parsed
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in WRITING:
            yield node.lineno
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "open" and not any(k.arg == "opener" for k in node.keywords):
            words = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
            if any(isinstance(w, str) and set(w) <= set("rwaxbt+") and set(w) & set("wax+") for w in words):
                yield node.lineno


def test_files_are_written_by_one_module() -> None:
    found = {name: len(list(plain_writes((ROOT / name).read_text("utf-8")))) for name in MODULES}
    assert {name: count for name, count in found.items() if count} == MAY


@pytest.mark.parametrize("code", ["p.write_text(x)", "p.touch()", "p.open('wb')", "open(p, 'a')", "open(p, mode='r+')"])
def test_the_search_finds_one(code: str) -> None:
    assert list(plain_writes(code)) == [1]


@pytest.mark.parametrize("code", ["p.open('rb')", "open(p)", "os.open(p, flags)", "open(p, 'wb', opener=fresh)"])
def test_reading_is_none(code: str) -> None:
    assert list(plain_writes(code)) == []
