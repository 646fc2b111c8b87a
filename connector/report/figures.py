"""A pen: numbers, days, names and tables of a report, written in one language. No section and no sentence live here."""

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from connector.language.spoken import Language, Value
from connector.report.markup import Content, Markup, el, soft

Column = tuple[str, str]
"""The key of its heading ("" for none), and the class of its cells: "" for words, "num" for figures, "chief" for the
figure that matters most, "wide" for long words, "draw" for drawings.
"""
Row = Sequence[Content]
CONNECTED = "MDA_"
"""Begins the service of an app that is connected to Defender for Cloud Apps."""


@frozen
class Pen:
    """Writes in a language; `titles` is that of Microsoft's texts, where it is another one."""

    say: Language
    titles: str | None = None

    def __call__(self, key: str, **values: Value | float) -> Content:
        """A text whose values may be markup."""
        return self.say.parts(key, **values)

    def text(self, key: str, **values: str | float) -> str:
        return self.say.text(key, **values)

    def together(self, *sentences: Content) -> Content:
        """Sentences one after another, as the language sets them apart; None is none."""
        said: Content = None
        for one in sentences:
            if one is not None:
                said = one if said is None else self("together", first=said, second=one)
        return said

    def p(self, key: str, class_: str | None = None, **values: Value | float) -> Markup:
        return el("p", self(key, **values), class_=class_)

    # ---------------------------------------------------------------------------------------------------------- values

    def points(self, value: float | None) -> str:
        return self.say.number(value)

    def change(self, value: float | None) -> Markup:
        """A signed number of points, coloured by its direction."""
        return _coloured(value, self.say.signed(value))

    def percent(self, value: float | None) -> str:
        return self.say.percent(value)

    def percent_change(self, value: float | None) -> Markup:
        """A difference of two percentages, in percentage points."""
        return _coloured(value, self.say.percentage_points(value))

    def percent_apart(self, value: float) -> str:
        """How far two percentages are apart, whichever is the larger."""
        return self.text("percentage_points", value=self.say.number(round(abs(value), 2)))

    def of(self, score: float | None, most: float | None) -> str:
        return self.text("figure.of", score=self.points(score), most=self.points(most))

    def part(self, some: int, every: int) -> str:
        return self.text("figure.part", some=some, every=every)

    def day(self, value: str) -> Markup:
        """A day as people write it, its ISO form for machines."""
        return el("time", self.say.day(value), datetime=value)

    def days(self, values: Iterable[str]) -> Content:
        return self.say.listed([self.day(value) for value in values])

    def run(self, first: str, last: str) -> Markup:
        """One day, or several in a row."""
        return self.day(first) if first == last else el("span", self.say.period(first, last), class_="n")

    # ----------------------------------------------------------------------------------------------------------- names

    def word(self, group: str, code: str) -> str:
        """A stable code in words."""
        found = self.say.word(group, code)
        return self.text("unknown") if found == "unknown" else found

    def title(self, words: str) -> Markup:
        """A title of Microsoft's, in the language in which it came."""
        return el("span", words, class_="title", lang=self.titles)

    def service(self, code: str) -> Content:
        """A service in words, with the API's code below; of a connected app its name."""
        if code.startswith(CONNECTED):
            return self("groups.connected", app=code.removeprefix(CONNECTED))
        words = self.word("service", code)
        return words if code in (words, "unknown") else (words, " ", el("span", code, class_="id"))

    def named(self, title: str, control: str) -> Content:
        """A control by its title, with its id below."""
        if title == control:
            return el("span", soft(control), class_="title")
        return (self.title(title), " ", el("span", soft(control), class_="id"))

    # ---------------------------------------------------------------------------------------------------------- blocks

    def table(self, caption: str, columns: Sequence[Column], rows: Iterable[Row], class_: str = "") -> Markup:
        """A table whose first column heads its rows; on a narrow page a row is two lines, its labels among them."""
        titles = [self.text(key) if key else "" for key, _ in columns]
        kinds = [kind or None for _, kind in columns]
        head = el("tr", [_heading(title, kind) for title, kind in zip(titles, kinds, strict=True)])
        body = []
        for row in rows:
            cells = [el("th", row[0], scope="row", class_=kinds[0])]
            for title, kind, cell in zip(titles[1:], kinds[1:], row[1:], strict=True):
                cells.append(el("td", cell, class_=kind, data_label=title))
            body.append(el("tr", cells))
        title = el("caption", self.text(caption))
        return el("table", title, el("thead", head), el("tbody", body), class_=class_ or None)

    def facts(self, rows: Iterable[tuple[str, Content]]) -> Markup:
        return el("dl", [(el("dt", self.text(key)), el("dd", value)) for key, value in rows], class_="facts")

    def nothing(self, key: str) -> Markup:
        return self.p(key, class_="nothing")

    def legend(self, items: Mapping[str, Content]) -> Markup:
        """What colours mean, by their class."""
        keys = [
            el("span", el("span", class_=f"key {name}", aria_hidden="true"), words) for name, words in items.items()
        ]
        return el("p", keys, class_="legend")


def _heading(title: str, kind: str | None) -> Markup:
    """The head of a column; one of drawings heads nothing."""
    return el("th", title, scope="col", class_=kind) if title else el("td", class_=kind)


def folded(summary: Content, content: Content, *, printed: bool = False) -> Markup:
    """What is shown to those who ask for it; on paper where it was unfolded, or `printed` says so."""
    return el("details", el("summary", summary), content, class_="printed" if printed else None)


def share(part: float | None, whole: float | None) -> float | None:
    """What a part is of the whole, 0-1."""
    return None if part is None or not whole else part / whole


def capital(text: str) -> str:
    """With a capital letter first, the rest as it is."""
    return text[:1].upper() + text[1:]


def _coloured(value: float | None, text: str) -> Markup:
    class_ = "unknown" if value is None else "up" if value > 0 else "down" if value < 0 else "same"
    return el("span", text, class_=f"n {class_}")
