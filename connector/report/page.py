"""The report as one HTML file: no script, no request, no link that leads out of it; readable on paper and by machines.

Its policy allows exactly one style sheet, named by hash, so nothing that slipped into a text could load or run.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from connector.report import charts
from connector.report.figures import change, count, day, of, percent, percent_change, points, table
from connector.report.markup import Content, Markup, el, html, open_tag, soft
from connector.report.sections import Section, issues, sections
from connector.report.values import Cover, Summary, TenantReport
from connector.report.words import METHOD

SHOWN_DOTS = 3
"""From so many tenants on a drawing shows where they stand."""


def opening(cover: Cover) -> str:
    """Everything before the tenants: what the report is, and the comparison when there are several tenants."""
    several = len(cover.summaries) > 1
    who = f"{len(cover.summaries)} tenants" if several else cover.summaries[0].name
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    title = html(f"Secure Score posture report: {who}, {cover.period.start} to {cover.period.end}")
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
    )
    header = el(
        "header",
        el("p", "Microsoft Secure Score", class_="kicker"),
        el("h1", "Posture report", el("span", f": {who}")),
        el(
            "p",
            day(cover.period.start),
            " to ",
            day(cover.period.end),
            f", {count(cover.period.days, 'day')}. Made {cover.generated_at[:16].replace('T', ' ')} UTC by ",
            f"Secure Score Connector {cover.version}.",
            class_="facts-line",
        ),
    )
    return f"{head}{header}\n<main>\n{_comparison(cover) if several else ''}"


def tenant(report: TenantReport, number: int) -> str:
    prefix = f"t{number + 1}"
    parts = sections(report, prefix)
    return (
        open_tag("article", id=prefix, aria_labelledby=f"{prefix}-name")
        + html(_head(report, prefix, parts))
        + "\n".join(_section(part, prefix) for part in parts)
        + "</article>\n"
    )


def closing(cover: Cover) -> str:
    method = el(
        "section",
        el("h2", "How the numbers come about", id="method"),
        el(
            "dl",
            [(el("dt", name.capitalize()), el("dd", text)) for name, text in METHOD.items()],
            class_="facts method",
        ),
        aria_labelledby="method",
    )
    footer = el(
        "footer",
        el(
            "p",
            f"Secure Score Connector {cover.version}. This report names people (who declared a state, and why): treat "
            "it as confidential. Microsoft and Microsoft Secure Score are trademarks of Microsoft Corporation, which "
            "has no part in this report.",
        ),
    )
    return f"{method}\n</main>\n{footer}\n</body>\n</html>\n"


@lru_cache(maxsize=1)
def _style() -> str:
    """The style sheet as it stands in the file: its hash must be that of these very characters."""
    text = (resources.files("connector.report") / "report.css").read_text("utf-8")
    return "\n" + "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def _section(part: Section, prefix: str) -> Markup:
    name = f"{prefix}-{part.key}"
    return el("section", el("h3", part.title, id=name), part.content, aria_labelledby=name, class_=part.key)


def _head(report: TenantReport, prefix: str, parts: Sequence[Section]) -> Content:
    """A tenant's name, one sentence, and the figures that matter most."""
    one = report.summary
    return (
        el("h2", one.name, id=f"{prefix}-name"),
        el("p", _lead(report), class_="lead"),
        el("ul", [el("li", tile) for tile in _tiles(report)], class_="tiles"),
        el(
            "nav",
            el("ul", [el("li", el("a", p.title, href=f"#{prefix}-{p.key}")) for p in parts]),
            aria_label=f"Sections of {one.name}",
        ),
    )


def _lead(report: TenantReport) -> Content:
    one, bridge = report.summary, report.bridge
    missing = one.days_in_period - one.days_observed
    were = "was" if one.days_observed == 1 else "were"
    observed = (
        f"{one.days_observed} of {count(one.days_in_period, 'day')} {were} observed",
        f"; {issues(one.issues, missing)}." if one.issues else ", and the data is complete and consistent.",
    )
    if bridge is None or bridge.delta is None:
        return (el("b", of(one.score, one.max_score), " points."), " ", observed)
    verb = "rose" if bridge.delta > 0 else "fell" if bridge.delta < 0 else "did not move"
    by = ("by ", el("b", points(abs(bridge.delta))), " points ") if bridge.delta else ()
    return (
        f"The score {verb} ",
        by,
        "and stands at ",
        el("b", of(one.score, one.max_score)),
        f" ({percent(one.percent)}). ",
        observed,
    )


def _tiles(report: TenantReport) -> list[Content]:
    one, quality = report.summary, report.quality
    held = report.exceptions
    silent = "unknown" if held is None else f"{sum(e.comment is None for e in held)} without a comment"

    def tile(name: str, value: Content, note: Content) -> Content:
        return (el("span", name, class_="name"), el("span", value, class_="value"), el("span", note, class_="note"))

    return [
        tile("Secure Score", percent(one.percent), of(one.score, one.max_score)),
        tile(
            "Change",
            change(one.delta) if report.bridge else "unknown",
            (percent_change(one.percent_delta), f" · {one.improved} up, {one.regressed} down")
            if report.bridge
            else "it needs two observed days",
        ),
        tile("Measured", percent(one.measured_percent), f"{points(one.asserted)} points are asserted"),
        tile("Exceptions", "unknown" if held is None else str(len(held)), silent),
        tile(
            "Days observed",
            f"{quality.days_observed} of {quality.days_in_period}",
            issues(quality.issues, quality.days_in_period - quality.days_observed),
        ),
    ]


# ---------------------------------------------------------------------------------------------------------- comparison


def _comparison(cover: Cover) -> Markup:
    known = [s.percent for s in cover.summaries if s.percent is not None]
    lost = sum((s.delta or 0.0) < 0 for s in cover.summaries)
    silent = [s for s in cover.summaries if s.error is not None]
    links = {name: f"#t{number + 1}" for number, name in enumerate(cover.detailed)}
    rest = len(cover.summaries) - len(silent) - len(cover.detailed)
    return el(
        "section",
        el("h2", "Comparison", id="comparison"),
        el(
            "p",
            f"{len(cover.summaries)} tenants, weakest first; {lost} of them lost points in the period.",
            f" {count(len(silent), 'tenant')} without data." if silent else None,
            f" {len(cover.detailed)} follow in full; {rest} more are in this table only (name them with --tenant)."
            if rest
            else None,
            class_="lead",
        ),
        el("figure", charts.dots("comparison-dots", known)) if len(known) >= SHOWN_DOTS else None,
        table(
            "All tenants",
            (
                ("Tenant", ""),
                ("Percent", "num"),
                ("", "draw"),
                ("Points", "num"),
                ("Change", "num"),
                ("Asserted", "num"),
                ("Exceptions", "num"),
                ("Days", "num"),
                ("Data, largest loss", "wide"),
            ),
            [_line(s, links.get(s.name)) for s in cover.summaries],
            "comparison",
        ),
        aria_labelledby="comparison",
    )


def _line(one: Summary, link: str | None) -> Sequence[Content]:
    name = el("a", one.name, href=link) if link else el("span", one.name, class_="title")
    if one.error is not None:
        days = f"0 of {one.days_in_period}"
        return (name, "unknown", charts.level(None), "unknown", "unknown", "unknown", "unknown", days, one.error)
    data = issues(one.issues, one.days_in_period - one.days_observed).capitalize()
    loss = ("; ", soft(one.worst), " ", change(one.worst_delta)) if one.worst else None
    return (
        name,
        percent(one.percent),
        charts.level(None if one.percent is None else one.percent / 100),
        of(one.score, one.max_score),
        change(one.delta),
        points(one.asserted),
        "unknown" if one.exceptions is None else str(one.exceptions),
        f"{one.days_observed} of {one.days_in_period}",
        (data, loss),
    )
