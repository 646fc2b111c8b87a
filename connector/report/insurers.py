"""The section of an insurer's questions in HTML: values in, markup out. How they are answered is in insurance.py."""

from collections.abc import Sequence

from connector.report.figures import count, day, folded, table
from connector.report.markup import Content, el, soft
from connector.report.values import Bearing, Insurance, Question
from connector.report.words import ANSWERS, STANDINGS


def insurers(insurance: Insurance) -> Content:
    """A row a question, with its answer and how far the controls that decide it are."""
    verb = "has" if len(insurance.evidence) == 1 else "have"
    return (
        el(
            "p",
            "As of ",
            day(insurance.day),
            ". Indicative: which control bears on which question is an assignment of ours. “Yes” takes full, measured "
            "points of every control that decides; what was only declared is called so. Content hash of the day: ",
            el("code", insurance.sha256),
            f"; {count(len(insurance.evidence), 'archived response')} of it {verb} the hash recorded."
            if insurance.evidence
            else ".",
            class_="small",
        ),
        table(
            "What cyber-insurers ask",
            (("Question", ""), ("Answer", ""), ("Controls", "num"), ("Limits of this data", "wide")),
            [_row(one) for one in insurance.questions],
            "dense",
        ),
        folded(
            "The controls behind each answer",
            table(
                "Controls that decide, and controls beside",
                (("Question", ""), ("Control", "wide"), ("Role", ""), ("Standing", "")),
                [line for one in insurance.questions for line in _controls(one)],
                "dense annex",
            ),
        ),
    )


def _row(one: Question) -> Sequence[Content]:
    full = sum(c.standing == "full" for c in one.deciding)
    told = f"{full} of {len(one.deciding) + len(one.missing)} in full" if one.deciding or one.missing else "–"
    limits = one.limits
    if one.missing:
        limits = f"{limits} Not scored here: {', '.join(one.missing)}."
    return (el("span", one.question, class_="title"), ANSWERS[one.answer], told, soft(limits))


def _controls(one: Question) -> list[Sequence[Content]]:
    def line(bearing: Bearing, role: str) -> Sequence[Content]:
        title = bearing.title if bearing.title == bearing.control else f"{bearing.title} ({bearing.control})"
        return (one.question, soft(title), role, STANDINGS[bearing.standing])

    found = [line(c, "decides") for c in one.deciding] + [line(c, "beside") for c in one.beside]
    return found or [(one.question, count(0, "control"), "–", "–")]
