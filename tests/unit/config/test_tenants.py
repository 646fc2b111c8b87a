"""Tenants: their own keys, what they share, credentials, and the rows of a tenants file."""

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from connector.config.parse import TenantRow, parse
from connector.config.values import ArmConfig, AuthConfig, Config, EndpointConfig, ScopeConfig
from connector.config.yaml_file import read_tenants
from connector.errors import ConfigError
from tests.config_example import CLIENT_ID, KINDS, NO_TENANT_ID, TENANT_ID, minimal

OTHER_ID = "33333333-3333-3333-3333-333333333333"
SECRET = {"kind": "client_secret", "client_id": CLIENT_ID, "client_secret": "${env:S}"}
IDENTITY = {"kind": "managed_identity"}


def parsed(*tenants: Any, rows: tuple[TenantRow, ...] = (), **sections: Any) -> Config:
    return parse(minimal(tenants=list(tenants), **sections), sink_options=KINDS.get, base_dir="/srv", tenant_rows=rows)


def problems(*tenants: Any, rows: tuple[TenantRow, ...] = (), **sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(*tenants, rows=rows, **sections)
    return caught.value.problems


def one(**keys: Any) -> dict[str, Any]:
    return {"name": "contoso", "tenant_id": TENANT_ID, **keys}


# ----------------------------------------------------------------------------------------------------------- own keys


def test_a_tenant_with_everything() -> None:
    config = parsed(
        one(
            tenant_id=TENANT_ID.upper(),
            labels={"customer": "contoso", "tier": 1},
            auth=SECRET,
            write_auth={"kind": "token", "file": "t"},
            graph={"base_url": "http://127.0.0.1:8080"},
            cloud="usgov",
            language="ja",
            targets={"drop_points": 5},
            exceptions={"review_after": "90d"},
            index="security",
            endpoint="https://dce.example",
            rule_id="dcr-1",
            rule_tenant_id=TENANT_ID.upper(),
            token="${credential:hec}",
        ),
        targets={"percent_min": 70, "drop_points": 20},
        exceptions={"review_after": 365, "comment_required": True},
    )
    (tenant,) = config.tenants
    assert tenant.tenant_id == TENANT_ID
    assert tenant.labels == {"customer": "contoso", "tier": "1"}
    assert tenant.auth == AuthConfig("client_secret", {"client_id": CLIENT_ID, "client_secret": "${env:S}"})
    assert tenant.write_auth == AuthConfig("token", {"file": "/srv/t"})
    assert (tenant.graph.cloud, tenant.graph.base_url) == ("usgov", "http://127.0.0.1:8080")
    assert tenant.language == "ja"
    assert (tenant.targets.percent_min, tenant.targets.drop_points) == (70.0, 5.0)
    assert (tenant.exceptions.review_after_days, tenant.exceptions.comment_required) == (90, True)
    assert tenant.overrides == {
        "index": "security",
        "endpoint": "https://dce.example",
        "rule_id": "dcr-1",
        "rule_tenant_id": TENANT_ID,
        "token": "${credential:hec}",
    }


def test_saved_responses_need_a_folder_and_no_credential() -> None:
    (tenant,) = parsed(one(source="files", path="exports"), defaults={"auth": SECRET}).tenants
    assert (tenant.source, tenant.path, tenant.auth) == ("files", "/srv/exports", None)
    assert problems(one(source="files", auth=SECRET)) == [
        "tenants[0].path: is missing: source: files reads the saved responses of this folder",
        "tenants[0].auth: source: files signs in nowhere: remove it",
    ]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "tenants[0].auth: is missing: give this tenant, or defaults, a credential"),
        ({"auth": IDENTITY, "path": "p"}, "tenants[0].path: belongs to source: files"),
        (
            {"auth": IDENTITY, "source": "file"},
            "'file' is not one of graph, files, defender_cloud, defender_endpoint; did you mean files?",
        ),
        ({"auth": IDENTITY, "cloud": "china"}, "no Secure Score API in the cloud operated by 21Vianet"),
        ({"auth": IDENTITY, "cloud": "GCC"}, "GCC tenants live in the global cloud: write global"),
        ({"auth": IDENTITY, "cloud": "gcchigh"}, "write usgov"),
        ({"auth": IDENTITY, "cloud": "dodd"}, "did you mean dod?"),
        ({"auth": IDENTITY, "cloud": "dod", "graph": {"cloud": "dod"}}, "is written twice"),
        ({"auth": IDENTITY, "graph": {"base_url": "http://graph.example"}}, "plain http is allowed for loopback only"),
        ({"auth": IDENTITY, "graph": {"authority": "http://127.0.0.1:1"}}, "by https only, on loopback too"),
        ({"auth": IDENTITY, "graph": {"base_url": "https://g/v1.0"}}, "paths are added by us"),
        ({"auth": IDENTITY, "labels": {"a b": "x"}}, "a label's name has letters"),
        ({"auth": IDENTITY, "labels": {"a": "x" * 257}}, "at most 256 characters"),
        ({"auth": IDENTITY, "labels": {"a": False}}, "put it in quotes"),
        ({"auth": IDENTITY, "token": "hunter2"}, "a literal secret is refused"),
        ({"auth": "secret"}, "tenants[0].auth: expected a mapping"),
    ],
)
def test_what_a_tenant_cannot_be(keys: dict[str, Any], words: str) -> None:
    found = problems(one(**keys))
    assert words in found[0]
    assert "hunter2" not in found[0]


def test_names_and_ids_are_unique() -> None:
    row = TenantRow("tenants.csv", 7, {"name": "lab", "tenant_id": TENANT_ID, "auth": IDENTITY})
    found = problems(one(auth=IDENTITY), one(name="Contoso", tenant_id=OTHER_ID, auth=IDENTITY), rows=(row,))
    assert found == [
        "tenants[1].name: Contoso is taken by tenants[0]; case does not count",
        f"tenants.csv line 7: tenant_id: {TENANT_ID} is listed before, at tenants[0]",
    ]


# ------------------------------------------------------------------------------------------ sources of several units


SUBSCRIPTION = "aaaaaaaa-0000-4000-8000-00000000000A"


def azure(**keys: Any) -> dict[str, Any]:
    return one(name="contoso-azure", source="defender_cloud", auth=IDENTITY, **keys)


def test_defender_for_cloud_reads_all_that_can_be_seen_unless_told_otherwise() -> None:
    plain, tenant, groups, subscriptions = parsed(
        azure(),
        {**azure(scope="tenant", compliance="on"), "name": "b", "tenant_id": OTHER_ID},
        {
            **azure(scope={"management_groups": ["root-1", "b_(2)"]}),
            "name": "c",
            "tenant_id": OTHER_ID.replace("3", "4"),
        },
        {**azure(scope={"subscriptions": [SUBSCRIPTION, SUBSCRIPTION.lower()]}), "name": "d", "tenant_id": CLIENT_ID},
    ).tenants
    assert (plain.scope, plain.compliance, plain.arm) == (ScopeConfig(), False, ArmConfig("global"))
    assert (tenant.scope, tenant.compliance) == (ScopeConfig(), True)
    assert groups.scope == ScopeConfig(management_groups=("root-1", "b_(2)"))
    assert subscriptions.scope == ScopeConfig(subscriptions=(SUBSCRIPTION.lower(),))
    assert plain.key == f"{TENANT_ID}.defender_cloud"


@pytest.mark.parametrize(
    ("sections", "keys", "cloud"),
    [
        ({}, {}, "global"),
        ({"graph": {"cloud": "dod"}}, {}, "usgov"),
        ({}, {"cloud": "usgov"}, "usgov"),
        ({"arm": {"cloud": "usgov"}}, {}, "usgov"),  # a GCC tenant, whose Graph is the global one
        ({"graph": {"cloud": "usgov"}, "arm": {"cloud": "global"}}, {}, "global"),
        ({"arm": {"cloud": "usgov"}}, {"arm": {"cloud": "global"}}, "global"),
        ({"defaults": {"arm": {"cloud": "usgov"}}}, {}, "usgov"),
    ],
)
def test_the_cloud_of_azure_follows_that_of_graph_unless_it_is_named(
    sections: dict[str, Any], keys: dict[str, Any], cloud: str
) -> None:
    (tenant,) = parsed(azure(**keys), **sections).tenants
    assert tenant.arm.cloud == cloud


def test_a_tenant_may_have_an_entry_for_each_source_of_several_units_beside_its_own() -> None:
    config = parsed(
        one(auth=IDENTITY),
        azure(),
        {**azure(), "name": "contoso-devices", "source": "defender_endpoint"},
        defender_endpoint={"audience": "https://api.security.microsoft.com"},
    )
    assert [tenant.key for tenant in config.tenants] == [
        TENANT_ID,
        f"{TENANT_ID}.defender_cloud",
        f"{TENANT_ID}.defender_endpoint",
    ]
    assert config.tenants[2].defender_endpoint == EndpointConfig(audience="https://api.security.microsoft.com")
    again = problems(azure(), {**azure(), "name": "twice"})
    assert again == [f"tenants[1].tenant_id: {TENANT_ID} is listed before with source: defender_cloud, at tenants[0]"]
    assert (
        "is listed before, at tenants[0]"
        in problems(one(auth=IDENTITY), {**one(source="files", path="p"), "name": "saved"})[0]
    )


def test_what_defaults_say_of_one_source_is_for_the_tenants_that_have_it() -> None:
    config = parsed(
        one(auth=IDENTITY),
        azure(),
        defaults={"compliance": True, "scope": {"subscriptions": [SUBSCRIPTION]}, "arm": {"cloud": "usgov"}},
    )
    graph, cloud = config.tenants
    assert (graph.compliance, graph.scope) == (False, ScopeConfig())
    assert (cloud.compliance, cloud.scope, cloud.arm.cloud) == (
        True,
        ScopeConfig(subscriptions=(SUBSCRIPTION.lower(),)),
        "usgov",
    )


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (azure(arm={"cloud": "china"}), "Microsoft retired Defender for Cloud in the cloud operated by 21Vianet"),
        (azure(arm={"base_url": "https://management.chinacloudapi.cn"}), "arm.base_url: belongs to the cloud operated"),
        (azure(arm={"cloud": "dod"}), "write usgov"),
        (azure(arm={"cloud": "gcc"}), "write global or usgov"),
        (azure(arm={"base_url": "http://arm.example"}), "plain http is allowed for loopback only"),
        (azure(scope="all"), "scope: 'all' is not one of tenant"),
        (azure(scope={"subscriptions": ["prod"]}), "scope.subscriptions: expected a GUID"),
        (azure(scope={"subscriptions": []}), "scope: names none"),
        (azure(scope={"management_groups": ["a/b"]}), "'a/b' is no id of a management group"),
        (azure(scope={"management_groups": ["a"], "subscriptions": [SUBSCRIPTION]}), "keep one"),
        (azure(scope={"subscription": [SUBSCRIPTION]}), "did you mean subscriptions?"),
        (azure(write_auth=IDENTITY), "write_auth: source: defender_cloud is never written to"),
        (azure(path="p"), "auth: with path the saved responses are read as they are"),
        (
            one(source="defender_cloud", path="p", scope={"subscriptions": [SUBSCRIPTION]}),
            "scope.subscriptions: with path",
        ),
        (one(auth=IDENTITY, path="p"), "path: belongs to source: files, defender_cloud or defender_endpoint"),
        (one(auth=IDENTITY, compliance=True), "compliance: belongs to source: defender_cloud"),
        (one(auth=IDENTITY, scope={"subscriptions": [SUBSCRIPTION]}), "belongs to source: defender_cloud"),
        (azure(defender_endpoint={"audience": "https://a.example"}), "belongs to source: defender_endpoint"),
    ],
)
def test_what_a_tenant_of_several_units_cannot_be(entry: dict[str, Any], words: str) -> None:
    assert words in problems(entry)[0]


@pytest.mark.parametrize("source", ["defender_cloud", "defender_endpoint"])
def test_saved_answers_are_read_instead_of_asking(source: str) -> None:
    """What `defaults` say of signing in and of what is asked is for those that ask."""
    common = {"auth": IDENTITY, "scope": {"subscriptions": [SUBSCRIPTION]}, "path": "all"}
    saved = {"name": "saved", "tenant_id": TENANT_ID, "source": source, "path": "carried"}
    own, asking = parsed(
        saved,
        {**saved, "name": "asking", "tenant_id": OTHER_ID, "path": None},
        defaults=common,
        poll={"interval": "60s"},
    ).tenants
    assert (own.saved, own.auth, own.scope, own.path) == (True, None, ScopeConfig(), "/srv/carried")
    assert (asking.saved, asking.auth is not None, asking.path) == (False, True, None)
    assert own.key == f"{TENANT_ID}.{source}"
    alone = parsed(saved, poll={"interval": "5s"})
    assert alone.poll.interval_s == 5


def test_azure_is_not_asked_every_few_seconds_either() -> None:
    assert "too often for Microsoft's hosts" in problems(azure(), poll={"interval": "5s"})[0]
    parsed(azure(arm={"base_url": "http://127.0.0.1:1"}), poll={"interval": "5s"})


def test_a_tenants_file_says_scope_in_a_word_or_in_columns_of_its_own(tmp_path: Path) -> None:
    def of_file(text: str) -> Config:
        (tmp_path / "tenants.csv").write_text(text)
        rows, found = read_tenants(str(tmp_path / "tenants.csv"))
        raw = minimal(tenants=[], defaults={"auth": IDENTITY})
        return parse(raw, sink_options=KINDS.get, tenant_rows=tuple(rows), problems=found)

    head = "name,tenant_id,source,compliance,arm.cloud,scope,scope.subscriptions\n"
    config = of_file(
        f"{head}a,{TENANT_ID},graph,,,,\nb,{TENANT_ID},defender_cloud,on,usgov,,{SUBSCRIPTION};{OTHER_ID}\n"
        f"c,{OTHER_ID},defender_cloud,off,,tenant,\n"
    )
    _, listed, whole = config.tenants
    assert listed.scope.subscriptions == (SUBSCRIPTION.lower(), OTHER_ID)
    assert (listed.compliance, listed.arm.cloud, whole.compliance, whole.scope) == (
        True,
        "usgov",
        False,
        ScopeConfig(),
    )
    with pytest.raises(ConfigError, match="scope is written as a word already"):
        of_file(f"{head}b,{TENANT_ID},defender_cloud,,,tenant,{SUBSCRIPTION}\n")


# --------------------------------------------------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        (SECRET, {"client_id": CLIENT_ID, "client_secret": "${env:S}"}),
        (
            {"kind": "certificate", "client_id": CLIENT_ID, "file": "app.pfx", "password": "${file:/run/p}"},
            {"client_id": CLIENT_ID, "file": "/srv/app.pfx", "password": "${file:/run/p}"},
        ),
        (IDENTITY, {}),
        ({"kind": "managed_identity", "client_id": CLIENT_ID}, {"client_id": CLIENT_ID}),
        (
            {"kind": "federated", "client_id": CLIENT_ID, "token_file": "/var/run/token"},
            {"client_id": CLIENT_ID, "token_file": "/var/run/token"},
        ),
        (
            {"kind": "federated", "client_id": CLIENT_ID, "managed_identity": "system"},
            {"client_id": CLIENT_ID, "managed_identity": "system"},
        ),
        (
            {"kind": "federated", "client_id": CLIENT_ID, "managed_identity": OTHER_ID.upper()},
            {"client_id": CLIENT_ID, "managed_identity": OTHER_ID},
        ),
        (
            {"kind": "device_code", "client_id": CLIENT_ID, "cache": "cache.bin"},
            {"client_id": CLIENT_ID, "cache": "/srv/cache.bin"},
        ),
        ({"kind": "token", "file": "token.txt"}, {"file": "/srv/token.txt"}),
    ],
)
def test_every_kind_of_credential(auth: dict[str, Any], options: dict[str, Any]) -> None:
    (tenant,) = parsed(one(auth=auth)).tenants
    assert tenant.auth == AuthConfig(auth["kind"], options)


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({"client_id": CLIENT_ID}, ".kind: is missing: one of client_secret, certificate, managed_identity"),
        ({"kind": ["x"]}, ".kind: a list is not one of"),
        ({"kind": "cert"}, ".kind: 'cert' is not one of"),
        ({"kind": "cert"}, "did you mean certificate?"),
        (
            {"kind": "client_secret", "client_id": CLIENT_ID},
            ".client_secret: is missing: Reference to the client secret",
        ),
        ({"kind": "certificate", "client_id": CLIENT_ID}, ".file: is missing"),
        ({"kind": "federated", "client_id": CLIENT_ID}, ": needs either token_file or managed_identity"),
        (
            {"kind": "federated", "client_id": CLIENT_ID, "token_file": "t", "managed_identity": "system"},
            ": needs either token_file or managed_identity",
        ),
        ({"kind": "federated", "client_id": CLIENT_ID, "managed_identity": "me"}, ".managed_identity: expected a GUID"),
        ({"kind": "device_code", "client_id": CLIENT_ID}, ".cache: is missing"),
        ({"kind": "token", "file": "t", "expires_on": "2027-01-01"}, ".expires_on: unknown key"),
        ({**SECRET, "tenant_id": OTHER_ID}, ".tenant_id: belongs to the auth of source: defender_cloud"),
        ({**SECRET, "client_secret": "hunter2"}, ".client_secret: a literal secret is refused"),
        ({**SECRET, "expires_on": "soon"}, ".expires_on: expected a date"),
    ],
)
def test_what_a_credential_cannot_be(auth: dict[str, Any], words: str) -> None:
    (found,) = problems(one(auth=auth))
    assert found.startswith("tenants[0].auth")
    assert words in found
    assert "hunter2" not in found


@pytest.mark.parametrize("under", ["tenants", "defaults"])
def test_a_second_credential_signs_in_to_the_directory_that_is_written(under: str) -> None:
    provided = {"write_auth": {**SECRET, "tenant_id": OTHER_ID}}
    found = problems(
        one(auth=IDENTITY, **provided if under == "tenants" else {}), defaults=provided if under == "defaults" else {}
    )
    place = "tenants[0]" if under == "tenants" else "defaults"
    assert [f.partition(";")[0] for f in found] == [
        f"{place}.write_auth.tenant_id: belongs to the auth of source: defender_cloud"
    ]


# ------------------------------------------------------------------------------------------------------------ defaults


def test_defaults_stand_under_every_tenant() -> None:
    config = parsed(
        one(labels={"customer": "c"}, language="fr"),
        {"name": "b", "tenant_id": OTHER_ID, "auth": IDENTITY},
        defaults={"auth": SECRET, "labels": {"tier": "gold", "customer": "?"}, "language": "de", "cloud": "dod"},
    )
    first, second = config.tenants
    assert (first.labels, second.labels) == ({"tier": "gold", "customer": "c"}, {"tier": "gold", "customer": "?"})
    assert (first.language, second.language) == ("fr", "de")
    assert first.auth is not None
    assert second.auth is not None
    assert (first.auth.kind, second.auth.kind) == ("client_secret", "managed_identity")
    assert {t.graph.cloud for t in config.tenants} == {"dod"}


def test_half_a_default_credential_is_completed_by_tenants() -> None:
    half = {"kind": "client_secret", "client_id": CLIENT_ID}
    (tenant,) = parsed(one(auth={"client_secret": "${env:C}"}), defaults={"auth": half}).tenants
    assert tenant.auth == AuthConfig("client_secret", {"client_id": CLIENT_ID, "client_secret": "${env:C}"})
    found = problems(one(), one(name="b", tenant_id=OTHER_ID), defaults={"auth": half})
    assert found == ["defaults.auth.client_secret: is missing: Reference to the client secret"]


def test_a_wrong_default_is_named_once() -> None:
    tenants = [one(), one(name="b", tenant_id=OTHER_ID)]
    found = problems(*tenants, defaults={"auth": {"kind": "clientsecret"}, "name": "x", "language": "xx"})
    assert [text.split(":")[0] for text in found] == ["defaults.name", "defaults.language", "defaults.auth.kind"]


# ---------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_tenants_and_name_their_file_and_line() -> None:
    good = TenantRow("tenants.csv", 2, one())
    bad = TenantRow("tenants.csv", 3, {"name": "b", "tenant_id": "b", "cloud": "mars", "zzz": "red"})
    spanning = TenantRow("tenants.yaml", 9, {"name": "c", "tenant_id": "c"}, lambda path: 9 + len(path))
    assert parsed(rows=(good,), defaults={"auth": IDENTITY}).tenants[0].name == "contoso"
    assert problems(rows=(good, bad, spanning), defaults={"auth": IDENTITY}) == [
        f"tenants.csv line 3: tenant_id: {NO_TENANT_ID}",
        "tenants.csv line 3: cloud: 'mars' is not one of global, usgov, dod",
        f"tenants.csv line 3: zzz: unknown key; known: {', '.join(KNOWN)}",
        f"tenants.yaml line 10: tenant_id: {NO_TENANT_ID}",
    ]


KNOWN = (
    *("name", "tenant_id", "labels", "source", "path", "options", "auth", "write_auth", "cloud"),
    *(
        "scope",
        "compliance",
        "language",
        "index",
        "endpoint",
        "rule_id",
        "rule_tenant_id",
        "token",
        "graph",
        "arm",
        "defender_endpoint",
    ),
    *("targets", "exceptions", "report"),
)


def test_ten_thousand_tenants_share_what_they_have_in_common() -> None:
    """Generously bounded: about 0.2 s on the machine where this was written."""
    rows = tuple(
        TenantRow("t.csv", n, {"name": f"t{n}", "tenant_id": str(uuid.UUID(int=n)), "labels": {"customer": f"c{n}"}})
        for n in range(1, 10_001)
    )
    begun = time.process_time()
    config = parsed(rows=rows, defaults={"auth": SECRET})
    assert time.process_time() - begun < 2
    assert len(config.tenants) == 10_000
    for shared in ("auth", "graph", "targets", "exceptions", "overrides"):
        assert len({id(getattr(tenant, shared)) for tenant in config.tenants}) == 1
