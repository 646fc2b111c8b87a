"""The Microsoft clouds we serve: their hosts and token audiences, and the addresses built from them.

Pure data and text: nothing here connects anywhere. Sources: Microsoft Graph "National cloud deployments", Azure Monitor
"Logs Ingestion API", Microsoft Entra "Workload identity federation" (audiences per cloud). 21Vianet has no Secure Score
API and is refused.
"""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

from attrs import evolve, frozen

from connector.config.keys import VIANET_HOSTS
from connector.config.values import ArmConfig, GraphConfig
from connector.errors import ConfigError


@frozen
class Cloud:
    """Roots without a trailing slash. `graph` is where requests go, `graph_audience` whom its tokens are for.

    The two differ only when `graph` is overridden (a gateway, a simulator). `exchange` is the audience of a managed
    identity's token that is used as a federated credential. `portal` is where people register applications, `az_name`
    what the az command line calls the cloud. `endpoint` is the root of the Defender for Endpoint API, whose tokens are
    for the first of `endpoint_audiences`: Microsoft's own pages name both, and the wrong one gives a 403.
    """

    name: str
    graph: str
    graph_audience: str
    login: str
    monitor_audience: str
    exchange: str
    resource_manager: str
    portal: str
    az_name: str
    endpoint: str

    @property
    def endpoint_audiences(self) -> tuple[str, ...]:
        return _ENDPOINT_AUDIENCES if self.name == "global" else (self.endpoint, *_ENDPOINT_AUDIENCES)


def _cloud(name: str, graph: str, *others: str) -> Cloud:
    return Cloud(name, graph, graph, *others)


_US_GOVERNMENT = (
    "https://login.microsoftonline.us",
    "https://monitor.azure.us",
    "api://AzureADTokenExchangeUSGov",
    "https://management.usgovcloudapi.net",
    "https://entra.microsoft.us",
    "AzureUSGovernment",
    "https://api-gov.securitycenter.microsoft.us",
)
_ENDPOINT_AUDIENCES = ("https://api.securitycenter.microsoft.com", "https://api.security.microsoft.com")

CLOUDS: Mapping[str, Cloud] = {
    "global": _cloud(
        "global",
        "https://graph.microsoft.com",
        "https://login.microsoftonline.com",
        "https://monitor.azure.com",
        "api://AzureADTokenExchange",
        "https://management.azure.com",
        "https://entra.microsoft.com",
        "AzureCloud",
        "https://api.security.microsoft.com",
    ),
    "usgov": _cloud("usgov", "https://graph.microsoft.us", *_US_GOVERNMENT),
    "dod": _cloud("dod", "https://dod-graph.microsoft.us", *_US_GOVERNMENT),
}


@lru_cache(maxsize=1024)  # thousands of tenants share a few clouds: one object each
def cloud_of(graph: GraphConfig) -> Cloud:
    """The cloud of a tenant, with its overrides in place. Raises ConfigError for a host of 21Vianet's cloud."""
    cloud = CLOUDS[graph.cloud]
    for key, url in (("base_url", graph.base_url), ("authority", graph.authority)):
        if url and (urlsplit(url).hostname or "").endswith(VIANET_HOSTS):
            raise ConfigError(
                [f"graph.{key}: {url} belongs to the cloud operated by 21Vianet, which offers no Secure Score API"],
                "remove this tenant: its score cannot be read by anyone",
            )
    return evolve(cloud, graph=graph.base_url or cloud.graph, login=graph.authority or cloud.login)


def cloud_of_arm(arm: ArmConfig, graph: GraphConfig) -> Cloud:
    """The cloud of a tenant's Azure subscriptions, which need not be that of its Microsoft 365: GCC tenants differ."""
    cloud = CLOUDS[arm.cloud or ("global" if graph.cloud == "global" else "usgov")]
    return evolve(cloud, login=graph.authority or cloud.login)


def cloud_of_ingestion(endpoint: str) -> Cloud:
    """The cloud of a Logs Ingestion endpoint (`https://….ingest.monitor.azure.us`), told by its host."""
    return CLOUDS["usgov" if (urlsplit(endpoint).hostname or "").endswith(".azure.us") else "global"]


def consent_url(cloud: Cloud, tenant_id: str, client_id: str) -> str:
    """Where an administrator of the tenant grants the application what its registration asks for."""
    return f"{cloud.login}/{tenant_id}/adminconsent?{urlencode({'client_id': client_id})}"
