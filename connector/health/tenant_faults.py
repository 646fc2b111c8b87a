"""Tenants that the state remembers and the configuration does not: what waits of them, with the remedy.

Asked at a start and after each reload whose they are, and at every look what still waits. Nothing is deleted here.
"""

from collections.abc import Mapping, Sequence

from connector.config.values import Config
from connector.observe import memory
from connector.ports import Store
from connector.problems import Fault

LOOKED_AT = 50
"""So many are looked at: what is wrong with very many is told by these, too."""
COUNTED = 1_000


async def strangers(store: Store, config: Config) -> dict[str, str]:
    """The tenants with a state that are not configured: what they were called, by id. Raises StoreError."""
    known = {tenant.key for tenant in config.tenants} | {""}
    found = sorted(set(await store.tenants()) - known)[:LOOKED_AT]
    states = await store.heads(found)
    return {other: str(memory.readable_head(states[other]).get("tenant", other)) for other in found}


async def stranger_faults(store: Store, strange: Mapping[str, str], config: Config) -> list[Fault]:
    """One fault for each of them that matters. Raises StoreError."""
    configured = {tenant.name: tenant.key for tenant in config.tenants}
    sinks = [sink.name for sink in config.sinks]
    found = []
    for tenant_id, name in strange.items():
        waiting = {sink: n for sink in sinks if (n := len(await store.due(sink, COUNTED, tenant_id)))}
        if waiting or name in configured:
            found.append(_fault(tenant_id, name, configured.get(name), waiting))
    return found


def _fault(tenant_id: str, name: str, instead: str | None, waiting: Mapping[str, int]) -> Fault:
    parts: Sequence[str] = [f"{sink}: {n if n < COUNTED else f'{n} or more'}" for sink, n in waiting.items()]
    waits = f"events that wait: {', '.join(parts)}" if parts else "no event waits"
    if instead is None:
        summary = f"Problem: tenant {name} is no longer configured, and events of it wait"
        hint = "they are delivered by the rules for tenants without a route; configure it again, or export and delete"
    else:
        another = "source" if instead.partition(".")[0] == tenant_id.partition(".")[0] else "tenant_id"
        summary = f"Problem: tenant {name} has another {another} than before: it starts over, without what was known"
        hint = f"if {instead} is wrong, put the old one back; otherwise export and delete what is kept of the old one"
    return Fault(
        "connector.problem",
        "tenant_removed",
        f"tenant:{tenant_id}",
        summary,
        detail=f"{tenant_id}; {waits}",
        hint=f"{hint}: `securescore tenants forget {tenant_id}`",
    )
