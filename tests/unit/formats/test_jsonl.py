"""JSON lines: the one form, and that a faster library gives the same bytes, values and refusals."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats import jsonl

FAST_DUMPS, FAST_OCTETS, FAST_LOADS, FAST_ALL, FAST_SOUND = jsonl.faster(pytest.importorskip("orjson"))

FLOATS = st.floats() | st.builds(
    lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0], st.integers(0, 2**64 - 1)
) | st.integers(-(10**9), 10**9).map(lambda n: n / 10**4) | st.sampled_from(
    [0.0, -0.0, 1e-4, 9.999e-5, 1e-5, 1e-6, 1e-7, 8.6e-07, 5e-324, 1e15, 1e16, 1.7976931348623157e308]
)  # fmt: skip
INTEGERS = (
    st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63)])
)
ODD = st.text(st.characters(categories=["Cs", "Cc", "Zl", "Zp", "So", "Ll"]), max_size=5)
TEXTS = st.text() | ODD | st.sampled_from(
    ["\x7f", "→", "😀", "\ud800", "e-7,", "null", "0.0000", "1234567890123456789012", "\x00"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=6) | st.tuples(inner, inner),
    max_leaves=30,
)


def came(work: Any, value: Any) -> Any:
    """What came of it: the result, or which error."""
    try:
        return repr(work(value))
    except (ValueError, TypeError, RecursionError) as error:
        return ValueError if isinstance(error, ValueError) else type(error)


def test_one_ascii_line_without_white_space() -> None:
    line = jsonl.dumps({"b": "é\n\u2028", "a": [1, 2.5, None]})
    assert line == '{"b":"\\u00e9\\n\\u2028","a":[1,2.5,null]}'
    assert json.loads(line) == {"b": "é\n\u2028", "a": [1, 2.5, None]}


@pytest.mark.parametrize("dumps", [jsonl.pure_dumps, FAST_DUMPS])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_is_refused(dumps: Any, number: float) -> None:
    for value in (number, {"a": number}, [1.5, {"b": (number,)}], {"t": "g" * 40, "n": None, "a": -number}):
        with pytest.raises(ValueError):
            dumps(value)


def test_nan_is_refused_whatever_nulls_stand_before_and_behind_it() -> None:
    for hidden in (float("nan"), [None, float("inf")], {"null": float("nan")}, ("null", {"x": [[float("-inf")]]})):
        for value in ([None, hidden, None], {"a": None, "b": hidden, "c": {"d": None}}, (hidden, "null", None)):
            with pytest.raises(ValueError):
                FAST_DUMPS(value)
            assert FAST_SOUND(value) is None


@given(VALUES)
def test_the_pure_form_is_the_standard_librarys(value: Any) -> None:
    assert came(jsonl.pure_dumps, value) == came(jsonl.standard.encode, value)
    assert jsonl.pure_dumps is not jsonl.standard.encode, "its C half is made once"


@given(VALUES)
def test_the_faster_library_writes_the_same_bytes_and_refuses_the_same(value: Any) -> None:
    assert came(FAST_DUMPS, value) == came(jsonl.pure_dumps, value)
    assert came(FAST_OCTETS, value) == came(jsonl.pure_octets, value)


@given(
    st.lists(st.sampled_from([*'\\xU"\n/a→é\x80ÿ\u0100\uffff😀\U000e0001\U00040000\U000c0000\U0010ffff']), max_size=8)
)
def test_what_is_not_ascii_is_escaped_alike_whatever_stands_beside_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert (
        FAST_OCTETS({text: text})
        == jsonl.pure_octets({text: text})
        == json.dumps({text: text}, separators=(",", ":")).encode()
    )


@pytest.mark.parametrize("sound_octets", [jsonl.pure_sound_octets, FAST_SOUND])
@given(value=VALUES)
def test_octets_called_sound_are_what_every_receiver_reads(sound_octets: Any, value: Any) -> None:
    octets = sound_octets(value)
    if octets is not None:
        assert octets == jsonl.pure_dumps(value).encode("ascii")
        json.loads(octets, parse_constant=pytest.fail)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises for half of a surrogate pair


@pytest.mark.parametrize("sound_octets", [jsonl.pure_sound_octets, FAST_SOUND])
def test_what_some_receiver_would_refuse_is_never_called_sound(sound_octets: Any) -> None:
    for odd in ("\ud800", "\udfff", float("nan"), float("-inf"), {"\ud83d": 1}, object(), {"a": {1}}):
        assert sound_octets({"a": [1, None, {"b": odd}]}) is None
    assert sound_octets({"a": [1, None, {"b": "→"}]}) == b'{"a":[1,null,{"b":"\\u2192"}]}'


@given(VALUES)
def test_the_faster_library_reads_the_same_values(value: Any) -> None:
    """repr tells 1 from 1.0 and -0.0 from 0.0; what pure JSON cannot write is read in the form that Python gives it."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert came(FAST_LOADS, text) == came(jsonl.pure_loads, text)
        if text.isascii():
            assert came(FAST_LOADS, text.encode()) == came(jsonl.pure_loads, text.encode())


@pytest.mark.parametrize("loads_all", [jsonl.pure_loads_all, FAST_ALL])
@given(values=st.lists(VALUES, max_size=5))
def test_several_lines_are_read_as_each_by_itself(loads_all: Any, values: list[Any]) -> None:
    lines = [json.dumps(value).encode() for value in values]
    assert repr(loads_all(lines)) == repr([jsonl.pure_loads(line) for line in lines])


@pytest.mark.parametrize("loads_all", [jsonl.pure_loads_all, FAST_ALL])
@pytest.mark.parametrize(
    "lines",
    [[b""], [b"", b"1"], [b"1,2"], [b"[1", b"2]"], [b'{"a":1}', b'{"a":'], [b'"x', b'y"'], [b"1]", b"[2"], [b"nul"]],
)
def test_where_a_line_is_no_json_none_of_several_is_read(loads_all: Any, lines: list[bytes]) -> None:
    with pytest.raises(ValueError):
        loads_all(lines)


@given(st.binary(max_size=40) | st.text('{}[]",:0123456789eE+-.ntfalsru \\', max_size=40).map(str.encode))
def test_what_is_no_json_is_refused_by_both(raw: bytes) -> None:
    assert came(FAST_LOADS, raw) == came(jsonl.pure_loads, raw)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"},
        {True: 1, None: 2},
        {1.5: 1},
        {(1,): 2},
        {"a": {1, 2}},
        {"a": b"x"},
        [object()],
        {"a": 1j},
        {"a": range(3)},
    ],
)
def test_what_json_does_not_have_is_written_or_refused_alike(value: Any) -> None:
    assert came(FAST_DUMPS, value) == came(jsonl.pure_dumps, value)


def test_what_is_nested_too_deep_is_written_or_refused_alike() -> None:
    for depth in (10, 200, 300, 900):
        value: Any = []
        for _ in range(depth):
            value = [value, {"a": value}] if depth < 15 else [value]
        assert came(FAST_DUMPS, value) == came(jsonl.pure_dumps, value)
        text = "[" * depth + "]" * depth
        assert came(FAST_LOADS, text) == came(jsonl.pure_loads, text)


def test_digits_within_a_text_are_no_reason_to_read_slowly() -> None:
    """A catalogue holds hundreds of hashes, and some of them have twenty digits in a row."""
    orjson = pytest.importorskip("orjson")
    read: list[bytes] = []

    def loads(raw: bytes) -> Any:
        read.append(raw)
        return orjson.loads(raw)

    library = type("Library", (), {**vars(orjson), "loads": staticmethod(loads)})
    _, _, fast_loads, _, _ = jsonl.faster(library)
    quick = ['{"a":"a1234567890123456789012b"}', '{"a":0.1234567890123456789012}', '["1234567890123456789012"]']
    for text in [*quick, '{"a":12345678901234567890123}', "[-12345678901234567890123]", " 12345678901234567890123"]:
        assert repr(fast_loads(text)) == repr(jsonl.pure_loads(text))
    assert read == [text.encode() for text in quick]
