"""What a tenant's own credential takes over from the defaults, and what belonged to the part that it replaces."""

from typing import Any

import pytest

from connector.app import target_of
from connector.config.tenants_csv import tenants_of_csv
from connector.config.values import Config
from connector.errors import ConfigError
from tests.config_example import CLIENT_ID, TENANT_ID, minimal, parsed

OTHER_ID = "33333333-3333-4333-8333-333333333333"


def config(defaults: dict[str, Any], *own: dict[str, Any] | None, key: str = "auth") -> Config:
    tenants = [
        {"name": f"t{n}", "tenant_id": f"{n:08d}{TENANT_ID[8:]}", **({key: auth} if auth else {})}
        for n, auth in enumerate(own)
    ]
    base = {"auth": {"kind": "managed_identity"}} | {key: defaults}
    return parsed(minimal(defaults=base, tenants=tenants))


SECRET = {
    "kind": "client_secret", "client_id": CLIENT_ID, "client_secret": "${env:A}", "expires_on": "2026-12-01",
}  # fmt: skip
CERTIFICATE = {"kind": "certificate", "client_id": CLIENT_ID, "file": "/a.pfx", "password": "${env:A}"}
FEDERATED = {"kind": "federated", "client_id": CLIENT_ID, "managed_identity": "system"}


@pytest.mark.parametrize("key", ["auth", "write_auth"])
@pytest.mark.parametrize(
    ("defaults", "own", "options", "expires_on"),
    [
        (SECRET, None, {"client_id": CLIENT_ID, "client_secret": "${env:A}"}, "2026-12-01"),
        (SECRET, {"client_secret": "${env:B}"}, {"client_id": CLIENT_ID, "client_secret": "${env:B}"}, None),
        (
            SECRET,
            {"client_id": OTHER_ID, "client_secret": "${env:B}"},
            {"client_id": OTHER_ID, "client_secret": "${env:B}"},
            None,
        ),
        (
            SECRET,
            {"client_secret": "${env:B}", "expires_on": "2027-01-01"},
            {"client_id": CLIENT_ID, "client_secret": "${env:B}"},
            "2027-01-01",
        ),
        (SECRET, {"expires_on": "2027-01-01"}, {"client_id": CLIENT_ID, "client_secret": "${env:A}"}, "2027-01-01"),
        (CERTIFICATE, {"file": "/b.pem"}, {"client_id": CLIENT_ID, "file": "/b.pem"}, None),
        (
            CERTIFICATE,
            {"client_id": OTHER_ID},
            {"client_id": OTHER_ID, "file": "/a.pfx", "password": "${env:A}"},
            None,
        ),
        (FEDERATED, {"token_file": "/t"}, {"client_id": CLIENT_ID, "token_file": "/t"}, None),
    ],
)
def test_what_is_replaced_takes_along_what_was_said_of_it(
    key: str, defaults: dict[str, Any], own: dict[str, Any] | None, options: dict[str, str], expires_on: str | None
) -> None:
    (tenant,) = config(defaults, own, key=key).tenants
    found = getattr(tenant, key)
    assert {name: value for name, value in found.options.items() if value is not None} == options
    assert found.expires_on == expires_on


def test_two_applications_do_not_share_a_sign_in_cache() -> None:
    """The second login would write over the first one's."""
    device = {"kind": "device_code", "client_id": CLIENT_ID, "cache": "/c.json"}
    with pytest.raises(ConfigError) as caught:
        config(device, None, {"client_id": OTHER_ID})
    (problem,) = caught.value.problems
    assert "tenants[1].auth.cache" in problem
    assert "another application already, see tenants[0], auth" in problem
    assert len(config(device, None, {"client_id": CLIENT_ID}, {"client_id": OTHER_ID, "cache": "/d.json"}).tenants) == 3


PROVIDER = "99999999-9999-4999-8999-999999999999"


def entries(defaults: dict[str, Any], **own: Any) -> Config:
    """An entry of each source that signs in, all of one directory."""
    sources = ("graph", "defender_cloud", "defender_endpoint")
    tenants = [{"name": name, "tenant_id": TENANT_ID, "source": name, **own} for name in sources]
    return parsed(minimal(tenants=tenants, defaults={"auth": defaults}))


@pytest.mark.parametrize("own", [{}, {"auth": {"expires_on": "2027-01-01"}}])
def test_a_providers_directory_under_defaults_is_for_azure_alone(own: dict[str, Any]) -> None:
    """Graph is signed in to in the customer's directory, Azure in the provider's."""
    found = entries({**SECRET, "tenant_id": PROVIDER}, **own).tenants
    assert [tenant.directory for tenant in found] == [TENANT_ID, PROVIDER, TENANT_ID]
    assert [tenant.tenant_id for tenant in found] == [TENANT_ID] * 3
    assert [target_of(tenant).tenant_id for tenant in found] == [TENANT_ID, PROVIDER, TENANT_ID]


@pytest.mark.parametrize("source", ["graph", "defender_endpoint"])
def test_another_directory_for_anything_but_azure_is_refused(source: str) -> None:
    tenant = {"name": "a", "tenant_id": TENANT_ID, "source": source, "auth": {**SECRET, "tenant_id": PROVIDER}}
    with pytest.raises(ConfigError) as caught:
        parsed(minimal(tenants=[tenant]))
    (problem,) = caught.value.problems
    assert "source: defender_cloud" in problem


def test_a_list_of_tenants_may_name_the_providers_directory() -> None:
    text = f"name,tenant_id,source,auth.tenant_id\na,{TENANT_ID},defender_cloud,{PROVIDER}\n"
    (row,), problems = tenants_of_csv(text, "tenants.csv")
    assert (row.values["auth"], problems) == ({"tenant_id": PROVIDER}, [])
