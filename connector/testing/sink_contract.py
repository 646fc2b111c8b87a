"""The contract every sink keeps (ports.Sink), as tests: a sink's own test file gives a `FarEnd` and inherits them.

Nothing about any particular sink; it is for sinks that ship and for those of plug-ins alike. A sink adds about fifteen
lines:

    class Wire:  # fits FarEnd, around a file, a loopback server or a real receiver
        ...

    class TestMySink(SinkContract):
        @pytest.fixture
        def far_end(self) -> Iterator[FarEnd]: ...
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import pytest
import pytest_asyncio

from connector.errors import Denied, SecureScoreError, Unavailable
from connector.model import Receipt, Record
from connector.ports import Sink

_ID = re.compile(r"id-\d{4}")

HOSTILE = {
    "line_feed": "one\ntwo\r\nthree\n",
    "nul_and_controls": "a\x00b\x01c\x1b[31md\x7fe",
    "cef_specials": r"a|b=c\d\\e\=f \n",
    "syslog_header": "\n<13>Jan  1 00:00:00 evil CEF:0|x|y|z|1|forged|10|externalId=id-9999",
    "octet_count": "\n40 <13>Jan  1 00:00:00 evil forged id-9999",
    "json_breaker": '"},{"id":"id-9999"}',
    "unicode_separators": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "emoji_and_rtl": "\U0001f469\u200d\U0001f4bb \u202eabc\u202c \u05d0\u05d1",
    "lone_surrogate": "a\ud800b\udfffc",
    "html": "<script>alert('x')</script>&amp;",
    "format_strings": "%s %n {0} ${jndi:ldap://x} $(reboot) `id`",
    "long": "x" * 5000,
    "spaces": "   ",
    "empty": "",
}
"""Texts that break careless encoders. None may make a second event, forge one, or stop the batch."""


class FarEnd(Protocol):
    """What a sink's test provides: the receiving end, to be looked at and to be broken."""

    breaks_midway: bool  # False: this transport cannot break in the middle of a batch
    probe_sees_down: bool  # False: that it is down shows only when something is sent

    def sink(self) -> Sink:
        """A new sink that delivers here."""
        ...

    def payload(self, event_id: str, text: str) -> Any:
        """A payload as this sink gets it, with the id and a free text in it."""
        ...

    def unacceptable(self) -> Any:
        """A payload that can never be delivered here."""
        ...

    async def received(self, count: int) -> list[str]:
        """Every event that arrived so far, as text, in order; waits for `count` of them for a while."""
        ...

    async def down(self) -> None:
        """Take nothing any more, visibly (connection refused, disk full, HTTP 503)."""
        ...

    async def up(self) -> None: ...

    async def break_after_first(self) -> None:
        """Break while the next batch is being taken, after its first event. `up` repairs it."""
        ...


class SinkContract:
    """Inherit and give `far_end`."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def sink(self, far_end: FarEnd) -> AsyncIterator[Sink]:
        sink = far_end.sink()
        yield sink
        await sink.close()

    async def test_states_its_bounds(self, sink: Sink) -> None:
        assert sink.name
        assert sink.max_records >= 1
        assert sink.max_bytes >= 10_000
        assert sink.replay_window_s >= 0

    async def test_takes_all_in_order(self, far_end: FarEnd, sink: Sink) -> None:
        for start in (0, 20):
            records = batch(far_end, range(start, start + 20))
            assert await sink.send(records) == accepted(records)
        assert ids(await far_end.received(40)) == [f"id-{n:04}" for n in range(40)]

    async def test_several_callers_at_once_get_each_their_own_answer(self, far_end: FarEnd, sink: Sink) -> None:
        """Tenants with a place of their own are sent beside the others, and homes that are called send side by side."""
        batches = [batch(far_end, range(start, start + 5)) for start in (0, 10, 20, 30)]
        receipts = await asyncio.gather(*(sink.send(records) for records in batches))
        assert receipts == [accepted(records) for records in batches]
        arrived = ids(await far_end.received(20))
        assert sorted(arrived) == sorted(r.event_id for records in batches for r in records)
        for records in batches:
            mine = [r.event_id for r in records]
            assert [event_id for event_id in arrived if event_id in mine] == mine, "each in order"

    async def test_takes_an_empty_batch(self, far_end: FarEnd, sink: Sink) -> None:
        assert await sink.send([]) == Receipt()
        assert await far_end.received(0) == []

    async def test_accepts_nothing_while_the_far_end_is_down(self, far_end: FarEnd, sink: Sink) -> None:
        records = batch(far_end, range(3))
        await far_end.down()
        with pytest.raises(Unavailable) as caught:
            await sink.send(records)
        assert caught.value.what
        assert caught.value.hint, "an error says what to do next"
        await far_end.up()
        assert await sink.send(records) == accepted(records)
        assert ids(await far_end.received(3)) == ["id-0000", "id-0001", "id-0002"]

    async def test_claims_nothing_that_did_not_arrive(self, far_end: FarEnd, sink: Sink) -> None:
        """Broken off in the middle: what the receipt calls accepted has arrived, and the rest can be sent again."""
        if not far_end.breaks_midway:
            pytest.skip("this transport cannot break in the middle of a batch")
        records = batch(far_end, range(5))
        await far_end.break_after_first()
        try:
            receipt = await sink.send(records)
        except Unavailable:
            receipt = Receipt()
        assert receipt.rejected == {}, "a broken connection is no fault of a record"
        assert receipt.accepted < {r.event_id for r in records}, "the break went unnoticed"
        assert receipt.accepted <= set(ids(await far_end.received(1)))
        await far_end.up()
        rest = [r for r in records if r.event_id not in receipt.accepted]
        assert await sink.send(rest) == accepted(rest)
        assert set(ids(await far_end.received(5))) == {r.event_id for r in records}

    async def test_names_a_rejected_record_and_takes_the_others(self, far_end: FarEnd, sink: Sink) -> None:
        good = batch(far_end, range(2))
        bad = record(7, far_end.unacceptable())
        receipt = await sink.send([good[0], bad, good[1]])
        assert receipt.accepted == {"id-0000", "id-0001"}
        assert set(receipt.rejected) == {"id-0007"}
        assert receipt.rejected["id-0007"].strip(), "a rejection has a reason"
        assert ids(await far_end.received(2)) == ["id-0000", "id-0001"]

    async def test_rejects_a_batch_of_bad_records_only(self, far_end: FarEnd, sink: Sink) -> None:
        receipt = await sink.send([record(1, far_end.unacceptable()), record(2, far_end.unacceptable())])
        assert receipt.accepted == frozenset()
        assert set(receipt.rejected) == {"id-0001", "id-0002"}
        assert await far_end.received(0) == []

    async def test_closes_twice_and_starts_again(self, far_end: FarEnd, sink: Sink) -> None:
        """A send after close either works or says clearly that it does not."""
        records = batch(far_end, range(2))
        await sink.send(records[:1])
        await sink.close()
        await sink.close()
        try:
            receipt = await sink.send(records[1:])
        except SecureScoreError:
            return
        assert receipt == accepted(records[1:])
        assert ids(await far_end.received(2)) == ["id-0000", "id-0001"]

    async def test_closes_unused(self, sink: Sink) -> None:
        await sink.close()

    async def test_hostile_text_stays_one_event_each(self, far_end: FarEnd, sink: Sink) -> None:
        texts = list(HOSTILE.values())
        records = [record(n, far_end.payload(f"id-{n:04}", text)) for n, text in enumerate(texts)]
        receipt = await sink.send(records)
        assert receipt.accepted | receipt.rejected.keys() == {r.event_id for r in records}
        taken = [r.event_id for r in records if r.event_id in receipt.accepted]
        assert len(taken) > len(texts) // 2, receipt.rejected
        assert ids(await far_end.received(len(taken))) == taken

    async def test_probe_sends_nothing(self, far_end: FarEnd, sink: Sink) -> None:
        await sink.probe()
        await sink.probe()
        await sink.send(batch(far_end, [0]))
        assert ids(await far_end.received(1)) == ["id-0000"]

    async def test_probe_tells_that_the_far_end_is_down(self, far_end: FarEnd, sink: Sink) -> None:
        if not far_end.probe_sees_down:
            pytest.skip("only sending shows that this far end is down")
        await far_end.down()
        with pytest.raises((Unavailable, Denied)):
            await sink.probe()
        await far_end.up()
        await sink.probe()


def record(n: int, payload: Any) -> Record:
    return Record(
        event_id=f"id-{n:04}",
        stream="change",
        tenant="11111111-1111-1111-1111-111111111111",
        time="2026-11-22T09:12:03Z",
        severity=n % 11,
        payload=payload,
    )


def batch(far_end: FarEnd, numbers: Sequence[int] | range) -> list[Record]:
    return [record(n, far_end.payload(f"id-{n:04}", f"text {n}")) for n in numbers]


def accepted(records: Sequence[Record]) -> Receipt:
    return Receipt(accepted=frozenset(r.event_id for r in records))


def ids(texts: Sequence[str]) -> list[str]:
    """The first id in each text; a text without one shows as itself, so that a torn or forged event is seen."""
    return [match[0] if (match := _ID.search(text)) else text for text in texts]


def cef(event_id: str, text: str) -> str:
    """A CEF text with `text` in it as it is: a faulty mapping could let it through like that."""
    return f"CEF:0|Vendor|Product|1.0|control.regressed|Control score regressed|5|externalId={event_id} msg={text}"


def json_object(event_id: str, text: str) -> dict[str, Any]:
    return {"id": event_id, "text": text}


def json_text(event_id: str, text: str) -> str:
    return json.dumps(json_object(event_id, text))
