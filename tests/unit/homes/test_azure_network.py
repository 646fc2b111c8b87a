"""On which way the app reads its own tenants file and its secrets: that of its settings, before they are read whole."""

from typing import Any

import pytest

from connector.config.values import NetworkConfig
from connector.homes.azure import network_of


@pytest.mark.parametrize(
    ("said", "network"),
    [
        ({}, {}),
        ({"proxy": "http://proxy.example:3128"}, {"proxy": "http://proxy.example:3128"}),
        ({"proxy": "http://me:${env:PROXY_PASSWORD}@p:3128"}, {"proxy": "http://me:${env:PROXY_PASSWORD}@p:3128"}),
        ({"no_proxy": '[".internal", "10.0.0.0/8"]'}, {"no_proxy": (".internal", "10.0.0.0/8")}),
        ({"no_proxy__0": ".internal"}, {"no_proxy": (".internal",)}),
        ({"timeout_s": "45"}, {"timeout_s": 45.0}),
        ({"proxy": "no proxy", "timeout_s": "soon"}, {}),  # what is wrong is said when all settings are read
    ],
)
def test_the_settings_name_the_way(said: dict[str, str], network: dict[str, Any]) -> None:
    environ = {f"SECURESCORE__network__{key}": value for key, value in said.items()}
    assert network_of({**environ, "SECURESCORE__poll__interval": "1h"}) == NetworkConfig(**network)
