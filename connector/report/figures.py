"""Numbers, days, names and tables as the report writes them: small parts of its sections. No section lives here."""

from collections.abc import Iterable, Sequence

from connector.observe.explain import number, signed
from connector.report import charts
from connector.report.markup import Content, Markup, el, soft
from connector.report.words import SERVICES

MINUS = "\N{MINUS SIGN}"


def points(value: float | None) -> str:
    """Points as the commands write them, with a minus sign made for reading."""
    return number(value).replace("-", MINUS)


def change(value: float | None) -> Markup:
    """A signed number of points, coloured by its direction."""
    return _signed(value, signed(value))


def _signed(value: float | None, text: str) -> Markup:
    class_ = "unknown" if value is None else "up" if value > 0 else "down" if value < 0 else "same"
    return el("span", text.replace("-", MINUS), class_=f"n {class_}")


def percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} %".replace("-", MINUS)


def percent_change(value: float | None) -> Markup:
    """A difference of two percentages, in percentage points."""
    return _signed(value, "unknown" if value is None else f"{signed(round(value, 2))} pp")


def of(score: float | None, most: float | None) -> str:
    return f"{points(score)} of {points(most)}"


def count(amount: int, one: str, many: str | None = None) -> str:
    return f"{amount} {one if amount == 1 else many or one + 's'}"


def day(value: str) -> Markup:
    """A day as people write it, its ISO form for machines."""
    return el("time", f"{charts.short_day(value)} {value[:4]}", datetime=value)


# -------------------------------------------------------------------------------------------------------------- tables

Column = tuple[str, str]
"""Heading, and class of its cells: "" for words, "num" for figures, "wide" for long words, "draw" for drawings."""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]], class_: str = "") -> Markup:
    """A table whose first column heads its rows; on a narrow page each row becomes a card with its labels."""
    head = el("tr", [el("th", title, scope="col", class_=kind or None) for title, kind in columns])
    body = []
    for row in rows:
        cells = [el("th", row[0], scope="row")]
        for (title, kind), cell in zip(columns[1:], row[1:], strict=True):
            cells.append(el("td", cell, class_=kind or None, data_label=title))
        body.append(el("tr", cells))
    return el("table", el("caption", caption), el("thead", head), el("tbody", body), class_=class_ or None)


def named(title: str, control: str) -> Content:
    """A control by its title, with its id below."""
    if title == control:
        return el("span", soft(control), class_="title")
    return (el("span", title, class_="title"), " ", el("span", soft(control), class_="id"))


def service(code: str) -> Content:
    """A service in words, with the API's code below."""
    words = SERVICES.get(code, code)
    return words if code in (words, "unknown") else (words, " ", el("span", code, class_="id"))


def facts(rows: Iterable[tuple[str, Content]]) -> Markup:
    return el("dl", [(el("dt", name), el("dd", value)) for name, value in rows], class_="facts")


def folded(summary: str, content: Content, *, unfolded: bool = False) -> Markup:
    return el("details", el("summary", summary), content, open="" if unfolded else None)


def nothing(text: str) -> Markup:
    return el("p", text, class_="nothing")
