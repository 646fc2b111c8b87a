"""Causes in words: what each means, with its first evidence, which events tell in English. Nothing is computed here."""

from connector.language.retold import retold
from connector.observe.causes import Cause
from connector.report.figures import Pen, capital
from connector.report.markup import Content, el
from connector.report.values import Move


def retell(pen: Pen, text: str) -> str:
    """A sentence that was committed in English, as far as it is the engine's own."""
    return retold(pen.say, text)


def cause(pen: Pen, why: Cause) -> Content:
    """A cause in words, with its first evidence."""
    words = capital(pen.word("cause", why.label))
    if why.label == "unknown":
        return el("span", words, class_="cause unknown")
    if not why.evidence:
        return el("span", words, class_="cause")
    return el("span", pen("cause_told", cause=words, evidence=retell(pen, why.evidence[0])), class_="cause")


def of_move(pen: Pen, move: Move) -> Content:
    """The cause of a move; of a control that came or went for no known reason, that it did."""
    if move.cause.label != "unknown" or move.kind == "moved":
        return cause(pen, move.cause)
    return el("span", pen.text(f"moves.{move.kind}_unknown"), class_="cause unknown")
