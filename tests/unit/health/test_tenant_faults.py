"""A tenant that leaves the configuration, or comes back under another id: what waits is named, with the remedy."""

from collections.abc import AsyncIterator

import pytest_asyncio

from connector.config.values import Config, SinkConfig, TenantConfig
from connector.health.tenant_faults import stranger_faults, strangers
from connector.observe import memory
from connector.ports import Start, State
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import CONTOSO, FABRIKAM, events, settle
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder


@pytest_asyncio.fixture
async def store(clock: JumpClock) -> AsyncIterator[SqliteStore]:
    with quick_folder() as folder:
        opened = await open_store(folder / "state.db", clock=clock)
        await opened.attach([Start("siem")])
        for tenant, name in ((CONTOSO, "contoso"), (FABRIKAM, "fabrikam")):
            state = memory.with_head(State(), {"tenant": name})
            await opened.commit(tenant, state, events(range(3), tenant=tenant))
        yield opened
        await opened.close()


async def told(store: SqliteStore, **tenants: str) -> list[tuple[str, str, str]]:
    config = Config(
        tuple(TenantConfig(name, tenant_id) for name, tenant_id in tenants.items()), (SinkConfig("siem", "file"),)
    )
    faults = await stranger_faults(store, await strangers(store, config), config)
    return [(f.reason, f.summary, f"{f.detail}; {f.hint}") for f in faults]


async def test_who_is_configured_is_no_news(store: SqliteStore) -> None:
    assert await told(store, contoso=CONTOSO, fabrikam=FABRIKAM) == []
    assert await told(store, renamed=CONTOSO, fabrikam=FABRIKAM) == [], "the same tenant under another name"


async def test_one_that_was_removed_is_told_while_events_of_it_wait(store: SqliteStore) -> None:
    ((reason, summary, words),) = await told(store, fabrikam=FABRIKAM)
    assert reason == "tenant_removed"
    assert "contoso is no longer configured" in summary
    assert "siem: 3" in words
    assert f"tenants forget {CONTOSO}" in words
    await settle(store, "siem", accept=range(3))
    assert await told(store, fabrikam=FABRIKAM) == []


async def test_another_id_under_the_same_name_is_told_in_any_case(store: SqliteStore) -> None:
    await settle(store, "siem", accept=range(3))
    ((_, summary, words),) = await told(store, contoso="33333333-3333-3333-3333-333333333333", fabrikam=FABRIKAM)
    assert "contoso has another tenant_id than before" in summary
    assert "no event waits" in words
    assert f"tenants forget {CONTOSO}" in words
