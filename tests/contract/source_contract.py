"""What every source must keep, whatever it reads from; its own test file calls `check_source` with a live one, or
`check_source_of_units` where it brings several units.
"""

from typing import Any

from connector.model import Absent, Known, Unchanged


async def check_source(source: Any) -> None:
    """`source` holds at least one day and one profile of one tenant and is not changed meanwhile."""
    first = await source.read(Known())
    assert first.source == source.name
    assert not isinstance(first.days, Unchanged | Absent)
    assert not isinstance(first.catalogue, Unchanged | Absent)

    days = [day.day for day in first.days]
    assert days
    assert days == sorted(set(days)), "days run oldest first, each once"
    for day in first.days:
        assert all(name == control.name for name, control in day.controls.items())
        assert list(day.flags) == sorted(day.flags)
    assert first.catalogue
    assert all(name == profile.id for name, profile in first.catalogue.items())
    assert first.pages
    assert (first.partial, first.incomplete) == ({}, {})
    for note in first.notes:
        assert note.part in ("", "days", "catalogue")
        assert note.text.strip()

    known = Known(newest_day=days[-1], had_days=True, had_profiles=True, pages=first.pages)
    again = await source.read(known)
    third = await source.read(Known(known.newest_day, had_days=True, had_profiles=True, pages=again.pages))
    assert (third.days, third.catalogue) == (Unchanged(), Unchanged()), "unchanged bytes are not parsed"
    assert third.pages == again.pages

    fresh = await source.read(Known())
    assert (fresh.days, fresh.catalogue) == (first.days, first.catalogue), "a read has no memory of its own"
    await source.close()
    await source.close()


async def check_source_of_units(source: Any, today: str, *, saved: bool = False) -> None:
    """`source` holds at least one unit of one entry and is not changed meanwhile; its clock says `today`, or what it
    reads was `saved` on that day.
    """
    first = await source.read(Known())
    assert first.source == source.name
    assert isinstance(first.units, tuple)
    assert first.units
    assert first.partial is None
    keys = [snapshot.unit.key for snapshot in first.units]
    assert len(keys) == len(set(keys)), "each unit once"
    for snapshot in first.units:
        assert (snapshot.source, snapshot.incomplete) == (source.name, {})
        assert snapshot.unit.id == snapshot.unit.id.lower()
        assert [day.day for day in snapshot.days] == [today], "there is no history"
        for day in snapshot.days:
            assert day.id == f"{snapshot.unit.id}_{today}"
            assert all(name == control.name for name, control in day.controls.items())
            assert list(day.flags) == sorted(day.flags)
        assert all(name == profile.id for name, profile in snapshot.catalogue.items())
    assert first.pages
    for note in first.notes:
        assert note.part in ("", "days", "catalogue")
        assert note.text.strip()

    known = Known(newest_day=today, had_days=True, had_profiles=True, pages=first.pages)
    again = await source.read(known)
    assert again.units == Unchanged(), "unchanged bytes of the same day are not parsed"
    assert again.pages == first.pages
    yesterday = await source.read(Known("2000-01-01", had_days=True, had_profiles=True, pages=first.pages))
    unchanged = Unchanged() if saved else first.units
    assert yesterday.units == unchanged, "the same bytes on another day are a day of their own"

    fresh = await source.read(Known())
    assert fresh.units == first.units, "a read has no memory of its own"
    await source.close()
    await source.close()
