"""Syslog headers, framing, the one-line guard and shortening: golden bytes and properties, with cefp as the oracle."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import cefp  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.formats import cef, leef, syslog
from connector.formats.lines import octets, one_line
from connector.formats.shorten import MARK, shorten

MOMENT = datetime(2026, 11, 3, 2, 30, 0, 123456, tzinfo=UTC)

# -------------------------------------------------------------------------------------------------- headers and framing


def test_rfc3164_golden() -> None:
    assert syslog.rfc3164(134, syslog.rfc3164_time(MOMENT), "host1") == "<134>Nov  3 02:30:00 host1 "
    assert syslog.rfc3164_time(MOMENT.replace(day=23)) == "Nov 23 02:30:00"


def test_rfc3164_months_are_english() -> None:
    months = [syslog.rfc3164_time(MOMENT.replace(month=n))[:3] for n in range(1, 13)]
    assert months == ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def test_rfc5424_golden() -> None:
    text = syslog.rfc5424(165, syslog.rfc5424_time(MOMENT), "host1", "secure-score", "change")
    assert text == "<165>1 2026-11-03T02:30:00.123456Z host1 secure-score - change - "


def test_rfc5424_time_is_utc_whatever_the_zone() -> None:
    assert syslog.rfc5424_time(MOMENT.astimezone(timezone(timedelta(hours=-5)))) == "2026-11-03T02:30:00.123456Z"


def test_rfc5424_names_are_printable_ascii_within_their_lengths() -> None:
    header = syslog.rfc5424(165, "-", "h", "ü a\n" * 50 + "x" * 50, "y" * 50)
    assert header == f"<165>1 - h {'a' * 48} - {'y' * 32} - "
    assert syslog.rfc5424(165, "-", "h", "ü", "\n") == "<165>1 - h - - - - "


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("host1", "host1"),
        ("Host-1.example.test", "Host-1.example.test"),
        ("fe80::1", "fe80--1"),
        ("a b\nc", "a-b-c"),
        ("..", "-"),
        ("", "-"),
        ("x" * 300, "x" * 255),
    ],
)
def test_host_field(given: str, shown: str) -> None:
    assert syslog.host_field(given) == shown


def test_severity_steps_are_those_of_cef_and_never_worse_than_error() -> None:
    assert [syslog.severity(n) for n in range(11)] == [6, 6, 6, 6, 5, 5, 5, 4, 4, 3, 3]


def test_priority_is_facility_times_eight_plus_severity() -> None:
    assert [syslog.priority(f"local{n}", 0) for n in range(8)] == [134, 142, 150, 158, 166, 174, 182, 190]
    assert syslog.priority("local7", 10) == 187


def test_octet_counts_are_of_octets() -> None:
    assert syslog.frame("<13>ü".encode(), "octet") == "6 <13>ü".encode()


def test_lf_frames_end_in_a_line_feed() -> None:
    assert syslog.frame(b"<13>x", "lf") == b"<13>x\n"


# ------------------------------------------------------------------------------------------------------- the last guard


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("a\x00b\x1bc\x7fd", "a b c d"),
        ("a\tb ü \U0001f469", "a\tb ü \U0001f469"),
        ({"b": "\n", "a": "ü"}, '{"b":"\\n","a":"\\u00fc"}'),
        ({}, "{}"),
        ("", ""),
    ],
)
def test_one_line_golden(payload: Any, line: str) -> None:
    assert one_line(payload) == line


@given(st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_any_payload_is_one_line_of_utf8(payload: Any) -> None:
    data = octets(one_line(payload))
    assert not any(byte < 0x20 and byte != 0x09 for byte in data)
    data.decode()
    if isinstance(payload, dict):
        assert json.loads(data) == payload


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x"])
def test_what_is_no_json_raises(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        one_line({"a": value})


# ----------------------------------------------------------------------------------------------------------- shortening

CEF = "CEF:0|V|P|1|class|Name|5|"


def test_what_fits_stays() -> None:
    text = CEF + "externalId=1 msg=" + "x" * 100
    assert shorten(text, len(text)) == text
    assert shorten("no format at all", 16) == "no format at all"


def test_the_longest_values_are_cut_to_a_common_level_and_the_rest_stays() -> None:
    text = (
        CEF + f"externalId=1 rt=1790000000000 msg={'m' * 500} cs1Label=Control cs1=short cs2Label=Why cs2={'w' * 300}"
    )
    short = shorten(text, len(text) - 400)
    assert short is not None
    assert len(short) == len(text) - 400
    level = (800 - 400) // 2
    assert short == CEF + (
        f"externalId=1 rt=1790000000000 msg={'m' * (level - len(MARK))}{MARK} cs1Label=Control cs1=short "
        f"cs2Label=Why cs2={'w' * (level - len(MARK))}{MARK}"
    )


def test_only_the_longest_is_cut_when_that_is_enough() -> None:
    text = CEF + f"msg={'m' * 500} cs2={'w' * 300}"
    assert shorten(text, len(text) - 50) == CEF + f"msg={'m' * (450 - len(MARK))}{MARK} cs2={'w' * 300}"


def test_never_inside_an_escape_pair() -> None:
    """Every second level falls between a backslash and what it escapes."""
    text = CEF + "msg=" + r"\\" * 100 + " cs1=" + r"\n\=" * 50
    for size in range(len(text) - 1, len(text) - 200, -1):
        short = shorten(text, size)
        assert short is not None
        # cefp forgives a lone backslash, other receivers do not.
        assert re.fullmatch(r"(?:[^\\]|\\[\\=nr])*", short), short
        values = cefp.parse(short)["extension"]
        assert set(values["msg"].removesuffix(MARK)) == {"\\"}
        assert values["cs1"].removesuffix(MARK) == ("\n=" * 50)[: len(values["cs1"].removesuffix(MARK))]


def test_never_inside_a_character() -> None:
    text = CEF + "msg=" + "ü\U0001f469" * 100
    for size in range(200, 220):
        short = shorten(text, size)
        assert short is not None
        assert size - 4 <= len(octets(short)) <= size


@pytest.mark.parametrize(
    "key", ["externalId", "rt", "start", "end", "request", "deviceExternalId", "cs1Label", "devTime", "devTimeFormat"]
)
def test_what_identifies_an_event_is_never_cut(key: str) -> None:
    text = CEF + f"{key}={'x' * 500} msg=y"
    assert shorten(text, 300) is None
    text = CEF + f"{key}={'x' * 500} msg={'y' * 500}"
    short = shorten(text, 700)
    assert short is not None
    assert cefp.parse(short)["extension"][key] == "x" * 500


def test_a_level_that_would_spoil_short_values_gives_up() -> None:
    text = CEF + " ".join(f"cs{n}={'x' * 100}" for n in range(1, 7))
    floor = len(text) - 6 * (100 - 64)
    assert shorten(text, floor) is not None
    assert shorten(text, floor - 1) is None


@pytest.mark.parametrize(
    "text", ["x" * 1000, '{"a":"' + "x" * 1000 + '"}', CEF + "x" * 1000, "CEF:0|V|P|" + "x" * 1000, "LEEF:2.0|V"]
)
def test_what_has_no_known_fields_cannot_be_shortened(text: str) -> None:
    assert shorten(text.ljust(1000, "x"), 500) is None


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("LEEF:1.0|V|P|1|event|", "\t"),
        ("LEEF:2.0|V|P|1|event||", "\t"),
        ("LEEF:2.0|V|P|1|event|x09|", "\t"),
        ("LEEF:2.0|V|P|1|event|0x5E|", "^"),
        ("LEEF:2.0|V|P|1|event|^|", "^"),
        ("LEEF:2.0|V|P|1|event|", "\t"),
    ],
)
def test_leef_is_cut_by_its_own_delimiter(header: str, delimiter: str) -> None:
    long = " ".join(f"k{n}=v" for n in range(100))  # "=" and spaces are no limits in LEEF
    text = header + delimiter.join(["devTime=1790000000000", f"msg={long}", "usrName=a b", "odd"])
    short = shorten(text, len(text) - 100)
    assert short is not None
    first, message, *rest = short.removeprefix(header).split(delimiter)
    assert (first, rest) == ("devTime=1790000000000", ["usrName=a b", "odd"])
    assert message.endswith(MARK)
    assert f"msg={long}".startswith(message.removesuffix(MARK))


KEYS = st.sampled_from(["externalId", "rt", "msg", "reason", "cat", "cs1", "cs2", "cs3", "request", "suser", "ownKey"])
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(st.dictionaries(KEYS, VALUES), st.integers(30, 2000))
@example({"msg": "\\" * 300, "cs1": "= " * 200}, 300)
def test_a_shortened_cef_parses_to_the_same_values_or_marked_beginnings(values: dict[str, str], size: int) -> None:
    text = cef.encode(cef.header("V|", "P\\", "1", "c", "N", 5), {"externalId": "id"} | values)
    short = shorten(text, size)
    if short is None:
        assert len(octets(text)) > size
        return
    assert len(octets(short)) <= size
    before, after = cefp.parse(text), cefp.parse(short)
    assert {k: v for k, v in after.items() if k != "extension"} == {k: v for k, v in before.items() if k != "extension"}
    assert list(after["extension"]) == list(before["extension"])
    for key, value in before["extension"].items():
        got = after["extension"][key]
        assert got == value or (got.endswith(MARK) and value.startswith(got.removesuffix(MARK)))


@given(st.dictionaries(KEYS, VALUES), st.integers(30, 2000))
def test_a_shortened_leef_keeps_its_fields(values: dict[str, str], size: int) -> None:
    text = leef.encode(leef.Header("V", "P", "1", "c"), {"devTime": "1"} | values)
    short = shorten(text, size)
    if short is None:
        assert len(octets(text)) > size
        return
    assert len(octets(short)) <= size
    for old, new in zip(text.split("\t"), short.split("\t"), strict=True):
        assert old == new or (new.endswith(MARK) and old.startswith(new.removesuffix(MARK)))


@given(st.text(), st.integers(0, 100))
def test_shortening_never_fails(text: str, size: int) -> None:
    for prefix in ("", CEF, "LEEF:2.0|V|P|1|e|^|"):
        short = shorten(prefix + text, size)
        assert short is None or len(octets(short)) <= size
