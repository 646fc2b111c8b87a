"""What was made lately: bounded, the same as what was kept, and what is in use stays."""

from hypothesis import given
from hypothesis import strategies as st

from connector.formats.lately import Lately


def test_what_is_asked_for_stays_however_many_others_come() -> None:
    lately: Lately[str, int] = Lately(20)
    lately.keep("in use", 7)
    for number in range(1_000):
        lately.keep(f"once {number}", number)
        assert lately.get("in use") == 7
        assert len(lately) <= 20
    assert lately.get("once 0") is None
    assert lately.get("once 999") == 999
    lately.clear()
    assert lately.get("in use") is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30))), st.integers(2, 20))
def test_what_is_found_is_what_was_kept(steps: list[tuple[bool, int]], limit: int) -> None:
    lately: Lately[int, str] = Lately(limit)
    for is_kept, key in steps:
        if is_kept:
            lately.keep(key, f"value {key}")
            assert lately.get(key) == f"value {key}"
        else:
            assert lately.get(key) in (None, f"value {key}")
        assert len(lately) <= limit
