"""Keys, certificates and secrets as things that expire: reading certificate files, and who must renew what by when.

Nothing here signs in. Private keys live in memory only for as long as a sign-in needs them. The package cryptography
comes with msal and is imported where a certificate is read.
"""

import errno
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, evolve, field, frozen

from connector.clock import Threads, iso
from connector.config import secrets
from connector.config.belonging import remedy
from connector.config.values import AuthConfig, Config
from connector.errors import ConfigError
from connector.problems import Fault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

MAX_FILE_BYTES = 1024 * 1024
STAGES_DAYS = (1, 7, 14, 30)
"""An expiring credential is told when so many days are left."""


# ------------------------------------------------------------------------------------------------------ certificates


@frozen
class KeyPair:
    """A private key and its certificate, both PEM. `fingerprint` is the certificate's SHA-256."""

    private_key: str = field(repr=False)
    certificate: str
    fingerprint: str
    not_after: datetime


def load_key_pair(path: str, password: str | None) -> KeyPair:
    """The private key and its certificate in a PEM or PFX (PKCS #12) file.

    Raises ConfigError: unreadable, readable by everybody, wrong or missing password, not RSA, key without certificate.
    """
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415

    secrets.check_file(path, what="the key file")
    data = _read(path)
    secret = password.encode() if password else None
    pem = b"-----BEGIN " in data
    key, certificates = _from_pem(path, data, secret) if pem else _from_pfx(path, data, secret)
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError([f"{path}: Microsoft Entra takes RSA keys only"], "create the certificate with an RSA key")
    certificate = _fitting(key, certificates)
    if certificate is None:
        raise ConfigError(
            [f"{path}: holds no certificate that belongs to its private key"],
            "put certificate and private key into one file: cat certificate.pem key.pem > both.pem",
        )
    return KeyPair(
        private_key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii"),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
    )


def _fitting(key: "PrivateKeyTypes", certificates: "Sequence[Certificate]") -> "Certificate | None":
    """Of the certificates that belong to the key the one that ends last: a file may still hold the one it replaced."""
    public = getattr(key.public_key(), "public_numbers", lambda: None)()
    fitting = [c for c in certificates if getattr(c.public_key(), "public_numbers", lambda: None)() == public]
    return max(fitting, key=lambda c: c.not_valid_after_utc, default=None)


def signs_in_until(path: str, password: str | None = None) -> datetime | None:
    """When the certificate that `load_key_pair` takes from this file expires; None when it cannot be told."""
    try:
        data = _read(path)
        secret = password.encode() if password else None
        key, certificates = _from_pem(path, data, secret) if b"-----BEGIN " in data else _from_pfx(path, data, secret)
    except ConfigError:  # the sign-in itself will say what is wrong with the file
        alone = _certificates(path)
        return alone[0].not_valid_after_utc if len(alone) == 1 else None
    certificate = _fitting(key, certificates) if key is not None else None
    return None if certificate is None else certificate.not_valid_after_utc


def not_after(path: str) -> datetime | None:
    """When the first certificate of a PEM file, which TLS shows, expires; None when it cannot be told."""
    certificates = _certificates(path)
    return certificates[0].not_valid_after_utc if certificates else None


def _certificates(path: str) -> "Sequence[Certificate]":
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(_read(path))
    except (ConfigError, ValueError):
        return []


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = (error.errno == errno.EACCES and remedy(path)) or "create the file, or let this user read it"
        raise ConfigError([f"cannot read {path}: {error.strerror}"], hint) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([f"{path} is larger than {MAX_FILE_BYTES} bytes, which no key file is"])
    return data


def _from_pem(path: str, data: bytes, secret: bytes | None) -> "tuple[PrivateKeyTypes, list[Certificate]]":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    encrypted = b"BEGIN ENCRYPTED" in data or b"Proc-Type: 4,ENCRYPTED" in data
    if encrypted and secret is None:
        raise ConfigError([f"{path}: the private key is encrypted"], "set auth.password to a reference to its password")
    start = data.find(b"PRIVATE KEY-----")
    start = data.rfind(b"-----BEGIN ", 0, max(start, 0))
    if start < 0:
        raise ConfigError([f"{path}: holds no private key"], "put certificate and private key into this file")
    try:
        key = serialization.load_pem_private_key(data[start:], secret if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise _wrong_password(path) from None
        raise ConfigError([f"{path}: the private key is damaged"], "export certificate and key again") from None
    try:
        return key, x509.load_pem_x509_certificates(data)
    except ValueError:
        return key, []


def _from_pfx(path: str, data: bytes, secret: bytes | None) -> "tuple[PrivateKeyTypes | None, list[Certificate]]":
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: PLC0415

    try:
        key, certificate, more = pkcs12.load_key_and_certificates(data, secret)
    except UnsupportedAlgorithm:
        raise ConfigError(
            [f"{path}: is encrypted in a way this machine does not support"], "export it again with AES-256"
        ) from None
    except (ValueError, TypeError):
        raise _wrong_password(path) from None
    return key, [*([certificate] if certificate else []), *more]


def _wrong_password(path: str) -> ConfigError:
    return ConfigError(
        [f"{path}: the password does not open it, or it is no PEM or PFX file"],
        "correct what auth.password refers to; for a PFX without password leave it out",
    )


# ------------------------------------------------------------------------------------------------------------ expiry


@frozen
class Expiry:
    """One credential that expires at `at`. `kind` is secret or certificate, `place` the key that names it.

    `tenants` are those that use it, by name; `sink` is set for a credential of a sink.
    """

    place: str
    kind: str
    at: datetime
    tenants: tuple[str, ...] = ()
    sink: str | None = None

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative when it has."""
        return (self.at - now).days


@frozen
class Credential:
    """A credential that ends some day. `at` None: nobody stated it (a secret), or the file cannot be read from here."""

    place: str
    kind: str
    at: datetime | None
    tenants: tuple[str, ...] = ()
    sink: str | None = None


def ending(config: Config) -> list[Credential]:
    """Every secret and certificate of the configuration, each once, however many tenants share it.

    The only one that tenants share has its place in the defaults; of several each has that of its first tenant: two
    credentials under one place would be told as one. Reads certificate files.
    """
    found: dict[Any, Credential] = {}
    users: dict[Any, list[str]] = {}
    for tenant in config.tenants:
        for key, auth in (("auth", tenant.auth), ("write_auth", tenant.write_auth)):
            if auth is None:
                continue
            same = (key, _identity(auth))
            users.setdefault(same, []).append(tenant.name)
            if len(users[same]) == 1 and (credential := _of_auth(auth, f"tenants.{tenant.name}.{key}")):
                found[same] = credential
    shared = Counter(same[0] for same in found if len(users[same]) > 1)
    result = [
        evolve(
            c,
            place=f"defaults.{same[0]}" if len(users[same]) > 1 and shared[same[0]] == 1 else c.place,
            tenants=tuple(users[same]),
        )
        for same, c in found.items()
    ]
    for sink in config.sinks:
        for name, value in sink.options.items():
            place = f"sinks.{sink.name}.{name}"
            own = None
            if isinstance(value, AuthConfig):
                own = _of_auth(value, place)
            elif name.rpartition(".")[2] == "cert_file" and isinstance(value, str):
                own = Credential(place, "certificate", not_after(value))
            if own is not None:
                result.append(evolve(own, sink=sink.name))
    return result


def expiries(config: Config) -> list[Expiry]:
    """When every credential of the configuration expires, as far as that is known."""
    return [Expiry(c.place, c.kind, c.at, c.tenants, c.sink) for c in ending(config) if c.at is not None]


def _identity(auth: AuthConfig) -> tuple[Any, ...]:
    return auth.kind, tuple(sorted(auth.options.items())), auth.expires_on


def _of_auth(auth: AuthConfig, place: str) -> Credential | None:
    """The credential of a sign-in; None for the kinds that have nothing that ends."""
    if auth.kind == "certificate":
        try:
            reference = auth.options.get("password")
            password = secrets.resolve(str(reference)) if reference else None
        except ConfigError:
            return Credential(place, "certificate", None)
        return Credential(place, "certificate", signs_in_until(str(auth.options["file"]), password))
    if auth.expires_on is None:
        return Credential(place, "secret", None) if auth.kind == "client_secret" else None
    # The portal shows a day; the secret dies during it, so it counts as expired from its beginning.
    return Credential(place, "secret", datetime.fromisoformat(auth.expires_on).replace(tzinfo=UTC))


def fault(expiry: Expiry, now: datetime) -> Fault | None:
    """The problem an expiring (30, 14, 7, 1 days) or expired credential is; None while there is time."""
    left = expiry.days_left(now)
    expired = expiry.at <= now
    stage = next((days for days in STAGES_DAYS if expiry.at - now <= timedelta(days=days)), None)
    if stage is None:
        return None
    noun = "client secret" if expiry.kind == "secret" else "certificate"
    day = iso(expiry.at)[:10]
    summary = f"{noun.capitalize()} expired on {day}" if expired else f"{noun.capitalize()} expires in {left} days"
    return Fault(
        "connector.problem",
        "secret_expired" if expired else "secret_expiring",
        f"credential:{expiry.place}",
        f"{summary}: {expiry.place}",
        detail=f"{expiry.place} ({noun}) {'expired' if expired else 'expires'} on {day}",
        hint=_RENEW[expiry.kind],
        data={
            "credential": expiry.place,
            "credential_kind": expiry.kind,
            "expires_at": iso(expiry.at),
            "days_left": left,
            "tenants_affected": len(expiry.tenants),
            **({"sink": expiry.sink} if expiry.sink else {}),
        },
        stage="" if expired else f"{stage} days",
    )


def _unread(why: str) -> Fault:
    return Fault(
        "connector.problem",
        "credentials_unread",
        "credentials",
        "Problem: the certificate files cannot be looked at, so an expiry may go untold",
        detail=why,
        hint="see that the disks or shares answer on which they lie (auth.file, tls.cert_file)",
    )


_RENEW: Mapping[str, str] = {
    "secret": "create a new secret in the app registration, put it where the configuration points, correct expires_on",
    "certificate": "renew the certificate, make its public part known where it is checked, and replace the file",
}


def faults(found: Iterable[Expiry], now: datetime) -> list[Fault]:
    """The problems among these credentials."""
    return [f for expiry in found if (f := fault(expiry, now)) is not None]


REREAD = timedelta(hours=1)
LOOK_LIMIT_S = 20.0
"""How long a look at the certificate files may take; polls wait for it."""
_THREADS = Threads("expiry", 2)


@define
class ExpiryWatch:
    """The expiries of a configuration. Read again every hour: files are renewed while a daemon runs.

    `_unread` says why the last look failed; what was found before it stands.
    """

    config: Config
    _found: list[Expiry] = Factory(list)
    _own: dict[str, list[Expiry]] = Factory(dict)
    _read_at: datetime | None = None
    _unread: str = ""

    def replace(self, config: Config) -> None:
        """Watch this configuration from now on."""
        self.config, self._read_at = config, None

    async def of_tenant(self, name: str, now: datetime) -> list[Fault]:
        """The problems of credentials that this tenant alone uses."""
        await self._refresh(now)
        return faults(self._own.get(name, ()), now)

    async def shared(self, now: datetime) -> list[Fault]:
        """The problems of credentials that several tenants share, and of sinks: told once, for the connector."""
        await self._refresh(now)
        found = faults((e for e in self._found if len(e.tenants) != 1), now)
        return [*found, _unread(self._unread)] if self._unread else found

    def known(self) -> tuple[Expiry, ...]:
        """What the latest look found; nothing is read."""
        return tuple(self._found)

    async def _refresh(self, now: datetime) -> None:
        if self._read_at is not None and timedelta(0) <= now - self._read_at < REREAD:
            return
        self._read_at = now
        config = self.config
        try:
            self._found, self._unread = await _THREADS.run(lambda: expiries(config), LOOK_LIMIT_S, "look"), ""
        except TimeoutError as error:
            self._unread = str(error)
            return
        self._own = {}
        for expiry in self._found:
            if len(expiry.tenants) == 1:
                self._own.setdefault(expiry.tenants[0], []).append(expiry)
