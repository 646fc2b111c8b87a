"""What MSAL refuses before it asks anybody is the configuration's fault: told at once, with a next step."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from connector.config.values import AuthConfig
from connector.errors import ConfigError, Unavailable
from connector.net.clouds import CLOUDS, Cloud
from connector.net.http import Response
from connector.signin.entra import Apps, acquire
from connector.signin.entra_http import Bridge
from connector.signin.msal_calls import Target

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DIRECTORY = "11111111-1111-1111-1111-111111111111"


class Far:
    """A transport that notes what it is asked, and answers every request alike."""

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.status, self.body = status, body
        self.asked: list[str] = []

    async def request(self, method: str, url: str, **_: Any) -> Response:
        self.asked.append(url)
        return Response(self.status, {"content-type": "application/json"}, self.body, datetime.now(UTC))


async def sign_in(far: Far, auth: AuthConfig, cloud: Cloud) -> object:
    bridge = Bridge(far)
    target = Target(DIRECTORY, cloud, cloud.graph_audience)
    return await asyncio.to_thread(acquire, auth, target, http=bridge, direct=bridge, apps=Apps(1), now=NOW)


@pytest.mark.parametrize("login", ["http://127.0.0.1:8080", "http://localhost:1", "ftp://x", ""])
async def test_an_address_that_msal_will_not_have(login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    far = Far()
    auth = AuthConfig("client_secret", {"client_id": DIRECTORY, "client_secret": "${env:SECRET}"})
    with pytest.raises(ConfigError, match="on this machine, before anybody was asked") as caught:
        await sign_in(far, auth, cloud_at(login))
    assert caught.value.hint
    assert far.asked == []


@pytest.mark.parametrize(
    "body", [{}, {"token_endpoint": "https://login.microsoftonline.com/x"}, {"authorization_endpoint": 5}]
)
async def test_what_an_answer_makes_msal_refuse_is_the_far_ends(
    body: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    far = Far(body=str(body).replace("'", '"').encode())
    auth = AuthConfig("client_secret", {"client_id": DIRECTORY, "client_secret": "${env:SECRET}"})
    with pytest.raises(Unavailable, match="the answer has an unknown form"):
        await sign_in(far, auth, CLOUDS["global"])
    assert len(far.asked) == 1


def cloud_at(login: str) -> Cloud:
    """The global cloud with another sign-in host."""
    return evolve(CLOUDS["global"], login=login)
