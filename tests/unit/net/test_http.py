"""The transport against real sockets on loopback: limits, TLS, proxies, and errors that name who must act."""

import asyncio
import base64
import gzip
import json
import random
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from attrs import Factory, define

from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.net.client import Http, bypasses_proxy, tls_context
from connector.net.http import MAX_ERROR_BODY_BYTES, Response, error_for, is_html, printable, retry_after_s
from tests.fake_graph import JumpClock, canned, root, serve

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)
MIB = 1024 * 1024
SECRET = "Bearer very-secret-token"


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    transport = Http(clock=JumpClock(), timeout_s=30.0)
    yield transport
    await transport.close()


async def get(http: Http, url: str, max_bytes: int = MIB) -> Response:
    return await http.request("GET", url, headers={"Authorization": SECRET}, max_bytes=max_bytes)


async def failure(http: Http, url: str) -> SecureScoreError:
    """The error of a request; none of its words may repeat the credential."""
    with pytest.raises(SecureScoreError) as caught:
        await get(http, url)
    words = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__} {http!r}"
    assert "secret" not in words
    return caught.value


# -------------------------------------------------------------------------------------------------------- answers


async def test_plain_exchange(http: Http) -> None:
    async def echo(request: web.Request) -> web.Response:
        body = {"path": request.path_qs, "body": (await request.read()).decode(), "headers": dict(request.headers)}
        return web.json_response(body, headers={"X-One": "1", "Warning": "a"})

    async with serve(echo) as server:
        answer = await http.request(
            "POST", f"{root(server)}/a?$top=1&x=%2F+", headers={"Authorization": SECRET}, body=b"hello"
        )
    said = json.loads(answer.body)
    assert (answer.status, answer.cut, answer.at, answer.headers["x-one"]) == (200, "", NOW, "1")
    assert said["path"] == "/a?$top=1&x=%2F+"  # verbatim: nothing is encoded again
    assert said["body"] == "hello"
    assert said["headers"]["Authorization"] == SECRET
    assert said["headers"]["User-Agent"].startswith("secure-score-connector/")


async def test_repeated_headers_are_joined(http: Http) -> None:
    async def twice(request: web.Request) -> web.Response:
        answer = web.Response()
        answer.headers.add("Warning", "one")
        answer.headers.add("Warning", "two")
        return answer

    async with serve(twice) as server:
        assert (await get(http, root(server))).headers["warning"] == "one, two"


async def test_redirects_are_not_followed_and_cookies_not_kept(http: Http) -> None:
    seen = []

    async def portal(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response(status=302, headers={"Location": "https://portal.example/", "Set-Cookie": "a=b"})

    async with serve(portal) as server:
        by_name = root(server).replace("127.0.0.1", "localhost")  # cookie jars ignore bare addresses
        await get(http, by_name)
        answer = await get(http, by_name)
    assert answer.status == 302
    assert len(seen) == 2
    assert "Cookie" not in seen[1]


def test_nothing_secret_in_reprs() -> None:
    answer = Response(200, {"x": "very-secret"}, b"very-secret", NOW)
    assert "secret" not in repr(answer)
    assert "secret" not in repr(Http(clock=JumpClock(), proxy="http://user:very-secret@proxy:3128"))


# --------------------------------------------------------------------------------------------------------- limits


async def test_announced_50_mb_page_is_not_even_fetched(http: Http) -> None:
    sent = 0

    async def large(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse(headers={"Content-Length": str(50 * MIB)})
        await answer.prepare(request)
        for _ in range(50):
            await answer.write(b" " * MIB)
            sent += 1
        return answer

    async with serve(large) as server:
        answer = await get(http, root(server))
    assert (answer.status, answer.cut, answer.body) == (200, "too_large", b"")
    assert sent < 50


async def test_endless_body_is_cut(http: Http) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65_536)

    async with serve(endless) as server:
        answer = await get(http, root(server))
    assert (answer.cut, len(answer.body)) == ("too_large", MIB)


async def test_body_of_exactly_the_limit_is_whole(http: Http) -> None:
    async with serve(canned(b"x" * MIB)) as server:
        answer = await get(http, root(server))
    assert (answer.cut, len(answer.body)) == ("", MIB)


async def test_gzip_is_unpacked(http: Http) -> None:
    async with serve(canned(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})) as server:
        assert (await get(http, root(server))).body == b'{"a": 1}'


async def test_gzip_bomb_is_cut_in_bounded_memory(http: Http) -> None:
    """200 MB of zeros arrive as 200 KB."""
    bomb = gzip.compress(bytes(200 * MIB))
    async with serve(canned(bomb, headers={"Content-Encoding": "gzip"})) as server:
        await get(http, root(server))  # warm
        tracemalloc.start()
        try:
            answer = await get(http, root(server))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (answer.cut, len(answer.body)) == ("too_large", MIB)
    assert peak < 8 * MIB


async def test_gzip_that_unpacks_to_nothing_does_not_go_on_for_ever(http: Http) -> None:
    """A header of gzip may hold a name without end, and members may be empty."""
    served = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal served
        answer = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await answer.prepare(request)
        await answer.write(b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03")
        while True:
            await answer.write(b"n" * 65_536)
            served += 1

    async with serve(endless) as server:
        answer = await get(http, root(server))
    assert (answer.cut, answer.body) == ("too_large", b"")
    assert served < 200


async def test_packed_body_of_exactly_the_limit_is_whole(http: Http) -> None:
    """What cannot be packed grows a little by it."""
    body = random.Random(7).randbytes(MIB)
    for level in (0, 9):
        packed = gzip.compress(body, level)
        assert len(packed) > MIB
        async with serve(canned(packed, headers={"Content-Encoding": "gzip"})) as server:
            answer = await get(http, root(server))
        assert (answer.cut, answer.body == body) == ("", True)


async def test_what_is_called_gzip_but_is_not(http: Http) -> None:
    async with serve(canned(b'{"a": 1}', headers={"Content-Encoding": "gzip"})) as server:
        assert (await get(http, root(server))).cut == "truncated"


async def test_gzip_that_ends_early_is_not_taken_for_the_whole(http: Http) -> None:
    """The connection and the length say that all has come; it was cut before it was sent."""
    packed = gzip.compress(json.dumps(list(range(1000))).encode())[:-20]
    async with serve(canned(packed, headers={"Content-Encoding": "gzip"})) as server:
        assert (await get(http, root(server))).cut == "truncated"


async def test_10_mb_error_body_is_bounded(http: Http) -> None:
    async with serve(canned(b"E" * (10 * MIB), status=500, headers={"Content-Type": "text/plain"})) as server:
        answer = await http.request("GET", root(server), max_bytes=16 * MIB)
    assert answer.status == 500
    assert len(answer.body) <= MAX_ERROR_BODY_BYTES
    assert len(error_for(answer, "page").what) < 500


async def test_broken_off_body_still_tells_the_status(http: Http) -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with serve(breaks_off) as server:
        answer = await get(http, root(server))
    assert (answer.status, answer.cut) == (200, "truncated")


async def test_slow_head_times_out() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    http = Http(clock=JumpClock(), timeout_s=0.1)
    async with serve(slow) as server:
        error = await failure(http, root(server))
        await http.close()
    assert isinstance(error, Unavailable)
    assert "did not answer within 0.1 s" in error.what


async def test_dripping_body_times_out(http: Http) -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            await asyncio.sleep(0.01)

    async with serve(drips) as server:
        answer = await http.request("GET", root(server), timeout_s=1.0)
    assert answer.cut == "truncated"


# --------------------------------------------------------------------------------------------- no answer, no TLS


async def test_refused_connection(http: Http, unused_tcp_port: int) -> None:
    error = await failure(http, f"http://127.0.0.1:{unused_tcp_port}")
    assert isinstance(error, Unavailable)
    assert error.what.startswith(f"no connection to http://127.0.0.1:{unused_tcp_port}")
    assert error.hint


async def test_unknown_name(http: Http) -> None:
    error = await failure(http, "http://no-such-host.invalid/")
    assert isinstance(error, Unavailable)
    assert "http://no-such-host.invalid" in error.what


async def test_closed_without_answer(http: Http) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serve(hang_up) as server:
        assert isinstance(await failure(http, root(server)), Unavailable)


async def test_rubbish_instead_of_http(http: Http) -> None:
    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(rubbish, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert isinstance(await failure(http, f"http://127.0.0.1:{port}"), Unavailable)


@pytest.mark.parametrize(
    "url", ["ftp://host/", "/path", "", "http://", "http://host:99999/", "http://host/a b", "http://host/\r\nX: y", "ä"]
)
async def test_unusable_address_is_the_operators(http: Http, url: str) -> None:
    assert isinstance(await failure(http, url), Denied)


async def test_header_that_would_break_out_is_not_sent(http: Http) -> None:
    async with serve(canned(b"")) as server:
        with pytest.raises(Denied) as caught:
            await http.request("GET", root(server), headers={"Authorization": "Bearer secret\r\nX: y"})
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_private_ca_is_refused_until_it_is_named(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    without, with_ca = Http(clock=JumpClock()), Http(clock=JumpClock(), ca_file=str(ca_file))
    server = serve(canned(b"hello"))
    await server.start_server(ssl=server_tls(authority))
    try:
        url = str(server.make_url(""))
        error = await failure(without, url)
        assert isinstance(error, Denied)
        assert "is not trusted" in error.what
        assert "ca_file" in error.hint
        assert (await get(with_ca, url)).body == b"hello"
    finally:
        await server.close()
        await without.close()
        await with_ca.close()


async def test_a_new_private_ca_is_used_without_a_restart(authority: trustme.CA, tmp_path: Path) -> None:
    """The far end's certificate comes from another authority one day, and so does what `ca_file` says."""
    ca_file, renewed = tmp_path / "ca.pem", trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    http = Http(clock=JumpClock(), ca_file=str(ca_file))
    old, new = serve(canned(b"old")), serve(canned(b"new"))
    await old.start_server(ssl=server_tls(authority))
    await new.start_server(ssl=server_tls(renewed))
    try:
        assert (await get(http, str(old.make_url("")))).body == b"old"
        url = str(new.make_url(""))
        assert "is not trusted" in (await failure(http, url)).what
        ca_file.write_text("half of a file")
        assert f"ca_file {ca_file} cannot be used" in (await failure(http, url)).what
        assert (await get(http, str(old.make_url("")))).body == b"old", (
            "what was trusted is, until there is a whole file"
        )
        renewed.cert_pem.write_to_path(str(ca_file))
        assert [r.body for r in await asyncio.gather(*(get(http, url) for _ in range(5)))] == [b"new"] * 5
        assert len(http._replaced) == 1
    finally:
        await http.close()
        await old.close()
        await new.close()


async def test_wrong_server_name_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    http = Http(clock=JumpClock(), ca_file=str(ca_file))
    server = serve(canned(b"hello"))
    await server.start_server(ssl=server_tls(authority, "other.example"))
    error = await failure(http, str(server.make_url("")))
    await server.close()
    await http.close()
    assert isinstance(error, Denied)


async def test_plain_text_on_a_tls_port(http: Http) -> None:
    async with serve(canned(b"")) as server:
        error = await failure(http, root(server).replace("http:", "https:"))
    assert isinstance(error, Unavailable)
    assert "no TLS connection" in error.what


def test_ca_file_adds_to_the_system_store(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = tls_context(str(ca_file))
    assert context.cert_store_stats()["x509_ca"] == tls_context().cert_store_stats()["x509_ca"] + 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_useless_ca_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Denied, match=r"ca\.pem cannot be used"):
        tls_context(str(path))


# ---------------------------------------------------------------------------------------------------------- proxy


@define
class RecordingProxy:
    """A forward proxy that notes what it is asked for: it answers plain requests itself and tunnels CONNECT."""

    wanted: str = ""
    asked: list[tuple[str, str]] = Factory(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *headers = head.split("\r\n")
        given = next((h.split(": ", 1)[1] for h in headers if h.lower().startswith("proxy-authorization:")), "")
        self.asked.append((line, given))
        if self.wanted and given != self.wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif not line.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nvia proxy")
        else:
            host, port = line.split()[1].split(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


CREDENTIALS = "Basic " + base64.b64encode("us er:pä:ss".encode()).decode()


async def test_plain_requests_go_through_the_proxy_with_credentials() -> None:
    proxy = RecordingProxy(wanted=CREDENTIALS)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        http = Http(clock=JumpClock(), proxy=f"http://us%20er:p%C3%A4%3Ass@127.0.0.1:{port}")
        answer = await get(http, "http://graph.example/a?b=%2F")
        await http.close()
    assert answer.body == b"via proxy"
    assert proxy.asked == [("GET http://graph.example/a?b=%2F HTTP/1.1", CREDENTIALS)]


async def test_tls_requests_are_tunnelled_with_credentials(authority: trustme.CA, tmp_path: Path) -> None:
    """The far end must not see the proxy's credentials, the proxy must not see the token."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response(body=b"hello")

    far = serve(answer)
    await far.start_server(ssl=server_tls(authority))
    proxy = RecordingProxy(wanted=CREDENTIALS)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://us%20er:p%C3%A4%3Ass@127.0.0.1:{port}"
        http = Http(clock=JumpClock(), proxy=url, ca_file=str(ca_file))
        expected = [(f"CONNECT 127.0.0.1:{far.port} HTTP/1.1", CREDENTIALS)]
        body = (await get(http, str(far.make_url("/")))).body
        await http.close()
        await far.close()
    assert body == b"hello"
    assert proxy.asked == expected
    assert "Proxy-Authorization" not in seen[0]


@pytest.mark.parametrize("target", ["http://graph.example/", "https://graph.example/"])
async def test_proxy_that_wants_other_credentials(target: str) -> None:
    proxy = RecordingProxy(wanted="Basic other")
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        http = Http(clock=JumpClock(), proxy=f"http://user:secret@127.0.0.1:{port}")
        try:
            error = error_for(await get(http, target), "page")
        except Denied as denied:
            error = denied
        await http.close()
    assert isinstance(error, Denied)
    assert "407" in error.what
    assert "network.proxy" in error.hint
    assert "secret" not in error.what


async def test_unreachable_proxy_is_named(unused_tcp_port: int) -> None:
    http = Http(clock=JumpClock(), proxy=f"http://user:secret@127.0.0.1:{unused_tcp_port}")
    error = await failure(http, "https://graph.example/")
    await http.close()
    assert isinstance(error, Unavailable)
    assert "proxy cannot be reached" in error.what


async def test_environment_counts_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = RecordingProxy()
    async with serve(canned(b"direct")) as far, await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "localhost,direct.example")
        plain, env = Http(clock=JumpClock()), Http(clock=JumpClock(), proxy="env")
        assert (await get(plain, root(far))).body == b"direct"
        assert (await get(env, root(far))).body == b"via proxy"
        assert (await get(env, root(far).replace("127.0.0.1", "localhost"))).body == b"direct"
        await plain.close()
        await env.close()


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy:1080", "http://", "http://user:secret@"])
def test_unusable_proxy_address_is_refused_without_repeating_it(proxy: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.proxy: not a proxy address") as caught:
        Http(clock=JumpClock(), proxy=proxy)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "entry", "expected"),
    [
        ("siem.corp.example", 443, "siem.corp.example", True),
        ("SIEM.corp.example.", 443, "siem.CORP.example", True),
        ("siem.corp.example", 443, "corp.example", True),
        ("siem.corp.example", 443, ".corp.example", True),
        ("siem.corp.example", 443, "*.corp.example", True),
        ("corp.example", 443, ".corp.example", True),
        ("evilcorp.example", 443, "corp.example", False),
        ("corp.example.evil", 443, "corp.example", False),
        ("siem.corp.example", 443, "siem.corp.example:443", True),
        ("siem.corp.example", 8443, "siem.corp.example:443", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("10.1.2.3", 443, "10.1.2.3:443", True),
        ("10.1.2.3", 443, "2.3", False),
        ("::1", 443, "::1", True),
        ("::1", 443, "[::1]:443", True),
        ("::1", 8443, "[::1]:443", False),
        ("fd00::5", 443, "fd00::/8", True),
        ("anything", 443, "*", True),
        ("anything", 443, "", False),
        ("anything", 443, " ", False),
        ("anything", 443, ".", False),
    ],
)
def test_no_proxy_entries(host: str, port: int, entry: str, expected: bool) -> None:
    assert bypasses_proxy(host, port, [entry]) is expected


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("-30", 0.0),
        ("99999999999", 86_400.0),
        ("Thu, 10 Jan 2030 12:02:00 GMT", 120.0),
        ("Thu, 10 Jan 2030 12:02:00 -0000", 120.0),
        ("Thu, 10 Jan 2030 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("soon", None),
        ("nan", None),
        ("1e9", None),
        ("", None),
        ("9" * 400, None),
    ],
)
def test_retry_after(value: str, expected: float | None) -> None:
    assert retry_after_s({"retry-after": value}, NOW) == expected


def test_no_retry_after() -> None:
    assert retry_after_s({}, NOW) is None


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, Unavailable),
        (301, Denied),
        (400, Denied),
        (401, Denied),
        (403, Denied),
        (404, Denied),
        (408, Unavailable),
        (418, Denied),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_status_decides_who_must_act(status: int, kind: type[SecureScoreError]) -> None:
    error = error_for(answer(status), "secureScores page 1")
    assert type(error) is kind
    assert error.what.startswith(f"secureScores page 1: HTTP {status}")
    assert error.hint or kind is Unavailable


def test_graph_error_is_quoted_with_the_ids_support_asks_for() -> None:
    body = {
        "error": {
            "code": "Forbidden",
            "message": "Line one\r\nline\u202etwo\x00",
            "innerError": {"request-id": "r-1", "client-request-id": "c-1"},
        }
    }
    error = error_for(answer(403, json.dumps(body).encode(), request_id="r-2"), "page")
    assert error.what == "page: HTTP 403 (Forbidden: Line one linetwo) [request-id r-2, client-request-id c-1]"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"code":"","message":""}}', "page: HTTP 500"),
        (b'{"error":"invalid"}', 'page: HTTP 500 ({"error":"invalid"})'),
        (b'{"error":{"innerError":[]}}', "page: HTTP 500"),
        (b"[1]", "page: HTTP 500 ([1])"),
        (b"\xff\xfe", "page: HTTP 500 (\ufffd\ufffd)"),
        (b"<html>" + b"x" * 9_999, "page: HTTP 500 (an HTML page)"),
        (b"[" * 60_000, "page: HTTP 500 (" + "[" * 299 + "…)"),
        (json.dumps({"error": {"message": "x" * 9_999}}).encode(), "page: HTTP 500 (" + "x" * 299 + "…)"),
    ],
)
def test_any_error_body_gives_a_short_line(body: bytes, words: str) -> None:
    assert error_for(answer(500, body), "page").what == words


def test_servers_wish_is_carried() -> None:
    later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for value, wish_s in (("90", 90.0), (later, 90.0)):
        error = error_for(answer(429, retry_after=value), "page")
        assert isinstance(error, Unavailable)
        assert error.retry_after_s == wish_s


def test_redirect_names_its_host() -> None:
    error = error_for(answer(302, location="https://portal.example/login?secret=1"), "page")
    assert error.what == "page: HTTP 302, a redirect to portal.example, which is never followed"
    assert "redirect," in error_for(answer(302, location="http://[broken"), "page").what


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("text/html; charset=utf-8", b"", True),
        ("application/json", b"  <!DOCTYPE html>", True),
        ("application/json", b"\xef\xbb\xbf<html>", True),
        ("application/json", b'{"a": "<html>"}', False),
        ("", b"", False),
    ],
)
def test_html_is_recognised(kind: str, body: bytes, expected: bool) -> None:
    assert is_html(answer(200, body, content_type=kind)) is expected


def test_printable() -> None:
    assert printable(" a\r\n\x1b[31mb\u2028c ") == "a [31mb c"
    assert printable("x" * 10_000, 5) == "xxxx…"
