"""What a 401 challenges and what a token says of itself."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.signin.claims import Claims, read_claims
from connector.signin.tokens import claims_challenge

TENANT = "11111111-1111-4111-8111-111111111111"


def challenge(text: str) -> dict[str, str]:
    encoded = base64.b64encode(text.encode()).decode()
    return {"www-authenticate": f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'}


def test_challenge_is_decoded() -> None:
    wanted = {"access_token": {"nbf": {"essential": True, "value": "1604106651"}}}
    assert json.loads(claims_challenge(challenge(json.dumps(wanted)))) == wanted


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"www-authenticate": "Bearer"},
        {"www-authenticate": 'Bearer claims="!"'},
        {"www-authenticate": 'Bearer claims="abc"'},
        challenge("[1]"),
        challenge("{broken"),
        challenge("é"),
        {"www-authenticate": 'Bearer claims="' + "A" * 50_000 + '"'},
    ],
)
def test_no_usable_challenge(headers: dict[str, str]) -> None:
    assert claims_challenge(headers) == ""


@given(st.text(max_size=200))
def test_any_header_is_harmless(text: str) -> None:
    claims_challenge({"www-authenticate": text})
    claims_challenge({"www-authenticate": f'claims="{text}"'})


def jwt(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


def test_application_token() -> None:
    token = jwt(
        {"tid": TENANT.upper(), "aud": "https://graph.microsoft.com", "roles": ["A", 5, "B"], "exp": 1795426200}
    )
    assert read_claims(token) == Claims(
        TENANT,
        "https://graph.microsoft.com",
        delegated=False,
        permissions=frozenset({"A", "B"}),
        expires_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
    )


def test_delegated_token() -> None:
    read = read_claims(jwt({"tid": TENANT, "scp": "A B", "wids": ["r"], "roles": ["ignored"]}))
    assert read == Claims(TENANT, "", delegated=True, permissions=frozenset("AB"), directory_roles=frozenset("r"))


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.b", jwt([1]), "é.é.é", jwt("x"), "..", "e30.W10.x"])
def test_opaque_token(token: str) -> None:
    assert read_claims(token) is None


@pytest.mark.parametrize("exp", [None, "soon", 1e300, -1e18, [], True])
def test_strange_times(exp: Any) -> None:
    assert read_claims(jwt({"exp": exp})) is not None


@given(st.text(max_size=100), st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.lists(st.none())))
def test_any_token_is_harmless(text: str, claims: dict[str, Any]) -> None:
    read_claims(text)
    read_claims(jwt(claims))
