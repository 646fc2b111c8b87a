"""Mails in the languages that ship: English as the events have it, every other one in its own words throughout."""

import re

import pytest

from connector.formats import letter
from connector.formats.letter import MAX_SUBJECT, Item
from connector.language.choice import LANGUAGES, language
from connector.testing.sink_contract import record
from tests.golden import samples

SAMPLES = (
    "score.observed",
    "control.score_changed/regressed",
    "control.state_changed",
    "connector.problem/connector",
)
OTHERS = [code for code in LANGUAGES if code != "en"]
OUR_WORDS = re.compile(
    r"\b(?:events?|serious|notable|Why|Next|Open in|Not attached|larger|Sent by|Secure Score (?:of|dropped|rose)"
    r"|Control (?:score|added|removed|state|profile|evidence)|Target (?:met|missed)|Report of|Feed|changed: )\b"
)


def items(*names: str, tag: str = "en") -> list[Item]:
    mapping = samples.mapping("mail")
    return [letter.item(mapping.render(samples.event(name)), tag) for name in names]


def written(tag: str) -> str:
    those = items(*SAMPLES, tag=tag)
    note = ("report.html", letter.reason(tag, "too_large", size="10"))
    return letter.subject(those, tag) + "\n\n" + letter.text(those, letter.footer([note], tag), tag)


def test_an_english_mail_stands_as_the_events_have_it() -> None:
    assert (
        written("en")
        == """\
Secure Score: 4 events of 1 tenant and the connector: contoso: Control state changed: AdminMFAV2 Default → Ignored by \
admin@contoso.example

4 events of 1 tenant and the connector · 3 serious · 2026-11-22

contoso · 42.93 % (300.5 of 700 points)
=======================================
[0] Secure Score of 2026-11-22: 300.5 of 700.0 points (42.93 %)
    2026-11-22 09:12 UTC · 681d0b93-ff9b-861b-8528-4faf265d06ff

[7] Control score dropped: AdminMFAV2 10.0 → 4.0 (-6.0 points)
  Ask administrators for a second factor
  Why: configuration or compliance changed: compliant users 5/5 → 2/5
  https://entra.example.com/policies
    2026-11-22 09:12 UTC · 1229a1d3-f79a-87a1-a50d-24f0a79c739d

[8] Control state changed: AdminMFAV2 Default → Ignored by admin@contoso.example
  Ask administrators for a second factor
  Why: a state was declared: state Default → Ignored by admin@contoso.example
  Accepted until the new VPN is live, ticket 4711
  https://entra.example.com/policies
    2026-11-22 09:12 UTC · 56430c4c-5cd9-890f-97f8-0a5335de96f7

The connector itself
====================
[8] Problem: the store is 81 % full, sink soc pins its history
  3.2 GiB of 4.0 GiB used; sink soc has not settled since 2026-11-20T03:00:00Z
  Next: Repair the sink, or give it up with: securescore sinks release soc
    2026-11-22 09:20 UTC · 3c4f531c-7fea-8c20-874d-18758c5232a4

--\x20
Not attached: report.html: larger than 10 MB. Sent by Secure Score Connector. Every event has the same id in every \
receiver: securescore events --id ID --trace shows where else it went.
"""
    )


def test_a_german_mail_is_german_but_for_the_words_of_others() -> None:
    assert (
        written("de").replace("\N{NO-BREAK SPACE}", " ")
        == """\
Secure Score: 4 Ereignisse von 1 Mandanten und dem Connector: contoso: Status einer Kontrolle geändert: AdminMFAV2 \
Zu erledigen → Risiko akzeptiert durch admin@contoso.example

4 Ereignisse von 1 Mandanten und dem Connector · 3 schwerwiegende · 22. Nov. 2026

contoso · 42,93 % (300,5 von 700,0 Punkten)
===========================================
[0] Sicherheitsbewertung vom 22. Nov. 2026: 300,5 von 700,0 Punkten (42,93 %)
    22. Nov. 2026, 09:12 UTC · 681d0b93-ff9b-861b-8528-4faf265d06ff

[7] Kontrolle gefallen: AdminMFAV2 10,0 → 4,0 (−6,0 Punkte)
  Ask administrators for a second factor
  Warum: Konfiguration oder Konformität hat sich geändert: konforme Benutzer 5/5 → 2/5
  https://entra.example.com/policies
    22. Nov. 2026, 09:12 UTC · 1229a1d3-f79a-87a1-a50d-24f0a79c739d

[8] Status einer Kontrolle geändert: AdminMFAV2 Zu erledigen → Risiko akzeptiert durch admin@contoso.example
  Ask administrators for a second factor
  Warum: ein Status wurde erklärt: Status Zu erledigen → Risiko akzeptiert durch admin@contoso.example
  Accepted until the new VPN is live, ticket 4711
  https://entra.example.com/policies
    22. Nov. 2026, 09:12 UTC · 56430c4c-5cd9-890f-97f8-0a5335de96f7

Der Connector selbst
====================
[8] Problem: the store is 81 % full, sink soc pins its history
  3.2 GiB of 4.0 GiB used; sink soc has not settled since 2026-11-20T03:00:00Z
  Nächster Schritt: Repair the sink, or give it up with: securescore sinks release soc
    22. Nov. 2026, 09:20 UTC · 3c4f531c-7fea-8c20-874d-18758c5232a4

--\x20
Nicht angehängt: report.html: größer als 10 MB. Gesendet von Secure Score Connector. Jedes Ereignis hat bei allen \
Empfängern dieselbe ID: securescore events --id ID --trace zeigt, wohin es noch ging.
"""
    )


@pytest.mark.parametrize("tag", OTHERS)
def test_nothing_of_ours_is_left_english(tag: str) -> None:
    """What the connector says of itself, readings of controls and compliance, and the words of others are."""
    kinds = [name for name in samples.names() if not name.startswith(("connector.", "compliance.", "control.observed"))]
    those = items(*kinds, "connector.report_written", tag=tag)
    ours = [line for each in those for line in (each.summary, each.why)]
    below = letter.footer([("f", letter.reason(tag, "altered"))], tag)
    head = [letter.subject(those, tag), below.replace("securescore events", "")]
    lines = letter.text(those, "", tag).splitlines()
    assert [line for line in (*ours, *head, *lines[:3]) if OUR_WORDS.search(line)] == []


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_mail_says_its_language_and_has_every_event_in_both_parts(tag: str) -> None:
    those = items(*samples.names(), tag=tag)
    plain, html = letter.text(those, "", tag), letter.html(those, "", tag)
    assert f'<html lang="{tag}">' in html
    assert all(each.event_id in plain and each.event_id in html for each in those)
    assert len(letter.subject(those, tag)) <= MAX_SUBJECT
    assert letter.subject(those, tag).startswith("Secure Score")
    shown = {each.link for each in those if each.link}
    assert html.count(f">{language(tag).text('mail.open')}</a>") >= len(shown)


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("at", ["", "yesterday", "2026-02-31T00:00:00Z", "2026-W48-1", "2026-11-22"])
def test_a_mapping_of_ones_own_may_say_any_moment(tag: str, at: str) -> None:
    payload = {"summary": "s", "tenant": "contoso", "at": at, "percent": -0.0, "points": 1, "max": 3}
    those = [letter.item(record(n, payload), tag) for n in (1, 2)]
    said = letter.text(those, "", tag)
    assert "id-0001" in said
    assert at[:10] in said or at.startswith("2026-11-22")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_mark_of_a_test_stays_in_front(tag: str) -> None:
    summary = "Control added: mip_labels (+3.0 points)"
    [plain, marked] = [
        letter.item(record(1, {"summary": said}), tag).summary for said in (summary, f"[TEST] {summary}")
    ]
    assert marked == f"[TEST] {plain}"
    assert (plain == summary) == (tag == "en")
