"""Colours of the report's style sheet can be read: text stands out from what is behind it, in light and in dark."""

import re
from importlib import resources

import pytest

STYLE = (resources.files("connector.report") / "report.css").read_text("utf-8")
TEXT = ("ink", "soft", "accent", "up", "down", "stated-text")
BEHIND = ("paper", "wash")
LEAST = 4.5
"""WCAG 2.2, level AA, for text of any size."""


def palettes() -> dict[str, dict[str, str]]:
    found = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block))
        for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    ]
    return dict(zip(("light", "dark"), found, strict=True))


def channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(front: tuple[float, ...], back: tuple[float, ...]) -> float:
    high, low = sorted((luminance(front), luminance(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("back", BEHIND)
@pytest.mark.parametrize("front", TEXT)
def test_text_stands_out(scheme: str, front: str, back: str) -> None:
    colours = palettes()[scheme]
    assert contrast(channels(colours[front]), channels(colours[back])) >= LEAST


def test_no_text_is_made_fainter_than_its_colour() -> None:
    assert not re.search(r"(?<![-\w])opacity:", STYLE)


def test_nothing_in_it_asks_for_anything() -> None:
    assert not re.search(r"url\(|@import|@font-face|https?:", STYLE)
