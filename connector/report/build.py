"""What is known of a tenant → the values of its report. Pure.

Every number comes from stored days, the stored catalogue and committed events, by the functions that also make events
(observe: changes, diff, explain, frameworks): nothing is decomposed here a second time. No I/O, no clock, no layout.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from attrs import evolve, field, frozen

from connector.advice.actions import stated, to_win
from connector.advice.advise import advise
from connector.advice.values import NOT_STATED
from connector.config.values import ChangesConfig
from connector.ids import sha256
from connector.model import PORTAL, Control, Day, Event, Profile, StateUpdate, Version
from connector.observe import changes, diff, exceptions, frameworks, groups, totals, waterfall
from connector.observe.fold import worth_telling
from connector.report import cloud, insurance
from connector.report.brief import brief, comparable
from connector.report.values import (
    Bridge,
    CauseSum,
    Comparative,
    DayPoint,
    Exemption,
    Framework,
    Frameworks,
    Gap,
    Group,
    Material,
    Move,
    Notice,
    Period,
    Quality,
    Recorded,
    Reference,
    Regrouped,
    Scored,
    StateChange,
    Step,
    Summary,
    TenantReport,
)

DEFAULT_DAYS = 90
SHOWN_STEPS = 8
STEP_MOVES = 3
STEP_SHARE = 0.05
"""A step names its largest contributions that reach this share of the largest one."""
EVENT_TYPES = (
    *("score.observed", "control.*changed", "control.added", "control.removed", "profile.*", "feed.*", "posture.*"),
)
"""The committed events that a report reads."""
SUMMARY_TYPES = ("score.observed", "feed.*")
"""Those that its line of a comparison reads."""
_TITLES = {"attack": "MITRE ATT&CK", "nist_csf": "NIST CSF", "cis_m365": "CIS Microsoft 365"}


def period(start: str, end: str) -> Period:
    return Period(start, end, (date.fromisoformat(end) - date.fromisoformat(start)).days + 1)


def days_before(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def build(material: Material, when: Period) -> TenantReport:
    """The whole report of a tenant of which at least one day of the period is known."""
    profiles = material.memory.profiles
    versions = _observed(material, when)
    tally = totals.Tally(profiles or {})
    daily = [totals.of_day(v, profiles, tally) for v in versions]
    points = tuple(_point(v, t) for v, t in zip(versions, daily, strict=True))
    events = [e for e in material.events if when.start <= str(e.data.get("day") or e.time[:10]) <= when.end]
    known = _Known(profiles or {}, events, material.changes)
    bridge, steps = _bridge(versions, known, profiles)
    contact = material.memory.first_newest
    watched = [v for v in versions if contact is not None and v.day.day >= contact]
    regrouping = _regrouping(versions, profiles or {}, events)
    last = versions[-1]
    held = None if profiles is None else _exceptions(profiles, last, when, material)
    moved = {} if bridge is None else {m.control: diff.fixed(m.delta) for m in bridge.moves}
    quality = _quality(material, when, versions, events)
    averages = _comparatives(versions)
    basis = comparable(averages)
    points = tuple(evolve(p, average=_average(v, basis)) for p, v in zip(points, versions, strict=True))
    advice = advise(last, profiles, material.memory.before(last.day.day), material.targets)
    return TenantReport(
        summary=_summary(material, when, points[-1], quality, _change(versions), held),
        source=material.source,
        period=when,
        quality=quality,
        days=points,
        bridge=bridge,
        steps=steps,
        categories=_groups("category", daily, regrouping, versions[-1].day),
        services=_groups("service", daily, regrouping, versions[-1].day) if profiles else (),
        tiers=_groups("tier", daily, regrouping, versions[-1].day) if profiles else (),
        regrouped=tuple(
            Regrouped(**{**flow, "names": tuple(flow["names"])}, words=groups.words(flow))
            for flow in groups.flows(regrouping.shifts)
        ),
        controls=daily[-1]["controls"],
        exceptions=held,
        state_changes=_state_changes(profiles or {}, when),
        frameworks=_frameworks(versions[-1], profiles, moved),
        comparatives=averages,
        targets=tuple(_notice(e) for e in events if e.type.startswith("posture.")),
        evidence=material.evidence,
        fingerprint=sha256("".join(f"{v.day.day} {v.revision} {v.hash}\n" for v in versions).encode("ascii")),
        scored=_scored(last, profiles),
        advice=advice,
        insurance=insurance.answer_all(last, profiles, material.evidence),
        brief=brief(material, versions, points, averages, held, advice, events),
        first_contact=contact,
        language=material.language,
        watched=bridge if watched == versions else _bridge(watched, known, profiles)[0],
        clouds=cloud.told(material.clouds, when),
    )


def summarise(material: Material, when: Period) -> Summary:
    """One line of the comparison, without the cost of a whole report: the first and the last day only."""
    versions = _observed(material, when)
    if not versions:
        known = list(material.memory.versions())
        why = f"no day of the period is known (known: {known[0]} to {known[-1]})" if known else "nothing is known yet"
        return unread(material.name, material.tenant_id, material.labels, when, why, known[-1] if known else None)
    last, profiles = versions[-1], material.memory.profiles
    events = [e for e in material.events if when.start <= str(e.data.get("day") or e.time[:10]) <= when.end]
    held = None if profiles is None else _exceptions(profiles, last, when, material)
    point, quality = _point(last, totals.of_day(last, profiles)), _quality(material, when, versions, events)
    return _summary(material, when, point, quality, _change(versions), held)


def unread(
    name: str, tenant_id: str, labels: Mapping[str, str], when: Period, why: str, newest_day: str | None = None
) -> Summary:
    """The line of a tenant of which nothing can be said for the period, and why."""
    return Summary(
        name,
        tenant_id,
        labels,
        newest_day=newest_day,
        days_observed=0,
        days_in_period=when.days,
        issues=("gaps",),
        error=why,
    )


def _observed(material: Material, when: Period) -> list[Version]:
    return material.memory.between(when.start, when.end)


@frozen
class _Change:
    """What a line says of the way from the first day to the last; `moves` are points by control, largest first."""

    delta: float | None
    percent: float | None
    moves: Sequence[tuple[str, float]]


def _change(versions: Sequence[Version]) -> _Change | None:
    if len(versions) < 2:
        return None
    before, after = versions[0].day, versions[-1].day
    found = diff.decompose(before, after)
    return _Change(
        None if found.delta is None else diff.points(found.delta),
        diff.percent_split(before, after)["delta"],
        [(part.control, diff.points(part.delta)) for part in found.contributions],
    )


def _summary(
    material: Material,
    when: Period,
    last: DayPoint,
    quality: Quality,
    change: _Change | None,
    held: Sequence[Exemption] | None,
) -> Summary:
    losers = [] if change is None else [move for move in change.moves if move[1] < 0]
    gainers = [] if change is None else [move for move in change.moves if move[1] > 0]
    measured_percent = None
    if last.measured is not None and last.max_score:
        measured_percent = diff.rounded(100.0 * last.measured / last.max_score)
    return Summary(
        name=material.name,
        tenant_id=material.tenant_id,
        labels=dict(material.labels),
        newest_day=last.day,
        days_observed=quality.days_observed,
        days_in_period=when.days,
        issues=quality.issues,
        score=last.score,
        max_score=last.max_score,
        percent=last.percent,
        delta=change.delta if change else None,
        percent_delta=change.percent if change else None,
        measured=last.measured,
        asserted=last.asserted,
        measured_percent=measured_percent,
        exceptions=None if held is None else len(held),
        regressed=len(losers),
        improved=len(gainers),
        worst=losers[0][0] if losers else None,
        worst_delta=losers[0][1] if losers else None,
    )


def _point(version: Version, sums: Mapping[str, Any]) -> DayPoint:
    day = version.day
    return DayPoint(
        day=day.day,
        score=diff.rounded(day.score),
        max_score=diff.rounded(day.max_score),
        percent=diff.rounded(day.percent),
        measured=sums["points"]["measured"],
        asserted=sums["points"]["asserted"],
        controls=len(day.controls),
        revision=version.revision,
        detailed=day.detailed,
        flags=day.flags,
        sha256=version.hash,
    )


# ------------------------------------------------------------------------------------------------------ data quality


def _quality(material: Material, when: Period, versions: Sequence[Version], events: Sequence[Event]) -> Quality:
    observed = [v.day.day for v in versions]
    gaps = _gaps(when, observed)
    feed = [e for e in events if e.type.startswith("feed.") and e.type != "feed.gap"]
    late = sorted({str(e.data["day"]) for e in events if e.type == "score.observed" and e.data.get("late")})
    flags: dict[str, tuple[str, ...]] = {}
    for version in versions:
        for flag in version.day.flags:
            flags[flag] = (*flags.get(flag, ()), version.day.day)
    kinds = {e.type.partition(".")[2] for e in feed}
    issues = [
        word
        for word, found in (
            ("gaps", gaps),
            ("late", late),
            ("inconsistent", "inconsistent" in flags),
            ("suspicious", "suspicious" in kinds or material.memory.refusal),
            ("stale", "stale" in kinds or "stale" in material.problems),
            ("partial", "partial" in kinds),
            ("odd", set(flags) - {"inconsistent", "sentinel"}),  # a sentinel is Microsoft's own "unknown"
        )
        if found
    ]
    first_newest = material.memory.first_newest or ""
    return Quality(
        days_in_period=when.days,
        days_observed=len(observed),
        issues=tuple(issues),
        gaps=gaps,
        late=tuple(late),
        revised=tuple(v.day.day for v in versions if v.revision),
        detailed=sum(v.day.detailed for v in versions),
        backfilled=sum(day < first_newest for day in observed),
        flags=dict(sorted(flags.items())),
        notices=tuple(_notice(e) for e in feed),
        open_problems=material.problems,
    )


def _gaps(when: Period, observed: Sequence[str]) -> tuple[Gap, ...]:
    found = []
    known = set(observed)
    run: list[str] = []
    for offset in range(when.days + 1):
        day = days_before(when.start, -offset)
        if day not in known and day <= when.end:
            run.append(day)
        elif run:
            found.append(Gap(run[0], run[-1], len(run)))
            run = []
    return tuple(found)


def _notice(event: Event) -> Notice:
    return Notice(event.time, event.type, event.severity, str(event.data.get("summary", "")), event.id)


# -------------------------------------------------------------------------------------------------------- the change


@frozen
class _Known:
    """What is known of controls besides two days: the catalogue, and what committed events said of them.

    `told` are their causes, `recorded` the events that had one, `info` the names of those that have left the catalogue.
    `changes` says what is noise.
    """

    profiles: Mapping[str, Profile]
    events: Sequence[Event]
    changes: ChangesConfig
    told: Mapping[str, Sequence[waterfall.Told]] = field(init=False)
    recorded: Mapping[str, Sequence[Recorded]] = field(init=False)
    info: Mapping[str, Mapping[str, Any]] = field(init=False)

    @told.default
    def _causes(self) -> Mapping[str, Sequence[waterfall.Told]]:
        return waterfall.recorded(self.events)

    @recorded.default
    def _events(self) -> Mapping[str, Sequence[Recorded]]:
        return _recorded(self.events)

    @info.default
    def _names(self) -> Mapping[str, Mapping[str, Any]]:
        return _told(self.events)


def _told(events: Iterable[Event]) -> dict[str, Mapping[str, Any]]:
    """The `control` object of each control's latest event that knew its title."""
    found = {}
    for event in sorted(events, key=lambda e: e.time):
        control = event.data.get("control")
        if control and control["title"] != control["id"]:
            found[str(control["id"])] = control
    return found


def _recorded(events: Iterable[Event]) -> dict[str, list[Recorded]]:
    """What committed events said of why each control moved, oldest first; those that knew no cause say nothing."""
    found: dict[str, list[Recorded]] = {}
    for event in events:
        told = event.data.get("cause")
        if event.type in waterfall.TELLING and told and told["label"] != "unknown":
            day = str(event.data.get("day") or event.time[:10])
            entry = Recorded(day, told["label"], told["confidence"], tuple(told["evidence"]), event.id)
            found.setdefault(event.subject, []).append(entry)
    return {name: sorted(entries, key=lambda r: r.day) for name, entries in found.items()}


def _bridge(
    versions: Sequence[Version], known: _Known, profiles: Mapping[str, Profile] | None
) -> tuple[Bridge | None, tuple[Step, ...]]:
    """From the first day to the last, and the largest steps on the way."""
    if len(versions) < 2:
        return None, ()
    first, last = versions[0], versions[-1]
    whole = waterfall.between(versions, profiles, known.told)
    pairs = [waterfall.between(pair, profiles, known.told) for pair in pairwise(versions)]
    causes, residual = _by_cause(pairs, whole["delta"])
    before, after = whole["before"], whole["after"]
    bridge = Bridge(
        before_day=before["day"],
        after_day=after["day"],
        before_score=before["current"],
        after_score=after["current"],
        before_max=before["max"],
        after_max=after["max"],
        delta=whole["delta"],
        max_delta=whole["max_delta"],
        residual=whole["residual"],
        percent=whole["percent"],
        cause=waterfall.as_told(whole["cause"]),
        summary=whole["summary"],
        moves=tuple(_move(p, first.day, last.day, known) for p in whole["contributions"]),
        causes=causes,
        causes_residual=residual,
    )
    return bridge, _steps({v.day.day: v.day for v in versions}, pairs, known)


def _move(part: Mapping[str, Any], before: Day, after: Day, known: _Known) -> Move:
    name = part["control"]
    control = after.controls.get(name) or before.controls.get(name)
    info: Mapping[str, Any] = changes.control_info(name, control, known.profiles.get(name))
    if name not in known.profiles:
        info = {**info, **{k: v for k, v in known.info.get(name, {}).items() if k in ("title", "service") and v}}
    return Move(
        control=name,
        title=info["title"],
        category=info["category"] or "unknown",
        service=info["service"] or "unknown",
        kind=part["kind"],
        before=part["before"],
        after=part["after"],
        max_score=info["max_score"],
        delta=part["delta"],
        cause=waterfall.as_told(part["cause"]),
        recorded=tuple(r for r in known.recorded.get(name, ()) if before.day < r.day <= after.day),
        noise=_is_noise(before.controls.get(name), after.controls.get(name), known, name),
    )


def _is_noise(was: Control | None, now: Control | None, known: _Known, name: str) -> bool:
    """Whether a move is too small for an event; what came or went is none."""
    return was is not None and now is not None and not worth_telling(known.changes, was, now, known.profiles.get(name))


def _by_cause(pairs: Sequence[Mapping[str, Any]], delta: float | None) -> tuple[tuple[CauseSum, ...], float | None]:
    """The same change, day by day and by cause, and what no control explains."""
    sums: dict[str, list[int]] = {}
    for pair in pairs:
        for part in pair["contributions"]:
            for label, units in waterfall.as_told(part["cause"]).shares(diff.fixed(part["delta"])).items():
                row = sums.setdefault(label, [0, 0, 0])
                row[units < 0] += units
                row[2] += units != 0
    found = [
        CauseSum(label, diff.points(up), diff.points(down), diff.points(up + down), n)
        for label, (up, down, n) in sums.items()
        if n
    ]
    rest = None if delta is None else diff.points(diff.fixed(delta) - sum(up + down for up, down, _ in sums.values()))
    return tuple(sorted(found, key=lambda c: (c.lost - c.gained, c.label))), rest


def _steps(days: Mapping[str, Day], pairs: Sequence[Mapping[str, Any]], known: _Known) -> tuple[Step, ...]:
    """The largest steps by points, or by the maximum, in order of time."""

    def size(pair: Mapping[str, Any]) -> float:
        return float(max(abs(pair["delta"] or 0.0), abs(pair["max_delta"] or 0.0)))

    def moves(pair: Mapping[str, Any]) -> tuple[Move, ...]:
        parts = pair["contributions"][:STEP_MOVES]
        least = STEP_SHARE * abs(parts[0]["delta"]) if parts else 0.0
        ends = days[pair["before"]["day"]], days[pair["after"]["day"]]
        return tuple(_move(p, *ends, known) for p in parts if abs(p["delta"]) >= least)

    largest = sorted(pairs, key=lambda p: (-size(p), p["after"]["day"]))[:SHOWN_STEPS]
    return tuple(
        Step(
            before_day=p["before"]["day"],
            day=p["after"]["day"],
            delta=p["delta"],
            max_delta=p["max_delta"],
            percent_delta=p["percent"]["delta"],
            residual=p["residual"],
            cause=waterfall.as_told(p["cause"]),
            moves=moves(p),
            moved=len(p["contributions"]),
        )
        for p in sorted(largest, key=lambda p: str(p["after"]["day"]))
        if size(p)
    )


# ------------------------------------------------------------------------------------------------------------ groups


@frozen
class _Regrouping:
    """What the points by group of the first and the last day differ by. `old` and `new` are the catalogues of both."""

    old: Mapping[str, Profile]
    new: Mapping[str, Profile]
    before: Mapping[str, Any]
    shifts: Sequence[groups.Shift]
    moved: Mapping[str, Mapping[str, float]]


def _regrouping(versions: Sequence[Version], new: Mapping[str, Profile], events: Sequence[Event]) -> _Regrouping:
    first, last = versions[0], versions[-1]
    old = groups.earlier(new, events, first.day.day) if len(versions) > 1 else new
    return _Regrouping(
        old,
        new,
        totals.of_day(first, old),
        groups.shifts(first.day, last.day, old, new),
        groups.moved(diff.contributions(first.day, last.day), old, new),
    )


def _groups(kind: str, daily: Sequence[Mapping[str, Any]], change: _Regrouping, last: Day) -> tuple[Group, ...]:
    """Groups of the last day, and those that left it since the first."""
    key = f"by_{kind}"
    counts = Counter(groups.group_of(kind, control, change.new.get(name)) for name, control in last.controls.items())
    now, before, moved = daily[-1][key], change.before[key], change.moved[key]
    regrouped = groups.regrouped(change.shifts)[key]
    gone = {"score": 0.0, "max": None, "percent": None}
    return tuple(
        _group(
            name,
            counts[name],
            now.get(name, gone),
            before.get(name, gone)["score"],
            (moved.get(name, 0.0), regrouped.get(name, 0.0)),
            tuple(t[key].get(name, {}).get("percent") for t in daily),
        )
        for name in sorted({*now, *before, *moved, *regrouped})
    )


def _group(
    name: str,
    controls: int,
    now: Mapping[str, float | None],
    before: float | None,
    parts: tuple[float, float],
    percents: tuple[float | None, ...],
) -> Group:
    score, known = now["score"], sum(map(diff.fixed, parts))
    if score is not None and before is not None:
        known = diff.fixed(score) - diff.fixed(before)
    moved, regrouped = parts
    return Group(
        name=name,
        controls=controls,
        score=score,
        max_score=now["max"],
        percent=now["percent"],
        delta=diff.points(known),
        percents=percents,
        before=before,
        moved=moved,
        regrouped=regrouped,
    )


# -------------------------------------------------------------------------------------------------------- exceptions


def _exceptions(
    profiles: Mapping[str, Profile], last: Version, when: Period, material: Material
) -> tuple[Exemption, ...]:
    """Every control whose state at the period's end is accepted or asserted: most asserted points first.

    Asserted points are those of the last day, as its total has them.
    """
    found = []
    end = max(f"{when.end}T23:59:59Z", last.until)
    for name in sorted(profiles):
        profile = profiles[name]
        state = diff.state_at(profile, end)
        if state.state in diff.DECLARED:
            found.append(_exemption(profile, state, last, when, material))
    return tuple(sorted(found, key=lambda e: (-(e.asserted_points or 0.0), e.state, e.at or "", e.control)))


def _exemption(profile: Profile, state: StateUpdate, last: Version, when: Period, material: Material) -> Exemption:
    control = last.day.controls.get(profile.id)
    asserted = 0 if control is None else diff.asserted_units(control, profile, last.until)
    score = None if control is None else diff.rounded(control.score)
    most = diff.max_of(control, profile)
    forgone = None if score is None or most is None else diff.points(diff.fixed(most) - diff.fixed(score))
    day = state.at[:10] if state.at else None
    due = exceptions.judge(state, material.exceptions, when.end)
    return Exemption(
        control=profile.id,
        title=profile.title or profile.id,
        category=(control.category if control else "") or profile.category or "unknown",
        service=profile.service or "unknown",
        tier=profile.tier,
        state=state.state,
        portal=PORTAL.get(state.state, "unknown"),
        by=state.by,
        at=state.at,
        age_days=due.age_days,
        comment=state.comment or None,
        assigned_to=state.assigned_to or None,
        new_in_period=day is not None and when.start <= day <= when.end,
        score=score,
        max_score=most,
        asserted_points=None if asserted is None else diff.points(asserted),
        forgone_points=forgone,
        review_on=due.review_on,
        due=due.reasons,
    )


def _state_changes(profiles: Mapping[str, Profile], when: Period) -> tuple[StateChange, ...]:
    found = []
    for profile in profiles.values():
        before = diff.DEFAULT_STATE
        if any(update.at_unusable for update in profile.updates):
            before = diff.UNKNOWN_STATE  # nobody knows what followed what
        for update in diff.ordered_updates(profile):
            if update.at is not None and when.start <= update.at[:10] <= when.end:
                title = profile.title or profile.id
                entry = (update.at, profile.id, title, before.state, update.state, update.by, update.comment or None)
                found.append(StateChange(*entry))
            before = update if before is not diff.UNKNOWN_STATE else before
    return tuple(sorted(found, key=lambda c: (c.at, c.control)))


# ------------------------------------------------------------------------------------------------------------ controls


def _scored(last: Version, profiles: Mapping[str, Profile] | None) -> tuple[Scored, ...]:
    """Every scored control of the last day, by name."""
    return tuple(_one_scored(name, last, (profiles or {}).get(name), profiles) for name in sorted(last.day.controls))


def _one_scored(name: str, last: Version, profile: Profile | None, profiles: Mapping[str, Profile] | None) -> Scored:
    control = last.day.controls[name]
    state = diff.UNKNOWN_STATE if profiles is None else diff.effective_state(profile)
    units = to_win(control, profile)
    asserted = None if profiles is None else diff.asserted_units(control, profile, last.until)
    table = frameworks.shipped()
    references: dict[str, list[str]] = {}
    for ref in table.references(name):
        ids = references.setdefault(ref.framework, [])
        if ref.id not in ids:
            ids.append(ref.id)
    return Scored(
        control=name,
        title=(profile.title if profile else "") or name,
        category=groups.group_of("category", control, profile),
        service=groups.group_of("service", control, profile),
        tier=groups.group_of("tier", control, profile),
        score=diff.rounded(control.score),
        max_score=diff.max_of(control, profile),
        percent=diff.rounded(control.percent),
        standing=insurance.standing(control, profile),
        points=None if units is None else diff.points(max(units, 0)),
        asserted_points=None if asserted is None else diff.points(asserted),
        state=state.state,
        portal=PORTAL.get(state.state, "unknown"),
        by=state.by,
        at=state.at,
        comment=state.comment or None,
        assigned_to=state.assigned_to or None,
        on=control.on,
        count=control.count,
        total=control.total,
        cost=stated(profile.implementation_cost) if profile else NOT_STATED,
        impact=stated(profile.user_impact) if profile else NOT_STATED,
        rank=profile.rank if profile else None,
        threats=profile.threats if profile else (),
        url=(profile.action_url if profile else "") or None,
        subject=table.class_of(name),
        references={framework: tuple(ids) for framework, ids in references.items()},
    )


# --------------------------------------------------------------------------------------------- frameworks, averages


def _frameworks(version: Version, profiles: Mapping[str, Profile] | None, moved: Mapping[str, int]) -> Frameworks:
    table, last = frameworks.shipped(), version.day
    by_reference: dict[str, dict[str, dict[str, None]]] = {}
    heads: dict[str, frameworks.Ref] = {}
    classes: dict[str, dict[str, None]] = {}
    for name in sorted({*last.controls, *moved}):
        for ref in table.references(name):
            heads.setdefault(ref.framework, ref)
            by_reference.setdefault(ref.framework, {}).setdefault(ref.id, {})[name] = None
        group = table.class_of(name)
        if group is not None:
            classes.setdefault(group, {})[name] = None
    coverage = table.coverage(last.controls)

    def row(ref_id: str, names: Iterable[str], title: str | None = None) -> Reference:
        return _reference(ref_id, title, tuple(names), version, profiles, moved)

    return Frameworks(
        label=table.label,
        table_version=table.version,
        frameworks=tuple(
            Framework(
                name=name,
                title=_TITLES.get(name, name),
                version=heads[name].version,
                provenance=heads[name].provenance,
                mapped=coverage.by_framework.get(name, 0),
                total=coverage.total,
                references=tuple(
                    row(ref_id, names, table.title_of(name, ref_id)) for ref_id, names in sorted(refs.items())
                ),
            )
            for name, refs in sorted(by_reference.items(), key=lambda item: len(item[1]))
        ),
        classes=tuple(row(name, classes[name]) for name in dict.fromkeys(table.classes) if name in classes),
        unmapped=coverage.unmapped,
    )


def _reference(
    ref_id: str,
    title: str | None,
    names: tuple[str, ...],
    last: Version,
    profiles: Mapping[str, Profile] | None,
    moved: Mapping[str, int],
) -> Reference:
    controls = [last.day.controls[name] for name in names if name in last.day.controls]
    known = profiles or {}
    most = _sum([diff.max_of(c, known.get(c.name)) for c in controls])
    stated = [diff.asserted_units(c, known.get(c.name), last.until) for c in controls]
    score = _sum([c.score for c in controls])
    return Reference(
        id=ref_id,
        controls=tuple(c.name for c in controls),
        full=sum(c.percent is not None and c.percent >= 100 for c in controls),
        score=score,
        asserted=None if profiles is None or None in stated else diff.points(sum(u or 0 for u in stated)),
        max_score=most,
        percent=round(100.0 * score / most, 2) if most and score is not None else None,
        delta=diff.points(sum(moved.get(name, 0) for name in names)),
        title=title,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """The exact sum of points; one that is unknown makes it unknown."""
    return None if None in values else diff.points(sum(diff.fixed(v) for v in values if v is not None))


def _comparatives(versions: Sequence[Version]) -> tuple[Comparative, ...]:
    """The averages of the latest day that has any."""
    version = next((v for v in reversed(versions) if v.day.averages), None)
    if version is None:
        return ()
    ours = version.day.percent
    found = []
    for average in version.day.averages:
        seats = [_whole(average.detail.get(f"seatSizeRange{end}Value")) for end in ("Lower", "Upper")]
        known = ours is not None and average.percent is not None
        found.append(
            Comparative(
                basis=average.basis,
                seats=" to ".join(seats) if all(seats) else None,
                day=version.day.day,
                average=diff.rounded(average.percent),
                ours=diff.rounded(ours),
                difference=diff.rounded((ours or 0.0) - (average.percent or 0.0)) if known else None,
            )
        )
    return tuple(found)


def _average(version: Version, basis: Comparative | None) -> float | None:
    """The average of a day, of the kind that others are compared with."""
    if basis is None:
        return None
    found = (diff.rounded(a.percent) for a in version.day.averages if a.basis == basis.basis)
    return next(found, None)


def _whole(value: float | str | None) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return "" if value is None else str(value)
