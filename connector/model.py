"""The values everything else passes around: what was read, what changed, what is delivered.

Only frozen values live here: no I/O, no clock, no configuration, no parsing.

Points are Secure Score points, percentages run 0-100, days are ISO dates ("2026-11-22", UTC) and moments are
ISO 8601 UTC text with a trailing "Z". `None` always means "unknown", never zero.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress
from operator import is_not
from typing import Any, NamedTuple

from attrs import Factory, field, frozen

STREAMS = ("score", "inventory", "change", "health")

STREAM_OF_TYPE: Mapping[str, str] = {
    "score.observed": "score",
    "control.observed": "inventory",
    "compliance.observed": "inventory",
    "score.changed": "change",
    "control.score_changed": "change",
    "control.added": "change",
    "control.removed": "change",
    "control.evidence_changed": "change",
    "control.state_changed": "change",
    "profile.added": "change",
    "profile.removed": "change",
    "profile.changed": "change",
    "tenant.changed": "change",
    "unit.added": "change",
    "unit.removed": "change",
    "compliance.changed": "change",
    "posture.target_missed": "change",
    "posture.target_met": "change",
    "posture.exception_due": "change",
    "feed.gap": "health",
    "feed.stale": "health",
    "feed.recovered": "health",
    "feed.partial": "health",
    "feed.suspicious": "health",
    "connector.heartbeat": "health",
    "connector.problem": "health",
    "connector.recovered": "health",
    "connector.write_back": "health",
    "connector.report_written": "health",
}
"""Every event type we emit (without the "securescore." prefix of the wire form) and the stream it belongs to."""


# ---------------------------------------------------------------------------------------------- what a source reads

SUBSCRIPTION = "Subscription"
"""The category of a control that is a whole subscription: one of the parts of the score over all of them."""


class Control(NamedTuple):
    """One scored control of one day, keyed by `name` (Graph `controlName`, byte for byte; Defender for Cloud: a GUID).

    `on`, `count`, `total` and `status` exist only while the day is the newest one; Graph strips them afterwards.
    `not_applicable` (resources) and `max_score` (of this day, which may be 0) are stated by Defender for Cloud alone.
    A tuple, for thousands of them are made, compared and looked up.
    """

    name: str
    category: str
    score: float | None
    percent: float | None
    on: bool | None = None
    count: int | None = None  # type: ignore[assignment]  # a tuple's own is of no use here
    total: int | None = None
    status: str | None = None
    not_applicable: int | None = None
    max_score: float | None = None


@frozen
class Average:
    """One comparative average; `percent` is None where Graph sent nothing usable (-1 is its "unknown")."""

    basis: str
    percent: float | None
    detail: Mapping[str, float | str | None] = Factory(dict)


@frozen
class Day:
    """One daily `secureScore` document. `services` is sorted and free of duplicates.

    `flags` name what is odd about the data (sorted): "inconsistent" (control scores do not sum to the total),
    "duplicate_control", "date_mismatch", "future_dated", "bad_date", "bad_number", "sentinel". `weight` is what a
    subscription counts for in the aggregate; it is no part of the content hash. `more` is what Graph says beside of
    each control of the newest day, in its own names: it is told as it was read, and neither compared nor kept.
    """

    id: str
    day: str
    score: float | None
    max_score: float | None
    controls: Mapping[str, Control]
    services: tuple[str, ...] = ()
    active_users: int | None = None
    licensed_users: int | None = None
    averages: tuple[Average, ...] = ()
    flags: tuple[str, ...] = ()
    detailed: bool = False
    weight: float | None = None
    more: Mapping[str, Mapping[str, str | float | bool]] = field(factory=dict, eq=False, repr=False)

    @property
    def percent(self) -> float | None:
        """Score as a percentage of the maximum, unrounded; None when either is unknown or the maximum is (nearly) 0."""
        if self.score is None or self.max_score is None or self.max_score < 0.0001:
            return None
        return 100.0 * self.score / self.max_score


def moved(before: Mapping[str, Control], after: Mapping[str, Control]) -> list[str]:
    """Names of those controls of `after` that may differ from `before`, in its order. What is one object in both was
    read once, so it did not move.
    """
    if list(before) == list(after):  # nearly always; then nothing need be looked up
        return list(compress(after, map(is_not, after.values(), before.values())))
    return [name for name, control in after.items() if before.get(name) is not control]


PORTAL: Mapping[str, str] = {
    "Default": "To address",
    "Ignored": "Risk accepted",
    "ThirdParty": "Resolved through third party",
    "Reviewed": "Resolved through alternate mitigation",
}
"""What the portal calls a state of the API."""

STATES: Mapping[str, str] = {
    "default": "Default",
    "ignored": "Ignored",
    "third-party": "ThirdParty",
    "reviewed": "Reviewed",
}
"""What an operator writes → what the API takes. The portal's "Planned" has no value in the API."""


UNKNOWN = "unknown"
"""The state of an entry that states none, and of a history whose order nobody can tell."""


@frozen
class StateUpdate:
    """One entry of a profile's state history; `state` is Default, Ignored, ThirdParty, Reviewed, as sent, or UNKNOWN.

    `at` is None where Graph states no date; `at_unusable`: it states one that nobody can read.
    """

    state: str
    at: str | None = None
    by: str | None = None
    comment: str | None = None
    assigned_to: str | None = None
    at_unusable: bool = False


@frozen
class Profile:
    """One catalogue entry. Long texts are kept as SHA-256 of their bytes: enough to see that they changed.

    `assessments` are the ids of the recommendations behind it, sorted (Defender for Cloud alone).
    """

    id: str
    title: str
    category: str = ""
    service: str = ""
    tier: str = ""
    max_score: float | None = None
    rank: int | None = None
    action_type: str = ""
    action_url: str = ""
    user_impact: str = ""
    implementation_cost: str = ""
    threats: tuple[str, ...] = ()
    deprecated: bool | None = None
    remediation_sha256: str = ""
    remediation_impact_sha256: str = ""
    updates: tuple[StateUpdate, ...] = ()
    assessments: tuple[str, ...] = ()


@frozen
class Version:
    """One revision of one day as we saw it; `hash` is its content hash (ids.py).

    `seen` is when this revision was first seen, of a day that was the newest then; "" for one that had closed.
    """

    day: Day
    hash: str
    revision: int = 0
    seen: str = ""

    @property
    def until(self) -> str:
        """The moment up to which what happened may show in it: the newest day goes on after its own midnight."""
        return max(f"{self.day.day}T23:59:59Z", self.seen)

    @property
    def ref(self) -> str:
        """What ids call it: docId#hash#revision."""
        return f"{self.day.id}#{self.hash}#{self.revision}"


@frozen
class Unchanged:
    """A part whose bytes equal those of the last complete read: nothing was parsed."""


@frozen
class Absent:
    """A part that could not be read completely. `reason` is a stable word, `detail` says what was seen.

    Reasons: "partial" (206), "unavailable", "throttled", "denied", "truncated", "not_json", "empty_after_full",
    "too_large", "paging", "not_read", "not_understood", "incomplete". `hint` is the next step where there is one beside
    waiting.
    """

    reason: str
    detail: str = ""
    retry_after_s: float | None = None
    hint: str = ""


@frozen
class Note:
    """Something odd about the input that a person should see, as a sentence; what was read counts all the same.

    `part` is "days", "catalogue", or "" for what was passed over and may have been either.
    """

    part: str
    text: str


@frozen
class EvidenceFile:
    """One complete response body as received, named as `source: files` expects it."""

    name: str
    body: bytes


@frozen
class Known:
    """What a source may know of earlier reads, so that it asks for less and parses nothing twice.

    `pages` maps a page's stable name to the SHA-256 of the body last read *completely*. `days_missing`: days before the
    newest one are still missing, because the read that should have brought them broke off.
    """

    newest_day: str | None = None
    had_days: bool = False
    had_profiles: bool = False
    pages: Mapping[str, str] = Factory(dict)
    days_missing: bool = False


@frozen
class Unit:
    """What has a score of its own below a tenant. A Graph tenant is one unit and has none of these.

    `kind` is subscription, aggregate, organization or device_group; `id` is in lower case (a subscription's GUID, the
    tenant's GUID for an aggregate or organization, a device group's id); `name` is what people call it, "" if nothing
    does; `score` is the score's own name (ascScore, exposureScore), `model` how it is computed (classic, unknown).
    """

    kind: str
    id: str
    name: str = ""
    score: str = ""
    model: str = "unknown"

    @property
    def key(self) -> str:
        """What it is remembered under: the same whatever it is called."""
        return f"{self.id}/{self.score}"

    @property
    def lower_is_better(self) -> bool:
        """Whether this score measures what is wrong: then a rise is a step back."""
        return self.score == EXPOSURE


EXPOSURE = "exposureScore"
"""The score of Defender for Endpoint: 0..100, and the only one of which less is better."""


WHOLE = frozenset({"aggregate", "organization"})
"""The kinds of units that stand for all of a tenant's entry: what is said of the entry is said of them."""

OF_UNITS = frozenset({"defender_cloud", "defender_endpoint"})
"""The sources that bring several units. An entry of one of them may have the tenant_id of another entry."""


def entry_key(tenant_id: str, source: str) -> str:
    """Under which key a store keeps the state and events of an entry of `tenants`."""
    return f"{tenant_id}.{source}" if source in OF_UNITS else tenant_id


@frozen
class Standard:
    """What a regulatory compliance standard says of one subscription: how many of its controls are in which state."""

    id: str
    state: str = ""
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    unsupported: int | None = None


@frozen
class Listed:
    """A subscription as it is listed, whether or not it has a score; `state` as sent (Enabled, Disabled, Warned, …)."""

    id: str
    name: str = ""
    state: str = ""


@frozen
class Snapshot:
    """Everything a source held at one moment. Each part is complete, unchanged or absent; days run oldest first.

    A part named in `partial` ("days", "catalogue") is there, but not whole, for the reason given: every entry of it
    counts, and what it lacks proves nothing. Its `pages` are as known before, so that it is read again.
    `unit` is None for a source of one unit. `standards` by id, None where they were not asked for.
    """

    source: str
    days: tuple[Day, ...] | Unchanged | Absent
    catalogue: Mapping[str, Profile] | Unchanged | Absent
    pages: Mapping[str, str] = Factory(dict)
    evidence: tuple[EvidenceFile, ...] = ()
    notes: tuple[Note, ...] = ()
    partial: Mapping[str, Absent] = Factory(dict)
    unit: Unit | None = None
    standards: Mapping[str, Standard] | Absent | None = None

    @property
    def incomplete(self) -> dict[str, Absent]:
        """Why parts are absent or not whole, by the part's name."""
        parts = {"days": self.days, "catalogue": self.catalogue}
        return {**self.partial, **{name: part for name, part in parts.items() if isinstance(part, Absent)}}


@frozen
class Reading:
    """What a source of several units held at one moment.

    `units` are those that were read, each a snapshot with its unit (never the aggregate, which is computed). `listed`
    are all subscriptions that can be seen now, by id, scored or not; None where the source has no such list. `partial`
    says why what is missing from `units` proves nothing; Unchanged as `units` means that no byte differs from the last
    complete read of the same day. Pages, evidence and notes are those of the whole.
    """

    source: str
    units: tuple[Snapshot, ...] | Unchanged | Absent
    listed: Mapping[str, Listed] | Unchanged | Absent | None = None
    partial: Absent | None = None
    pages: Mapping[str, str] = Factory(dict)
    evidence: tuple[EvidenceFile, ...] = ()
    notes: tuple[Note, ...] = ()


# --------------------------------------------------------------------------------------------- what the engine makes


@frozen
class Change:
    """One difference between two snapshots: no id, no clock. `before`/`after` identify what was compared (ids.py).

    `occurrence`: how often the same was told before, where it returned after its opposite.
    """

    type: str
    subject: str
    before: str
    after: str
    day: str
    data: Mapping[str, Any]
    backfilled: bool = False
    occurred_at: str | None = None
    occurrence: int = 0


@frozen
class Event:
    """A committed fact: one CloudEvents 1.0 document (DESIGN §6), never altered afterwards.

    `type` is without the "securescore." prefix; `data` is the event's `data` object.
    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: Mapping[str, Any]

    @property
    def stream(self) -> str:
        return str(self.data["stream"])

    @property
    def tenant_id(self) -> str:
        """The tenant's GUID; "" for a connector-scope event."""
        tenant = self.data["tenant"]
        return str(tenant["id"]) if tenant else ""

    @property
    def entry(self) -> str:
        """The key of the entry of `tenants` it belongs to (`entry_key`); "" for a connector-scope event."""
        return entry_key(self.tenant_id, str(self.data["source"])) if self.data.get("unit") else self.tenant_id

    @property
    def unit_key(self) -> str:
        """The key of its unit (`Unit.key`); "" for an event of a tenant that is one unit, and the connector's own."""
        unit = self.data.get("unit")
        return f"{unit['id']}/{unit['score'] or ''}" if unit else ""

    @property
    def severity(self) -> int:
        return int(self.data["severity"])

    @property
    def backfilled(self) -> bool:
        return bool(self.data["backfilled"])


# ------------------------------------------------------------------------------------------------ what sinks exchange


@frozen
class Record:
    """An event as one sink will see it. `payload` is text for text formats, a JSON-able dict otherwise.

    `encoded` is such a dict as jsonl.dumps writes it (ASCII), made once for all who need its bytes or its size; None
    where nobody made it. The payload may share its inner values with the event: nobody alters it.
    """

    event_id: str
    stream: str
    tenant: str
    time: str
    severity: int
    payload: str | Mapping[str, Any]
    encoded: bytes | None = field(default=None, eq=False, repr=False)


@frozen
class Receipt:
    """What a sink says became of a batch, by event id. An id in neither part is sent again.

    `retry_after_s` is the far end's wish to be left alone, where it took only a part. `warning`: what was taken did not
    reach everybody it is meant for; an operator is told in these words.
    """

    accepted: frozenset[str] = frozenset()
    rejected: Mapping[str, str] = Factory(dict)
    retry_after_s: float | None = None
    warning: str = ""


def accept_all(records: Sequence[Record]) -> Receipt:
    """The receipt of a batch that was taken whole."""
    return Receipt(accepted=frozenset(r.event_id for r in records))


@frozen
class Digest:
    """When a sink is offered what has gathered: `every` hour, day or Monday (hourly, daily, weekly), at a minute of it.

    Until then events wait in the outbox, like all that is not delivered yet.
    """

    every: str
    minute: int = 0

    def last(self, moment: datetime) -> datetime:
        """The latest time of a digest that is not after a moment (aware, UTC)."""
        if self.every == "hourly":
            return moment.replace(minute=0, second=0, microsecond=0)
        today = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(minutes=self.minute)
        days = moment.weekday() if self.every == "weekly" else 0
        found = today - timedelta(days=days)
        return found if found <= moment else found - self.period

    def next(self, moment: datetime) -> datetime:
        """The first time of a digest after a moment."""
        return self.last(moment) + self.period

    @property
    def period(self) -> timedelta:
        return {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}.get(self.every, timedelta(days=7))

    def due(self, observed: datetime, now: datetime) -> datetime:
        """From when on an event that was observed then is offered; one from the future (a clock was set back), now."""
        return min(self.next(observed), now) if observed > now else self.next(observed)
