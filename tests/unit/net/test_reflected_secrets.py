"""Whoever echoes a request brings its secrets into no error: of Graph, of a sign-in, of a receiver, of a proxy."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from connector.clock import SystemClock
from connector.errors import SecureScoreError
from connector.net.client import Http
from connector.net.http import Response, error_for, said
from connector.signin.msal_calls import answer_without_secrets
from connector.signin.refusals import refusal
from sinks import sentinel, splunk
from tests.fake_graph import root, serve

NOW = datetime(2026, 11, 29, tzinfo=UTC)
SECRET = 'Tok~en/with+"quotes" & 40 octets, äöü 8Q'
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of more": lambda s: base64.b64encode(b"Authorization: Bearer " + s.encode() + b"\r\nHost: x").decode(),
    "hexadecimal": lambda s: s.encode().hex(),
    "JSON": lambda s: json.dumps(s)[1:-1],
    "lines": lambda s: "\r\n".join(s[n : n + 8] for n in range(0, len(s), 8)),
}
LEAVES = ("Tok~en", "quotes", "VG9rfmVu", "b2tlb", "546f6b", "8Q")


def quoted(secret: str, body: Any, status: int = 400, **headers: str) -> Response:
    return Response(status, headers, json.dumps(body).encode(), NOW, secrets=(secret,))


@pytest.mark.parametrize("form", FORMS)
def test_no_error_repeats_what_the_request_carried(form: str) -> None:
    echoed = f"you sent {FORMS[form](SECRET)} to us"
    answers: list[SecureScoreError] = [
        error_for(quoted(SECRET, {"error": {"code": echoed, "message": echoed}}), "Graph"),
        error_for(quoted(SECRET, {"any": echoed}, 503), "Graph"),
        error_for(quoted(SECRET, {}, 403, **{"request-id": echoed}), "Graph"),
        splunk.judge(quoted(SECRET, {"text": echoed, "code": 4}, 403)).error(),
        splunk.judge(quoted(SECRET, {"text": echoed, "code": 0}, 200)).error(),
        sentinel.judge(quoted(SECRET, {"error": {"message": echoed}}, 403, **{"x-ms-request-id": echoed})).error(),
        refusal(
            answer_without_secrets(
                {"error": "invalid_client", "error_description": echoed, "trace_id": echoed}, [SECRET]
            ),
            what="signing in",
        ),
    ]
    for error in answers:
        words = "".join(f"{error.what}{error.hint}".split())
        assert [leaf for leaf in LEAVES if leaf in words] == []


def test_a_secret_of_several_lines_leaves_no_first_line() -> None:
    answer = {"error": "invalid_client", "error_description": "bad TOPSECRET:line1\nsecond-line Trace ID: 1"}
    error = refusal(answer_without_secrets(answer, ["TOPSECRET:line1\nsecond-line"]), what="signing in")
    assert "TOPSECRET" not in error.what


async def test_the_client_knows_what_its_request_carried() -> None:
    """Through real HTTP: a bearer token, a basic-auth pair, and a proxy's."""

    async def echo(request: web.Request) -> web.StreamResponse:
        given = request.headers["Authorization"].partition(" ")[2]
        pair = base64.b64decode(given).decode() if request.headers["Authorization"].startswith("Basic") else given
        return web.json_response({"error": {"message": f"{given} {pair} {pair.encode().hex()}"}}, status=401)

    async with serve(echo) as server:
        http = Http(clock=SystemClock())
        try:
            for header in (
                "Bearer hunter2-hunter2-hunter2",
                "Basic " + base64.b64encode(b"me:hunter2-hunter2").decode(),
            ):
                response = await http.request("GET", f"{root(server)}/x", headers={"authorization": header})
                assert "hunter2" in response.body.decode()
                assert "hunter2" not in repr(response)
                what = error_for(response, "x").what
                assert what.startswith("x: HTTP 401 ([hidden] [hidden]")
                assert "hunter2" not in what
                assert b"hunter2".hex() not in what
        finally:
            await http.close()


def test_words_are_hidden_before_they_are_cut() -> None:
    response = quoted("s" * 200, {})
    assert said(response, "x" * 290 + "s" * 200, 300) == "x" * 290 + "[hidden]"
