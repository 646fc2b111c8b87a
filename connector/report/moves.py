"""Why the score moved, in HTML: the steps of its course, the waterfall of the period, and the controls that moved.

The figures are those of values.Bridge and values.Step; nothing is decomposed here.
"""

from collections.abc import Sequence

from connector.observe import diff
from connector.report import charts
from connector.report.figures import change, count, day, folded, named, nothing, percent_change, points, table
from connector.report.markup import Content, Markup, el
from connector.report.values import Bridge, Move, Step, TenantReport
from connector.report.words import CAUSES, SERVICES

SHOWN_MOVES = 12
"""Bars of the waterfall; the rest is one bar, and every move stands in the tables below it."""
UNSEEN = (
    "“No evidence” means that the two days hold nothing that would prove a cause. Microsoft removes the counts behind "
    "a score as soon as a newer day appears, so what moved before the first poll usually stays without a cause."
)


def score(report: TenantReport, prefix: str) -> Content:
    """The course of the score, and its largest steps."""
    marks = [step.day for step in report.steps]

    def drawing(name: str, size: charts.Size) -> Markup:
        return charts.timeline(f"{prefix}-{name}", report.days, report.period, report.quality.gaps, marks, size)

    if len(report.days) < 2:
        return nothing("A course needs two observed days.")
    return (
        el("figure", drawing("wide", charts.WIDE), class_="wide-only"),
        el("figure", drawing("narrow", charts.NARROW), class_="narrow-only"),
        el("h4", "The largest steps") if report.steps else None,
        el("ol", [_step(step) for step in report.steps], class_="steps") if report.steps else None,
    )


def _step(step: Step) -> Markup:
    maximum: Content = None
    if step.max_delta:
        maximum = ("; the maximum moved by ", change(step.max_delta))
    rest = step.moved - len(step.moves)
    return el(
        "li",
        el("p", day(step.day), " ", change(step.delta), " points", maximum),
        [el("p", _step_move(move), class_="small") for move in step.moves],
        el("p", f"and {count(rest, 'smaller move')}", class_="small") if rest else None,
        el("p", change(step.residual), " explained by no control", class_="small") if step.residual else None,
    )


def _step_move(move: Move) -> Content:
    was = "new" if move.before is None else points(move.before)
    now = "gone" if move.after is None else points(move.after)
    why: Content = None
    if move.cause.label != "unknown":
        why = (": ", move.cause.evidence[0] if move.cause.evidence else CAUSES.get(move.cause.label, move.cause.label))
    return (el("span", move.title, class_="title"), f" {was} → {now} (", change(move.delta), ")", why)


def _cause_words(label: str, evidence: Sequence[str]) -> Content:
    words = CAUSES.get(label, label)
    shown = "" if not evidence else f": {evidence[0]}" if label != "unknown" else ""
    return el(
        "span",
        f"{words[:1].upper()}{words[1:]}{shown}",
        class_=f"cause {'unknown' if label == 'unknown' else ''}".strip(),
    )


# ----------------------------------------------------------------------------------------------------------- waterfall


def why(bridge: Bridge | None) -> Content:
    """The change of the period, exactly: the waterfall, and the same by cause."""
    if bridge is None:
        return nothing("A change needs two observed days.")
    split = bridge.percent
    effect: Content = None
    if split["delta"] is not None:
        effect = (
            "The percentage moved by ",
            percent_change(split["delta"]),
            " (percentage points): points account for ",
            percent_change(split["numerator"]),
            ", the maximum for ",
            percent_change(split["denominator"]),
            ".",
        )
    return (
        el(
            "p",
            (
                "From ",
                day(bridge.before_day),
                " to ",
                day(bridge.after_day),
                " the score moved by ",
                change(bridge.delta),
            ),
            f" points: {len(bridge.moves)} controls and the residual account for all of it. ",
            effect,
        ),
        el("p", UNSEEN, class_="small") if any(m.cause.label == "unknown" for m in bridge.moves) else None,
        _waterfall(bridge),
        _causes(bridge),
    )


def _waterfall(bridge: Bridge) -> Markup:
    """Floating bars: each begins where the one above it ended."""
    shown, rest = bridge.moves[:SHOWN_MOVES], bridge.moves[SHOWN_MOVES:]
    steps: list[tuple[Content, float | None, Content]] = [
        (named(m.title, m.control), m.delta, _move_cause(m)) for m in shown
    ]
    if rest:
        together = diff.points(sum(diff.fixed(m.delta) for m in rest))
        steps.append((f"{len(rest)} smaller moves together", together, "listed below, under Controls that moved"))
    steps.append(("Residual", bridge.residual, "explained by no control"))
    at = bridge.before_score or 0.0
    ends = [at]
    for _, delta, _ in steps:
        at += delta or 0.0
        ends.append(at)
    low, high = min(ends), max(ends)
    room = (high - low) * 1.16 or 1.0
    low -= (high - low) * 0.08 or 0.5

    def place(value: float) -> float:
        return (value - low) / room

    rows: list[Sequence[Content]] = [
        (day(bridge.before_day), el("b", points(bridge.before_score)), _tick(place(ends[0])), "score at the beginning")
    ]
    for (name, delta, why), start, end in zip(steps, ends, ends[1:], strict=False):
        direction = "rise" if (delta or 0) > 0 else "fall" if (delta or 0) < 0 else "flat"
        rows.append((name, change(delta), charts.span(place(start), place(end), direction), why))
    rows.append(
        (day(bridge.after_day), el("b", points(bridge.after_score)), _tick(place(ends[-1])), "score at the end")
    )
    columns = (("Control", ""), ("Points", "num"), ("", "draw"), ("Cause", "wide"))
    return table("Waterfall of the period", columns, rows, "waterfall")


def _tick(place: float) -> Markup:
    """A score itself: a mark, not a bar, since the axis does not begin at zero."""
    return charts.span(place - 0.006, place + 0.006, "total")


def _move_cause(move: Move) -> Content:
    """The cause that its event named, too; or that nothing is known."""
    if move.cause.label != "unknown":
        return _cause_words(move.cause.label, move.cause.evidence)
    if move.kind != "moved":
        words = "newly scored" if move.kind == "added" else "no longer scored"
        return el("span", f"{words.capitalize()}; no evidence why", class_="cause unknown")
    return _cause_words("unknown", ())


def _causes(bridge: Bridge) -> Content:
    rows: list[Sequence[Content]] = [
        (
            f"{CAUSES.get(c.label, c.label)[:1].upper()}{CAUSES.get(c.label, c.label)[1:]}",
            change(c.gained),
            change(c.lost),
            change(c.net),
            str(c.moves),
        )
        for c in bridge.causes
    ]
    rows.append(("Residual", "", "", change(bridge.causes_residual), ""))
    rows.append((el("b", "Together"), "", "", el("b", change(bridge.delta)), ""))
    columns = (("Cause", ""), ("Gained", "num"), ("Lost", "num"), ("Net", "num"), ("Moves", "num"))
    return (
        el("h4", "The same change, day by day"),
        el(
            "p",
            "What went up and down again inside the period is in here, by the cause of each day's move.",
            class_="small",
        ),
        table("Points by cause", columns, rows, "dense"),
    )


# ------------------------------------------------------------------------------------------------------------ controls


def controls(bridge: Bridge | None) -> Content:
    """Every control that moved, by direction."""
    if bridge is None:
        return nothing("A change needs two observed days.")
    down = [m for m in bridge.moves if m.delta < 0]
    up = [m for m in bridge.moves if m.delta > 0]
    other = [m for m in bridge.moves if m.delta == 0]
    return (
        _moves("Regressed", down, "No control lost points."),
        _moves("Improved", up, "No control gained points."),
        _moves("Came or went without points", other, "") if other else None,
    )


def _moves(title: str, moves: Sequence[Move], without: str) -> Content:
    if not moves:
        return (el("h4", title), nothing(without))
    total = diff.points(sum(diff.fixed(m.delta) for m in moves))

    def rows(some: Sequence[Move]) -> Markup:
        found = [
            (
                named(m.title, m.control),
                SERVICES.get(m.service, m.service),
                "new" if m.before is None else points(m.before),
                "gone" if m.after is None else points(m.after),
                points(m.max_score),
                change(m.delta),
                _move_cause(m),
            )
            for m in some
        ]
        columns = (
            ("Control", ""),
            ("Service", ""),
            ("Before", "num"),
            ("After", "num"),
            ("Maximum", "num"),
            ("Change", "num"),
            ("Cause", "wide"),
        )
        return table(title, columns, found, "moves")

    large, small = moves[:SHOWN_MOVES], moves[SHOWN_MOVES:]
    return (
        el("h4", f"{title}: {count(len(moves), 'control')}, ", change(total), " points"),
        rows(large),
        folded(f"{len(small)} smaller ones", rows(small)) if small else None,
    )
