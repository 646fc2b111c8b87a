"""Makes packaging/azure/sentinel/Previews/SecureScore{White,Black}{1,2}.png anew: two tabs of the workbook in each.

    SECURESCORE_KUSTO=~/kusto python packaging/tools/workbook_pictures.py

For maintainers; needs Debian's package chromium and what `sh tests/real/get_kusto.sh` brings. The workbook's own
queries run over the rows of the demo (a simulated tenant whose days end today), and what they give is drawn after the
workbook's own items: their order, widths, titles and kinds. It is a drawing, not Azure's renderer, which runs in the
portal only.
"""

import asyncio
import base64
import html
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from connector.cli import main  # noqa: E402 - the folder of this repository comes first
from connector.formats import cloudevents, ingestion  # noqa: E402
from connector.mapping.load import load_mapping  # noqa: E402
from sinks.sentinel import OPTIONS  # noqa: E402
from tests import sentinel_content  # noqa: E402
from tests.real import kusto  # noqa: E402
from tests.real.browser import chromium  # noqa: E402

FOLDER = ROOT / "packaging" / "azure" / "sentinel" / "Previews"
TABS = {1: "changes", 2: "posture"}
THEMES = {"White": ("#ffffff", "#323130", "#605e5c", "#edebe9"), "Black": ("#1b1a19", "#f3f2f1", "#a19f9d", "#3b3a39")}
COLOURS = ("#0078d4", "#e3008c", "#00b7c3", "#c239b3", "#498205", "#ca5010", "#8764b8", "#a4262c")
WIDTH, GAP, HEIGHT, ROWS = 1280, 12, 200, 7
DAYS = 30
SHORT = 14
"""Values up to this many characters stay on one line, longer ones wrap, so that a table is as wide as its place."""

Rows = Sequence[Mapping[str, Any]]


def rows_of(events: Path) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold of the tenant itself for the last days; the queries shown read no inventory."""
    mapping = load_mapping("sentinel")
    tables = {stream: name.removeprefix("Custom-") for stream, name in OPTIONS["streams"].default.items()}
    found: dict[str, list[dict[str, Any]]] = {}
    with events.open(encoding="utf-8") as lines:
        told = [event for event in map(cloudevents.loads, lines) if not event.data.get("unit")]
    first = sorted({str(event.data["day"]) for event in told if event.data.get("day")})[-DAYS]
    for event in told:
        if event.stream in ("score", "change") and str(event.data.get("day") or "") >= first:
            row = json.loads(ingestion.row(mapping.render(event).payload))
            found.setdefault(tables[event.stream], []).append({**row, "ingested": row["TimeGenerated"]})
    return found


def items(tab: str) -> list[Mapping[str, Any]]:
    """The items of a tab that show something before anything is selected, or once a score change is."""
    (group,) = (item for item in sentinel_content.items() if item["name"] == f"tab {tab}")
    return [item for item in group["content"]["items"] if item["type"] == 3]


# ------------------------------------------------------------------------------------------------------------ drawing


def drawn(item: Mapping[str, Any], rows: Rows, summary: str) -> str:
    content = item["content"]
    width = int(item.get("customWidth", 100)) * WIDTH // 100 - GAP
    title = content.get("title", "").replace("{TransitionSummary}", summary)
    kind = content["visualization"]
    body = (
        f'<p class="none">{html.escape(content["noDataMessage"])}</p>'
        if not rows
        else FORMS[kind](content, rows, width)
    )
    return f'<section style="width:{width}px"><h3>{html.escape(title)}</h3>{body}</section>'


def tiles(_: Mapping[str, Any], rows: Rows, width: int) -> str:  # noqa: ARG001 - as the others
    return '<div class="tiles">' + "".join(
        f"<div><b>{number(row['Value'])}</b><span>{html.escape(str(row['Name']))}</span></div>" for row in rows
    ) + "</div>"  # fmt: skip


def table(content: Mapping[str, Any], rows: Rows, width: int) -> str:  # noqa: ARG001 - as the others
    hidden = {
        one["columnMatch"].strip("^()$")
        for one in content.get("gridSettings", {}).get("formatters", [])
        if one["formatter"] == 5
    }
    coloured = {
        one["columnMatch"].strip("^()$")
        for one in content.get("gridSettings", {}).get("formatters", [])
        if one["formatter"] == 18
    }
    columns = [name for name in rows[0] if name not in hidden and any(row[name] not in (None, "") for row in rows)]
    shorts = {name for name in columns if all(len(number(row[name])) <= SHORT for row in rows[:ROWS])}
    head = "".join(f"<th>{re.sub('(?<=[a-z])(?=[A-Z])', '<wbr>', html.escape(name))}</th>" for name in columns)
    lines = "".join(
        f"<tr>{''.join(cell(row[name], name, coloured, shorts) for name in columns)}</tr>" for row in rows[:ROWS]
    )
    return f"<table><tr>{head}</tr>{lines}</table>"


def cell(value: Any, name: str, coloured: set[str], shorts: set[str]) -> str:
    if isinstance(value, float) and name in coloured:
        mark = "down" if value < 0 else "up" if value > 0 else ""
        return f'<td class="short {mark}">{number(value)}</td>'
    return f'<td class="{"short" if name in shorts else ""}">{html.escape(number(value))}</td>'


def number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value).removesuffix(" 00:00:00")


def series(content: Mapping[str, Any], rows: Rows) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Places on the x axis, and by name of a line what it has there."""
    chart = content.get("chartSettings", {})
    x = chart.get("xAxis") or next(iter(rows[0]))
    group = chart.get("group")
    values = chart.get("yAxis") or [k for k, v in rows[0].items() if isinstance(v, int | float) and k != x]
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        for value in values:
            found.setdefault(str(row[group]) if group else value, {})[str(row[x])] = float(row[value] or 0)
    return sorted({str(row[x]) for row in rows}), found


def lines(content: Mapping[str, Any], rows: Rows, width: int, *, filled: bool = False) -> str:
    places, found = series(content, rows)
    values = [value for one in found.values() for value in one.values()]
    low, high = (0 if filled else min(values) - 1), max(values) + 1
    step = (width - 60) / max(1, len(places) - 1)

    def at(place: str, value: float) -> str:
        return f"{40 + places.index(place) * step:.1f},{HEIGHT - 20 - (value - low) / (high - low) * (HEIGHT - 40):.1f}"

    shapes = axis(low, high, width)
    for n, one in enumerate(found.values()):
        points = " ".join(at(place, one[place]) for place in places if place in one)
        colour = COLOURS[n % len(COLOURS)]
        if filled:
            ends = f"{40 + (len(places) - 1) * step:.1f},{HEIGHT - 20} 40,{HEIGHT - 20}"
            shapes += f'<polygon points="{points} {ends}" fill="{colour}" fill-opacity=".35"/>'
        shapes += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return picture(shapes + ends_of(places, width), width) + legend(found)


def areas(content: Mapping[str, Any], rows: Rows, width: int) -> str:
    return lines(content, rows, width, filled=True)


def bars(content: Mapping[str, Any], rows: Rows, width: int) -> str:
    """Stacked, what is below nothing downwards."""
    places, found = series(content, rows)
    over = max([sum(max(0, one.get(p, 0)) for one in found.values()) for p in places] + [1])
    under = min([sum(min(0, one.get(p, 0)) for one in found.values()) for p in places] + [0])
    unit, step = (HEIGHT - 40) / (over - under), (width - 60) / len(places)
    shapes = axis(under, over, width)
    for index, place in enumerate(places):
        up = down = 20 + over * unit
        for n, one in enumerate(found.values()):
            size = abs(one.get(place, 0)) * unit
            top = up - size if one.get(place, 0) > 0 else down
            up, down = (top, down) if one.get(place, 0) > 0 else (up, down + size)
            shapes += (
                f'<rect x="{42 + index * step:.1f}" y="{top:.1f}" width="{max(2, step - 4):.1f}" height="{size:.1f}" '
                f'fill="{COLOURS[n % len(COLOURS)]}"/>'
            )
    return picture(shapes + ends_of(places, width), width) + legend(found)


def across(_: Mapping[str, Any], rows: Rows, width: int) -> str:
    """One bar a row, across."""
    name = next(iter(rows[0]))
    values = [key for key, value in rows[0].items() if isinstance(value, int | float)]
    largest = sorted(rows, key=lambda row: -sum(abs(float(row[key] or 0)) for key in values))[:8]
    shown = [row for row in rows if row in largest]  # in their order
    most = max(sum(abs(float(row[key] or 0)) for key in values) for row in shown) or 1
    shapes, room = "", width - 240
    for index, row in enumerate(shown):
        x, y = 200.0, 8 + index * 22
        shapes += f'<text x="192" y="{y + 12}" text-anchor="end">{html.escape(str(row[name])[:32])}</text>'
        for n, key in enumerate(values):
            size = abs(float(row[key] or 0)) / most * room
            shapes += f'<rect x="{x:.1f}" y="{y}" width="{size:.1f}" height="15" fill="{COLOURS[n]}"/>'
            x += size
        said = " + ".join(number(row[key]) for key in values)
        shapes += "" if len(values) > 1 else f'<text x="{x + 4:.1f}" y="{y + 12}">{said}</text>'
    return picture(shapes, width) + (legend(values) if len(values) > 1 else "")


def pie(_: Mapping[str, Any], rows: Rows, width: int) -> str:
    name, value = list(rows[0])[:2]
    total = sum(float(row[value]) for row in rows) or 1
    shapes, begun = "", -math.pi / 2
    for n, row in enumerate(rows):
        ended = begun + float(row[value]) / total * 2 * math.pi - 1e-4
        (x1, y1), (x2, y2) = ((110 + 80 * math.cos(a), 100 + 80 * math.sin(a)) for a in (begun, ended))
        shapes += (
            f'<path d="M110 100 L{x1:.1f} {y1:.1f} A80 80 0 {int(ended - begun > math.pi)} 1 {x2:.1f} {y2:.1f} Z" '
            f'fill="{COLOURS[n % len(COLOURS)]}"/>'
            f'<rect x="230" y="{40 + n * 24}" width="12" height="12" fill="{COLOURS[n % len(COLOURS)]}"/>'
            f'<text x="250" y="{51 + n * 24}">{html.escape(str(row[name]))} {number(row[value])}</text>'
        )
        begun = ended
    return picture(shapes, width)


def axis(low: float, high: float, width: int) -> str:
    found = ""
    for n in range(4):
        value, y = low + (high - low) * n / 3, HEIGHT - 20 - (HEIGHT - 40) * n / 3
        found += f'<line x1="40" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>'
        found += f'<text x="34" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>'
    return found


def ends_of(places: Sequence[str], width: int) -> str:
    first, last = places[0][:10], places[-1][:10]
    return (f'<text x="40" y="{HEIGHT - 3}">{first}</text>'
            f'<text x="{width - 20}" y="{HEIGHT - 3}" text-anchor="end">{last}</text>')  # fmt: skip


def picture(shapes: str, width: int) -> str:
    return f'<svg width="{width}" height="{HEIGHT}">{shapes}</svg>'


def legend(names: Sequence[str] | Mapping[str, Any]) -> str:
    return '<div class="legend">' + "".join(
        f'<i style="background:{COLOURS[n % len(COLOURS)]}"></i>{html.escape(name)} ' for n, name in enumerate(names)
    ) + "</div>"  # fmt: skip


FORMS = {
    "tiles": tiles, "table": table, "linechart": lines, "areachart": areas, "barchart": bars, "categoricalbar": across,
    "piechart": pie,
}  # fmt: skip


def page(tab: str, found: Mapping[str, Rows], summary: str, theme: str) -> str:
    back, text, faint, rule = THEMES[theme]
    heading = next(item["content"]["json"] for item in sentinel_content.items() if item["name"] == "title")
    title, _, below = heading.partition("\n")
    (links,) = (item["content"]["links"] for item in sentinel_content.items() if item["name"] == "tabs")
    tabs = "".join(
        f'<span class="{"on" if link["subTarget"] == tab else ""}">{html.escape(link["linkLabel"])}</span>'
        for link in links
    )
    style = (
        f"body{{margin:20px;width:{WIDTH}px;background:{back};color:{text};"
        "font:13px 'Open Sans','DejaVu Sans',sans-serif}"
        f"h1{{font-size:24px;margin:0}}h3{{font-size:14px;margin:14px 0 6px}}p{{margin:4px 0;color:{faint}}}"
        "nav span{padding:8px 2px;margin-right:22px;display:inline-block}"
        f"nav{{margin:10px 0;border-bottom:1px solid {rule}}}"
        "nav .on{font-weight:600;border-bottom:2px solid #0078d4}main{display:flex;flex-wrap:wrap;gap:0 12px}"
        ".tiles{display:flex;flex-wrap:wrap;gap:12px}"
        f".tiles div{{border:1px solid {rule};padding:12px 20px;min-width:150px}}"
        f".tiles b{{font-size:26px;display:block;font-weight:400}}.tiles span{{color:{faint}}}"
        "table{border-collapse:collapse;width:100%;font-size:11px}"
        f"th{{text-align:left;color:{faint};font-weight:600}}td,th{{border-bottom:1px solid {rule};padding:4px 6px;"
        "vertical-align:top}td{overflow-wrap:anywhere}td.short{white-space:nowrap}"
        ".down{background:#a4262c;color:#fff}.up{background:#107c10;color:#fff}"
        f"svg text{{fill:{faint};font-size:11px}}.rule{{stroke:{rule}}}.legend{{color:{faint};font-size:11px}}"
        ".legend i{display:inline-block;width:10px;height:10px;margin:0 4px 0 10px}"
    )
    body = "".join(drawn(item, found[item["name"]], summary) for item in items(tab))
    return (
        f"<!doctype html><meta charset='utf-8'><style>{style}</style><h1>{html.escape(title.lstrip('# '))}</h1>"
        f"<p>{html.escape(below)}</p><nav>{tabs}</nav><main>{body}</main>"
    )


# ------------------------------------------------------------------------------------------------------------- making


def answers(rows: Mapping[str, list[dict[str, Any]]], changes: Mapping[str, str] | None = None) -> dict[str, Rows]:
    """What the queries of both tabs give."""
    queries = sentinel_content.workbook_queries("all", changes)
    names = [item["name"] for tab in TABS.values() for item in items(tab)]
    now = datetime.now(UTC).replace(tzinfo=None).isoformat()
    (found,) = kusto.rows([{"now": now, "rows": rows, "queries": {name: queries[name] for name in names}}])
    wrong = {name: one["error"] for name, one in found.items() if isinstance(one, dict)}
    assert not wrong, wrong
    return found


def pages(events: Path) -> Iterator[tuple[str, str]]:
    rows = rows_of(events)
    before = answers(rows)
    change = max(
        before["score changes"], key=lambda row: (not row["Backfilled"], abs(row["Delta"] or 0))
    )  # one that somebody would select
    found = answers(rows, {"Transition": change["EventId"]})
    for n, tab in TABS.items():
        for theme in THEMES:
            yield f"SecureScore{theme}{n}.png", page(tab, found, str(change["Summary"]), theme)


async def shoot(text: str, folder: Path) -> bytes:
    path = folder / "page.html"
    path.write_text(text, "utf-8")
    async with chromium(folder / "profile") as tab:
        await tab.size(WIDTH + 40)
        await tab.open(path)
        wide = round(float(await tab.value("document.documentElement.scrollWidth")))
        assert wide <= WIDTH + 40, f"something runs {wide - WIDTH - 40} pixels past the right edge"
        height = round(float(await tab.value("document.documentElement.scrollHeight")))
        clip = {"x": 0, "y": 0, "width": WIDTH + 40, "height": height, "scale": 1}
        shot = await tab.send("Page.captureScreenshot", clip=clip, format="png", captureBeyondViewport=True)
    return base64.b64decode(shot["data"])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        demo = Path(scratch) / "demo"
        main.main(["demo", "--days", "14", "--out", str(demo)])
        for name, text in pages(demo / "events.jsonl"):
            with tempfile.TemporaryDirectory() as folder:
                (FOLDER / name).write_bytes(asyncio.run(shoot(text, Path(folder))))
