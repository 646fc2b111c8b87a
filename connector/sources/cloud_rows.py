"""Rows of Resource Graph → the scored units of Defender for Cloud: every rule of that wire format. Pure.

No pages here (resource_graph.py) and no requests. Ids are compared in lower case, as their case varies; a subscription
is told by the id of a row, whose it is by its `tenantId`. What is absent stays None; a structure that is broken makes
its own unit unusable, never that of another subscription.
Sources: Microsoft.Security `secureScores` and `secureScoreControls` 2020-01-01, Resource Graph tables
`securityresources` and `resourcecontainers`.
"""

import re
from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from attrs import define, field

from connector.errors import PartialRead
from connector.model import Absent, Control, Day, Listed, Profile, Snapshot, Standard, Unit
from connector.sources.scalars import number, object_of, some, squeezed, text, text_hash, whole

MAX_ROWS = 300_000
MAX_UNITS = 25_000
MAX_CONTROLS = 500
"""Of one unit; there are about 15."""
MAX_ASSESSMENTS = 2_000
MAX_ID = 1_024
SUM_TOLERANCE = 0.05
"""Points that a score may differ from the sum of its controls: each is rounded to two decimals."""

ROLES_HINT = "Assign Reader at the root management group, so that the principal sees whole subscriptions."
SERVICE = "Defender for Cloud"
STANDARD_SCORE = "ascScore"

_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SCORE = re.compile(
    rf"/subscriptions/({_GUID})(/[^?#]*)?/providers/microsoft\.security/securescores/([^/?#]+)"
    r"(?:/securescorecontrols/([^/?#]+))?"
)
_SUBSCRIPTION = re.compile(rf"/subscriptions/({_GUID})")
_STANDARD = re.compile(
    rf"/subscriptions/({_GUID})/providers/microsoft\.security/regulatorycompliancestandards/([^/?#]+)"
)
_ODD = re.compile(r"[^a-z0-9._-]+")


@define
class Foreign:
    """Subscriptions of other directories than the entry's, which a principal of a service provider sees as well."""

    own: str
    seen: dict[str, set[str]] = field(factory=dict)
    mine: int = 0

    def is_mine(self, row: Mapping[str, Any], subscription: str, where: str) -> bool:
        """Whether a row belongs to the entry's directory. Raises PartialRead for one that does not say whose it is."""
        whose = row.get("tenantId")
        if not isinstance(whose, str) or not whose:
            raise PartialRead(f"{where}: does not say to which directory it belongs", "not_json")
        if whose.casefold() == self.own:
            self.mine += 1
            return True
        self.seen.setdefault(text(whose.casefold(), 64), set()).add(subscription)
        return False

    @property
    def note(self) -> str:
        """What was left out, in words; "" for nothing."""
        if not self.seen:
            return ""
        count = len(set().union(*self.seen.values()))
        return (
            f"{count} subscriptions belong to other directories ({some(sorted(self.seen))}) and are left out: each "
            "directory needs an entry of its own"
        )


@define
class _Unit:
    """What the rows of one unit said so far. `broken` is the first thing about it that cannot be used."""

    subscription: str
    score_name: str
    scored: bool = False
    weight: float | None = None
    controls: dict[str, Control] = field(factory=dict)
    profiles: dict[str, Profile] = field(factory=dict)
    flags: set[str] = field(factory=set)
    current: float | None = None
    maximum: float | None = None
    has_row: bool = False
    broken: str = ""

    @property
    def name(self) -> str:
        own = "" if self.score_name == STANDARD_SCORE else f" ({self.score_name})"
        return f"{self.subscription}{own}"

    def adds_up(self) -> bool:
        """Whether the controls make the score, so that none of any worth is missing."""
        scores = [c.score for c in self.controls.values()]
        most = [c.max_score for c in self.controls.values()]
        if self.current is None or self.maximum is None or None in scores or None in most:
            return False
        return (
            abs(fsum(s for s in scores if s is not None) - self.current) <= SUM_TOLERANCE
            and abs(fsum(m for m in most if m is not None) - self.maximum) <= SUM_TOLERANCE
        )


@define
class Scores:
    """The rows of scores and controls, taken in page by page; `snapshots` makes units of them."""

    foreign: Foreign
    today: str
    units: dict[tuple[str, str], _Unit] = field(factory=dict)
    unknown: list[str] = field(factory=list)
    seen: set[str] = field(factory=set)
    rows: int = 0
    last: str = ""
    _definitions: dict[str, tuple[Any, Profile]] = field(factory=dict, repr=False)

    def add(self, rows: Iterable[Any], where: str) -> None:
        """Take in the rows of one page. Raises PartialRead when nothing can be told of the whole any more."""
        on_earlier = self.seen
        here: set[str] = set()
        for index, row in enumerate(rows):
            at = f"{where}, row {index + 1}"
            row_id = _id_of(row, at)
            found = _SCORE.fullmatch(row_id)
            self.rows += 1
            if self.rows > MAX_ROWS:
                raise PartialRead(f"{where}: more than {MAX_ROWS} rows", "too_large")
            if row_id in on_earlier:
                raise PartialRead(f"{at}: came on an earlier page as well, so others were passed over", "paging")
            twice = row_id in here
            here.add(row_id)
            if found is None:
                self.unknown.append(text(row_id, 128))
                continue
            subscription, path, score, control = found.groups()
            if not self.foreign.is_mine(row, subscription, at):
                continue
            self.last = subscription
            unit = self._unit(subscription, _score_name(score, path))
            if twice:
                unit.flags.add("duplicate_control")
                continue
            try:
                properties = object_of(row.get("properties"), f"{at}: `properties`")
                if control is None:
                    _score(unit, properties, at)
                else:
                    self._control(unit, control, properties, at)
            except PartialRead as error:
                unit.broken = unit.broken or error.what
        self.seen |= here

    def _unit(self, subscription: str, score_name: str) -> _Unit:
        key = (subscription, score_name)
        unit = self.units.get(key)
        if unit is None:
            if len(self.units) >= MAX_UNITS:
                raise PartialRead(f"more than {MAX_UNITS} subscriptions with a score", "too_large")
            unit = self.units[key] = _Unit(subscription, score_name)
        return unit

    def _control(self, unit: _Unit, name: str, properties: Mapping[str, Any], where: str) -> None:
        if len(unit.controls) >= MAX_CONTROLS:
            raise PartialRead(f"{where}: more than {MAX_CONTROLS} controls", "too_large")
        score = object_of(properties.get("score") or {}, f"{where}: `score`")
        flags = unit.flags
        healthy = whole(properties.get("healthyResourceCount"), flags)
        unhealthy = whole(properties.get("unhealthyResourceCount"), flags)
        maximum = number(score.get("max"), flags)
        unit.controls[name] = Control(
            name=name,
            category="",
            score=number(score.get("current"), flags),
            percent=_percent(score.get("percentage"), flags),
            count=healthy,
            total=None if healthy is None or unhealthy is None else healthy + unhealthy,
            not_applicable=whole(properties.get("notApplicableResourceCount"), flags),
            max_score=maximum,
        )
        definition = properties.get("definition")
        if definition is not None:
            unit.profiles[name] = self._profile(name, definition, properties, where)

    def _profile(self, name: str, definition: Any, properties: Mapping[str, Any], where: str) -> Profile:
        """The catalogue entry of a control. It is the same in the rows of all subscriptions: parsed once."""
        before = self._definitions.get(name)
        if before is not None and before[0] == definition:
            return before[1]
        said = object_of(
            object_of(definition, f"{where}: `definition`").get("properties") or {}, f"{where}: definition"
        )
        listed = said.get("assessmentDefinitions")
        if listed is not None and not isinstance(listed, list):
            raise PartialRead(f"{where}: `assessmentDefinitions` is no list", "not_json")
        if len(listed or ()) > MAX_ASSESSMENTS:
            raise PartialRead(f"{where}: more than {MAX_ASSESSMENTS} recommendations", "too_large")
        profile = Profile(
            id=name,
            title=squeezed(said.get("displayName") or properties.get("displayName")) or name,
            service=SERVICE,
            max_score=number(said.get("maxScore"), set()),
            remediation_sha256=text_hash(said.get("description")),
            assessments=tuple(sorted({found for item in listed or () if (found := _assessment(item))})),
        )
        self._definitions[name] = (definition, profile)
        return profile

    def snapshots(
        self, source: str, names: Mapping[str, Listed], standards: "Standards | Absent | None", broken_off: bool
    ) -> tuple[tuple[Snapshot, ...], tuple[str, ...]]:
        """(a snapshot of each unit that was read whole, the names of those that were not).

        `broken_off`: pages are missing. Then a unit counts only where its controls make up its score, and the last
        subscription never does. One without a score has no data yet and is in neither.
        """
        found: list[Snapshot] = []
        left_out: list[str] = []
        for unit in self.units.values():
            if not unit.broken and unit.has_row and not unit.scored and not unit.controls:
                continue  # registered, but never started
            lacks_rows = not unit.has_row or (not unit.controls and bool(unit.maximum))
            torn = any(unit.subscription in theirs for theirs in self.foreign.seen.values())  # rows of two directories
            unsure = broken_off and (unit.subscription == self.last or not unit.adds_up())
            if unit.broken or lacks_rows or torn or unsure:
                left_out.append(unit.name)
                continue
            found.append(self._snapshot(source, unit, names, standards))
        return tuple(found), tuple(left_out)

    def _snapshot(
        self, source: str, unit: _Unit, names: Mapping[str, Listed], standards: "Standards | Absent | None"
    ) -> Snapshot:
        if not unit.adds_up():
            unit.flags.add("inconsistent")
        listed = names.get(unit.subscription)
        own: Mapping[str, Standard] | Absent | None = None
        if isinstance(standards, Absent):
            own = standards
        elif standards is not None and self._stands_for(unit):
            own = standards.of.get(unit.subscription, {})
        return Snapshot(
            source=source,
            days=(
                Day(
                    id=f"{unit.subscription}_{self.today}",
                    day=self.today,
                    score=unit.current,
                    max_score=unit.maximum,
                    controls=dict(sorted(unit.controls.items())),
                    flags=tuple(sorted(unit.flags)),
                    detailed=True,
                    weight=unit.weight,
                ),
            ),
            catalogue=dict(sorted(unit.profiles.items())),
            unit=Unit("subscription", unit.subscription, listed.name if listed else "", unit.score_name, "classic"),
            standards=own,
        )

    def _stands_for(self, unit: _Unit) -> bool:
        """Whether this unit carries what is said of its subscription: the one of the standard score, or the first."""
        own = [name for subscription, name in self.units if subscription == unit.subscription]
        return unit.score_name == (STANDARD_SCORE if STANDARD_SCORE in own else own[0])

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.unknown:
            return ()
        return (f"{len(self.unknown)} rows of an unknown form are left out, the first is {self.unknown[0]}",)


@define
class Subscriptions:
    """The rows of subscriptions."""

    foreign: Foreign
    of: dict[str, Listed] = field(factory=dict)

    def add(self, rows: Iterable[Any], where: str) -> None:
        """Take in the rows of one page. Raises PartialRead."""
        for index, row in enumerate(rows):
            at = f"{where}, row {index + 1}"
            found = _SUBSCRIPTION.fullmatch(_id_of(row, at))
            if found is None:
                raise PartialRead(f"{at}: is no subscription", "not_json")
            if len(self.of) >= MAX_UNITS:
                raise PartialRead(f"{where}: more than {MAX_UNITS} subscriptions", "too_large")
            if self.foreign.is_mine(row, found[1], at):
                self.of[found[1]] = Listed(found[1], squeezed(row.get("name")), squeezed(row.get("state")))


@define
class Standards:
    """The rows of regulatory compliance: by subscription, what each standard says of it."""

    foreign: Foreign
    of: dict[str, dict[str, Standard]] = field(factory=dict)
    rows: int = 0

    def add(self, rows: Iterable[Any], where: str) -> None:
        """Take in the rows of one page. Raises PartialRead."""
        for index, row in enumerate(rows):
            at = f"{where}, row {index + 1}"
            self.rows += 1
            if self.rows > MAX_ROWS:
                raise PartialRead(f"{where}: more than {MAX_ROWS} rows", "too_large")
            found = _STANDARD.fullmatch(_id_of(row, at))
            if found is None or not self.foreign.is_mine(row, found[1], at):
                continue
            said = object_of(row.get("properties"), f"{at}: `properties`")
            name = _named(row.get("name"), found[2])
            odd: set[str] = set()
            self.of.setdefault(found[1], {})[name] = Standard(
                id=name,
                state=squeezed(said.get("state")),
                passed=whole(said.get("passedControls"), odd),
                failed=whole(said.get("failedControls"), odd),
                skipped=whole(said.get("skippedControls"), odd),
                unsupported=whole(said.get("unsupportedControls"), odd),
            )


# ---------------------------------------------------------------------------------------------------------- one value


def _id_of(row: Any, where: str) -> str:
    found = object_of(row, where).get("id")
    if not isinstance(found, str) or not 0 < len(found) <= MAX_ID:
        raise PartialRead(f"{where}: its `id` is not a text of 1 to {MAX_ID} characters", "not_json")
    return text(found, MAX_ID).lower().rstrip("/")


def _score_name(name: str, path: str | None) -> str:
    """The score's own name; of a connector (an AWS account, a GCP project) with the connector's name behind it."""
    own = STANDARD_SCORE if name == STANDARD_SCORE.lower() else _ODD.sub("-", name)[:64]
    return f"{own}.{_ODD.sub('-', path.rpartition('/')[2])[:64]}" if path else own


def _named(sent: Any, lower: str) -> str:
    """A name as it is written, where the row says so; its id may be in lower case."""
    name = squeezed(sent)
    return name if name.lower() == lower else text(lower, 256)


def _score(unit: _Unit, properties: Mapping[str, Any], where: str) -> None:
    score = object_of(properties.get("score") or {}, f"{where}: `score`")
    unit.has_row = True
    unit.current, unit.maximum = number(score.get("current"), unit.flags), number(score.get("max"), unit.flags)
    unit.weight = number(properties.get("weight"), unit.flags)
    unit.scored = unit.current is not None or unit.maximum is not None


def _percent(value: Any, flags: set[str]) -> float | None:
    """A share of 1 as 0..100; on the wire it has four decimals."""
    share = number(value, flags)
    if share is not None and share > 1.0001:
        flags.add("bad_number")
        return None
    return None if share is None else round(100.0 * share, 4)


def _assessment(item: Any) -> str:
    """The id of a recommendation: the last step of its path, in lower case; "" for what names none."""
    found = item.get("id") if isinstance(item, dict) else None
    return text(found, MAX_ID).rstrip("/").rpartition("/")[2].lower() if isinstance(found, str) else ""
