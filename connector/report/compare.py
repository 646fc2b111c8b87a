"""Many tenants in HTML: the comparison, weakest first, and a matrix of controls by tenants. No figure is made here."""

from collections.abc import Mapping, Sequence

from connector.report import charts
from connector.report.figures import Pen, Row, folded
from connector.report.front import issues
from connector.report.markup import Content, Markup, el, soft
from connector.report.telling import retell
from connector.report.values import Cover, Matrix, MatrixRow, Summary

SHOWN_DOTS = 3
"""From so many tenants on a drawing shows where they stand."""
SHOWN_TENANTS = 25
SHOWN_ROWS = 20
"""Of more the rest is folded."""
_MARKS: Mapping[str | None, str] = {
    "full": "●",
    "part": "◐",
    "none": "○",
    "asserted": "◆",
    "unknown": "?",
    None: "·",
}


DEVIATES = "▲"
"""Beside the mark of a control that is not as the baseline asks."""


def comparison(cover: Cover, pen: Pen) -> Markup:
    """All tenants: those of which something is known, weakest first; then, folded, those of which nothing is."""
    known = [s for s in cover.summaries if s.error is None]
    silent = [s for s in cover.summaries if s.error is not None]
    percents = [s.percent for s in known if s.percent is not None]
    lost = sum((s.delta or 0.0) < 0 for s in known)
    links = {name: f"#t{number + 1}" for number, name in enumerate(cover.detailed)}
    rest = len(known) - len(cover.detailed)
    return el(
        "section",
        el("h2", pen("compare.title"), id="comparison"),
        el(
            "p",
            pen.together(
                pen("compare.known", n=len(known)),
                pen("compare.lost", n=lost) if lost else None,
                pen("compare.rest", n=rest, full=len(cover.detailed)) if rest > 0 else None,
            ),
            class_="lead",
        ),
        el("figure", charts.dots(pen, "comparison-dots", percents)) if len(percents) >= SHOWN_DOTS else None,
        _table("compare.caption", known[:SHOWN_TENANTS], links, pen),
        folded(
            pen("compare.more", n=len(known) - SHOWN_TENANTS),
            _table("compare.more_caption", known[SHOWN_TENANTS:], links, pen),
        )
        if len(known) > SHOWN_TENANTS
        else None,
        _silent(silent, pen) if silent else None,
        _matrix(cover.matrix, pen) if cover.matrix is not None and cover.matrix.rows else None,
        aria_labelledby="comparison",
    )


def _table(caption: str, summaries: Sequence[Summary], links: Mapping[str, str], pen: Pen) -> Markup:
    columns = (
        ("column.tenant", ""),
        ("column.percent", "num chief"),
        ("", "draw"),
        ("column.points", "num"),
        ("column.change", "num"),
        ("column.asserted", "num"),
        ("column.exceptions", "num"),
        ("column.days", "num"),
        ("column.data", "wide"),
    )
    return pen.table(caption, columns, [_line(s, links.get(s.name), pen) for s in summaries], "comparison dense")


def _line(one: Summary, link: str | None, pen: Pen) -> Row:
    told = issues(one.issues, one.days_in_period - one.days_observed, pen)
    if one.worst:
        told = pen("compare.loss", issues=told, control=soft(one.worst), change=pen.change(one.worst_delta))
    return (
        el("a", one.name, href=link) if link else el("span", one.name, class_="title"),
        pen.percent(one.percent),
        charts.level(None if one.percent is None else one.percent / 100),
        pen.of(one.score, one.max_score),
        pen.change(one.delta),
        pen.points(one.asserted),
        pen.text("unknown") if one.exceptions is None else pen.say.count(one.exceptions),
        pen.part(one.days_observed, one.days_in_period),
        el("span", told, class_="small"),
    )


def _silent(summaries: Sequence[Summary], pen: Pen) -> Markup:
    """Tenants of which nothing can be said: not the weakest, but the unknown ones."""
    rows = [(s.name, retell(pen, s.error or "")) for s in summaries]
    columns = (("column.tenant", ""), ("column.why", "wide"))
    return folded(pen("compare.silent", n=len(summaries)), pen.table("compare.silent_caption", columns, rows, "dense"))


# -------------------------------------------------------------------------------------------------------------- matrix


def _matrix(matrix: Matrix, pen: Pen) -> Content:
    legend = [
        el(
            "span",
            el("span", _MARKS[state], class_=f"mark-{state}", aria_hidden="true"),
            " ",
            pen.word("standing", state),
        )
        for state in ("full", "asserted", "part", "none", "unknown")
    ]
    judged = any(any(row.deviations) for row in matrix.rows)
    away = el("span", f"{DEVIATES} ", pen("matrix.deviates")) if judged else None
    shown, rest = matrix.rows[:SHOWN_ROWS], matrix.rows[SHOWN_ROWS:]
    return (
        el("h3", pen("matrix.title"), id="matrix"),
        pen.p("matrix.lead", n=len(matrix.tenants)),
        el("p", legend, el("span", f"{_MARKS[None]} ", pen("matrix.not_scored")), away, class_="legend"),
        _cells("matrix.caption", matrix, shown, pen),
        folded(pen("matrix.more", n=len(rest)), _cells("matrix.more_caption", matrix, rest, pen)) if rest else None,
    )


def _cells(caption: str, matrix: Matrix, rows: Sequence[MatrixRow], pen: Pen) -> Markup:
    head = el(
        "tr",
        el("th", pen("column.control"), scope="col"),
        el("th", pen("column.open_in"), scope="col", class_="num"),
        el("th", pen("column.lacking"), scope="col", class_="num"),
        [el("th", el("span", name), scope="col", class_="cell") for name in matrix.tenants],
    )
    body = [
        el(
            "tr",
            el("th", pen.title(row.title), scope="row"),
            el("td", pen.part(row.open, row.scored), class_="num chief", data_label=pen.text("column.open_in")),
            el("td", pen.points(row.points), class_="num", data_label=pen.text("column.lacking")),
            [_cell(*one, pen) for one in zip(row.standings, row.percents, row.deviations, strict=True)],
        )
        for row in rows
    ]
    return el("table", el("caption", pen(caption)), el("thead", head), el("tbody", body), class_="matrix dense")


def _cell(standing: str | None, percent: float | None, deviates: bool, pen: Pen) -> Markup:
    words = pen.text("matrix.not_scored") if standing is None else pen.word("standing", standing)
    if standing == "part" and percent is not None:
        words = pen.percent(percent)
    mark = el("span", _MARKS[standing], class_=f"mark-{standing or 'not'}", role="img", aria_label=words)
    away = el("span", DEVIATES, class_="mark-away", role="img", aria_label=pen.text("matrix.deviates"))
    return el("td", mark, away if deviates else None, class_="cell")
