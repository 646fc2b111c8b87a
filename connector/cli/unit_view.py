"""A store as one unit of an entry sees it: its state and its events stand for those of the entry.

So what is written for a tenant that is one unit works for any unit of several. Nothing is written through it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from attrs import evolve, frozen

from connector.cli.selection import one_unit
from connector.config.values import TenantConfig
from connector.deliver.delivery import DurableStore
from connector.model import WHOLE, Event
from connector.observe import memory, units
from connector.ports import Query, State, Wanted


@frozen
class _OfUnit:
    inner: DurableStore
    tenant: TenantConfig
    key: str

    async def load(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        if tenant_id != self.tenant.key:
            return await self.inner.load(tenant_id, wanted)
        state = await self.inner.load(tenant_id, wanted and units.of_all(wanted))
        return units.of_unit(state, self.key, units.whole(self.tenant))

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return {tenant_id: await self.load(tenant_id) for tenant_id in tenant_ids}

    async def history(self, query: Query) -> list[Event]:
        return await self.inner.history(evolve(query, tenant_id=self.tenant.key, units=(self.key,)))


async def view_of(
    store: DurableStore, tenant: TenantConfig, patterns: Sequence[str]
) -> tuple[DurableStore, Mapping[str, Any] | None]:
    """The store as the one unit sees it that is selected, and that unit's row; as it is where none is named.

    Raises ConfigError when it is none, or several.
    """
    if not patterns:
        return store, None
    rows = units.roster(memory.head((await store.heads([tenant.key]))[tenant.key]))
    key = one_unit(rows, patterns)
    assert key is not None
    return cast("DurableStore", _OfUnit(store, tenant, key)), rows[key]


def called(row: Mapping[str, Any]) -> str:
    """A unit in the words of a heading."""
    return str(row["name"] or (row["kind"] if row["kind"] in WHOLE else row["id"]))
