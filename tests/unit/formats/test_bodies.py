"""Bodies of many records: what is packed stays whole and in order, and a cut one is all there."""

from collections import deque
from collections.abc import Sequence

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from connector.formats.bodies import Numbers, last_first, packed, parts


@frozen
class Line:
    event_id: str
    data: bytes = b"x"


def lines(count: int) -> list[Line]:
    return [Line(str(n)) for n in range(count)]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 60), st.sampled_from([0, 2]))
def test_packed_bodies_fit_and_hold_every_line_in_order(found: list[bytes], max_bytes: int, brackets: int) -> None:
    given_lines = [Line(str(n), data) for n, data in enumerate(found)]
    batches = packed(given_lines, max_bytes, brackets=brackets)
    assert [line for batch in batches for line in batch] == given_lines
    for batch in batches:
        assert len(batch) == 1 or brackets + len(b",".join(line.data for line in batch)) <= max_bytes


@given(st.integers(2, 200), st.one_of(st.none(), st.integers(-5, 300)))
def test_a_cut_batch_is_all_there_in_order_in_two_parts_at_least(count: int, number: int | None) -> None:
    batch = list(range(count))
    found = parts(batch, number)
    assert [each for part in found for each in part] == batch
    assert all(found)
    assert 2 <= len(found) <= 4


@pytest.mark.parametrize(
    ("number", "cut"),
    [
        (None, [[0, 1], [2, 3, 4]]),
        (0, [[0], [1, 2, 3, 4]]),
        (1, [[0], [1], [2, 3, 4]]),
        (3, [[0, 1], [2], [3], [4]]),
        (5, [[0, 1, 2, 3], [4]]),
        (6, [[0, 1], [2, 3, 4]]),
        (-1, [[0, 1], [2, 3, 4]]),
    ],
)
def test_a_number_may_count_from_0_or_from_1(number: int | None, cut: list[list[int]]) -> None:
    assert parts([0, 1, 2, 3, 4], number) == cut


def test_a_number_is_followed_as_long_as_it_leads_to_a_bad_line() -> None:
    batch, numbers = lines(10), Numbers()
    for _ in range(3):
        assert len(numbers.parts(batch, 5)) == 4
        numbers.judged(batch[:4], taken=True)
        numbers.judged(batch[4:5], taken=True)
        numbers.judged(batch[5:6], taken=False)


@pytest.mark.parametrize(
    "what_came",
    [
        [((4, 5), True), ((5, 6), True)],  # both that it may have meant were good
        [((0, 4), False)],  # a bad one stood before
    ],
)
def test_a_number_that_led_astray_is_the_last_that_is_followed(
    what_came: Sequence[tuple[tuple[int, int], bool]],
) -> None:
    batch, numbers = lines(10), Numbers()
    numbers.parts(batch, 5)
    for (start, end), taken in what_came:
        numbers.judged(batch[start:end], taken=taken)
    assert numbers.parts(batch, 5) == [batch[:5], batch[5:]]


def test_what_has_nothing_to_do_with_a_number_says_nothing_of_it() -> None:
    batch, numbers = lines(10), Numbers()
    numbers.parts(batch, 5)
    numbers.forget()
    numbers.judged(batch, taken=False)
    assert len(numbers.parts(batch, 5)) == 4


@pytest.mark.parametrize(
    ("before", "after"),
    [([[1, 2], [3, 4]], [[4], [1, 2], [3]]), ([[1, 2], [3]], [[3], [1, 2]]), ([[1]], [[1]])],
)
def test_the_last_one_comes_first(before: list[list[int]], after: list[list[int]]) -> None:
    todo: deque[Sequence[int]] = deque(before)
    last_first(todo)
    assert list(todo) == after
