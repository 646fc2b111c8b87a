"""Saved answers of Azure and of Defender for Endpoint: read as they were read over the wire, days and all."""

import gzip
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from connector.errors import Denied, WrongTenant
from connector.model import Absent, EvidenceFile, Known, Reading, Snapshot, Unchanged
from connector.net.http import Transport
from connector.observe.evidence import Evidence
from connector.ports import Clock
from connector.signin.tokens import TokenProvider
from connector.sources.defender_cloud import DefenderCloudSource
from connector.sources.defender_endpoint import DefenderEndpointSource
from connector.sources.saved_units import SavedUnits
from tests.contract.source_contract import check_source_of_units
from tests.fake_graph import TENANT, JumpClock
from tests.fake_resource_graph import ARM, FakeResourceGraph, foreign, scored, standard_row, subscription
from tests.unit.sources.test_defender_endpoint import FakeEndpoint

FIRST, SECOND, THIRD = "2030-01-08", "2030-01-09", "2030-01-10"


class Token:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return "secret"


def cloud(http: Transport, token: TokenProvider, clock: Clock, **options: Any) -> DefenderCloudSource:
    given: dict[str, Any] = {"http": http, "token": token, "clock": clock, "base_url": ARM, "tenant_id": TENANT}
    return DefenderCloudSource(**given, random=random.Random(1), **options)


def endpoint(http: Transport, token: TokenProvider, clock: Clock) -> DefenderEndpointSource:
    given: dict[str, Any] = {"http": http, "token": token, "clock": clock}
    return DefenderEndpointSource(**given, base_url="https://mde.invalid", tenant_id=TENANT, random=random.Random(1))


def far(*healthy: int, page: int = 3) -> FakeResourceGraph:
    """A subscription for each number, with two controls of which one has so many healthy resources; in pages."""
    rows = [row for n, h in enumerate(healthy, 1) for row in scored(n, h, 2)]
    listed = [subscription(n) for n in range(1, len(healthy) + 1)]
    return FakeResourceGraph(listed, sorted(rows, key=lambda row: row["id"].lower()), page=page)


async def live(there: FakeResourceGraph, day: str, **options: Any) -> Reading:
    return await cloud(there, Token(), JumpClock(f"{day}T12:00:00Z"), **options).read(Known())


async def save(folder: Path, day: str, there: FakeResourceGraph, **options: Any) -> Reading:
    reading = await live(there, day, **options)
    assert reading.evidence
    await Evidence(folder, 36500).save("entry", reading.evidence, day)
    return reading


def saved(folder: Path, *, days: int = 90, **options: Any) -> SavedUnits:
    return SavedUnits(
        name="defender_cloud",
        path=folder / "entry",
        most_days=days,
        opened=lambda http, token, clock: cloud(http, token, clock, **options),
    )


def units(reading: Reading) -> dict[str, Snapshot]:
    assert isinstance(reading.units, tuple), reading.units
    return {s.unit.id: s for s in reading.units if s.unit is not None}


def days(snapshot: Snapshot) -> list[tuple[str, float | None]]:
    assert isinstance(snapshot.days, tuple)
    return [(day.day, day.score) for day in snapshot.days]


async def test_contract(tmp_path: Path) -> None:
    await save(tmp_path, THIRD, far(4, 1))
    await check_source_of_units(saved(tmp_path), THIRD, saved=True)


@pytest.mark.parametrize("compliance", [False, True])
async def test_what_was_saved_is_read_as_it_was_over_the_wire(tmp_path: Path, compliance: bool) -> None:
    """So the events of both sides have the same ids."""
    there = far(4, 1, 0)
    there.compliance = [standard_row(1, "CIS", 3, 1)]
    wire = await save(tmp_path, THIRD, there, compliance=compliance)
    read = await saved(tmp_path, compliance=compliance).read(Known())
    assert (read.units, read.listed, read.partial, read.notes) == (wire.units, wire.listed, None, ())
    assert read.evidence == ()


async def test_each_saved_day_is_a_day(tmp_path: Path) -> None:
    """A week's folders, carried over at once, are that week; a subscription that has gone since is not there."""
    await save(tmp_path, FIRST, far(4, 4, 4))
    await save(tmp_path, SECOND, far(3, 4))
    await save(tmp_path, THIRD, far(0, 4))
    read = await saved(tmp_path).read(Known())
    found = list(units(read).values())
    assert [[day for day, _ in days(s)] for s in found] == [[FIRST, SECOND, THIRD]] * 2
    assert [score for _, score in days(found[0])] == [15.0, 12.5, 5.0]
    assert [score for _, score in days(found[1])] == [15.0] * 3
    fewer = await saved(tmp_path, days=2).read(Known())
    assert [day for day, _ in days(next(iter(units(fewer).values())))] == [SECOND, THIRD]
    assert [note.text for note in fewer.notes] == [f"1 saved days before {SECOND} are not read"]
    assert (await saved(tmp_path, days=2).read(Known(SECOND, had_days=True))).notes == ()
    none = await saved(tmp_path, days=0).read(Known())
    assert [day for day, _ in days(next(iter(units(none).values())))] == [THIRD], "the newest is read in any case"


async def test_the_same_files_are_not_parsed_again_and_a_new_day_is(tmp_path: Path) -> None:
    await save(tmp_path, FIRST, far(4))
    first = await saved(tmp_path).read(Known())
    known = Known(FIRST, had_days=True, had_profiles=True, pages=first.pages)
    assert (await saved(tmp_path).read(known)).units == Unchanged()
    await save(tmp_path, SECOND, far(3))
    assert [day for day, _ in days(*units(await saved(tmp_path).read(known)).values())] == [FIRST, SECOND]


@pytest.mark.parametrize("lost", ["scores-2", "scores-1", "subscriptions-1"])
async def test_an_answer_that_was_not_carried_over_is_partial_and_named(tmp_path: Path, lost: str) -> None:
    await save(tmp_path, SECOND, far(4, 4))
    await save(tmp_path, THIRD, far(4, 4))
    gone = tmp_path / "entry" / THIRD / f"resourceGraph-{lost}.json.gz"
    gone.unlink()
    known = Known(SECOND, had_days=True, pages={"files": "before"})
    read = await saved(tmp_path).read(known)
    broken = read.partial or read.listed
    assert isinstance(broken, Absent)
    assert (f"{THIRD}/resourceGraph-{lost}.json" in broken.detail, "sha256sum -c" in broken.hint) == (True, True)
    assert read.pages == known.pages, "it is read again"


@pytest.mark.parametrize("spoil", ["gone", "cut", "no JSON"])
async def test_an_earlier_day_that_is_not_whole_is_left_out_and_named(tmp_path: Path, spoil: str) -> None:
    await save(tmp_path, FIRST, far(4, 4))
    await save(tmp_path, SECOND, far(4, 4))
    await save(tmp_path, THIRD, far(3, 4))
    file = tmp_path / "entry" / SECOND / "resourceGraph-scores-1.json.gz"
    raw = file.read_bytes()
    file.unlink()
    if spoil != "gone":
        file.write_bytes(raw[:-9] if spoil == "cut" else gzip.compress(b"<html>"))
    read = await saved(tmp_path).read(Known())
    assert [day for day, _ in days(next(iter(units(read).values())))] == [FIRST, THIRD]
    (note,) = read.notes
    assert f"the saved answers of {SECOND} are not whole, and not read: " in note.text


async def test_what_is_no_answer_is_named_and_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Denied) as caught:
        await saved(tmp_path).read(Known())
    assert "does not exist" in caught.value.what
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "secureScores-1.json").write_text("{}")
    with pytest.raises(Denied, match=r"no saved answers of defender_cloud in .* \(1 files") as caught:
        await saved(tmp_path).read(Known())
    assert "securescore fetch" in caught.value.hint
    await save(tmp_path, FIRST, far(4))
    (note,) = (await saved(tmp_path).read(Known())).notes
    assert note.text == "not taken: secureScores-1.json (no answer of a day's read)"


async def test_answers_of_another_directory_are_refused(tmp_path: Path) -> None:
    there = far(4)
    there.subscriptions, there.scores = [[foreign(row) for row in rows] for rows in (there.subscriptions, there.scores)]
    files = [
        EvidenceFile(f"resourceGraph-{kind}-1.json", (await there.request("POST", "", body=_asked(kind))).body)
        for kind in ("subscriptions", "scores")
    ]
    await Evidence(tmp_path, 36500).save("entry", files, FIRST)
    with pytest.raises(WrongTenant):
        await saved(tmp_path).read(Known())


def _asked(kind: str) -> bytes:
    return b'{"query": "%s", "options": {}}' % (b"resourcecontainers" if kind == "subscriptions" else b"scores")


async def test_the_answers_of_defender_for_endpoint_are_read_in_the_same_way(tmp_path: Path) -> None:
    there = FakeEndpoint()
    wire = await endpoint(there, Token(), JumpClock(f"{THIRD}T12:00:00Z")).read(Known())
    await Evidence(tmp_path, 36500).save("entry", wire.evidence, THIRD)
    shutil.copytree(tmp_path / "entry" / THIRD, tmp_path / "entry" / SECOND)
    source = SavedUnits(name="defender_endpoint", path=tmp_path / "entry", most_days=90, opened=endpoint)
    read = await source.read(Known())
    assert {key: days(s) for key, s in units(read).items()} == {
        key: [(SECOND, s.days[0].score), (THIRD, s.days[0].score)]
        for key, s in units(wire).items()
        if isinstance(s.days, tuple)
    }
    await check_source_of_units(
        SavedUnits(name="defender_endpoint", path=tmp_path / "entry" / THIRD, most_days=90, opened=endpoint),
        THIRD,
        saved=True,
    )
