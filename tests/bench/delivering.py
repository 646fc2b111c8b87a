"""The deliver path: outbox, CEF to a real rsyslog, Sentinel and Splunk HEC, each beside its rival."""

import logging
import logging.handlers
import socket
import sqlite3
import ssl
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, TypeVar, cast

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore
from connector.deliver.loop import drain
from connector.formats import cloudevents
from connector.ids import event_id
from connector.mapping.load import load_mapping
from connector.mapping.render import Mapping
from connector.model import Event
from connector.net.client import Http
from connector.ports import Query, Settlement, Start, State
from connector.stores.sqlite import SqliteStore, open_store
from sinks.sentinel import Rule, Rules, SentinelSink
from sinks.splunk import Collector, HecSink, line
from sinks.syslog import Receiver, SyslogSink
from tests.bench.measure import Figure, Spent, cpu, in_turn, ratio, times, wall
from tests.bench.reading import config
from tests.bench.servers import NOW, started
from tests.fakes.hec import TOKEN
from tests.fakes.ingestion import RULE, Credential
from tests.real.receivers import Rsyslog, Tail, rsyslog

_T = TypeVar("_T")

BATCH = 1_000
TENANT = "11111111-2222-3333-4444-555555555555"


async def events_of_a_tenant(folder: Path, live_days: int) -> list[Event]:
    """What really comes out of a tenant's first contact and some live days, inventory included."""
    with started("graph", tenants=1, size="mid") as server:
        settings = config(server, folder)
        clock = SimulatedClock(NOW)
        async with open_app(settings, clock=clock) as app:
            for _ in range(1 + live_days):
                [outcome] = await app.poll_once()
                assert outcome.error is None, outcome
                await clock.advance(86_400)
                server.ask("advance 86400")
            return await app.store.history(Query())


def many(sample: Sequence[Event], count: int, series: int) -> list[Event]:
    """So many events like these, every one with an id of its own."""
    found = islice(cycle(sample), count)
    return [
        evolve(e, id=event_id(TENANT, e.type, e.subject, str(series), str(number))) for number, e in enumerate(found)
    ]


async def filled(folder: Path, events: Sequence[Event], name: str = "out") -> SqliteStore:
    """A state whose outbox holds these events for one sink."""
    store = await open_store(folder / "state.db", clock=SystemClock())
    await store.attach([Start(name)])
    state = State()
    for batch in _batches(events, BATCH):
        state = await store.commit(TENANT, state, batch)
    return store


def _batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


# --------------------------------------------------------------------------------------------------------------- outbox


async def outbox(folder: Path, sample: Sequence[Event], rounds: int, batches: int) -> Figure:
    """Commit, due and settle of batches, against the plainest table that holds the same bytes."""
    numbers = iter(range(1_000_000))
    plain: list[Spent] = []
    unique: list[Spent] = []
    own: list[Spent] = []

    async def ours() -> float:
        number = next(numbers)
        events = _batches(many(sample, BATCH * batches, number), BATCH)
        home = folder / f"ours-{number}"
        home.mkdir()
        async with await open_store(home / "state.db", clock=SystemClock()) as store:
            await store.attach([Start("out")])
            state = State()
            with wall() as spent:
                for batch in events:
                    state = await store.commit(TENANT, state, batch)
                    due = await store.due("out", BATCH)
                    seqs = [pending.seq for pending in due]
                    assert len(seqs) == BATCH
                    await store.settle("out", Settlement(at="2026-11-22T09:12:03Z", accepted=frozenset(seqs)))
        own.append(spent)
        return spent.seconds

    async def theirs() -> float:
        number = next(numbers)
        rows = [(event.id, cloudevents.dumps(event)) for event in many(sample, BATCH * batches, number)]
        plain.append(_insert(folder / f"plain-{number}.db", "event (body TEXT)", "(?2)", rows))
        unique.append(_insert(folder / f"unique-{number}.db", "event (id TEXT UNIQUE, body TEXT)", "(?1, ?2)", rows))
        return plain[-1].seconds

    measured = await in_turn(ours, theirs, rounds)
    method = (
        f"wall; {BATCH} events a batch, WAL and synchronous=FULL on both sides; "
        "the rival stores the ready bytes in one column, finds nothing again and settles nothing"
    )
    events = BATCH * batches
    return times(
        "outbox_vs_sqlite_insert",
        measured,
        method,
        events_a_second=events / _mean([r.ours for r in measured]),
        rival_events_a_second=events / _mean([r.theirs for r in measured]),
        against_a_rival_with_unique_ids=_mean([s.seconds for s in unique[1:]]) / _mean([r.ours for r in measured]),
        by_cpu_time=_by_cpu(own, plain),
        by_cpu_time_against_unique_ids=_by_cpu(own, unique),
    )


def _insert(path: Path, table: str, values: str, rows: Sequence[tuple[str, str]]) -> Spent:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE {table}")
    insert = f"INSERT INTO {table.partition(' ')[0]} VALUES {values}"
    with wall() as spent:
        for start in range(0, len(rows), BATCH):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows[start : start + BATCH])
            connection.execute("COMMIT")
    connection.close()
    return spent


# --------------------------------------------------------------------------------------------------------------- syslog


class TlsHandler(logging.handlers.SysLogHandler):
    """The standard library's handler, taught TLS in the shortest way."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(address, socktype=socket.SOCK_STREAM)

    def createSocket(self) -> None:  # noqa: N802 - the name is the standard library's
        super().createSocket()
        plain: socket.socket = self.socket  # type: ignore[has-type]  # made by the line before
        self.socket = self.context.wrap_socket(plain, server_hostname="localhost")


async def syslog(folder: Path, sample: Sequence[Event], rounds: int, count: int, *, tls: bool) -> Figure:
    """A filled outbox drained into rsyslog, every batch confirmed; the rival sends ready lines and hears nothing."""
    wanted = [event for event in sample if event.stream != "inventory"]
    form = load_mapping("cef")
    numbers = iter(range(1_000_000))
    own: list[Spent] = []
    others: list[Spent] = []
    with rsyslog(folder / "rsyslog") as server:
        tail = Tail(server.tls_file if tls else server.plain_file)

        async def ours() -> float:
            number = next(numbers)
            home = folder / f"state-{number}"
            home.mkdir()
            store = await filled(home, many(wanted, count, number))
            sink = SyslogSink("out", _receiver(server, tls=tls))
            await sink.probe()  # a first batch listens for a refused certificate; then a minute of batches does not
            delivery = _delivery(store, sink, form)
            with wall() as spent:
                outcome = await drain(delivery, 60.0)
            assert outcome.sent == count, outcome
            await sink.close()
            await store.close()
            own.append(spent)
            return spent.seconds

        async def theirs() -> float:
            lines = [str(form.render(event).payload) for event in many(wanted, count, next(numbers))]
            handler = _handler(server, tls=tls)
            log = logging.getLogger("tests.bench.syslog")
            log.propagate = False
            log.addHandler(handler)
            log.setLevel(logging.INFO)
            with wall() as spent:
                for text in lines:
                    log.info(text)
                handler.close()
            log.removeHandler(handler)
            others.append(spent)
            return spent.seconds

        measured = await in_turn(ours, theirs, rounds)
        arrived = len(tail.wait(2 * (rounds + 1) * count, quiet_s=2.0))
    key = f"cef_{'tls' if tls else 'tcp'}_vs_sysloghandler"
    method = (
        f"wall; {count} events from the outbox, rendered, sent in batches of {SyslogSink.max_records}, confirmed and "
        "settled; the rival logs ready lines, unconfirmed"
    )
    return times(
        key,
        measured,
        method,
        events_a_second=count / _mean([r.ours for r in measured]),
        rival_events_a_second=count / _mean([r.theirs for r in measured]),
        by_cpu_time=_by_cpu(own, others),
        share_that_arrived_of_both=arrived / (2 * (rounds + 1) * count),
    )


def _receiver(server: Rsyslog, *, tls: bool) -> Receiver:
    if not tls:
        return Receiver("127.0.0.1", server.plain, "tcp", hostname="host1")
    given = server.certificates
    return Receiver("localhost", server.tls, ca_files=(given.ca,), cert_file=given.client, hostname="host1")


def _handler(server: Rsyslog, *, tls: bool) -> logging.handlers.SysLogHandler:
    if not tls:
        handler = logging.handlers.SysLogHandler(("127.0.0.1", server.plain), socktype=socket.SOCK_STREAM)
    else:
        given = server.certificates
        context = ssl.create_default_context(cafile=given.ca)
        context.load_cert_chain(given.client)
        handler = TlsHandler(("localhost", server.tls), context)
    handler.append_nul = False
    handler.setFormatter(logging.Formatter("host1 %(message)s\n"))
    return handler


def _delivery(store: SqliteStore, sink: Any, form: Mapping) -> Delivery:
    return Delivery(
        store=cast("DurableStore", store),
        sink=sink,
        mapping=form,
        clock=SystemClock(),
        wants=Filter(),
        max_records=sink.max_records,
        max_bytes=sink.max_bytes,
        dice=Random(1),
    )


# ------------------------------------------------------------------------------------------------------------- sentinel


async def sentinel(sample: Sequence[Event], rounds: int, count: int) -> Figure:
    """Mapped rows to a Logs Ingestion endpoint over TLS, against the SDK's own way with the same rows."""
    from azure.monitor.ingestion.aio import LogsIngestionClient  # noqa: PLC0415 - an extra

    form = load_mapping("sentinel")
    records = [form.render(event) for event in many(sample, count, 0)]
    streams = {stream: f"Custom-{stream}_CL" for stream in ("score", "inventory", "change", "health")}
    batches = _batches(records, BATCH)
    with started("receivers") as server:
        http = Http(clock=SystemClock(), ca_file=server.at["ca"])
        sink = SentinelSink("out", Rules(Rule(server.at["url"], RULE), streams), http, Credential(), gzip_level=6)
        shipped = SentinelSink("out", Rules(Rule(server.at["url"], RULE), streams), http, Credential())
        credential: Any = Credential()
        client = LogsIngestionClient(server.at["url"], credential, connection_verify=server.at["ca"])

        async def send(through: SentinelSink) -> float:
            with cpu() as spent:
                for batch in batches:
                    receipt = await through.send(batch)
                    assert len(receipt.accepted) == len(batch)
            return spent.seconds

        async def ours() -> float:
            return await send(sink)

        async def theirs() -> float:
            with cpu() as spent:
                for batch in batches:
                    rows: dict[str, list[Any]] = defaultdict(list)
                    for record in batch:
                        rows[record.stream].append(record.payload)
                    for stream, of_stream in rows.items():
                        await client.upload(rule_id=RULE, stream_name=streams[stream], logs=of_stream)
            return spent.seconds

        measured = await in_turn(ours, theirs, rounds)
        as_shipped = [await send(shipped) for _ in range(rounds)]
        taken = server.ask()["events"]
        assert taken == (3 * rounds + 2) * count, taken
        await client.close()
        await sink.close()
    method = f"CPU; batches of {BATCH} mixed rows over TLS, gzip level 6 on both sides (ours ships with level 1)"
    return ratio(
        "sentinel_cpu_vs_sdk",
        measured,
        method,
        us_an_event=1e6 * _mean([r.ours for r in measured]) / count,
        us_an_event_of_the_sdk=1e6 * _mean([r.theirs for r in measured]) / count,
        as_shipped=_mean(as_shipped) / _mean([r.theirs for r in measured]),
    )


# ------------------------------------------------------------------------------------------------------------------ HEC


async def hec(sample: Sequence[Event], rounds: int, count: int, lone: int) -> Figure:
    """The sink's batches, against the same transport with one POST an event."""
    form = load_mapping("splunk")
    records = [form.render(event) for event in many(sample, count, 0)]
    with started("receivers") as server:
        http = Http(clock=SystemClock(), ca_file=server.at["ca"], max_connections=1)
        collector = Collector(server.at["url"], TOKEN)
        sink = HecSink("out", collector, http, SystemClock())
        own: list[Spent] = []
        others: list[Spent] = []

        async def ours() -> float:
            with wall() as spent:
                for batch in _batches(records, sink.max_records):
                    receipt = await sink.send(batch)
                    assert len(receipt.accepted) == len(batch)
            own.append(spent)
            return spent.seconds / count

        async def theirs() -> float:
            headers = {"Authorization": f"Splunk {TOKEN}", "Content-Type": "application/json"}
            bodies = [line(collector, record).data for record in records[:lone]]
            with wall() as spent:
                for body in bodies:
                    answer = await http.request(
                        "POST", f"{server.at['url']}/services/collector/event", headers=headers, body=body
                    )
                    assert answer.status == 200
            others.append(spent)
            return spent.seconds / lone

        measured = await in_turn(ours, theirs, rounds)
        assert server.ask()["events"] == (rounds + 1) * (count + lone)
        await sink.close()
    method = f"wall; batches of {HecSink.max_records} records over TLS, gzip; the rival posts ready bytes, uncompressed"
    return times(
        "hec_vs_one_post_an_event",
        measured,
        method,
        events_a_second=1 / _mean([r.ours for r in measured]),
        rival_events_a_second=1 / _mean([r.theirs for r in measured]),
        by_cpu_time=_by_cpu(own, others) * count / lone,
    )


def _by_cpu(own: Sequence[Spent], others: Sequence[Spent]) -> float:
    """The same comparison by CPU time of this process, which a busy machine falsifies less; without the warm-up."""
    return median(b.cpu_s / a.cpu_s for a, b in zip(own[1:], others[1:], strict=True))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
