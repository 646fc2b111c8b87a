"""Saved Graph responses: every way people save them, and what may never be concluded from them."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.errors import Denied, WrongTenant
from connector.model import Absent, Known, Snapshot, Unchanged
from connector.net.client import Http
from connector.sources.files import FilesSource
from connector.sources.folder import listing
from connector.sources.graph import GraphSource
from tests.contract.source_contract import check_source
from tests.fake_graph import OTHER_TENANT, TENANT, FakeGraph, JumpClock, day_document, history, profile_document, root
from tests.shared_data import HEIMDALL_TENANT, shared_data

LINK = {"@odata.nextLink": "https://graph.example/v1.0/security/secureScoreControlProfiles?$skiptoken=x"}

EMPTY_END = {"@odata.context": "https://graph.example/v1.0/$metadata#security/secureScoreControlProfiles", "value": []}


def source(path: Path, **options: Any) -> FilesSource:
    given: dict[str, Any] = {"path": path, "tenant_id": TENANT, "clock": JumpClock()}
    return FilesSource(**given | options)


def texts(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(note.text for note in snapshot.notes)


async def read(path: Path, known: Known | None = None, **options: Any) -> Snapshot:
    return await source(path, **options).read(known or Known())


def save(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    return path


def known_after(snapshot: Snapshot) -> Known:
    return Known("2030-01-10", had_days=True, had_profiles=True, pages=snapshot.pages)


def days_of(snapshot: Snapshot) -> list[str]:
    assert isinstance(snapshot.days, tuple), snapshot.days
    return [day.day for day in snapshot.days]


def scores_of(snapshot: Snapshot) -> dict[str, float | None]:
    assert isinstance(snapshot.days, tuple), snapshot.days
    return {day.day: day.score for day in snapshot.days}


def profiles_of(snapshot: Snapshot) -> list[str]:
    assert not isinstance(snapshot.catalogue, Unchanged | Absent), snapshot.catalogue
    return sorted(snapshot.catalogue)


def absent(part: Any) -> Absent:
    assert isinstance(part, Absent), part
    return part


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days and two profiles, as one page each."""
    save(tmp_path / "scores.json", {"value": history("2030-01-10", 3)})
    save(tmp_path / "profiles.json", {"value": [profile_document("A"), profile_document("B")]})
    return tmp_path


# -------------------------------------------------------------------------------------------------------- shapes


async def test_contract(folder: Path) -> None:
    await check_source(source(folder))


async def test_folder(folder: Path) -> None:
    snapshot = await read(folder)
    assert days_of(snapshot) == ["2030-01-08", "2030-01-09", "2030-01-10"]
    assert profiles_of(snapshot) == ["A", "B"]
    assert (snapshot.source, snapshot.notes, snapshot.evidence) == ("files", (), ())


async def test_every_shape_in_any_folder_is_read(tmp_path: Path) -> None:
    one, two, three, four = history("2030-01-10", 4)
    save(tmp_path / "z" / "single.json", one)
    save(tmp_path / "list.JSON", [two, profile_document("A")])
    save(tmp_path / "a" / "b" / "page.json.gz", {"value": [three, profile_document("B")]})
    save(tmp_path / "zipped-without-suffix.json", gzip.compress(json.dumps({"value": [four]}).encode()))
    save(tmp_path / "utf16.json", json.dumps({"value": [profile_document("C")]}).encode("utf-16"))
    snapshot = await read(tmp_path)
    assert days_of(snapshot) == ["2030-01-07", "2030-01-08", "2030-01-09", "2030-01-10"]
    assert profiles_of(snapshot) == ["A", "B", "C"]


async def test_single_file(tmp_path: Path) -> None:
    snapshot = await read(save(tmp_path / "anything.txt", {"value": history("2030-01-10", 2)}))
    assert days_of(snapshot) == ["2030-01-09", "2030-01-10"]
    assert absent(snapshot.catalogue).reason == "not_read"


async def test_other_files_are_ignored_with_a_note(folder: Path) -> None:
    save(folder / "package.json", {"name": "x"})
    save(folder / "azure.json", {"value": [{"id": "/subscriptions/1", "properties": {"score": {"max": 1}}}]})
    save(folder / "empty.json", {"value": []})
    save(folder / "readme.md", b"text")
    save(folder / ".hidden.json", b"{")
    save(folder / ".git" / "x.json", b"{")
    os.mkfifo(folder / "pipe.json")
    snapshot = await read(folder)
    assert len(days_of(snapshot)) == 3
    assert texts(snapshot) == (
        "not taken: azure.json, package.json (no Secure Score data)",
        "not taken: empty.json (an empty list)",
        "not taken: readme.md (not JSON)",
        "not taken: .git, .hidden.json (hidden)",
        "not taken: pipe.json (no regular file)",
    )
    assert snapshot.partial == {}


async def test_future_day_is_flagged(tmp_path: Path) -> None:
    snapshot = await read(save(tmp_path / "x.json", day_document("2031-01-01", {"A": 1})))
    assert isinstance(snapshot.days, tuple)
    assert snapshot.days[0].flags == ("future_dated",)


# ----------------------------------------------------------------------------------------------------- same day


async def test_detail_is_kept_from_the_older_copy(tmp_path: Path) -> None:
    """The archive's own layout: today's file holds yesterday stripped, yesterday's file has it in full."""
    save(tmp_path / "2030-01-09" / "secureScores-1.json.gz", {"value": history("2030-01-09", 3)})
    save(tmp_path / "2030-01-10" / "secureScores-1.json.gz", {"value": history("2030-01-10", 4)})
    snapshot = await read(tmp_path)
    assert isinstance(snapshot.days, tuple)
    assert [(day.day, day.detailed) for day in snapshot.days] == [
        ("2030-01-07", False),
        ("2030-01-08", False),
        ("2030-01-09", True),
        ("2030-01-10", True),
    ]
    assert texts(snapshot) == ()


@pytest.mark.parametrize("names", [("a.json", "b.json"), ("b.json", "a.json")])
async def test_revised_day_counts_in_its_last_form_whatever_the_names(tmp_path: Path, names: tuple[str, str]) -> None:
    save(tmp_path / names[0], {"value": [day_document("2030-01-09", {"A": 5}, detailed=True)]})
    later = [day_document("2030-01-10", {"A": 6}, detailed=True), day_document("2030-01-09", {"A": 6})]
    save(tmp_path / names[1], {"value": later})
    snapshot = await read(tmp_path)
    assert scores_of(snapshot) == {"2030-01-09": 6.0, "2030-01-10": 6.0}
    assert texts(snapshot) == ("copies of 2030-01-09 have different scores; the latest counts",)


async def test_inconsistent_copy_never_displaces_a_consistent_one(tmp_path: Path) -> None:
    save(tmp_path / "a.json", {"value": [day_document("2030-01-09", {"A": 5, "B": 5})]})
    edited = [day_document("2030-01-10", {"A": 5}), day_document("2030-01-09", {"A": 5}, currentScore=10.0)]
    save(tmp_path / "b.json", {"value": edited})
    snapshot = await read(tmp_path)
    assert isinstance(snapshot.days, tuple)
    assert [sorted(day.controls) for day in snapshot.days] == [["A", "B"], ["A"]]


async def test_equal_responses_fall_to_the_later_name(tmp_path: Path) -> None:
    for name, score in (("1.json", 1), ("2.json", 2)):
        save(tmp_path / name, day_document("2030-01-10", {"A": score}))
    assert scores_of(await read(tmp_path)) == {"2030-01-10": 2.0}


async def test_numbers_in_names_are_numbers(tmp_path: Path) -> None:
    for number, score in ((9, 5), (10, 10)):
        save(tmp_path / f"scores-{number}.json", {"value": [day_document("2030-01-10", {"A": score}, detailed=True)]})
    snapshot = await read(tmp_path)
    assert scores_of(snapshot) == {"2030-01-10": 10.0}
    assert texts(snapshot) == ("copies of 2030-01-10 have different scores; the latest counts",)


@pytest.mark.parametrize("together", [True, False])
async def test_of_two_copies_the_one_that_says_it_is_later_counts(tmp_path: Path, *, together: bool) -> None:
    early, late = (day_document("2030-01-10", {"A": score}, detailed=True) for score in (5, 7))
    late["controlScores"][0]["lastSynced"] = "2030-01-10T09:00:00Z"
    if together:
        save(tmp_path / "x.json", {"value": [early, late]})
    else:
        save(tmp_path / "a.json", {"value": [late]})
        save(tmp_path / "b.json", {"value": [early]})
    assert scores_of(await read(tmp_path)) == {"2030-01-10": 7.0}


async def test_a_moment_in_the_future_makes_no_copy_later(tmp_path: Path) -> None:
    wrong, right = (day_document("2030-01-10", {"A": score}, detailed=True) for score in (5, 7))
    wrong["controlScores"][0]["lastSynced"] = "2036-01-10T09:00:00Z"
    save(tmp_path / "a.json", {"value": [wrong]})
    save(tmp_path / "b.json", {"value": [right]})
    assert scores_of(await read(tmp_path)) == {"2030-01-10": 7.0}


# ----------------------------------------------------------------------------------------------------- catalogue


async def test_catalogue_in_pages_of_any_order(tmp_path: Path) -> None:
    save(tmp_path / "a.json", {"value": [profile_document("C")]})
    save(tmp_path / "b.json", LINK | {"value": [profile_document("A")]})
    save(tmp_path / "c.json", LINK | {"value": [profile_document("B")]})
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A", "B", "C"]
    assert "catalogue" not in snapshot.partial


@pytest.mark.parametrize("page", [LINK | {"value": [profile_document("A")]}, profile_document("A")])
async def test_first_page_or_single_profile_is_no_whole_catalogue(tmp_path: Path, page: dict[str, Any]) -> None:
    """What is there is read; that the rest is missing must not look like removals."""
    snapshot = await read(save(tmp_path / "a.json", page))
    assert profiles_of(snapshot) == ["A"]
    assert "catalogue" in snapshot.partial


async def test_hole_in_numbered_pages_is_no_whole_catalogue(tmp_path: Path) -> None:
    save(tmp_path / "secureScoreControlProfiles-1.json", LINK | {"value": [profile_document("A")]})
    save(tmp_path / "secureScoreControlProfiles-3.json", {"value": [profile_document("C")]})
    assert "catalogue" in (await read(tmp_path)).partial
    save(tmp_path / "secureScoreControlProfiles-2.json", LINK | {"value": [profile_document("B")]})
    assert "catalogue" not in (await read(tmp_path)).partial


def archive(folder: Path, day: str, *pages: dict[str, Any]) -> None:
    for number, page in enumerate(pages, 1):
        save(folder / day / f"secureScoreControlProfiles-{number}.json.gz", page)


async def test_archive_gives_the_latest_catalogue_not_the_union(tmp_path: Path) -> None:
    """A control retired on the 9th must not come back because the 8th knew it."""
    archive(tmp_path, "2030-01-08", {"value": [profile_document("A"), profile_document("Retired")]})
    archive(tmp_path, "2030-01-09", LINK | {"value": [profile_document("A", title="new")]}, EMPTY_END)
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A"]
    assert isinstance(snapshot.catalogue, dict)
    assert snapshot.catalogue["A"].title == "new"


async def test_archive_day_without_its_last_page_is_passed_over(tmp_path: Path) -> None:
    archive(tmp_path, "2030-01-08", {"value": [profile_document("A"), profile_document("B")]})
    archive(tmp_path, "2030-01-09", LINK | {"value": [profile_document("A")]})
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A", "B"]
    assert "catalogue" not in snapshot.partial


async def test_of_incomplete_archive_days_the_latest_counts(tmp_path: Path) -> None:
    archive(tmp_path, "2030-01-08", LINK | {"value": [profile_document("A"), profile_document("Retired")]})
    archive(tmp_path, "2030-01-09", LINK | {"value": [profile_document("A")]})
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A"]
    assert "catalogue" in snapshot.partial


async def test_old_catalogues_of_an_archive_are_not_held_in_memory(tmp_path: Path) -> None:
    for day in range(10, 30):
        archive(tmp_path, f"2030-01-{day}", {"value": [profile_document("A")]})
    held = source(tmp_path)._parse(listing(tmp_path).files).held.pages
    assert list(held) == ["2030-01-29"]


async def test_profile_saved_twice_counts_with_its_latest_state(tmp_path: Path) -> None:
    ignored = [{"state": "Ignored", "updatedDateTime": "2030-01-05T00:00:00Z", "updatedBy": "a@b.example"}]
    save(tmp_path / "a.json", {"value": [profile_document("A", controlStateUpdates=ignored)]})
    save(tmp_path / "b.json", {"value": [profile_document("A")]})
    snapshot = await read(tmp_path)
    assert isinstance(snapshot.catalogue, dict)
    assert [update.state for update in snapshot.catalogue["A"].updates] == ["Ignored"]


IGNORED = [{"state": "Ignored", "updatedDateTime": "2029-11-10T00:00:00Z", "updatedBy": "a@b.example"}]


@pytest.mark.parametrize(
    "names",
    [
        ("profiles-2029-11-20.json", "profiles-2029-11-27.json"),
        ("20291120.json", "20291127.json"),
        ("2029-11-20/z.json", "2029-11-27/a.json"),
        ("z/2029-11-20.json", "a/2029-11-27.json"),
    ],
)
async def test_a_newer_whole_catalogue_outranks_an_older_one(tmp_path: Path, names: tuple[str, str]) -> None:
    """Also where the older one knows a state that the newer one does not: it was taken back."""
    older = [profile_document("A", controlStateUpdates=IGNORED), profile_document("B"), profile_document("C")]
    save(tmp_path / names[0], {"value": older})
    save(tmp_path / names[1], {"value": [profile_document("A"), profile_document("C")]})
    snapshot = await read(tmp_path)
    assert isinstance(snapshot.catalogue, dict)
    assert {name: profile.updates[0].state for name, profile in snapshot.catalogue.items()} == dict.fromkeys(
        "AC", "Default"
    )
    assert snapshot.partial == {}


async def test_that_there_are_several_catalogues_is_told(tmp_path: Path) -> None:
    for number in (9, 10):
        save(tmp_path / f"profiles-{number}.json", {"value": [profile_document("A", title=f"title {number}")]})
    snapshot = await read(tmp_path)
    assert isinstance(snapshot.catalogue, dict)
    assert snapshot.catalogue["A"].title == "title 10"
    assert texts(snapshot) == ("2 catalogues were saved; the latest counts: profiles-10.json",)


async def test_pages_of_two_answers_are_not_mixed(tmp_path: Path) -> None:
    for export, names in (("1", "ABCD"), ("2", "ABC")):
        first, second = [profile_document(n) for n in names[:2]], [profile_document(n) for n in names[2:]]
        save(tmp_path / f"export{export}-page1.json", LINK | {"value": first})
        save(tmp_path / f"export{export}-page2.json", {"value": second})
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A", "B", "C"]
    assert snapshot.partial == {}


async def test_a_newer_answer_that_is_not_whole_does_not_displace_a_whole_one(tmp_path: Path) -> None:
    save(tmp_path / "1.json", {"value": [profile_document("A"), profile_document("B")]})
    save(tmp_path / "2.json", LINK | {"value": [profile_document("A", title="new")]})
    snapshot = await read(tmp_path)
    assert profiles_of(snapshot) == ["A", "B"]
    assert texts(snapshot)[-1] == "2.json: not the whole catalogue, so that the one of 1.json counts"


async def test_a_year_in_a_name_is_no_page(tmp_path: Path) -> None:
    save(tmp_path / "secureScoreControlProfiles-2029.json", {"value": [profile_document("A")]})
    assert (await read(tmp_path)).partial == {}


async def test_what_a_catalogue_lacks_is_said(tmp_path: Path) -> None:
    save(tmp_path / "secureScoreControlProfiles-1.json", LINK | {"value": [profile_document("A")]})
    save(tmp_path / "secureScoreControlProfiles-3.json", {"value": [profile_document("C")]})
    part = (await read(tmp_path)).partial["catalogue"]
    assert part.reason == "incomplete"
    assert "page 2 is not among the files beside secureScoreControlProfiles-1.json" in part.detail
    assert "@odata.nextLink" in part.hint


async def test_days_and_catalogue_fail_apart(tmp_path: Path) -> None:
    save(tmp_path / "days.json", {"value": history("2030-01-10", 2)})
    save(tmp_path / "profiles.json", {"value": [profile_document("A"), profile_document("x", id=None)]})
    snapshot = await read(tmp_path)
    assert days_of(snapshot) == ["2030-01-09", "2030-01-10"]
    assert profiles_of(snapshot) == ["A"]
    assert list(snapshot.partial) == ["catalogue"]
    assert "profiles.json, profile 2: id is not a text" in snapshot.partial["catalogue"].detail


async def test_an_error_that_was_saved_is_told(folder: Path) -> None:
    save(folder / "late.json", {"error": {"code": "Forbidden", "message": "no permission"}})
    assert texts(await read(folder)) == (
        "not taken: late.json (an error that Graph answered (Forbidden: no permission))",
    )


async def test_when_nothing_is_usable_every_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.txt", b"hello")
    save(tmp_path / "b.json", {"error": {"code": "Forbidden", "message": ""}})
    with pytest.raises(Denied, match=r"2 files looked at.*a.txt \(not JSON\).*b.json \(an error that Graph answered"):
        await read(tmp_path)


NAMES = [
    *("value", "Value", "Count", "Id", "id", "AdditionalProperties", "controlScores", "ControlScores", "currentScore"),
    *("controlStateUpdates", "controlCategory", "title", "azureTenantId", "error", "score", "createdDateTime", "state"),
    *("lastSynced", "updatedDateTime", "controlName", "@odata.nextLink"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(NAMES) | st.text(max_size=5),
            inner | st.just("2030-01-10T00:00:00Z") | st.just(f"{TENANT}_2030-01-10") | st.just(TENANT),
            max_size=8,
        )
    ),
    max_leaves=30,
)


@given(ANY, st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]), st.sampled_from(["x.json", "x.txt"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_json_lies_there_is_read_or_named(tmp_path: Path, value: Any, encoding: str, name: str) -> None:
    """No value crashes the read, nothing known is lost by it, and what was not taken is named."""
    (tmp_path / "good.json").write_bytes(json.dumps({"value": history("2029-12-10", 2)}).encode())
    (tmp_path / name).write_bytes(json.dumps(value).encode(encoding))
    try:
        snapshot = source(tmp_path)._read(Known())
    except WrongTenant:
        return
    finally:
        (tmp_path / name).unlink()
    assert days_of(snapshot)[:2] == ["2029-12-09", "2029-12-10"]
    told = " ".join([*texts(snapshot), *(part.detail for part in snapshot.incomplete.values())])
    taken = len(days_of(snapshot)) > 2 or not isinstance(snapshot.catalogue, Absent)
    assert taken or name in told


# ----------------------------------------------------------------------------------------------------- unchanged


async def test_unchanged_files_are_not_parsed(folder: Path) -> None:
    first = await read(folder)
    again = await read(folder, known_after(first))
    assert (again.days, again.catalogue, again.pages) == (Unchanged(), Unchanged(), first.pages)


@pytest.mark.parametrize("change", ["content", "new", "gone", "renamed"])
async def test_any_change_is_noticed(folder: Path, change: str) -> None:
    known = known_after(await read(folder))
    if change == "content":
        save(folder / "scores.json", {"value": history("2030-01-10", 4)})
    elif change == "new":
        save(folder / "more.json", {"value": history("2030-01-07", 1)})
    elif change == "gone":
        (folder / "profiles.json").unlink()
    else:
        (folder / "profiles.json").rename(folder / "other.json")
    snapshot = await read(folder, known)
    assert not isinstance(snapshot.days, Unchanged)
    assert not isinstance(snapshot.catalogue, Unchanged)


async def test_folder_of_days_alone_is_not_parsed_twice_either(tmp_path: Path) -> None:
    save(tmp_path / "a.json", {"value": history("2030-01-10", 2)})
    first = await read(tmp_path)
    again = await read(tmp_path, Known("2030-01-10", had_days=True, pages=first.pages))
    assert isinstance(again.days, Unchanged)
    assert absent(again.catalogue).reason == "not_read"
    assert again.pages == first.pages


# ---------------------------------------------------------------------------------------------------- bad inputs


BOTH = ["catalogue", "days"]


@pytest.mark.parametrize(
    ("content", "reason", "parts"),
    [
        (b'{"value": [{"id"', "truncated", BOTH),
        (b"<html>sign in</html>", "not_json", BOTH),
        (b"", "not_json", BOTH),
        (b"\x1f\x8b\x08\x00", "truncated", BOTH),
        (gzip.compress(b'{"value": []}', mtime=0)[:-6], "truncated", BOTH),
        (b"\x1f\x8bnot really gzip, is it", "not_json", BOTH),
        # Megabytes are made when they are needed, and stand in no test's name.
        (lambda: b'{"value": [], "a": "' + b"x" * 4_000_000 + b'"}', "too_large", BOTH),
        (lambda: gzip.compress(b'{"value": ["' + b"x" * 50_000_000 + b'"]}', mtime=0), "too_large", BOTH),
        (lambda: b'{"value": [' + b"{}," * 500_000 + b"{}]}", "too_large", BOTH),
        (lambda: b'{"value": [' + b"1," * 1_600_000 + b"1]}", "too_large", BOTH),
        (
            json.dumps({"value": [day_document("2030-01-11", {"A": 1}), {"odd": 1}]}).encode(),
            "not_understood",
            ["days"],
        ),
        (json.dumps({"value": [profile_document("A"), None]}).encode(), "not_understood", ["catalogue"]),
        (json.dumps(day_document("2030-01-11", {}, controlScores=None)).encode(), "not_json", ["days"]),
        (json.dumps({"value": [profile_document("x", id=None)]}).encode(), "not_json", ["catalogue"]),
    ],
)
async def test_a_file_that_cannot_be_read_leaves_the_others(
    folder: Path, content: bytes | Callable[[], bytes], reason: str, parts: list[str]
) -> None:
    """Nobody knows what it held: what is missing because of it proves nothing."""
    save(folder / "odd.json", content if isinstance(content, bytes) else content())
    known = Known(had_days=True, pages={"files/days": "abc"})
    snapshot = await read(folder, known, max_file_bytes=3_900_000)
    assert days_of(snapshot)[:3] == ["2030-01-08", "2030-01-09", "2030-01-10"]
    assert profiles_of(snapshot) == ["A", "B"]
    assert sorted(snapshot.partial) == parts
    for part in snapshot.partial.values():
        assert part.reason == reason
        assert "odd.json" in part.detail
        assert "his file" in part.hint or "Save" in part.hint
        assert "heals" not in part.hint
    assert ("files/days" in snapshot.pages) == ("days" not in parts or "files/days" in known.pages)


async def test_file_of_another_tenant_is_named(folder: Path) -> None:
    save(folder / "sub" / "foreign.json", day_document("2030-01-10", {"A": 1}, azureTenantId=OTHER_TENANT))
    with pytest.raises(WrongTenant, match=f"sub/foreign.json, document 1 belongs to tenant {OTHER_TENANT}"):
        await read(folder)


async def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(Denied, match="absent does not exist"):
        await read(tmp_path / "absent")


async def test_folder_with_nothing_in_it(tmp_path: Path) -> None:
    save(tmp_path / "package.json", {"name": "x"})
    with pytest.raises(Denied, match=r"no saved Graph responses in .* \(1 files looked at\)") as caught:
        await read(tmp_path)
    assert "secureScoreControlProfiles" in caught.value.hint


async def test_emptied_folder_removes_nothing(folder: Path) -> None:
    known = known_after(await read(folder))
    for path in folder.iterdir():
        path.unlink()
    snapshot = await read(folder, known)
    assert absent(snapshot.days).reason == absent(snapshot.catalogue).reason == "empty_after_full"
    assert snapshot.pages == known.pages


async def test_unreadable_file_is_named(folder: Path) -> None:
    (folder / "odd.json").symlink_to("/proc/self/mem")  # reading it fails even for root
    part = (await read(folder)).partial["days"]
    assert (part.reason, part.detail) == ("unavailable", "odd.json cannot be read: Input/output error")


async def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"{")
    save(tmp_path / "a.json", {"value": history("2030-01-10", 1)})
    part = (await read(tmp_path)).partial["days"]
    assert "\\xff.json" in part.detail
    part.detail.encode()


async def test_evidence_of_the_graph_source_reads_back_the_same(tmp_path: Path) -> None:
    """What the archive keeps of two polls rebuilds days and catalogue in full detail."""
    graph = FakeGraph(days=history("2030-01-09", 5), profiles=[profile_document(f"c{n}") for n in range(450)])
    http = Http(clock=JumpClock())
    async with TestServer(graph.app()) as server:
        live = GraphSource(
            http=http, base_url=root(server), tenant_id=TENANT, token=_Token(), clock=JumpClock(), random=Random(1)
        )
        polls = [await live.read(Known())]
        graph.days[:] = history("2030-01-10", 6)
        graph.profiles[7]["title"] = "new"
        polls.append(await live.read(Known()))
        await http.close()
    for poll, day in zip(polls, ("2030-01-09", "2030-01-10"), strict=True):
        for file in poll.evidence:
            save(tmp_path / TENANT / day / f"{file.name}.gz", file.body)

    saved = await read(tmp_path / TENANT)
    assert saved.catalogue == polls[1].catalogue
    assert "catalogue" not in saved.partial
    assert isinstance(saved.days, tuple)
    assert isinstance(polls[0].days, tuple)
    assert isinstance(polls[1].days, tuple)
    assert saved.days == (*polls[1].days[:-2], polls[0].days[-1], polls[1].days[-1])


class _Token:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return "token"


# ------------------------------------------------------------------------------------------------- real captures


def capture(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).write_bytes(shared_data(name).read_bytes())
    return tmp_path


async def test_real_captures(tmp_path: Path) -> None:
    folder = capture(tmp_path, "heimdall2_secureScore.json", "heimdall2_profiles.json")
    snapshot = await read(folder, tenant_id=HEIMDALL_TENANT)
    assert isinstance(snapshot.days, tuple)
    (day,) = snapshot.days
    assert (day.day, day.score, day.max_score, len(day.controls)) == ("2024-01-01", 128.0, 274.0, 68)
    assert sum(control.score or 0 for control in day.controls.values()) == 128.0
    assert len(profiles_of(snapshot)) == 200
    assert list(snapshot.partial) == ["catalogue"]


async def test_real_two_day_capture(tmp_path: Path) -> None:
    folder = capture(tmp_path, "heimdall2_secureScore-multiple.json")
    snapshot = await read(folder, tenant_id=HEIMDALL_TENANT)
    assert isinstance(snapshot.days, tuple)
    assert [(day.day, len(day.controls)) for day in snapshot.days] == [("2024-01-01", 2), ("2024-01-02", 2)]


async def test_all_captures_at_once() -> None:
    """The hand-edited pair does not displace the real day; what is no Secure Score is left out with a note."""
    snapshot = await read(shared_data("heimdall2_profiles.json").parent, tenant_id=HEIMDALL_TENANT)
    assert isinstance(snapshot.days, tuple)
    assert [(day.day, len(day.controls)) for day in snapshot.days] == [("2024-01-01", 68), ("2024-01-02", 2)]
    assert len(profiles_of(snapshot)) == 200
    assert list(snapshot.partial) == ["catalogue"]
    bare = "controls without azureTenantId and controlStateUpdates"
    other = "azure_ListSecureScoreControls_expand_example_trimmed.json, azure_ListSecureScores_example.json"
    assert texts(snapshot) == (
        f"not taken: {other}, ctid_m365-07.18.2025_attack-16.1.json (no Secure Score data)",
        "not taken: graph_v1.0_securescore.csdl.xml (HTML or XML, not JSON)",
        f"not taken: mssat_SecureScore-API-Controls.json ({bare}: the list of another tool)",
        "not taken: SOURCES.md (not JSON)",
        "copies of 2024-01-01 have different scores; the latest counts",
        "id and createdDateTime name different days; the id counts: 2024-01-02",
        "the scores of the controls do not add up to the total, which counts as Microsoft gave it: 2024-01-02",
    )
