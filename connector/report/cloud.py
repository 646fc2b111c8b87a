"""The scores beside a tenant's Secure Score, and their section: subscriptions, controls, compliance, exposure.

`told` makes values of what is remembered of the entries of several units that have the tenant's id; `cloud` writes
them. Nothing here is ever added to the score of Graph. What moved between two days says observe/waterfall.py.
"""

from collections.abc import Mapping, Sequence

from connector.model import OF_UNITS, WHOLE, Day, Profile, Standard, Unit, Version
from connector.observe import diff, waterfall
from connector.observe.memory import Memory
from connector.report import charts
from connector.report.figures import Pen, Row, folded
from connector.report.markup import Content, Markup, el
from connector.report.values import (
    Cloud,
    CloudControl,
    CloudMaterial,
    CloudScore,
    CloudStandard,
    Period,
    TenantReport,
)

SHOWN_UNITS = 5
"""Of so many, the weakest, the section tells; of the others the annex."""
SHOWN = 20
"""Rows of each table there; the JSON form has all of them."""


def told(entries: Sequence[CloudMaterial], when: Period) -> tuple[Cloud, ...]:
    """What is known of each entry in the period."""
    return tuple(_entry(entry, when) for entry in entries)


def _entry(entry: CloudMaterial, when: Period) -> Cloud:
    scored = [
        (unit, known, found)
        for unit, known in entry.units
        if unit.kind not in WHOLE and (found := known.between(when.start, when.end))
    ]
    units = [_score(unit, known, found) for unit, known, found in scored]
    units.sort(key=lambda u: (-1.0 if u.percent is None else -u.percent if u.lower_is_better else u.percent, u.id))
    whole = entry.memory.between(when.start, when.end)
    effects, residual = _effects(whole, entry.memory, entry.whole)
    return Cloud(
        entry=entry.name,
        source=entry.source,
        whole=_score(entry.whole, entry.memory, whole) if whole else None,
        effects=effects,
        residual=residual,
        units=tuple(units),
        controls=tuple(_controls([(found[-1].day, known.profiles or {}) for _, known, found in scored])),
        standards=tuple(_standards([(unit, known.standards) for unit, known, _ in scored])),
        no_data=entry.no_data,
    )


def _score(unit: Unit, known: Memory, found: Sequence[Version]) -> CloudScore:
    first, last = found[0].day, found[-1].day
    delta = None
    if first.score is not None and last.score is not None and len(found) > 1:
        delta = diff.points(diff.fixed(last.score) - diff.fixed(first.score))
    controls = [c for c in last.controls.values() if c.max_score is None or c.max_score > 0]
    return CloudScore(
        kind=unit.kind,
        id=unit.id,
        name=unit.name,
        score_name=unit.score,
        model=unit.model,
        lower_is_better=unit.lower_is_better,
        day=last.day,
        score=diff.rounded(last.score),
        max_score=diff.rounded(last.max_score),
        percent=diff.rounded(last.percent),
        before_day=first.day if len(found) > 1 else None,
        delta=delta,
        percent_delta=_percent_delta(first, last) if len(found) > 1 else None,
        controls=len(controls),
        open=sum(diff.is_full(c, (known.profiles or {}).get(c.name)) is False for c in controls),
    )


def _percent_delta(first: Day, last: Day) -> float | None:
    return None if first.percent is None or last.percent is None else diff.rounded(last.percent - first.percent)


def _effects(path: Sequence[Version], known: Memory, unit: Unit) -> tuple[Mapping[str, float], float | None]:
    """What scores, weights, and subscriptions that came or went made of the score over all in the period."""
    if len(path) < 2:
        return {}, None
    data = waterfall.between(path, known.profiles, {}, unit=unit)
    return dict(data.get("effects", {})), data["residual"]


def _controls(days: Sequence[tuple[Day, Mapping[str, Profile]]]) -> list[CloudControl]:
    """The controls of all subscriptions, the most points to win first; what applies to nothing is not among them."""
    found: dict[str, CloudControl] = {}
    for day, profiles in days:
        for name, control in day.controls.items():
            if not control.max_score or control.score is None:
                continue
            was = found.get(name) or CloudControl(name, name, 0, 0, 0.0, 0)
            title = profiles[name].title if name in profiles else was.title
            lacking = diff.fixed(control.max_score) - diff.fixed(control.score)
            unhealthy = 0 if control.total is None or control.count is None else control.total - control.count
            found[name] = CloudControl(
                name,
                title,
                was.scored + 1,
                was.open + (lacking > 0),
                diff.points(diff.fixed(was.points) + lacking),
                was.unhealthy + unhealthy,
            )
    return sorted(found.values(), key=lambda c: (-c.points, c.title, c.control))


def _standards(units: Sequence[tuple[Unit, Mapping[str, Standard] | None]]) -> list[CloudStandard]:
    rows = [
        CloudStandard(unit.id, unit.name, one.id, one.state, one.passed, one.failed, one.skipped, one.unsupported)
        for unit, standards in units
        for one in (standards or {}).values()
    ]
    return sorted(rows, key=lambda r: (-(r.failed or 0), r.standard, r.subscription))


# ------------------------------------------------------------------------------------------------------------- section


def cloud(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """The scores beside the Secure Score; None where no entry of several units has this tenant's id."""
    if not report.clouds:
        return None
    own = report.source in OF_UNITS
    return (None if own else pen.p("cloud.lead"), [_part(one, pen) for one in report.clouds])


def _part(one: Cloud, pen: Pen) -> Content:
    if one.whole is None:
        return pen.p("cloud.nothing", class_="nothing", entry=one.entry)
    return (
        el("p", pen.together(*_words(one, one.whole, pen))),
        _units(one, pen, SHOWN_UNITS),
        pen.p("cloud.no_data", class_="small", n=one.no_data) if one.no_data else None,
    )


def behind(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Annex: every unit, what the controls lack over all of them, and how they comply."""
    found = [part for one in report.clouds for part in _behind(one, pen)]
    return found or None


def _behind(one: Cloud, pen: Pen) -> list[Markup]:
    units = _units(one, pen, SHOWN) if len(one.units) > SHOWN_UNITS else None
    parts = (
        (_units_caption(one), units),
        ("cloud.controls_caption", _control_table(one.controls, pen)),
        ("cloud.standards_caption", _standard_table(one.standards, pen) if one.standards else None),
    )
    return [folded(pen(caption), table) for caption, table in parts if table]


def _words(one: Cloud, whole: CloudScore, pen: Pen) -> list[Content]:
    day = pen.day(whole.day)
    if whole.lower_is_better:
        said = [pen("cloud.exposure", entry=one.entry, points=pen.points(whole.score), day=day)]
        change = None if whole.delta is None else pen.say.signed(whole.delta)
        made = None
    else:
        said = [pen("cloud.whole", entry=one.entry, percent=pen.percent(whole.percent), day=day)]
        change = None if whole.percent_delta is None else pen.percent_change(whole.percent_delta)
        made = _made(one, pen)
    if change is not None and whole.before_day is not None:
        said.append(pen("cloud.since", change=change, day=pen.day(whole.before_day)))
    return [*said, *([made] if made else []), pen("cloud.lower" if whole.lower_is_better else "cloud.computed")]


def _made(one: Cloud, pen: Pen) -> Content:
    if not one.effects:
        return None
    scope = one.effects["added"] + one.effects["removed"]
    return pen(
        "cloud.made",
        score=pen.say.signed(round(one.effects["score"], 2) + 0.0),
        weight=pen.say.signed(round(one.effects["weight"], 2) + 0.0),
        scope=pen.say.signed(round(scope, 2) + 0.0),
        residual=pen.say.signed(round(one.residual or 0.0, 2) + 0.0),
    )


def _units_caption(one: Cloud) -> str:
    exposure = bool(one.units) and one.units[0].lower_is_better
    return "cloud.groups_caption" if exposure else "cloud.units_caption"


def _units(one: Cloud, pen: Pen, most: int) -> Content:
    if not one.units:
        return None
    exposure = one.units[0].lower_is_better
    rows: list[Row] = []
    for unit in one.units[:most]:
        change = pen.say.signed(unit.delta) if exposure else pen.change(unit.delta)
        rows.append(
            (
                pen.named(unit.name or unit.id, unit.id),
                pen.points(unit.score) if exposure else pen.percent(unit.percent),
                charts.level(None if unit.percent is None else unit.percent / 100),
                *(() if exposure else (pen.of(unit.score, unit.max_score), pen.part(unit.open, unit.controls))),
                change,
            )
        )
    columns = (
        ("column.device_group" if exposure else "column.subscription", ""),
        ("column.exposure" if exposure else "column.percent", "num chief"),
        ("", "draw"),
        *(() if exposure else (("column.points", "num"), ("column.open_controls", "num"))),
        ("column.change", "num"),
    )
    table = pen.table(_units_caption(one), columns, rows, "dense")
    return (table, _rest(len(one.units), pen) if most == SHOWN else None)


def _control_table(controls: Sequence[CloudControl], pen: Pen) -> Content:
    shown = [c for c in controls if c.open][:SHOWN]
    if not shown:
        return None
    rows = [
        (
            pen.named(c.title, c.control),
            pen.points(c.points),
            pen.part(c.open, c.scored),
            pen.say.count(c.unhealthy),
        )
        for c in shown
    ]
    columns = (
        ("column.control", ""),
        ("column.lacking", "num chief"),
        ("column.open_in", "num"),
        ("column.unhealthy", "num"),
    )
    table = pen.table("cloud.controls_caption", columns, rows, "dense")
    return (table, _rest(sum(c.open > 0 for c in controls), pen))


def _standard_table(standards: Sequence[CloudStandard], pen: Pen) -> Content:
    rows = [
        (
            pen.title(s.standard),
            s.name or s.subscription,
            *("–" if n is None else pen.say.count(n) for n in (s.failed, s.passed, s.skipped, s.unsupported)),
        )
        for s in standards[:SHOWN]
    ]
    columns = (
        ("column.standard", ""),
        ("column.subscription", "wide"),
        ("column.failed", "num chief"),
        ("column.passed", "num"),
        ("column.skipped", "num"),
        ("column.unsupported", "num"),
    )
    return (pen.table("cloud.standards_caption", columns, rows, "dense"), _rest(len(standards), pen))


def _rest(count: int, pen: Pen) -> Content:
    return pen.p("cloud.rest", class_="small", n=count - SHOWN) if count > SHOWN else None
