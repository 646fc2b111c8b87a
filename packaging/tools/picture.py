"""Makes docs/pictures/report.webp anew: page one of the demo's report, as a browser shows it; for maintainers.

    python packaging/tools/picture.py

Needs Debian's package chromium, and what the tests need. The days in it are those of the demo: they end today.
"""

import asyncio
import base64
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from connector.cli import main  # noqa: E402 - the folder of this repository comes first
from tests.real.browser import chromium  # noqa: E402

WIDTH, MARGIN, QUALITY = 1080, 8, 85
PAGE_ONE = "document.querySelector('.front').getBoundingClientRect().bottom"


async def shoot(report: Path, profile: Path) -> bytes:
    """The part of a page down to the end of page one, as WebP."""
    async with chromium(profile) as tab:
        await tab.size(WIDTH)
        await tab.open(report)
        height = round(float(await tab.value(PAGE_ONE))) + MARGIN
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        how = {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True}
        shot = await tab.send("Page.captureScreenshot", clip=clip, **how)
    return base64.b64decode(shot["data"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        main.main(["demo", "--out", str(demo)])
        made = asyncio.run(shoot(demo / "report.html", Path(folder) / "profile"))
    (ROOT / "docs" / "pictures" / "report.webp").write_bytes(made)
