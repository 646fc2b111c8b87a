"""What nobody expects of a poll, a fault of the program among it: told once, remembered for `status`, and recovered."""

import errno
import logging
from typing import Any, cast

import pytest
from attrs import define

from connector.errors import Conflict, SecureScoreError, StoreError
from connector.model import Known, Snapshot
from connector.observe import memory
from connector.ports import State
from tests.unit.observe.test_partial_reads import Lab, polled


@define
class Faulty(Lab):
    """A source that fails as nobody expects, or a state that does: `refusal` is what the next commit meets."""

    error: BaseException | None = None
    refusal: SecureScoreError | None = None

    async def read(self, known: Known) -> Snapshot:
        if self.error is not None:
            raise self.error
        return await super().read(known)

    async def commit(self, tenant_id: str, state: State, events: Any) -> State:
        if self.refusal is not None:
            raise self.refusal
        return await super().commit(tenant_id, state, events)


def told(lab: Lab) -> list[tuple[str, str]]:
    return [(event.type, event.data["reason"]) for event in lab.events if event.stream == "health"]


async def test_a_fault_of_the_program_is_told_once_and_its_end_too() -> None:
    lab = Faulty(error=ZeroDivisionError("x"))
    for hour in (9, 10):
        outcome = await polled(lab, hour)
        assert (outcome.status, outcome.reason, outcome.events) == ("failed", "bug", int(hour == 9))
    assert told(lab) == [("connector.problem", "bug")]
    assert lab.events[0].data["detail"] == "ZeroDivisionError while observing; the log has the traceback"
    head = memory.head(cast("State", lab.state))
    assert (head["failures"], head["reason"], head["last_attempt"]) == (2, "bug", "2026-11-28T10:00:00Z")
    lab.error = None
    assert (await polled(lab, 11)).reason == ""
    assert ("connector.recovered", "bug") in told(lab)


async def test_what_the_machine_lacks_is_remembered_and_told_when_it_stays() -> None:
    lab = Faulty(error=OSError(errno.EMFILE, "Too many open files"))
    assert [(await polled(lab, hour)).reason for hour in (9, 10, 11)] == ["unavailable"] * 3
    assert memory.head(cast("State", lab.state))["failures"] == 3
    assert told(lab) == [("connector.problem", "unavailable")]


async def test_where_it_cannot_be_told_either_the_outcome_says_it(caplog: pytest.LogCaptureFixture) -> None:
    lab = Faulty(error=ZeroDivisionError(), refusal=Conflict("another was faster"))
    with caplog.at_level(logging.ERROR):
        assert (await polled(lab, 9)).reason == "bug"
    assert [record.getMessage() for record in caplog.records] == ["poll.bug", "poll.untold"]


async def test_a_state_that_fails_meanwhile_is_the_states_matter() -> None:
    with pytest.raises(StoreError, match="disk"):
        await polled(Faulty(error=ZeroDivisionError(), refusal=StoreError("disk")), 9)
