"""Whatever a sign-in host, a receiver or a proxy answers: a judgement in one bounded line, never anything else."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import Denied, SecureScoreError, Unavailable
from connector.foreign.characters import is_harmless
from connector.formats import relp
from connector.net.http import MAX_RETRY_AFTER_S, Response, error_for, retry_after_s
from connector.signin import entra_http
from connector.signin.claims import read_claims
from connector.signin.msal_calls import token_of
from connector.signin.refusals import refusal
from sinks import sentinel, splunk
from tests.hostile.matter import TEXTS, altered, budget, dumps, harmed, only, values

NOW = datetime(2030, 1, 10, tzinfo=UTC)
STATUSES = st.sampled_from(
    [200, 201, 202, 204, 206, 301, 400, 401, 403, 404, 407, 408, 410, 413, 415, 425, 429, 500, 503, 999]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "content-type", "location", "x-ms-request-id", "request-id", "x-ms-retry-after-ms"]
    ),
    TEXTS,
    max_size=4,
)
CUTS = st.sampled_from(["", "", "", "truncated", "too_large"])
HEC = {"text": "Incorrect index", "code": 7, "invalid-event-number": 1, "ackId": 3}
ODATA = {"error": {"code": "x", "message": "y", "innerError": {"request-id": "z", "client-request-id": "a"}}}
REFUSED = {
    "error": "invalid_client",
    "error_description": "AADSTS7000215: wrong.\r\nTrace ID: x",
    "error_codes": [7000215],
    "trace_id": "x",
    "correlation_id": "y",
}
BODIES = st.one_of(
    *(altered(right).map(dumps) for right in (HEC, ODATA, REFUSED)), values().map(dumps), st.binary(max_size=60)
)
RESPONSES = st.builds(
    lambda status, headers, body, cut: Response(status, headers, body, NOW, cut), STATUSES, HEADERS, BODIES, CUTS
)


def in_one_line(error: SecureScoreError) -> None:
    for text in (error.what, error.hint):
        assert len(text) < 1500
        assert is_harmless(text), repr(text)


@pytest.mark.parametrize("judge", [splunk.judge, sentinel.judge])
@budget(100)
@given(response=RESPONSES)
def test_any_answer_of_a_receiver(judge: Callable[[Response], Any], response: Response) -> None:
    verdict = judge(response)
    if verdict.kind != "taken":
        in_one_line(verdict.error())


@budget(100)
@given(RESPONSES)
def test_any_unwanted_answer(response: Response) -> None:
    error = error_for(response, "asking")
    assert type(error) in (Unavailable, Denied)
    in_one_line(error)


@budget(150)
@given(
    TEXTS
    | st.from_regex(r"-?[0-9]{0,20}(\.[0-9]{0,12})?", fullmatch=True)
    | st.datetimes().map("{:%a, %d %b %Y %H:%M:%S GMT}".format)
)
def test_any_wish_to_be_left_alone_is_none_or_of_bounded_length(wish: str) -> None:
    found = retry_after_s({"retry-after": wish}, NOW)
    assert found is None or 0 <= found <= MAX_RETRY_AFTER_S


@budget(100)
@given(altered(REFUSED) | st.dictionaries(st.sampled_from(list(REFUSED)), values()), st.booleans())
def test_any_refusal_of_a_sign_in(result: Any, delegated: bool) -> None:
    error = refusal(result if isinstance(result, dict) else {}, what="signing in", delegated=delegated)
    assert isinstance(error, Unavailable | Denied)
    in_one_line(error)


@budget(100)
@given(RESPONSES, st.sampled_from(["GET", "POST"]))
def test_any_answer_of_a_sign_in_host(response: Response, method: str) -> None:
    """What is let through to MSAL is a whole JSON object."""
    try:
        entra_http._check_login(response, method, "signing in")
    except (Unavailable, Denied) as error:
        in_one_line(error)
    else:
        assert isinstance(json.loads(response.body), dict)


@budget(100)
@given(altered({"access_token": "a" * 40, "expires_in": 3600, "refresh_on": 1893459600}))
def test_any_token_that_is_granted(result: Any) -> None:
    try:
        token = token_of(result, NOW, "signing in")
    except Unavailable as error:
        in_one_line(error)
    else:
        assert token.value.isascii()
        assert token.value.isprintable()
        assert token.expires_at > NOW


@budget(75)
@given(altered({"aud": "https://graph", "tid": "x", "roles": ["a"], "wids": ["b"], "scp": "c d", "exp": 1893456000}))
def test_any_claims_of_a_token(claims: Any) -> None:
    middle = base64.urlsafe_b64encode(dumps(claims)).rstrip(b"=").decode()
    read_claims(f"a.{middle}.b")


# ---------------------------------------------------------------------------------------------------------------- RELP

FRAMES = st.lists(
    st.builds(
        relp.Frame,
        st.integers(0, relp.MAX_NUMBER),
        st.sampled_from(["rsp", "open", "serverclose"]),
        st.binary(max_size=30),
    ),
    max_size=4,
)


@budget(75)
@given(FRAMES, st.data())
def test_frames_come_back_however_they_are_cut(frames: list[relp.Frame], data: st.DataObject) -> None:
    octets = b"".join(relp.encode(frame.number, frame.command, frame.data) for frame in frames)
    reader, found = relp.Reader(), []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        found += reader.feed(octets[:size])
        octets = octets[size:]
    assert found == frames


@budget(150)
@given(
    harmed(relp.encode(1, "rsp", b"200 OK\nrelp_version=0\ncommands=syslog") + relp.encode(0, "serverclose"))
    | st.binary(max_size=80)
)
def test_any_octets_of_a_relp_receiver(octets: bytes) -> None:
    reader = relp.Reader()
    with only(ValueError):
        for frame in reader.feed(octets):
            relp.offered_commands(relp.answer(frame).rest)
    assert len(reader._waiting) <= relp.MAX_ANSWER_BYTES + 100
