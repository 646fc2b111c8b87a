"""The report in a real browser: nothing is loaded or run, nothing complains, and all of it is there."""

import re
from pathlib import Path

from connector.report import build, page
from connector.report.values import Cover
from tests.fakes.posture import HOSTILE, hostile, simulated, whole
from tests.real.browser import chromium

OVERFLOW = """[...document.body.querySelectorAll('*')].filter(e => !e.closest('svg, thead') &&
  e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
"""What sticks out on the right, so that a reader would have to scroll sideways."""


def written(path: Path, *, harmed: bool) -> Path:
    """A report of two tenants, so that the comparison is there."""
    made = [simulated(7), simulated(8)]
    found = [build.build(m, whole(m)) for m in ([hostile(m) for m in made] if harmed else made)]
    names = tuple(r.summary.name for r in found)
    cover = Cover("0.1.0", "2026-07-11T08:00:00Z", found[0].period, tuple(r.summary for r in found), names)
    form = page.Form()
    parts = [form.opening(cover), *(form.tenant(r, n) for n, r in enumerate(found)), form.closing(cover)]
    path.write_text("".join(parts), encoding="utf-8")
    return path


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
        assert await tab.value("document.querySelectorAll('script,img,iframe,object,base').length") == 0
        assert await tab.value("document.querySelectorAll('style').length") == 1
        assert await tab.value("document.querySelectorAll('main > article > section').length") >= 18
        pdf = await tab.pdf()
        ours = {plain.as_uri(), harmed.as_uri()}
        assert {url for url in tab.requests if not url.startswith("data:,")} == ours
        assert set(tab.visited) == ours
        assert tab.said == []
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 4


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
    for words in ("days were observed", "Waterfall of the period", "Residual", "Exceptions in force", "Fingerprint"):
        assert words in text
    for words in HOSTILE[:6]:
        assert words in text
