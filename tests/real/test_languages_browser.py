"""The report in other languages in a real browser: it fits a phone and four pages, and letters break where they may."""

import re
from pathlib import Path

from attrs import evolve

from connector.config.values import ExceptionsConfig, TargetsConfig
from connector.language.choice import LANGUAGES, language
from connector.report import build
from connector.report.page import Form
from connector.report.values import Cover
from tests.fakes.posture import simulated, whole
from tests.real.browser import Tab, chromium

OVERFLOW = """[...document.body.querySelectorAll('*')].filter(e => !e.closest('svg, thead') &&
  e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
OUTSIDE = """[...document.querySelectorAll('svg text')].filter(e => { const box = e.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > document.documentElement.clientWidth) }).map(e => e.textContent)"""
"""Words of drawings that a phone would cut."""
OVERLAPPING = """[...document.querySelectorAll('svg')].flatMap(s => { const rows = {};
  for (const e of s.querySelectorAll('text.tick[text-anchor="middle"], text.tick[text-anchor="start"]')) {
    const box = e.getBoundingClientRect();
    if (box.width) (rows[e.getAttribute('y')] ||= []).push([box, e.textContent]) }
  return Object.values(rows).flatMap(row => row.slice(1).filter((one, n) => one[0].left < row[n][0].right)
    .map(one => one[1])) })"""
"""Days of an axis that stand on one another."""
BROKEN = """[...document.querySelectorAll('.todo td')].filter(e => { const range = document.createRange();
  range.selectNodeContents(e); return /^\\S+$/.test(e.textContent) && range.getClientRects().length > 1 &&
  new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1 }).map(e => e.textContent)"""
"""Single words that stand on two lines."""


ANNEX = re.compile(r'<section [^>]*class="annex">.*(?=<footer>)', re.DOTALL)


def written(folder: Path, code: str) -> Path:
    made = simulated(7, 1, "e5")
    made = evolve(made, targets=TargetsConfig(percent_min=75.0), exceptions=ExceptionsConfig(review_after_days=90))
    last = whole(made).end
    report = build.build(made, build.period(build.days_before(last, 89), last))
    cover = Cover("0.1.0", "2026-07-11T08:00:00Z", report.period, (report.summary,), (report.summary.name,))
    form, path = Form(language(code)), folder / f"{code}.html"
    path.write_text(form.opening(cover) + form.tenant(report, 0) + form.closing(cover), encoding="utf-8")
    return path


async def style(tab: Tab, name: str) -> str:
    return str(await tab.value(f"getComputedStyle(document.querySelector('main p')).getPropertyValue('{name}')"))


async def test_every_language_fits(tmp_path: Path) -> None:
    pages: dict[str, int] = {}
    async with chromium(tmp_path / "profile") as tab:
        for code in LANGUAGES:
            path = written(tmp_path, code)
            for width in (1280, 390):
                await tab.size(width)
                await tab.open(path)
                assert await tab.value(OVERFLOW) == [], (code, width)
                assert await tab.value(OUTSIDE) == [], (code, width)
                assert await tab.value(OVERLAPPING) == [], (code, width)
                assert await tab.value(BROKEN) == [], (code, width)
            assert await tab.value("document.documentElement.lang") == code
            path.write_text(ANNEX.sub("</article></main>", path.read_text("utf-8")), encoding="utf-8")
            await tab.open(path)
            pages[code] = len(re.findall(rb"/Type\s*/Page\b", await tab.pdf()))
        assert tab.said == []
    assert max(pages.values()) <= 4, pages


async def test_japanese_and_korean_have_letters_and_line_breaks_of_their_own(tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(written(tmp_path, "ja"))
        assert "Hiragino Sans" in await style(tab, "font-family")
        assert (await style(tab, "line-break"), await style(tab, "word-break")) == ("strict", "auto-phrase")
        await tab.open(written(tmp_path, "ko"))
        assert "Malgun Gothic" in await style(tab, "font-family")
        assert await style(tab, "word-break") == "keep-all"
        await tab.open(written(tmp_path, "de"))
        assert "Segoe UI" in await style(tab, "font-family")
        assert (await style(tab, "line-break"), await style(tab, "word-break")) == ("auto", "normal")
