"""Key files, and credentials that expire: told at 30, 14, 7 and 1 days, then as expired."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from connector.app import severity_rules
from connector.clock import SimulatedClock
from connector.config.values import Config, TenantConfig
from connector.errors import ConfigError, Denied
from connector.health.upkeep import Upkeep
from connector.model import Known, Snapshot, Unchanged
from connector.observe.poller import Poller
from connector.ports import Query
from connector.signin.credentials import (
    Credential,
    Expiry,
    ExpiryWatch,
    ending,
    expiries,
    fault,
    load_key_pair,
    not_after,
    signs_in_until,
)
from connector.stores.sqlite import open_store
from tests.config_example import CLIENT_ID, TENANT_ID, minimal, parsed
from tests.real.authority import keys

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
PASSWORD = "open-sesame-4711"


def write(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


# ----------------------------------------------------------------------------------------------------------- key files


@pytest.mark.parametrize("form", ["pem", "pem_encrypted", "pfx", "pfx_encrypted"])
def test_key_pair_in_every_form(tmp_path: Path, form: str) -> None:
    made = keys(PASSWORD)
    file = write(tmp_path / "key", getattr(made, form))
    pair = load_key_pair(file, PASSWORD if "encrypted" in form else None)
    assert pair.certificate == made.certificate
    assert pair.private_key.encode().startswith(BEGIN)
    assert "PRIVATE" not in repr(pair)
    assert signs_in_until(file, PASSWORD if form == "pfx_encrypted" else None) == pair.not_after


@pytest.mark.parametrize("case", ["authority first", "old pair first", "renewed with the same key"])
def test_of_several_certificates_the_one_that_signs_in_is_the_one_that_is_told(tmp_path: Path, case: str) -> None:
    """Of those that belong to the key the one that ends last, wherever it stands."""
    old, new = keys(PASSWORD, days=-3), keys(PASSWORD, days=60)
    if case == "authority first":
        content = keys(PASSWORD, days=3650).certificate.encode() + new.pem
    elif case == "old pair first":
        content = old.certificate.encode() + new.pem
    else:
        key = old.pem[old.pem.index(BEGIN) :]
        new = keys(PASSWORD, days=60, of=key)
        content = old.certificate.encode() + new.certificate.encode() + key
    file = write(tmp_path / "key.pem", content)
    assert load_key_pair(file, None).certificate == new.certificate
    assert signs_in_until(file) == load_key_pair(file, None).not_after


def test_whose_password_is_unknown_is_told_only_where_one_certificate_can_be_meant(tmp_path: Path) -> None:
    made, other = keys(PASSWORD), keys(PASSWORD, days=3650)
    file = write(tmp_path / "key.pem", made.pem_encrypted)
    assert signs_in_until(file) == load_key_pair(file, PASSWORD).not_after
    assert signs_in_until(write(tmp_path / "two.pem", other.certificate.encode() + made.pem_encrypted)) is None


def test_password_for_a_file_without_one_does_no_harm(tmp_path: Path) -> None:
    made = keys(PASSWORD)
    assert load_key_pair(write(tmp_path / "key", made.pem), "needless").certificate == made.certificate


MADE = keys(PASSWORD)
BEGIN = b"-----BEGIN PRIVATE"
KEY = MADE.pem.partition(BEGIN)[2]


@pytest.mark.parametrize(
    ("content", "password", "words"),
    [
        (MADE.pfx_encrypted, "wrong", "password does not open it"),
        (MADE.pfx_encrypted, None, "password does not open it"),
        (MADE.pem_encrypted, "wrong", "password does not open it"),
        (MADE.pem_encrypted, None, "is encrypted"),
        (MADE.certificate.encode(), None, "no private key"),
        (BEGIN + b" KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", None, "damaged"),
        (BEGIN + KEY, None, "no certificate that belongs"),
        (keys(PASSWORD).certificate.encode() + BEGIN + KEY, None, "no certificate that belongs"),
        (keys(PASSWORD, curve=True).pem, None, "RSA"),
        (b"rubbish", None, "no PEM or PFX"),
        (b"", None, "no PEM or PFX"),
        (b"x" * (1024 * 1024 + 1), None, "larger than"),
    ],
)  # fmt: skip
def test_key_file_that_is_no_use(tmp_path: Path, content: bytes, password: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_key_pair(write(tmp_path / "key", content), password)
    assert "wrong" not in caught.value.what
    assert not password or password not in caught.value.hint


def test_missing_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_key_pair(str(tmp_path / "absent"), None)
    assert caught.value.hint


def test_key_file_that_everybody_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every user of this machine") as caught:
        load_key_pair(write(tmp_path / "key", MADE.pem, 0o644), None)
    assert caught.value.hint.startswith("chmod 600")


def test_expiry_of_an_unreadable_file_is_unknown(tmp_path: Path) -> None:
    for told in (not_after, signs_in_until):
        assert told(str(tmp_path / "absent")) is None
        assert told(write(tmp_path / "key", b"rubbish")) is None
        assert told(write(tmp_path / "pem", b"-----BEGIN CERTIFICATE-----\nrubbish")) is None


# -------------------------------------------------------------------------------------------------------------- expiry


def tenant(name: str, number: int, auth: Any) -> dict[str, Any]:
    return {"name": name, "tenant_id": f"{number:08d}{TENANT_ID[8:]}", **({"auth": auth} if auth else {})}


def secret(expires_on: str | None = None, **more: str) -> dict[str, Any]:
    auth = {"kind": "client_secret", "client_id": CLIENT_ID, "client_secret": "${env:SECRET}", **more}
    return {**auth, "expires_on": expires_on} if expires_on else auth


def test_every_credential_once_with_its_users(tmp_path: Path) -> None:
    file = write(tmp_path / "key.pem", MADE.pem)
    config = parsed(
        minimal(
            defaults={"auth": secret("2027-05-01")},
            tenants=[
                tenant("a", 1, None),
                tenant("b", 2, None),
                tenant("c", 3, {"kind": "certificate", "client_id": CLIENT_ID, "file": file}),
                tenant("d", 4, secret("2026-12-01", client_secret="${env:OTHER}")),
                tenant("e", 5, {"kind": "managed_identity"}),
            ],
            sinks=[
                {"name": "soc", "kind": "syslog", "host": "siem", "tls": {"cert_file": file, "key_file": file}},
                {
                    "name": "sentinel",
                    "kind": "sentinel",
                    "endpoint": "https://x.ingest.monitor.azure.com",
                    "rule_id": "dcr-1",
                    "auth": {**secret("2026-11-20"), "tenant_id": TENANT_ID},
                },
            ],
        )
    )
    at = not_after(file)
    assert at is not None
    found = {e.place: e for e in expiries(config)}
    assert found == {
        "defaults.auth": Expiry("defaults.auth", "secret", datetime(2027, 5, 1, tzinfo=UTC), ("a", "b")),
        "tenants.c.auth": Expiry("tenants.c.auth", "certificate", at, ("c",)),
        "tenants.d.auth": Expiry("tenants.d.auth", "secret", datetime(2026, 12, 1, tzinfo=UTC), ("d",)),
        "sinks.soc.tls.cert_file": Expiry("sinks.soc.tls.cert_file", "certificate", at, sink="soc"),
        "sinks.sentinel.auth": Expiry(
            "sinks.sentinel.auth", "secret", datetime(2026, 11, 20, tzinfo=UTC), sink="sentinel"
        ),
    }


def test_what_nobody_stated_or_nobody_here_may_read_is_unknown_not_left_out(tmp_path: Path) -> None:
    config = parsed(
        minimal(
            tenants=[
                tenant("a", 1, secret()),
                tenant("b", 2, {"kind": "certificate", "client_id": CLIENT_ID, "file": str(tmp_path / "none.pem")}),
                tenant("c", 3, {"kind": "managed_identity"}),
            ]
        )
    )
    assert ending(config) == [
        Credential("tenants.a.auth", "secret", None, ("a",)),
        Credential("tenants.b.auth", "certificate", None, ("b",)),
    ]
    assert expiries(config) == []


@pytest.mark.parametrize(
    ("days", "reason", "stage"),
    [
        (31, None, ""),
        (30, "secret_expiring", "30 days"),
        (15, "secret_expiring", "30 days"),
        (14, "secret_expiring", "14 days"),
        (7, "secret_expiring", "7 days"),
        (2, "secret_expiring", "7 days"),
        (1, "secret_expiring", "1 days"),
        (0, "secret_expired", ""),
        (-9, "secret_expired", ""),
    ],
)
def test_stages(days: int, reason: str | None, stage: str) -> None:
    found = fault(Expiry("tenants.a.auth", "secret", NOW + timedelta(days=days), ("a",)), NOW)
    if reason is None:
        assert found is None
        return
    assert found is not None
    assert (found.reason, found.stage, found.subject) == (reason, stage, "credential:tenants.a.auth")
    assert found.data["days_left"] == days
    assert found.hint


@define
class Source:
    """Nothing new, or signs in no longer."""

    name: str = "fake"
    denied: bool = False

    async def read(self, known: Known) -> Snapshot:
        if self.denied:
            raise Denied("no", "")
        return Snapshot(source="fake", days=Unchanged(), catalogue=Unchanged())

    async def close(self) -> None: ...


@pytest.mark.parametrize("denied", [False, True])
async def test_problem_is_told_at_each_stage_and_when_renewed(tmp_path: Path, denied: bool) -> None:
    """Whether the tenant can be read or not: 30, 14, 7, 1 days, then expired (one problem, daily), then recovered."""
    config = parsed(minimal(tenants=[tenant("a", 1, secret("2027-01-01"))]))
    clock = SimulatedClock(datetime(2026, 11, 20, 12, tzinfo=UTC))
    store = await open_store(tmp_path / "state.db", clock=clock, writer=True, max_bytes=2**30)
    watch = ExpiryWatch(config)

    async def open_source(_: TenantConfig) -> Source:
        return Source(denied=denied)

    poller = Poller(store, clock, open_source, config.changes, severity_rules(), watch=watch)
    try:
        for hour in range(44 * 4):
            if hour == 43 * 4:
                watch.replace(renewed(config))
            await poller.poll(config.tenants[0])
            await clock.advance(6 * 3600)
        told = [
            (e.data["observed_at"][:10], e.type.removeprefix("securescore."), e.data["reason"])
            for e in await store.history(Query())
            if e.subject == "credential:tenants.a.auth"
        ]
    finally:
        await store.close()
    assert told == [
        ("2026-12-02", "connector.problem", "secret_expiring"),
        ("2026-12-18", "connector.problem", "secret_expiring"),
        ("2026-12-25", "connector.problem", "secret_expiring"),
        ("2026-12-31", "connector.problem", "secret_expiring"),
        ("2027-01-01", "connector.problem", "secret_expired"),
        ("2027-01-02", "connector.problem", "secret_expired"),
        ("2027-01-02", "connector.recovered", "secret_expired"),
    ]


def renewed(config: Config) -> Config:
    return parsed(minimal(tenants=[tenant("a", 1, secret("2028-01-01"))]))


async def test_shared_credential_is_one_problem_of_the_connector(tmp_path: Path) -> None:
    config = parsed(
        minimal(defaults={"auth": secret("2026-11-25")}, tenants=[tenant(f"t{n}", n, None) for n in range(1, 50)])
    )
    clock = SimulatedClock(NOW)
    watch = ExpiryWatch(config)
    assert await watch.of_tenant("t1", NOW) == []
    store = await open_store(tmp_path / "state.db", clock=clock, writer=True, max_bytes=2**30)
    try:
        upkeep = Upkeep(store, clock, severity_rules(), 2**30, 400, "here", watch)
        await upkeep.look([])
        (event,) = await store.history(Query())
    finally:
        await store.close()
    assert event.tenant_id == ""
    assert event.data["reason"] == "secret_expiring"
    assert event.data["tenants_affected"] == 49


async def test_two_applications_of_several_tenants_each_are_told_apart(tmp_path: Path) -> None:
    """Every stage of the one and of the other is told, and neither counts as the other's recovery."""
    one, other = secret("2026-12-04"), secret("2026-12-18", client_id=TENANT_ID)
    tenants = [tenant("a1", 1, one), tenant("a2", 2, one), tenant("b1", 3, other), tenant("b2", 4, other)]
    config = parsed(minimal(tenants=tenants))
    assert [(e.place, e.tenants) for e in expiries(config)] == [
        ("tenants.a1.auth", ("a1", "a2")),
        ("tenants.b1.auth", ("b1", "b2")),
    ]
    clock = SimulatedClock(datetime(2026, 11, 17, tzinfo=UTC))
    store = await open_store(tmp_path / "state.db", clock=clock, writer=True, max_bytes=2**30)
    try:
        upkeep = Upkeep(store, clock, severity_rules(), 2**30, 400, "here", ExpiryWatch(config))
        for _ in range(4 * 20):
            await upkeep.look([])
            await clock.advance(6 * 3600)
        events = await store.history(Query())
    finally:
        await store.close()
    told = {place: [e for e in events if e.data["credential"] == f"tenants.{place}.auth"] for place in ("a1", "b1")}
    assert {e.data["days_left"] for e in told["a1"]} >= {17, 14, 7, 1, 0}
    assert {e.data["days_left"] for e in told["b1"]} >= {30, 14}
    assert not [e for e in told["b1"] if e.type == "connector.recovered"]


async def test_renewed_file_is_noticed_within_an_hour(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    write(file, keys(PASSWORD, days=3).pem)
    auth = {"kind": "certificate", "client_id": CLIENT_ID, "file": str(file)}
    watch = ExpiryWatch(parsed(minimal(tenants=[tenant("a", 1, auth)])))
    now = datetime.now(UTC)
    assert len(await watch.of_tenant("a", now)) == 1
    write(file, keys(PASSWORD, days=90).pem)
    assert len(await watch.of_tenant("a", now + timedelta(minutes=59))) == 1
    assert await watch.of_tenant("a", now + timedelta(minutes=60)) == []
