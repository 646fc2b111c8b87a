"""What is advised, as frozen values: `securescore next --json` and the report show these fields.

No computing lives here. Points have four decimals, percentages run 0-100, days are ISO dates, moments ISO 8601 UTC
text. `None` means "unknown", never zero; what Microsoft says in words and did not say here is NOT_STATED.
"""

from attrs import frozen

NOT_STATED = "not stated"
GROUPS = ("quick_win", "project", "other", "licence", "asserted")
"""Where an action belongs: `quick_win` costs little and disturbs nobody; `project` costs more, or disturbs; of `other`
Microsoft states too little to say; `licence` cannot be done without buying; `asserted` is accepted, or declared solved
elsewhere, by somebody."""


@frozen
class Declared:
    """The state that somebody declared: `portal` is what the portal calls it."""

    state: str
    portal: str
    by: str | None
    at: str | None
    comment: str | None
    assigned_to: str | None


@frozen
class Action:
    """One open control. `points` are those still to win, `share_percent` what they are of the unit's maximum.

    `rank` is Microsoft's own. `since` is the first day of those, up to the newest, on which the control was seen open;
    unless `since_exact`, it may have been open before: no known day shows otherwise. `licences` are those of which any
    would do, where none is there.
    """

    control: str
    title: str
    group: str
    points: float | None
    share_percent: float | None
    score: float | None
    max_score: float | None
    cost: str
    impact: str
    tier: str
    rank: int | None
    service: str
    category: str
    threats: tuple[str, ...]
    state: str
    declared: Declared | None
    licences: tuple[str, ...]
    since: str
    since_exact: bool
    url: str | None


@frozen
class Standing:
    """A score in figures: Microsoft's total, and what of it was measured and what only asserted."""

    current: float | None
    max: float | None
    percent: float | None
    measured: float | None
    asserted: float | None


@frozen
class TargetStanding:
    """A target of the configuration, `met` or not; None where it cannot be said. `control` where it names one."""

    kind: str
    control: str | None
    threshold: float | None
    value: float | None
    met: bool | None


@frozen
class Unknown:
    """A name that no scored control of the unit has, and those that come near."""

    name: str
    suggestions: tuple[str, ...]


@frozen
class WhatIf:
    """The unit if `controls` were full: `points` more. `undetermined` are those whose points nobody knows; then the
    sums are unknown, too.
    """

    controls: tuple[str, ...]
    points: float | None
    score: float | None
    percent: float | None
    targets: tuple[TargetStanding, ...]
    unknown: tuple[Unknown, ...]
    undetermined: tuple[str, ...]


@frozen
class Advice:
    """Every open control of the newest day once, in rank order. `to_win` is the sum of their points.

    `not_scored` counts the controls of the catalogue that Microsoft does not score for this unit: not licensed, or
    nothing there to judge.
    """

    day: str
    score: Standing
    actions: tuple[Action, ...]
    to_win: float | None
    not_scored: int
    targets: tuple[TargetStanding, ...]
    what_if: WhatIf | None = None
