"""A sink is held when tenant after tenant fails there, and tried by one for all: by one that has something to send."""

from datetime import UTC, datetime, timedelta

from connector.deliver.delivery import Outcome
from connector.homes.circuit import HELD_AFTER, HOLD_S, Circuit

NOW = datetime(2026, 9, 8, 8, 3, tzinfo=UTC)
LATER = NOW + timedelta(seconds=HOLD_S)
DOWN = Outcome("siem", "unavailable")
NOTHING = Outcome("siem", "ok")
TAKEN = Outcome("siem", "ok", sent=1)


def tried(circuit: Circuit, tenant: str, outcome: Outcome | None, now: datetime = NOW) -> bool:
    if not circuit.enter(tenant, now):
        return False
    circuit.leave(tenant, outcome, now)
    return True


def opened() -> Circuit:
    circuit = Circuit()
    for tenant in "abc"[:HELD_AFTER]:
        assert tried(circuit, tenant, DOWN)
    return circuit


def test_one_tenants_fault_may_be_its_own() -> None:
    circuit = Circuit()
    assert all(tried(circuit, "a", DOWN) for _ in range(5))


def test_many_faults_hold_it_for_everybody() -> None:
    circuit = opened()
    assert circuit.holds(NOW)
    assert not tried(circuit, "d", TAKEN)
    assert not circuit.holds(LATER)


def test_one_at_a_time_tries_for_all() -> None:
    circuit = opened()
    assert circuit.enter("d", LATER)
    assert circuit.holds(LATER)
    assert not circuit.enter("e", LATER)
    circuit.leave("d", TAKEN, LATER)
    assert circuit.enter("e", LATER)


def test_a_try_that_fails_holds_it_anew() -> None:
    circuit = opened()
    assert tried(circuit, "d", DOWN, LATER)
    assert not tried(circuit, "e", TAKEN, LATER)
    assert tried(circuit, "e", TAKEN, LATER + timedelta(seconds=HOLD_S))


def test_who_has_nothing_to_send_leaves_the_try_to_the_next() -> None:
    circuit = opened()
    assert tried(circuit, "", NOTHING, LATER)
    assert tried(circuit, "quiet", NOTHING, LATER)
    assert tried(circuit, "cut", None, LATER)
    assert tried(circuit, "d", TAKEN, LATER)
    assert not circuit.failing


def test_a_part_that_was_taken_is_a_success() -> None:
    circuit = opened()
    assert tried(circuit, "d", Outcome("siem", "unavailable", sent=3), LATER)
    assert tried(circuit, "e", DOWN, LATER)
    assert tried(circuit, "f", TAKEN, LATER)


def test_a_clock_that_was_set_back_holds_nothing_for_a_year() -> None:
    circuit = opened()
    assert not circuit.holds(NOW - timedelta(days=365))
