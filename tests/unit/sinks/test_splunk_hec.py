"""The HEC sink against a collector in memory: every answer, isolation, acknowledgement, pace, routing of tenants."""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from connector.config.values import NetworkConfig
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.formats import jsonl
from connector.formats.bodies import packed
from connector.formats.hec import MAX_EVENT_BYTES
from connector.model import Receipt, Record
from connector.net.http import Response
from sinks.splunk import CODES, MAX_BODY_BYTES, Collector, HecSink, Line, Route, build, judge, line
from tests.fake_graph import JumpClock
from tests.fakes.hec import NUMBERS, TEXTS, TOKEN, Fault, Splunk, Token, Wire
from tests.golden import samples

OTHER_TOKEN = "feedface-1111-2222-3333-444444444444"


class Bench:
    """A collector, a sink that sends to it without sockets, and the clock of both."""

    def __init__(self, **options: Any) -> None:
        self.clock = JumpClock()
        self.splunk = Splunk(self.clock)
        self.wire = Wire(self.splunk)
        self.sink = HecSink("splunk", Collector("https://h:8088", TOKEN, **options), self.wire, self.clock)

    async def send(self, records: Sequence[Record]) -> Receipt:
        return await self.sink.send(records)

    async def fails(self, records: Sequence[Record]) -> SecureScoreError:
        with pytest.raises((Unavailable, Denied)) as caught:
            await self.sink.send(records)
        assert caught.value.hint, "an error says what to do next"
        return caught.value

    def stored(self) -> list[str]:
        return [each.event["id"] for each in self.splunk.received]

    def posts(self) -> list[list[str]]:
        """The ids in each request, in order."""
        return [re.findall(r"id-\d+", _plain(each.body)) for each in self.splunk.posts()]


def _plain(body: bytes) -> str:
    return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()


def rec(n: int, tenant: str = "contoso", size: int = 0, **envelope: Any) -> Record:
    event = {"id": f"id-{n}", "tenant": tenant, **({"text": "x" * size} if size else {})}
    return Record(f"id-{n}", "change", tenant, "2026-11-22T09:12:03Z", 3, {"event": event, **envelope})


def recs(count: int, **keys: Any) -> list[Record]:
    return [rec(n, **keys) for n in range(count)]


def ids(records: Sequence[Record]) -> frozenset[str]:
    return frozenset(r.event_id for r in records)


# ------------------------------------------------------------------------------------------------------- every code


def test_the_table_has_every_code() -> None:
    assert list(CODES) == list(range(28))
    assert set(TEXTS) == set(CODES), "the fake speaks them all"


DELIVERED = (0, 24, 25)
HOLD = (1, 2, 3, 4, 7, 16, 21, 22)
RETRY = (8, 9, 10, 11, 14, 17, 18, 19, 20, 23, 26, 27)
ISOLATE = (5, 6, 12, 13, 15)


@pytest.mark.parametrize("code", DELIVERED)
async def test_codes_that_mean_delivered(code: int) -> None:
    bench = Bench()
    bench.splunk.next.append(Fault("code", code))
    assert await bench.send(recs(3)) == Receipt(accepted=ids(recs(3)))
    assert len(bench.posts()) == 1


@pytest.mark.parametrize("code", HOLD)
async def test_codes_the_operator_must_act_on(code: int) -> None:
    bench = Bench()
    bench.splunk.next.append(Fault("code", code))
    error = await bench.fails(recs(3))
    assert isinstance(error, Denied)
    assert f"code {code}: {TEXTS[code][1]}" in error.what
    assert len(bench.posts()) == 1
    assert await bench.send(recs(3)) == Receipt(accepted=ids(recs(3)))


@pytest.mark.parametrize("code", RETRY)
async def test_codes_that_time_heals(code: int) -> None:
    bench = Bench()
    bench.splunk.next.append(Fault("code", code, headers=(("retry-after", "17"),)))
    error = await bench.fails(recs(3))
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 17.0
    assert f"code {code}: {TEXTS[code][1]}" in error.what
    assert await bench.send(recs(3)) == Receipt(accepted=ids(recs(3)))


@pytest.mark.parametrize("numbering", NUMBERS)
@pytest.mark.parametrize("code", ISOLATE)
@pytest.mark.parametrize("bad", [0, 2, 4])
@pytest.mark.parametrize("prefix_indexed", [False, True])
async def test_codes_that_concern_one_event(code: int, bad: int, prefix_indexed: bool, numbering: str) -> None:
    """Whether the events before the bad one were kept is not known: they are sent again, with the same ids."""
    bench = Bench()
    bench.splunk.prefix_indexed, bench.splunk.numbering = prefix_indexed, numbering
    bench.splunk.refuses = lambda event: code if event["id"] == f"id-{bad}" else 0
    receipt = await bench.send(recs(5))
    assert receipt.accepted == ids(recs(5)) - {f"id-{bad}"}
    assert receipt.rejected == {f"id-{bad}": f"Splunk HEC: HTTP 400, code {code}: {TEXTS[code][1]}"}
    assert set(bench.stored()) == receipt.accepted
    assert prefix_indexed or bench.stored() == [f"id-{n}" for n in range(5) if n != bad], "in order, each once"


@pytest.mark.parametrize("numbering", NUMBERS)
async def test_several_bad_events_in_a_batch(numbering: str) -> None:
    bench = Bench()
    bench.splunk.numbering = numbering
    bench.splunk.refuses = lambda event: {"id-1": 6, "id-2": 12, "id-6": 15}.get(event["id"], 0)
    receipt = await bench.send(recs(7))
    assert set(receipt.rejected) == {"id-1", "id-2", "id-6"}
    assert bench.stored() == ["id-0", "id-3", "id-4", "id-5"], "in order"


@pytest.mark.parametrize("numbering", NUMBERS)
@pytest.mark.parametrize("bad", [0, 1, 777, 998, 999])
async def test_one_bad_event_of_a_thousand_is_found_in_few_requests(numbering: str, bad: int) -> None:
    bench = Bench()
    bench.splunk.numbering = numbering
    bench.splunk.refuses = lambda event: 6 if event["id"] == f"id-{bad}" else 0
    assert set((await bench.send(recs(1000))).rejected) == {f"id-{bad}"}
    alone = [f"id-{bad}"] in bench.posts()
    assert alone, "nothing is parked that was not refused by itself"
    assert len(bench.posts()) <= (5 if numbering in ("from 0", "from 1") else 1 + 4 + 2 * 10)


async def test_a_number_that_was_wrong_once_is_not_followed_again() -> None:
    bench = Bench()
    bench.splunk.numbering = "constant 1"
    for start in range(0, 5000, 1000):
        bad = f"id-{start + 700}"
        bench.splunk.refuses = lambda event, bad=bad: 6 if event["id"] == bad else 0  # type: ignore[misc]
        assert set((await bench.send([rec(n) for n in range(start, start + 1000)])).rejected) == {bad}
    assert [len(post) for post in bench.posts()].count(1) < 5 * 3, "only what halving leaves alone"


@pytest.mark.parametrize("number", [-1, "1", True, 1.0, [1], {"n": 1}, 10**30])
async def test_a_number_that_is_none(number: Any) -> None:
    bench = Bench()
    bench.splunk.refuses = lambda event: 6 if event["id"] == "id-5" else 0
    bench.sink._http = Renumbering(bench.wire, number)
    receipt = await bench.send(recs(8))
    assert receipt.accepted == ids(recs(8)) - {"id-5"}
    assert set(receipt.rejected) == {"id-5"}
    assert bench.stored() == [f"id-{n}" for n in range(8) if n != 5], "in order, each once"


class Renumbering:
    """A transport that changes what the collector calls the number of the bad event."""

    def __init__(self, wire: Wire, number: Any) -> None:
        self._wire = wire
        self._number = number

    async def request(self, method: str, url: str, **keys: Any) -> Response:
        found = await self._wire.request(method, url, **keys)
        body = json.loads(found.body)
        if "invalid-event-number" in body:
            body["invalid-event-number"] = self._number
        return Response(found.status, found.headers, json.dumps(body).encode(), found.at)

    async def close(self) -> None:
        await self._wire.close()


@pytest.mark.parametrize("numbering", NUMBERS)
@pytest.mark.parametrize("count", [1, 4, 1000])
async def test_when_everything_is_refused_from_the_start_nothing_is_parked(numbering: str, count: int) -> None:
    """A proxy that eats bodies, a collector that cannot read gzip: the fault is not in these events.

    Time or an operator heals it, and which is not known: the loop must go on to offer what lies behind (Unavailable).
    """
    bench = Bench()
    bench.splunk.numbering = numbering
    bench.splunk.refuses = lambda _event: 6
    error = await bench.fails(recs(count))
    assert isinstance(error, Unavailable)
    assert "every event is refused" in error.what
    assert len(bench.posts()) <= 100, "found out without asking for each"
    bench.splunk.refuses = lambda _event: 0
    assert (await bench.send(recs(count))).accepted == ids(recs(count))


async def test_once_something_was_taken_bad_events_are_bad_events() -> None:
    bench = Bench()
    await bench.send([rec(9)])
    bench.splunk.refuses = lambda _event: 13
    assert set((await bench.send(recs(3))).rejected) == ids(recs(3))


async def test_a_collector_that_begins_to_refuse_everything_is_what_is_wrong() -> None:
    bench = Bench()
    await bench.send([rec(9)])
    bench.splunk.refuses = lambda _event: 5
    error = await bench.fails(recs(1000))
    assert "every event is refused" in error.what
    assert len(bench.posts()) <= 100


async def test_a_long_row_of_bad_events_hides_no_good_one_behind_it() -> None:
    bench = Bench()
    bench.splunk.refuses = lambda event: 6 if int(event["id"][3:]) < 100 else 0
    receipt = await bench.send(recs(200))
    assert set(receipt.rejected) == ids(recs(100))
    assert receipt.accepted == ids(recs(200)) - ids(recs(100))


async def test_one_that_is_taken_tells_that_the_others_are_too_large() -> None:
    bench = Bench()
    bench.splunk.max_content_length = 2_000
    receipt = await bench.send([rec(0, size=3_000), rec(1, fields={"a": 1}), rec(2, size=3_000)])
    assert receipt.accepted == {"id-1"}
    assert set(receipt.rejected) == {"id-0", "id-2"}


@pytest.mark.parametrize("numbering", NUMBERS)
async def test_a_wrong_index_holds_back_its_events_only(numbering: str) -> None:
    bench = Bench()
    bench.splunk.numbering = numbering
    bench.splunk.indexes = {"main", "a"}
    records = [rec(0, index="a"), rec(1, index="gone"), rec(2), rec(3, index="gone"), rec(4, index="a")]
    assert await bench.send(records) == Receipt(accepted=frozenset({"id-0", "id-2", "id-4"}))
    error = await bench.fails([rec(1, index="gone"), rec(3, index="gone")])
    assert isinstance(error, Denied)
    assert "(gone)" in error.what
    bench.splunk.indexes.add("gone")
    assert (await bench.send([rec(1, index="gone")])).accepted == {"id-1"}


@pytest.mark.parametrize("numbering", ["as reported", "absent"])
async def test_hundreds_of_wrong_indexes_cost_few_requests_and_hide_no_right_one(numbering: str) -> None:
    """A token that lost its indexes: nobody's is right, or one that stands last."""
    bench = Bench()
    bench.splunk.numbering = numbering
    records = [rec(n, index=f"gone-{n % 300}") for n in range(999)]
    assert isinstance(await bench.fails(records), Denied)
    assert len(bench.posts()) <= 100
    receipt = await bench.send([*records, rec(999, index="main")])
    assert receipt == Receipt(accepted=frozenset({"id-999"}))


async def test_a_wish_to_be_left_alone_comes_with_what_was_taken_before_it() -> None:
    records = recs(3, size=400_000)
    bench = Bench()
    bench.splunk.next.extend([Fault("code", 0), Fault("code", 26, headers=(("retry-after", "60"),))])
    receipt = await bench.send(records)
    assert receipt.accepted == ids(records[:2])
    assert receipt.retry_after_s == 60.0
    bench = Bench(routes={"fabrikam": Route(token=OTHER_TOKEN)})
    bench.splunk.next.extend([Fault("code", 0), Fault("code", 26, headers=(("retry-after", "60"),))])
    receipt = await bench.send([rec(0), rec(1, "fabrikam")])
    assert receipt == Receipt(frozenset({"id-0"})), "one token of several need not slow all"


async def test_what_time_heals_is_told_before_what_the_operator_must_do() -> None:
    """Else a wrong index of one customer would put everybody on hold while the collector is only busy."""
    bench = Bench(routes={"fabrikam": Route(token=OTHER_TOKEN)})
    bench.splunk.next.extend([Fault("code", 7), Fault("code", 9)])
    error = await bench.fails([rec(0, "contoso"), rec(1, "fabrikam")])
    assert isinstance(error, Unavailable)


# ------------------------------------------------------------------------------------------------ answers of others


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>Please sign in</html>", Unavailable),
        (200, b"", Unavailable),
        (200, b'{"text":"Success"}', Unavailable),
        (200, b'{"text":"Success","code":"0"}', Unavailable),
        (200, b'{"text":"Success","code":false}', Unavailable),
        (200, b"[0]", Unavailable),
        (200, b'{"code":0', Unavailable),
        (200, b"[" * 100_000, Unavailable),
        (500, b'{"text":"Success","code":0}', Unavailable),
        (502, b"<html>Bad Gateway</html>", Unavailable),
        (503, b"", Unavailable),
        (504, b"", Unavailable),
        (408, b"", Unavailable),
        (429, b"", Unavailable),
        (400, b"<html>Bad Request</html>", Denied),
        (404, b'{"code":5,"message":"Not Found"}', Denied),  # a gateway's own numbers are not HEC's
        (503, b'{"code":6,"text":"mine"}', Unavailable),
        (401, b"", Denied),
        (403, b"", Denied),
        (404, b"", Denied),
        (405, b'{"text":"The requested URL was not found on this server.","code":404}', Denied),
        (407, b"", Denied),
        (301, b"", Denied),
        (400, b'{"text":"who knows","code":28}', Denied),
        (503, b'{"text":"who knows","code":28}', Unavailable),
    ],
)
def test_answers_that_are_not_the_collectors_are_judged_by_status(
    status: int, body: bytes, error: type[SecureScoreError]
) -> None:
    verdict = judge(Response(status, {}, body, JumpClock().now()))
    assert type(verdict.error()) is error
    assert verdict.kind in ("retry", "hold")
    assert f"HTTP {status}" in verdict.fact
    assert verdict.hint


def test_a_collectors_words_are_bounded_and_on_one_line() -> None:
    body = json.dumps({"text": "a\nb\x00" + "x" * 5000, "code": 9}).encode()
    fact = judge(Response(503, {}, body, JumpClock().now())).fact
    assert len(fact) < 300
    assert fact.isprintable()


async def test_413_halves_the_batch_and_remembers() -> None:
    bench = Bench()
    bench.splunk.max_content_length = 70_000
    records = recs(100, size=2000)
    assert (await bench.send(records)).accepted == ids(records)
    assert bench.stored() == [r.event_id for r in records], "in order, each once"
    before = len(bench.splunk.posts())
    assert (await bench.send(records)).accepted == ids(records)
    again = bench.splunk.posts()[before:]
    assert all(each.size <= 70_000 for each in again), "no second 413"


async def test_an_event_that_is_too_large_alone_is_rejected() -> None:
    bench = Bench()
    bench.splunk.max_content_length = 5_000
    receipt = await bench.send([rec(0), rec(1, size=6_000), rec(2)])
    assert receipt.accepted == {"id-0", "id-2"}
    assert "too large" in receipt.rejected["id-1"]


async def test_415_without_gzip_is_the_operators() -> None:
    bench = Bench()
    bench.splunk.next.extend([Fault("html", 415), Fault("html", 415)])
    assert isinstance(await bench.fails(recs(1)), Denied)


# ------------------------------------------------------------------------------------------------------------- batches


def test_bodies_stay_below_the_limit_and_hold_whole_events() -> None:
    lines = [Line(str(n), "", None, b"x" * (n * 37 % 400 + 1)) for n in range(500)]
    batches = packed(lines, 1000)
    assert [each for batch in batches for each in batch] == lines
    assert all(len(b"\n".join(each.data for each in batch)) <= 1000 for batch in batches)
    assert len(batches) < 150, "and they are well filled"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"index": "sec"},
        {"index": 's \u00e9"c', "host": "h", "source": "s", "sourcetype": "t"},
        {"routes": {"contoso": Route(index="theirs", token=OTHER_TOKEN)}, "index": "ours"},
        {"unrouted": "reject"},
    ],
)
@pytest.mark.parametrize("form", ["splunk", "ocsf", "ecs"])
def test_a_line_is_the_same_whether_its_octets_were_known_or_not(form: str, options: Mapping[str, Any]) -> None:
    collector = Collector("https://h:8088", TOKEN, **options)
    for name in samples.names():
        record = samples.mapping(form).render(samples.event(name))
        if record.payload:
            assert _line_of(collector, record) == _line_of(collector, evolve(record, encoded=None))


@pytest.mark.parametrize(
    "changed",
    [
        {"time": "1.79e9"},
        {"time": 1795338723},
        {"time": "\u0661"},
        {"host": ""},
        {"source": None},
        {"event": {}},
        {"event": 0},
        {"index": "own"},
        {"fields": {"a": {}}},
        {"more": 1},
        {"ecs": {"version": "9"}},
    ],
)
def test_what_is_no_whole_envelope_is_completed_or_refused_all_the_same(changed: Mapping[str, Any]) -> None:
    collector = Collector("https://h:8088", TOKEN, index="ours", host="h", source="s")
    whole = {"time": "1795338723.000", "host": "a", "source": "b", "sourcetype": "c", "event": {"id": "x"}}
    for payload in ({**whole, **changed}, {key: whole[key] for key in whole if key not in changed}):
        record = Record("x", "change", "contoso", "2026-11-22T09:12:03Z", 3, payload, jsonl.dumps(payload).encode())
        assert _line_of(collector, record) == _line_of(collector, evolve(record, encoded=None))


def _line_of(collector: Collector, record: Record) -> Line | str:
    try:
        return line(collector, record)
    except ValueError as error:
        return str(error)


def test_an_event_that_grows_beyond_the_limit_by_its_index_is_refused() -> None:
    payload = {"time": "1.000", "host": "a", "source": "b", "sourcetype": "c", "event": "x" * (MAX_EVENT_BYTES - 72)}
    record = Record("x", "change", "", "", 3, payload, jsonl.dumps(payload).encode())
    assert len(line(Collector("https://h:8088", TOKEN), record).data) <= MAX_EVENT_BYTES
    with pytest.raises(ValueError, match="collectors take events of up to"):
        line(Collector("https://h:8088", TOKEN, index="own"), record)


def test_an_exactly_fitting_body_is_one() -> None:
    two = [Line("a", "", None, b"x" * 499), Line("b", "", None, b"y" * 500)]
    assert packed(two, 1000) == [two]
    assert packed(two, 999) == [two[:1], two[1:]]


def test_a_line_above_the_limit_goes_alone() -> None:
    lines = [Line(name, "", None, b"x" * size) for name, size in (("a", 10), ("b", 2000), ("c", 10))]
    assert packed(lines, 1000) == [[each] for each in lines]


async def test_a_large_batch_becomes_requests_of_900_kb() -> None:
    bench = Bench()
    records = recs(300, size=9_000)
    assert (await bench.send(records)).accepted == ids(records)
    sizes = [each.size for each in bench.splunk.posts()]
    assert len(sizes) == 4
    assert all(size <= MAX_BODY_BYTES for size in sizes)


async def test_an_event_no_collector_takes_is_not_even_sent() -> None:
    bench = Bench()
    receipt = await bench.send([rec(0, size=5_000_001), rec(1)])
    assert receipt.accepted == {"id-1"}
    assert "5000000" in receipt.rejected["id-0"]


# ---------------------------------------------------------------------------------------------------------------- pace


async def test_nearly_full_halves_the_rate_until_it_is_over() -> None:
    bench = Bench()
    bench.splunk.load = 24
    for n in range(8):
        assert (await bench.send([rec(n)])).accepted == {f"id-{n}"}
    assert bench.clock.slept == [1, 2, 4, 8, 16, 30, 30]
    bench.splunk.load = 0
    for n in range(8, 16):
        await bench.send([rec(n)])
    assert bench.clock.slept[7:] == [30, 15, 7.5, 3.75, 1.875, 0.9375]


async def test_an_empty_batch_waits_for_nothing() -> None:
    bench = Bench()
    bench.splunk.load = 25
    await bench.send([rec(1)])
    assert await bench.send([]) == Receipt()
    assert bench.clock.slept == []


# ----------------------------------------------------------------------------------------------------- acknowledgement


def with_acks(bench: Bench, after_s: float = 3.0) -> Bench:
    bench.splunk.tokens[TOKEN] = Token(ack=True)
    bench.splunk.acks_after_s = after_s
    return bench


@pytest.mark.parametrize("ack", ["auto", "on"])
async def test_delivered_means_indexed(ack: str) -> None:
    bench = with_acks(Bench(ack=ack))
    receipt = await bench.send(recs(3))
    assert receipt.accepted == ids(recs(3))
    assert {each.event["id"] for each in bench.splunk.indexed} == receipt.accepted
    assert sum(bench.clock.slept) >= 3.0


async def test_off_asks_for_nothing() -> None:
    bench = with_acks(Bench(ack="off"))
    assert (await bench.send(recs(3))).accepted == ids(recs(3))
    assert len(bench.splunk.asked) == 1


async def test_auto_without_acknowledgement_is_delivered_at_200() -> None:
    bench = Bench(ack="auto")
    assert (await bench.send(recs(3))).accepted == ids(recs(3))
    assert len(bench.splunk.asked) == 1


async def test_on_refuses_a_token_without_acknowledgement_before_anything_is_sent() -> None:
    bench = Bench(ack="on")
    for _ in range(2):
        error = await bench.fails(recs(3))
        assert isinstance(error, Denied)
        assert "ACK is disabled" in error.what
    assert bench.posts() == []
    with pytest.raises(Denied, match="ACK is disabled"):
        await bench.sink.probe()
    with_acks(bench)
    assert (await bench.send(recs(3))).accepted == ids(recs(3))


async def test_on_notices_that_acknowledgement_was_switched_off_after_one_batch() -> None:
    bench = with_acks(Bench(ack="on"))
    await bench.send([rec(0)])
    bench.splunk.tokens[TOKEN].ack = False
    for _ in range(3):
        assert isinstance(await bench.fails([rec(1)]), Denied)
    assert bench.stored().count("id-1") == 1, "not one copy for every attempt"


async def test_the_polls_get_rarer_and_end() -> None:
    bench = with_acks(Bench(), after_s=1e9)
    error = await bench.fails(recs(3))
    assert isinstance(error, Unavailable)
    assert "not acknowledged" in error.what
    assert bench.clock.slept == [1, 2, 4, 8, *[10] * 26]
    assert sum(bench.clock.slept) < 600, "a collector forgets a channel after that"


async def test_what_was_never_acknowledged_comes_again_on_another_channel() -> None:
    """A restarted collector says false for ever; acknowledged numbers begin at 0 again."""
    bench = with_acks(Bench())
    bench.splunk.next.append(Fault("restart_after"))
    await bench.fails(recs(2))
    assert bench.splunk.indexed == []
    assert (await bench.send(recs(2))).accepted == ids(recs(2))
    assert {each.event["id"] for each in bench.splunk.indexed} == ids(recs(2))
    first, *_, last = (each.headers["x-splunk-request-channel"] for each in bench.splunk.posts())
    assert first != last


async def test_a_restart_between_two_requests_never_makes_one_answer_stand_for_both() -> None:
    """Both requests get number 0; only the second one is indexed."""
    bench = with_acks(Bench())
    records = recs(150, size=9_000)
    bench.splunk.next.extend([Fault("restart_after", path="/event")])
    receipt = await bench.send(records)
    indexed = {each.event["id"] for each in bench.splunk.indexed}
    assert receipt.accepted == indexed
    assert 0 < len(indexed) < 150
    rest = [r for r in records if r.event_id not in receipt.accepted]
    await bench.send(rest)
    assert {each.event["id"] for each in bench.splunk.indexed} == ids(records)


async def test_a_lost_answer_to_a_poll_is_asked_for_again() -> None:
    bench = with_acks(Bench())
    bench.splunk.next.extend([Fault("code", 9, "/ack"), Fault("html", 502, "/ack"), Fault("hang_before", path="/ack")])
    assert (await bench.send(recs(2))).accepted == ids(recs(2))


async def test_an_acknowledgement_that_is_told_once_and_lost_leads_to_a_second_copy_not_to_loss() -> None:
    bench = with_acks(Bench(), after_s=0)
    bench.splunk.next.extend([Fault("restart", path="/event"), Fault("cut_after", path="/ack")])
    await bench.fails(recs(1))
    assert (await bench.send(recs(1))).accepted == ids(recs(1))
    assert bench.stored() == ["id-0", "id-0"]


@pytest.mark.parametrize("gone", ["disabled", "no endpoint"])
async def test_auto_gives_up_asking_where_nobody_answers(gone: str) -> None:
    bench = with_acks(Bench())
    if gone == "disabled":
        bench.splunk.next.append(Fault("code", 14, "/ack"))
    else:
        bench.splunk.has_ack_endpoint = False
    assert (await bench.send(recs(2))).accepted == ids(recs(2))
    before = len(bench.splunk.asked)
    bench.splunk.tokens[TOKEN].ack = gone != "disabled"
    assert (await bench.send([rec(7)])).accepted == {"id-7"}
    assert len(bench.splunk.asked) == before + 1, "asked no more"


async def test_a_token_that_is_revoked_while_asking_is_the_operators() -> None:
    bench = with_acks(Bench())
    bench.splunk.next.append(Fault("code", 4, "/ack"))
    assert isinstance(await bench.fails(recs(2)), Denied)


async def test_cookies_keep_the_client_on_the_node_that_knows() -> None:
    bench = with_acks(Bench())
    bench.splunk.nodes = 3
    for n in range(4):
        assert (await bench.send([rec(n)])).accepted == {f"id-{n}"}
    cookies = [each.headers.get("cookie") for each in bench.splunk.asked]
    assert cookies[0] is None
    assert set(cookies[1:]) == {"AWSALB=1; AWSALBCORS=1"}


async def test_a_load_balancer_that_insists_on_its_cookie_gets_it_next_time() -> None:
    bench = Bench()
    bench.splunk.wants_cookie = True
    assert isinstance(await bench.fails(recs(1)), Unavailable), "this heals, no operator is needed"
    assert (await bench.send(recs(1))).accepted == ids(recs(1))


async def test_hostile_cookies_are_left_alone() -> None:
    bench = Bench()
    crowd = tuple(("set-cookie", f"c{n}=1") for n in range(200))
    bench.splunk.next.append(Fault("code", 0, headers=(("set-cookie", "big=" + "x" * 9000), *crowd)))
    await bench.send([rec(0)])
    await bench.send([rec(1)])
    assert len(bench.splunk.asked[1].headers["cookie"]) < 200


# -------------------------------------------------------------------------------------------------------------- probe


@pytest.mark.parametrize(("load", "error"), [(0, None), *[(code, Unavailable) for code in (18, 19, 20, 23, 9, 26)]])
async def test_probe_asks_for_health(load: int, error: type[SecureScoreError] | None) -> None:
    bench = Bench()
    bench.splunk.load = load
    if error is None:
        await bench.sink.probe()
    else:
        with pytest.raises(error) as caught:
            await bench.sink.probe()
        assert caught.value.hint
    assert [each.path for each in bench.splunk.asked] == ["/services/collector/health"]


@pytest.mark.parametrize("token", [None, Token(enabled=False)])
async def test_probe_tries_every_token(token: Token | None) -> None:
    bench = Bench(routes={"contoso": Route(token=OTHER_TOKEN)})
    if token is not None:
        bench.splunk.tokens[OTHER_TOKEN] = token
    with pytest.raises(Denied, match=r"code 2[12]"):
        await bench.sink.probe()


async def test_probe_believes_no_portal() -> None:
    bench = Bench()
    bench.splunk.next.append(Fault("html", 200))
    with pytest.raises(Unavailable):
        await bench.sink.probe()


# ------------------------------------------------------------------------------------------------- customers of an MSP


def where(splunk: Splunk) -> dict[str, set[tuple[str, str]]]:
    """Tenant → the (token, index) pairs its events arrived by."""
    found: dict[str, set[tuple[str, str]]] = {}
    for each in splunk.received:
        found.setdefault(each.event["tenant"], set()).add((each.token, each.index))
    return found


MIXED = [
    rec(0, "contoso"),
    rec(1, "fabrikam"),
    rec(2, "contoso", index="fabrikam-idx"),  # what a payload asks for does not beat the route
    rec(3, "adatum", index="adatum-idx"),
    rec(4, ""),
    rec(5, "tailspin"),
    rec(6, "fabrikam"),
]
ROUTES: Mapping[str, Route] = {
    "contoso": Route(index="contoso-idx"),
    "fabrikam": Route(index="fabrikam-idx", token=OTHER_TOKEN),
    "tailspin": Route(token=OTHER_TOKEN),
}


def multi_tenant(**options: Any) -> Bench:
    bench = Bench(index="main", routes=ROUTES, **options)
    bench.splunk.indexes = {"main", "contoso-idx", "fabrikam-idx", "adatum-idx", "tailspin-idx"}
    bench.splunk.tokens[OTHER_TOKEN] = Token(index="tailspin-idx")
    return bench


async def test_each_customer_reaches_its_own_index_only() -> None:
    bench = multi_tenant()
    assert (await bench.send(MIXED)).accepted == ids(MIXED)
    assert where(bench.splunk) == {
        "contoso": {(TOKEN, "contoso-idx")},
        "fabrikam": {(OTHER_TOKEN, "fabrikam-idx")},
        "adatum": {(TOKEN, "adatum-idx")},
        "": {(TOKEN, "main")},
        "tailspin": {(OTHER_TOKEN, "tailspin-idx")},  # the default of its own token, never the sink's index
    }


async def test_customers_stay_apart_when_requests_are_halved_and_repeated() -> None:
    bench = multi_tenant()
    bench.splunk.max_content_length = 20_000
    bench.splunk.refuses = lambda event: 6 if event["id"].endswith("7") else 0
    records = [rec(n, ("contoso", "fabrikam", "", "tailspin")[n % 4], size=1_000) for n in range(120)]
    receipt = await bench.send(records)
    assert len(receipt.rejected) == 12
    assert len(receipt.accepted) == 108
    assert where(bench.splunk) == {
        "contoso": {(TOKEN, "contoso-idx")},
        "fabrikam": {(OTHER_TOKEN, "fabrikam-idx")},
        "": {(TOKEN, "main")},
        "tailspin": {(OTHER_TOKEN, "tailspin-idx")},
    }


async def test_tenants_without_a_place_of_their_own_can_be_refused() -> None:
    bench = multi_tenant(unrouted="reject")
    receipt = await bench.send([*MIXED, rec(9, "wingtip")])
    assert receipt.accepted == ids(MIXED)
    assert set(receipt.rejected) == {"id-9"}
    assert "wingtip" in receipt.rejected["id-9"]


@pytest.mark.parametrize("records", [MIXED, MIXED[::-1]], ids=["last", "first"])
async def test_one_customers_dead_token_does_not_stop_the_others(records: list[Record]) -> None:
    bench = multi_tenant()
    bench.splunk.tokens[OTHER_TOKEN].enabled = False
    receipt = await bench.send(records)
    assert receipt.accepted == {"id-0", "id-2", "id-3", "id-4"}
    assert receipt.rejected == {}
    error = await bench.fails([rec(1, "fabrikam")])
    assert isinstance(error, Denied)
    bench.splunk.tokens[OTHER_TOKEN].enabled = True
    assert (await bench.send([rec(1, "fabrikam")])).accepted == {"id-1"}


async def test_tokens_have_channels_and_acknowledgements_of_their_own() -> None:
    bench = multi_tenant()
    bench.splunk.tokens[TOKEN].ack = bench.splunk.tokens[OTHER_TOKEN].ack = True
    assert (await bench.send(MIXED)).accepted == ids(MIXED)
    channels = {
        (each.headers["authorization"], each.headers["x-splunk-request-channel"]) for each in bench.splunk.asked
    }
    assert len(channels) == 2


async def test_build_takes_routes_by_tenant_name() -> None:
    sink = build(
        "splunk",
        {"url": "https://h:8088", "token": TOKEN, "index": "main"},
        NetworkConfig(),
        {"contoso": {"index": "contoso-idx", "token": OTHER_TOKEN}},
    )
    assert sink._collector.routes == {"contoso": Route("contoso-idx", OTHER_TOKEN)}
    assert OTHER_TOKEN not in repr(sink._collector)
    assert TOKEN not in repr(sink._collector)
