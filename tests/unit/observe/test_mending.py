"""A tenant's state of which something cannot be read: that is set aside and told, and nothing else stops."""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.app import open_app
from connector.loops import App
from connector.model import Event
from connector.observe import memory, mending
from connector.ports import Query, State
from tests.simulation.test_pipeline import advance, simulated

HOUR = 3600


async def polled(app: App) -> list[Event]:
    before = {e.id for e in await app.store.history(Query())}
    outcomes = await app.poll_once()
    assert [o.status for o in outcomes] == ["ok"] * len(outcomes), outcomes
    return [e for e in await app.store.history(Query()) if e.id not in before]


def flipped(body: bytes) -> bytes:
    return body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 4]) + body[len(body) // 2 + 1 :]


DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "cut": lambda body: body[:1],
    "empty": lambda _: b"",
    "other": lambda _: zlib.compress(b"[1]"),
}


@pytest.mark.parametrize(
    ("part", "damage"),
    [("head", "cut"), ("newest", "empty"), ("catalogue", "flipped"), ("past", "other"), ("days", "flipped")],
)
async def test_a_damaged_part_stops_no_tenant_and_is_told(tmp_path: Path, part: str, damage: str) -> None:
    async with simulated(tmp_path, tenants=2) as (sim, config), open_app(config, clock=sim.clock) as app:
        await app.poll_once()
        await advance(sim, 26 * HOUR)
        await polled(app)
        tenant = config.tenants[0]
        state = await app.store.load(tenant.tenant_id)
        assert state is not None
        name = max(p for p in state.parts if p.startswith(part))
        body = DAMAGE[damage](state.parts[name])
        await app.store.commit(tenant.tenant_id, evolve(state, parts={**state.parts, name: body}, stored={}), [])
        await advance(sim, 26 * HOUR)
        new = await polled(app)
        assert {e.tenant_id for e in new if e.type == "score.observed"} == {t.tenant_id for t in config.tenants}
        anew = [e for e in new if e.type == "connector.problem" and e.data["reason"] == "state_new"]
        assert len(anew) == (part in ("head", "newest")), "only without these there is nothing to compare with"
        assert all(e.tenant_id == tenant.tenant_id for e in anew)
        flaws = await app.store.flaws()
        if not flaws:  # a month that nobody had to look into is found by whoever does
            assert part == "days"
            assert mending.unreadable(await app.store.load(tenant.tenant_id) or State()).keys() == {name}
            return
        (flaw,) = flaws
        assert (flaw.reason, flaw.tenant_id) == ("state_damaged", tenant.tenant_id)
        assert f"/{name}," in flaw.document
        await app.look()
        told = [e for e in await app.store.history(Query(tenant_id="")) if e.data.get("reason") == "state_damaged"]
        assert [e.data["tenants"] for e in told] == [[tenant.name]]
        assert mending.unreadable(await app.store.load(tenant.tenant_id) or State()) == {}
        await advance(sim, 26 * HOUR)
        assert not [e for e in await polled(app) if e.type == "connector.problem"], "it goes on as any other"


async def test_a_tenant_built_anew_tells_nothing_twice(tmp_path: Path) -> None:
    """The same days have the same ids: what a sink has had is not sent again as news."""
    async with simulated(tmp_path) as (sim, config), open_app(config, clock=sim.clock) as app:
        await app.poll_once()
        await app.deliver_once()
        (tenant,) = config.tenants
        state = await app.store.load(tenant.tenant_id)
        assert state is not None
        await app.store.commit(tenant.tenant_id, evolve(state, parts={**state.parts, "newest": b""}, stored={}), [])
        kept = {e.id for e in await app.store.history(Query())}
        new = [e for e in await polled(app) if e.id not in kept]
        assert [e.data["reason"] for e in new] == ["state_new"]


def test_what_is_missing_although_others_tell_of_it() -> None:
    head = memory.with_head(State(3), {"newest": "2026-11-22", "seen_at": "2026-11-22T09:00:00Z"}).parts["head"]
    assert mending.unreadable(State(3, {"head": head})) == {"newest": "missing", "catalogue": "missing"}
    assert mending.unreadable(State(3, {"newest": b""})) == {"head": "missing"}
    assert mending.unreadable(State(3)) == mending.unreadable(State()) == {}
    assert mending.unreadable(State(3, {"head": head}, lost={"newest": "torn"}))["newest"] == "torn"
    assert mending.unreadable(State(0, lost={"": "gone"})) == {"": "gone"}


def test_what_is_left_is_read_again() -> None:
    top: dict[str, Any] = {"newest": "2026-11-22", "seen_at": "x", "pages": {"a": "b"}, "had_profiles": True}
    state = memory.with_head(State(3, {"catalogue": b"", "past": b"p"}), top)
    left = mending.mended(state, {"catalogue": "torn"})
    assert left.generation == 3
    assert set(left.parts) == {"head", "past"}
    assert memory.head(left) == {**memory.head(state), "pages": {}, "seen_at": ""}
    assert mending.mended(state, {"newest": "torn"}) == State(3)
