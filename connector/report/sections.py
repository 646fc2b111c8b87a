"""The sections of one tenant in HTML: values of values.py in, markup out. No computing beyond what a layout needs.

A section is a function in MAIN, a part of the annex one in ANNEX; None where it has nothing to say. Every number stands
as text; drawings only repeat it. All texts pass through markup.py, which escapes them.
"""

from collections.abc import Callable, Sequence

from attrs import frozen

from connector.model import OF_UNITS
from connector.report import annex, charts, cloud, insurers, moves, references, register
from connector.report.figures import Column, Pen
from connector.report.front import basis
from connector.report.markup import Content, Markup, el
from connector.report.telling import retell
from connector.report.values import Group, TenantReport

SHOWN_GROUPS = 8
"""Groups of a kind that are shown at once; the smallest of more are folded."""

OF_GRAPH = ("exceptions", "frameworks", "insurance", "averages")
"""Sections of what Graph alone knows: states, controls by their names, averages."""

Maker = Callable[[TenantReport, Pen, str], Content]


@frozen
class Section:
    """Where a section lies in its tenant's part: its id's end, its heading, what stands under it."""

    key: str
    title: Content
    content: Content


def sections(report: TenantReport, pen: Pen, prefix: str) -> list[Section]:
    """All sections of a tenant, in order; the annex is the last."""
    left_out = OF_GRAPH if report.source in OF_UNITS else ()
    found = [(key, make(report, pen, prefix)) for key, make in MAIN if key not in left_out]
    appended = [(key, make(report, pen, prefix)) for key, make in ANNEX if key not in left_out]
    parts = [el("section", el("h4", pen(f"annex.{key}")), content) for key, content in appended if content]
    return [
        *[Section(key, pen(f"section.{key}"), content) for key, content in found if content],
        Section("annex", pen("section.annex"), (pen.p("annex.lead", class_="small"), parts)),
    ]


# -------------------------------------------------------------------------------------------------------------- groups


def groups(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Points by category, service and tier."""
    moved = "; ".join(retell(pen, flow.words) for flow in report.regrouped)
    return (
        pen.p("groups.moved", flows=moved) if moved else None,
        _group_table("category", report.categories, pen),
        _group_table("service", report.services, pen) if report.services else pen.nothing("groups.no_catalogue"),
        _group_table("tier", report.tiers, pen) if report.tiers else None,
    )


def _group_table(kind: str, found: Sequence[Group], pen: Pen) -> Content:
    ordered = sorted(found, key=lambda g: (-(g.max_score or 0.0), g.name))
    shown, rest = ordered[:SHOWN_GROUPS], ordered[SHOWN_GROUPS:]
    more = annex.fold(pen(f"groups.more_{kind}", n=len(rest)), _group_rows(kind, rest, pen)) if rest else None
    return (_group_rows(kind, shown, pen), more)


def _group_rows(kind: str, found: Sequence[Group], pen: Pen) -> Markup:
    regrouped = any(g.regrouped for g in found)
    rows = [
        (
            pen.service(g.name) if kind == "service" else pen.word(kind, g.name),
            pen.percent(g.percent) if g.controls else "–",
            pen.of(g.score, g.max_score) if g.controls else pen("groups.gone"),
            charts.level(None if g.percent is None else g.percent / 100),
            pen.change(g.delta),
            *((pen.change(g.regrouped) if g.regrouped else "",) if regrouped else ()),
            charts.spark(g.percents),
            pen.say.count(g.controls),
        )
        for g in found
    ]
    columns: tuple[Column, ...] = (
        (f"column.{kind}", ""),
        ("column.percent", "num chief"),
        ("column.points", "num"),
        ("", "draw"),
        ("column.change", "num"),
        *((("column.regrouped", "num"),) if regrouped else ()),
        ("column.course", "draw"),
        ("column.controls", "num"),
    )
    return pen.table(f"groups.{kind}_caption", columns, rows, "groups dense")


# ---------------------------------------------------------------------------------------------------- averages, targets


def averages(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Microsoft's averages beside this tenant."""
    found = report.comparatives
    industry = None if any(a.basis == "IndustryTypes" for a in found) else pen("averages.no_industry")
    method = el("p", pen.together(pen("method.comparatives"), industry), class_="small")
    if not found:
        return (pen.nothing("averages.none"), method)
    rows = [
        (
            basis(a, pen),
            pen.percent_change(a.difference),
            charts.level(None if a.average is None else a.average / 100),
            pen.percent(a.average),
            pen.percent(a.ours),
        )
        for a in found
    ]
    columns = (
        ("column.average_of", ""),
        ("column.difference", "num chief"),
        ("", "draw"),
        ("column.average", "num"),
        ("column.this_tenant", "num"),
    )
    return (
        pen.p("averages.lead", class_="small", day=pen.day(found[0].day)),
        pen.table("averages.caption", columns, rows, "dense"),
        method,
    )


def targets(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """What was told of targets in the period; of exceptions the register tells."""
    told = [n for n in report.targets if n.type.startswith("posture.target")]
    return annex.notices(told, pen, "targets.caption") if told else None


MAIN: tuple[tuple[str, Maker], ...] = (
    ("score", moves.score),
    ("why", moves.why),
    ("groups", groups),
    ("controls", moves.controls),
    ("exceptions", register.exceptions),
    ("frameworks", references.frameworks),
    ("insurance", insurers.insurers),
    ("averages", averages),
    ("cloud", cloud.cloud),
)
ANNEX: tuple[tuple[str, Maker], ...] = (
    ("quality", annex.quality),
    ("targets", targets),
    ("moves", moves.smaller),
    ("actions", annex.actions),
    ("exceptions", register.all_exceptions),
    ("frameworks", references.all_references),
    ("insurance", insurers.behind),
    ("evidence", annex.evidence),
    ("cloud", cloud.behind),
)
