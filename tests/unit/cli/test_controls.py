"""What `controls` makes of a CSV file and of a profile: every mistake named with its line, the portal's words."""

from pathlib import Path

import pytest

from connector.cli.controls import row_of
from connector.cli.controls_csv import read_csv
from connector.errors import ConfigError
from connector.model import Control, Day, Profile, StateUpdate
from connector.writeback.plan import Wanted


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "many.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_with_quotes_blank_lines_and_any_order_of_columns(tmp_path: Path) -> None:
    text = '\ufeffState,NAME,comment\r\nignored,A,"one, ""two""\r\nthree"\r\n\r\nThirdParty, B ,x\r\n'
    assert read_csv(written(tmp_path, text)) == [
        (3, Wanted("A", "Ignored", 'one, "two"\nthree')),
        (5, Wanted("B", "ThirdParty", "x")),
    ]


def test_an_empty_cell_leaves_the_assignment_alone(tmp_path: Path) -> None:
    text = "name,state,comment,assigned_to\nA,ignored,x,\nB,ignored,x,team@contoso.example\n"
    assert [w.assigned_to for _, w in read_csv(written(tmp_path, text))] == [None, "team@contoso.example"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["columns must be"]),
        ("name;state;comment\nA;ignored;x\n", ["columns must be"]),
        ("name,state\nA,ignored\n", ["columns must be"]),
        ("name,state,comment,colour\nA,ignored,x,red\n", ["columns must be"]),
        ("name,name,state,comment\nA,B,ignored,x\n", ["columns must be"]),
        ("name,state,comment\n", ["holds no change"]),
        ("name,state,comment\nA,ignored\n", ["line 2", "number of columns"]),
        ("name,state,comment\nA,ignored,x,y\n", ["line 2", "number of columns"]),
        ("name,state,comment\nA,ignored,x\nA,reviewed,y\n", ["line 3", "line 2 already"]),
        ("name,state,comment\nAb,ignored,x\naB,reviewed,y\n", ["line 3", "line 2 already"]),
        ("name,state,comment\nA,gone,x\nB,ignored,\n", ["line 2", "gone", "line 3", "comment is mandatory"]),
        ('name,state,comment\nA,ignored,"x\n', ["line"]),
        (b"name,state,comment\nA,ignored,caf\xe9\n", ["UTF-8"]),
        (b"name,state,comment\nA,ignored,x\x00y\n", ["line 2"]),
        ("name,state,comment\n" + "A" * 1_100_000, ["larger than"]),
        ("name,state,comment\nA,ignored," + "x" * 200_000 + "\n", ["line"]),
    ],
)
def test_every_mistake_is_named_and_nothing_is_taken(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_csv(written(tmp_path, text))
    for word in words:
        assert word in caught.value.what


@pytest.mark.parametrize("apart", [";", "\t"])
def test_a_spreadsheets_other_separators_are_recognised(tmp_path: Path, apart: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_csv(written(tmp_path, f"name{apart}state{apart}comment\nA{apart}ignored{apart}x\n"))
    assert "commas" in caught.value.hint


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_csv(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("state", "score", "portal"),
    [
        (None, 10.0, "Completed"),
        (None, 9.9, "To address"),
        (None, None, "To address"),
        ("Default", 10.0, "Completed"),
        ("Ignored", 10.0, "Risk accepted"),
        ("ThirdParty", 10.0, "Resolved through third party"),
        ("Reviewed", 0.0, "Resolved through alternate mitigation"),
        ("Someday", 0.0, "unknown"),
    ],
)
def test_states_in_the_portals_words(state: str | None, score: float | None, portal: str) -> None:
    updates = () if state is None else (StateUpdate(state, "2026-11-01T00:00:00Z", "alice", "why"),)
    day = Day("d", "2026-11-22", 1.0, 10.0, {"A": Control("A", "Identity", score, None)})
    row = row_of("lab", Profile("A", "Title", max_score=10.0, updates=updates), day)
    assert (row["portal"], row["state"]) == (portal, state or "Default")
    assert (row["score"], row["max_score"], row["day"]) == (score, 10.0, "2026-11-22")


def test_a_control_without_a_score_is_not_zero() -> None:
    row = row_of("lab", Profile("A", "Title", max_score=0.0), None)
    assert (row["score"], row["portal"], row["day"]) == (None, "To address", None)
