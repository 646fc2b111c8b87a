"""Receivers that mean harm: whatever one answers costs one attempt of its own sink, in bounded time, and no secret."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from connector.config.values import NetworkConfig
from connector.errors import Denied, Unavailable
from connector.foreign.characters import harmless
from connector.model import Receipt, Record
from connector.ports import Sink
from sinks import splunk, syslog, webhook
from tests.fakes.hostile import STREAMS, WAYS, Hostile, Way, hostile

SECRET = "c0ffee00-1111-2222-3333-444444444444"
TIMEOUT_S = 1.0
LONGEST_S = 50.0
NETWORK = NetworkConfig(timeout_s=TIMEOUT_S)
RECORDS: Mapping[str, Any] = {
    "splunk_hec": {"event": {"a": 1}},
    "webhook": '{"id":"1"}',
    "syslog": "CEF:0|a|b|1|c|d|1|msg=x",
}


def record(kind: str) -> Record:
    return Record("id-1", "change", "t", "2026-11-22T09:12:03Z", 5, RECORDS[kind])


def sink(kind: str, far: Hostile, **options: Any) -> Sink:
    if kind == "splunk_hec":
        return splunk.build("s", {"url": far.url, "token": SECRET, **options}, NETWORK)
    if kind == "webhook":
        return webhook.build("s", {"url": f"{far.url}/hook", "authorization": f"Bearer {SECRET}"}, NETWORK)
    built = syslog.build("s", {"host": "127.0.0.1", "port": far.port, **options}, NETWORK)
    return syslog.SyslogSink("s", built._receiver, wait_s=TIMEOUT_S)


async def attempt(way: str, made: Sink, kind: str) -> str:
    """What became of one attempt, in words. Anything but a receipt or our errors is raised."""
    try:
        found = await asyncio.wait_for(made.send([record(kind)]), LONGEST_S)
        assert isinstance(found, Receipt)
        said = " ".join(found.rejected.values())
    except (Unavailable, Denied) as error:
        said = f"{error.what} {error.hint}"
    except TimeoutError:
        pytest.fail(f"{way}: no end in {LONGEST_S} s")
    assert harmless(said) == said, f"{way}: {said!r}"
    assert len(said) < 1500, way
    assert SECRET not in said, way
    return said


@asynccontextmanager
async def all_of(ways: Mapping[str, Way], *, stream: bool = False) -> AsyncIterator[dict[str, Hostile]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(hostile(way, stream=stream)) for name, way in ways.items()}


@pytest.mark.parametrize("kind", ["splunk_hec", "webhook"])
async def test_answers_of_all_at_once_cost_one_attempt_each(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with all_of(WAYS) as far:
        sinks = {way: sink(kind, each) for way, each in far.items()}
        found = await asyncio.gather(*(attempt(way, each, kind) for way, each in sinks.items()))
        for each in sinks.values():
            await each.close()
    assert len(found) == 38
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if harmless(line) != line or SECRET in line] == []


@pytest.mark.parametrize("options", [{"ack": "on"}, {"ack": "off"}])
async def test_a_collector_that_acknowledges_nonsense(options: dict[str, Any]) -> None:
    async with all_of({way: WAYS[way] for way in WAYS if "ack" in way or "code" in way}) as far:
        for way, each in far.items():
            made = sink("splunk_hec", each, **options)
            await attempt(way, made, "splunk_hec")
            await made.close()


async def test_receivers_of_lines_cost_one_attempt_each() -> None:
    async with all_of(STREAMS, stream=True) as far:
        sinks = {
            way: sink("syslog", each, transport="relp" if way.startswith("RELP") else "tcp")
            for way, each in far.items()
        }
        said = await asyncio.gather(*(attempt(way, each, "syslog") for way, each in sinks.items()))
        for each in sinks.values():
            await each.close()
    refused = [words for way, words in zip(sinks, said, strict=True) if way.startswith("RELP")]
    assert all(refused), "none of them took anything"


async def test_what_reflects_the_request_brings_no_secret_into_an_error() -> None:
    async with all_of({"the request as an error": WAYS["the request as an error"]}) as far:
        for kind in ("splunk_hec", "webhook"):
            for way, each in far.items():
                made = sink(kind, each)
                said = await attempt(way, made, kind)
                await made.close()
                assert SECRET.encode() in each.asked[-1], "it was sent, or nothing could be reflected"
                assert said


async def test_cookies_are_bounded_in_sum_and_dropped_with_a_refusal() -> None:
    """Whoever refuses may refuse because of them: else a heap of cookies closes the way for good."""
    async with all_of({"cookies": WAYS["cookies that nobody takes back"]}) as far:
        made = sink("splunk_hec", far["cookies"], ack="off")
        for _ in range(2):
            await attempt("cookies", made, "splunk_hec")
        await made.close()
        heads = [request.partition(b"\r\n\r\n")[0] for request in far["cookies"].asked]
    assert len(heads) >= 2
    assert max(len(head) for head in heads) < 6000
