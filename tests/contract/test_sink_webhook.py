"""The webhook sink: the contract in both modes, and its own: signatures, statuses, what is refused, redirects."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from connector.config.values import NetworkConfig
from connector.errors import ConfigError, Denied, Unavailable
from connector.model import Receipt, Record
from connector.net.client import Http
from connector.options import TYPES
from connector.ports import Start
from connector.stores.sqlite import open_store
from connector.testing.sink_contract import SinkContract, accepted, ids, json_text, record
from sinks.webhook import OPTIONS, REFUSED_IN_A_ROW, Endpoint, WebhookSink, build, signing_key
from tests.contract.store_contract import add, events
from tests.fake_graph import JumpClock
from tests.fakes.sink import delivery

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class Clock:
    """Time as the system has it; a sink never sleeps."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a sink never waits")


class Receiver:
    """A webhook receiver on loopback. `answer`, when set, decides; else it takes what it is sent."""

    breaks_midway = True
    probe_sees_down = True

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.manner = "take"
        self.answer: Answer | None = None
        self.taken: list[str] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.server = TestServer(web.Application())
        self.server.app.router.add_route("*", "/{path:.*}", self._serve)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/hooks/s3cr3t-path?key=k-12345678"))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        self.requests.append((request.method, {k.lower(): v for k, v in request.headers.items()}, data))
        if self.answer is not None:
            response = await self.answer(request, data)
            if response.status == 200:
                self.keep(data, request.content_type)
            return response
        if self.manner == "down":
            return web.Response(status=503, text="maintenance")
        if self.manner == "gone":
            return self.cut(request)
        if request.method == "POST":
            events = self.events(data, request.content_type)
            if self.manner == "break":
                self.manner = "gone"
                self.taken += events[:1]
                return web.Response(status=200) if self.mode == "single" else self.cut(request)
            self.taken += events
        return web.Response(status=204 if request.method == "POST" else 405)

    def keep(self, data: bytes, kind: str) -> None:
        self.taken += self.events(data, kind)

    @staticmethod
    def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)

    def events(self, data: bytes, kind: str) -> list[str]:
        if self.mode == "single":
            return [data.decode()]
        if kind == "text/plain":
            return data.decode().split("\n")[:-1]
        return [json.dumps(each) for each in json.loads(data)]

    # FarEnd

    def sink(self, secrets: str = NEW, authorization: str = "", **network: Any) -> WebhookSink:
        keys = tuple(signing_key(text) for text in secrets.split())
        http = Http(clock=Clock(), max_connections=1, **{"timeout_s": 5, **network})
        return WebhookSink("casb", Endpoint(self.url, keys, authorization, self.mode), http)

    def payload(self, event_id: str, text: str) -> Any:
        return json_text(event_id, text)

    def unacceptable(self) -> Any:
        return {"number": float("nan")}

    async def received(self, count: int) -> list[str]:
        return list(self.taken)

    async def down(self) -> None:
        self.manner = "down"

    async def up(self) -> None:
        self.manner = "take"

    async def break_after_first(self) -> None:
        self.manner = "break"


@pytest_asyncio.fixture(params=["single", "batch"])
async def far_end(request: pytest.FixtureRequest) -> AsyncIterator[Receiver]:
    receiver = Receiver(request.param)
    async with receiver.server:
        yield receiver


class TestWebhook(SinkContract):
    pass


def cloud(n: int, **data: Any) -> Record:
    return record(n, json.dumps({"specversion": "1.0", "id": f"id-{n:04}", "data": data}))


@pytest_asyncio.fixture
async def sink(far_end: Receiver) -> AsyncIterator[WebhookSink]:
    made = far_end.sink(f"{NEW}\n{OLD}", authorization="Bearer t0ken-t0ken")
    yield made
    await made.close()


def refuse(what: str, status: int) -> Answer:
    """A receiver that refuses every request with these bytes in it."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        refused = what.encode() in data
        return web.Response(status=status if refused else 200, text="schema: field x" if refused else "")

    return answer


def always(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


# ------------------------------------------------------------------------------------------------- signature and form


async def test_an_independent_verifier_accepts_every_request(far_end: Receiver, sink: WebhookSink) -> None:
    await sink.send([cloud(1, text="ä\ud83d\ude00|=\n"), cloud(2), record(3, "CEF:0|ä|\u2028")])
    assert len(far_end.requests) == (3 if far_end.mode == "single" else 2)
    for _, headers, data in far_end.requests:
        for secret in (NEW, OLD):  # both, while receivers change over
            Webhook(secret).verify(data, headers, json_parse=False)
        for tampered, changed in (
            (data + b" ", {}),
            (data, {"webhook-id": "id-9999"}),
            (data, {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
        ):
            with pytest.raises(WebhookVerificationError):
                Webhook(NEW).verify(tampered, {**headers, **changed}, json_parse=False)


async def test_the_id_stays_on_a_retry_and_the_time_is_the_attempts(far_end: Receiver) -> None:
    times = iter([datetime(2026, 11, 22, 9, tzinfo=UTC) + timedelta(seconds=90 * n) for n in range(9)])
    http = Http(clock=Clock(), timeout_s=5)
    made = WebhookSink(
        "casb", Endpoint(far_end.url, (signing_key(NEW),), "", far_end.mode), http, now=lambda: next(times)
    )
    far_end.answer = always(503)
    batch = [cloud(1), cloud(2)]
    with pytest.raises(Unavailable):
        await made.send(batch)
    far_end.answer = None
    assert await made.send(batch) == accepted(batch)
    await made.close()
    (_, first, one), (_, second, two) = far_end.requests[:2]
    assert first["webhook-id"] == second["webhook-id"]
    assert one == two
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 90
    assert first["webhook-signature"] != second["webhook-signature"]
    if far_end.mode == "single":
        assert first["webhook-id"] == "id-0001"


async def test_content_types_follow_the_payload(far_end: Receiver, sink: WebhookSink) -> None:
    batch = [
        cloud(1),
        cloud(2),
        record(3, {"class_uid": 2003, "id": "id-0003"}),
        record(4, "CEF:0|a\nb"),
        record(5, "{x"),
    ]
    assert await sink.send(batch) == accepted(batch)
    kinds = [headers["content-type"] for _, headers, _ in far_end.requests]
    bodies = [data for _, _, data in far_end.requests]
    if far_end.mode == "single":
        cloudevent, text = "application/cloudevents+json", "text/plain; charset=utf-8"
        assert kinds == [cloudevent, cloudevent, "application/json", text, text]
        assert bodies[3] == b"CEF:0|a\nb"
    else:
        assert kinds == ["application/cloudevents-batch+json", "application/json", "text/plain; charset=utf-8"]
        assert [e["id"] for e in json.loads(bodies[0])] == ["id-0001", "id-0002"]
        assert json.loads(bodies[1]) == [{"class_uid": 2003, "id": "id-0003"}]
        assert bodies[2] == b"CEF:0|a\\nb\n{x\n"


async def test_without_a_secret_nothing_is_signed(far_end: Receiver) -> None:
    made = far_end.sink(secrets="")
    await made.send([cloud(1)])
    await made.close()
    assert "webhook-signature" not in far_end.requests[0][1]
    assert "authorization" not in far_end.requests[0][1]


# ------------------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(far_end: Receiver, sink: WebhookSink, status: int) -> None:
    far_end.answer = always(status)
    assert await sink.send([cloud(1)]) == accepted([cloud(1)])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_time_heals(far_end: Receiver, sink: WebhookSink, status: int) -> None:
    far_end.answer = always(status, Retry_After="17")
    with pytest.raises(Unavailable, match=str(status)) as caught:
        await sink.send([cloud(1)])
    assert caught.value.retry_after_s == 17
    assert caught.value.hint


async def test_retry_after_may_be_a_date(far_end: Receiver, sink: WebhookSink) -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=600)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    far_end.answer = always(429, Retry_After=moment)
    with pytest.raises(Unavailable) as caught:
        await sink.send([cloud(1)])
    assert caught.value.retry_after_s == pytest.approx(600, abs=5)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 410, 415, 451])
async def test_the_operator_must_act(far_end: Receiver, sink: WebhookSink, status: int) -> None:
    far_end.answer = always(status)
    with pytest.raises(Denied, match=str(status)) as caught:
        await sink.send([cloud(1), cloud(2)])
    assert caught.value.hint
    assert len(far_end.requests) == 1, "the rest of the batch is not tried"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_never_followed(far_end: Receiver, sink: WebhookSink, status: int) -> None:
    far_end.answer = always(status, Location=str(far_end.server.make_url("/elsewhere")))
    with pytest.raises(Denied, match="redirect"):
        await sink.send([cloud(1)])
    with pytest.raises(Denied, match="redirect"):
        await sink.probe()
    assert len(far_end.requests) == 2


async def test_a_wish_to_be_left_alone_comes_with_what_was_taken_before_it() -> None:
    receiver = Receiver("single")

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        busy = len(receiver.requests) == 3
        return web.Response(status=429 if busy else 200, headers={"Retry-After": "60"})

    receiver.answer = answer
    batch = [cloud(n) for n in range(4)]
    async with receiver.server:
        made = receiver.sink()
        assert await made.send(batch) == Receipt(accepted(batch[:2]).accepted, {}, 60.0)
        assert len(receiver.requests) == 3, "the rest of the batch is not tried"
        assert await made.send(batch[2:]) == accepted(batch[2:])
        await made.close()


async def test_many_at_once_wait_for_each_other_not_for_the_receivers_time_limit(far_end: Receiver) -> None:
    """A healthy receiver, one connection, eight tenants side by side: together longer than the patience for one."""
    a_post_s = 0.12 if far_end.mode == "single" else 0.45

    async def slow(_request: web.Request, _data: bytes) -> web.Response:
        await asyncio.sleep(a_post_s)
        return web.Response(status=204)

    far_end.answer = slow
    sink = far_end.sink(timeout_s=3.0)
    batches = [[cloud(10 * n + k) for k in range(4)] for n in range(8)]
    receipts = await asyncio.gather(*(sink.send(batch) for batch in batches))
    assert receipts == [accepted(batch) for batch in batches]
    assert len(far_end.requests) == (32 if far_end.mode == "single" else 8)
    await sink.close()


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_event_is_rejected_with_the_receivers_words(
    far_end: Receiver, sink: WebhookSink, status: int
) -> None:
    far_end.answer = refuse("poison", status)
    batch = [cloud(1), cloud(2, text="poison"), cloud(3), cloud(4), cloud(5, text="poison")]
    receipt = await sink.send(batch)
    assert receipt.accepted == {"id-0001", "id-0003", "id-0004"}
    assert set(receipt.rejected) == {"id-0002", "id-0005"}
    assert str(status) in receipt.rejected["id-0002"]
    assert "schema: field x" in receipt.rejected["id-0002"]
    assert ids(far_end.taken) == ["id-0001", "id-0003", "id-0004"]


async def test_where_nothing_was_ever_taken_the_receiver_is_at_fault(far_end: Receiver, sink: WebhookSink) -> None:
    far_end.answer = always(400)
    for _ in range(2):
        with pytest.raises(Unavailable, match="400"):
            await sink.send([cloud(1), cloud(2)])
    far_end.answer = refuse("poison", 400)
    await sink.send([cloud(3)])
    assert set((await sink.send([cloud(1, text="poison")])).rejected) == {"id-0001"}


async def test_many_refusals_in_a_row_are_no_bad_events(far_end: Receiver, sink: WebhookSink) -> None:
    """A receiver that breaks overnight must not make us park the whole queue."""
    assert await sink.send([cloud(0)]) == accepted([cloud(0)])
    far_end.answer = always(422)
    with pytest.raises(Unavailable, match="in a row"):
        await sink.send([cloud(n) for n in range(1, 40)])
    assert len(far_end.requests) < 40
    with pytest.raises(Unavailable, match="in a row"):
        await sink.send([cloud(1)])
    far_end.answer = None
    batch = [cloud(n) for n in range(1, 40)]
    assert await sink.send(batch) == accepted(batch)


async def test_fewer_refusals_in_a_row_are(far_end: Receiver, sink: WebhookSink) -> None:
    far_end.answer = refuse("poison", 422)
    batch = [cloud(0), *(cloud(n, text="poison") for n in range(1, REFUSED_IN_A_ROW))]
    receipt = await sink.send(batch)
    assert receipt == Receipt(accepted=frozenset({"id-0000"}), rejected=receipt.rejected)
    assert len(receipt.rejected) == REFUSED_IN_A_ROW - 1


async def test_a_long_row_of_bad_events_hides_no_good_one_behind_it(far_end: Receiver, sink: WebhookSink) -> None:
    far_end.answer = refuse("poison", 422)
    bad = [cloud(n, text="poison") for n in range(2 * REFUSED_IN_A_ROW)]
    good = [cloud(50 + n) for n in range(3)]
    assert await sink.send([*bad, *good]) == Receipt(
        accepted(good).accepted, dict.fromkeys(accepted(bad).accepted, ANY)
    )


async def test_one_bad_event_in_front_holds_up_no_other_behind_an_outage(far_end: Receiver, tmp_path: Path) -> None:
    """The outage made batches small, and nothing was taken since the start: the loop goes on to those behind."""
    clock, sink, waiting = JumpClock(), far_end.sink(), events(range(3))
    async with await open_store(tmp_path / "state.db", clock=clock) as store:
        await store.attach([Start(sink.name)])
        await add(store, waiting)
        loop = delivery(store, sink, clock)
        far_end.manner = "down"
        for _ in range(8):
            await clock.sleep((await loop.turn()).wait_s)
        far_end.answer = refuse(waiting[0].id, 400)
        for _ in range(30):
            turn = await loop.turn()
            if turn.state == "idle":
                break
            await clock.sleep(turn.wait_s)
        assert turn.state == "idle"
        assert [p.event.id for p in await store.parked(sink.name)] == [waiting[0].id]
    assert len(far_end.taken) == 2
    await sink.close()


async def test_a_bad_event_before_a_break_is_not_settled_by_guess(far_end: Receiver, sink: WebhookSink) -> None:
    """Refused, then the receiver goes away: nothing was taken, so nothing says that the event is at fault."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        return web.Response(status=400) if b"poison" in data else far_end.cut(request)

    far_end.answer = answer
    with pytest.raises(Unavailable):
        await sink.send([cloud(1, text="poison"), cloud(2)])


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_receiver_that_repeats_our_secrets_brings_them_nowhere(
    far_end: Receiver, sink: WebhookSink, status: int
) -> None:
    async def echo(request: web.Request, data: bytes) -> web.StreamResponse:
        return web.Response(status=status, text=f"{request.path_qs} refused {request.headers['Authorization']}")

    far_end.answer = echo
    with pytest.raises((Denied, Unavailable)) as caught:
        await sink.send([cloud(1)])
    shown = f"{caught.value!r} {caught.value.what} {caught.value.hint} {sink._endpoint!r}"
    assert "refused" in shown
    for secret in ("s3cr3t-path", "k-12345678", "t0ken-t0ken", NEW[6:20], "nnnnnnnn"):
        assert secret not in shown


OPTIONS_OK = {"url": "https://casb.example/hook", "secret": NEW}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"secret": "whsec_short"}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(b"x" * 23).decode()}, "24"),
        ({"secret": f"{NEW} not*base64"}, "secret"),
        ({"authorization": "Bearer a\nb"}, "authorization"),
        ({"url": "http://casb.example/hook"}, "https"),
        ({"url": "https://user:pw@casb.example/hook"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://[casb.example/hook"}, "url: is not a URL"),
        ({"url": "https://casb.example:port/hook"}, "url: is not a URL"),
    ],
)
def test_what_only_shows_when_secrets_are_resolved(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        build("casb", OPTIONS_OK | given, NetworkConfig())
    for value in given.values():
        assert value not in str(caught.value)


def test_options_are_of_known_types_and_enough() -> None:
    assert {option.type for option in OPTIONS.values()} <= set(TYPES)
    assert all(option.doc for option in OPTIONS.values())
    made = build("casb", OPTIONS_OK | {"url": "http://127.9.8.7:1/x", "mode": "batch"}, NetworkConfig())
    assert made.max_records > build("casb", OPTIONS_OK, NetworkConfig()).max_records


async def test_a_private_authority_is_trusted_by_ca_file_only(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    receiver = Receiver("single")
    await receiver.server.start_server(ssl=context)
    url = f"https://localhost:{receiver.server.port}/hook"
    try:
        trusting = build("casb", {"url": url}, NetworkConfig(ca_file=str(tmp_path / "ca.pem")))
        assert await trusting.send([cloud(1)]) == accepted([cloud(1)])
        await trusting.close()
        strict = build("casb", {"url": url}, NetworkConfig())
        with pytest.raises(Denied, match="not trusted"):
            await strict.send([cloud(2)])
        await strict.close()
        assert ids(receiver.taken) == ["id-0001"]
    finally:
        await receiver.server.close()


async def test_a_silent_receiver_is_unavailable(far_end: Receiver) -> None:
    released = asyncio.Event()

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        await released.wait()
        return web.Response(status=200)

    far_end.answer = answer
    http = Http(clock=Clock(), timeout_s=0.2)
    made = WebhookSink("casb", Endpoint(far_end.url, (), "", far_end.mode), http)
    with pytest.raises(Unavailable, match="did not answer"):
        await made.send([cloud(1)])
    released.set()
    await made.close()


async def test_a_key_may_stand_in_another_header_than_authorization(far_end: Receiver) -> None:
    made = build(
        "pager",
        {
            "url": far_end.url,
            "mode": far_end.mode,
            "authorization": "integration-key",
            "authorization_header": "X-Routing-Key",
        },
        NetworkConfig(),
    )
    await made.send([cloud(1)])
    await made.close()
    [(_, headers, _)] = far_end.requests
    assert headers["x-routing-key"] == "integration-key"
    assert "authorization" not in headers


@pytest.mark.parametrize("name", ["Content-Type", "host", "bad name", "a:b", "a\r\nb"])
def test_a_header_that_cannot_carry_a_key_is_refused(name: str) -> None:
    options = {"url": "https://h/x", "authorization": "k", "authorization_header": name}
    with pytest.raises(ConfigError, match="authorization_header"):
        build("pager", options, NetworkConfig())
