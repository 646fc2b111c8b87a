"""Whatever Graph answers or lies in a folder: days and profiles, or one of our errors; never anything else."""

import gzip
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connector.clock import SystemClock
from connector.errors import PartialRead, WrongTenant
from connector.model import Absent, Day, Known, Profile
from connector.observe.evidence import read_sums
from connector.sources import scalars
from connector.sources.days import load_days, parse_days, parse_each_day
from connector.sources.files import FilesSource
from connector.sources.pages import documents, load, next_link, page_hash
from connector.sources.profiles import load_profiles, parse_profiles
from connector.sources.shapes import saved, why_nothing
from tests.fake_graph import TENANT
from tests.hostile.matter import DAY, PROFILE, TODAY, altered, budget, dumps, harmed, names_of, only, values

PAGE = json.dumps({"@odata.nextLink": "https://x/y?$skiptoken=1", "value": [DAY, DAY | {"id": f"{TENANT}_2030-01-09"}]})
CATALOGUE = json.dumps({"value": [PROFILE, PROFILE | {"id": "scid_1"}]})
PACKED = [json.dumps(json.loads(text), separators=(",", ":")) for text in (PAGE, CATALOGUE)]
NAMES = st.sampled_from(sorted({*names_of(DAY), *names_of(PROFILE), "value", "@odata.nextLink", "Count"}))


def read_as_days(body: bytes) -> None:
    with only(PartialRead, WrongTenant):
        docs = documents(load_days(body, "page 1"), "page 1")
        found = parse_days(docs, TENANT, "page 1", TODAY)
        assert len(parse_each_day(docs, TENANT, "page 1", TODAY, [])) == len(found)
        for day in found:
            assert isinstance(day, Day)
            json.dumps([day.score, day.max_score, *(c.score for c in day.controls.values())], allow_nan=False)


def read_as_profiles(body: bytes) -> None:
    with only(PartialRead, WrongTenant):
        found = parse_profiles(documents(load_profiles(body, "page 1", TENANT), "page 1"), TENANT, "page 1").profiles
        assert all(isinstance(profile, Profile) for profile in found.values())


@budget(75)
@given(altered({"value": [DAY, DAY]}) | st.builds(lambda doc: {"value": [doc]}, values(NAMES)))
def test_any_document_of_a_day(page: Any) -> None:
    read_as_days(dumps(page))


@budget(75)
@given(altered({"value": [PROFILE, PROFILE]}) | st.builds(lambda doc: {"value": [doc]}, values(NAMES)))
def test_any_document_of_a_profile(page: Any) -> None:
    read_as_profiles(dumps(page))


@budget(75)
@given(harmed(PAGE.encode()) | harmed(PACKED[0].encode()) | st.binary(max_size=60))
def test_any_octets_as_a_page_of_days(body: bytes) -> None:
    read_as_days(body)
    link = next_link(body)
    assert page_hash(body, link)


@budget(75)
@given(harmed(CATALOGUE.encode()) | harmed(PACKED[1].encode()) | st.binary(max_size=60))
def test_any_octets_as_a_page_of_profiles(body: bytes) -> None:
    read_as_profiles(body)


@budget(50)
@given(altered({"value": [DAY]}), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_parsing_by_rows_means_what_parsing_the_whole_means(page: Any, separators: tuple[str, str]) -> None:
    """The fast ways are ways to the same value: or to none."""
    body = json.dumps({"value": [page, page]}, separators=separators).encode("utf-8", "surrogatepass")
    try:
        whole = load(body, "page")
    except PartialRead:
        return
    assert repr(load_days(body, "page")) == repr(whole)


@budget(100)
@given(values())
def test_any_single_value(value: Any) -> None:
    flags: set[str] = set()
    for read in (scalars.text, scalars.squeezed, scalars.level, scalars.threat, scalars.text_hash):
        assert isinstance(read(value), str)
    assert isinstance(scalars.names(value), list)
    for figure in (scalars.number, scalars.percentage, scalars.whole, scalars.truth):
        json.dumps(figure(value, flags), allow_nan=False)
    scalars.when(value, flags)
    scalars.fraction(value)
    for refusing in (scalars.object_of, scalars.name_of):
        with only(PartialRead):
            refusing(value, "here")


@budget(75)
@given(st.one_of(*(harmed(text.encode(code)) for text in (PAGE, CATALOGUE) for code in ("utf-8", "utf-16"))))
def test_any_octets_as_a_saved_file(body: bytes) -> None:
    for read in (saved, why_nothing):
        with only(PartialRead):
            read(body, "x.json")


@budget(15)
@given(st.lists(st.tuples(st.sampled_from(["a.json", "b.json.gz", "c.zip", "d"]), harmed(PAGE.encode())), max_size=3))
def test_any_folder_of_files(tmp_path: Path, files: list[tuple[str, bytes]]) -> None:
    """One good file among them is never lost, and nothing is read that is not there."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "good.json").write_bytes(dumps({"value": [DAY | {"id": f"{TENANT}_2029-12-10"}]}))
    for name, body in files:
        (folder / name).write_bytes(gzip.compress(body) if name.endswith("gz") else body)
    try:
        snapshot = FilesSource(path=folder, tenant_id=TENANT, clock=SystemClock())._read(Known())
    except WrongTenant:
        return
    assert not isinstance(snapshot.days, Absent)


@budget(30)
@given(harmed(b"0" * 64 + b"  secureScores-1.json.gz\n" + b"f" * 64 + b"  secureScores-2.json.gz\n"))
def test_any_sums_of_the_evidence(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "SHA256SUMS").write_bytes(body)
    assert isinstance(read_sums(tmp_path), dict)
