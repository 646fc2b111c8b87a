"""Scheduled reports over a real store: once a period, whole, told by one event, over crashes and conflicts."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, evolve

from connector.app import severity_rules
from connector.clock import SimulatedClock
from connector.config.keys import REPORT_ENDINGS
from connector.config.values import Config, ScheduleConfig, TenantConfig
from connector.errors import Conflict, StoreError
from connector.observe import memory
from connector.ports import Query, State
from connector.report.forms import FORMS
from connector.report.values import Material
from connector.scheduled import places
from connector.scheduled.writer import Writer
from connector.stores.sqlite import SqliteStore, open_store
from tests.fakes.posture import simulated

MADE = simulated(7)
DAYS = list(MADE.memory.versions())
NEWEST = datetime.fromisoformat(DAYS[-1]).replace(tzinfo=UTC)
TENANT = TenantConfig("alpha", MADE.tenant_id, labels={"tier": "gold"})
CONFIG = Config((TENANT,), ())
EMPTY = TenantConfig("gamma", "99999999-9999-9999-9999-999999999999")


@define
class Bench:
    """A tenant's state, and a writer that may be made anew at any time, as after a restart."""

    folder: Path
    store: SqliteStore
    clock: SimulatedClock
    every: str = "month"
    ending: str = ".html"

    @property
    def report(self) -> ScheduleConfig:
        return ScheduleConfig(self.every, f"{self.folder}/reports/{{tenant}}-{{period}}{self.ending}")

    def writer(self, *reports: ScheduleConfig) -> Writer:
        return Writer(reports or (self.report,), self.store, self.clock, severity_rules(), "1.2.3")

    async def told(self) -> list[dict[str, Any]]:
        found = await self.store.history(Query(types=("connector.report_written",)))
        return [dict(event.data["report"]) for event in found]

    def files(self) -> list[str]:
        folder = self.folder / "reports"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def keep(store: SqliteStore, one: Material) -> None:
    assert one.memory.newest is not None
    head = {"newest": one.memory.newest.day.day, "tenant": one.name}
    state = memory.encode(None, memory.Memory(), one.memory, head)
    await store.commit(one.tenant_id, State(0, state.parts), one.events)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = SimulatedClock(NEWEST + timedelta(hours=12))
    store = await open_store(tmp_path / "state.db", clock=clock, writer=True)
    await keep(store, MADE)
    yield Bench(tmp_path, store, clock)
    await store.close()


def last_month() -> str:
    return (NEWEST.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")


async def test_the_last_month_is_written_once_and_told_once(bench: Bench) -> None:
    written = await bench.writer().write_due(CONFIG, [TENANT])
    name = f"alpha-{last_month()}.html"
    assert bench.files() == [name]
    body = (bench.folder / "reports" / name).read_bytes()
    assert body.startswith(b"<!DOCTYPE html>")
    [told] = await bench.told()
    assert (told["name"], told["period"], told["bytes"]) == (name, last_month(), len(body))
    assert told["sha256"] == hashlib.sha256(body).hexdigest()
    assert Path(told["path"]).read_bytes() == body
    assert [each.file.name for each in written] == [name]
    again = bench.writer()
    assert await again.write_due(CONFIG, [TENANT]) == []
    (bench.folder / "reports" / name).unlink()
    assert await bench.writer().write_due(CONFIG, [TENANT]) == [], "who takes a file away does not get it again"
    assert len(await bench.told()) == 1


async def test_what_ended_while_nothing_ran_is_caught_up_once(bench: Bench) -> None:
    """Weeks of downtime bring the report of the latest week, not one for each."""
    bench.every = "week"
    bench.clock = SimulatedClock(NEWEST - timedelta(days=20))
    await bench.writer().write_due(CONFIG, [TENANT])
    bench.clock = SimulatedClock(NEWEST + timedelta(hours=12))
    await bench.writer().write_due(CONFIG, [TENANT])
    assert len(bench.files()) == 2
    keys = [told["period"] for told in await bench.told()]
    assert keys == ["2026-W24", "2026-W27"]


async def test_a_day_is_reported_when_it_has_closed_or_is_late(bench: Bench) -> None:
    """The newest day still changes, and Microsoft may be a day behind for weeks: the days before it are reported."""
    bench.every, bench.ending = "day", ".json"
    bench.clock = SimulatedClock(NEWEST + timedelta(days=1, hours=1))
    writer = bench.writer()
    assert [w.file.name for w in await writer.write_due(CONFIG, [TENANT])] == [f"alpha-{DAYS[-2]}.json"]
    assert await writer.write_due(CONFIG, [TENANT]) == []
    bench.clock = SimulatedClock(NEWEST + timedelta(days=3) - timedelta(seconds=1))
    assert await bench.writer().write_due(CONFIG, [TENANT]) == [], "the newest day may still change"
    bench.clock = SimulatedClock(NEWEST + timedelta(days=3))
    assert [w.file.name for w in await bench.writer().write_due(CONFIG, [TENANT])] == [f"alpha-{DAYS[-1]}.json"]


async def test_a_clock_that_was_set_back_writes_nothing_again(bench: Bench) -> None:
    await bench.writer().write_due(CONFIG, [TENANT])
    bench.clock = SimulatedClock(NEWEST - timedelta(days=35))
    assert await bench.writer().write_due(CONFIG, [TENANT]) == []


async def test_a_crash_between_file_and_note_writes_the_same_file_and_tells_it_once(bench: Bench) -> None:
    writer = bench.writer()

    async def crash(*_: Any) -> Any:
        raise StoreError("the disk is full")

    writer.store = Instead(bench.store, crash)
    with pytest.raises(StoreError):
        await writer.write_due(CONFIG, [TENANT])
    assert len(bench.files()) == 1
    assert await bench.told() == []
    assert len(await bench.writer().write_due(CONFIG, [TENANT])) == 1
    assert len(await bench.told()) == 1
    assert len(bench.files()) == 1


class Instead:
    """A store whose commits are another's."""

    def __init__(self, store: SqliteStore, commit: Any) -> None:
        self._store = store
        self.commit = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_poll_that_commits_at_the_same_moment_goes_first_and_loses_nothing(bench: Bench) -> None:
    tries = iter([True, True, False])

    async def commit(tenant: str, state: State, events: Any) -> State:
        if next(tries):
            now = await bench.store.load(TENANT.key)
            assert now is not None
            await bench.store.commit(TENANT.key, memory.with_head(now, {**memory.head(now), "polled": True}), [])
            raise Conflict("somebody was first")
        return await bench.store.commit(tenant, state, events)

    writer = evolve(bench.writer(), store=Instead(bench.store, commit))
    assert len(await writer.write_due(CONFIG, [TENANT])) == 1
    head = memory.head(await bench.store.load(TENANT.key))
    assert head["polled"] is True
    assert head["reports"] == {bench.report.path: last_month()}
    assert head["newest"] == DAYS[-1]


async def test_what_cannot_be_written_is_told_and_tried_again(bench: Bench) -> None:
    (bench.folder / "reports").write_text("a file stands where the folder should be")
    writer = bench.writer()
    assert await writer.write_due(CONFIG, [TENANT]) == []
    [fault] = writer.faults({})
    assert (fault.reason, fault.subject) == ("report_failed", "reports[0]")
    assert "alpha" in fault.detail
    assert fault.hint
    assert await bench.told() == []
    (bench.folder / "reports").unlink()
    assert len(await writer.write_due(CONFIG, [TENANT])) == 1
    assert writer.faults({}) == []


async def test_one_tenant_without_data_keeps_no_other_from_its_report_and_is_named(bench: Bench) -> None:
    state = await bench.store.load(TENANT.key)
    assert state is not None
    known_later = memory.with_head(State(0, state.parts), {**memory.head(state), "newest": "2031-01-01"})
    await bench.store.commit(EMPTY.tenant_id, State(0, {"head": known_later.parts["head"]}), [])
    writer = bench.writer()
    assert len(await writer.write_due(CONFIG, [EMPTY, TENANT])) == 1
    [fault] = writer.faults({})
    assert fault.summary == "Problem: a report cannot be written, of 1 tenant"
    assert fault.detail.startswith("gamma: ")
    assert len(bench.files()) == 1
    await writer.write_due(CONFIG, [TENANT])
    assert writer.faults({}) == [], "it is configured no more"


async def test_a_tenant_that_was_never_read_has_no_report_and_that_is_no_fault_of_reports(bench: Bench) -> None:
    writer = bench.writer()
    assert await writer.write_due(CONFIG, [EMPTY]) == []
    assert writer.faults({}) == []


async def test_before_the_first_look_a_problem_stays_open(bench: Bench) -> None:
    known = {
        "connector.problem:reports[0]": {"reason": "report_failed", "subject": "reports[0]"},
        "connector.problem:outbox": {"reason": "outbox_full", "subject": "outbox"},
    }
    assert [fault.subject for fault in bench.writer().faults(known)] == ["reports[0]"]


async def test_tenants_are_selected_by_globs_and_labels(bench: Bench) -> None:
    for chosen, count in ((("beta*",), 0), (("tier=gold",), 1)):
        assert len(await bench.writer(evolve(bench.report, tenants=chosen)).write_due(CONFIG, [TENANT])) == count


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: str(form.name))
async def test_every_form_that_a_path_may_end_in(bench: Bench, form: Any) -> None:
    bench.ending = form.suffix
    assert bench.ending.endswith(REPORT_ENDINGS)
    [written] = await bench.writer().write_due(CONFIG, [TENANT])
    body = written.file.read_text("utf-8")
    if form.suffix.endswith(".json"):
        json.loads(body)
    assert (await bench.told())[0]["format"] == form.name


async def test_old_reports_go_once_a_day(bench: Bench) -> None:
    old = bench.folder / "reports" / "alpha-2020-01.html"
    places.write(old, b"x")
    writer = bench.writer()
    await writer.write_due(CONFIG, [TENANT])
    assert not old.exists()
    places.write(old, b"x")
    await writer.write_due(CONFIG, [TENANT])
    assert old.exists()
