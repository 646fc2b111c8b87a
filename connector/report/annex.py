"""The annex of one tenant in HTML: data quality, every open control, and the hashes that prove the data.

What is long is folded: it is there for those who ask, and is printed where it was unfolded.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from connector.report import charts
from connector.report.figures import Pen, capital, folded
from connector.report.markup import Content, Markup, el, soft
from connector.report.telling import retell
from connector.report.values import DayPoint, Notice, TenantReport

fold = folded


# -------------------------------------------------------------------------------------------------------- data quality


def quality(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Which days are known, how well, and what the feed suffered."""
    found = report.quality
    rows: list[tuple[str, Content]] = [
        ("quality.observed", pen.part(found.days_observed, found.days_in_period)),
        ("quality.missing", pen.say.listed([pen.run(g.first, g.last) for g in found.gaps]) or pen("quality.none")),
        ("quality.detailed", pen("quality.detailed_words", n=found.detailed)),
    ]
    if found.backfilled:
        rows.append(("quality.backfilled", pen("days", n=found.backfilled)))
    if found.late:
        rows.append(("quality.late", pen.days(found.late)))
    if found.revised:
        rows.append(("quality.revised", pen.days(found.revised)))
    if found.open_problems:
        rows.append(("quality.problems", pen.say.listed(found.open_problems)))
    odd = [(capital(pen.word("flag", flag)), pen.days(days)) for flag, days in found.flags.items()]
    states = _day_states(report.days, report)
    kinds = [kind for kind in ("full", "history", "odd", "none") if kind in states]
    legend: dict[str, Content] = {kind: pen(f"quality.state_{kind}") for kind in kinds}
    return fold(
        pen("quality.summary", observed=found.days_observed, n=found.days_in_period),
        (
            charts.strip(states),
            pen.legend(legend),
            pen.facts(rows),
            el("dl", [(el("dt", name), el("dd", days)) for name, days in odd], class_="facts") if odd else None,
            notices(found.notices, pen, "quality.notices_caption") if found.notices else None,
        ),
        printed=True,
    )


def _day_states(days: Sequence[DayPoint], report: TenantReport) -> list[str]:
    known = {d.day: "odd" if "inconsistent" in d.flags else "full" if d.detailed else "history" for d in days}
    first = date.fromisoformat(report.period.start)
    return [known.get((first + timedelta(days=n)).isoformat(), "none") for n in range(report.period.days)]


def notices(found: Sequence[Notice], pen: Pen, caption: str) -> Markup:
    """Events of the feed or about a target, in the words that they were committed with."""
    rows = [
        (retell(pen, n.summary), pen.day(n.at[:10]), n.type, str(n.severity))
        for n in sorted(found, key=lambda n: (n.at, n.event_id))
    ]
    columns = (("column.what", ""), ("column.day", "chief"), ("column.event", ""), ("column.severity", "num"))
    return pen.table(caption, columns, rows, "dense")


# ------------------------------------------------------------------------------------------------------- open controls


def actions(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Every control that lacks points, in the order of advice."""
    found = report.advice.actions
    if not found:
        return None
    rows = [
        (
            pen.named(a.title, a.control),
            pen.say.signed(a.points),
            pen.word("group", a.group),
            pen.word("level", a.cost),
            pen.word("level", a.impact),
            pen.word("service", a.service),
            pen.day(a.since) if a.since_exact else pen("todo.before", day=pen.day(a.since)),
        )
        for a in found
    ]
    columns = (
        ("column.action", ""),
        ("column.points", "num chief"),
        ("column.group", ""),
        ("column.cost", ""),
        ("column.impact", ""),
        ("column.service", ""),
        ("column.open_since", ""),
    )
    return fold(pen("todo.all", n=len(found)), pen.table("todo.all_caption", columns, rows, "dense"))


# ------------------------------------------------------------------------------------------------------------ evidence


def evidence(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """What proves the data: the fingerprint, the archived responses, every day's hash."""
    files = report.evidence
    states: Mapping[str, int] = {
        word: sum(f.state == word for f in files) for word in ("verified", "altered", "missing", "unlisted")
    }
    told = [pen(f"evidence.{state}", n=n) for state, n in states.items() if n]
    file_rows = [(f.name, f.day, pen.word("file", f.state), el("code", f.sha256)) for f in files]
    days = [
        (
            d.day,
            pen.percent(d.percent),
            pen.of(d.score, d.max_score),
            pen.points(d.measured),
            pen.points(d.asserted),
            pen.say.count(d.revision),
            el("code", d.sha256),
        )
        for d in report.days
    ]
    file_columns = (("column.file", ""), ("column.day", "chief"), ("column.file_state", ""), ("column.sha256", "wide"))
    day_columns = (
        ("column.day", ""),
        ("column.percent", "num chief"),
        ("column.points", "num"),
        ("column.measured", "num"),
        ("column.asserted", "num"),
        ("column.revision", "num"),
        ("column.sha256", "wide"),
    )
    facts = (
        pen.facts(
            [
                ("evidence.tenant", el("code", report.summary.tenant_id)),
                ("evidence.source", soft(report.source)),
                ("evidence.responses", pen.say.listed(told) or pen("evidence.no_responses")),
                ("evidence.fingerprint", el("code", report.fingerprint)),
            ]
        ),
        pen.p("evidence.fingerprint_words", class_="small"),
    )
    return (
        fold(pen("evidence.summary"), facts, printed=True),
        fold(pen("evidence.files"), pen.table("evidence.files_caption", file_columns, file_rows, "dense annex"))
        if files
        else None,
        fold(pen("evidence.days"), pen.table("evidence.days_caption", day_columns, days, "dense annex")),
    )
