"""Clouds: hosts, audiences, and the one that is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.config import keys
from connector.config.values import ArmConfig, GraphConfig
from connector.errors import ConfigError
from connector.net.clouds import CLOUDS, cloud_of, cloud_of_arm, cloud_of_ingestion, consent_url

TENANT = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("name", "graph", "login", "monitor", "exchange"),
    [
        (
            "global",
            "https://graph.microsoft.com",
            "https://login.microsoftonline.com",
            "https://monitor.azure.com",
            "api://AzureADTokenExchange",
        ),
        (
            "usgov",
            "https://graph.microsoft.us",
            "https://login.microsoftonline.us",
            "https://monitor.azure.us",
            "api://AzureADTokenExchangeUSGov",
        ),
        (
            "dod",
            "https://dod-graph.microsoft.us",
            "https://login.microsoftonline.us",
            "https://monitor.azure.us",
            "api://AzureADTokenExchangeUSGov",
        ),
    ],
)
def test_hosts(name: str, graph: str, login: str, monitor: str, exchange: str) -> None:
    cloud = cloud_of(GraphConfig(name))
    assert (cloud.graph, cloud.graph_audience, cloud.login) == (graph, graph, login)
    assert (cloud.monitor_audience, cloud.exchange) == (monitor, exchange)


@pytest.mark.parametrize(
    ("graph", "arm", "root", "login"),
    [
        ("global", None, "https://management.azure.com", "https://login.microsoftonline.com"),
        ("usgov", None, "https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),
        ("dod", None, "https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),
        ("global", "usgov", "https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),  # GCC
        ("usgov", "global", "https://management.azure.com", "https://login.microsoftonline.com"),
    ],
)
def test_azure_has_a_cloud_of_its_own(graph: str, arm: str | None, root: str, login: str) -> None:
    cloud = cloud_of_arm(ArmConfig(arm), GraphConfig(graph))
    assert (cloud.resource_manager, cloud.login) == (root, login)


def test_a_sign_in_host_that_was_overridden_is_that_of_azure_too() -> None:
    cloud = cloud_of_arm(ArmConfig("global"), GraphConfig(authority="https://login.example"))
    assert cloud.login == "https://login.example"


def test_tokens_for_defender_for_endpoint_are_for_the_older_name_first_and_in_government_for_its_own_host() -> None:
    assert CLOUDS["global"].endpoint == "https://api.security.microsoft.com"
    assert CLOUDS["global"].endpoint_audiences == (
        "https://api.securitycenter.microsoft.com",
        "https://api.security.microsoft.com",
    )
    for name in ("usgov", "dod"):
        assert CLOUDS[name].endpoint_audiences[0] == CLOUDS[name].endpoint


def test_override_changes_where_requests_go_but_not_whom_the_token_is_for() -> None:
    cloud = cloud_of(GraphConfig("usgov", base_url="https://gateway.example", authority="https://login.example"))
    assert cloud.graph == "https://gateway.example"
    assert cloud.login == "https://login.example"
    assert cloud.graph_audience == "https://graph.microsoft.us"


@pytest.mark.parametrize(
    "host", ["https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"]
)
@pytest.mark.parametrize("key", ["base_url", "authority"])
def test_hosts_of_21vianet_are_refused_with_the_reason(host: str, key: str) -> None:
    with pytest.raises(ConfigError, match="no Secure Score API"):
        cloud_of(GraphConfig(**{key: host}))


def test_cloud_of_an_ingestion_endpoint() -> None:
    assert cloud_of_ingestion("https://a-1234.eastus-1.ingest.monitor.azure.com").name == "global"
    assert cloud_of_ingestion("https://a-1234.usgovvirginia-1.ingest.monitor.azure.us").name == "usgov"


def test_consent_address() -> None:
    assert (
        consent_url(cloud_of(GraphConfig("dod")), TENANT, "app&1")
        == f"https://login.microsoftonline.us/{TENANT}/adminconsent?client_id=app%261"
    )


def test_a_cloud_that_can_be_named_can_be_reached() -> None:
    assert list(CLOUDS) == list(keys.CLOUDS), "connector/net/clouds.py and connector/config/keys.py differ"
    assert all(cloud.name == name for name, cloud in CLOUDS.items())


def test_every_cloud_can_be_chosen_wherever_one_is_chosen() -> None:
    packaging = Path(__file__).parents[3] / "packaging"
    addon = json.loads((packaging / "splunk" / "globalConfig.json").read_bytes())
    offered = [[o["value"] for o in f["options"]["autoCompleteFields"]] for f in fields(addon) if f["field"] == "cloud"]
    assert offered == [list(CLOUDS)], "packaging/splunk/globalConfig.json"
    template = json.loads((packaging / "azure" / "azuredeploy.json").read_bytes())
    assert template["parameters"]["graphCloud"]["allowedValues"] == list(CLOUDS), "packaging/azure/azuredeploy.json"


def fields(value: Any) -> Iterator[dict[str, Any]]:
    """Every field of a form of the add-on."""
    if isinstance(value, dict):
        if "field" in value and "options" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from fields(inner)
