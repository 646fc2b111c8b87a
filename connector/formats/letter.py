"""What a mail about events says: subject, plain text and HTML, from the words that a mapping made of each event.

Pure: no server is known here and no clock asked (sinks/mail.py does that). Every event is in both parts, in the order
of the batch within its tenant; what is most serious is named once more above. The HTML is made for mail readers: styles
inline, no picture, no script, nothing from elsewhere. Whatever an event brings becomes harmless text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any

from attrs import field, frozen

from connector.foreign.characters import harmless
from connector.foreign.links import web_address
from connector.formats.lines import one_line
from connector.formats.text import as_text, cut_chars
from connector.model import Record

MAX_SUBJECT = 180
MAX_LINE = 4_000
"""So many characters of one text of an event: no mapping of ours makes a longer one."""
MAX_FIRST = 5
"""So many of the most serious events are named above all others, where there are more than these."""
SERIOUS, NOTABLE = 7, 4
"""From this severity on an event is serious, or notable."""
CONNECTOR = "The connector itself"
_MAX_LINK = 2_000
_PREFIX = "Secure Score"
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
    score: str = ""
    file: Attached | None = field(default=None, repr=False)

    @property
    def details(self) -> tuple[tuple[str, str], ...]:
        """What stands below the summary: (label, text)."""
        said = (("", self.title), ("Why: ", self.why), ("", self.by), ("Next: ", self.next))
        return tuple((label, text) for label, text in said if text and text != self.summary)

    @property
    def observation(self) -> bool:
        """Whether it says no more than the score, which stands above the tenant's events anyway."""
        return self.kind == "score.observed" and bool(self.score)


def item(record: Record) -> Item:
    """The words of one record. A payload without `summary` stands as it is, on one line.

    Raises ValueError or TypeError for a payload that is neither text nor JSON.
    """
    payload = record.payload
    line = one_line(payload)
    if isinstance(payload, str) or not as_text(payload.get("summary")).strip():
        text = cut_chars(harmless(line), MAX_LINE) or "(empty)"
        return Item(record.event_id, "", record.severity, text)

    def words(key: str) -> str:
        return cut_chars(harmless(as_text(payload.get(key))).strip(), MAX_LINE)

    return Item(
        event_id=record.event_id,
        tenant=words("tenant"),
        severity=record.severity,
        summary=words("summary") or "(empty)",
        kind=words("type"),
        direction=words("direction"),
        at=words("at"),
        title=words("title"),
        why=words("why"),
        by=words("by"),
        next=words("next"),
        link=web_address(as_text(payload.get("link"))[:_MAX_LINK]),
        score=_score(payload),
        file=_file(payload.get("file")),
    )


def _score(payload: Mapping[str, Any]) -> str:
    percent, points, most = (payload.get(key) for key in ("percent", "points", "max"))
    if not _number(percent):
        return ""
    of = f" ({points:g} of {most:g} points)" if _number(points) and _number(most) else ""
    return f"{percent:.2f} %{of}"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and isfinite(value)


def _file(value: object) -> Attached | None:
    if not isinstance(value, Mapping):
        return None
    path, name, size, sha256 = (value.get(key) for key in ("path", "name", "bytes", "sha256"))
    if not (isinstance(path, str) and isinstance(name, str) and isinstance(sha256, str) and type(size) is int):
        return None
    return Attached(path, harmless(name).replace("/", "-")[:200], size, sha256)


# --------------------------------------------------------------------------------------------------------- the subject


def subject(items: Sequence[Item]) -> str:
    """One line that says what the mail is about, the most serious event in it."""
    tenants = _tenants(items)
    worst = most_serious(items)
    of = [name or "connector" for name in tenants]
    if len(items) == 1:
        said = f"{of[0]}: {worst.summary}"
    elif len(tenants) == 1:
        score = next((each.score for each in reversed(items) if each.score), "").partition(" (")[0]
        said = f"{of[0]}{' ' + score if score else ''}, {len(items)} events: {worst.summary}"
    else:
        said = f"{len(items)} events of {_of(tenants)}: {worst.tenant or 'connector'}: {worst.summary}"
    return cut_chars(f"{_PREFIX}: {said}", MAX_SUBJECT)


def most_serious(items: Sequence[Item]) -> Item:
    """The event that matters most; the first of several."""
    return max(items, key=lambda each: (each.severity, not each.observation))


def _of(tenants: Mapping[str, Sequence[Item]]) -> str:
    named = sum(1 for name in tenants if name)
    said = f"{named} tenant{'' if named == 1 else 's'}"
    return said if "" not in tenants else f"{said} and the connector" if named else "the connector"


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


def _opening(items: Sequence[Item]) -> str:
    tenants = _tenants(items)
    if len(items) == 1:
        return ""
    serious, notable = (sum(each.severity >= least for each in items) for least in (SERIOUS, NOTABLE))
    said = [f"{len(items)} events of {_of(tenants) if len(tenants) > 1 else next(iter(tenants)) or 'the connector'}"]
    said += [f"{serious} serious"] if serious else []
    said += [f"{notable - serious} notable"] if notable > serious else []
    days = sorted({each.at[:10] for each in items if each.at})
    if days:
        said.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")
    return " · ".join(said)


def _score_of(items: Sequence[Item]) -> str:
    return next((each.score for each in reversed(items) if each.score), "")


def _source(each: Item) -> str:
    """When it was noticed, and the id under which every other receiver knows it."""
    at = f"{each.at[:10]} {each.at[11:16]} UTC" if _MOMENT.fullmatch(each.at) else each.at
    return " · ".join(filter(None, (at, each.event_id)))


# ----------------------------------------------------------------------------------------------------------- the parts


def text(items: Sequence[Item], footer: str) -> str:
    """The plain part. Lines that begin with four spaces and end in an id stand below every event, and nowhere else."""
    lines = [opening, ""] if (opening := _opening(items)) else []
    if first := _first(items):
        lines += ["Most serious", *(f"  [{e.severity}] {e.tenant or CONNECTOR}: {e.summary}" for e in first), ""]
    for tenant, those in _tenants(items).items():
        head = " · ".join(filter(None, (tenant or CONNECTOR, _score_of(those))))
        lines += [head, "=" * min(len(head), 72)]
        for each in those:
            lines += [f"[{each.severity}] {each.summary}", *(f"  {label}{said}" for label, said in each.details)]
            lines += [f"  {each.link}"] if each.link else []
            lines += [f"    {_source(each)}", ""]
    return "\n".join([*lines, "-- ", footer, ""])


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


def html(items: Sequence[Item], footer: str) -> str:
    """The HTML part."""
    body = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(subject(items))}</title>",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="color-scheme" content="light"><meta name="supported-color-schemes" content="light">',
        f"<style>{_STYLE}</style></head><body>",
        '<table role="presentation" class="out"><tr><td><table role="presentation" class="sheet"><tr><td>',
        f"<h1>{_PREFIX}</h1>",
    ]
    if opening := _opening(items):
        body.append(f"<p>{escape(opening)}</p>")
    if first := _first(items):
        body.append('<h2>Most serious</h2><table role="presentation" class="f">')
        for each in first:
            whose = escape(each.tenant or CONNECTOR)
            body.append(f"<tr>{_badge(each)}<td><b>{whose}</b> {escape(each.summary)}</td></tr>")
        body.append("</table>")
    for tenant, those in _tenants(items).items():
        score = _score_of(those)
        beside = f" <span>{escape(score)}</span>" if score else ""
        body.append(f'<h2>{escape(tenant or CONNECTOR)}{beside}</h2><table role="presentation" class="e">')
        body += [_row(each) for each in those]
        body.append("</table>")
    body.append(f"<p><small>{escape(footer)}</small></p></td></tr></table></td></tr></table></body></html>")
    return "\n".join(body)


def _badge(each: Item) -> str:
    colour = "g" if each.direction == "improved" else "r" if each.severity >= SERIOUS else ""
    colour = colour or ("y" if each.severity >= NOTABLE else "")
    kind = f' class="{colour}"' if colour else ""
    return f'<td class="n"><b{kind}>{each.severity}</b></td>'


def _row(each: Item) -> str:
    summary = escape(each.summary)
    said = [f'<span class="quiet">{summary}</span>' if each.observation else f"<b>{summary}</b>"]
    said += [f"{_quiet(label)}{escape(words)}" for label, words in each.details]
    if each.link:
        said.append(f'<a href="{escape(each.link)}">Open in the portal</a>')
    said.append(f"<small>{escape(_source(each))}</small>")
    return f"<tr>{_badge(each)}<td>{'<br>'.join(said)}</td></tr>"


def _quiet(label: str) -> str:
    return f'<span class="quiet">{label}</span>' if label else ""
