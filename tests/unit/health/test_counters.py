"""The heartbeat, the figures of a process, and what the endpoints make of them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from connector.app import severity_rules
from connector.clock import iso
from connector.errors import Unavailable
from connector.health.counters import Counters, Measured
from connector.health.endpoints import application, metrics, unready
from connector.health.heartbeat import Heart, slot, tell_new, until_next_slot_s
from connector.health.overview import Facts, SinkFacts
from connector.health.upkeep import CONNECTOR
from connector.model import Digest, Event, Receipt
from connector.ports import Query, SinkStats, Start, Stats
from connector.stores.sqlite import SqliteStore, open_store
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink

STATES = {"ok": 3, "stale": 1, "failing": 2, "pending": 0}
HOUR = 3600.0


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock("2030-01-10T12:20:00+00:00")


@pytest_asyncio.fixture
async def store(clock: JumpClock) -> AsyncIterator[SqliteStore]:
    with quick_folder() as folder:
        opened = await open_store(folder / "state.db", clock=clock)
        await opened.attach([Start("soc")])
        yield opened
        await opened.close()


def heart(store: SqliteStore, clock: JumpClock) -> Heart:
    return Heart(store, clock, severity_rules(), HOUR, "host1", CONNECTOR)


async def told(store: SqliteStore) -> list[Event]:
    return await store.history(Query(tenant_id=CONNECTOR))


# ---------------------------------------------------------------------------------------------------------- heartbeat


async def test_one_heartbeat_a_slot_with_what_each_sink_took_since_the_last(
    store: SqliteStore, clock: JumpClock
) -> None:
    own = heart(store, clock)
    assert await own.beat(STATES, {"soc": 5, "archive": 7})
    assert not await own.beat(STATES, {"soc": 6, "archive": 7})
    await clock.sleep(2400)
    assert await own.beat(STATES, {"soc": 15, "archive": 7})
    first, second = await told(store)
    assert first.source == "urn:secure-score:connector:host1"
    assert first.data["summary"] == "Heartbeat: 3 tenants ok, 1 stale, 2 failing"
    assert first.data["tenant"] is None
    assert first.data["tenants"] == {"ok": 3, "stale": 1, "failing": 2}
    assert first.data["delivered"] == {"archive": 7, "soc": 5}
    assert second.data["delivered"] == {"archive": 0, "soc": 10}
    assert second.data["since"] == first.data["observed_at"] == "2030-01-10T12:20:00Z"
    assert second.id != first.id


async def test_the_id_is_that_of_the_slot_whoever_tells_it(store: SqliteStore, clock: JumpClock) -> None:
    await heart(store, clock).beat(STATES, {})
    with quick_folder() as folder:
        other = await open_store(folder / "state.db", clock=clock)
        await clock.sleep(600)
        await heart(other, clock).beat({**STATES, "ok": 9}, {"soc": 1})
        assert [e.id for e in await told(other)] == [e.id for e in await told(store)]
        await other.close()


async def test_what_an_orderly_stop_left_uncounted_is_told_by_the_next_process(
    store: SqliteStore, clock: JumpClock
) -> None:
    first = heart(store, clock)
    await first.beat(STATES, {"soc": 5})
    await clock.sleep(600)
    await first.save_uncounted({"soc": 12})
    second = heart(store, clock)
    await second.save_uncounted({"soc": 1})
    await clock.sleep(HOUR)
    third = heart(store, clock)
    assert await third.beat(STATES, {"soc": 100})
    before, after = await told(store)
    assert after.data["delivered"] == {"soc": 7 + 1 + 100}
    assert after.data["since"] == before.data["observed_at"]
    await clock.sleep(HOUR)
    await third.beat(STATES, {"soc": 100})
    assert (await told(store))[-1].data["delivered"] == {"soc": 0}


async def test_a_clock_that_was_ahead_for_a_while_does_not_silence_the_heart(
    store: SqliteStore, clock: JumpClock
) -> None:
    own = heart(store, clock)
    await clock.sleep(86_400 * 365)
    await own.beat(STATES, {})
    await clock.sleep(-86_400 * 365)
    assert await own.beat(STATES, {})


def test_slots_are_aligned_and_their_ends_are_ahead(clock: JumpClock) -> None:
    assert slot(clock.now(), HOUR) == "2030-01-10T12:00:00Z"
    assert until_next_slot_s(clock.now(), HOUR) == 2400
    end = clock.now() + timedelta(seconds=2400)
    assert slot(end, HOUR) == "2030-01-10T13:00:00Z"
    assert until_next_slot_s(end, HOUR) == HOUR


async def test_a_new_state_is_told_once(store: SqliteStore, clock: JumpClock) -> None:
    assert await tell_new(store, clock, severity_rules(), "host1", CONNECTOR)
    assert not await tell_new(store, clock, severity_rules(), "host1", CONNECTOR)
    (event,) = await told(store)
    assert (event.type, event.data["reason"], event.severity) == ("connector.problem", "state_new", 3)


# ---------------------------------------------------------------------------------------------------------- endpoints


def counters(clock: JumpClock) -> Counters:
    made = Counters(("a", "b", "c", "d"))
    made.polled("a", "ok", "", "2030-01-10", 4, clock.now())
    made.polled("b", "unchanged", "", "2030-01-05", 0, clock.now(), stale=True)
    made.polled("c", "ok", "", "2030-01-10", 1, clock.now() - timedelta(hours=3))
    made.polled("c", "failed", "denied", None, 1, clock.now())
    return made


def facts(clock: JumpClock, **more: object) -> Facts:
    stats = Stats(10, 4096, (SinkStats("soc", 3, 7, 1, None, iso(clock.now() - timedelta(minutes=2))),))
    values: dict[str, object] = {
        "now": clock.now(), "stats": stats, "max_bytes": 2**20, "full": False, "stopping": False, "stalled": (),
        "sinks": {"soc": SinkFacts("ok", "", 0, {"change": 9})},
    }  # fmt: skip
    return Facts(**{**values, **more})  # type: ignore[arg-type]


def test_tenants_are_ok_stale_failing_or_pending_and_leave_no_figure_when_they_go(clock: JumpClock) -> None:
    made = counters(clock)
    assert made.states() == {"ok": 1, "stale": 1, "failing": 1, "pending": 1}
    made.replace({"a": "a", "e": "e"})
    assert made.states() == {"ok": 1, "stale": 0, "failing": 0, "pending": 1}
    made.polled("c", "ok", "", "2030-01-10", 0, clock.now())  # its poll was under way when it went
    assert set(made.tenants) == {"a"}


def test_every_reason_for_not_being_ready_is_named(clock: JumpClock) -> None:
    made = counters(clock)
    assert unready(made, facts(clock)) == []
    down = {"soc": SinkFacts("denied", "403", 3, {})}
    found = unready(made, facts(clock, stats=None, full=True, stopping=True, stalled=["observe"], sinks=down))
    assert found == [
        "loop observe makes no progress",
        "stopping",
        "the state cannot be read",
        "the outbox is full: polling pauses",
        "sink soc is denied: 403",
    ]
    assert unready(Counters(("a",)), facts(clock)) == ["no tenant was polled yet"]
    failing = Counters(("a",))
    failing.polled("a", "failed", "secret_expired", None, 0, clock.now())
    assert unready(failing, facts(clock)) == ["no tenant can be read (secret_expired)"]


def test_a_digest_is_not_late_before_its_time(clock: JumpClock) -> None:
    """The alert on events that wait would fire every night otherwise."""
    sinks = {"soc": SinkFacts("ok", "", 0, {}, Digest("daily", clock.now().hour * 60 + clock.now().minute + 10))}
    assert b'securescore_sink_oldest_due_seconds{sink="soc"} 0.0' in metrics(
        counters(clock), facts(clock, sinks=sinks), "1"
    )


def test_metrics_are_what_a_prometheus_parser_reads(clock: JumpClock) -> None:
    text = metrics(counters(clock), facts(clock), "1.2").decode()
    found = {
        (s.name, *sorted(s.labels.values())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }
    assert found["securescore_polls_total", "denied", "failed"] == 1
    assert found["securescore_events_committed_total",] == 6
    assert found["securescore_tenant_data_age_seconds", "a"] == 12 * HOUR + 1200
    assert found["securescore_tenant_last_success_timestamp_seconds", "c"] == clock.now().timestamp() - 3 * HOUR
    assert found["securescore_tenant_failing", "c"] == 1
    assert found["securescore_sink_backlog_events", "soc"] == 7
    assert found["securescore_sink_parked_events", "soc"] == 1
    assert found["securescore_sink_oldest_due_seconds", "soc"] == 120
    assert found["securescore_sink_state", "ok", "soc"] == 1
    assert found["securescore_store_bytes",] == 4096
    assert found["securescore_ready",] == 1
    assert "process_resident_memory_bytes" in text


def test_every_name_in_the_example_alerts_is_one_that_is_told(clock: JumpClock) -> None:
    import re  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import yaml  # noqa: PLC0415

    rules = yaml.safe_load((Path(__file__).parents[3] / "packaging/host/prometheus-alerts.yaml").read_text())
    text = metrics(counters(clock), facts(clock), "1.2").decode()
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        names = re.findall(r"securescore_[a-z_]+", rule["expr"])
        assert names or "up{" in rule["expr"]
        assert not [n for n in names if f"# TYPE {n.removesuffix('_bucket')} " not in text], rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["next"]


async def test_a_measured_sink_behaves_as_the_sink_and_is_counted(clock: JumpClock) -> None:
    made = Counters()
    sink = FakeSink()
    measured = Measured(sink, made, lambda: clock.now().timestamp())
    assert await measured.send([]) == Receipt()

    def refuse(_: object) -> Receipt:
        raise Unavailable("no")

    sink.behave = refuse
    with pytest.raises(Unavailable):
        await measured.send([])
    assert made.sends == {("siem", "taken"): 1, ("siem", "unavailable"): 1}
    assert sum(made.latency["siem"].buckets) == 2


async def test_a_stalled_loop_is_ill_health(clock: JumpClock) -> None:
    stalled: list[str] = []

    async def gather() -> tuple[Counters, Facts]:
        return counters(clock), facts(clock, stalled=stalled)

    async with TestClient(TestServer(application(gather, "1"))) as client:
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/readyz")).status == 200
        stalled.append("observe")
        assert (await client.get("/healthz")).status == 503
        assert (await (await client.get("/readyz")).json())["reasons"] == ["loop observe makes no progress"]
        assert (await client.post("/healthz")).status == 405
