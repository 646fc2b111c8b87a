"""The section of an insurer's questions in HTML: values in, markup out. How they are answered is in insurance.py."""

from connector.report.figures import Pen, Row, folded
from connector.report.markup import Content, el, soft
from connector.report.values import Bearing, Question, TenantReport

LIMITED = ("yes",)
"""Answers beside which it is said what this data cannot show, since they bind; the annex says it of all."""


def insurers(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """A row a question, with its answer and how far the controls that decide it are."""
    insurance = report.insurance
    return (
        pen.p("insurance.lead", class_="small", day=pen.day(insurance.day)),
        pen.table(
            "insurance.caption",
            (("column.question", ""), ("column.answer", "chief"), ("column.controls", "num")),
            [_row(one, pen) for one in insurance.questions],
            "dense questions",
        ),
    )


def _row(one: Question, pen: Pen) -> Row:
    full = sum(c.standing == "full" for c in one.deciding)
    every = len(one.deciding) + len(one.missing)
    limits = el("span", pen(f"insurance.{one.id}.limits"), class_="small") if one.answer in LIMITED else None
    return (
        (el("span", pen(f"insurance.{one.id}.question"), class_="title"), " ", limits),
        el("span", pen.word("answer", one.answer), class_=f"answer {one.answer}"),
        pen("figure.in_full", some=full, every=every) if every else "",
    )


def behind(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Annex: the controls behind each answer, what is not scored, and what this data cannot show."""
    insurance = report.insurance
    return folded(
        pen("insurance.behind"),
        (
            el(
                "p",
                pen.together(
                    pen("insurance.hash", hash=el("code", insurance.sha256)),
                    pen("insurance.responses", n=len(insurance.evidence)) if insurance.evidence else None,
                ),
                class_="small",
            ),
            pen.table(
                "insurance.behind_caption",
                (("column.question", ""), ("column.control", ""), ("column.role", ""), ("column.standing", "")),
                [line for one in insurance.questions for line in _controls(one, pen)],
                "dense annex",
            ),
            pen.table(
                "insurance.limits_caption",
                (("column.question", ""), ("column.missing", ""), ("column.limits", "wide")),
                [_limits(one, pen) for one in insurance.questions],
                "dense annex",
            ),
        ),
    )


def _limits(one: Question, pen: Pen) -> Row:
    lacking = [pen.say.listed(map(soft, group.split(" or ")), "or") for group in one.missing]
    missing = pen.say.listed(lacking) or "–"
    return (pen(f"insurance.{one.id}.question"), missing, pen(f"insurance.{one.id}.limits"))


def _controls(one: Question, pen: Pen) -> list[Row]:
    question = pen(f"insurance.{one.id}.question")

    def line(bearing: Bearing, role: str) -> Row:
        name = pen.named(bearing.title, bearing.control)
        return (question, name, pen(f"insurance.{role}"), pen.word("standing", bearing.standing))

    return [line(c, "decides") for c in one.deciding] + [line(c, "beside") for c in one.beside]
