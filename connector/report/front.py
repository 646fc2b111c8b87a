"""Page one of a tenant in HTML: where it stands, what happened, what needs a decision, what to do next; one picture.

The figures are those of values.Brief and of the parts that it names; nothing is computed here.
"""

from collections.abc import Sequence

from connector.advice.values import TargetStanding
from connector.model import OF_UNITS
from connector.report import charts, telling
from connector.report.figures import Pen
from connector.report.markup import Content, Markup, el
from connector.report.values import Brief, Comparative, Course, Decisions, Exemption, Happening, TenantReport

SHOWN_DUE = 3
"""Exceptions that are named on page one; all of them stand in the register."""


def front(report: TenantReport, pen: Pen, prefix: str) -> Markup:
    """A tenant's name and the four answers."""
    return el(
        "div",
        el("h2", report.summary.name, id=f"{prefix}-name"),
        pen.p("microsofts_texts", class_="small", language=pen.say.name_of(pen.titles)) if pen.titles else None,
        _part(pen, prefix, "stand", (_verdict(report, pen), _picture(report, pen, prefix))),
        el(
            "div",
            _part(pen, prefix, "happened", _happened(report.brief.happened, pen)),
            _part(pen, prefix, "decide", _decide(report, pen)) if report.source not in OF_UNITS else None,
            class_="pair",
        ),
        _part(pen, prefix, "todo", _todo(report, pen)),
        class_="front",
    )


def _part(pen: Pen, prefix: str, key: str, content: Content) -> Markup:
    name = f"{prefix}-{key}"
    return el("section", el("h3", pen(f"front.{key}"), id=name), content, aria_labelledby=name, class_=key)


# --------------------------------------------------------------------------------------------------- where it stands


def _verdict(report: TenantReport, pen: Pen) -> Markup:
    one, brief = report.summary, report.brief
    return el(
        "div",
        el("p", pen.percent(one.percent), class_="score"),
        pen.p("front.points", class_="small", of=pen.of(one.score, one.max_score)),
        el("p", _target(brief.target, pen)),
        _controls_missed(report, pen),
        el("p", _peers(brief.comparable, pen)) if report.source not in OF_UNITS else None,
        el("p", _course(brief, pen, report)),
        pen.p("front.asserted", class_="small", points=one.asserted) if one.asserted else None,
        el("p", data(report, pen), class_="small"),
        class_="verdict",
    )


def _target(target: TargetStanding | None, pen: Pen) -> Content:
    if target is None or target.threshold is None:
        return pen("front.no_target")
    kind = "measured_target" if target.kind == "measured_percent_min" else "target"
    wanted = pen.percent(target.threshold)
    if target.met is None or target.value is None:
        return pen(f"front.{kind}_unknown", target=wanted)
    by = pen.percent_apart(target.value - target.threshold)
    class_ = "good" if target.met else "bad"
    return el("span", pen(f"front.{kind}_{'met' if target.met else 'missed'}", target=wanted, by=by), class_=class_)


def _controls_missed(report: TenantReport, pen: Pen) -> Content:
    """Controls that the configuration wants to be full, and that are not."""
    titles = {one.control: one.title for one in report.scored}
    missed = [t.control for t in report.advice.targets if t.control is not None and t.met is False]
    if not missed:
        return None
    shown = pen.say.listed([el("b", titles.get(name, name), lang=pen.titles) for name in missed])
    return pen.p("front.controls_missed", class_="bad", controls=shown)


def basis(one: Comparative, pen: Pen) -> str:
    """Whose average it is."""
    if one.basis == "TotalSeats" and one.seats:
        low, high = (pen.say.count(int(end)) if end.isdecimal() else end for end in one.seats.split(" to "))
        return pen.text("basis.seats", low=low, high=high)
    return pen.word("basis", one.basis)


def _peers(one: Comparative | None, pen: Pen) -> Content:
    if one is None or one.difference is None:
        return pen("front.no_peers")
    key = "above" if one.difference > 0 else "below" if one.difference < 0 else "level"
    return pen(
        f"front.peers_{key}",
        who=basis(one, pen),
        average=pen.percent(one.average),
        by=pen.percent_apart(one.difference),
    )


def _course(brief: Brief, pen: Pen, report: TenantReport) -> Content:
    score, percent = brief.score, brief.percent
    if score.delta is None:
        return pen("front.no_course")
    day = pen.day(report.days[0].day)
    moved = {"points": _moved(score, pen), "percent": pen.percent_change(percent.delta)}
    swing = pen("front.swing", points=score.swing) if score.swing else None
    apart = None
    if percent.direction not in (score.direction, "unknown") and report.bridge is not None:
        maximum = pen.change(report.bridge.max_delta)
        apart = pen("front.percent_apart", percent=moved["percent"], maximum=maximum)
    return pen.together(pen(f"front.{score.direction}", day=day, **moved), swing, apart)


def _moved(course: Course, pen: Pen) -> Content:
    if course.direction == "unchanged":
        return pen.say.signed(course.delta)
    return el("b", pen.points(abs(course.delta or 0.0)))


def data(report: TenantReport, pen: Pen) -> Content:
    """How good the data is, in one line."""
    quality = report.quality
    missing = quality.days_in_period - quality.days_observed
    return pen(
        "front.data",
        observed=quality.days_observed,
        n=quality.days_in_period,
        issues=issues(quality.issues, missing, pen),
    )


def issues(found: Sequence[str], missing: int, pen: Pen) -> Content:
    """What is to be said about the data, in words; `missing` days are named by their number."""
    told = [pen("quality.gaps", n=missing) if one == "gaps" else pen.word("issue", one) for one in found]
    return pen.say.listed(told) or pen("quality.complete")


def _picture(report: TenantReport, pen: Pen, prefix: str) -> Content:
    if len(report.days) < 2:
        return None
    target = report.brief.target
    drawn = charts.Percents(
        report.days,
        report.period,
        report.quality.gaps,
        target.threshold if target is not None else None,
        marks=[],
    )
    legend = {"own": pen("chart.this")}
    if drawn.target is not None:
        legend["target"] = pen("chart.target")
    if any(d.average is not None for d in report.days):
        legend["average"] = pen("chart.average")
    if report.quality.gaps:
        legend["gap"] = pen("chart.missing")
    return el(
        "div",
        el("figure", charts.percents(pen, f"{prefix}-wide", drawn, charts.HALF), class_="wide-only"),
        el("figure", charts.percents(pen, f"{prefix}-narrow", drawn, charts.NARROW), class_="narrow-only"),
        pen.legend(legend),
    )


# ----------------------------------------------------------------------------------------------------- what happened


def _happened(found: Sequence[Happening], pen: Pen) -> Content:
    if not found:
        return pen.nothing("happened.nothing")
    return el("ul", [el("li", _one(one, pen)) for one in found], class_="happened")


def _one(one: Happening, pen: Pen) -> Content:
    day, title = pen.day(one.day), el("b", one.title, lang=pen.titles)
    if one.type == "control.state_changed":
        back = one.state_after in (None, "Default")
        state = pen.word("state", (one.state_before if back else one.state_after) or "unknown")
        by = one.by or pen.text("happened.somebody")
        return pen(f"happened.{'taken_back' if back else 'declared'}", day=day, title=title, state=state, by=by)
    fell, since = (one.delta or 0.0) < 0, None
    if fell:
        since = pen("happened.back", day=pen.day(one.back_on)) if one.back_on else pen("happened.not_back")
    ends = {"before": pen.points(one.before), "after": pen.points(one.after)}
    return pen.together(
        pen(f"happened.{'fell' if fell else 'rose'}", day=day, title=title, **ends),
        pen("happened.no_cause")
        if one.cause.label == "unknown"
        else pen("happened.cause", cause=telling.cause(pen, one.cause)),
        since,
        pen("happened.times", n=one.times) if one.times > 1 else None,
    )


# --------------------------------------------------------------------------------------------- what needs a decision


def _decide(report: TenantReport, pen: Pen) -> Content:
    found, held = report.brief.decisions, report.exceptions
    if found is None or held is None:
        return pen.nothing("exceptions.unknown")
    if not found.held:
        return pen.nothing("decide.none_held")
    if not found.asked_for:
        return (pen.p("decide.not_asked", n=found.held), _about(found, pen))
    if not found.due:
        next_review = pen.p("decide.next", day=pen.day(found.next_review)) if found.next_review else None
        return (pen.p("decide.none_due", n=found.held), next_review)
    due = [e for e in held if e.due]
    rest = len(due) - SHOWN_DUE
    return (
        el("p", el("b", pen("decide.due", n=found.due)), class_="bad"),
        el("ul", [el("li", _due(e, pen)) for e in due[:SHOWN_DUE]], class_="due"),
        pen.p("decide.more", class_="small", n=rest) if rest > 0 else None,
    )


def _about(found: Decisions, pen: Pen) -> Content:
    told = pen.together(
        pen("decide.oldest", n=found.oldest_days) if found.oldest_days is not None else None,
        pen("decide.silent", n=found.comment_missing) if found.comment_missing else None,
    )
    return el("p", told, class_="small") if told else None


def _due(one: Exemption, pen: Pen) -> Content:
    why = pen.say.listed([due_words(one, reason, pen) for reason in one.due])
    by = one.by or pen.text("happened.somebody")
    return (
        el("b", one.title, lang=pen.titles),
        el("span", pen("decide.one", state=pen.word("state", one.state), by=by, why=why), class_="small"),
    )


def due_words(one: Exemption, reason: str, pen: Pen) -> Content:
    """Why somebody must look at an exception."""
    if reason == "review_overdue" and one.review_on:
        return pen("due.review_overdue", day=pen.day(one.review_on))
    return pen.word("due", reason)


# --------------------------------------------------------------------------------------------------- what to do next


def _todo(report: TenantReport, pen: Pen) -> Content:
    brief, advice = report.brief, report.advice
    actions = {a.control: a for a in advice.actions}
    if not brief.actions:
        return pen.nothing("todo.nothing")
    rows = [
        (
            (pen.title(a.title), " ", el("span", pen.word("service", a.service), class_="small")),
            el("b", pen.say.signed(a.points)),
            pen.word("level", a.cost),
            pen.word("level", a.impact),
            pen.day(a.since) if a.since_exact else pen("todo.before", day=pen.day(a.since)),
        )
        for a in (actions[name] for name in brief.actions)
    ]
    columns = (
        ("column.action", ""),
        ("column.points", "num chief"),
        ("column.cost", ""),
        ("column.impact", ""),
        ("column.open_since", ""),
    )
    rest = len(advice.actions) - len(rows)
    return (
        pen.table("todo.caption", columns, rows, "todo"),
        el("p", _then(report, pen), class_="then"),
        pen.p("todo.more", class_="small", n=rest) if rest else None,
    )


def _then(report: TenantReport, pen: Pen) -> Content:
    then, one = report.brief.then, report.summary
    if then is None or then.score is None or then.percent is None or one.percent is None:
        return None
    target = report.brief.target
    reached = next((t for t in then.targets if target and (t.kind, t.control) == (target.kind, target.control)), None)
    told = None
    if target is not None and not target.met and reached is not None and reached.met is not None:
        told = pen("todo.target_met" if reached.met else "todo.target_missed")
    return pen.together(
        pen(
            "todo.then",
            n=len(report.brief.actions),
            before=pen.percent(one.percent),
            after=el("b", pen.percent(then.percent)),
            score=then.score,
        ),
        told,
    )
