"""The tenants of a simulated world as a configuration names them. No assertions live here."""

from pathlib import Path

from connector.config.values import AuthConfig, GraphConfig, TenantConfig
from connector.simulator.server import token_for
from connector.simulator.tenants import Tenant
from connector.simulator.world import World


def token_file(folder: Path, who: Tenant) -> Path:
    """A file with a token that the simulated Graph takes for this tenant."""
    token = folder / f"{who.name}.token"
    token.touch(0o600)
    token.write_text(token_for(who.id))
    return token


def tenants_of(world: World, base_url: str, folder: Path) -> list[TenantConfig]:
    """All of them, each with a token file of its own."""
    graph = GraphConfig(base_url=base_url)
    return [
        TenantConfig(who.name, who.id, auth=AuthConfig("token", {"file": str(token_file(folder, who))}), graph=graph)
        for who in world.tenants
    ]
