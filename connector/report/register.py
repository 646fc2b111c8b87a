"""The exceptions register in HTML: who declared what, when and why, and what is due. Values in, markup out.

What is due is judged in observe/exceptions.py; nothing is computed here but counts of what is shown.
"""

from collections import Counter
from collections.abc import Sequence

from connector.observe import diff
from connector.report import charts
from connector.report.figures import Pen, Row, folded, share
from connector.report.markup import Content, Markup, el, soft
from connector.report.values import Exemption, StateChange, TenantReport

OLD_DAYS = 365
"""From this age on an exception is called old."""
SHOWN = 8
SHOWN_COMMENT = 140
"""Exceptions, and characters of a comment, that are shown at once; the annex has all where there are more."""


def exceptions(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Who declared what, when and why; what is due first."""
    held = report.exceptions
    if held is None:
        return pen.nothing("exceptions.unknown")
    one = report.summary
    open_ = None
    if one.score is not None and one.max_score is not None:
        open_ = diff.points(diff.fixed(one.max_score) - diff.fixed(one.score))
    ordered = in_order(held)
    rest = len(held) - SHOWN
    attention = _attention(held, pen)
    return (
        pen.p("exceptions.lead", n=len(held), day=pen.day(report.period.end)),
        charts.level(share(one.score, one.max_score), share(one.asserted, one.max_score) or 0.0),
        pen.legend(
            {
                "measured": pen("exceptions.measured", points=pen.points(one.measured)),
                "stated": pen("exceptions.asserted", points=pen.points(one.asserted)),
                "open": pen("exceptions.open", points=pen.points(open_)),
            }
        ),
        el("p", attention, class_="attention") if attention else None,
        register(ordered[:SHOWN], pen, "exceptions.caption", SHOWN_COMMENT) if held else pen.nothing("exceptions.none"),
        pen.p("exceptions.rest", class_="small", n=rest) if rest > 0 else None,
        _by_person(held, pen) if len(held) > 1 else None,
        pen.p("exceptions.changes", class_="small", n=len(report.state_changes)),
    )


def in_order(held: Sequence[Exemption]) -> list[Exemption]:
    """What is due first; then the oldest."""
    return sorted(held, key=lambda e: (not e.due, -(e.age_days if e.age_days is not None else 1_000_000), e.control))


def _attention(held: Sequence[Exemption], pen: Pen) -> Content:
    """What an auditor asks about first."""
    counts = {
        "overdue": sum("review_overdue" in e.due for e in held),
        "silent": sum(e.comment is None for e in held),
        "old": sum(e.age_days is not None and e.age_days > OLD_DAYS for e in held),
        "undated": sum(e.age_days is None for e in held),
    }
    told = [pen(f"exceptions.{key}", n=n) for key, n in counts.items() if n]
    return pen("exceptions.look_at", what=pen.say.listed(told)) if told else None


def register(held: Sequence[Exemption], pen: Pen, caption: str, longest: int = 0) -> Markup:
    """Exceptions as a table; comments no longer than `longest`, unless that is 0."""
    columns = (
        ("column.control", ""),
        ("column.state", "chief"),
        ("column.points", "num"),
        ("column.who", "who"),
        ("column.since", ""),
        ("column.review", ""),
        ("column.comment", "wide"),
    )
    return pen.table(caption, columns, [_exemption(e, pen, longest) for e in held], "register")


def _exemption(one: Exemption, pen: Pen, longest: int) -> Row:
    age = pen("exceptions.no_age") if one.age_days is None else pen("exceptions.age", n=one.age_days)
    tags = [
        el("span", pen("exceptions.tag_new"), class_="tag") if one.new_in_period else None,
        el("span", pen("exceptions.tag_old"), class_="tag warn") if (one.age_days or 0) > OLD_DAYS else None,
    ]
    score = pen("exceptions.not_scored") if one.score is None else pen.of(one.score, one.max_score)
    weight: Content = None
    if one.asserted_points:
        weight = el("span", pen("exceptions.of_it_asserted", points=one.asserted_points), class_="small stated-text")
    elif one.forgone_points:
        weight = el("span", pen("exceptions.forgone", points=one.forgone_points), class_="small")
    assigned = pen("exceptions.assigned", who=soft(one.assigned_to)) if one.assigned_to else None
    review: Content = pen.day(one.review_on) if one.review_on else None
    if one.due:
        review = (review, " ", [el("span", pen.word("tag", reason), class_="tag bad") for reason in one.due])
    return (
        pen.named(one.title, one.control),
        pen.word("state", one.state),
        (score, " ", weight),
        (soft(one.by or pen.text("unknown")), " ", el("span", assigned, class_="small") if assigned else None),
        (
            pen.day(one.at[:10]) if one.at else pen("exceptions.no_date"),
            " ",
            el("span", age, class_="small"),
            " ",
            tags,
        ),
        review,
        _shortened(one.comment, longest) if one.comment else _silent(pen),
    )


def _shortened(text: str, longest: int) -> str:
    return f"{text[: longest - 1].rstrip()}…" if longest and len(text) > longest else text


def _silent(pen: Pen) -> Markup:
    return el("span", pen("exceptions.no_comment"), class_="cause unknown")


def _by_person(held: Sequence[Exemption], pen: Pen) -> Markup:
    counts = Counter(e.by or pen.text("unknown") for e in held)
    told = [pen("exceptions.of_person", who=soft(who), n=n) for who, n in counts.most_common()]
    return pen.p("exceptions.by_person", class_="small", people=pen.say.listed(told))


def _state_changes(changes: Sequence[StateChange], pen: Pen) -> Content:
    if not changes:
        return None
    rows = [
        (
            pen.named(c.title, c.control),
            pen.day(c.at[:10]),
            f"{pen.word('state', c.before)} → {pen.word('state', c.after)}",
            soft(c.by or pen.text("unknown")),
            c.comment or _silent(pen),
        )
        for c in changes
    ]
    columns = (
        ("column.control", ""),
        ("column.day", "chief"),
        ("column.state", ""),
        ("column.who", "who"),
        ("column.comment", "wide"),
    )
    return folded(
        pen("exceptions.changes_fold", n=len(changes)),
        pen.table("exceptions.changes_caption", columns, rows, "dense"),
        printed=True,
    )


def all_exceptions(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Annex: the register in full, where the section shows a part of it; what was declared or taken back."""
    held, every = report.exceptions or (), None
    if len(held) > SHOWN or any(len(e.comment or "") > SHOWN_COMMENT for e in held):
        every = folded(
            pen("exceptions.all", n=len(held)), register(in_order(held), pen, "exceptions.all_caption"), printed=True
        )
    changes = _state_changes(report.state_changes, pen)
    return (every, changes) if every or changes else None
