"""What a settlement means, as values; and the short text that the ledger keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.ports import Settlement
from connector.stores.settling import Entry, Item, Outcome, decide, ranges, spans, within

AT = "2026-11-22T09:00:02Z"
SENT = "2026-11-22T09:00:01Z"

numbers = st.sets(st.integers(1, 200), min_size=1)


def settlement(**parts: object) -> Settlement:
    return Settlement(at=AT, first_sent=SENT, **parts)  # type: ignore[arg-type]  # the parts are the test's


@pytest.mark.parametrize(
    ("seqs", "text"),
    [([1], "1"), ([1, 2, 3, 7], "1-3,7"), ([9, 1, 3], "1,3,9"), ([2, 1], "1-2"), (range(1, 1001), "1-1000")],
)
def test_spans(seqs: list[int], text: str) -> None:
    assert spans(seqs) == text


@given(numbers)
def test_spans_hold_exactly_their_numbers(seqs: set[int]) -> None:
    text = spans(seqs)
    assert {n for a, b in ranges(text) for n in range(a, b + 1)} == seqs
    assert {n for n in range(202) if within(text, n)} == seqs


def test_a_batch_taken_whole_leaves_one_line() -> None:
    everything = tuple(range(1, 1001))
    outcome = decide(everything, {}, settlement(attempted=everything, accepted=frozenset(everything)))
    assert outcome == Outcome(entries=(Entry("accepted", SENT, 1, AT, "1-1000"),))


def test_each_outcome_has_its_line_and_the_unmentioned_stay() -> None:
    outcome = decide(
        [1, 2, 3, 4, 5],
        {},
        settlement(attempted=(1, 2, 3), accepted=frozenset({1}), skipped=frozenset({5}), parked={2: "no"}),
    )
    assert outcome == Outcome(
        put={2: Item("parked", 1, SENT, AT, "no"), 3: Item("due", 1, SENT), 4: Item("due", 0, None)},
        entries=(Entry("accepted", SENT, 1, AT, "1"), Entry("skipped", None, 0, AT, "5")),
    )


def test_the_past_of_an_item_goes_on() -> None:
    """First sent stays, attempts add up, and what comes again keeps coming again."""
    items = {3: Item("due", 2, "earlier"), 4: Item("again", 1, "earlier", None, "no"), 9: Item("due")}
    outcome = decide([], items, settlement(attempted=(3, 4), accepted=frozenset({3})))
    assert outcome == Outcome(
        put={4: Item("again", 2, "earlier", None, "no")},
        drop=(3,),
        entries=(Entry("accepted", "earlier", 3, AT, "3"),),
    )


def test_evidence_outweighs_acceptance() -> None:
    """An event that a sink calls both accepted and rejected is parked."""
    outcome = decide([1], {}, settlement(attempted=(1,), accepted=frozenset({1}), parked={1: "no"}))
    assert outcome == Outcome(put={1: Item("parked", 1, SENT, AT, "no")})


def test_what_is_no_longer_due_is_ignored() -> None:
    assert decide([], {}, settlement(attempted=(1, 2), accepted=frozenset({1}), parked={2: "no"})) == Outcome()


@given(numbers, numbers, numbers, numbers, numbers, numbers)
def test_nothing_is_lost(
    fresh: set[int], items: set[int], attempted: set[int], accepted: set[int], skipped: set[int], parked: set[int]
) -> None:
    """Every event that was due is afterwards kept as an item or in exactly one line of the ledger."""
    items = {n + 1000 for n in items}
    named = {n + 1000 for n in attempted} | attempted
    outcome = decide(
        sorted(fresh),
        {n: Item("due", 1, "earlier") for n in items},
        settlement(
            attempted=tuple(named),
            accepted=frozenset(accepted),
            skipped=frozenset(skipped | {n + 1000 for n in skipped}),
            parked=dict.fromkeys(parked, "no"),
        ),
    )
    written = [n for e in outcome.entries for a, b in ranges(e.spans) for n in range(a, b + 1)]
    assert len(written) == len(set(written))
    kept = set(outcome.put) | (items - set(outcome.drop))
    assert kept.isdisjoint(written)
    assert kept | set(written) == fresh | items
    assert parked & fresh <= {n for n, item in outcome.put.items() if item.state == "parked"}
    assert {n for n in written if n in fresh} == fresh & (accepted | skipped) - parked
