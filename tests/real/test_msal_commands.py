"""`securescore check` and `login` with real MSAL, a TLS authority and a simulated Graph: each fault with its remedy."""

import asyncio
import csv
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import define

from connector.cli import check
from connector.cli.check_clock import Skew
from connector.cli.check_tenants import denied_although
from connector.cli.findings import Finding, show
from connector.cli.main import main
from connector.clock import SystemClock
from connector.config.values import Config
from connector.config.yaml_file import load
from connector.net.http import Response
from connector.registry import sink_options
from connector.signin.claims import read_claims
from connector.simulator.authority import Registration
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import READ, WRITE, serve
from connector.simulator.world import World
from tests.real.authority import CLIENT, IDENTITY, SECRET, Bench, bench, keys

START = (datetime.now(UTC) - timedelta(days=100)).date()


@define
class Site:
    """A simulated Microsoft with two tenants, and configurations for it."""

    bench: Bench
    graph: str
    faults: Faults
    tenants: list[str]

    def secret(self, value: str = SECRET, **more: Any) -> dict[str, Any]:
        return {
            "kind": "client_secret",
            "client_id": CLIENT,
            "client_secret": self.bench.secret(value, f"secret-{len(value)}"),
            **more,
        }

    def token(self, **claims: Any) -> dict[str, Any]:
        """A credential: a token file with a token of these claims."""
        text = self.bench.authority.issue({"aud": "https://graph.microsoft.com", **claims})
        return {"kind": "token", "file": self.bench.file("token", text)}

    def write(self, *auths: dict[str, Any], write_auth: dict[str, Any] | None = None, **sections: Any) -> str:
        """A configuration file; the tenants are called t0, t1, …"""
        extra = {"write_auth": write_auth} if write_auth else {}
        tenants = [{"name": f"t{n}", "tenant_id": self.tenants[n], "auth": a, **extra} for n, a in enumerate(auths)]
        content = {
            "state": {"path": "state.db"},
            "network": {"ca_file": self.bench.network.ca_file, "timeout_s": 5},
            "graph": {"base_url": self.graph, "authority": self.bench.authority.base_url},
            "tenants": tenants,
            "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
            **sections,
        }
        return self.bench.file("securescore.yaml", json.dumps(content))

    def config(self, *auths: dict[str, Any], **sections: Any) -> Config:
        return load(self.write(*auths, **sections), sink_options=sink_options)

    async def check(self, *auths: dict[str, Any], **sections: Any) -> Finding:
        """What `check` finds of the first tenant."""
        findings = await check.collect(self.config(*auths, **sections))
        return next(f for f in findings if f.what == "tenant")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with bench(tmp_path) as made:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        world, faults = World(7, 2, START), Faults()
        tenants = [who.id for who in world.tenants]
        made.authority.tenants.update(tenants)
        made.app.roles.update({tenant: frozenset({READ}) for tenant in tenants})
        accept = made.authority.caller
        async with serve(world, SystemClock(), faults=faults, ssl=context, authenticate=accept) as graph:
            yield Site(made, f"https://localhost:{urlsplit(graph.base_url).port}", faults, tenants)


async def test_all_good(site: Site) -> None:
    findings = await check.collect(site.config(site.secret()))
    assert [f for f in findings if f.ok is False] == []
    (tenant,) = (f for f in findings if f.what == "tenant")
    assert tenant.ok
    assert f"signed in as application with {READ}" in tenant.detail
    assert next(f for f in findings if f.what == "clock").ok


# ------------------------------------------------------------------------------------------------------------- faults


async def test_missing_application_permission_is_named(site: Site) -> None:
    site.bench.app.roles[site.tenants[0]] = frozenset({"User.Read.All"})
    found = await site.check(site.secret())
    assert (found.ok, found.reason) == (False, "permission_missing")
    assert found.detail == f"the application permission {READ} is missing (granted: User.Read.All)"
    assert "consent" in found.hint


async def test_missing_delegated_permission_is_named(site: Site) -> None:
    found = await site.check(site.token(tid=site.tenants[0], scp="User.Read"))
    assert f"the delegated permission {READ} is missing" in found.detail


async def test_wrong_directory(site: Site) -> None:
    found = await site.check(site.token(tid=site.tenants[1], roles=[READ]))
    assert found.reason == "wrong_directory"
    assert site.tenants[1] in found.detail


async def test_token_for_another_service(site: Site) -> None:
    found = await site.check(site.token(tid=site.tenants[0], roles=[READ], aud="https://management.azure.com"))
    assert found.reason == "wrong_audience"


async def test_expired_token(site: Site) -> None:
    found = await site.check(site.token(tid=site.tenants[0], roles=[READ], exp=1_700_000_000))
    assert found.reason == "token_expired"
    assert "2023-11-14" in found.detail


async def test_opaque_token_has_unknown_roles(site: Site) -> None:
    file = site.bench.file("token", "opaque")
    found = await site.check({"kind": "token", "file": file})
    assert found.ok is False
    assert "roles are unknown" in found.hint


async def test_user_without_directory_role(site: Site) -> None:
    found = await site.check(site.token(tid=site.tenants[0], scp=READ, wids=["none-of-them"]))
    assert (found.ok, found.reason) == (False, "directory_role_missing")
    assert "Security Reader" in found.hint


async def test_a_user_who_signed_in_needs_the_directory_role_too(site: Site) -> None:
    site.bench.authority.directory_roles = ()
    auth = {"kind": "device_code", "client_id": CLIENT, "cache": "cache.json"}
    code, _ = await asyncio.gather(command("login", "-c", site.write(auth)), approve(site))
    assert code == 0
    config = site.config(auth)
    (finding,) = (f for f in await check.collect(config) if f.what == "tenant")
    assert (finding.ok, finding.reason) == (False, "directory_role_missing")


async def test_a_claims_challenge_is_answered_with_a_token_that_meets_it(site: Site) -> None:
    site.faults.add(Fault("challenge"))
    found = await site.check(site.secret())
    assert found.ok is True
    *_, first, second = site.bench.token_requests()
    assert "nbf" not in first["claims"]
    assert json.loads(second["claims"])["access_token"]["nbf"]["essential"] is True


async def test_unlicensed_tenant(site: Site) -> None:
    site.faults.add(Fault("denied"))
    found = await site.check(site.secret())
    assert (found.ok, found.reason) == (False, "unlicensed")
    assert "licence" in found.hint


async def test_write_auth_is_tried_too(site: Site) -> None:
    writer = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
    site.bench.authority.registrations[writer] = Registration(
        writer, secrets={SECRET: True}, roles={None: frozenset({READ})}
    )
    findings = await check.collect(site.config(site.secret(), write_auth=site.secret() | {"client_id": writer}))
    (found,) = (f for f in findings if f.what == "write_auth")
    assert found.detail == f"the application permission {WRITE} is missing (granted: {READ})"


async def test_unreachable_sign_in_host(site: Site, unused_tcp_port: int) -> None:
    graph = {"base_url": site.graph, "authority": f"https://localhost:{unused_tcp_port}"}
    found = await site.check(site.secret(), graph=graph)
    assert "no connection to" in found.detail
    assert str(unused_tcp_port) in found.detail
    assert "firewall" in found.hint


async def test_untrusted_certificate_and_dead_proxy_are_told_apart(site: Site, unused_tcp_port: int) -> None:
    untrusted = await site.check(site.secret(), network={})
    assert "not trusted" in untrusted.detail
    assert "ca_file" in untrusted.hint
    dead = await site.check(site.secret(), network={"proxy": f"http://127.0.0.1:{unused_tcp_port}"})
    assert "the proxy cannot be reached" in dead.detail
    assert "network.proxy" in dead.hint


async def test_unreadable_key_file(site: Site) -> None:
    file = site.bench.file("key.pem", "rubbish", 0o644)
    found = await site.check({"kind": "certificate", "client_id": CLIENT, "file": file})
    assert "every user of this machine" in found.detail
    assert found.hint == f"chmod 600 {file}"


async def test_expiring_and_expired_secrets(site: Site) -> None:
    today = datetime.now(UTC).date()
    soon, gone = (today + timedelta(days=20)).isoformat(), (today - timedelta(days=2)).isoformat()
    findings = await check.collect(
        site.config(site.secret(expires_on=soon), site.secret(expires_on=gone, client_id=IDENTITY))
    )
    by_place = {f.subject: f for f in findings if f.what == "expiry"}
    assert by_place["tenants.t0.auth"].ok is None
    assert "in 19 days" in by_place["tenants.t0.auth"].detail
    assert by_place["tenants.t1.auth"].ok is False
    assert by_place["tenants.t1.auth"].reason == "secret_expired"


@pytest.mark.parametrize(("skew_s", "ok"), [(0, True), (59, True), (-61, None), (299, None), (301, False)])
def test_clock_skew(skew_s: int, ok: bool | None) -> None:
    skew = Skew()
    date = datetime(2026, 11, 22, 9, tzinfo=UTC)
    for headers in ({"date": "Sun, 22 Nov 2026 09:00:00 GMT"}, {"date": "rubbish"}, {}):
        skew.look(Response(200, headers, b"", date + timedelta(seconds=skew_s)))
    (found,) = skew.finding()
    assert found.ok is ok
    assert ("ahead" in found.detail) == (ok is not True and skew_s > 0)


def test_no_answer_says_nothing_about_the_clock() -> None:
    assert Skew().finding() == []


@pytest.mark.parametrize(
    ("claims", "reason", "words"),
    [
        (None, "denied", "opaque"),
        ({"roles": [READ]}, "unlicensed", "licence"),
        ({"scp": READ, "wids": ["x"]}, "directory_role_missing", "Security Reader"),
        ({"scp": READ}, "denied", "Security Reader"),
        ({"scp": READ, "wids": ["5d6b6bb7-de71-4623-b4af-96380a352509"]}, "unlicensed", "licence"),
    ],
)
async def test_graph_denies_a_token_that_looked_good(
    site: Site, claims: dict[str, Any] | None, reason: str, words: str
) -> None:
    token = None if claims is None else read_claims(site.bench.authority.issue(claims))
    hint, found = denied_although(token, "ask.")
    assert found == reason
    assert words in hint


# ------------------------------------------------------------------------------------------------------- the commands


async def command(*words: str) -> int:
    return await asyncio.to_thread(main, words)


async def test_consent_addresses_are_written(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    del site.bench.app.roles[site.tenants[1]]
    path = site.write(site.secret(), site.secret())
    target = site.bench.folder / "consent.csv"
    assert await command("check", "-c", path, "--json", "--consent-csv", str(target)) == 3
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {
            "name": "t1",
            "tenant_id": site.tenants[1],
            "client_id": CLIENT,
            "consent_url": f"{site.bench.authority.base_url}/{site.tenants[1]}/adminconsent?client_id={CLIENT}",
        }
    ]
    out = capsys.readouterr().out
    found = json.loads(out)
    assert {tuple(f) for f in found} == {("what", "subject", "ok", "detail", "hint", "reason")}
    assert [f["reason"] for f in found if f["ok"] is False] == ["consent_missing"]
    assert SECRET not in out


def test_thousands_of_tenants_are_grouped_by_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(n: int) -> Finding:
        guid = f"{n:08d}-0000-4000-8000-000000000000"
        reason = "secret_expired" if n % 2 else "consent_missing"
        return Finding("tenant", f"t{n}", False, f"directory {guid}: refused (trace {guid})", "do something", reason)

    show([refused(n) for n in range(3000)] + [Finding("tenant", f"g{n}", True, "fine") for n in range(500)])
    out = capsys.readouterr().out
    assert out.count("do something") == 2
    assert "and 1480 more" in out
    assert "480 more" in out
    assert "3000 of 3500 checks failed" in out
    assert len(out.splitlines()) < 120


async def approve(site: Site) -> None:
    """The person, who types the code as soon as there is one."""
    while not site.bench.authority._devices:
        await asyncio.sleep(0.02)
    (device,) = site.bench.authority._devices.values()
    assert site.bench.authority.decide(device.user_code)


async def test_login_once_then_polls_sign_in_silently(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    auth = {"kind": "device_code", "client_id": CLIENT, "cache": "cache.json"}
    path = site.write(auth, auth)
    assert await command("check", "-c", path) == 3
    assert "securescore login" in " ".join(capsys.readouterr().out.split())
    code, _ = await asyncio.gather(command("login", "-c", path), approve(site))
    out = capsys.readouterr().out
    assert code == 0
    assert f"{site.bench.authority.base_url}/device" in out
    assert "2 tenants use it" in out
    assert await command("check", "-c", path) == 0
    assert f"signed in as user with {READ}" in " ".join(capsys.readouterr().out.split())


async def test_login_without_the_permission_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.bench.app.scopes = frozenset({"User.Read"})
    path = site.write({"kind": "device_code", "client_id": CLIENT, "cache": "cache.json"})
    code, _ = await asyncio.gather(command("login", "-c", path, "--tenant", "t0"), approve(site))
    assert code == 1
    assert f"{READ} was not granted" in capsys.readouterr().err


async def test_login_for_whom(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    own = [{"kind": "device_code", "client_id": CLIENT, "cache": f"cache-{n}"} for n in range(2)]
    assert await command("login", "-c", site.write(*own)) == 2
    assert "--tenant t0 | t1" in capsys.readouterr().err
    assert await command("login", "-c", site.write(site.secret())) == 2
    assert "device_code" in capsys.readouterr().err
    assert await command("login", "-c", site.write(*own), "--tenant", "nobody") == 2
    assert "no tenant is selected by 'nobody'" in capsys.readouterr().err


# -------------------------------------------------------------------------------------- Azure and Defender for Endpoint

ARM, ENDPOINT = "https://management.azure.com", "https://api.securitycenter.microsoft.com"


def entry(site: Site, source: str, auth: dict[str, Any]) -> str:
    """A configuration of one entry of this source."""
    root = {"base_url": site.graph}
    entry = {"name": "t0", "tenant_id": site.tenants[0], "source": source, "auth": auth}
    return site.write(tenants=[entry], arm=root, defender_endpoint=root)


KINDS = ("client_secret", "certificate", "managed_identity", "federated", "federated_identity", "device_code", "token")


@pytest.mark.parametrize(
    ("source", "audience", "kind"),
    [
        *(("defender_cloud", ARM, kind) for kind in KINDS),
        *(("defender_endpoint", ENDPOINT, kind) for kind in ("client_secret", "device_code")),
    ],
)
async def test_every_kind_of_sign_in_is_for_what_the_source_reads(
    site: Site, kind: str, source: str, audience: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, tenant = site.bench, site.tenants[0]
    made.app.roles[tenant] = frozenset({"Score.Read.All"})
    made.app.scopes = frozenset({"user_impersonation", "Score.Read"})
    made.app.federated_subjects.update({"cluster", f"identity:{IDENTITY}"})
    made.authority.identities.update({"": tenant, IDENTITY: tenant})
    made.authority.identity_roles = frozenset({"Score.Read.All"})
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{made.authority.base_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-of-the-platform")
    own: dict[str, Any] = {"kind": kind.partition("_identity")[0] if "federated" in kind else kind}
    if kind == "client_secret":
        own = site.secret()
    elif kind == "certificate":
        pair = keys("x")
        made.app.certificates.append(pair.certificate)
        own |= {"client_id": CLIENT, "file": made.file("key.pem", pair.pem)}
    elif kind == "federated":
        subject = {"sub": "cluster", "aud": "api://AzureADTokenExchange"}
        own |= {"client_id": CLIENT, "token_file": made.file("federated", made.authority.issue(subject))}
    elif kind == "federated_identity":
        own |= {"client_id": CLIENT, "managed_identity": IDENTITY}
    elif kind == "device_code":
        own |= {"client_id": CLIENT, "cache": "cache.json"}
        code, _ = await asyncio.gather(command("login", "-c", entry(site, source, own)), approve(site))
        assert code == 0
    elif kind == "token":
        own = site.token(aud=audience, tid=tenant, roles=["Score.Read.All"])
    config = load(entry(site, source, own), sink_options=sink_options)
    (found,) = (f for f in await check.collect(config) if f.what == "tenant")
    assert found.ok, found
    if kind != "token":
        asked = [r.get("resource") or r.get("scope", "") for r in made.authority.requests]
        assert any(wish.startswith(audience) for wish in asked), asked
        assert not any("graph.microsoft.com" in wish for wish in asked)


async def test_once_signs_in_and_polls(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """One tenant's refused credential does not hold up another, and no secret shows anywhere."""
    path = site.write(site.secret(), site.secret("wrong-but-secret"))
    assert await command("once", "-c", path) == 3
    out = "".join(capsys.readouterr())
    assert "client secret is wrong" in " ".join(out.split())
    events = (site.bench.folder / "events.jsonl").read_text()
    assert site.tenants[0] in events
    assert "AADSTS7000215" in events
    state = b"".join(p.read_bytes() for p in site.bench.folder.glob("state.db*"))
    for hidden in (SECRET, "wrong-but-secret", "eyJhbGci"):
        assert hidden not in out + events
        assert hidden.encode() not in state


async def test_expired_secret_is_a_problem_called_expired(site: Site) -> None:
    site.bench.app.secrets[SECRET] = False
    path = site.write(site.secret())
    await command("once", "-c", path)
    events = [json.loads(line) for line in (site.bench.folder / "events.jsonl").read_text().splitlines()]
    problems = [e["data"]["reason"] for e in events if e["type"] == "securescore.connector.problem"]
    assert problems == ["state_new", "secret_expired"]
