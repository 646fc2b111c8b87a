"""What is remembered of one tenant between polls, and its form as the named byte parts of a `State`.

Parts: "head" (small JSON: read on every poll), "newest" (the newest accepted day in full detail and the baselines),
"catalogue", "past" (what left the catalogue, how often what may return was told, and which exceptions were told as
due), and "days/YYYY-MM" (closed days, months.py). A part is rewritten only when its content changed, and closed months
are decoded only when asked for. No decisions and no I/O live here.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from operator import attrgetter
from typing import Any

from attrs import Factory, asdict, astuple, evolve, fields, frozen

from connector.errors import StateRefused, TenantDamaged
from connector.foreign.links import web_address
from connector.formats import gzipped, jsonl
from connector.formats.lately import Lately
from connector.model import Control, Profile, Standard, StateUpdate, Version
from connector.observe.months import PARTS_KNOWN, Days, control_row, damaged, dumps, loads, version_data, version_of
from connector.ports import HEAD, State

FORMAT = 1
STANDS = frozenset({HEAD, "newest", "catalogue"})
"""The parts that say how a tenant stands."""
OF_OTHERS = "u/"
"""What the parts of the further units of an entry begin with: each is decoded by itself (units.py)."""


@frozen
class Baseline:
    """A control as last reported: the reference of the hysteresis. `ref` is the version it was reported from.

    `services` are those licensed then: a drift is explained from here, whether or not that day is still known.
    """

    control: Control
    day: str
    ref: str
    services: tuple[str, ...] = ()


@frozen
class Refusal:
    """A suspicious part that is being refused: since when so much is lost, which controls (or profiles), why, and what
    its maximum is.

    `approved` covers exactly this, or less.
    """

    first_at: str
    problem_id: str
    lost: tuple[str, ...]
    approved: bool = False
    reason: str = ""
    maximum: float | None = None


@frozen
class Departed:
    """A profile that left the catalogue, as it was in the last read that held it, and when that was."""

    profile: Profile
    seen_at: str


@frozen
class Memory:
    """`days` holds closed days by date; `newest` is the newest accepted day.

    `first_newest` is the newest day at first contact: older days are backfilled. `observed` is the ref under which
    the newest day was last sent as score.observed. `refusal` is that of a day, `catalogue_refusal` that of the
    catalogue, `standing` those of other days, for as long as the feed holds the document. `refused` are the latest
    refused versions (day#docId#hash), which are not late days when a good one followed. `doubted_at`: since when no
    document stands for the newest day. `catalogue_partial`: the catalogue was never read whole so far.

    `targets` names the posture targets now missed → the score before; `due` the controls whose exception was told as
    due → the identity of its entry. `departed` are profiles that left the catalogue,
    `seen_at` is when that was last read whole. `foreign` profiles are known in an earlier language only. `tellings`:
    how often a fact that may return was told, by its id, and the day after which it cannot return ("" for never); None
    in what an older version stored. `held` and `standards_held` are the controls and standards that the last read
    lacked for the first time; `standards` those of compliance as last told, None where none ever came.
    """

    first_newest: str | None = None
    newest: Version | None = None
    observed: str = ""
    days: Mapping[str, Version] = Factory(dict)
    baselines: Mapping[str, Baseline] = Factory(dict)
    profiles: Mapping[str, Profile] | None = None
    catalogue_partial: bool = False
    language: str = ""
    refusal: Refusal | None = None
    catalogue_refusal: Refusal | None = None
    refused: tuple[str, ...] = ()
    targets: Mapping[str, float] = Factory(dict)
    standing: Mapping[str, Refusal] = Factory(dict)
    doubted_at: str = ""
    departed: Mapping[str, Departed] = Factory(dict)
    seen_at: str = ""
    foreign: tuple[str, ...] = ()
    tellings: Mapping[str, tuple[int, str]] | None = Factory(dict)
    due: Mapping[str, str] = Factory(dict)
    held: tuple[str, ...] = ()
    standards: Mapping[str, Standard] | None = None
    standards_held: tuple[str, ...] = ()

    def versions(self) -> dict[str, Version]:
        """Every known day, oldest first: the closed ones and the newest."""
        known = dict(self.days)
        if self.newest is not None:
            known[self.newest.day.day] = self.newest
        return dict(sorted(known.items()))

    def first_day(self) -> str | None:
        """The earliest known day."""
        return next(iter(Days.of(self.days)), None if self.newest is None else self.newest.day.day)

    def before(self, day: str) -> Iterator[Version]:
        """The closed days before a day, latest first; stored months are decoded as far as somebody asks."""
        return Days.of(self.days).before(day)

    def between(self, first: str, last: str) -> list[Version]:
        """The known days from `first` to `last`, both included, oldest first; other months are not decoded."""
        closed = takewhile(lambda v: v.day.day <= last, Days.of(self.days).after(f"{first[:7]}-00"))
        known = {v.day.day: v for v in (*closed, *([self.newest] if self.newest is not None else []))}
        return [known[day] for day in sorted(known) if first <= day <= last]


def head(state: State | None) -> dict[str, Any]:
    """The small part that every poll and `status` read; {} for a new tenant. Raises TenantDamaged."""
    if state is not None and not state.lost.keys().isdisjoint({"", HEAD}):
        raise damaged("part 'head' of a tenant", ValueError(state.lost.get(HEAD) or state.lost[""]))
    if state is None or HEAD not in state.parts:
        return {}
    found: Any = loads(state.parts[HEAD], HEAD, packed=False)
    if not isinstance(found, dict):
        raise damaged("part 'head' of a tenant", TypeError("not an object"))
    if found.get("format") != FORMAT:
        raise StateRefused(
            f"tenant memory has format {found.get('format')!r}, this version reads {FORMAT}",
            "run the newer version, or restore the backup of the state",
        )
    return dict(found)


def readable_head(state: State | None) -> dict[str, Any]:
    """The head, for those that only show: of a damaged one, that it is damaged (`error`, `hint`)."""
    try:
        return head(state)
    except TenantDamaged as error:
        return {"error": error.what, "hint": error.hint}


def with_head(state: State, values: Mapping[str, Any]) -> State:
    """The state with its head replaced (the other parts untouched)."""
    body = json.dumps({"format": FORMAT, **values}, sort_keys=True, separators=(",", ":")).encode()
    return evolve(state, parts={**state.parts, HEAD: body})


def stands(part: str) -> bool:
    """Whether a part says how a tenant stands: its newest day, its catalogue."""
    return part in STANDS


def stood(part: str) -> bool:
    """Whether a part says how a tenant stands, or how it stood on a closed day."""
    return part in STANDS or part.startswith("days/")


def decode(state: State | None, since: str = "") -> Memory:
    """The memory of a tenant; without the closed days of months before `since` (a day). Raises TenantDamaged."""
    assert state is None or state.whole
    return _decoded(state, since, to_fold=True)


def shown(state: State | None, since: str = "") -> Memory:
    """The same for those that only show it, of a state with the parts that they asked for (`stands`, `stood`): without
    what the next poll compares with. Such a memory is never encoded.
    """
    return _decoded(state, since, to_fold=False)


def _decoded(state: State | None, since: str, *, to_fold: bool) -> Memory:
    lost = {} if state is None else state.lost
    for part, why in lost.items():
        if not part.startswith(OF_OTHERS) and (not part.startswith("days/") or part[5:] >= since[:7]):
            raise damaged(f"part {part or 'of everything'!r} of a tenant", ValueError(why))
    if state is None or not state.parts:
        return Memory()
    try:
        return _memory(head(state), state.parts, since, to_fold=to_fold)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise damaged("of a tenant", error) from error


def approve(state: State) -> State | None:
    """The state in which every waiting refusal is approved by the operator; None when nothing is being refused."""
    top = head(state)
    waiting = {key: {**top[key], "approved": True} for key in ("refusal", "catalogue_refusal") if top.get(key)}
    return with_head(state, {**top, **waiting}) if waiting else None


def refused(top: Mapping[str, Any]) -> list[dict[str, str]]:
    """What of a tenant is being refused, by its head: `part` (a day, "newest day" or "catalogue"), why, since when."""
    waiting = [("newest day", top.get("refusal")), ("catalogue", top.get("catalogue_refusal"))]
    waiting += top.get("standing", {}).items()
    return [
        {"part": part, "reason": entry.get("reason") or "suspicious", "since": entry["first_at"]}
        for part, entry in waiting
        if entry
    ]


def _memory(top: Mapping[str, Any], parts: Mapping[str, bytes], since: str, *, to_fold: bool) -> Memory:
    newest = loads(parts["newest"], "newest") if "newest" in parts else {}
    past = loads(parts["past"], "past") if to_fold and "past" in parts else {}
    bodies = {name[5:]: body for name, body in parts.items() if name.startswith("days/") and name[5:] >= since[:7]}
    services = [tuple(one) for one in newest.get("services", [])]
    # Versions before kept no services with a reference: none says nothing.
    reported = [(day, ref, services[n[0]] if n else ()) for day, ref, *n in newest.get("refs", [])]
    return Memory(
        first_newest=top.get("first_newest"),
        newest=version_of(newest["version"], [Control(*row) for row in newest["version"]["controls"]])
        if newest.get("version")
        else None,
        observed=newest.get("observed", ""),
        days=Days.stored(bodies),
        baselines={
            row[0]: Baseline(Control(*row), *reported[number])
            for row, number in (newest.get("baselines", []) if to_fold else [])
        },
        profiles=_catalogue(parts["catalogue"]) if "catalogue" in parts else None,
        catalogue_partial=bool(top.get("catalogue_partial")),
        language=top.get("language", ""),
        refusal=_refusal(top.get("refusal")),
        catalogue_refusal=_refusal(top.get("catalogue_refusal")),
        refused=tuple(newest.get("refused", ())),
        targets=newest.get("targets", {}),
        standing={day: refusal for day, data in top.get("standing", {}).items() if (refusal := _refusal(data))},
        doubted_at=top.get("doubted_at", ""),
        departed={data["id"]: Departed(_profile(data), seen_at) for data, seen_at in past.get("departed", ())},
        seen_at=top.get("seen_at", ""),
        foreign=tuple(past.get("foreign", ())),
        tellings={key: (times, day) for key, times, day in past["tellings"]} if past else None,
        due=past.get("due", {}),
        held=tuple(newest.get("held", ())),
        standards=None if newest.get("standards") is None else {row[0]: Standard(*row) for row in newest["standards"]},
        standards_held=tuple(newest.get("standards_held", ())),
    )


def encode(state: State | None, old: Memory, new: Memory, head_values: Mapping[str, Any]) -> State:
    """The state that remembers `new`; parts whose content equals that of `old` keep their bytes."""
    base = state or State()
    assert base.whole
    parts = dict(base.parts)
    if new.profiles is not old.profiles and new.profiles is not None:
        parts["catalogue"] = dumps([_profile_data(p) for p in new.profiles.values()])
    if _newest_of(new) != _newest_of(old) or "newest" not in parts:
        services: dict[tuple[str, ...], int] = {}
        refs: dict[tuple[str, str, int], int] = {}
        baselines = []
        for b in new.baselines.values():
            place = (b.day, b.ref, services.setdefault(b.services, len(services)))
            baselines.append([_reported_row(b.control), refs.setdefault(place, len(refs))])
        parts["newest"] = dumps(
            {
                "version": version_data(new.newest) if new.newest else None,
                "observed": new.observed,
                "refs": [list(r) for r in refs],
                "services": list(services),
                "baselines": baselines,
                "refused": new.refused,
                "targets": dict(new.targets),
                **({"held": new.held} if new.held else {}),
                **({} if new.standards is None else {"standards": [astuple(s) for s in new.standards.values()]}),
                **({"standards_held": new.standards_held} if new.standards_held else {}),
            }
        )
    if _past_of(new) != _past_of(old) or "past" not in parts:
        parts["past"] = dumps(
            {
                "departed": [[_profile_data(left.profile), left.seen_at] for left in new.departed.values()],
                "foreign": new.foreign,
                "tellings": [[key, times, day] for key, (times, day) in (new.tellings or {}).items()],
                "due": dict(new.due),
            }
        )
    for month, body in Days.of(new.days).encoded(Days.of(old.days)).items():
        if body is None:
            parts.pop(f"days/{month}", None)
        else:
            parts[f"days/{month}"] = body
    values = {
        **head_values,
        "first_newest": new.first_newest,
        "newest": new.newest.day.day if new.newest else None,
        "catalogue_partial": new.catalogue_partial,
        "language": new.language,
        "refusal": asdict(new.refusal) if new.refusal else None,
        "catalogue_refusal": asdict(new.catalogue_refusal) if new.catalogue_refusal else None,
        "standing": {day: asdict(refusal) for day, refusal in new.standing.items()},
        "doubted_at": new.doubted_at,
        "seen_at": new.seen_at,
    }
    if new.refusal or new.catalogue_refusal or new.held or new.standards_held:
        values["pages"] = {}  # what is refused is looked at again, even where its bytes do not change
    return with_head(evolve(base, parts=parts), values)


def forget_before(state: State, day: str) -> State:
    """The state without the months that lie wholly before `day`."""
    kept = {k: v for k, v in state.parts.items() if not (k.startswith("days/") and k[5:] < day[:7])}
    return state if len(kept) == len(state.parts) else evolve(state, parts=kept)


_status = attrgetter("status")


def slim(version: Version) -> Version:
    """A closed day without its status texts (tenant names and policies): counts stay, prose is evidence elsewhere."""
    if not any(map(_status, version.day.controls.values())):
        return version
    controls = {n: c if c.status is None else _without_status(c) for n, c in version.day.controls.items()}
    return evolve(version, day=evolve(version.day, controls=controls, more={}))


def _without_status(c: Control) -> Control:
    return Control(*c[:7], None, *c[8:])


def _reported_row(control: Control) -> list[Any]:
    """A control's row without its status text."""
    row = control_row(control)
    return row[:7] if len(row) <= 8 else [*row[:7], None, *row[8:]]


def _newest_of(memory: Memory) -> tuple[Any, ...]:
    told = (memory.newest, memory.observed, memory.baselines, memory.refused, memory.targets)
    return (*told, memory.held, memory.standards, memory.standards_held)


def _past_of(memory: Memory) -> tuple[Any, ...]:
    return (memory.departed, memory.foreign, memory.tellings, memory.due)


# -------------------------------------------------------------------------------------------------- values ↔ JSON


def _refusal(data: Mapping[str, Any] | None) -> Refusal | None:
    return Refusal(**{**data, "lost": tuple(data["lost"])}) if data else None


_PROFILE_FIELDS = tuple(f.name for f in fields(Profile) if f.name not in ("updates", "assessments"))
_profile_values = attrgetter(*_PROFILE_FIELDS)


def _profile_data(profile: Profile) -> dict[str, Any]:
    """Field by field: attrs' recursive asdict costs ten times as much on 400 profiles."""
    updates = [
        [u.state, u.at, u.by, u.comment, u.assigned_to, *([True] if u.at_unusable else [])] for u in profile.updates
    ]
    data = {**dict(zip(_PROFILE_FIELDS, _profile_values(profile), strict=True)), "updates": updates}
    return {**data, "assessments": profile.assessments} if profile.assessments else data


_BEGIN, _NEXT, _END = b'[{"id":', b'},{"id":', b"}]"
MAX_MET = 2_048
"""Several times the rows of a catalogue: thousands of tenants bring some of their own each, which stay for a while."""
_met: Lately[bytes, Profile] = Lately(MAX_MET)
"""Profiles by the hash of their row: most of the catalogue is the same for all tenants, and the same as at the last
poll."""


@lru_cache(maxsize=PARTS_KNOWN)
def _catalogue(body: bytes) -> Mapping[str, Profile]:
    """The profiles of a stored catalogue; rows that were met before, in whichever tenant, are not parsed again.

    If every piece between two row beginnings is an object, then the whole is the list of them; if one is not, the text
    was cut in a wrong place, and is parsed as a whole.
    """
    try:
        raw = gzipped.inflate(body)
        if raw.startswith(_BEGIN) and raw.endswith(_END):
            rows = raw[len(_BEGIN) : -len(_END)].split(_NEXT)
            return {profile.id: profile for profile in map(_profile_of, rows)}
    except (ValueError, RecursionError, zlib.error):
        pass
    return {data["id"]: _profile(data) for data in loads(body, "catalogue")}


def _profile_of(row: bytes) -> Profile:
    """That of a row without its beginning and its end. Raises ValueError for what is no object."""
    key = hashlib.sha256(row).digest()
    profile = _met.get(key)
    if profile is None:
        profile = _profile(jsonl.loads(b'{"id":%b}' % row))
        _met.keep(key, profile)
    return profile


def _profile(data: Mapping[str, Any]) -> Profile:
    updates = tuple(StateUpdate(*u) for u in data["updates"])
    link = web_address(data["action_url"])  # version 0.1.0 remembered any scheme
    lists = {"threats": tuple(data["threats"]), "updates": updates, "assessments": tuple(data.get("assessments", ()))}
    return Profile(**{**data, **lists, "action_url": link})
