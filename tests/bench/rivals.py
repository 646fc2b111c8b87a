"""What somebody would use instead of a sink, from the same events to the same far end.

A rival is given each event as the connector's outbox holds it, or as the value it is, and does what its users would
have it do: make a line or a record of it, and send it. It keeps nothing, settles nothing and loses what is refused.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from connector import __version__
from connector.formats import cloudevents
from connector.mapping.load import load_mapping
from connector.model import Event
from sinks.splunk import Collector, line
from tests.bench import ends
from tests.bench.measure import Figure, Spent, cpu, in_turn, ratio, times, wall
from tests.bench.sample import BATCH, batches, delivered, many, without_inventory
from tests.bench.servers import started
from tests.fakes.hec import TOKEN
from tests.fakes.ingestion import RULE, Credential
from tests.real.receivers import Tail, rsyslog

SDK_LEVEL = 6
"""The gzip level of azure-monitor-ingestion, which is no option of it."""


def _logger(handler: logging.Handler) -> logging.Logger:
    """It has this handler alone."""
    log = logging.getLogger("tests.bench.rivals")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.handlers = [handler]
    return log


# ------------------------------------------------------------------------------------------------------------------ CEF


def extensions(event: Event) -> dict[str, Any]:
    """What format-cef is given of an event: the fields of mappings/cef.yaml that most events have, by their full names.

    It has no mapping of its own, so its user writes this.
    """
    data = event.data
    tenant, control, after = data.get("tenant") or {}, data.get("control") or {}, data.get("after") or {}
    before = data.get("before") or {}
    moment = datetime.fromisoformat
    found = {
        "deviceReceiptTime": moment(data["observed_at"]),
        "externalId": event.id,
        "deviceExternalId": tenant.get("id"),
        "deviceEventCategory": f"{event.stream}/{control.get('category', '')}",
        "deviceAction": event.type.rpartition(".")[2],
        "requestUrl": control.get("url"),
        "message": data.get("summary"),
        "deviceCustomDate1": moment(data["day"]) if data.get("day") else None,
    }
    texts = {1: ("Control", "id"), 2: ("ControlTitle", "title"), 3: ("Service", "service"), 4: ("State", "state")}
    for number, (label, key) in texts.items():
        if control.get(key):
            found |= {f"deviceCustomString{number}": control[key], f"deviceCustomString{number}Label": label}
    points = {1: ("ScoreBefore", before.get("score")), 2: ("ScoreAfter", after.get("score"))}
    points[3] = ("Delta", data.get("delta"))
    points[4] = ("Percent", after.get("percent"))
    for number, (label, value) in points.items():
        if isinstance(value, int | float):
            name = f"deviceCustomFloatingPoint{number}"
            found |= {name: float(value), f"{name}Label": label}
    return {name: value for name, value in found.items() if value is not None}


async def cef_tls(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    """A filled outbox drained into rsyslog, every batch confirmed; the rival makes and sends each line, unconfirmed."""
    format_cef = import_module("format_cef").format_cef  # `make bench` installs it, nothing else needs it
    events = many(without_inventory(sample), count, 0)
    mapping = load_mapping("cef")
    ready = [str(mapping.render(event).payload) for event in events]
    numbers = iter(range(1_000_000))
    only_sending: list[float] = []
    with rsyslog(folder / "rsyslog") as server:
        tail = Tail(server.tls_file)

        def logged(lines: Sequence[str] | None) -> float:
            handler = ends.handler(server, tls=True)
            log = _logger(handler)
            with wall() as spent:
                for event in events if lines is None else ():
                    log.info(_line(format_cef, event))
                for text in lines or ():
                    log.info(text)
                handler.close()
            return spent.seconds

        async def theirs() -> float:
            only_sending.append(logged(ready))
            return logged(None)

        async with ends.syslog(server, tls=True) as sink:

            async def ours() -> float:
                state, fresh = folder / f"state-{(number := next(numbers))}", many(events, count, number)
                return (await delivered(state, fresh, sink, mapping)).seconds

            measured = await in_turn(ours, theirs, rounds)
        arrived = len(tail.wait(3 * (rounds + 1) * count, quiet_s=2.0))
    own = sum(r.ours for r in measured)
    return times(
        "cef_tls_vs_format_cef",
        measured,
        f"wall; {count} events, ours confirmed and settled; the rival's lines hold fewer fields, and are not confirmed",
        events_a_second=count * rounds / own,
        rival_events_a_second=count * rounds / sum(r.theirs for r in measured),
        octets_a_line=_mean_octets(ready),
        rival_octets_a_line=_mean_octets([_line(format_cef, event) for event in events[:500]]),
        share_that_arrived_of_all=arrived / (3 * (rounds + 1) * count),
    ).with_old(cef_tls_vs_sysloghandler=sum(only_sending[1:]) / own)


def _mean_octets(lines: Sequence[str]) -> float:
    return sum(len(each.encode("utf-8")) for each in lines) / len(lines)


def _line(format_cef: Any, event: Event) -> str:
    name = event.data.get("summary", "")[:100].replace("\n", " ")
    found = format_cef(
        "SecureScoreConnector", "Secure Score", __version__, event.type, name, event.severity, extensions(event)
    )
    text: str = found.decode("utf-8")
    return text


# ------------------------------------------------------------------------------------------------------------------ HEC


class AsJson(logging.Formatter):
    """What users of logging write to have an event in Splunk as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        assert isinstance(record.msg, Event)
        return json.dumps(cloudevents.document(record.msg))


async def hec(folder: Path, sample: Sequence[Event], rounds: int, count: int, lone: int) -> Figure:
    """A filled outbox drained into a collector; the rival is a logging handler that sends its whole queue at once."""
    handlers = import_module("splunk_handler")  # `make bench` installs it, nothing else needs it
    events = many(sample, count, 0)
    mapping = load_mapping("splunk")
    numbers = iter(range(1_000_000))
    with started("receivers") as server:

        async def theirs() -> float:
            handler = handlers.SplunkHandler(
                host="localhost",
                port=0,
                token=TOKEN,
                index="main",
                flush_interval=3600.0,  # its queue goes once, when it is closed: cheaper than its batches of 0.5 MB
                queue_size=0,
                source="bench",
                sourcetype="ms:securescore",
                url=f"{server.at['url']}/services/collector/event",
                verify=server.at["ca"],
            )
            handler.setFormatter(AsJson())
            log = _logger(handler)
            with wall() as spent:
                for event in events:
                    log.info(event)
                handler.close()
            handlers.instances.remove(handler)
            return spent.seconds

        async with ends.hec(server) as sink:

            async def ours() -> float:
                state, fresh = folder / f"state-{(number := next(numbers))}", many(events, count, number)
                return (await delivered(state, fresh, sink, mapping)).seconds

            measured = await in_turn(ours, theirs, rounds)
            assert server.ask()["events"] == 2 * (rounds + 1) * count
            records = [mapping.render(event) for event in events]
            one_by_one = [await _old_hec(server, sink, records, lone) for _ in range(rounds)]
    return times(
        "hec_vs_logging_handler",
        measured,
        f"wall; {count} events over TLS, ours packed, confirmed and settled; the rival's records are not packed",
        events_a_second=count * rounds / sum(r.ours for r in measured),
        rival_events_a_second=count * rounds / sum(r.theirs for r in measured),
    ).with_old(hec_vs_one_post_an_event=sum(one_by_one) / rounds)


async def _old_hec(server: Any, sink: Any, records: Sequence[Any], lone: int) -> float:
    """How many times faster batches of ready records are than one request an event with ready bytes."""
    collector = Collector(server.at["url"], TOKEN)
    headers = {"Authorization": f"Splunk {TOKEN}", "Content-Type": "application/json"}
    bodies = [line(collector, record).data for record in records[:lone]]
    with wall() as batched:
        for batch in batches(records, sink.max_records):
            receipt = await sink.send(batch)
            assert len(receipt.accepted) == len(batch)
    with wall() as single:
        for body in bodies:
            url = f"{server.at['url']}/services/collector/event"
            answer = await sink._http.request("POST", url, headers=headers, body=body)
            assert answer.status == 200
    return (single.seconds / len(bodies)) / (batched.seconds / len(records))


# ------------------------------------------------------------------------------------------------------------- Sentinel


async def sentinel(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    """A filled outbox drained into a Logs Ingestion endpoint; the rival parses, maps and uploads the same events."""
    from azure.monitor.ingestion.aio import LogsIngestionClient  # noqa: PLC0415 - an extra

    events = many(sample, count, 0)
    texts = [json.dumps(cloudevents.document(event)) for event in events]
    mapping = load_mapping("sentinel")
    ready = [mapping.render(event) for event in events]
    numbers = iter(range(1_000_000))
    shipped_level: list[Spent] = []
    with started("receivers") as server:
        credential: Any = Credential()
        client = LogsIngestionClient(server.at["url"], credential, connection_verify=server.at["ca"])

        async def upload(batch: Sequence[Any]) -> None:
            rows: dict[str, list[Any]] = defaultdict(list)
            for record in batch:
                rows[record.stream].append(record.payload)
            for stream, of_stream in rows.items():
                await client.upload(rule_id=RULE, stream_name=ends.STREAMS[stream], logs=of_stream)

        async def theirs() -> float:
            with cpu() as spent:
                for batch in batches(texts, BATCH):
                    await upload([mapping.render(_event(json.loads(text))) for text in batch])
            return spent.seconds

        async with ends.sentinel(server, SDK_LEVEL) as sink, ends.sentinel(server) as shipped:

            async def ours() -> float:
                state, fresh = folder / f"state-{(number := next(numbers))}", many(events, count, number)
                return (await delivered(state, fresh, sink, mapping)).cpu_s

            measured = await in_turn(ours, theirs, rounds)
            for number in range(rounds):
                fresh = many(events, count, 1000 + number)
                shipped_level.append(await delivered(folder / f"shipped-{number}", fresh, shipped, mapping))
            with cpu() as our_rows:
                for batch in batches(ready, BATCH):
                    assert len((await sink.send(batch)).accepted) == len(batch)
            with cpu() as their_rows:
                for batch in batches(ready, BATCH):
                    await upload(batch)
        taken = server.ask()["events"]
        assert taken == (3 * rounds + 4) * count, taken
        await client.close()
    theirs_s = sum(r.theirs for r in measured)
    return ratio(
        "sentinel_vs_sdk",
        measured,
        f"CPU; {count} events over TLS, gzip level {SDK_LEVEL} on both sides (ours ships with level 1)",
        us_an_event=1e6 * sum(r.ours for r in measured) / rounds / count,
        us_an_event_of_the_sdk=1e6 * theirs_s / rounds / count,
        as_shipped=sum(each.cpu_s for each in shipped_level) / theirs_s,
    ).with_old(sentinel_cpu_vs_sdk=our_rows.seconds / their_rows.seconds)


def _event(document: dict[str, Any]) -> Event:
    """The value that the mapping takes, of what was parsed."""
    values = {name: document[name] for name in ("id", "source", "type", "subject", "time", "data")}
    return Event(**{**values, "type": values["type"].removeprefix(cloudevents.TYPE_PREFIX)})
