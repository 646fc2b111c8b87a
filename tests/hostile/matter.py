"""What the fuzz tests are made of: values, texts and octets as somebody who means harm would choose them.

`harmed` damages something that is right, which reaches deeper into a parser than noise does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from connector.errors import ConfigError, SecureScoreError
from tests.conftest import examples
from tests.fake_graph import TENANT, day_document, profile_document

TODAY = "2030-01-10"


def budget(number: int) -> settings:
    """So many examples, times SECURESCORE_FUZZ."""
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples(number), suppress_health_check=slow)


@contextmanager
def only(*kinds: type[Exception]) -> Iterator[None]:
    """Whatever else is raised inside is a defect; and these have their say, in words of bounded length."""
    try:
        yield
    except kinds as error:
        for text in words_of(error):
            if not 0 < len(text) < 3000:
                pytest.fail(f"{len(text)} characters: {text[:200]!r}")


def words_of(error: Exception) -> list[str]:
    if isinstance(error, ConfigError):
        return error.problems
    return [error.what if isinstance(error, SecureScoreError) else str(error)]


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "\0",
                "\x1b[2J\x1b]0;x\x07",
                "\r\nX: y",
                "a|b=c\\d",
                "=1+1",
                "@SUM(A1)",
                "\ud800",
                "\u202egnp.exe",
            ),
            *("../../etc/passwd", "${env:HOME}", "${file:/etc/shadow}", "%s%n", "' OR 1=1 --", "<script>x</script>"),
            *("javascript:alert(1)", "9" * 4400, "1e999", "-0", "NaN", "0x10", "٣", "２０２６-11-22", "x" * 5000),
            *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "/Date(99999999999999999)/", "2026-02-30", TENANT),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**63, -1, 0, 1e308, -0.0, float("nan"), float("inf"), 10**4000]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)


def values(keys: st.SearchStrategy[str] = TEXTS) -> st.SearchStrategy[Any]:
    """JSON-like values, up to three deep, in which these names occur."""
    found: st.SearchStrategy[Any] = SCALARS
    for size in (3, 4, 6):
        found = SCALARS | st.lists(found, max_size=size) | st.dictionaries(keys | TEXTS, found, max_size=size)
    return found


def names_of(document: Any) -> list[str]:
    """Every name of an object in a document, at any depth."""
    if isinstance(document, list):
        return [name for each in document for name in names_of(each)]
    if not isinstance(document, dict):
        return []
    return [*document, *(name for each in document.values() for name in names_of(each))]


DAY = day_document(TODAY, {"AdminMFAV2": 5.0, "scid_1": 7.5}, detailed=True)
PROFILE = profile_document("AdminMFAV2")


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """A right document in which up to three places hold something else, are gone, or are there under another name."""
    found = json.loads(json.dumps(document))
    strange = values(st.sampled_from(names_of(document) or ["x"]))
    for _ in range(draw(st.integers(1, 3))):
        holder = found
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(holder[place], dict | list) and draw(st.booleans()):
                holder = holder[place]
                continue
            way = draw(st.sampled_from(["other", "other", "gone", "twice"]))
            if way == "gone":
                del holder[place]
            elif way == "twice" and isinstance(holder, list):
                holder.append(holder[place])
            else:
                holder[place] = draw(strange)
            break
    return found


@st.composite
def harmed(draw: st.DrawFn, body: bytes) -> bytes:
    """Right octets, cut, doubled, or with some of them changed.

    What is drawn does not depend on the octets: they may hold a path or an id that differs from run to run.
    """
    found = bytearray(body)
    for _ in range(draw(st.integers(1, 3))):
        shares = draw(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)))
        at, end = sorted(len(found) * share // 10_000 for share in shares)
        way = draw(st.sampled_from(["cut", "put", "double", "drop", "flip"]))
        more = draw(st.binary(max_size=12) | st.sampled_from([b"\0", b"{", b"[", b'"', b"]", b"\xff\xfe", b"\\"]))
        bit = 1 << draw(st.integers(0, 7))
        if way == "cut":
            del found[at:]
        elif way == "put":
            found[at:at] = more
        elif way == "double":
            found[at:at] = found[at : min(end, at + 2000)]
        elif way == "drop":
            del found[at : min(end, at + 40)]
        elif found:
            found[min(at, len(found) - 1)] ^= bit
    return bytes(found)


def dumps(value: Any) -> bytes:
    """JSON as careless servers write it: NaN and the infinities included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")
