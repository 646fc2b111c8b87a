"""What `check` says of Azure subscriptions and of Defender for Endpoint, against the simulated services."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.app import READ, open_app, transports_for
from connector.cli.check_tenants import check_tenant, token_fault
from connector.cli.check_units import NO_HISTORY
from connector.cli.check_units import token_fault as units_token_fault
from connector.cli.findings import Finding
from connector.clock import SimulatedClock
from connector.config.values import (
    ArmConfig,
    AuthConfig,
    Config,
    EndpointConfig,
    GraphConfig,
    ScopeConfig,
    StateConfig,
    TenantConfig,
)
from connector.signin.claims import Claims
from connector.simulator.endpoint import ROLE
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Caller, Simulation, plain_tokens, serve
from connector.simulator.world import World
from tests.fakes.simulated import token_file

NOON = datetime(2026, 9, 10, 12, tzinfo=UTC)
Check = Callable[..., Any]


@asynccontextmanager
async def checking(
    folder: Path, *faults: Fault, caller: Caller | None = None
) -> AsyncIterator[tuple[Simulation, Check]]:
    world = World(7, 1, date(2026, 6, 1))
    clock = SimulatedClock(NOON)
    authenticate = plain_tokens if caller is None else lambda _: caller
    async with serve(world, clock, faults=Faults(faults), authenticate=authenticate) as sim:
        who = world.tenants[0]
        auth = AuthConfig("token", {"file": str(token_file(folder, who))})

        async def check(source: str, *, polled: bool = False, **more: Any) -> list[Finding]:
            tenant = TenantConfig(
                "contoso",
                who.id,
                source=source,
                auth=auth,
                graph=GraphConfig(base_url=sim.base_url),
                arm=ArmConfig("global", sim.base_url),
                defender_endpoint=EndpointConfig(sim.base_url),
            )
            tenant = evolve(tenant, **more)
            config = Config(tenants=(tenant,), sinks=(), state=StateConfig(path=str(folder / "s.db")))
            transports = transports_for(config, clock)
            try:
                async with open_app(config, clock=clock) as app:
                    if polled:
                        assert (await app.poller.poll(tenant)).status == "ok"
                    return await check_tenant(tenant, config, app.poller, transports, asyncio.Semaphore(1))
            finally:
                await transports.close()

        yield sim, check


@pytest.mark.parametrize("before", [False, True])
async def test_subscriptions_seen_those_without_a_score_and_that_there_is_no_history(
    before: bool, tmp_path: Path
) -> None:
    """The same whether or not anything changed since the last poll."""
    async with checking(tmp_path) as (sim, check):
        estate = sim.clouds.estate(sim.world.tenants[0].id)
        assert estate is not None
        polled, unstarted, *rest = await check("defender_cloud", polled=before)
        assert polled.ok
        assert NO_HISTORY in polled.detail
        assert "11 enabled subscriptions seen (and 1 that are not); 10 scores" in polled.detail
        assert "all that this principal sees" in polled.detail
        (name,) = [one.name for one in estate.subscriptions if one.kind == "unstarted"]
        assert (unstarted.ok, unstarted.detail) == (None, f"no score yet: {name}")
        assert "does not start the score" in unstarted.hint
        assert rest == []


async def test_no_role_says_which_one_to_assign(tmp_path: Path) -> None:
    async with checking(tmp_path, Fault("empty", path="#")) as (_, check):
        (finding,) = await check("defender_cloud")
        assert not finding.ok
        assert "no subscription is visible" in finding.detail
        assert "Security Reader" in finding.hint


@pytest.mark.parametrize("before", [False, True])
async def test_what_the_scope_names_and_nobody_sees_is_told(before: bool, tmp_path: Path) -> None:
    async with checking(tmp_path) as (sim, check):
        estate = sim.clouds.estate(sim.world.tenants[0].id)
        assert estate is not None
        hidden = "99999999-9999-4999-8999-999999999999"
        scope = ScopeConfig(subscriptions=(estate.subscriptions[0].id, hidden))
        polled, told = await check("defender_cloud", polled=before, scope=scope)
        assert "1 enabled subscriptions seen; 1 scores; scope: 2 subscriptions by their ids" in polled.detail
        assert (told.ok, told.reason) == (None, "not_visible")
        assert hidden in told.detail


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.sig"


@pytest.mark.parametrize(
    ("source", "claims", "reason"),
    [
        ("defender_cloud", {"aud": "https://graph.microsoft.com"}, "wrong_audience"),
        ("defender_cloud", {"aud": "https://management.azure.com/", "tid": "x"}, "wrong_directory"),
        ("defender_cloud", {"aud": "https://management.azure.com/", "exp": 1}, "token_expired"),
        ("defender_endpoint", {"aud": "https://management.azure.com"}, "wrong_audience"),
        ("defender_endpoint", {"aud": "https://api.security.microsoft.com", "roles": ["A"]}, "permission_missing"),
    ],
)
async def test_a_token_that_cannot_do_is_told_before_anybody_is_asked(
    tmp_path: Path, source: str, claims: dict[str, Any], reason: str
) -> None:
    async with checking(tmp_path) as (sim, check):
        path = tmp_path / "own.token"
        path.touch(0o600)
        path.write_text(jwt(**claims))
        (finding,) = await check(source, auth=AuthConfig("token", {"file": str(path)}))
        assert (finding.ok, finding.reason) == (False, reason)
        assert not sim.requests


@pytest.mark.parametrize(("of", "reason"), [("provider", None), ("customer", "wrong_directory")])
def test_a_delegated_entrys_token_is_of_the_providers_directory(of: str, reason: str | None) -> None:
    auth = AuthConfig("managed_identity", {"tenant_id": "provider"})
    tenant = TenantConfig("contoso", "customer", source="defender_cloud", auth=auth)
    fault = units_token_fault(Claims(of, "https://management.azure.com", False, frozenset()), tenant, NOON)
    assert (fault and fault[2]) == reason


@pytest.mark.parametrize("source", ["graph", "defender_endpoint"])
def test_a_managed_identity_is_told_to_wait_where_it_was_granted(source: str) -> None:
    """It has no app registration, and Azure gives its older token for up to a day."""
    audience = {"graph": "https://graph.microsoft.com", "defender_endpoint": "https://api.security.microsoft.com"}[
        source
    ]
    own = "11111111-1111-4111-8111-111111111111"
    held = Claims(own, audience, delegated=False, permissions=frozenset())
    told = {}
    for kind in ("managed_identity", "client_secret"):
        tenant = TenantConfig("a", own, source=source, auth=AuthConfig(kind, {}))
        graph = source == "graph"
        found = token_fault(held, tenant, {READ}, NOON) if graph else units_token_fault(held, tenant, NOON)
        assert found is not None
        told[kind] = found[1]
    assert "up to a day" in told["managed_identity"]
    assert "app registration" in told["client_secret"]


async def test_an_azure_token_of_the_old_name_will_do(tmp_path: Path) -> None:
    tenant = World(7, 1).tenants[0].id
    caller = Caller(tenant, frozenset(), "https://management.core.windows.net/")
    async with checking(tmp_path, caller=caller) as (_, check):
        path = tmp_path / "own.token"
        path.touch(0o600)
        exp = int((NOON + timedelta(hours=1)).timestamp())
        path.write_text(jwt(aud="https://management.core.windows.net/", tid=tenant, exp=exp))
        polled, *_ = await check("defender_cloud", auth=AuthConfig("token", {"file": str(path)}))
        assert polled.ok, polled


async def test_device_groups_are_counted_and_less_is_better(tmp_path: Path) -> None:
    async with checking(tmp_path) as (_, check):
        (polled,) = await check("defender_endpoint")
        assert polled.ok
        assert "4 device groups, lower is better" in polled.detail
        assert NO_HISTORY in polled.detail


async def test_an_audience_that_is_refused_is_tried_the_other_way(tmp_path: Path) -> None:
    """The file's token is the same for both, so the far end changes its mind instead: refused at first, then taken."""
    async with checking(tmp_path, Fault("denied", path="exposureScore", times=2)) as (_, check):
        (polled,) = await check("defender_endpoint")
        assert not polled.ok
        assert "audience: https://api.security.microsoft.com" in polled.hint


async def test_refused_for_every_audience_it_is_the_permission(tmp_path: Path) -> None:
    tenant = World(7, 1).tenants[0].id
    async with checking(tmp_path, caller=Caller(tenant, frozenset({ROLE}), "https://else.invalid")) as (_, check):
        (polled,) = await check("defender_endpoint")
        assert not polled.ok
        assert "WindowsDefenderATP" in polled.hint
