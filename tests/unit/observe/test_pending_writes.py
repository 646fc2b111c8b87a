"""What a command was about to change survives it, is told once, and leaves no trace when it ended well."""

from attrs import evolve

from connector.model import Change
from connector.observe.pending_writes import LEFT_AFTER_S, abandoned, begun, ended

AT, SOON, LATER = "2026-11-22T09:00:00Z", "2026-11-22T09:09:59Z", "2026-11-22T09:10:00Z"
CHANGE = Change("connector.write_back", "AdminMFAV2", "a#1", "b#2", "", {"outcome": "unconfirmed"}, occurred_at=AT)
OTHER = evolve(CHANGE, subject="OneAdmin")
HEAD = {"newest": "2026-11-22", "problems": {}}


def test_what_ended_leaves_no_trace() -> None:
    assert ended(begun(HEAD, CHANGE), CHANGE) == HEAD


def test_only_what_nobody_will_end_any_more_is_told() -> None:
    assert LEFT_AFTER_S == 600
    head = begun(HEAD, CHANGE)
    assert abandoned(head, SOON) == (head, [])
    assert abandoned(head, LATER) == (HEAD, [CHANGE])
    assert abandoned(HEAD, LATER) == (HEAD, [])


def test_several_at_once_are_told_apart() -> None:
    """Two changes of one control, too: the second command knows nothing of how the first one died."""
    again = evolve(CHANGE, after="c#3", occurred_at=SOON)
    head = begun(begun(begun(HEAD, CHANGE), OTHER), again)
    assert ended(ended(head, OTHER), again) == begun(HEAD, CHANGE)
    assert abandoned(head, LATER) == (begun(HEAD, again), [CHANGE, OTHER])
