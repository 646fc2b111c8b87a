"""What a posture report says, as frozen values: the JSON form is these fields, the HTML and CSV forms show them.

No computing and no rendering live here. Points have four decimals, percentages run 0-100, days are ISO dates, moments
ISO 8601 UTC text. `None` means "unknown", never zero.
"""

from collections.abc import Mapping

from attrs import Factory, frozen

from connector.advice.values import Advice, TargetStanding, WhatIf
from connector.config.values import ChangesConfig, ExceptionsConfig, TargetsConfig
from connector.model import Event, Unit
from connector.observe.causes import Cause
from connector.observe.memory import Memory


@frozen
class Period:
    """Both days belong to it."""

    start: str
    end: str
    days: int


@frozen
class EvidenceFile:
    """One archived response of a tenant.

    `state`: "verified" (its bytes have this hash), "altered", "missing", or "unlisted" (there without a recorded hash:
    of a save that was cut short, or laid there by somebody else).
    """

    day: str
    name: str
    sha256: str
    state: str


@frozen
class Brand:
    """What a report carries of those who make it and those whom it is for; "" where nothing is said.

    `logo` is a picture as a data URI (logo.py), `logo_width` and `logo_height` its size in pixels.
    """

    customer: str = ""
    author: str = ""
    classification: str = ""
    logo: str = ""
    logo_width: int = 0
    logo_height: int = 0


@frozen
class CloudMaterial:
    """What is remembered of an entry of several units: `memory` is that of the `whole`, the unit that stands for it."""

    name: str
    source: str
    whole: Unit
    memory: Memory
    units: tuple[tuple[Unit, Memory], ...] = ()
    no_data: int = 0


@frozen
class Material:
    """All that a tenant's report is made of. `events` may be more than the period's; `problems` are open now.
    `targets` and `exceptions` are what the configuration asks for, `changes` what it calls worth an event.
    `language` is that of Microsoft's texts. `clouds` are the entries of several units that have the tenant's
    id.
    """

    name: str
    tenant_id: str
    labels: Mapping[str, str]
    source: str
    memory: Memory
    events: tuple[Event, ...] = ()
    evidence: tuple[EvidenceFile, ...] = ()
    problems: tuple[str, ...] = ()
    targets: TargetsConfig = Factory(TargetsConfig)
    exceptions: ExceptionsConfig = Factory(ExceptionsConfig)
    changes: ChangesConfig = Factory(ChangesConfig)
    language: str = "en-US"
    clouds: tuple[CloudMaterial, ...] = ()


# ------------------------------------------------------------------------------------------------------ data quality


@frozen
class Gap:
    """A run of days of the period that were not observed."""

    first: str
    last: str
    days: int


@frozen
class Notice:
    """An event of the feed or about a target, in its own words."""

    at: str
    type: str
    severity: int
    summary: str
    event_id: str


@frozen
class Quality:
    """How far the data can be trusted. `issues` are stable words, empty when there is nothing to say.

    Issues: "gaps", "late", "inconsistent", "suspicious", "stale", "partial", "odd". `detailed` counts days read in full
    while they were the newest; of all others Microsoft keeps no counts, so their causes are mostly unknown. `flags`
    maps what is odd about a document to the days it concerns.
    """

    days_in_period: int
    days_observed: int
    issues: tuple[str, ...]
    gaps: tuple[Gap, ...]
    late: tuple[str, ...]
    revised: tuple[str, ...]
    detailed: int
    backfilled: int
    flags: Mapping[str, tuple[str, ...]]
    notices: tuple[Notice, ...]
    open_problems: tuple[str, ...]


# -------------------------------------------------------------------------------------------------------------- score


@frozen
class DayPoint:
    """One observed day. `sha256` is its content hash, the same that event ids are made of.

    `average` is Microsoft's for comparable tenants, of the kind that Brief.comparable names; None where it sent none.
    """

    day: str
    score: float | None
    max_score: float | None
    percent: float | None
    measured: float | None
    asserted: float | None
    controls: int
    revision: int
    detailed: bool
    flags: tuple[str, ...]
    sha256: str
    average: float | None = None


@frozen
class Recorded:
    """What an event of the period said about one control: the day, the cause with its evidence, the event's id."""

    day: str
    label: str
    confidence: str
    evidence: tuple[str, ...]
    event_id: str


@frozen
class Move:
    """One control's share of a change; `recorded` are the causes that events named on the way, oldest first.

    `noise`: too small to be worth an event, by the limits of the configuration.
    """

    control: str
    title: str
    category: str
    service: str
    kind: str  # moved | added | removed
    before: float | None
    after: float | None
    max_score: float | None
    delta: float
    cause: Cause
    recorded: tuple[Recorded, ...]
    noise: bool


@frozen
class Step:
    """The change between two neighbouring observed days. `moves` are its largest contributions, of `moved` in all."""

    before_day: str
    day: str
    delta: float | None
    max_delta: float | None
    percent_delta: float | None
    residual: float | None
    cause: Cause
    moves: tuple[Move, ...]
    moved: int


@frozen
class CauseSum:
    """Points gained and lost for one cause, day by day over the period; `moves` counts contributions."""

    label: str
    gained: float
    lost: float
    net: float
    moves: int


@frozen
class Bridge:
    """From the first observed day of the period to the last: delta == sum of the moves' deltas + residual, exactly.

    `percent` splits the percentage's change into what points and what the maximum did. `causes` follows the same change
    day by day: delta == sum of their nets + `causes_residual`.
    """

    before_day: str
    after_day: str
    before_score: float | None
    after_score: float | None
    before_max: float | None
    after_max: float | None
    delta: float | None
    max_delta: float | None
    residual: float | None
    percent: Mapping[str, float | None]
    cause: Cause
    summary: str
    moves: tuple[Move, ...]
    causes: tuple[CauseSum, ...]
    causes_residual: float | None


@frozen
class Group:
    """A category, service or tier on the last observed day; `before` are its points on the first one.

    delta == score - before == moved + regrouped, where all are known: `moved` is its controls' share of the change,
    `regrouped` what came from other groups, or went there, with controls that Microsoft put elsewhere.
    """

    name: str
    controls: int
    score: float | None
    max_score: float | None
    percent: float | None
    delta: float
    percents: tuple[float | None, ...]
    before: float | None
    moved: float
    regrouped: float


@frozen
class Regrouped:
    """Controls that Microsoft put from one group into another; `by` is category, service or tier, `points` what they
    had before, `names` the first of them.
    """

    by: str
    before: str
    after: str
    controls: int
    points: float | None
    names: tuple[str, ...]
    words: str


# --------------------------------------------------------------------------------------------------------- exceptions


@frozen
class Exemption:
    """A control that somebody declared accepted or solved elsewhere, in force at the period's end.

    `asserted_points` are awarded for the statement and measured by nobody; `forgone_points` is what the control lacks.
    `age_days` counts from the statement to the period's end; None when Graph gives no date. `review_on` is when the
    configuration wants it reviewed; `due` says why somebody must look at it: "review_overdue", "comment_missing".
    """

    control: str
    title: str
    category: str
    service: str
    tier: str
    state: str
    portal: str
    by: str | None
    at: str | None
    age_days: int | None
    comment: str | None
    assigned_to: str | None
    new_in_period: bool
    score: float | None
    max_score: float | None
    asserted_points: float | None
    forgone_points: float | None
    review_on: str | None
    due: tuple[str, ...]


@frozen
class StateChange:
    """One entry of a control's state history that falls into the period."""

    at: str
    control: str
    title: str
    before: str
    after: str
    by: str | None
    comment: str | None


# ------------------------------------------------------------------------------------------------------------ controls


@frozen
class Scored:
    """One scored control on the last observed day. `points` are those still to win, `asserted_points` those of `score`
    that were declared and not measured.

    `standing` is full (measured), asserted (full, and declared), part, none or unknown. `count` of `total` is
    Microsoft's evidence: exposed devices for controls of devices, compliant users for others. `subject` and
    `references` (by framework) are our assignment, indicative.
    """

    control: str
    title: str
    category: str
    service: str
    tier: str
    score: float | None
    max_score: float | None
    percent: float | None
    standing: str
    points: float | None
    asserted_points: float | None
    state: str
    portal: str
    by: str | None
    at: str | None
    comment: str | None
    assigned_to: str | None
    on: bool | None
    count: int | None
    total: int | None
    cost: str
    impact: str
    rank: int | None
    threats: tuple[str, ...]
    url: str | None
    subject: str | None
    references: Mapping[str, tuple[str, ...]]


# ----------------------------------------------------------------------------------------------------------- insurance


@frozen
class Bearing:
    """A control that bears on a question; `standing` is full, asserted, part, none or unknown."""

    control: str
    title: str
    standing: str
    score: float | None
    max_score: float | None


@frozen
class Question:
    """What an insurer asks. `answer` is yes, partly, no, asserted or not_answerable (from this data).

    `deciding` controls decide, those `beside` do not; `missing` are deciding ones that Microsoft does not score here.
    `limits` says what this data cannot show.
    """

    id: str
    question: str
    answer: str
    limits: str
    deciding: tuple[Bearing, ...]
    beside: tuple[Bearing, ...]
    missing: tuple[str, ...]


@frozen
class Insurance:
    """Indicative. `sha256` is the day's content hash, `evidence` the hashes of its archived responses."""

    day: str
    sha256: str
    evidence: tuple[str, ...]
    table_version: int
    label: str
    questions: tuple[Question, ...]


# --------------------------------------------------------------------------------------------------------- frameworks


@frozen
class Reference:
    """Controls that one reference of a framework stands for; `title` is its name there, where it has one.

    `full` counts those with all their points; `asserted` are points among `score` that nobody measured, None when the
    catalogue is not known.
    """

    id: str
    controls: tuple[str, ...]
    full: int
    score: float | None
    asserted: float | None
    max_score: float | None
    percent: float | None
    delta: float
    title: str | None


@frozen
class Framework:
    """Indicative: an assignment of ours, with its provenance. `mapped` of `total` scored controls have a reference."""

    name: str
    title: str
    version: str
    provenance: str
    mapped: int
    total: int
    references: tuple[Reference, ...]


@frozen
class Frameworks:
    """`classes` groups the controls that insurers ask about; `unmapped` have no reference: nothing is said of them."""

    label: str
    table_version: int
    frameworks: tuple[Framework, ...]
    classes: tuple[Reference, ...]
    unmapped: tuple[str, ...]


@frozen
class Comparative:
    """An average as Microsoft sends it (a percentage), beside ours of the same day."""

    basis: str
    seats: str | None
    day: str
    average: float | None
    ours: float | None
    difference: float | None


# --------------------------------------------------------------------------------------------------------------- cloud


@frozen
class CloudScore:
    """A score of Defender for Cloud, or of exposure, on the last observed day; `delta` since the first one.

    `kind` is subscription, aggregate, organization or device_group; `open` of `controls` lack points.
    """

    kind: str
    id: str
    name: str
    score_name: str
    model: str
    lower_is_better: bool
    day: str
    score: float | None
    max_score: float | None
    percent: float | None
    before_day: str | None
    delta: float | None
    percent_delta: float | None
    controls: int
    open: int


@frozen
class CloudControl:
    """A control over all subscriptions: scored in so many, open in so many, the points they lack together."""

    control: str
    title: str
    scored: int
    open: int
    points: float
    unhealthy: int


@frozen
class CloudStandard:
    """A regulatory compliance standard of a subscription: how many of its controls are in which state."""

    subscription: str
    name: str
    standard: str
    state: str
    passed: int | None
    failed: int | None
    skipped: int | None
    unsupported: int | None


@frozen
class Cloud:
    """An entry of several units: never part of the tenant's Secure Score. `whole` stands for all its units (None: no
    day of the period is known); its change == sum of `effects` (score, weight, added, removed) + `residual`.

    `units` begin with the weakest; `no_data` counts enabled subscriptions without a score.
    """

    entry: str
    source: str
    whole: CloudScore | None
    effects: Mapping[str, float]
    residual: float | None
    units: tuple[CloudScore, ...]
    controls: tuple[CloudControl, ...]
    standards: tuple[CloudStandard, ...]
    no_data: int


# ------------------------------------------------------------------------------------------------------------ page one


@frozen
class Course:
    """How a figure went from the first observed day to the last: it rose, fell, or is unchanged, or unknown.

    `swing` is what it moves within seven days anyway, up and down: the median of that range; None for less than two
    weeks. Within `limit` (the swing, and what the configuration calls too small for an event) it is unchanged.
    """

    before: float | None
    after: float | None
    delta: float | None
    swing: float | None
    limit: float
    direction: str  # rose | fell | unchanged | unknown


@frozen
class Happening:
    """An event that mattered, by its severity or by the points that moved; the weightiest of its control.

    `back_on` is the first later day on which the control had its points again; `times` counts the events of its kind
    and direction in the period, this one included. `state_before` and `state_after` are of a state that was declared,
    by `by`.
    """

    event_id: str
    type: str
    day: str
    severity: int
    control: str
    title: str
    before: float | None
    after: float | None
    delta: float | None
    state_before: str | None
    state_after: str | None
    by: str | None
    cause: Cause
    back_on: str | None
    times: int


@frozen
class Decisions:
    """Exceptions that somebody must decide on. `asked_for`: the configuration says when one is due.

    `oldest_days` is the age of the oldest, `next_review` the first day on which another one becomes due.
    """

    asked_for: bool
    held: int
    due: int
    review_overdue: int
    comment_missing: int
    oldest_days: int | None
    next_review: str | None


@frozen
class Brief:
    """What the first page answers: where it stands, what happened, what needs a decision, what to do next.

    `actions` are the controls to bring to full points first, `then` the exact score if they were; None where nothing is
    open, or no catalogue is known.
    """

    score: Course
    percent: Course
    target: TargetStanding | None
    comparable: Comparative | None
    happened: tuple[Happening, ...]
    decisions: Decisions | None
    actions: tuple[str, ...]
    then: WhatIf | None


# -------------------------------------------------------------------------------------------------------------- matrix


@frozen
class MatrixRow:
    """One control over the tenants of a matrix: its standing and its percentage in each, None where it is not scored.

    `open` counts the tenants in which it lacks points, `points` are what it lacks in all of them. `deviations` says in
    which tenants it is not as their baseline asks.
    """

    control: str
    title: str
    open: int
    scored: int
    points: float | None
    standings: tuple[str | None, ...]
    percents: tuple[float | None, ...]
    deviations: tuple[bool, ...]


@frozen
class Matrix:
    """Controls by tenants on each one's last observed day: the control that lacks most, in most tenants, first."""

    tenants: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


# -------------------------------------------------------------------------------------------------------------- whole


@frozen
class Summary:
    """One tenant's line in the comparison: `worst` is the control that lost most, `error` why nothing is compared."""

    name: str
    tenant_id: str
    labels: Mapping[str, str]
    newest_day: str | None
    days_observed: int
    days_in_period: int
    issues: tuple[str, ...]
    score: float | None = None
    max_score: float | None = None
    percent: float | None = None
    delta: float | None = None
    percent_delta: float | None = None
    measured: float | None = None
    asserted: float | None = None
    measured_percent: float | None = None
    exceptions: int | None = None
    regressed: int = 0
    improved: int = 0
    worst: str | None = None
    worst_delta: float | None = None
    error: str | None = None


@frozen
class TenantReport:
    """Everything about one tenant. `bridge` is None when fewer than two days were observed.

    `watched` is the same from the first contact on, where causes can be seen; None where fewer than two days are.
    `language` is that of Microsoft's texts, such as titles.
    """

    summary: Summary
    source: str
    period: Period
    quality: Quality
    days: tuple[DayPoint, ...]
    bridge: Bridge | None
    steps: tuple[Step, ...]
    categories: tuple[Group, ...]
    services: tuple[Group, ...]
    tiers: tuple[Group, ...]
    regrouped: tuple[Regrouped, ...]
    controls: Mapping[str, int]
    exceptions: tuple[Exemption, ...] | None
    state_changes: tuple[StateChange, ...]
    frameworks: Frameworks
    comparatives: tuple[Comparative, ...]
    targets: tuple[Notice, ...]
    evidence: tuple[EvidenceFile, ...]
    fingerprint: str
    scored: tuple[Scored, ...]
    advice: Advice
    insurance: Insurance
    brief: Brief
    first_contact: str | None
    watched: Bridge | None
    language: str
    clouds: tuple[Cloud, ...] = ()


@frozen
class Cover:
    """What a report opens with. `summaries` has every tenant, `detailed` names those that follow in full."""

    version: str
    generated_at: str
    period: Period
    summaries: tuple[Summary, ...]
    detailed: tuple[str, ...]
    brand: Brand = Factory(Brand)
    matrix: Matrix | None = None
