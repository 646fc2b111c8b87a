"""Events that hold anything JSON can: what renders them must stay total."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from connector.model import Event
from tests.golden import samples

HOSTILE_TEXT = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    ["x" * 100_000, "<" * 5000, "\ud800", "a|b=c\\", "\r\n\x00", "😀" * 2000, "2026-13-45", "9" * 5000]
)
HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE_TEXT, inner, max_size=3),
    max_leaves=6,
)


def _paths(value: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        return [prefix]
    return [prefix, *(path for key, inner in value.items() for path in _paths(inner, (*prefix, key)))]


@st.composite
def hostile_events(draw: st.DrawFn) -> Event:
    """A sample with up to four of its values, at any depth, replaced by anything JSON can hold."""
    event = samples.event(draw(st.sampled_from(samples.names())))
    data: Any = deepcopy(dict(event.data))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(_paths(data)[1:]))
        at = data
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = draw(HOSTILE)
    return Event(event.id, event.source, event.type, draw(HOSTILE_TEXT), event.time, data)
