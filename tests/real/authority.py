"""A TLS authority on loopback for real MSAL: the simulated Microsoft Entra behind a private CA, and key files for it.

Each test gets its own; nothing here is known to the machine's certificate store.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from attrs import define, evolve, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from connector.app import Transports
from connector.clock import SystemClock
from connector.config.values import AuthConfig, NetworkConfig
from connector.net.clouds import CLOUDS, Cloud
from connector.ports import Clock
from connector.signin.msal_calls import Target
from connector.signin.tokens import HeldToken, SignIn
from connector.simulator.authority import Authority, Registration, serve_authority
from connector.simulator.server import READ

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
CLIENT = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
IDENTITY = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
SECRET = "Qx8~not+a&real=secret/for%tests.only"  # signs that a form must encode


@define
class Bench:
    """An authority and everything that signs in at it."""

    authority: Authority
    network: NetworkConfig
    transports: Transports
    folder: Path
    ca: trustme.CA = field(repr=False)

    @property
    def sign_in(self) -> SignIn:
        return self.transports.sign_in

    @property
    def app(self) -> Registration:
        return self.authority.registrations[CLIENT]

    @property
    def cloud(self) -> Cloud:
        return evolve(CLOUDS["global"], login=self.authority.base_url)

    def target(self, tenant_id: str = TENANT) -> Target:
        return Target(tenant_id, self.cloud, self.cloud.graph_audience, READ)

    def held(self, kind: str, tenant_id: str = TENANT, **options: Any) -> HeldToken:
        """The token of a credential; `client_id` is the registered one unless stated."""
        if kind != "managed_identity":
            options.setdefault("client_id", CLIENT)
        auth = AuthConfig(kind, {name: value for name, value in options.items() if value is not None})
        return self.sign_in.held(auth, self.target(tenant_id), self.network)

    def file(self, name: str, content: bytes | str, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return str(path)

    def secret(self, value: str = SECRET, name: str = "secret") -> str:
        """A reference to a secret file."""
        return f"${{file:{self.file(name, value)}}}"

    def token_requests(self) -> list[dict[str, str]]:
        return [dict(r) for r in self.authority.requests if r["path"].endswith("/token")]


@asynccontextmanager
async def bench(folder: Path, clock: Clock | None = None, **network: Any) -> AsyncIterator[Bench]:
    """A running authority with one application, which TENANT has consented to."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    settings = NetworkConfig(**{"ca_file": str(ca_file), "timeout_s": 5.0, **network})
    app = Registration(CLIENT, secrets={SECRET: True}, roles={TENANT: frozenset({READ})})
    transports = Transports(clock or SystemClock())
    async with serve_authority(clock or SystemClock(), [TENANT, OTHER], [app], ssl=context) as authority:
        try:
            yield Bench(authority, settings, transports, folder, ca)
        finally:
            await transports.close()


# ---------------------------------------------------------------------------------------------------------- key files


@define
class Keys:
    """A key and its certificate in every form people keep them."""

    certificate: str
    pem: bytes = field(repr=False)
    pem_encrypted: bytes = field(repr=False)
    pfx: bytes = field(repr=False)
    pfx_encrypted: bytes = field(repr=False)


def keys(password: str, *, days: int = 90, curve: bool = False, of: bytes | None = None) -> Keys:
    """A key pair whose certificate ends in so many days (negative: it has ended); `of`: the PEM of its key."""
    key: Any = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    if of is not None:
        key = serialization.load_pem_private_key(of, None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(password.encode())

    def private(encryption: serialization.KeySerializationEncryption) -> bytes:
        return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))

    def pfx(encryption: serialization.KeySerializationEncryption) -> bytes:
        return pkcs12.serialize_key_and_certificates(b"connector", key, certificate, None, encryption)

    return Keys(pem.decode(), pem + private(plain), private(locked) + pem, pfx(plain), pfx(locked))
