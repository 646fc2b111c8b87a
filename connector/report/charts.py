"""Charts as inline SVG: small, without script, coloured by classes of the style sheet. Values in, markup out.

Every chart has a title and a description; what it shows also stands as text or table beside it.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from math import floor, inf, log10
from statistics import median

from attrs import frozen

from connector.report.markup import Content, Markup, el
from connector.report.values import DayPoint, Gap, Period

MARK_ROOM = 21.0
"""Between the centres of two numbered marks."""


@frozen
class Size:
    """Pixels of a drawing: its width, the heights of its two panels, the room for labels left and right."""

    width: float
    upper: float
    lower: float
    left: float
    right: float
    ticks: int


WIDE = Size(width=960, upper=190, lower=110, left=52, right=88, ticks=8)
NARROW = Size(width=360, upper=150, lower=90, left=46, right=14, ticks=4)


def svg(content: Content, *, width: float, height: float, name: str, title: str, text: str, class_: str) -> Markup:
    """A drawing with its title and description for those who do not see it."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", text, id=f"{name}-desc"),
        content,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_=class_,
        focusable="false",
    )


# ---------------------------------------------------------------------------------------------------------- timeline


def timeline(
    name: str, days: Sequence[DayPoint], when: Period, gaps: Sequence[Gap], marks: Sequence[str], size: Size
) -> Markup:
    """Percentage above, points below, over the days of the period; `marks` are days, numbered from 1."""
    top = 34.0
    middle = top + size.upper
    base = middle + 40
    height = base + size.lower + 26
    axis = _Axis(when, size)
    percents = [(d.day, d.percent) for d in days]
    scores = [(d.day, d.score) for d in days]
    measured = [(d.day, d.measured) for d in days]
    upper = _Scale.over([v for _, v in percents], top, middle, least=1.0, most=100.0)
    lower = _Scale.over([v for _, v in (*scores, *measured)], base, base + size.lower, least=5.0)
    drawn: list[Content] = [
        _caption("Percent of the maximum", size.left, top - 22),
        _caption("Points: awarded, and of these measured", size.left, base - 12),
        *[_gap(axis, gap, top, base + size.lower) for gap in gaps],
        *_grid(upper, size, " %"),
        *_grid(lower, size, ""),
        *_dates(axis, size, base + size.lower),
        _band(axis, lower, days),
        _line(axis, lower, measured, "line measured"),
        _line(axis, lower, scores, "line"),
        _area(axis, upper, percents, middle),
        _line(axis, upper, percents, "line"),
        _marks(axis, upper, percents, marks, top - 6),
    ]
    if size is WIDE:
        drawn += [_end(axis, upper, percents, " %"), _end(axis, lower, scores, "")]
    first, last = days[0], days[-1]
    text = (
        f"{_words(first.percent)} percent on {first.day}, {_words(last.percent)} percent on {last.day}; "
        f"{_words(first.score)} points, then {_words(last.score)}. {len(days)} of {when.days} days are drawn."
    )
    title = "Score over time"
    return svg(drawn, width=size.width, height=height, name=name, title=title, text=text, class_="timeline")


@frozen
class _Scale:
    low: float
    high: float
    top: float
    bottom: float
    ticks: tuple[float, ...]

    @classmethod
    def over(
        cls, values: Sequence[float | None], top: float, bottom: float, least: float, most: float = inf
    ) -> "_Scale":
        """A scale that holds all values and ends on its ticks; `least` is the smallest range worth drawing.

        No tick stands below nothing or above `most`, where no value can be.
        """
        known = [v for v in values if v is not None] or [0.0]
        low, high = min(known), max(known)
        missing = max(0.0, least - (high - low)) / 2
        low, high = low - missing, high + missing
        if low < 0 <= min(known):
            low, high = 0.0, high - low
        if high > most >= max(known):
            low, high = max(0.0, low - (high - most)), most
        step = _nice((high - low) / 3)
        first = floor(low / step + 1e-9)
        ticks = [first * step]
        while ticks[-1] < high - 1e-9:
            ticks.append((first + len(ticks)) * step)
        return cls(ticks[0], ticks[-1], top, bottom, tuple(ticks))

    def y(self, value: float) -> float:
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)


@frozen
class _Axis:
    when: Period
    size: Size

    def x(self, day: str) -> float:
        number = (date.fromisoformat(day) - date.fromisoformat(self.when.start)).days
        room = self.size.width - self.size.left - self.size.right
        return self.size.left + room * number / max(1, self.when.days - 1)


def _nice(rough: float) -> float:
    power = 10.0 ** floor(log10(rough))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough - 1e-12))


def _caption(text: str, x: float, y: float) -> Markup:
    return el("text", text, x=x, y=y, class_="caption")


def _grid(scale: _Scale, size: Size, unit: str) -> list[Markup]:
    found = []
    for tick in scale.ticks:
        y = scale.y(tick)
        found.append(el("line", x1=size.left, x2=size.width - size.right, y1=y, y2=y, class_="grid"))
        found.append(el("text", f"{tick:g}{unit}", x=size.left - 7, y=y + 4, text_anchor="end", class_="tick"))
    return found


def _dates(axis: _Axis, size: Size, y: float) -> list[Markup]:
    start, days = date.fromisoformat(axis.when.start), axis.when.days
    step = next(s for s in (1, 2, 7, 14, 28, 56, 91, 182, 364, 10_000) if days / s <= size.ticks)
    found = []
    for number in range(0, days, step):
        day = start + timedelta(days=number)
        x = axis.x(day.isoformat())
        found.append(el("line", x1=x, x2=x, y1=y, y2=y + 5, class_="axis"))
        anchor = "start" if number == 0 and size is NARROW else "middle"
        found.append(el("text", short_day(day.isoformat()), x=x, y=y + 19, text_anchor=anchor, class_="tick"))
    return found


def _gap(axis: _Axis, gap: Gap, top: float, bottom: float) -> Markup:
    half = (axis.x(axis.when.end) - axis.x(axis.when.start)) / max(1, axis.when.days - 1) / 2
    x = max(axis.size.left, axis.x(gap.first) - half)
    return el(
        "rect",
        el("title", f"not observed: {gap.first} to {gap.last}"),
        x=x,
        y=top,
        width=max(1.0, axis.x(gap.last) + half - x),
        height=bottom - top,
        class_="missing",
    )


def _runs(values: Sequence[tuple[str, float | None]]) -> list[list[tuple[str, float]]]:
    """Neighbouring days with a value: a missing day breaks the line."""
    runs: list[list[tuple[str, float]]] = []
    before: date | None = None
    for day, value in values:
        moment = date.fromisoformat(day)
        if value is not None:
            if not runs or before is None or (moment - before).days != 1:
                runs.append([])
            runs[-1].append((day, value))
        before = moment if value is not None else None
    return runs


def _line(axis: _Axis, scale: _Scale, values: Sequence[tuple[str, float | None]], class_: str) -> list[Markup]:
    return [
        el("polyline", points=_points(axis, scale, run), class_=class_)
        if len(run) > 1
        else el("circle", cx=axis.x(run[0][0]), cy=scale.y(run[0][1]), r=1.6, class_="dot")
        for run in _runs(values)
    ]


def _points(axis: _Axis, scale: _Scale, run: Sequence[tuple[str, float]]) -> str:
    return " ".join(f"{axis.x(day):.1f},{scale.y(value):.1f}" for day, value in run)


def _area(axis: _Axis, scale: _Scale, values: Sequence[tuple[str, float | None]], bottom: float) -> list[Markup]:
    found = []
    for run in _runs(values):
        left, right = (f"{axis.x(day):.1f},{bottom:.1f}" for day in (run[0][0], run[-1][0]))
        found.append(el("polygon", points=f"{left} {_points(axis, scale, run)} {right}", class_="area"))
    return found


def _band(axis: _Axis, scale: _Scale, days: Sequence[DayPoint]) -> list[Markup]:
    """Between what is awarded and what is measured: the asserted points."""
    both = [(d.day, None if d.measured is None else d.score) for d in days]
    under = {d.day: d.measured for d in days if d.measured is not None}
    found = []
    for run in _runs(both):
        back = [(day, under[day]) for day, _ in reversed(run)]
        found.append(
            el("polygon", points=f"{_points(axis, scale, run)} {_points(axis, scale, back)}", class_="asserted")
        )
    return found


def _marks(
    axis: _Axis, scale: _Scale, values: Sequence[tuple[str, float | None]], days: Sequence[str], y: float
) -> list[Content]:
    """Numbered marks in a row above the line, each led to its day; they make room for each other."""
    places = spread([axis.x(day) for day in days], MARK_ROOM, axis.size.left, axis.size.width - 10)
    known = dict(values)
    drawn: list[Content] = []
    for number, (day, place) in enumerate(zip(days, places, strict=True), start=1):
        value = known.get(day)
        end = scale.y(value) if value is not None else scale.bottom
        drawn.append(el("polyline", points=f"{place:.1f},{y + 8:.1f} {axis.x(day):.1f},{end:.1f}", class_="leader"))
        drawn.append(el("circle", cx=axis.x(day), cy=end, r=2.6, class_="dot"))
        drawn.append(el("circle", cx=place, cy=y, r=8.5, class_="mark"))
        drawn.append(el("text", number, x=place, y=y + 3.8, text_anchor="middle", class_="mark-number"))
    return drawn


def spread(wanted: Sequence[float], room: float, low: float, high: float) -> list[float]:
    """Places in the same order, at least `room` apart, near where they are wanted and, if they fit, in [low, high]."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + room) if places else max(place, low))
    limit = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - room
    return places


def _end(axis: _Axis, scale: _Scale, values: Sequence[tuple[str, float | None]], unit: str) -> Content:
    known = [(day, value) for day, value in values if value is not None]
    if not known:
        return None
    day, value = known[-1]
    y = scale.y(value)
    return (
        el("circle", cx=axis.x(day), cy=y, r=3.4, class_="dot"),
        el("text", f"{value:.2f}{unit}", x=axis.x(day) + 9, y=y + 4, class_="end"),
    )


def _words(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def short_day(day: str) -> str:
    """A day as 24 Aug, without the machine's language."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{int(day[8:10])} {months[int(day[5:7]) - 1]}"


# ----------------------------------------------------------------------------------------------------- small drawings


def span(start: float, end: float, class_: str) -> Markup:
    """A bar from one share (0-1) to another of the room it is given, at least a hair wide."""
    left, right = sorted((min(1.0, max(0.0, start)), min(1.0, max(0.0, end))))
    width = max(0.4, 100 * (right - left))
    return _decoration(el("rect", x=min(100 * left, 100 - width), y=0, width=width, height=10, class_=class_), "bar")


def level(share: float | None, below: float = 0.0) -> Markup:
    """A track filled up to a share (0-1); the part `below` of it is drawn as asserted. None draws the track alone."""
    filled: list[Content] = [el("rect", x=0, y=0, width=100, height=10, class_="track")]
    if share is not None:
        full = 100 * min(1.0, max(0.0, share))
        marked = min(full, 100 * below)
        filled.append(el("rect", x=0, y=0, width=full - marked, height=10, class_="fill"))
        filled.append(el("rect", x=full - marked, y=0, width=marked, height=10, class_="stated") if marked else None)
    return _decoration(filled, "bar level")


def spark(values: Sequence[float | None]) -> Markup:
    """A line without axes; its own lowest value is its floor."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return Markup("")
    low, room = min(known), max(0.5, max(known) - min(known))
    runs: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{100 * place / (len(values) - 1):.1f},{19 - 18 * (value - low) / room:.1f}")
    lines = [el("polyline", points=" ".join(run), class_="line") for run in runs if len(run) > 1]
    return _decoration(lines, "spark", "0 0 100 20")


def strip(states: Sequence[str]) -> Markup:
    """One field a day, coloured by its state."""
    fields = [
        el("rect", x=place * 10 + 1, y=0, width=8, height=10, class_=f"day {state}")
        for place, state in enumerate(states)
    ]
    return _decoration(fields, "strip", f"0 0 {10 * len(states)} 10")


def dots(name: str, shares: Sequence[float]) -> Markup:
    """Where many tenants stand between 0 and 100 percent: one faint stroke each."""
    drawn: list[Content] = [el("line", x1=20, x2=940, y1=44, y2=44, class_="axis")]
    for tick in range(0, 101, 20):
        x = 20 + 9.2 * tick
        drawn.append(el("text", f"{tick} %", x=x, y=62, text_anchor="middle", class_="tick"))
        drawn.append(el("line", x1=x, x2=x, y1=44, y2=49, class_="axis"))
    drawn += [el("line", x1=20 + 9.2 * s, x2=20 + 9.2 * s, y1=14, y2=42, class_="stroke") for s in shares]
    ordered = sorted(shares)
    middle = median(ordered)
    text = f"{len(shares)} tenants from {ordered[0]:.2f} to {ordered[-1]:.2f} percent, the median is {middle:.2f}."
    return svg(drawn, width=960, height=70, name=name, title="Where the tenants stand", text=text, class_="dots")


def _decoration(content: Content, class_: str, box: str = "0 0 100 10") -> Markup:
    """A drawing that says nothing its row does not say in words: hidden from screen readers."""
    return el(
        "svg",
        content,
        viewBox=box,
        preserveAspectRatio="none",
        aria_hidden="true",
        focusable="false",
        class_=class_,
    )
