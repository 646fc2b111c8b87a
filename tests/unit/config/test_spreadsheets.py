"""The tenants file as spreadsheets save it: a line that tells the separator, and empty cells behind the last column."""

from pathlib import Path

import pytest

from connector.config.yaml_file import read_tenants

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"


def read(folder: Path, text: str) -> tuple[list[tuple[int, object]], list[str]]:
    """(line, values) of every row, and what is wrong."""
    path = folder / "tenants.csv"
    path.write_bytes(text.encode())
    rows, problems = read_tenants(str(path))
    return [(row.line, row.values) for row in rows], [problem.text for problem in problems]


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        (f"name,tenant_id\na,{ONE}\nb,{TWO}\n", 2),
        (f"name,tenant_id,\na,{ONE},\nb,{TWO},\n", 2),
        (f"name,tenant_id,,,\na,{ONE},,,\nb,{TWO}\n", 2),
        (f"name,tenant_id\na,{ONE},,\nb,{TWO}, \n", 2),
        (f"sep=;\nname;tenant_id\na;{ONE}\nb;{TWO}\n", 3),
        (f"\ufeffsep=;\r\nname;tenant_id\r\na;{ONE}\r\nb;{TWO}\r\n", 3),
        (f'"sep=,"\nname,tenant_id,\na,{ONE},\nb,{TWO},\n', 3),
        (f"SEP=\t\nname\ttenant_id\na\t{ONE}\nb\t{TWO}\n", 3),
        (f"sep=|\nname|tenant_id\na|{ONE}\nb|{TWO}\n", 3),
    ],
)
def test_all_forms_of_one_file(tmp_path: Path, text: str, first_line: int) -> None:
    rows, problems = read(tmp_path, text)
    assert problems == []
    assert rows == [
        (first_line, {"name": "a", "tenant_id": ONE}),
        (first_line + 1, {"name": "b", "tenant_id": TWO}),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"name,,tenant_id\na,,{ONE}\n", "line 1: unknown column ''"),
        (f"name,tenant_id,\na,{ONE},x\n", "line 2: has 3 cells, the first line has 2"),
        (f"sep=;\nname;tenant_id\na;{ONE};x\n", "line 3: has 3 cells, the first line has 2"),
        ("sep=;\nname;colour\n", "line 2: unknown column 'colour'"),
        ('sep=;\nname;tenant_id\n"a;b\n', "line 3: is not CSV"),
        ("sep=;", "the column name is missing"),
    ],
)
def test_what_is_wrong_keeps_its_line(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in read(tmp_path, text)[1])
