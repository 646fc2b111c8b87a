"""The sections of one tenant in HTML: values of values.py in, markup out. No computing beyond what a layout needs.

Every number stands as text; drawings only repeat it. All texts pass through markup.py, which escapes them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta

from attrs import frozen

from connector.observe import diff
from connector.report import charts, moves
from connector.report.figures import (
    change,
    count,
    day,
    facts,
    folded,
    named,
    nothing,
    of,
    percent,
    percent_change,
    points,
    service,
    table,
)
from connector.report.insurers import insurers
from connector.report.markup import Content, Markup, el, soft
from connector.report.values import (
    Comparative,
    DayPoint,
    Exemption,
    Framework,
    Group,
    Notice,
    Quality,
    Reference,
    StateChange,
    TenantReport,
)
from connector.report.words import CLASSES, FLAGS, ISSUES, METHOD, SERVICES, STATES

UNFOLDED = 25
"""References of a framework that are shown at once."""
OLD_DAYS = 365
"""From this age on an exception is called old."""


@frozen
class Section:
    """Where a section lies in its tenant's part: its id's end, its heading, what stands under it."""

    key: str
    title: str
    content: Content


def sections(report: TenantReport, prefix: str) -> list[Section]:
    """All sections of a tenant, in order; those with nothing to say say so."""
    return [
        Section("quality", "Data quality", _quality(report.quality, report.days, report)),
        Section("score", "Score over time", moves.score(report, prefix)),
        Section("why", "Why it moved", moves.why(report.bridge)),
        Section("groups", "Categories, services and tiers", _groups(report)),
        Section("controls", "Controls that moved", moves.controls(report.bridge)),
        Section("exceptions", "Exceptions register", _exceptions(report)),
        Section("frameworks", "Frameworks", _frameworks(report)),
        Section("insurance", "What insurers ask", insurers(report.insurance)),
        Section("averages", "Comparatives", _comparatives(report.comparatives)),
        *([Section("targets", "Targets", _notices(report.targets))] if report.targets else []),
        Section("evidence", "Method and evidence", _evidence(report)),
    ]


# -------------------------------------------------------------------------------------------------------- data quality


def _quality(quality: Quality, days: Sequence[DayPoint], report: TenantReport) -> Content:
    rows: list[tuple[str, Content]] = [
        ("Days observed", f"{quality.days_observed} of {quality.days_in_period}"),
        ("Missing days", _list(_run(g.first, g.last, g.days) for g in quality.gaps) or "none"),
        (
            "In full detail",
            f"{count(quality.detailed, 'day')}; of the others Microsoft keeps scores without the counts behind them",
        ),
    ]
    if quality.backfilled:
        rows.append(("Before first contact", count(quality.backfilled, "day")))
    if quality.late:
        rows.append(("Came late", _list(day(d) for d in quality.late)))
    if quality.revised:
        rows.append(("Revised during the day", _list(day(d) for d in quality.revised)))
    for flag, flagged in quality.flags.items():
        rows.append((FLAGS.get(flag, flag).capitalize(), _list(day(d) for d in flagged)))
    if quality.open_problems:
        rows.append(("Open problems", ", ".join(quality.open_problems)))
    states = _day_states(days, report)
    legend = el(
        "p",
        [
            el("span", el("span", class_=f"key {state}", aria_hidden="true"), words)
            for state, words in (
                ("full", "read in full"),
                ("history", "scores only"),
                ("odd", "inconsistent"),
                ("none", "missing"),
            )
            if state in states
        ],
        class_="legend",
    )
    return (charts.strip(states), legend, facts(rows), _notices(quality.notices) if quality.notices else None)


def _day_states(days: Sequence[DayPoint], report: TenantReport) -> list[str]:
    known = {d.day: "odd" if "inconsistent" in d.flags else "full" if d.detailed else "history" for d in days}
    return [known.get(each, "none") for each in _each_day(report.period.start, report.period.days)]


def _each_day(start: str, days: int) -> list[str]:
    first = date.fromisoformat(start)
    return [(first + timedelta(days=n)).isoformat() for n in range(days)]


def _run(first: str, last: str, days: int) -> Content:
    return day(first) if days == 1 else (day(first), " to ", day(last), f" ({days} days)")


def _list(items: Iterable[Content]) -> list[Content]:
    found: list[Content] = []
    for item in items:
        found += [", ", item] if found else [item]
    return found


def issues(found: Sequence[str], missing: int) -> str:
    """What is to be said about the data, in words; `missing` days are named by their number."""
    gap = "1 day is missing" if missing == 1 else f"{missing} days are missing"
    return "; ".join(gap if one == "gaps" else ISSUES.get(one, one) for one in found) or "complete and consistent"


def _notices(notices: Sequence[Notice]) -> Markup:
    rows = [
        (day(n.at[:10]), n.summary, n.type, str(n.severity)) for n in sorted(notices, key=lambda n: (n.at, n.event_id))
    ]
    columns = (("Day", ""), ("What", "wide"), ("Event", ""), ("Severity", "num"))
    return table("Events of the period", columns, rows)


# -------------------------------------------------------------------------------------------------------------- groups


def _groups(report: TenantReport) -> Content:
    moved = "; ".join(flow.words for flow in report.regrouped)
    return (
        el("p", f"Microsoft put controls into other groups: {moved}.") if moved else (),
        _group_table("Categories", report.categories),
        _group_table("Services", report.services)
        if report.services
        else nothing("Without a catalogue services are unknown."),
        _group_table("Tiers", report.tiers) if report.tiers else (),
    )


def _group_table(title: str, groups: Sequence[Group]) -> Markup:
    rows = [
        (
            service(g.name) if title == "Services" else g.name,
            str(g.controls),
            of(g.score, g.max_score) if g.controls else "no longer scored",
            percent(g.percent) if g.controls else "–",
            charts.level(None if g.percent is None else g.percent / 100),
            change(g.delta),
            change(g.regrouped) if g.regrouped else "–",
            charts.spark(g.percents),
        )
        for g in sorted(groups, key=lambda g: (-(g.max_score or 0.0), g.name))
    ]
    columns = (
        (title, ""),
        ("Controls", "num"),
        ("Points", "num"),
        ("Percent", "num"),
        ("", "draw"),
        ("Change", "num"),
        ("of it regrouped", "num"),
        ("Course", "draw"),
    )
    return table(f"{title} on the last observed day", columns, rows, "groups")


# ---------------------------------------------------------------------------------------------------------- exceptions


def _exceptions(report: TenantReport) -> Content:
    if report.exceptions is None:
        return nothing("The catalogue has not been read yet: states are unknown.")
    held = report.exceptions
    asserted = report.summary.asserted
    lead = el(
        "p",
        f"{count(len(held), 'control')} declared accepted or solved elsewhere on ",
        day(report.period.end),
        ". ",
        (
            f"{points(asserted)} of {points(report.summary.score)} points are asserted: awarded for a statement, "
            f"measured by nobody. {points(report.summary.measured)} points are measured."
        ),
    )
    attention = _attention(held)
    return (
        lead,
        charts.level(
            _share(report.summary.score, report.summary.max_score), _share(asserted, report.summary.max_score) or 0.0
        ),
        el(
            "p",
            el(
                "span",
                el("span", class_="key measured", aria_hidden="true"),
                f"measured {points(report.summary.measured)}",
            ),
            el("span", el("span", class_="key stated", aria_hidden="true"), f"asserted {points(asserted)}"),
            el("span", el("span", class_="key open", aria_hidden="true"), f"not achieved {_open(report)}"),
            class_="legend",
        ),
        el("p", attention, class_="attention") if attention else None,
        table(
            "Exceptions in force",
            (
                ("Control", ""),
                ("State", ""),
                ("Points", "num"),
                ("Who", "who"),
                ("Since", ""),
                ("Comment", "wide"),
            ),
            [_exemption(e) for e in held],
            "register",
        )
        if held
        else nothing("No control is ignored, third-party or reviewed."),
        _state_changes(report.state_changes),
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _open(report: TenantReport) -> str:
    score, most = report.summary.score, report.summary.max_score
    return "unknown" if score is None or most is None else points(diff.points(diff.fixed(most) - diff.fixed(score)))


def _attention(held: Sequence[Exemption]) -> str:
    """What an auditor asks about first."""
    silent = sum(e.comment is None for e in held)
    old = sum(e.age_days is not None and e.age_days > OLD_DAYS for e in held)
    undated = sum(e.age_days is None for e in held)
    parts = [
        f"{silent} without a comment" if silent else "",
        f"{old} older than a year" if old else "",
        f"{undated} without a date" if undated else "",
    ]
    words = ", ".join(p for p in parts if p)
    return f"To look at: {words}." if words else ""


def _exemption(one: Exemption) -> Sequence[Content]:
    age = "age unknown" if one.age_days is None else f"{count(one.age_days, 'day')} ago"
    new = el("span", "new", class_="tag") if one.new_in_period else None
    old = el("span", "old", class_="tag warn") if one.age_days is not None and one.age_days > OLD_DAYS else None
    score = "not scored" if one.score is None else of(one.score, one.max_score)
    weight: Content = None
    if one.asserted_points:
        weight = el("span", f"{points(one.asserted_points)} asserted", class_="small stated-text")
    elif one.forgone_points:
        weight = el("span", f"{points(one.forgone_points)} forgone", class_="small")
    assigned = el("span", "assigned to ", soft(one.assigned_to), class_="small") if one.assigned_to else None
    return (
        (named(one.title, one.control), " ", el("span", SERVICES.get(one.service, one.service), class_="small")),
        (STATES.get(one.state, one.portal), " ", el("span", one.state, class_="id")),
        (score, " ", weight) if weight else score,
        (soft(one.by or "unknown"), " ", assigned),
        (day(one.at[:10]) if one.at else "undated", " ", el("span", age, class_="small"), new, old),
        one.comment or el("span", "none given", class_="cause unknown"),
    )


def _state_changes(changes: Sequence[StateChange]) -> Content:
    if not changes:
        return el("p", "No state was declared or taken back in the period.", class_="small")
    rows = [
        (
            day(c.at[:10]),
            named(c.title, c.control),
            f"{c.before} → {c.after}",
            soft(c.by or "unknown"),
            c.comment or "none given",
        )
        for c in changes
    ]
    columns = (("Day", ""), ("Control", "wide"), ("State", ""), ("Who", "who"), ("Comment", "wide"))
    return (el("h4", "Declared or taken back in the period"), table("State changes", columns, rows))


# ---------------------------------------------------------------------------------------------------------- frameworks


def _frameworks(report: TenantReport) -> Content:
    found = report.frameworks
    return (
        el("p", METHOD["frameworks"], el("span", f" Table version {found.table_version}, {found.label}.")),
        _class_table(found.classes),
        [_framework(f) for f in found.frameworks],
        folded(
            f"{count(len(found.unmapped), 'scored control')} without a reference",
            el("p", ", ".join(found.unmapped), class_="small ids"),
        )
        if found.unmapped
        else None,
    )


def _class_table(classes: Sequence[Reference]) -> Content:
    if not classes:
        return None
    return (
        el("h4", "By subject"),
        _references("Controls by subject", "Subject", classes, lambda r: CLASSES.get(r.id, r.id)),
    )


def _framework(framework: Framework) -> Content:
    return (
        el("h4", f"{framework.title} {framework.version}"),
        el(
            "p",
            f"{framework.mapped} of {framework.total} scored controls have a reference. ",
            f"Provenance: {framework.provenance}.",
            class_="small",
        ),
        folded(
            f"{count(len(framework.references), 'reference')}",
            _references(f"{framework.title}, indicative", "Reference", framework.references, lambda r: r.id),
            unfolded=len(framework.references) <= UNFOLDED,
        ),
    )


def _references(
    caption: str, heading: str, references: Sequence[Reference], name: Callable[[Reference], str]
) -> Markup:
    rows = [
        (
            name(r),
            f"{r.full} of {len(r.controls)} in full" if r.controls else "no longer scored",
            (
                of(r.score, r.max_score),
                (" ", el("span", f"{points(r.asserted)} asserted", class_="small stated-text")) if r.asserted else None,
            ),
            percent(r.percent) if r.controls else "–",
            charts.level(None if r.percent is None else r.percent / 100, _share(r.asserted, r.max_score) or 0.0),
            change(r.delta),
        )
        for r in references
    ]
    columns = (
        (heading, ""),
        ("Controls", "num"),
        ("Points", "num"),
        ("Percent", "num"),
        ("", "draw"),
        ("Change", "num"),
    )
    return table(caption, columns, rows, "dense")


def _comparatives(averages: Sequence[Comparative]) -> Content:
    if not averages:
        return nothing("Microsoft sent no averages in the period.")
    names = {"AllTenants": "All tenants", "TotalSeats": "Tenants of similar size", "IndustryTypes": "Same industry"}
    rows = [
        (
            f"{names.get(a.basis, a.basis)}{f' ({a.seats} seats)' if a.seats else ''}",
            percent(a.average),
            charts.level(None if a.average is None else a.average / 100),
            percent(a.ours),
            percent_change(a.difference),
        )
        for a in averages
    ]
    columns = (("Average of", ""), ("Average", "num"), ("", "draw"), ("This tenant", "num"), ("Difference", "num"))
    return (
        table(f"Averages of {averages[0].day}", columns, rows, "dense"),
        el("p", METHOD["comparatives"], class_="small"),
    )


# ------------------------------------------------------------------------------------------------------------ evidence


def _evidence(report: TenantReport) -> Content:
    files = report.evidence
    words = ("verified", "altered", "missing", "unlisted")
    states: Mapping[str, int] = {word: sum(f.state == word for f in files) for word in words}
    told = ", ".join(f"{n} {state}" for state, n in states.items() if n) or "none is kept for this period"
    rows = [(f.day, f.name, f.state, el("code", f.sha256)) for f in files]
    days = [
        (
            d.day,
            points(d.score),
            points(d.max_score),
            percent(d.percent),
            points(d.measured),
            points(d.asserted),
            str(d.revision),
            el("code", d.sha256),
        )
        for d in report.days
    ]
    figures = tuple((name, "num") for name in ("Points", "Maximum", "Percent", "Measured", "Asserted", "Revision"))
    return (
        facts(
            [
                ("Tenant", el("code", report.summary.tenant_id)),
                ("Source", report.source),
                ("Archived responses", told),
                ("Fingerprint of the data", el("code", report.fingerprint)),
            ]
        ),
        el(
            "p",
            "The fingerprint is the SHA-256 of one line for each observed day: day, revision and content hash, parted "
            "by spaces; the content hash is the one that event ids are made of.",
            class_="small",
        ),
        folded(
            "Archived responses and their SHA-256",
            table(
                "Evidence archive", (("Day", ""), ("File", ""), ("State", ""), ("SHA-256", "wide")), rows, "dense annex"
            ),
        )
        if files
        else None,
        folded(
            "Every observed day and its content hash",
            table("Score by day", (("Day", ""), *figures, ("SHA-256", "wide")), days, "dense annex"),
        ),
    )
