"""The report in a real browser: nothing is loaded or run, nothing complains, and all of it is there."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from connector.config.values import ExceptionsConfig, TargetsConfig
from connector.report import build, matrix, page
from connector.report.logo import logo
from connector.report.values import Brand, Cover, TenantReport
from tests.fakes.clouds import entry
from tests.fakes.pictures import png
from tests.fakes.posture import HOSTILE, hostile, simulated, whole
from tests.real.browser import chromium

OVERFLOW = """[...document.body.querySelectorAll('*')].filter(e => !e.closest('svg, thead') &&
  e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
"""What sticks out on the right, so that a reader would have to scroll sideways."""


PHONE_PX = 10_400
"""A third of what the report had before page one answered in words."""


def written(path: Path, *, harmed: bool) -> Path:
    """A report of two tenants, so that the comparison and the matrix are there, with a logo."""
    made = [simulated(7), simulated(8)]
    found = [build.build(m, whole(m)) for m in ([hostile(m) for m in made] if harmed else made)]
    names = tuple(r.summary.name for r in found)
    picture = logo("logo.png", png(120, 40))
    brand = Brand("Contoso", "Fabrikam", "Confidential", picture.uri, picture.width, picture.height)
    columns = matrix.matrix([c for m in made if (c := matrix.column(m, whole(m)))])
    head = ("0.1.0", "2026-07-11T08:00:00Z", found[0].period, tuple(r.summary for r in found), names, brand, columns)
    return _write(path, Cover(*head), found)


def one_tenant(path: Path, size: str) -> Path:
    """With subscriptions beside it."""
    made = simulated(7, 1, size)
    made = evolve(made, clouds=(entry(made.memory.first_newest or "", whole(made).end, made.tenant_id),))
    made = evolve(made, targets=TargetsConfig(percent_min=75.0), exceptions=ExceptionsConfig(review_after_days=90))
    found = build.build(made, whole(made))
    cover = Cover("0.1.0", "2026-07-11T08:00:00Z", found.period, (found.summary,), (found.summary.name,))
    return _write(path, cover, [found])


def _write(path: Path, cover: Cover, found: Sequence[TenantReport]) -> Path:
    form = page.Form()
    parts = [form.opening(cover), *(form.tenant(r, n) for n, r in enumerate(found)), form.closing(cover)]
    path.write_text("".join(parts), encoding="utf-8")
    return path


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


async def test_it_loads_nothing_runs_nothing_and_fits_every_width(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.html", harmed=False)
    harmed = written(tmp_path / "hostile.html", harmed=True)
    async with chromium(tmp_path / "profile") as tab:
        for path, width, dark in ((plain, 1280, True), (plain, 390, False), (harmed, 390, True), (harmed, 1280, False)):
            await tab.size(width, dark=dark)
            await tab.open(path)
            assert await tab.value(OVERFLOW) == []
            assert await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
            paper = await tab.value("getComputedStyle(document.documentElement).backgroundColor")
            assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")  # our style sheet is in force
        assert await tab.value("document.querySelectorAll('script,iframe,object,base').length") == 0
        assert await tab.value("[...document.images].map(i => i.naturalWidth)") == [120]
        assert await tab.value("document.querySelectorAll('style').length") == 1
        assert await tab.value("document.querySelectorAll('main > article > section').length") >= 18
        pdf = await tab.pdf()
        ours = {plain.as_uri(), harmed.as_uri()}
        assert {url for url in tab.requests if not url.startswith("data:")} == ours
        assert set(tab.visited) == ours
        assert tab.said == []
    assert pdf.startswith(b"%PDF-")
    assert pages(pdf) > 4


@pytest.mark.parametrize("size", ["small", "e5"])
async def test_it_is_short_on_paper_and_on_a_phone(tmp_path: Path, size: str) -> None:
    """Four pages and an annex, of a tenant with 230 controls, too; tables stay tables where their rows are lines."""
    path = one_tenant(tmp_path / "report.html", size)
    whole_text = path.read_text("utf-8")
    main_part = tmp_path / "main.html"
    main_part.write_text(
        re.sub(r'<section [^>]*class="annex">.*(?=<footer>)', "</article></main>", whole_text, flags=re.DOTALL)
    )
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(main_part)
        assert pages(await tab.pdf()) <= 4
        found = []
        for width in (1280, 390):
            await tab.size(width)
            await tab.open(path)
            tree = (await tab.send("Accessibility.getFullAXTree"))["nodes"]
            roles = Counter(node["role"]["value"] for node in tree if not node.get("ignored"))
            found.append([roles[role] for role in ("table", "row", "rowheader", "columnheader", "heading")])
        assert await tab.value("document.documentElement.scrollHeight") < PHONE_PX
    assert found[0] == found[1]


async def test_what_slips_in_is_stopped_and_told_and_every_text_is_there_without_scripts(tmp_path: Path) -> None:
    """The first half proves that the test above would fail."""
    path = written(tmp_path / "report.html", harmed=True)
    slipped = "<script>document.title='owned'</script><img src='https://evil.invalid/x.png'><p style='color:red'>x</p>"
    worse = tmp_path / "worse.html"
    worse.write_text(path.read_text("utf-8").replace("<main>", f"<main>{slipped}"), encoding="utf-8")
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(worse)
        assert await tab.value("document.title") != "owned"
        assert await tab.hears(["script", "evil.invalid", "style"]) == []
        await tab.scripts(allowed=False)
        await tab.open(path)
        text = str(await tab.value("document.body.innerText"))
    for words in ("days observed", "What to do next", "Residual", "Exceptions register", "Open controls"):
        assert words in text
    for words in HOSTILE[:6]:
        assert words in text
