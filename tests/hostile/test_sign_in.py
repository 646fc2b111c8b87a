"""A sign-in host that means harm: the secret goes nowhere else, and whatever it answers is one of our errors.

Real MSAL, over TLS, against a simulated Microsoft Entra whose next answers are falsified.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connector.errors import Denied, Unavailable
from connector.foreign.characters import harmless
from tests.real.authority import SECRET, Bench, bench

JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 50_000


def answer(body: object, status: int = 200, **headers: str) -> tuple[int, dict[str, str], bytes]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    return status, {**JSON, **headers}, raw


GRANTED = {"access_token": "a" * 40, "expires_in": 3600, "token_type": "Bearer"}
ANSWERS = {
    "a token of two lines": answer({**GRANTED, "access_token": "a\r\nX-Evil: 1"}),
    "a token of 200 kB": answer({**GRANTED, "access_token": "a" * 200_000}),
    "no token": answer({**GRANTED, "access_token": None}),
    "a token that is a list": answer({**GRANTED, "access_token": ["a"]}),
    "a life without end": answer({**GRANTED, "access_token": "b" * 70_000, "expires_in": 10**30}),
    "a negative life": answer({**GRANTED, "expires_in": -1}),
    "a life of 4,000 digits": answer(b'{"access_token":"a","expires_in":' + b"9" * 4000 + b"}"),
    "a life of 5,000 digits": answer(b'{"access_token":"a","expires_in":' + b"9" * 5000 + b"}"),
    "a refresh beyond time": answer({**GRANTED, "access_token": "a b", "refresh_on": 10**30}),
    "depth": answer(DEEP),
    "deep errors": answer(b'{"error":"x","error_codes":' + DEEP + b"]" * 50_000 + b"}", 400),
    "an error that is a list": answer({"error": ["x"], "error_description": [1]}, 400),
    "escapes in the reason": answer({"error": "x", "error_description": "AADSTS1: \x1b[2J\x1b]0;x\x07\u202eevil"}, 400),
    "a code of 4,000 digits": answer(b'{"error":"x","error_codes":[' + b"9" * 4000 + b"]}", 400),
    "the secret in the reason": answer({"error": "invalid_client", "error_description": f"bad {SECRET}"}, 401),
    "nothing": answer(b""),
    "zeros": answer(b"\0" * 1000),
    "numbers that are none": answer(b'{"access_token":NaN,"expires_in":Infinity}'),
    "half a surrogate": answer({**GRANTED, "access_token": "\ud800"}),
    "sixteen megabytes": answer(b'{"x":[' + b",".join([b"{}"] * 4_000_000) + b"]}"),
    "leave me alone for ever": answer({}, 429, **{"Retry-After": "1000000000"}),
    "a redirect": (307, {"Location": "https://127.0.0.2/stolen"}, b""),
    "a web page": (200, {"Content-Type": "text/html"}, b"<html>\x1b[2J</html>"),
}


@pytest.fixture
async def entra(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


@pytest.mark.parametrize("name", ANSWERS)
async def test_no_answer_passes_for_a_token_or_shows_the_secret(
    entra: Bench, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """And what was answered once is not stumbled over the next time."""
    caplog.set_level(logging.DEBUG)
    held = entra.held("client_secret", client_secret=entra.secret())
    refused = await held.token()
    entra.authority.fail.append(ANSWERS[name])
    for _ in range(2):
        try:
            token = await asyncio.wait_for(held.token(refused=refused), 30)
        except (Denied, Unavailable) as error:
            said = f"{error} {error.hint}"
        else:
            said = ""
            assert (token == "a") == (name == "a life of 4,000 digits"), "the life has a bound of ours"
            break
        assert harmless(said) == said
        assert len(said) < 1500
        assert SECRET not in said
        held = entra.held("client_secret", client_secret=entra.secret(name="renewed"))
        entra.authority.fail.clear()
    assert SECRET not in caplog.text


ELSEWHERE = [
    "https://login.example.invalid",
    "https://localhost@login.example.invalid",
    "https://localhost\\@login.example.invalid",
    "https://localhost#@login.example.invalid",
    "http://localhost",
    "https://[::1]",
    "https://127.0.0.2",
    "https://localhost.example.invalid",
    "//login.example.invalid",
    "\thttps://login.example.invalid",
    "https://localhost:1",
    "javascript:x",
]


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_no_address_that_discovery_names_gets_the_secret(entra: Bench, address: str) -> None:
    """The token endpoint is that of the configured host, or nobody is told anything."""
    entra.authority.elsewhere = address
    held = entra.held("client_secret", client_secret=entra.secret())
    try:
        await asyncio.wait_for(held.token(), 30)
    except (Denied, Unavailable) as error:
        said = f"{error} {error.hint}"
        if SECRET in said or harmless(said) != said:
            pytest.fail(said)
    assert entra.token_requests() == []
