"""Charts as inline SVG: small, without script, coloured by classes of the style sheet. Values in, markup out.

Every chart has a title and a description; what it shows also stands as text or table beside it.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from math import floor, inf, log10
from statistics import median

from attrs import frozen

from connector.report.figures import Pen
from connector.report.markup import Content, Markup, el
from connector.report.values import DayPoint, Gap, Period

MARK_ROOM = 21.0
"""Between the centres of two numbered marks."""
LABEL_ROOM = 15.0
"""Between two labels, one below the other."""


@frozen
class Size:
    """Pixels of a drawing: its width, the height of its panel and of its strip, the room for labels left and right."""

    width: float
    panel: float
    strip: float
    left: float
    right: float
    ticks: int


HALF = Size(width=620, panel=178, strip=62, left=46, right=74, ticks=5)
WIDE = Size(width=960, panel=120, strip=62, left=52, right=88, ticks=8)
NARROW = Size(width=360, panel=140, strip=56, left=42, right=66, ticks=4)
FIRST_DAY_LEFT = 16
"""How far left of the axis the first day of a narrow drawing begins, so that long names of months have room."""


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


# ---------------------------------------------------------------------------------------------------------- over time


@frozen
class Percents:
    """What the percentage is drawn with: the days, the target, and the days on which something happened."""

    days: Sequence[DayPoint]
    when: Period
    gaps: Sequence[Gap]
    target: float | None
    marks: Sequence[str]


def percents(pen: Pen, name: str, drawn: Percents, size: Size) -> Markup:
    """The percentage on an axis from 0 to 100, with target and average; below it the same, enlarged and marked so."""
    days, when = drawn.days, drawn.when
    top = 30.0
    middle = top + size.panel
    base = middle + 34
    end = base + size.strip
    axis = _Axis(when, size)
    values = [(d.day, d.percent) for d in days]
    average = [(d.day, d.average) for d in days]
    whole = _Scale(0.0, 100.0, top, middle, (0.0, 25.0, 50.0, 75.0, 100.0))
    near = _Scale.over([v for _, v in values], base, end, least=1.0, most=100.0)
    target = drawn.target
    lines: list[tuple[float, Content, str]] = []
    if target is not None:
        lines.append((whole.y(target), _short(pen, target), "target-text"))
    known = [(d, v) for d, v in average if v is not None]
    if known:
        lines.append((whole.y(known[-1][1]), _short(pen, round(known[-1][1], 1)), "average-text"))
    shown: list[Content] = [
        _caption(pen.text("chart.percent"), size.left, top - 14),
        _caption(
            pen.text("chart.zoomed", low=_short(pen, near.low), high=_short(pen, near.high)), size.left, base - 10
        ),
        *[_gap(pen, axis, gap, top, end) for gap in drawn.gaps],
        *_grid(pen, whole, size, percent=True),
        *_grid(pen, _ends(near), size, percent=True),
        *_dates(pen, axis, size, end),
        _area(axis, whole, values, middle),
        _level(axis, whole, target, "line target") if target is not None else None,
        _line(axis, whole, average, "line average"),
        _line(axis, whole, values, "line"),
        _line(axis, near, values, "line"),
        _level(axis, near, target, "line target") if target is not None and near.low < target < near.high else None,
        _marks(axis, near, values, drawn.marks, base - 2) if drawn.marks else None,
    ]
    last = next(((d, v) for d, v in reversed(values) if v is not None), None)
    if last is not None:
        x = axis.x(last[0])
        shown.append(el("circle", cx=x, cy=whole.y(last[1]), r=3.4, class_="dot"))
        lines.insert(0, (whole.y(last[1]), _short(pen, last[1]), "end"))
    shown.append(_labels(lines, size.width - size.right + 9, top, middle))
    first, final = days[0], days[-1]
    text = pen.text(
        "chart.percent_text",
        first=pen.percent(first.percent),
        first_day=pen.say.day(first.day),
        last=pen.percent(final.percent),
        last_day=pen.say.day(final.day),
    )
    title = pen.text("chart.percent_title")
    return svg(shown, width=size.width, height=end + 26, name=name, title=title, text=text, class_="timeline")


def _ends(scale: "_Scale") -> "_Scale":
    """Its ends alone as ticks: a strip has no room for more."""
    return _Scale(scale.low, scale.high, scale.top, scale.bottom, (scale.low, scale.high))


def _short(pen: Pen, value: float) -> str:
    """A percentage as it stands at an axis or a line."""
    return pen.text("chart.percent_short", value=pen.say.count(int(value)) if value == int(value) else round(value, 2))


def _level(axis: "_Axis", scale: "_Scale", value: float, class_: str) -> Markup:
    left, right = axis.size.left, axis.size.width - axis.size.right
    return el("polyline", points=f"{left:g},{scale.y(value):.1f} {right:g},{scale.y(value):.1f}", class_=class_)


def _labels(lines: Sequence[tuple[float, Content, str]], x: float, top: float, bottom: float) -> list[Markup]:
    """The labels of lines at their right ends, making room for each other."""
    ordered = sorted(lines, key=lambda line: line[0])
    places = spread([y for y, _, _ in ordered], LABEL_ROOM, top, bottom)
    return [
        el("text", words, x=x, y=place + 4, class_=class_)
        for place, (_, words, class_) in zip(places, ordered, strict=True)
    ]


def scores(pen: Pen, name: str, drawn: Percents, size: Size) -> Markup:
    """The points over the days of the period, and of these the measured ones; `marks` are days, numbered from 1."""
    days, when = drawn.days, drawn.when
    top = 44.0
    base = top + size.panel
    axis = _Axis(when, size)
    points = [(d.day, d.score) for d in days]
    measured = [(d.day, d.measured) for d in days]
    scale = _Scale.over([v for _, v in (*points, *measured)], top, base, least=5.0)
    shown: list[Content] = [
        _caption(pen.text("chart.points"), size.left, 14),
        *[_gap(pen, axis, gap, top, base) for gap in drawn.gaps],
        *_grid(pen, scale, size, percent=False),
        *_dates(pen, axis, size, base),
        _band(axis, scale, days),
        _line(axis, scale, measured, "line measured"),
        _line(axis, scale, points, "line"),
        _marks(axis, scale, points, drawn.marks, top - 12),
        _end(pen, axis, scale, points),
    ]
    first, last = days[0], days[-1]
    text = pen.text(
        "chart.points_text",
        first=first.score if first.score is not None else pen.text("unknown"),
        first_day=pen.say.day(first.day),
        last=last.score if last.score is not None else pen.text("unknown"),
        last_day=pen.say.day(last.day),
    )
    title = pen.text("chart.points_title")
    return svg(shown, width=size.width, height=base + 26, name=name, title=title, text=text, class_="timeline")


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


def _grid(pen: Pen, scale: _Scale, size: Size, *, percent: bool) -> list[Markup]:
    found = []
    for tick in scale.ticks:
        y = scale.y(tick)
        words = _short(pen, tick) if percent else pen.say.count(int(tick)) if tick == int(tick) else pen.points(tick)
        found.append(el("line", x1=size.left, x2=size.width - size.right, y1=y, y2=y, class_="grid"))
        found.append(el("text", words, x=size.left - 7, y=y + 4, text_anchor="end", class_="tick"))
    return found


def _dates(pen: Pen, axis: _Axis, size: Size, y: float) -> list[Markup]:
    start, days = date.fromisoformat(axis.when.start), axis.when.days
    step = next(s for s in (1, 2, 7, 14, 28, 56, 91, 182, 364, 10_000) if days / s <= size.ticks)
    found = []
    for number in range(0, days, step):
        day = start + timedelta(days=number)
        x = axis.x(day.isoformat())
        found.append(el("line", x1=x, x2=x, y1=y, y2=y + 5, class_="axis"))
        anchor, at = ("start", x - FIRST_DAY_LEFT) if number == 0 and size is NARROW else ("middle", x)
        found.append(el("text", pen.say.short_day(day.isoformat()), x=at, y=y + 19, text_anchor=anchor, class_="tick"))
    return found


def _gap(pen: Pen, axis: _Axis, gap: Gap, top: float, bottom: float) -> Markup:
    half = (axis.x(axis.when.end) - axis.x(axis.when.start)) / max(1, axis.when.days - 1) / 2
    x = max(axis.size.left, axis.x(gap.first) - half)
    return el(
        "rect",
        el("title", pen.text("chart.gap", days=pen.say.period(gap.first, gap.last))),
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


def _end(pen: Pen, axis: _Axis, scale: _Scale, values: Sequence[tuple[str, float | None]]) -> Content:
    last = next(((day, value) for day, value in reversed(values) if value is not None), None)
    if last is None:
        return None
    x, y = axis.x(last[0]), scale.y(last[1])
    return (
        el("circle", cx=x, cy=y, r=3.4, class_="dot"),
        el("text", pen.points(last[1]), x=x + 9, y=y + 4, class_="end"),
    )


# ----------------------------------------------------------------------------------------------------- small drawings


def span(start: float, end: float, class_: str, zero: float | None = None) -> Markup:
    """A bar from one share (0-1) to another of the room it is given, at least a hair wide; `zero` marks where all
    bars began.
    """
    left, right = sorted((min(1.0, max(0.0, start)), min(1.0, max(0.0, end))))
    width = max(0.4, 100 * (right - left))
    bar = el("rect", x=min(100 * left, 100 - width), y=1, width=width, height=8, class_=class_)
    return _decoration((None if zero is None else _hair(zero), bar), "bar")


def base(zero: float) -> Markup:
    """The mark alone where the bars below begin."""
    return _decoration(_hair(zero), "bar")


def _hair(place: float) -> Markup:
    return el("line", x1=100 * place, x2=100 * place, y1=0, y2=10, class_="base")


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


def dots(pen: Pen, name: str, shares: Sequence[float]) -> Markup:
    """Where many tenants stand between 0 and 100 percent: one faint stroke each."""
    drawn: list[Content] = [el("line", x1=20, x2=940, y1=44, y2=44, class_="axis")]
    for tick in range(0, 101, 20):
        x = 20 + 9.2 * tick
        drawn.append(el("text", _short(pen, float(tick)), x=x, y=62, text_anchor="middle", class_="tick"))
        drawn.append(el("line", x1=x, x2=x, y1=44, y2=49, class_="axis"))
    drawn += [el("line", x1=20 + 9.2 * s, x2=20 + 9.2 * s, y1=14, y2=42, class_="stroke") for s in shares]
    ordered = sorted(shares)
    middle = median(ordered)
    text = pen.text(
        "chart.tenants_text",
        n=len(shares),
        least=pen.percent(ordered[0]),
        most=pen.percent(ordered[-1]),
        middle=pen.percent(middle),
    )
    title = pen.text("chart.tenants_title")
    return svg(drawn, width=960, height=70, name=name, title=title, text=text, class_="dots")


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
