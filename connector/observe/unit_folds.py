"""Fold what was read of several units into what is remembered of their entry, a bounded number of them at once. Pure.

What of a read is to be folded says estate.py, what a unit's snapshot means fold.py. Here it is decided what goes into
which commit: units in the order of their keys, each with its row of the roster and with what is told of it; last of
all the entry's own: the unit that stands for all, the whole roster, and what left. So a poll that breaks off is gone on
with by the next one: a unit whose row says that it was folded as it is costs no second fold, and tells nothing again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve, frozen

from connector.model import Change, Day, Listed, Snapshot, Unit, Version
from connector.observe import aggregate, estate, memory
from connector.observe.estate import Met
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.observe.units import parts_of, split, step
from connector.ports import State

OF_THE_ENTRY = frozenset({"feed.gap"})
"""What is told of the entry alone: days are missing because nothing was read, and that is the same of every unit."""
UNITS_A_COMMIT = 50
"""How many units are folded at once where each of them has news, as on a new day; or days, where one has several."""


@frozen
class Step:
    """One commit: which parts of the entry's state become others (None = gone), the roster then, and what is told.

    `head` is what the entry's head says of the unit that stands for it: only with the last step, when that was folded.
    """

    parts: Mapping[str, bytes | None]
    roster: Mapping[str, Any]
    told: tuple[tuple[Unit, Change], ...]
    head: Mapping[str, Any] = Factory(dict)
    last: bool = False


@define
class UnitFolds:
    """One read of an entry's units, to be folded. `entry` is the unit that stands for all of them.

    `rules` are those of a unit, `forget` gives the day before which nothing of a unit with this newest day is kept.
    """

    met: Met
    roster: Mapping[str, Any]
    entry: Unit
    source: str
    rules: Callable[[Unit], Rules]
    forget: Callable[[str], str]
    now: str
    units_a_commit: int = UNITS_A_COMMIT

    def steps(self, state: State | None) -> Iterator[Step | None]:
        """The commits of this read, in order; None in between, where somebody else may have a turn."""
        own, units = split(state)
        known, fresh = dict(self.roster), dict[str, Mapping[str, Any]]()
        days: dict[Unit, Day] = {}
        told: list[tuple[Unit, Change]] = []
        parts: dict[str, bytes | None] = {}
        arrivals = {change.subject: change for change in self.met.changes if change.type == "unit.added"}
        folded = 0
        for snapshot in self.met.snapshots:
            unit = estate.unit_of(snapshot)
            if unit.key == self.entry.key:
                continue
            if folded >= self.units_a_commit:
                yield Step(parts, dict(known), tuple(told))
                folded, told, parts = 0, [], {}
            row, was = self.met.roster[unit.key], self.roster.get(unit.key, {})
            unit = estate.of_row(row)
            before = units.get(step(unit.key), State())
            digest = digest_of(snapshot)
            row = {**row, "whole": was.get("whole", False)}  # a read is whole when all of it is folded
            if was.get("read") == digest and before.parts:
                known[unit.key] = row
                days.update(_read_day(unit, snapshot))
                continue
            if unit.key in arrivals:
                told.append((unit, arrivals[unit.key]))
            after, changes, remembered = self._folded(before, snapshot, unit)
            parts |= parts_of(unit.key, before, after)
            told += [(unit, change) for change in changes if change.type not in OF_THE_ENTRY]
            if remembered.newest is not None:
                days[unit] = remembered.newest.day
            fresh[unit.key] = said(remembered, after, digest)
            known[unit.key] = {**row, **fresh[unit.key]}
            folded += max(1, len(_days_of(snapshot)))
            yield None
        rows = {key: {**row, **fresh.get(key, {})} for key, row in self.met.roster.items()}
        yield self._last(own, units, rows, days, parts, told)

    def _last(
        self,
        own: State,
        units: Mapping[str, State],
        rows: dict[str, Any],
        days: dict[Unit, Day],
        parts: dict[str, bytes | None],
        told: list[tuple[Unit, Change]],
    ) -> Step:
        """What is left of the units, the roster as it is now, and the entry's own."""
        gone = {change.subject: change for change in self.met.changes if change.type == "unit.removed"}
        for key, change in gone.items():
            parts |= parts_of(key, units.get(step(key), State()), State())
            told.append((estate.of_row(self.roster[key]), change))
        snapshot = next((s for s in self.met.snapshots if estate.unit_of(s).key == self.entry.key), None)
        if snapshot is None and self.entry.kind == "aggregate" and (self.met.snapshots or gone):
            snapshot = self._aggregate(rows, units, days)
        if snapshot is None:
            return Step(parts, rows, tuple(told), last=True)
        after, changes, remembered = self._folded(own, snapshot, self.entry)
        parts |= {name: body for name, body in after.parts.items() if own.parts.get(name) is not body}
        parts |= dict.fromkeys(own.parts.keys() - after.parts.keys())
        parts.pop("head", None)
        told += [(self.entry, change) for change in changes]
        head = {key: value for key, value in memory.head(after).items() if key != "format"}
        rows[self.entry.key] = {**_row(self.entry), **rows.get(self.entry.key, {}), **said(remembered, after, "whole")}
        return Step(parts, rows, tuple(told), head, last=True)

    def _aggregate(self, rows: Mapping[str, Any], units: Mapping[str, State], days: dict[Unit, Day]) -> Snapshot | None:
        """The aggregate of a whole read; of a part of the units nothing is said, and nothing of none."""
        if self.met.absent is not None:
            return None
        listed = {row["id"]: Listed(row["id"], row["name"], row["state"]) for row in rows.values()}
        latest = {estate.of_row(row): None for row in rows.values() if row["kind"] not in ("aggregate", "organization")}
        for unit in latest:
            if unit not in days and (newest := _newest(units.get(step(unit.key)))) is not None:
                days[unit] = newest.day
        today = max((day.day for day in days.values()), default=self.now[:10])
        made = aggregate.snapshot(
            {unit: days[unit] for unit in latest if unit in days}, listed, self.entry.id, today, self.source
        )
        before = (aggregate.day(then, listed, self.entry.id, day) for day, then in self._before(today))
        return evolve(made, days=(*(day for day in before if day.controls), *_days_of(made))) if made.days else None

    def _before(self, today: str) -> Iterator[tuple[str, dict[Unit, Day]]]:
        """The earlier days of this read, where it holds several: each with what its units were then."""
        for day in sorted({day.day for s in self.met.snapshots for day in _days_of(s) if day.day < today}):
            lately = ((estate.unit_of(s), [d for d in _days_of(s) if d.day <= day]) for s in self.met.snapshots)
            yield day, {unit: found[-1] for unit, found in lately if found}

    def _folded(self, before: State, snapshot: Snapshot, unit: Unit) -> tuple[State, Sequence[Change], Memory]:
        """A unit's state after a snapshot, what is told, and what is remembered. Raises TenantDamaged."""
        old = memory.decode(before)
        seen = observe(old, snapshot, self.rules(unit), self.now)
        after = memory.encode(before, old, seen.memory, {})
        if seen.memory.newest is not None:
            after = memory.forget_before(after, self.forget(seen.memory.newest.day.day))
        return after, seen.changes, seen.memory


def digest_of(snapshot: Snapshot) -> str:
    """What was read of a unit, in short: the same only where there is nothing to be folded again."""
    said = (snapshot.days, snapshot.catalogue, snapshot.partial, snapshot.standards)
    return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def said(remembered: Memory, state: State, digest: str) -> dict[str, Any]:
    """What a row says of the scores: those of the newest accepted day. While something waits for the next read, such as
    a refusal, it is folded again whatever is read (`read` is empty).
    """
    head = memory.head(state)
    waits = "pages" in head or bool(remembered.doubted_at)  # memory.py forgets the pages of what is looked at again
    day = remembered.newest.day if remembered.newest is not None else None
    return {
        "newest": day.day if day else None,
        "score": day.score if day else None,
        "max": day.max_score if day else None,
        "refused": memory.refused(head),
        "read": "" if waits else digest,
    }


def _row(unit: Unit) -> dict[str, Any]:
    """That of the unit that stands for all of an entry, where it was computed from the others."""
    row = {"kind": unit.kind, "id": unit.id, "name": unit.name, "score_name": unit.score, "model": unit.model}
    return {**row, "state": "", "gone_since": "", "whole": True}


def _days_of(snapshot: Snapshot) -> tuple[Day, ...]:
    return snapshot.days if isinstance(snapshot.days, tuple) else ()


def _read_day(unit: Unit, snapshot: Snapshot) -> dict[Unit, Day]:
    found = _days_of(snapshot)
    return {unit: found[-1]} if found else {}


def _newest(state: State | None) -> Version | None:
    """The newest day of a unit that this read does not hold."""
    return memory.decode(state, since="9999").newest if state is not None and state.parts else None
