"""The whole path of a delivered event, from the outbox until it is settled, against one `json.dumps` of the event.

Nothing that a delivery needs stands outside: reading the outbox, filter, mapping, encoding, gzip, the request, its
answer and the settlement. The far ends are other processes, so their work is not counted. The outbox is a backlog:
nothing of it is remembered from its commit.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connector.formats import cloudevents
from connector.mapping.load import load_mapping
from connector.model import Event
from tests.bench import ends
from tests.bench.measure import Figure, Spent, cpu, in_turn, ratio
from tests.bench.sample import delivered, many, without_inventory
from tests.bench.servers import started
from tests.real.receivers import Tail, rsyslog


def json_dumps(events: Sequence[Event]) -> float:
    """The yardstick: CPU of the standard library writing these events, as their CloudEvents objects."""
    documents = [cloudevents.document(event) for event in events]
    with cpu() as spent:
        for document in documents:
            json.dumps(document)
    return spent.seconds


async def _path(key: str, folder: Path, events: Sequence[Event], rounds: int, sink: Any, form: str) -> Figure:
    mapping = load_mapping(form)
    numbers = iter(range(1_000_000))
    own: list[Spent] = []

    async def ours() -> float:
        number = next(numbers)
        own.append(await delivered(folder / f"state-{number}", many(events, len(events), number), sink, mapping))
        return own[-1].cpu_s

    async def theirs() -> float:
        return json_dumps(events)

    measured = await in_turn(ours, theirs, rounds)
    method = (
        f"CPU; {len(events)} events of a backlog, mapping {form}, batches of {sink.max_records}; filter, rendering, "
        "encoding, packing, sending and settling included"
    )
    return ratio(
        key,
        measured,
        method,
        us_an_event=_us([r.ours for r in measured], len(events)),
        us_of_json_dumps=_us([r.theirs for r in measured], len(events)),
        events_a_second=len(events) * rounds / sum(each.seconds for each in own[1:]),
    )


async def hec(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    events = many(sample, count, 0)
    with started("receivers") as server:
        async with ends.hec(server) as sink:
            found = await _path("hec_path_vs_json_dumps", folder, events, rounds, sink, "splunk")
        assert server.ask()["events"] == (rounds + 1) * count
    return found


async def sentinel(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    events = many(sample, count, 0)
    with started("receivers") as server:
        async with ends.sentinel(server) as sink:
            found = await _path("sentinel_path_vs_json_dumps", folder, events, rounds, sink, "sentinel")
        assert server.ask()["events"] == (rounds + 1) * count
    return found


async def webhook(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    events = many(without_inventory(sample), count, 0)
    with started("receivers") as server:
        async with ends.webhook(server) as sink:
            found = await _path("webhook_ocsf_path_vs_json_dumps", folder, events, rounds, sink, "ocsf")
        assert server.ask()["events"] == (rounds + 1) * count
    return found


async def cef(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    events = many(without_inventory(sample), count, 0)
    with rsyslog(folder / "rsyslog") as server:
        tail = Tail(server.plain_file)
        async with ends.syslog(server, tls=False) as sink:
            found = await _path("cef_path_vs_json_dumps", folder, events, rounds, sink, "cef")
        arrived = len(tail.wait((rounds + 1) * count, quiet_s=2.0))
    assert arrived == (rounds + 1) * count, arrived
    return found


def _us(seconds: Sequence[float], count: int) -> float:
    return 1e6 * sum(seconds) / len(seconds) / count
