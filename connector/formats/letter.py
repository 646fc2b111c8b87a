"""What a mail about events says: subject, plain text and HTML, from the words that a mapping made of each event.

Pure: no server is known here and no clock asked (sinks/mail.py does that). Every event is in both parts, in the order
of the batch within its tenant; what is most serious is named once more above. The HTML is made for mail readers: styles
inline, no picture, no script, nothing from elsewhere. Whatever an event brings becomes harmless text.

A mail is written in a language (`tag`, one of LANGUAGES): its own words, the engine's sentences, numbers and days. In
English everything stands as the events have it, so that a search finds the same characters in every receiver.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from math import isfinite
from typing import Any, TypeGuard

from attrs import field, frozen

from connector.foreign.characters import harmless
from connector.foreign.links import web_address
from connector.formats.lines import one_line
from connector.formats.text import as_text, cut_chars
from connector.language import choice
from connector.language.choice import DEFAULT, language
from connector.language.retold import retold, retold_cause
from connector.language.spoken import Language
from connector.model import Record

LANGUAGES = choice.LANGUAGES
"""What a mail can be written in."""

MAX_SUBJECT = 180
MAX_LINE = 4_000
"""So many characters of one text of an event: no mapping of ours makes a longer one."""
MAX_FIRST = 5
"""So many of the most serious events are named above all others, where there are more than these."""
SERIOUS, NOTABLE = 7, 4
"""From this severity on an event is serious, or notable."""
_MAX_LINK = 2_000
_PREFIX = "Secure Score"
_TEST = "[TEST] "
_COMMAND = "securescore events --id ID --trace"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@frozen
class Attached:
    """A file that an event names: where it lies, and what it must be."""

    path: str
    name: str
    bytes: int
    sha256: str


@frozen
class Item:
    """One event as a mail tells it. Every text is one harmless line; `tenant` is "" for the connector's own."""

    event_id: str
    tenant: str
    severity: int
    summary: str
    kind: str = ""
    direction: str = ""
    at: str = ""
    title: str = ""
    why: str = ""
    by: str = ""
    next: str = ""
    link: str = ""
    percent: str = ""
    points: str = ""
    file: Attached | None = field(default=None, repr=False)

    @property
    def observation(self) -> bool:
        """Whether it says no more than the score, which stands above the tenant's events anyway."""
        return self.kind == "score.observed" and bool(self.percent)


def item(record: Record, tag: str = DEFAULT) -> Item:
    """The words of one record. A payload without `summary` stands as it is, on one line.

    Raises ValueError or TypeError for a payload that is neither text nor JSON.
    """
    speak = language(tag)
    payload = record.payload
    line = one_line(payload)
    if isinstance(payload, str) or not as_text(payload.get("summary")).strip():
        text = cut_chars(harmless(line), MAX_LINE) or speak.text("mail.empty")
        return Item(record.event_id, "", record.severity, text)

    def words(key: str) -> str:
        return cut_chars(harmless(as_text(payload.get(key))).strip(), MAX_LINE)

    percent, points = _score(speak, payload)
    return Item(
        event_id=record.event_id,
        tenant=words("tenant"),
        severity=record.severity,
        summary=_summary(speak, words("summary")) or speak.text("mail.empty"),
        kind=words("type"),
        direction=words("direction"),
        at=words("at"),
        title=words("title"),
        why=words("why") if _as_it_stands(speak) else retold_cause(speak, words("why")),
        by=words("by"),
        next=words("next"),
        link=web_address(as_text(payload.get("link"))[:_MAX_LINK]),
        percent=percent,
        points=points,
        file=_file(payload.get("file")),
    )


def _as_it_stands(speak: Language) -> bool:
    """Whether sentences, numbers and days stay as the events have them."""
    return speak.code == DEFAULT


def _summary(speak: Language, said: str) -> str:
    if _as_it_stands(speak):
        return said
    mark = _TEST if said.startswith(_TEST) else ""
    return mark + retold(speak, said.removeprefix(mark))


def _score(speak: Language, payload: Mapping[str, Any]) -> tuple[str, str]:
    """The percentage, and the same with its points where they are known."""
    percent, points, most = (payload.get(key) for key in ("percent", "points", "max"))
    if not _number(percent):
        return "", ""
    plain = _as_it_stands(speak)
    said = f"{percent:.2f} %" if plain else speak.percent(percent)
    if not (_number(points) and _number(most)):
        return said, said
    told = [f"{each:g}" if plain else speak.number(each) for each in (points, most)]
    return said, speak.text("mail.score", percent=said, points=told[0], most=told[1])


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and isfinite(value)


def _file(value: object) -> Attached | None:
    if not isinstance(value, Mapping):
        return None
    path, name, size, sha256 = (value.get(key) for key in ("path", "name", "bytes", "sha256"))
    if not (isinstance(path, str) and isinstance(name, str) and isinstance(sha256, str) and type(size) is int):
        return None
    return Attached(path, harmless(name).replace("/", "-")[:200], size, sha256)


# --------------------------------------------------------------------------------------------------------- the subject


def subject(items: Sequence[Item], tag: str = DEFAULT) -> str:
    """One line that says what the mail is about, the most serious event in it."""
    speak = language(tag)
    tenants = _tenants(items)
    worst = most_serious(items)
    of = [name or speak.text("mail.connector_named") for name in tenants]
    if len(items) == 1:
        said = _told(speak, of[0], worst.summary)
    elif len(tenants) == 1:
        percent = next((each.percent for each in reversed(items) if each.percent), "")
        who = " ".join(filter(None, (of[0], percent)))
        said = _told(speak, speak.text("mail.events", n=len(items), who=who), worst.summary)
    else:
        events = speak.text("mail.events_of", n=len(items), whom=_of(speak, tenants))
        whose = worst.tenant or speak.text("mail.connector_named")
        said = _told(speak, events, _told(speak, whose, worst.summary))
    return cut_chars(_told(speak, _PREFIX, said), MAX_SUBJECT)


def _told(speak: Language, who: str, what: str) -> str:
    return speak.text("mail.told", who=who, what=what)


def most_serious(items: Sequence[Item]) -> Item:
    """The event that matters most; the first of several."""
    return max(items, key=lambda each: (each.severity, not each.observation))


def _of(speak: Language, tenants: Mapping[str, Sequence[Item]]) -> str:
    named = sum(1 for name in tenants if name)
    if "" not in tenants:
        return speak.text("page.tenants", n=named)
    return speak.text("mail.with_connector", n=named) if named else speak.text("mail.the_connector")


def _tenants(items: Iterable[Item]) -> dict[str, list[Item]]:
    """The events by tenant, the tenant with the most serious event first; the connector's own last."""
    found: dict[str, list[Item]] = {}
    for each in items:
        found.setdefault(each.tenant, []).append(each)
    order = sorted(found, key=lambda name: (not name, -max(each.severity for each in found[name]), name))
    return {name: found[name] for name in order}


def _first(items: Sequence[Item]) -> list[Item]:
    """The most serious events, where there are so many that they would be lost among the others."""
    serious = sorted((each for each in items if each.severity >= SERIOUS), key=lambda each: -each.severity)
    return serious[:MAX_FIRST] if len(items) > MAX_FIRST else []


def _opening(speak: Language, items: Sequence[Item]) -> str:
    tenants = _tenants(items)
    if len(items) == 1:
        return ""
    serious, notable = (sum(each.severity >= least for each in items) for least in (SERIOUS, NOTABLE))
    whom = _of(speak, tenants) if len(tenants) > 1 else next(iter(tenants)) or speak.text("mail.the_connector")
    said = [speak.text("mail.events_of", n=len(items), whom=whom)]
    said += [speak.text("mail.serious", n=serious)] if serious else []
    said += [speak.text("mail.notable", n=notable - serious)] if notable > serious else []
    days = sorted({each.at[:10] for each in items if each.at})
    if days:
        said.append(_days(speak, days[0], days[-1]))
    return " · ".join(said)


def _days(speak: Language, first: str, last: str) -> str:
    if _as_it_stands(speak) or not (_is_day(first) and _is_day(last)):
        return first if first == last else f"{first} to {last}" if _as_it_stands(speak) else f"{first} – {last}"
    return speak.day(first) if first == last else speak.period(first, last)


def _is_day(text: str) -> bool:
    """Whether it is one of the calendar: a mapping of somebody's own may say anything."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _score_of(items: Sequence[Item]) -> str:
    return next((each.points for each in reversed(items) if each.points), "")


def _source(speak: Language, each: Item) -> str:
    """When it was noticed, and the id under which every other receiver knows it."""
    at = each.at
    if _MOMENT.fullmatch(at):
        told = not _as_it_stands(speak) and _is_day(at[:10])
        at = speak.moment(at) if told else f"{at[:10]} {at[11:16]} UTC"
    return " · ".join(filter(None, (at, each.event_id)))


def _details(speak: Language, each: Item) -> tuple[tuple[str, str], ...]:
    """What stands below the summary: (label, text)."""
    why, after = f"{speak.text('mail.why')} ", f"{speak.text('mail.next')} "
    said = (("", each.title), (why, each.why), ("", each.by), (after, each.next))
    return tuple((label, text) for label, text in said if text and text != each.summary)


def footer(notes: Iterable[tuple[str, str]], tag: str = DEFAULT) -> str:
    """What stands below everything. `notes`: the names of files that are not attached, and why."""
    speak = language(tag)
    missing = [speak.text("mail.not_attached", name=name, why=why) for name, why in notes]
    return speak.together(*missing, speak.text("mail.footer", command=_COMMAND))


def reason(tag: str, key: str, **values: str) -> str:
    """Why a file is not attached: one of too_large, unreadable, late, altered, refused_size."""
    return language(tag).text(f"mail.{key}", **values)


# ----------------------------------------------------------------------------------------------------------- the parts


def text(items: Sequence[Item], below: str, tag: str = DEFAULT) -> str:
    """The plain part. Lines that begin with four spaces and end in an id stand below every event, and nowhere else."""
    speak = language(tag)
    connector = speak.text("mail.connector")
    lines = [opening, ""] if (opening := _opening(speak, items)) else []
    if first := _first(items):
        most = (f"  [{e.severity}] {_told(speak, e.tenant or connector, e.summary)}" for e in first)
        lines += [speak.text("mail.most_serious"), *most, ""]
    for tenant, those in _tenants(items).items():
        head = " · ".join(filter(None, (tenant or connector, _score_of(those))))
        lines += [head, "=" * min(len(head), 72)]
        for each in those:
            lines += [f"[{each.severity}] {each.summary}"]
            lines += [f"  {label}{said}" for label, said in _details(speak, each)]
            lines += [f"  {each.link}"] if each.link else []
            lines += [f"    {_source(speak, each)}", ""]
    return "\n".join([*lines, "-- ", below, ""])


_STYLE = """\
body{margin:0;padding:0;background:#f2f4f7}
table{border-collapse:collapse;width:100%}
.out{background:#f2f4f7}
.out>tbody>tr>td{padding:20px 8px}
.sheet{max-width:680px;margin:0 auto;background:#fff;color:#1b1f24;border:1px solid #e1e5ea;
font:15px/1.45 -apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",Arial,sans-serif}
.sheet>tbody>tr>td{padding:22px 24px}
h1{margin:0;font-size:12px;font-weight:600;letter-spacing:.06em;color:#24548f;text-transform:uppercase}
h2{margin:24px 0 6px;font-size:20px;line-height:1.25;font-weight:600;word-break:break-word}
h2 span{font-weight:400}
p{margin:6px 0 0}
p,small,h2 span,.quiet{color:#596270}
small{font-size:12px;line-height:1.5}
a{color:#24548f}
.e td{border-top:1px solid #e1e5ea;padding:9px 0;word-break:break-word;vertical-align:top}
.f td{padding:4px 0;vertical-align:top}
.e td.n,.f td.n{width:40px}
.n b{display:inline-block;width:28px;text-align:center;border-radius:4px;color:#fff;background:#596270;font-size:13px;
line-height:21px}
.n .y{background:#8a5a0a}
.n .r{background:#b3261e}
.n .g{background:#17703f}
@media(max-width:480px){.out>tbody>tr>td{padding:0}.sheet>tbody>tr>td{padding:16px 14px}.e td.n,.f td.n{width:36px}}"""
"""Classes, not a style for each element: some readers cut a mail of more than 100 kB. It reads well without."""


def html(items: Sequence[Item], below: str, tag: str = DEFAULT) -> str:
    """The HTML part."""
    speak = language(tag)
    connector = speak.text("mail.connector")
    body = [
        f'<!DOCTYPE html><html lang="{speak.tag}"><head><meta charset="utf-8">',
        f"<title>{escape(subject(items, tag))}</title>",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="color-scheme" content="light"><meta name="supported-color-schemes" content="light">',
        f"<style>{_STYLE}</style></head><body>",
        '<table role="presentation" class="out"><tr><td><table role="presentation" class="sheet"><tr><td>',
        f"<h1>{_PREFIX}</h1>",
    ]
    if opening := _opening(speak, items):
        body.append(f"<p>{escape(opening)}</p>")
    if first := _first(items):
        body.append(f'<h2>{escape(speak.text("mail.most_serious"))}</h2><table role="presentation" class="f">')
        for each in first:
            whose = escape(each.tenant or connector)
            body.append(f"<tr>{_badge(each)}<td><b>{whose}</b> {escape(each.summary)}</td></tr>")
        body.append("</table>")
    for tenant, those in _tenants(items).items():
        score = _score_of(those)
        beside = f" <span>{escape(score)}</span>" if score else ""
        body.append(f'<h2>{escape(tenant or connector)}{beside}</h2><table role="presentation" class="e">')
        body += [_row(speak, each) for each in those]
        body.append("</table>")
    body.append(f"<p><small>{escape(below)}</small></p></td></tr></table></td></tr></table></body></html>")
    return "\n".join(body)


def _badge(each: Item) -> str:
    colour = "g" if each.direction == "improved" else "r" if each.severity >= SERIOUS else ""
    colour = colour or ("y" if each.severity >= NOTABLE else "")
    kind = f' class="{colour}"' if colour else ""
    return f'<td class="n"><b{kind}>{each.severity}</b></td>'


def _row(speak: Language, each: Item) -> str:
    summary = escape(each.summary)
    said = [f'<span class="quiet">{summary}</span>' if each.observation else f"<b>{summary}</b>"]
    said += [f"{_quiet(label)}{escape(words)}" for label, words in _details(speak, each)]
    if each.link:
        said.append(f'<a href="{escape(each.link)}">{escape(speak.text("mail.open"))}</a>')
    said.append(f"<small>{escape(_source(speak, each))}</small>")
    return f"<tr>{_badge(each)}<td>{'<br>'.join(said)}</td></tr>"


def _quiet(label: str) -> str:
    return f'<span class="quiet">{escape(label)}</span>' if label else ""
