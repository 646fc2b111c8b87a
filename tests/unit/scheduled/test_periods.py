"""Which period is over, what it is called, and which files of it lie where."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.scheduled.periods import Span, ended, last_over
from connector.scheduled.places import expire, place, write


@pytest.mark.parametrize(
    ("every", "today", "span"),
    [
        ("day", "2026-03-01", Span("2026-02-28", "2026-02-28", "2026-02-28")),
        ("week", "2026-11-30", Span("2026-W48", "2026-11-23", "2026-11-29")),
        ("week", "2026-11-29", Span("2026-W47", "2026-11-16", "2026-11-22")),
        ("week", "2027-01-04", Span("2026-W53", "2026-12-28", "2027-01-03")),
        ("month", "2026-11-01", Span("2026-10", "2026-10-01", "2026-10-31")),
        ("month", "2028-03-31", Span("2028-02", "2028-02-01", "2028-02-29")),
        ("month", "2027-01-15", Span("2026-12", "2026-12-01", "2026-12-31")),
    ],
)
def test_the_latest_period_that_is_over(every: str, today: str, span: Span) -> None:
    assert last_over(every, date.fromisoformat(today)) == span


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from(["day", "week", "month"]))
def test_a_key_says_when_its_period_ends_and_keys_sort_by_time(today: date, every: str) -> None:
    span = last_over(every, today)
    last = ended(every, span.key)
    assert last is not None
    assert (last.isoformat(), last < today) == (span.end, True)
    assert last_over(every, last + timedelta(days=1)) == span
    assert last_over(every, date.fromisoformat(span.start)).key < span.key


@pytest.mark.parametrize(
    ("every", "key"), [("day", "2026-02-30"), ("week", "2026-W54"), ("month", "2026-13"), ("month", "2026-10-01")]
)
def test_a_key_of_no_period(every: str, key: str) -> None:
    assert ended(every, key) is None


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../a", "a\n", ".a", "a\0", "x" * 64])
def test_no_name_of_a_tenant_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        place("/srv/{tenant}-{period}.html", name, "2026-10")


def test_a_file_is_the_owners_alone_and_so_are_folders_that_are_made_for_it(tmp_path: Path) -> None:
    file = place(f"{tmp_path}/a/{{tenant}}/{{period}}.html", "contoso", "2026-10")
    write(file, b"one")
    write(file, b"two")
    assert file.read_bytes() == b"two"
    assert [p.stat().st_mode & 0o777 for p in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]
    assert [p.name for p in file.parent.iterdir()] == ["2026-10.html"]


@pytest.mark.parametrize(
    "path", ["{tenant}-{period}.html", "{tenant}/{period}.html", "{period}/x-{tenant}-{period}.html"]
)
def test_old_reports_go_and_nothing_else_does(tmp_path: Path, path: str) -> None:
    whole = f"{tmp_path}/{path}"
    for key in ("2025-01", "2025-10", "2025-11", "2026-10"):
        write(place(whole, "contoso", key), b"x")
    kept = [
        tmp_path / "2025-01.txt",
        tmp_path / "contoso-2025-01.html.bak",
        tmp_path / "other-2025-1.html",
        tmp_path / "deep/down/contoso-2025-01.html",
    ]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "2025-01.html").touch()
    (tmp_path / "linked").symlink_to(outside)
    gone = expire(whole, "month", date(2026, 11, 30), 365)
    assert sorted(gone) == sorted(place(whole, "contoso", key) for key in ("2025-01", "2025-10"))
    assert all(file.exists() for file in kept)
    assert (outside / "2025-01.html").exists()
    assert place(whole, "contoso", "2025-11").exists()
    assert expire(f"{tmp_path}/none/{{tenant}}-{{period}}.html", "month", date(2026, 11, 30), 1) == []
