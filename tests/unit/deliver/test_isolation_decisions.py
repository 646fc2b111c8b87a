"""Which events are tried next after failures, as pure decisions; test_isolation.py shows the loop that follows them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from connector.deliver.batch import Batch
from connector.deliver.isolation import (
    BEHIND,
    FAR,
    FIRST,
    ISOLATE_AFTER,
    PAGE,
    PARK_AFTER,
    SHRINK_AFTER,
    STUCK_AFTER,
    Held,
    Search,
    failed_alone,
    hold,
    left_out,
    split,
    still_due,
)
from connector.errors import Denied, Unavailable
from connector.model import Record
from connector.ports import Pending
from tests.contract.store_contract import event

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)
RESET, BUSY, FORBIDDEN = Unavailable("connection reset"), Unavailable("429", 5.0), Denied("403", "grant the role")


def pending(*seqs: int) -> list[Pending]:
    return [Pending(seq, event(seq)) for seq in seqs]


def offered(due: Sequence[Pending], **became: object) -> Batch:
    return Batch(pending=list(due), records=[Record(p.event.id, "change", "contoso", "", 0, {}) for p in due], **became)  # type: ignore[arg-type]


def held(seq: int, failures: int = 1, *, until: datetime = NOW, proofs: int = 0) -> Held:
    return Held(event(seq).id, NOW, until, failures, proofs, 0)


# ---------------------------------------------------------------------------------------------- the search for an event


def outage(turns: int, queue: int) -> list[list[int]]:
    """How far behind the first event each turn of an outage tries, when `queue` events are due behind the first."""
    search, tried = Search(), []
    for _ in range(turns):
        search = search.failed_again()
        now: list[int] = []
        if search.on:
            search = search.resumed()
            for _ in range(search.tries):
                place = search.tried + 1
                ended = place > queue
                search = search.stepped(ended=ended)
                if ended:
                    break
                now.append(place)
        tried.append(now)
    return tried


def test_events_behind_are_tried_one_by_one_each_further_than_the_last() -> None:
    tried = outage(ISOLATE_AFTER + 10, queue=1000)
    assert tried[:ISOLATE_AFTER] == [[]] * ISOLATE_AFTER
    assert tried[ISOLATE_AFTER:] == [[place] for place in range(1, 11)]


def test_a_search_that_has_come_far_goes_on_faster_and_misses_none() -> None:
    tried = outage(ISOLATE_AFTER + BEHIND + 34, queue=5000)
    assert [place for turn in tried for place in turn] == list(range(1, FAR + 1))
    assert outage(ISOLATE_AFTER + BEHIND + 35, queue=5000)[-1] == [1], "and then it begins anew"


def test_the_longer_an_outage_the_rarer_a_long_search() -> None:
    """What goes on failing is most likely no event's fault: most passes end soon."""
    places = [place for turn in outage(2_000, queue=5000) for place in turn]
    starts = [n for n, place in enumerate(places) if place == 1]
    lengths = [places[a:b][-1] for a, b in pairwise(starts)]
    assert [n for n, length in enumerate(lengths) if length == FAR] == [0, 1, 3, 7, 15, 31]
    assert set(lengths) == {BEHIND, FAR}


def test_at_the_end_of_the_queue_the_search_begins_anew() -> None:
    assert outage(ISOLATE_AFTER + 7, queue=2)[ISOLATE_AFTER:] == [[1], [2], [], [1], [2], [], [1]]


def test_as_many_events_are_at_hand_as_a_turn_may_try() -> None:
    search = Search()
    for _ in range(300):
        reach = search.reach
        search = search.failed_again()
        if search.on:
            search = search.resumed()
            assert search.tried + search.tries <= min(reach, PAGE), "those passed over, and those to try"
            for _ in range(search.tries):
                search = search.stepped(ended=False)


@pytest.mark.parametrize(
    ("size", "error", "failures", "alone"),
    [
        (1, RESET, SHRINK_AFTER, True),
        (1, RESET, SHRINK_AFTER - 1, False),  # it may be a short outage: larger batches have not failed yet
        (2, RESET, SHRINK_AFTER, False),
        (1, BUSY, SHRINK_AFTER, False),  # the sink's wish is nobody's fault
        (1, FORBIDDEN, SHRINK_AFTER, False),
        (1, None, SHRINK_AFTER, False),
    ],
)
def test_what_counts_as_the_first_events_own_failure(
    size: int, error: Unavailable | Denied | None, failures: int, *, alone: bool
) -> None:
    assert failed_alone(offered(pending(*range(size)), error=error), failures) is alone


# ------------------------------------------------------------------------------------------------- events held back


def test_only_a_failure_beside_others_that_were_taken_is_proof() -> None:
    first = hold("id", None, RESET, 7, NOW, 1.0)
    assert (first.failures, first.proofs, first.until) == (1, 0, NOW + timedelta(seconds=1))
    assert hold("id", first, RESET, 8, NOW, 1.0).proofs == 1
    assert hold("id", first, RESET, 7, NOW, 1.0).proofs == 0, "nothing else was taken: an outage, perhaps"
    assert hold("id", first, FORBIDDEN, 8, NOW, 1.0).proofs == 0, "what an operator must mend"
    assert hold("id", first, FORBIDDEN, 8, NOW, 1.0).failures == 2


def test_it_is_stuck_after_some_proofs_and_hopeless_after_more() -> None:
    assert [held(1, proofs=n).stuck for n in (STUCK_AFTER - 1, STUCK_AFTER)] == [False, True]
    assert [held(1, proofs=n).hopeless for n in (PARK_AFTER, PARK_AFTER + 1)] == [False, True]


def test_it_is_tried_when_its_time_has_come_or_the_clock_was_set_back() -> None:
    later = held(1, until=NOW + timedelta(minutes=5))
    assert not later.ripe(NOW)
    assert later.ripe(NOW + timedelta(minutes=5))
    assert later.ripe(NOW - timedelta(seconds=1))


def test_the_queue_goes_on_without_what_is_held_back() -> None:
    due = pending(1, 2, 3, 4)
    later = NOW + timedelta(minutes=5)
    fresh, lone = split(due, {1: held(1, until=later), 3: held(3), 4: held(4)}, NOW)
    assert [p.seq for p in fresh] == [2]
    assert lone is due[2]
    assert split(due, {1: held(1, until=later)}, NOW)[1] is None


def test_what_is_no_longer_due_is_forgotten_but_not_what_lies_beyond_the_look() -> None:
    known = {seq: held(seq) for seq in (1, 3, 9)}
    assert still_due(known, pending(1, 2, 4), FIRST, complete=True).keys() == {1}
    assert still_due(known, pending(1, 2, 4), FIRST, complete=False).keys() == {1, 9}
    assert still_due(known, [], FIRST, complete=True) == {}


# --------------------------------------------------------------------------------------------- what receipts leave out


def test_only_what_a_receipt_skipped_is_left_out_not_what_it_did_not_get_to() -> None:
    batch = offered(pending(1, 2, 3, 4, 5), accepted={2}, parked={4: "no"})
    assert left_out(batch, {}) == {1: 1, 3: 1}
    assert left_out(offered(pending(1, 2, 3), accepted={1}), {}) == {}
    assert left_out(offered(pending(1, 2)), {}) == {}


def test_it_is_counted_in_a_row() -> None:
    batch = offered(pending(1, 2, 3), accepted={3})
    assert left_out(batch, {1: 2, 2: 1, 7: 2}) == {1: 3, 2: 2}
    assert left_out(offered(pending(1, 2, 3), accepted={1, 3}), {1: 2, 2: 1}) == {2: 2}
