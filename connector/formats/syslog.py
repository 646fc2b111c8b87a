"""Syslog headers and framing: values in, text and octets out. No socket, no clock.

Sources: RFC 3164 §4.1, RFC 5424 §6, RFC 6587 §3.4 (framing), RFC 5425 §4.3. The RFC 3164 header has no program name:
the CEF or LEEF text itself follows the host, the form that the Azure Monitor Agent and Splunk Connect for Syslog know.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

FACILITIES: Mapping[str, int] = {f"local{n}": 16 + n for n in range(8)}
"""Facility name → number. Only the local ones: the others belong to operating systems and their own routing rules."""

# Month names are English by RFC 3164, whatever the locale of the machine says (strftime follows the locale).
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def severity(score: int) -> int:
    """Event severity 0-10 → syslog severity: 9-10 error, 7-8 warning, 4-6 notice, below informational.

    Never "critical" or worse: stock receivers write those to every terminal or page somebody. The steps are those that
    CEF names Low, Medium, High and Very-High.
    """
    if score >= 9:
        return 3
    if score >= 7:
        return 4
    return 5 if score >= 4 else 6


def priority(facility: str, score: int) -> int:
    """PRI = facility * 8 + severity (RFC 5424 §6.2.1), 128-191 here."""
    return FACILITIES[facility] * 8 + severity(score)


def host_field(text: str) -> str:
    """A HOSTNAME legal in both headers: letters, digits, ".", "_", "-", at most 255; "-" when nothing is left."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:255].strip(".") or "-"


def rfc3164_time(moment: datetime) -> str:
    """`Nov  3 02:30:00`, in the zone of `moment`: the header itself carries neither year nor zone."""
    return f"{_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S}"


def rfc5424_time(moment: datetime) -> str:
    """`2026-11-23T02:30:00.123456Z`, always UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def rfc3164(pri: int, time: str, host: str) -> str:
    """The header with its trailing space, ready for the message."""
    return f"<{pri}>{time} {host} "


def rfc5424(pri: int, time: str, host: str, app_name: str, msgid: str) -> str:
    """The header with its trailing space; no PROCID, no structured data, no BOM (it breaks receivers' CEF parsers)."""
    return f"<{pri}>1 {time} {host} {_name(app_name, 48)} - {_name(msgid, 32)} - "


def _name(text: str, limit: int) -> str:
    return re.sub(r"[^\x21-\x7e]", "", text)[:limit] or "-"


def frame(message: bytes, framing: str) -> bytes:
    """The message as it goes on a stream: "octet" = `LEN SP message`, "lf" = `message LF` (must hold no LF itself)."""
    if framing == "octet":
        return b"%d %b" % (len(message), message)
    return message + b"\n"
