"""Sentences that the engine wrote in English are told again in a report's language, and nothing else is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.language.choice import LANGUAGES, language
from connector.language.retold import _recognised, retold, retold_cause
from connector.model import Day, StateUpdate, Version
from connector.observe.baseline import Judged
from connector.observe.notices import baseline_deviation

ENGLISH = language("en")
GOLDEN = Path(__file__).parents[2] / "golden"
OF_ITSELF = ("Heartbeat: ", "Problem: ")
"""What the connector says of itself reads as in its log, in a mail, too."""


def sentences(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "summary" and isinstance(each, str):
                yield each
            elif key in ("evidence", "top") and isinstance(each, list):
                yield from (one for one in each if isinstance(one, str))
            yield from sentences(each)
    elif isinstance(value, list):
        for each in value:
            yield from sentences(each)


def test_every_sentence_of_the_situations_is_recognised() -> None:
    found = {one for file in GOLDEN.rglob("*.yaml") for one in sentences(yaml.safe_load(file.read_text("utf-8")))}
    assert len(found) > 70
    unknown = [one for one in found if _recognised(one, 0) is None and not one.startswith(OF_ITSELF)]
    assert unknown == [], "give them a text in the group `said` of every language"


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("users 800 → 1000", "users 800 → 1,000"),
        ("maximum 10 → 9 explains -1.0 of -10.0 points", "maximum 10 → 9 explains −1.0 of −10.0 points"),
        (
            "state Default → ThirdParty by a@b at 2026-11-21T20:00:00Z",
            "state To address → Third party by a@b at 21 Nov 2026, 20:00 UTC",
        ),
        (
            "Target missed: Secure Score 42.9 % against at least 43.0 %",
            "Target missed: Secure Score 42.90% against at least 43.00%",
        ),
        (
            "Secure Score dropped: 2.0 → 1.0 (-1.0 points), maximum 7.0 → 8.0; 1 control, unknown points, Apps → Data",
            "Secure Score dropped: 2.0 → 1.0 (−1.0 points), maximum 7.0 → 8.0; 1 control, unknown points, Apps → Data",
        ),
        ("Feed gap: 1 day without a score, 2026-11-19", "Feed gap: 1 day without a score, 19 Nov 2026"),
        ("in 3 steps since 2026-11-19", "in 3 steps since 19 Nov 2026"),
    ],
)
def test_numbers_days_and_codes_are_those_of_the_language(sentence: str, told: str) -> None:
    assert retold(ENGLISH, sentence) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "users or devices came or went: A 10.0 → 4.0 (-6.0 points); users 800 → 1000; so",
            "Benutzer oder Geräte kamen hinzu oder fielen weg: A 10,0 → 4,0 (−6,0 Punkte); Benutzer 800 → 1.000; so",
        ),
        ("nothing moved", "nichts hat sich bewegt"),
        ("no evidence says why", "die Ursache ist nicht belegt"),
        ("licensed services changed: +MIP by hand", "lizenzierte Dienste haben sich geändert: +MIP by hand"),
        ("users 800 → 1000", "Benutzer 800 → 1.000"),
        ("ask the SOC: it knows; maximum 1 → 2", "ask the SOC: it knows; maximum 1 → 2"),
        ("", ""),
    ],
)
def test_a_cause_and_its_evidence_are_told_apart(said: str, told: str) -> None:
    assert retold_cause(language("de"), said) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Control A: B: 6.0 of 8.0 points (75 %)", "Kontrolle A: B: 6,0 von 8,0 Punkten (75,00 %)"),
        ("Control A: unknown of 8.0 points", "Kontrolle A: unbekannt von 8,0 Punkten"),
        (
            "Compliance with PCI DSS 4: 1200 passed, 3 failed",
            "Einhaltung von PCI DSS 4: 1.200 bestanden, 3 nicht bestanden",
        ),
        ("Compliance with PCI DSS 4: unsupported", "Einhaltung von PCI DSS 4: nicht unterstützt"),
        ("Compliance with PCI DSS 4: newword", "Einhaltung von PCI DSS 4: newword"),
        (
            "Compliance with CIS: 2 changed: 1 failed, 9 unsupported → no counts",
            "Einhaltung von CIS: 2 geändert: 1 nicht bestanden, 9 nicht unterstützt → keine Zahlen",
        ),
        ("Compliance with NIST added, 5 skipped", "Einhaltung von NIST hinzugekommen, 5 übersprungen"),
        ("Compliance with NIST removed", "Einhaltung von NIST entfallen"),
    ],
)
def test_readings_of_controls_and_standards(said: str, told: str) -> None:
    assert retold(language("de"), said).replace("\N{NO-BREAK SPACE}", " ") == told


STATE = StateUpdate("ThirdParty", "2026-11-01T00:00:00Z", "a@b", "c")
DEVIATIONS = [
    Judged("baseline_full", "A: B", "gold (EU)", met=False, threshold=10.0, value=3.0),
    Judged("baseline_full", "A", None, met=False, threshold=None, value=3.0),
    Judged("baseline_declared", "A", "gold", met=False, wanted="Reviewed", state=STATE),
    Judged("baseline_not_declared", "A", "gold", met=False, state=STATE, excused="2026-12-31"),
    Judged("baseline_percent_min", "", "gold", met=False, threshold=70.0, value=42.5, excused="2026-12-31"),
    Judged("baseline_measured_percent_min", "", "gold", met=False, threshold=70.0, value=42.5),
]


@pytest.mark.parametrize("why", [None, "met", "excused", "not_asked", "not_scored"])
@pytest.mark.parametrize("one", DEVIATIONS, ids=lambda one: one.kind)
def test_every_sentence_about_a_baseline_is_told_in_every_language(one: Judged, why: str | None) -> None:
    version = Version(Day("id", "2026-11-22", 0.0, 120.0, {}), "hash")
    judged = evolve(one, excused="2026-12-31") if why == "excused" else one
    summary = baseline_deviation(judged, why, version, None).data["summary"]
    told = {code: retold(language(code), summary) for code in LANGUAGES}
    assert all(said != summary for code, said in told.items() if code != "en"), summary
    assert all("Baseline" not in said for code, said in told.items() if code not in ("en", "da", "de", "it", "nl"))
    assert all(not one.standard or one.standard in said for said in told.values())


def test_words_of_others_stay_as_they_are() -> None:
    for text in (
        "",
        "Ignored",
        "control",
        "users many → few",
        "Target missed: by a mile",
        "in 3 steps since yesterday",
    ):
        assert retold(ENGLISH, text) == text
    nested = "Target missed: " * 500 + "without a comment"
    assert retold(ENGLISH, nested) == nested


def test_what_stands_in_a_sentence_is_not_read_as_text() -> None:
    who = "{control} by 3 → 4 (+1.0 points)"
    told = retold(ENGLISH, f"state Default → Ignored by {who} at 2026-11-21T20:00:00Z")
    assert told == f"state To address → Risk accepted by {who} at 21 Nov 2026, 20:00 UTC"


PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
SAID = [
    form
    for key, text in ENGLISH.texts.items()
    if key.startswith("said.")
    for form in ([text] if isinstance(text, str) else text.values())
]
ODD = st.sampled_from(
    ("unknown", "unknown %", "3.5", "-7", "+2.0", "0", "98.5 %", "2026-02-31", "0000-00-00", "٣", "{n}")
)
LATER = st.sampled_from(
    ("9" * 400, "2026-13-01T00:00:00Z", "2026-11-01T99:99Z", "2026-11-01", "yes", "Ignored", "\x00")
)


@given(st.data())
def test_whatever_stands_in_a_sentence_it_is_told(data: st.DataObject) -> None:
    """An older version, another one, or somebody's words in the place of a number: no report ends by it."""
    form = data.draw(st.sampled_from(SAID))
    sentence = PLACEHOLDER.sub(lambda _: data.draw(ODD | LATER | st.text(max_size=20)), form)
    code = data.draw(st.sampled_from(LANGUAGES))
    assert isinstance(retold(language(code), sentence), str)


@given(st.text())
def test_any_text_is_told(text: str) -> None:
    assert isinstance(retold(ENGLISH, text), str)
