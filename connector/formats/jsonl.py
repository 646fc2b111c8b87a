"""JSON as we write it: one line, ASCII-escaped, compact, no NaN. Pure; the canonical event is formats/cloudevents.py.

The only module that knows of a faster JSON library (orjson, the extra `[fast]`). The standard library is the reference:
where the two might differ by a byte, or in what they refuse, it does the work, so that nobody can tell from what is
written which of them a host has. What differs, and how it is noticed: floats below 0.0001 and U+007F by looking for
them in what was written, integers beyond 64 bits and lone surrogates because the library refuses them, and NaN, which
it would write as null, by counting: each null must be a None. (A UUID or an Enum is no JSON; none comes here.)
"""

import codecs
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

Dumps = Callable[[Any], str]
Octets = Callable[..., bytes]
Loads = Callable[[str | bytes], Any]
LoadsAll = Callable[[Sequence[bytes]], list[Any]]
SoundOctets = Callable[[Any], bytes | None]


def _made_once(encoder: json.JSONEncoder) -> Dumps:
    """As the encoder's own `encode`, which makes its C half anew for each value. Without one, or another: `encode`."""
    settings = (None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    try:
        write = json.encoder.c_make_encoder(*settings)  # type: ignore[attr-defined]  # CPython's, and not documented
    except (AttributeError, TypeError):
        return encoder.encode
    return lambda value: "".join(write(value, 0))


# Without looking for circles, which is much of the work: a circle is a RecursionError.
standard = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))
pure_dumps = _made_once(standard)
"""One line without its end. Raises ValueError for NaN, TypeError or RecursionError for what JSON cannot hold."""


def pure_octets(value: Any, nones: int = 0, /) -> bytes:  # noqa: ARG001 (here NaN is refused as it is met)
    return pure_dumps(value).encode("ascii")


def pure_sound_octets(value: Any, /) -> bytes | None:
    """As `sound_octets`. Half of a surrogate pair is not told from a whole one here: both are left to the caller."""
    try:
        text = pure_dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if "\\ud" in text else text.encode("ascii")


def pure_loads(text: str | bytes, /) -> Any:
    """Raises ValueError for what is no JSON."""
    if isinstance(text, bytes) and text.isascii():
        text = text.decode("ascii")  # spares the parser the search for an encoding
    if isinstance(text, str):
        try:
            value, end = _raw_decode(text)
        except ValueError:  # which is said below
            end = -1
        if end == len(text):  # nor need it look for white space: in what we write there is none
            return value
    return json.loads(text)


_raw_decode = json.JSONDecoder().raw_decode


def pure_loads_all(lines: Sequence[bytes], /) -> list[Any]:
    """As `loads_all`. Read as one text, names that come again are one object in all of them."""
    found: list[Any] = pure_loads(b"[" + b",".join(lines) + b"]")
    if len(found) != len(lines):
        raise ValueError(f"{len(found)} values in {len(lines)} lines")
    return found


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""\uXXXX for what is not ASCII, a surrogate pair above U+FFFF (RFC 8259 section 7)."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "securescore.json"
codecs.register_error(_ESCAPED, _escaped)


_ARROW = "→".encode(), b"\\u2192"
"""Our own summaries hold it, and mostly nothing else that is not ASCII."""


def _in_ascii(raw: bytes) -> bytes:
    """JSON in UTF-8, which holds no lone surrogate, in ASCII."""
    raw = raw.replace(*_ARROW)
    return raw if raw.isascii() else raw.decode().encode("ascii", _ESCAPED)


_null = re.compile(b"null").search
_small = re.compile(rb"e-[5-9](?:[,}\]]|\Z)").search


def _are_none(nulls: int, value: Any) -> bool:
    """Whether so many nulls, as were written of a value, are all a None of it.

    Level by level, as most of them are near the top: with the last one the search is over. False as well where a text
    says null.
    """
    levels: list[Any] = [[value]]
    for each in levels:
        for inner in each.values() if type(each) is dict else each:
            if type(inner) is str:  # as most are
                continue
            if inner is None:
                nulls -= 1
                if not nulls:
                    return True
            elif type(inner) in _HOLD:
                levels.append(inner)
    return False


_HOLD = frozenset({dict, list, tuple})
"""What the library takes for an object or an array: no subclass of them."""
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 19
"""So many digits may be too many for 64 bits: where a number begins, not within a hash or behind a point."""
_BEFORE = b":,[ \t\n\r-"
"""What stands before a number."""


def _has_long_integer(raw: bytes) -> bool:
    digits = raw.translate(_DIGITS)
    at = digits.find(_LONG)
    while at > 0 and digits[at - 1] not in _BEFORE:
        at = digits.find(_LONG, at + len(_LONG))
    return at >= 0


def faster(library: Any) -> tuple[Dumps, Octets, Loads, LoadsAll, SoundOctets]:
    """`dumps`, `octets`, `loads` and `loads_all` by orjson, each equal to the pure one, and `sound_octets`."""
    encode, decode = library.dumps, library.loads
    as_it_is = library.OPT_PASSTHROUGH_DATACLASS | library.OPT_PASSTHROUGH_DATETIME | library.OPT_PASSTHROUGH_SUBCLASS

    def written(value: Any, nones: int = 0) -> bytes | None:
        """As the library writes it; None where the standard library might write it otherwise, or refuse it."""
        try:
            raw: bytes = encode(value, None, as_it_is)
        except TypeError:  # or what it does not know
            return None
        if b"0.0000" in raw or b"\x7f" in raw or _small(raw):
            return None
        nulls = raw.count(b"null") if nones or _null(raw) else 0  # where there is none a pattern is the faster search
        if nulls != nones and not _are_none(nulls, value):
            return None
        return raw if raw.isascii() else _in_ascii(raw)

    def dumps(value: Any) -> str:
        raw = written(value)
        return pure_dumps(value) if raw is None else raw.decode("ascii")

    def octets(value: Any, nones: int = 0) -> bytes:
        raw = written(value, nones)
        return pure_octets(value) if raw is None else raw

    def sound_octets(value: Any) -> bytes | None:
        raw = written(value)  # which holds no lone surrogate: the library refuses them
        return pure_sound_octets(value) if raw is None else raw

    def loads(text: str | bytes) -> Any:
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if _has_long_integer(raw):
            return pure_loads(text)
        try:
            return decode(raw)
        except ValueError:  # or what only the standard library reads: NaN, a lone surrogate
            return pure_loads(text)

    def loads_all(lines: Sequence[bytes]) -> list[Any]:
        if _has_long_integer(b"\n".join(lines)):
            return list(map(loads, lines))
        try:
            return list(map(decode, lines))
        except ValueError:
            return list(map(loads, lines))

    return dumps, octets, loads, loads_all, sound_octets


try:
    import orjson
except ImportError:  # an extra, which need not be there
    _dumps: Dumps = pure_dumps
    _octets: Octets = pure_octets
    _loads: Loads = pure_loads
    _loads_all: LoadsAll = pure_loads_all
    _sound_octets: SoundOctets = pure_sound_octets
else:
    _dumps, _octets, _loads, _loads_all, _sound_octets = faster(orjson)


def dumps(value: Any) -> str:
    """One line without its end. Raises ValueError for NaN, TypeError or RecursionError for what JSON cannot hold."""
    return _dumps(value)


def octets(value: Any, nones: int = 0) -> bytes:
    """What `dumps` writes, as octets.

    `nones`: so many None the caller saw in the value, each at its own place. Where these are all that are in it, none
    need be looked for.
    """
    return _octets(value, nones)


def loads(text: str | bytes) -> Any:
    """Raises ValueError for what is no JSON."""
    return _loads(text)


def loads_all(lines: Sequence[bytes]) -> list[Any]:
    """What `loads` reads of each of several lines, each of which was written as one value.

    Raises ValueError where one is no JSON any more; which one is for `loads` to say.
    """
    return _loads_all(lines)


def sound_octets(value: Any) -> bytes | None:
    """What `dumps` writes of a value that any JSON receiver takes: no lone surrogate, no NaN, no infinity.

    None where that is not certain. Keys must be text, as they are in all that was read from JSON.
    """
    return _sound_octets(value)
