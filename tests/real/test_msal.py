"""Real MSAL against a TLS authority on loopback with a private CA: every kind of sign-in, and every refusal."""

import asyncio
import base64
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import evolve
from msal.managed_identity import _supported_arc_platforms_and_their_prefixes  # type: ignore[import-untyped]

from connector import app
from connector.clock import SystemClock
from connector.config.values import AuthConfig, NetworkConfig
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.net.clouds import CLOUDS
from connector.net.http import Response
from connector.signin.claims import Claims, read_claims
from connector.signin.msal_calls import Target
from connector.signin.refusals import SignInRefused
from connector.signin.tokens import SignIn, azure_credential
from connector.simulator.server import READ
from tests.config_example import minimal, parsed
from tests.real.authority import CLIENT, IDENTITY, OTHER, SECRET, TENANT, Bench, bench, keys

PASSWORD = "open-sesame-4711"


@pytest.fixture
async def entra(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


def claims(token: str) -> Claims:
    found = read_claims(token)
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------- every kind works


async def test_client_secret(entra: Bench) -> None:
    held = entra.held("client_secret", client_secret=entra.secret())
    token = await held.token()
    assert claims(token).tenant_id == TENANT
    assert claims(token).permissions == {READ}
    assert await held.token() == token
    (request,) = entra.token_requests()
    assert request["scope"] == "https://graph.microsoft.com/.default"
    assert "CP1" in request["claims"]


@pytest.mark.parametrize("form", ["pem", "pem_encrypted", "pfx", "pfx_encrypted"])
async def test_certificate_is_proven_with_sha256_only(entra: Bench, form: str) -> None:
    made = keys(PASSWORD)
    entra.app.certificates.append(made.certificate)
    password = entra.secret(PASSWORD, "password") if "encrypted" in form else None
    held = entra.held("certificate", file=entra.file("key", getattr(made, form)), password=password)
    assert claims(await held.token()).tenant_id == TENANT
    (request,) = entra.token_requests()
    header = json.loads(base64.urlsafe_b64decode(request["client_assertion"].partition(".")[0] + "=="))
    assert header["alg"] == "PS256"
    assert "x5t#S256" in header
    assert "x5t" not in header


async def test_managed_identity_of_an_app_service(entra: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.authority.identities.update({"": TENANT, IDENTITY: OTHER})
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.authority.base_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-of-the-platform")
    assert claims(await entra.held("managed_identity").token()).tenant_id == TENANT
    assert claims(await entra.held("managed_identity", client_id=IDENTITY).token()).tenant_id == OTHER
    assert [r["resource"] for r in entra.authority.requests] == ["https://graph.microsoft.com"] * 2


async def test_managed_identity_of_a_virtual_machine(entra: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.authority.identities[""] = TENANT
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.authority.base_url)
    assert claims(await entra.held("managed_identity").token()).tenant_id == TENANT


async def test_managed_identity_of_a_machine_behind_azure_arc(
    entra: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The agent challenges: whoever can read a file that only group himds may read gets the token."""
    asked: list[Mapping[str, str]] = []

    async def agent(request: web.Request) -> web.Response:
        asked.append({**request.query, "authorization": request.headers.get("Authorization", "")})
        if request.headers.get("Authorization") != "Basic secret-of-the-agent":
            return web.Response(status=401, headers={"WWW-Authenticate": f"Basic realm={tmp_path}/challenge.key"})
        token = entra.authority.issue({"tid": TENANT, "aud": "https://graph.microsoft.com"})
        return web.json_response({"access_token": token, "expires_in": "3599", "resource": request.query["resource"]})

    monkeypatch.setitem(_supported_arc_platforms_and_their_prefixes, "linux", str(tmp_path))
    app = web.Application()
    app.router.add_get("/metadata/identity/oauth2/token", agent)
    async with TestServer(app) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", str(server.make_url("/metadata/identity/oauth2/token")))
        monkeypatch.setenv("IMDS_ENDPOINT", str(server.make_url("/")))
        with pytest.raises(Unavailable, match=r"challenge\.key: No such file") as caught:
            await entra.held("managed_identity").token()
        assert "himds" in caught.value.hint
        (tmp_path / "challenge.key").write_text("secret-of-the-agent")
        assert claims(await entra.held("managed_identity", client_id=None).token()).tenant_id == TENANT
    assert [a["resource"] for a in asked] == ["https://graph.microsoft.com"] * 3
    assert asked[-1]["authorization"] == "Basic secret-of-the-agent"


async def test_federated_token_file_is_read_for_every_sign_in(entra: Bench) -> None:
    entra.app.federated_subjects.add("system:serviceaccount:soc:connector")
    subject = {"sub": "system:serviceaccount:soc:connector", "aud": "api://AzureADTokenExchange"}
    file = entra.file("federated", entra.authority.issue(subject) + "\n")
    held = entra.held("federated", token_file=file)
    first = await held.token()
    assert claims(first).tenant_id == TENANT
    renewed = entra.authority.issue(subject)
    Path(file).write_text(renewed)
    await held.token(refused=first)
    assert entra.token_requests()[-1]["client_assertion"] == renewed


async def test_managed_identity_as_federated_credential(entra: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.app.federated_subjects.add(f"identity:{IDENTITY}")
    entra.authority.identities[IDENTITY] = OTHER
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.authority.base_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-of-the-platform")
    assert claims(await entra.held("federated", managed_identity=IDENTITY).token()).tenant_id == TENANT
    asked = next(r for r in entra.authority.requests if r["path"] == "/msi/token")
    assert asked["resource"] == "api://AzureADTokenExchange"


async def test_azure_libraries_get_the_same_tokens(entra: Bench) -> None:
    auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": entra.secret(), "tenant_id": TENANT})
    entra.authority.refresh_in_s = 1800
    async with azure_credential(auth, entra.cloud, entra.network, SystemClock()) as credential:
        infos = await asyncio.gather(
            *(credential.get_token_info("https://monitor.azure.com/.default") for _ in range(20))
        )
        info = infos[0]
        assert {i.token for i in infos} == {info.token}
        assert claims(info.token).audience == "https://monitor.azure.com"
        now = SystemClock().now().timestamp()
        assert info.expires_on - now == pytest.approx(3599, abs=5)
        assert info.refresh_on is not None
        assert info.refresh_on - now == pytest.approx(1800, abs=5)
        assert (await credential.get_token("https://monitor.azure.com/.default")).token == info.token
        assert len(entra.token_requests()) == 1
        credential.forget(info.token)
        renewed = (await credential.get_token_info("https://monitor.azure.com/.default")).token
        assert renewed != info.token
        assert len(entra.token_requests()) == 2
        entra.app.roles[OTHER] = entra.app.roles[TENANT]  # consented to there
        theirs = await credential.of_directory(OTHER).get_token_info("https://monitor.azure.com/.default")
        assert claims(theirs.token).tenant_id == OTHER
        assert (await credential.get_token_info("https://monitor.azure.com/.default")).token == renewed


# ------------------------------------------------------------------------------------------------------- device code


async def login(entra: Bench, tenant: str = TENANT, cache: str = "cache") -> AuthConfig:
    auth = AuthConfig("device_code", {"client_id": CLIENT, "cache": str(entra.folder / cache)})
    target = entra.target(tenant)
    flow = await entra.sign_in.begin_login(auth, target, entra.network)
    assert entra.authority.decide(flow.code)
    token = await entra.sign_in.finish_login(flow, auth, target)
    assert token is not None
    assert claims(token.value).delegated
    return auth


async def test_device_code_is_renewed_silently_from_a_private_cache(entra: Bench) -> None:
    auth = await login(entra)
    cache = entra.folder / "cache"
    assert cache.stat().st_mode & 0o777 == 0o600
    assert "AccessToken" not in json.loads(cache.read_text())
    before = cache.read_text()
    held = entra.sign_in.held(auth, entra.target(), entra.network)
    token = await held.token()
    assert claims(token).permissions == {READ}
    assert cache.read_text() != before, "the refresh token was renewed with it"
    assert await held.token(refused=token) != token


async def test_one_sign_in_serves_other_directories(entra: Bench) -> None:
    """GDAP: the partner's user reads the customers."""
    auth = await login(entra)
    held = entra.sign_in.held(auth, entra.target(OTHER), entra.network)
    assert claims(await held.token()).tenant_id == OTHER


async def test_lapsed_sign_in_says_what_to_do(entra: Bench) -> None:
    auth = await login(entra)
    entra.authority.revoke()
    with pytest.raises(SignInRefused, match="lapsed") as caught:
        await entra.sign_in.held(auth, entra.target(), entra.network).token()
    assert caught.value.reason == "login_lapsed"
    assert "securescore login" in caught.value.hint


@pytest.mark.parametrize("content", [None, "", "[]", "{broken", "{}", '{"Account": 7}'])
async def test_without_a_usable_cache_somebody_must_sign_in(entra: Bench, content: str | None) -> None:
    if content is not None:
        entra.file("cache", content)
    with pytest.raises(SecureScoreError) as caught:
        await entra.held("device_code", cache=str(entra.folder / "cache")).token()
    if isinstance(caught.value, SignInRefused):
        assert caught.value.reason == "login_missing"
        assert "securescore login" in caught.value.hint
    else:
        assert content == '{"Account": 7}'


async def test_cache_that_everybody_reads_is_refused(entra: Bench) -> None:
    auth = await login(entra)
    (entra.folder / "cache").chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine"):
        await entra.sign_in.held(auth, entra.target(), entra.network).token()


async def test_nothing_is_kept_while_the_person_has_not_signed_in(entra: Bench) -> None:
    auth = AuthConfig("device_code", {"client_id": CLIENT, "cache": str(entra.folder / "cache")})
    flow = await entra.sign_in.begin_login(auth, entra.target(), entra.network)
    assert flow.url == f"{entra.authority.base_url}/device"
    assert await entra.sign_in.finish_login(flow, auth, entra.target()) is None
    assert not (entra.folder / "cache").exists()


async def test_declined_sign_in(entra: Bench) -> None:
    auth = AuthConfig("device_code", {"client_id": CLIENT, "cache": str(entra.folder / "cache")})
    flow = await entra.sign_in.begin_login(auth, entra.target(), entra.network)
    entra.authority.decide(flow.code, approve=False)
    with pytest.raises(SignInRefused, match="was declined"):
        await entra.sign_in.finish_login(flow, auth, entra.target())
    assert not (entra.folder / "cache").exists()


async def test_public_client_switched_off(entra: Bench) -> None:
    entra.app.public_client = False
    auth = AuthConfig("device_code", {"client_id": CLIENT, "cache": str(entra.folder / "cache")})
    flow = await entra.sign_in.begin_login(auth, entra.target(), entra.network)
    with pytest.raises(SignInRefused) as caught:
        await entra.sign_in.finish_login(flow, auth, entra.target())
    assert caught.value.reason == "public_client_off"


# ------------------------------------------------------------------------------------------------------------ refusals


async def refused(entra: Bench, tenant: str = TENANT, secret: str = SECRET) -> SignInRefused:
    with pytest.raises(SignInRefused) as caught:
        await entra.held("client_secret", tenant, client_secret=entra.secret(secret)).token()
    error = caught.value
    assert error.hint
    assert secret not in error.what + error.hint + repr(error)
    return error


async def test_wrong_secret(entra: Bench) -> None:
    error = await refused(entra, secret="wrong-but-secret-value")
    assert error.reason == "secret_wrong"
    assert "AADSTS7000215" in error.what


async def test_expired_secret_is_called_expired(entra: Bench) -> None:
    entra.app.secrets[SECRET] = False
    error = await refused(entra)
    assert error.reason == "secret_expired"
    assert "has expired" in error.what


async def test_disabled_application(entra: Bench) -> None:
    entra.app.disabled = True
    assert (await refused(entra)).reason == "app_disabled"


async def test_consent_missing(entra: Bench) -> None:
    assert (await refused(entra, OTHER)).reason == "consent_missing"


async def test_application_of_another_directory(entra: Bench) -> None:
    del entra.authority.registrations[CLIENT]
    assert (await refused(entra)).reason == "app_unknown"


async def test_unknown_tenant(entra: Bench) -> None:
    error = await refused(entra, "33333333-3333-4333-8333-333333333333")
    assert error.reason == "tenant_unknown"
    assert entra.token_requests() == [], "no secret is sent for it"


async def test_unregistered_certificate(entra: Bench) -> None:
    with pytest.raises(SignInRefused) as caught:
        await entra.held("certificate", file=entra.file("key.pem", keys(PASSWORD).pem)).token()
    assert caught.value.reason == "certificate_unknown"


async def test_expired_certificate_is_called_expired(entra: Bench) -> None:
    made = keys(PASSWORD, days=-3)
    with pytest.raises(SignInRefused, match=r"certificate expired on 20\d\d-") as caught:
        await entra.held("certificate", file=entra.file("key.pem", made.pem)).token()
    assert caught.value.reason == "secret_expired"


async def test_federated_subject_and_audience(entra: Bench) -> None:
    entra.app.federated_subjects.add("known")
    file = entra.file("token", entra.authority.issue({"sub": "known", "aud": "https://elsewhere"}))
    with pytest.raises(SignInRefused) as caught:
        await entra.held("federated", token_file=file).token()
    assert caught.value.reason == "federation"


async def test_no_identity_on_this_machine(entra: Bench, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(Unavailable, match="managed identity") as caught:
        await entra.held("managed_identity").token()
    assert "Azure Arc" in caught.value.hint


async def test_identity_that_is_not_assigned(entra: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.authority.base_url)
    with pytest.raises(SignInRefused) as caught:
        await entra.held("managed_identity", client_id=IDENTITY).token()
    assert caught.value.reason == "identity_refused"


# ------------------------------------------------------------------------------------------------- the way to the host


async def test_private_ca_is_needed_and_enough(entra: Bench) -> None:
    untrusting = evolve(entra.network, ca_file=None)
    auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": entra.secret()})
    with pytest.raises(Denied, match="not trusted") as caught:
        await entra.sign_in.held(auth, entra.target(), untrusting).token()
    assert "ca_file" in caught.value.hint
    assert await entra.sign_in.held(auth, entra.target(), entra.network).token()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_variables_of_the_requests_library_change_nothing(
    entra: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, entra.file("other-ca.pem", keys(PASSWORD).certificate))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    assert await entra.held("client_secret", client_secret=entra.secret()).token()


async def test_discovery_that_leads_elsewhere_gets_no_secret(entra: Bench) -> None:
    entra.authority.elsewhere = "https://login.example.invalid"
    error = await refused(entra)
    assert error.reason == "cloud"
    assert "login.example.invalid" in error.what


HTML = b"<!DOCTYPE html><html>Welcome to the guest network</html>"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((200, {"Content-Type": "text/html"}, HTML), Denied, "web page"),
        ((403, {"Content-Type": "text/html"}, HTML), Denied, "web page"),
        ((503, {"Content-Type": "text/html"}, HTML), Unavailable, "HTTP 503"),
        ((302, {"Location": "https://portal.example.invalid/"}, b""), Denied, "redirect"),
        ((200, JSON, b'{"access_token": "cut-off-secret-tok'), Unavailable, "not JSON"),
        ((200, JSON, b"[1, 2]"), Unavailable, "not JSON"),
        ((200, JSON, b'{"access_token": "a b", "expires_in": 60}'), Unavailable, "no usable token"),
        ((200, JSON, b'{"access_token": "abc", "expires_in": "soon"}'), Unavailable, "unknown form"),
        ((200, JSON, b'{"access_token": "abc", "expires_in": 0}'), Unavailable, "no usable token"),
        ((200, JSON, b'{"access_token": 5, "expires_in": 60}'), Unavailable, "answer"),
        ((400, JSON, b'{"error": "invalid_grant", "error_description": {"a": 1}}'), Denied, "refused"),
        ((200, JSON, b'{"x": "' + b"x" * 10_000_000 + b'"}'), Unavailable, "broke off"),
        ((500, JSON, b"x" * 10_000_000), Unavailable, "broke off"),
    ],
)
async def test_strange_answers_are_clear_errors(
    entra: Bench, caplog: pytest.LogCaptureFixture, answer: tuple[int, dict[str, str], bytes], kind: type, words: str
) -> None:
    caplog.set_level(logging.DEBUG)
    held = entra.held("client_secret", client_secret=entra.secret())
    first = await held.token()
    entra.authority.fail.append(answer)
    with pytest.raises(kind, match=words) as caught:
        await held.token(refused=first)
    assert "cut-off-secret" not in caplog.text + str(caught.value)
    assert len(str(caught.value)) < 1000


async def test_throttling_is_honoured_without_asking_again(entra: Bench) -> None:
    held = entra.held("client_secret", client_secret=entra.secret())
    entra.authority.fail.append((429, {"Retry-After": "40"}, b"{}"))
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await held.token()
        assert caught.value.retry_after_s == pytest.approx(40, abs=1)
    assert len(entra.authority.requests) == 1


async def test_the_far_end_repeats_the_secret_and_nobody_sees_it(
    entra: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    jwt = entra.authority.issue({"sub": "someone"})
    echo = json.dumps({"error": "invalid_client", "error_description": f"AADSTS7000215: {SECRET} {jwt}"})
    held = entra.held("client_secret", client_secret=entra.secret())
    first = await held.token()
    for status in (401, 500):
        entra.authority.fail.append((status, {"Content-Type": "application/json"}, echo.encode()))
        with pytest.raises(SecureScoreError) as caught:
            await held.token(refused=first)
        error = caught.value
        out, err = capfd.readouterr()
        seen = caplog.text + out + err + str(error) + repr(error) + error.hint + repr(error.__dict__) + repr(held)
        for hidden in (SECRET, quote_plus(SECRET), jwt):
            assert hidden not in seen
        assert error.__cause__ is None


async def test_no_token_or_secret_is_ever_logged(
    entra: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    made = keys(PASSWORD)
    entra.app.certificates.append(made.certificate)
    tokens = [
        await entra.held("client_secret", client_secret=entra.secret()).token(),
        await entra.held("certificate", file=entra.file("key", made.pem)).token(),
        await entra.sign_in.held(await login(entra), entra.target(), entra.network).token(),
    ]
    sent = [r.get("client_assertion") or r.get("refresh_token") or r.get("device_code") for r in entra.token_requests()]
    out, err = capfd.readouterr()
    seen = caplog.text + out + err
    for hidden in [*tokens, SECRET, *(s for s in sent if s)]:
        assert hidden not in seen


# ------------------------------------------------------------------------------------------------------ a life of many


async def test_many_at_once_ask_once(entra: Bench) -> None:
    held = entra.held("client_secret", client_secret=entra.secret())
    tokens = await asyncio.gather(*(held.token() for _ in range(50)))
    assert len(set(tokens)) == 1
    renewed = await asyncio.gather(*(held.token(refused=tokens[0]) for _ in range(50)))
    assert len(set(renewed)) == 1
    assert renewed[0] != tokens[0]
    assert len(entra.token_requests()) == 2


async def test_a_renewed_secret_is_used_without_a_restart(entra: Bench) -> None:
    held = entra.held("client_secret", client_secret=entra.secret())
    first = await held.token()
    entra.app.secrets = {"brand-new": True}
    entra.file("secret", "brand-new")
    await held.token(refused=first)
    assert entra.token_requests()[-1]["client_secret"] == "brand-new"


async def test_a_claims_challenge_reaches_the_authority(entra: Bench) -> None:
    held = entra.held("client_secret", client_secret=entra.secret())
    first = await held.token()
    challenge = '{"access_token": {"nbf": {"essential": true, "value": "1604106651"}}}'
    assert await held.token(refused=first, claims=challenge) != first
    assert "1604106651" in entra.token_requests()[-1]["claims"]


async def test_applications_are_bounded(entra: Bench) -> None:
    entra.app.roles[None] = frozenset({READ})
    tenants = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(12)]
    entra.authority.tenants.update(tenants)
    sign_in = SignIn(SystemClock(), entra.transports.get, max_apps=4)
    try:
        auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": entra.secret()})
        for tenant in tenants:
            await sign_in.held(auth, entra.target(tenant), entra.network).token()
        assert len(sign_in._apps) == 4
        # What was forgotten is built anew; tokens that are held need none.
        before = len(entra.authority.requests)
        token = sign_in.held(auth, entra.target(tenants[0]), entra.network)
        held = await token.token()
        assert len(entra.authority.requests) == before
        assert claims(await token.token(refused=held)).tenant_id == tenants[0]
    finally:
        await sign_in.close()


async def test_a_host_that_hangs_keeps_nobody_of_another_cloud_waiting(tmp_path: Path) -> None:
    """Forty tenants sign in at a host that takes connections and says nothing: the one of another cloud is served."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=100)
    hung = evolve(CLOUDS["global"], login=f"https://127.0.0.1:{silent.getsockname()[1]}")
    async with bench(tmp_path, timeout_s=3.0) as made:
        auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": made.secret()})
        targets = [Target(f"{n:08x}-0000-4000-8000-000000000000", hung, hung.graph_audience) for n in range(40)]
        waiting = [asyncio.create_task(made.sign_in.held(auth, t, made.network).token()) for t in targets]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(2):
            assert claims(await made.held("client_secret", client_secret=made.secret()).token()).tenant_id == TENANT
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    silent.close()


async def test_an_application_signs_in_over_the_network_of_who_asks(entra: Bench) -> None:
    """Two ways out for one application, such as two proxies: neither is taken for the other."""
    asked: list[NetworkConfig] = []

    class Seen:
        def __init__(self, network: NetworkConfig) -> None:
            self.network = network

        async def request(self, *words: Any, **options: Any) -> Response:
            asked.append(self.network)
            return await entra.transports.get(entra.network).request(*words, **options)

    other = evolve(entra.network, no_proxy=("elsewhere.example",))
    sign_in = SignIn(SystemClock(), Seen)
    auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": entra.secret()})
    for network in (entra.network, other):
        asked.clear()
        await sign_in.held(auth, entra.target(), network).token()
        assert set(asked) == {network}
    await sign_in.close()


async def test_closing_ends_a_sign_in_under_way(tmp_path: Path) -> None:
    """A sign-in host that never answers does not hold up a stop."""
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    port = silent.getsockname()[1]
    async with bench(tmp_path, timeout_s=30.0) as made:
        made.authority.base_url = f"https://127.0.0.1:{port}"
        waiting = asyncio.create_task(made.held("client_secret", client_secret=made.secret()).token())
        await asyncio.sleep(0.3)
        async with asyncio.timeout(3):
            await made.transports.close()
            with pytest.raises((asyncio.CancelledError, SecureScoreError)):
                await waiting
    silent.close()


async def test_a_providers_application_signs_in_at_home_to_read_a_customers_subscriptions(
    entra: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure Lighthouse: the customer's directory is never signed in to, and the token is Azure's."""
    monkeypatch.setattr(app, "cloud_of_arm", lambda *_: entra.cloud)
    auth = {"kind": "client_secret", "client_id": CLIENT, "client_secret": entra.secret(), "tenant_id": TENANT}
    tenant = {"name": "customer", "tenant_id": OTHER, "source": "defender_cloud", "auth": auth}
    config = parsed(minimal(tenants=[tenant], network={"ca_file": entra.network.ca_file}))
    (customer,) = config.tenants
    token = await app.token_provider(customer, config, entra.transports).token()
    assert claims(token).tenant_id == TENANT
    assert {request["path"] for request in entra.token_requests()} == {f"/{TENANT}/oauth2/v2.0/token"}
    assert {request["scope"] for request in entra.token_requests()} == {"https://management.azure.com/.default"}
