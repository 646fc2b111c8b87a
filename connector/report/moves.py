"""Why the score moved, in HTML: the steps of its course, the waterfall of the period, and the controls that moved.

The figures are those of values.Bridge and values.Step; nothing is decomposed here.
"""

from collections import Counter
from collections.abc import Sequence

from connector.observe import diff
from connector.report import charts
from connector.report.figures import Pen, Row, capital, folded
from connector.report.markup import Content, Markup, el
from connector.report.telling import of_move, retell
from connector.report.values import Bridge, Move, Step, TenantReport

SHOWN_BARS = 5
"""Bars of the waterfall; the rest is one bar, and every move stands in the tables below it."""
SHOWN_MOVES = 4
"""Controls that are shown in each direction; the others are in the annex."""
SHOWN_STEPS = 4


def score(report: TenantReport, pen: Pen, prefix: str) -> Content:
    """The course of the points, and its largest steps."""
    if len(report.days) < 2:
        return pen.nothing("score.one_day")
    steps = sorted(sorted(report.steps, key=_size)[:SHOWN_STEPS], key=lambda s: s.day)
    drawn = charts.Percents(report.days, report.period, report.quality.gaps, None, [step.day for step in steps])
    return (
        el("figure", charts.scores(pen, f"{prefix}-points", drawn, charts.WIDE), class_="wide-only"),
        el("figure", charts.scores(pen, f"{prefix}-points-narrow", drawn, charts.NARROW), class_="narrow-only"),
        pen.legend({"measured": pen("score.measured"), "stated": pen("score.asserted")}),
        (el("h4", pen("score.steps")), el("ol", [_step(step, pen) for step in steps], class_="steps"))
        if steps
        else None,
        _same(report.steps, pen),
    )


def _size(step: Step) -> float:
    return -max(abs(step.delta or 0.0), abs(step.max_delta or 0.0))


def _same(steps: Sequence[Step], pen: Pen) -> Content:
    """Where most of the largest steps are one control's."""
    first = Counter((s.moves[0].control, s.moves[0].title) for s in steps if s.moves)
    if not first:
        return None
    (_, title), times = first.most_common(1)[0]
    return (
        pen.p("score.same", class_="small", title=el("b", title, lang=pen.titles), some=times, n=len(steps))
        if times > 2
        else None
    )


def _step(step: Step, pen: Pen) -> Markup:
    ends = {"day": pen.day(step.day), "change": pen.change(step.delta)}
    moves = step.moves[:2]
    rest = step.moved - len(moves)
    return el(
        "li",
        pen.p("score.step_maximum", **ends, maximum=pen.change(step.max_delta))
        if step.max_delta
        else pen.p("score.step", **ends),
        [el("p", _step_move(move, pen), class_="small") for move in moves],
        pen.p("score.smaller", class_="small rest", n=rest) if rest else None,
        pen.p("score.unexplained", class_="small", change=pen.change(step.residual)) if step.residual else None,
    )


def _step_move(move: Move, pen: Pen) -> Content:
    told = pen("score.move", title=pen.title(move.title), ends=_ends(move, pen), change=pen.change(move.delta))
    if move.cause.label == "unknown":
        return told
    found = move.cause.evidence
    return pen(
        "cause_told", cause=told, evidence=retell(pen, found[0]) if found else pen.word("cause", move.cause.label)
    )


def _ends(move: Move, pen: Pen) -> str:
    return pen.text("moves.ends", before=_before(move, pen), after=_after(move, pen))


def _before(move: Move, pen: Pen) -> str:
    return pen.text("moves.new") if move.before is None else pen.points(move.before)


def _after(move: Move, pen: Pen) -> str:
    return pen.text("moves.gone") if move.after is None else pen.points(move.after)


# ----------------------------------------------------------------------------------------------------------- waterfall


def why(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """The change since the first contact, exactly: as a waterfall, and by cause. What was before in a sentence."""
    whole, seen = report.bridge, report.watched
    if whole is None:
        return pen.nothing("why.one_day")
    if seen is None:
        return (_history(report, pen), pen.nothing("why.not_yet"))
    return (
        _history(report, pen) if seen is not whole else None,
        el("p", _change(seen, pen)),
        _waterfall(seen, pen),
        _causes(seen, pen),
    )


def _history(report: TenantReport, pen: Pen) -> Markup:
    """What moved before the first contact: of that the days hold no causes."""
    whole, seen = report.bridge, report.watched
    until = report.days[-1].day if seen is None else seen.before_day
    ends = [whole.delta if whole else None, seen.delta if seen else 0.0]
    delta = None if None in ends else diff.points(diff.fixed(ends[0] or 0.0) - diff.fixed(ends[1] or 0.0))
    first = whole.before_day if whole else report.days[0].day
    return pen.p("why.history", start=pen.day(first), end=pen.day(until), change=pen.change(delta))


def _change(bridge: Bridge, pen: Pen) -> Content:
    split, apart = bridge.percent, None
    if split["delta"] is not None:
        apart = pen(
            "why.percent",
            change=pen.percent_change(split["delta"]),
            points=pen.percent_change(split["numerator"]),
            maximum=pen.percent_change(split["denominator"]),
        )
    days = {"start": pen.day(bridge.before_day), "end": pen.day(bridge.after_day)}
    return pen.together(pen("why.change", n=len(bridge.moves), **days, change=pen.change(bridge.delta)), apart)


def _waterfall(bridge: Bridge, pen: Pen) -> Markup:
    """Floating bars: each begins where the one above it ended; a line marks where the score began."""
    shown, rest = bridge.moves[:SHOWN_BARS], bridge.moves[SHOWN_BARS:]
    steps: list[tuple[Content, float | None, Content]] = [
        (pen.named(m.title, m.control), m.delta, of_move(pen, m)) for m in shown
    ]
    if rest:
        together = diff.points(sum(diff.fixed(m.delta) for m in rest))
        steps.append((pen("why.smaller", n=len(rest)), together, pen("why.listed")))
    steps.append((pen("why.residual"), bridge.residual, pen("why.unexplained")))
    units = diff.fixed(bridge.before_score or 0.0)
    ends = [diff.points(units)]
    for _, delta, _ in steps:
        units += diff.fixed(delta or 0.0)
        ends.append(diff.points(units))
    low, high = min(ends), max(ends)
    room = (high - low) * 1.16 or 1.0
    low -= (high - low) * 0.08 or 0.5

    def place(value: float) -> float:
        return (value - low) / room

    zero = place(ends[0])
    rows: list[Row] = [
        (
            pen("why.beginning", day=pen.day(bridge.before_day)),
            "",
            el("b", pen.points(bridge.before_score)),
            charts.base(zero),
            "",
        )
    ]
    for (name, delta, cause), start, end in zip(steps, ends, ends[1:], strict=False):
        direction = "rise" if (delta or 0) > 0 else "fall" if (delta or 0) < 0 else "flat"
        bar = charts.span(place(start), place(end), direction, zero)
        rows.append((name, pen.change(delta), pen.points(end), bar, cause))
    rows.append(
        (
            pen("why.end", day=pen.day(bridge.after_day)),
            pen.change(bridge.delta),
            el("b", pen.points(bridge.after_score)),
            charts.span(zero, place(ends[-1]), "total", zero),
            "",
        )
    )
    columns = (
        ("column.control", ""),
        ("column.change", "num chief"),
        ("column.total", "num run"),
        ("", "draw"),
        ("column.cause", "wide"),
    )
    return pen.table("why.caption", columns, rows, "waterfall")


def _causes(bridge: Bridge, pen: Pen) -> Content:
    rows: list[Row] = [
        (
            capital(pen.word("cause", c.label)),
            pen.change(c.gained),
            pen.change(c.lost),
            pen.change(c.net),
            pen.say.count(c.moves),
        )
        for c in bridge.causes
    ]
    rows.append((pen("why.residual"), "", "", pen.change(bridge.causes_residual), ""))
    rows.append((el("b", pen("why.together")), "", "", el("b", pen.change(bridge.delta)), ""))
    columns = (
        ("column.cause", ""),
        ("column.gained", "num"),
        ("column.lost", "num"),
        ("column.net", "num chief"),
        ("column.moves", "num"),
    )
    return (
        el("h4", pen("why.by_cause")),
        pen.p("why.by_cause_words", class_="small"),
        pen.table("why.causes_caption", columns, rows, "dense"),
    )


# ------------------------------------------------------------------------------------------------------------ controls


def controls(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """The controls that moved by more than noise, by direction: the largest of each."""
    if report.bridge is None:
        return pen.nothing("why.one_day")
    told = [m for m in report.bridge.moves if not m.noise]
    quiet = [m for m in report.bridge.moves if m.noise]
    down = [m for m in told if m.delta < 0]
    up = [m for m in told if m.delta > 0]
    return (
        _direction("moves.regressed", down, pen) or pen.nothing("moves.none_regressed"),
        _direction("moves.improved", up, pen) or pen.nothing("moves.none_improved"),
        pen.p("moves.noise", class_="small", n=len(quiet), change=pen.change(_sum(quiet))) if quiet else None,
    )


def _direction(key: str, moves: Sequence[Move], pen: Pen) -> Content:
    if not moves:
        return None
    rest = len(moves) - SHOWN_MOVES
    return (
        el("h4", pen(key, n=len(moves), change=pen.change(_sum(moves)))),
        _table(f"{key}_caption", moves[:SHOWN_MOVES], pen),
        pen.p("moves.rest", class_="small", n=rest) if rest > 0 else None,
    )


def _sum(moves: Sequence[Move]) -> float:
    return diff.points(sum(diff.fixed(m.delta) for m in moves))


def smaller(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Annex: every move that the section above has no room for, or that is noise."""
    if report.bridge is None:
        return None
    told = [m for m in report.bridge.moves if not m.noise]
    found = [m for d in (-1, 1) for m in [m for m in told if m.delta * d > 0][SHOWN_MOVES:]]
    found += [m for m in told if m.delta == 0]
    quiet = [m for m in report.bridge.moves if m.noise]
    return (
        (
            folded(pen("moves.others", n=len(found)), _table("moves.others_caption", found, pen)) if found else None,
            folded(pen("moves.below", n=len(quiet)), _table("moves.below_caption", quiet, pen)) if quiet else None,
        )
        if found or quiet
        else None
    )


def _table(caption: str, moves: Sequence[Move], pen: Pen) -> Markup:
    rows = [
        (
            pen.named(m.title, m.control),
            pen.change(m.delta),
            _ends(m, pen),
            pen.text("moves.maximum", most=pen.points(m.max_score)),
            pen.service(m.service),
            of_move(pen, m),
        )
        for m in moves
    ]
    columns = (
        ("column.control", ""),
        ("column.change", "num chief"),
        ("column.before_after", "num"),
        ("column.maximum", "num"),
        ("column.service", ""),
        ("column.cause", "wide"),
    )
    return pen.table(caption, columns, rows, "moves")
