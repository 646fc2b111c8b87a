"""Makes docs/pictures/splunk-*.webp anew, from what tests/artefacts/splunk_preview/preview.py has drawn.

For maintainers:

    python -m tests.artefacts.splunk_preview.preview /some/folder securescore_overview securescore_controls
    python packaging/tools/splunk_pictures.py /some/folder overview controls

Needs Debian's package chromium. What stands around a page in the preview (a time picker without a Splunk, the schema's
verdict) is cut off.
"""

import argparse
import asyncio
import base64
import struct
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.real.browser import chromium  # noqa: E402 - the folder of this repository comes first

ABOVE, BELOW, SCALE, QUALITY = 105, 40, 0.75, 80


async def shoot(drawn: Path, scratch: Path) -> bytes:
    """A drawn page (PNG) as WebP."""
    width, height = size_of(drawn)
    async with chromium(scratch / "profile") as tab:
        await tab.size(width)
        await tab.open(framed(drawn, scratch / "page.html"))
        clip = {"x": 0, "y": ABOVE, "width": width, "height": height - ABOVE - BELOW, "scale": SCALE}
        how = {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True}
        shot = await tab.send("Page.captureScreenshot", clip=clip, **how)
    return base64.b64decode(shot["data"])


def size_of(drawn: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", drawn.read_bytes()[16:24])
    return int(width), int(height)


def framed(drawn: Path, page: Path) -> Path:
    """A page that shows the picture as large as it is, and nothing else."""
    page.write_text(f'<body style="margin:0"><img src="{drawn.as_uri()}" style="display:block">')
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    for name in args.names:
        with tempfile.TemporaryDirectory() as scratch:
            made = asyncio.run(shoot(args.folder / f"securescore_{name}-light.png", Path(scratch)))
        (ROOT / "docs" / "pictures" / f"splunk-{name}.webp").write_bytes(made)
