"""The HTML is well built, inert and exact, the JSON fits its schema."""

import base64
import hashlib
import json
import re
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields, has
from jsonschema import Draft202012Validator

from connector.advice import values as advice
from connector.language.choice import language
from connector.model import Control, Day, Version
from connector.observe import diff
from connector.observe.causes import Share
from connector.observe.memory import Memory
from connector.report import build, cloud, document, matrix, page, table, values
from connector.report.compare import SHOWN_TENANTS
from connector.report.logo import logo
from connector.report.moves import SHOWN_BARS
from connector.report.values import Brand, Cover, EvidenceFile, Notice, Summary, TenantReport
from tests.fakes.clouds import entry, exposure
from tests.fakes.pictures import png
from tests.fakes.posture import HOSTILE, hostile, simulated, whole

VOID = {"meta", "link", "wbr", "img"}
PIXEL = logo("logo.png", png(3, 2))


@cache
def reports(*, harmed: bool = False) -> list[TenantReport]:
    made = [simulated(7), simulated(8)]
    made = [hostile(m) for m in made] if harmed else made
    return [build.build(m, whole(m)) for m in made]


def cover(found: list[TenantReport], *more: Summary) -> Cover:
    names = tuple(r.summary.name for r in found)
    made = [simulated(7), simulated(8)]
    columns = [matrix.column(m, whole(m)) for m in made] if len(found) > 1 else []
    brand = Brand("Contoso AG", "Fabrikam", "Confidential", PIXEL.uri, PIXEL.width, PIXEL.height)
    summaries = (*(r.summary for r in found), *more)
    table = matrix.matrix([c for c in columns if c is not None])
    return Cover("1.2.3", "2026-07-11T08:00:00Z", found[0].period, summaries, names, brand, table)


def written(form: Any, found: list[TenantReport], *more: Summary) -> str:
    front = cover(found, *more)
    parts = [form.opening(front), *(form.tenant(r, n) for n, r in enumerate(found)), form.closing(front)]
    return "".join(parts)


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed by its own end, every id is used once."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.headings: list[int] = []
        self.pictures: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.policy = ""
        self.style = ""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {k: v or "" for k, v in attrs}
        self.attributes |= set(given)
        self.ids += [given["id"]] if "id" in given else []
        self.labels += given.get("aria-labelledby", "").split()
        self.pictures += [given["src"]] if "src" in given else []
        if tag == "a":
            self.links.append(given["href"])
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
            return
        self.text += data
        if {"td", "th"} & set(self.open) and "title" not in self.open:
            self.rows[-1][-1] += data


def read(text: str) -> Page:
    parser = Page()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("harmed", [False, True])
def test_the_page_is_well_built(harmed: bool) -> None:
    found = read(written(page.Form(), reports(harmed=harmed)))
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert set(found.labels) <= set(found.ids)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(found.headings))


@pytest.mark.parametrize("harmed", [False, True])
def test_nothing_in_it_can_load_run_or_lead_away(harmed: bool) -> None:
    text = written(page.Form(), reports(harmed=harmed))
    found = read(text)
    assert not found.tags & {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "base",
        "video",
        "audio",
        "use",
    }
    assert not [a for a in found.attributes if a.startswith("on") or a in ("srcset", "style", "action", "xlink:href")]
    assert found.pictures == [PIXEL.uri]
    assert all(link.startswith("#") for link in found.links)
    assert harmed or "//" not in text.replace(PIXEL.uri, "")
    assert not re.search(r"url\(|@import|https?:", found.style)


def test_the_policy_allows_this_style_sheet_and_nothing_else() -> None:
    text = written(page.Form(), reports(harmed=True))
    found = read(text)
    inside = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert inside is not None
    assert text.count("<style>") == 1
    digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
    assert found.policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_hostile_texts_are_shown_as_they_are() -> None:
    found = read(written(page.Form(), reports(harmed=True)))
    for text in HOSTILE[:6]:
        assert text in found.text
    assert "&lt;b&gt; &amp; &#60;i&#62;" in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text


def number(text: str) -> int:
    return diff.fixed(float(text.replace("\N{MINUS SIGN}", "-")))


def waterfall(found: Page) -> tuple[int, list[list[str]], int]:
    """What the first row has, the steps, and what the last row has."""
    start = next(i for i, row in enumerate(found.rows) if row[0].endswith("the beginning"))
    end = next(i for i, row in enumerate(found.rows) if row[0].endswith("the end"))
    return number(found.rows[start][2]), found.rows[start + 1 : end], number(found.rows[end][2])


def test_the_waterfall_that_is_shown_adds_up() -> None:
    for report in reports():
        bridge, seen = report.bridge, report.watched
        assert bridge is not None
        assert seen is not None
        found = read(written(page.Form(), [report]))
        start, steps, end = waterfall(found)
        assert steps[-1][0] == "Residual"
        assert start + sum(number(row[1]) for row in steps) == end == diff.fixed(seen.after_score or 0)
        assert [number(row[2]) for row in steps][-1] == end
        moved = {m.control for m in bridge.moves if m.delta}
        listed = [row for row in found.rows if len(row) == 6 and any(row[0].endswith(name) for name in moved)]
        listed = [row for row in listed if "→" in row[2]]
        assert sum(number(row[1]) for row in listed) == sum(diff.fixed(m.delta) for m in bridge.moves)


def test_every_table_is_shown_with_its_rows() -> None:
    """A table that no report here has would be tested by nothing."""
    folder = Path(page.__file__).parent
    keys = {key for file in folder.glob("*.py") for key in re.findall(r'"(\w+\.\w*caption)"', file.read_text())}
    captions = {language().text(key) for key in keys}
    first, second = reports(harmed=True)
    notice = Notice("2026-07-09T08:00:00Z", "feed.gap", 2, "A day is missing", "id")
    missed = Notice("2026-07-09T08:00:00Z", "posture.target_missed", 8, "Missed", "id")
    assert first.bridge is not None
    moves = tuple(evolve(m, noise=n == 0) for n, m in enumerate(first.bridge.moves))
    changed = evolve(first, bridge=evolve(first.bridge, moves=moves), targets=(missed,))
    clouds = cloud.told([make("2026-07-01", "2026-07-09", "t") for make in (entry, exposure)], first.period)
    changed = evolve(changed, clouds=clouds)
    told = [evolve(changed, quality=evolve(first.quality, notices=(notice,))), second]
    more = [evolve(first.summary, name=f"tenant {n}") for n in range(SHOWN_TENANTS)]
    silent = Summary("quiet", "0", {}, None, 0, 40, ("gaps",), error="nothing is known yet")
    shown = written(page.Form(), told, *more, silent)
    assert len(captions) > 6
    assert [name for name in captions if f"<caption>{name}</caption>" not in shown] == []


def test_many_moves_are_shown_as_one_bar_and_each_in_its_table() -> None:
    def day(on: str, scores: list[float]) -> Version:
        controls = {f"c{n:02}": Control(f"c{n:02}", "Apps", score, None) for n, score in enumerate(scores)}
        return Version(Day(f"x_{on}", on, sum(scores), 500.0, controls), f"hash of {on}")

    many = SHOWN_BARS + 8
    before, after = day("2026-06-01", [5.0] * 2 * many), day("2026-06-02", [5.0 + n * 0.25 for n in range(-many, many)])
    memory = Memory(first_newest="2026-06-01", newest=after, days={"2026-06-01": before})
    made = evolve(simulated(7), memory=memory, events=())
    found = read(written(page.Form(), [build.build(made, whole(made))]))
    start, steps, end = waterfall(found)
    assert steps[-2][0] == f"{2 * many - 1 - SHOWN_BARS} smaller moves together"
    assert start + sum(number(row[1]) for row in steps) == end
    listed = [row[0] for row in found.rows if len(row) == 6 and re.fullmatch(r"c\d\d", row[0]) and "→" in row[2]]
    assert len(listed) == len(set(listed)) == 2 * many - 1


def test_the_opening_says_how_good_the_data_is() -> None:
    report = reports()[0]
    quality = report.quality
    text = read(written(page.Form(), [report])).text
    front = text[: text.index("Score over time")]
    missing = sum(g.days for g in quality.gaps)
    told = f"{missing} days are missing" if missing != 1 else "1 day is missing"
    assert f"{quality.days_observed} of {quality.days_in_period} days observed: {told}" in front
    assert report.fingerprint in text
    assert report.evidence[0].sha256 in text


def test_an_archived_file_that_nobody_listed_is_told() -> None:
    report = reports()[0]
    more = evolve(
        report, evidence=(*report.evidence, EvidenceFile("2026-06-30", "secureScores-9.json.gz", "", "unlisted"))
    )
    assert "1 unlisted" in read(written(page.Form(), [more])).text


def test_several_tenants_are_compared_before_each_follows() -> None:
    found = reports()
    silent = Summary("quiet & co", "0", {}, None, 0, 40, ("gaps",), error="nothing is known yet")
    text = written(page.Form(), found, silent)
    assert 0 < text.index('id="comparison"') < text.index('id="t1"') < text.index('id="t2"')
    assert "quiet &amp; co" in text
    assert "nothing is known yet" in text
    known = text[text.index("<caption>Tenants, weakest first") : text.index("<details>")]
    assert "quiet" not in known, "what is not known is not among the weakest"
    alone = written(page.Form(), found[:1])
    assert "comparison" not in read(alone).ids


def test_a_tenant_without_a_catalogue_and_with_one_day_has_a_page() -> None:
    made = simulated(7)
    bare = evolve(made, memory=evolve(made.memory, profiles=None, days={}), events=(), evidence=())
    one = build.build(bare, whole(bare))
    text = read(written(page.Form(), [one])).text
    assert "A change takes two observed days." in text
    assert "The catalogue has not been read yet: states are unknown." in text
    json.loads(written(document, [one]))
    assert all(written(table.Form(name), [one]) for name in table.TABLES)


# ------------------------------------------------------------------------------------------------------------ JSON

SCHEMA: dict[str, Any] = json.loads((resources.files("connector.report") / "report.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("harmed", [False, True])
def test_the_document_fits_the_shipped_schema(harmed: bool) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    data = json.loads(written(document, reports(harmed=harmed)))
    assert [e.message for e in Draft202012Validator(SCHEMA).iter_errors(data)] == []
    assert len(data["tenants"]) == 2


UNTOLD = ("Material", "CloudMaterial", "Unit", "Event", "Memory", "ChangesConfig", "TargetsConfig", "ExceptionsConfig")
"""What a report is made of, and does not tell as it stands."""


def test_the_schema_knows_exactly_the_fields_there_are() -> None:
    described = {name: d["properties"] for name, d in SCHEMA["$defs"].items() if "properties" in d}
    described["Cover"] = {k: v for k, v in SCHEMA["properties"].items() if k not in ("schema", "tenants", "method")}
    known = {n: c for n, c in vars(values).items() if isinstance(c, type) and has(c) and n not in UNTOLD}
    known |= {n: c for n, c in vars(advice).items() if isinstance(c, type) and has(c)}
    known["Share"] = Share
    told = {n: [f.name for f in fields(c) if f.name not in document.PICTURE] for n, c in known.items()}
    assert {n: list(p) for n, p in described.items()} == told
    required = {n: d["required"] for n, d in SCHEMA["$defs"].items() if "properties" in d}
    assert all(required[n] == list(described[n]) for n in required)
