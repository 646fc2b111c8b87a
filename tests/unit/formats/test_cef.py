"""CEF by its rules, and by two parsers that know nothing of our encoder: cefp and Debian's liblognorm."""

import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import cefp  # type: ignore[import-untyped]  # an oracle without type hints
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.foreign.characters import INVISIBLE
from connector.formats.cef import CUSTOM, DEFAULT_LIMIT, LIMITS, encode, header, label
from connector.formats.shorten import MARK, shorten
from tests.needs import program

HEADER = header("Vendor", "Product", "1.0", "class.id", "Name", 5)
PREFIX = "CEF:0|Vendor|Product|1.0|class.id|Name|5|"

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
NASTY = st.text(st.sampled_from("\\=|\n\r\t\x00 a\x7f\u2028é→😀\ud800\u202e#%"), max_size=30)
KEYS = st.sampled_from(["msg", "cs1", "suser", "request", "externalId", "reason", "SecureScoreConnectorTier", "x"])
EXTENSION = st.dictionaries(KEYS, ANY_TEXT | NASTY, max_size=6)


def _spoken(text: str) -> str:
    """What a receiver must get back, said without the encoder's code: of all controls only LF and CR survive, and
    nothing that cannot be seen."""
    kept = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if "\ud800" <= c <= "\udfff"
        else " "
        if (ord(c) < 32 and c not in "\r\n") or 127 <= ord(c) < 160 or c in "\u2028\u2029"
        else c
        for c in text.strip()
        if not re.match(f"[{INVISIBLE}]", c)
    )
    return kept.strip()


def _extension(line: str) -> dict[str, str]:
    parsed: dict[str, str] = cefp.parse(line)["extension"]
    return parsed


# ------------------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("a|b", "a|b"),
        ("a=b", r"a\=b"),
        ("a\\b", r"a\\b"),
        ("a\nb\rc", r"a\nb\rc"),
        ("\\n", r"\\n"),
        ("  a  ", "a"),
        ("\na\n", "a"),
        ("a\tb\x00c", "a b c"),
        ("a\\", r"a\\"),
        (True, "true"),
        (-6.0, "-6.0"),
        (0, "0"),
        (["a", "b"], "a, b"),
    ],
)
def test_value(value: Any, wire: str) -> None:
    assert encode(HEADER, {"msg": value}) == f"{PREFIX}msg={wire}"


@pytest.mark.parametrize("value", [None, "", "  ", "\n", "\x00\t", [], float("nan")])
def test_empty_values_are_left_out(value: Any) -> None:
    assert encode(HEADER, {"msg": value, "act": "x"}) == PREFIX + "act=x"


def test_no_space_after_the_header_and_keys_in_order() -> None:
    assert encode(HEADER, {"rt": 1, "act": "b", "cat": "a"}) == PREFIX + "rt=1 act=b cat=a"
    assert encode(HEADER, {}) == PREFIX


def test_header_escapes_backslash_and_pipe_only() -> None:
    head = header("V|e\\n", "P=r", "1\n2", "a=b%c#d", "N=a|m\te", 5)
    assert encode(head, {}) == r"CEF:0|V\|e\\n|P=r|1 2|a_b_c_d|N=a\|m e|5|"


@pytest.mark.parametrize(("given_", "wire"), [(-1, "0"), (0, "0"), (10, "10"), (99, "10")])
def test_severity_stays_in_range(given_: int, wire: str) -> None:
    assert encode(header("v", "p", "1", "c", "n", given_), {}).split("|")[6] == wire


def test_header_lengths() -> None:
    line = encode(header("v" * 99, "p" * 99, "1" * 99, "c" * 2000, "n" * 999, 5), {})
    assert [len(part) for part in line.split("|")[1:6]] == [63, 63, 31, 1023, 512]


@pytest.mark.parametrize("key", [*LIMITS, "SecureScoreConnectorTier"])
def test_field_lengths_count_characters_before_escaping(key: str) -> None:
    limit = LIMITS.get(key, DEFAULT_LIMIT)
    owner = key.removesuffix("Label")
    beside = {owner: "x"} if owner != key else {}
    assert _extension(encode(HEADER, {**beside, key: "=" * limit}))[key] == "=" * limit
    cut = _extension(encode(HEADER, {**beside, key: "=" * (limit + 1)}))[key]
    assert len(cut) == limit
    assert cut.endswith(MARK)


def test_field_lengths_are_those_of_the_standard() -> None:
    """OpenText CEF v27, as the table of the fact sheet has it."""
    long = {"cat", "reason", "msg", "request", "suser", "duser", "suid", "duid", "shost", "dhost"}
    special = {"app": 31, "externalId": 40, "act": 63, "outcome": 63, "dvchost": 100, "deviceExternalId": 255}
    special |= {"fileHash": 255, "flexString1Label": 128, "flexString2Label": 128}
    assert {**dict.fromkeys(long, 1023), **special, **{f"cs{n}": 4000 for n in range(1, 7)}} == LIMITS
    assert DEFAULT_LIMIT == 1023


def test_label_without_its_value_is_left_out() -> None:
    labels = {f"{key}Label": "L" for key in CUSTOM}
    keys = _extension(encode(HEADER, {"cs1": "x", "cn1": 0, "cs2": " ", **labels})).keys()
    assert keys == {"cs1", "cn1", "cs1Label", "cn1Label"}


@given(ANY_TEXT | NASTY | st.just("L" * 2000), ANY_TEXT | NASTY)
def test_a_ready_label_is_the_same_text_as_one_among_the_fields(text: str, value: str) -> None:
    fields = {"act": "x", "cs1": value, "cs1Label": text, "rt": 1}
    ready = {"cs1": label("cs1Label", text)}
    assert encode(HEADER, {k: v for k, v in fields.items() if k != "cs1Label"}, ready) == encode(HEADER, fields)


# ---------------------------------------------------------------------------------------------------------- parsers


@given(EXTENSION)
def test_values_come_back_from_an_independent_parser(extension: dict[str, str]) -> None:
    line = encode(HEADER, extension)
    expected = {key: _spoken(value)[: LIMITS.get(key, DEFAULT_LIMIT)] for key, value in extension.items()}
    long = {key for key, value in extension.items() if len(value.strip()) > LIMITS.get(key, DEFAULT_LIMIT)}
    got = _extension(line)
    assert {k: v for k, v in got.items() if k not in long} == {k: v for k, v in expected.items() if v and k not in long}
    assert len(line.splitlines()) == 1
    assert line.encode()


@given(ANY_TEXT | NASTY, ANY_TEXT | NASTY)
def test_header_comes_back_from_an_independent_parser(vendor: str, name: str) -> None:
    parsed = cefp.parse(encode(header(vendor, "p", "1", "c", name, 3), {"act": "x"}))
    assert parsed["device"]["vendor"] == re.sub("[\r\n]", " ", _spoken_in_header(vendor))
    assert parsed["name"] == _spoken_in_header(name)
    assert parsed["extension"] == {"act": "x"}


def _spoken_in_header(text: str) -> str:
    return _spoken(text.replace("\n", " ").replace("\r", " "))


@given(EXTENSION, st.integers(80, 400))
def test_shortened_lines_keep_their_keys_and_parse(extension: dict[str, str], max_octets: int) -> None:
    """The frame shortener (formats/shorten.py) on our own lines: prefixes of the values, never a broken escape."""
    full = {**extension, "externalId": "5f0c1a2b-0000-8000-8000-000000000000", "msg": "\\=\n→" * 100}
    whole = encode(HEADER, full)
    short = shorten(whole, max_octets)
    if short is None:
        return
    assert len(short.encode()) <= max_octets
    before, after = _extension(whole), _extension(short)
    assert before.keys() == after.keys()
    assert after["externalId"] == before["externalId"]
    for key, value in after.items():
        assert before[key].startswith(value.removesuffix(MARK))


def _hostile_texts() -> list[str]:
    """Texts that broke somebody's parser, and random ones; the same on every run."""
    chance = random.Random(20261122)  # reproducible, not secret
    alphabet = "\\\\==||\n\r\t\x00\x1b \u2028aZ09é→日😀\u202e\ufeff\"'{}[]<>&#%,;:"
    fixed = [
        "CEF:0|a|b|c|d|e|5|x=1",
        " externalId=forged cs1=forged",
        "\\",
        "=\\=",
        "\\\\n",
        "<script>alert(1)</script>",
        "\u202etxt.exe",
        "{}",
        "%s%n",
        "\ufeffbom",
        "x" * 100_000,
        "é=" * 2000,
    ]
    return fixed + ["".join(chance.choices(alphabet, k=chance.randrange(1, 50))) for _ in range(1500)]


def test_debian_liblognorm_reads_the_hostile_corpus(tmp_path: Path) -> None:
    """liblognorm 2.0.6 wants a space after the last header pipe (rsyslog/liblognorm#363): put in here, never sent."""
    lognormalizer = program("lognormalizer", hint="apt-get install liblognorm-utils")
    rules = tmp_path / "cef.rulebase"
    rules.write_text("version=2\nrule=:%f:cef%\n")
    corpus = [text for text in _hostile_texts() if _spoken(text)]
    head = header("Ven|dor", "Pro\\duct", "1", "class.id", "Na=me | x", 7)
    lines = [encode(head, {"msg": text, "cs1": "x", "cs1Label": "Control", "suser": text}) for text in corpus]
    start = len(encode(head, {}))
    fed = "".join(f"{line[:start]} {line[start:]}\n" for line in lines)
    done = subprocess.run(  # the path comes from `program`
        [lognormalizer, "-r", str(rules), "-e", "json"],
        input=fed.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(answers) == len(corpus)
    for text, line, answer in zip(corpus, lines, answers, strict=True):
        found = answer["f"]
        assert (found["DeviceVendor"], found["DeviceProduct"], found["Name"]) == ("Ven|dor", "Pro\\duct", "Na=me | x")
        assert found["Extensions"] == _extension(line)
        if len(text) < DEFAULT_LIMIT:
            assert found["Extensions"]["msg"] == _spoken(text)
