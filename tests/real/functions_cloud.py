"""A small Azure on loopback for the function app: storage, sign-in, identity endpoint, Graph, a data collection rule.

Everything is behind TLS of a private authority, and everything is reached with tokens: storage and rule as the app's
managed identity, Graph as the identity, as an application with a secret, or with a token file, as a test wants.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import trustme
from aiohttp import web
from attrs import define, field, frozen

from connector.clock import SystemClock
from connector.model import STREAMS
from connector.net.client import tls_context
from connector.signin.claims import read_claims
from connector.simulator.authority import Authority, Registration, serve_authority
from connector.simulator.server import READ, Caller, Simulation, plain_tokens, serve
from connector.simulator.world import World
from connector.stores.blob import Blobs
from connector.stores.documents import DocumentsStore
from sinks.sentinel import OPTIONS
from tests.fakes import ingestion, loopback
from tests.fakes.simulated import token_file
from tests.golden import samples
from tests.real.azurite import Account, account
from tests.real.functions_host import Host, Queues, Worker, queues, start

IDENTITY = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
CLIENT = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
SECRET = "Qx8~not+a&real=secret/for%tests.only"


class Issued(dict[str, set[str]]):
    """Grants of the rule: every token of the identity that is meant for Azure Monitor."""

    def __init__(self, authority: Authority, rules: set[str]) -> None:
        super().__init__()
        self.authority, self.rules = authority, rules

    def __contains__(self, token: object) -> bool:
        return self.authority.caller(str(token)) is not None

    def __getitem__(self, token: str) -> set[str]:
        return self.rules


@define
class Vault:
    """A key vault: what it holds by name, given to tokens that are meant for a vault."""

    authority: Authority
    secrets: dict[str, str] = field(factory=dict, repr=False)
    url: str = ""

    async def _answer(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        claims = read_claims(token)
        if self.authority.caller(token) is None or claims is None or claims.audience != "https://vault.azure.net":
            return web.json_response({"error": {"code": "Unauthorized"}}, status=401)
        if request.match_info["name"] not in self.secrets:
            return web.json_response({"error": {"code": "SecretNotFound"}}, status=404)
        return web.json_response({"value": self.secrets[request.match_info["name"]], "attributes": {"enabled": True}})

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator["Vault"]:
        application = web.Application()
        application.router.add_get("/secrets/{name}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self.url = f"https://localhost:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


@define
class Cloud:
    """What runs. `settings` are the app settings of an app whose tenants are read with token files."""

    account: Account
    authority: Authority
    sim: Simulation
    service: ingestion.Service
    endpoint: loopback.Server[ingestion.Service]
    queues: Queues
    folder: Path
    app: Path
    ca_file: Path
    container: str
    vault: "Vault"
    settings: dict[str, str]
    workers: list[Worker] = field(factory=list)

    async def worker(self, **settings: str) -> Worker:
        made = await start(self.app, {**self.settings, **settings}, self.folder / "worker.log")
        assert "fault" not in made.found, made.found
        self.workers.append(made)
        return made

    async def host(self, workers: int = 1, **settings: str) -> Host:
        return Host(self.queues, list(await asyncio.gather(*(self.worker(**settings) for _ in range(workers)))))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[DocumentsStore]:
        """The app's state, from beside."""
        from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - an extra
        from azure.storage.blob.aio import ContainerClient  # noqa: PLC0415

        connector = aiohttp.TCPConnector(ssl=tls_context(str(self.ca_file)))
        session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        transport = AioHttpTransport(session=session)
        client = ContainerClient(self.account.blob, self.container, self.account.sas, transport=transport)
        store = DocumentsStore(Blobs(client), SystemClock())
        try:
            yield store
        finally:
            await store.close()
            await session.close()

    async def put(self, container: str, name: str, body: bytes) -> None:
        """A blob from outside, replaced when it is there."""
        connector = aiohttp.TCPConnector(ssl=tls_context(str(self.ca_file)))
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"}
        url = f"{self.account.blob}/{container}"
        async with aiohttp.ClientSession(connector=connector) as http:
            async with http.put(f"{url}?restype=container&{self.account.sas}", headers=headers) as answer:
                assert answer.status in (201, 409)
            if name:
                async with http.put(f"{url}/{name}?{self.account.sas}", data=body, headers=headers) as answer:
                    assert answer.status == 201


@frozen
class Ground:
    """What tests of one process share: a storage account, and the private authority behind every TLS."""

    account: Account
    context: ssl.SSLContext
    ca_file: Path


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert = ca.issue_cert("localhost", "127.0.0.1")
    cert.configure_cert(context)
    ca_file, cert_file, key_file = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    cert_file.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    cert.private_key_pem.write_to_path(str(key_file))
    with account(folder, cert_file, key_file) as storage:
        yield Ground(storage, context, ca_file)


@asynccontextmanager
async def cloud(folder: Path, app: Path, on: Ground, tenants: int = 1, *, backfill: str = "2d") -> AsyncIterator[Cloud]:
    """An Azure with so many tenants, an empty state and empty queues, and an app that has not been started."""
    clock = SystemClock()
    world = World(7, tenants, (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    home = world.tenants[0].id
    registration = Registration(CLIENT, secrets={SECRET: True}, roles={t.id: frozenset({READ}) for t in world.tenants})
    names = [t.id for t in world.tenants]
    columns = {OPTIONS["streams"].default[s]: samples.mapping("sentinel").columns(s) for s in STREAMS}
    service = ingestion.Service(clock, {ingestion.RULE: {s: ingestion.declared(c) for s, c in columns.items()}})
    state = f"state-{uuid4()}"
    async with (
        serve_authority(clock, names, [registration], ssl=on.context, name="127.0.0.1") as authority,
        serve(world, clock, authenticate=_either(authority)) as sim,
        loopback.serve(service, on.context) as endpoint,
        queues(on.account, on.ca_file) as made,
        Vault(authority).serve(on.context) as vault,
    ):
        authority.identities[IDENTITY] = home
        service.grants = Issued(authority, {ingestion.RULE})
        settings = {
            "IDENTITY_ENDPOINT": f"{authority.base_url}/msi/token",
            "IDENTITY_HEADER": "header-of-the-platform",
            "SECURESCORE_SCHEDULE": "0 7 * * * *",
            "SECURESCORE_TEND_SCHEDULE": "0 3-59/10 * * * *",
            "SECURESCORE__state__blob__account_url": on.account.blob,
            "SECURESCORE__state__blob__container": state,
            "SECURESCORE__state__blob__client_id": IDENTITY,
            "SECURESCORE__network__ca_file": str(on.ca_file),
            "SECURESCORE__graph__base_url": sim.base_url,
            "SECURESCORE__graph__authority": authority.base_url,
            "SECURESCORE__poll__backfill": backfill,
            "SECURESCORE__sinks__0__name": "sentinel",
            "SECURESCORE__sinks__0__kind": "sentinel",
            "SECURESCORE__sinks__0__endpoint": endpoint.url,
            "SECURESCORE__sinks__0__rule_id": ingestion.RULE,
            "SECURESCORE__sinks__0__auth__kind": "managed_identity",
            "SECURESCORE__sinks__0__auth__client_id": IDENTITY,
            **dict(_tenants(world, folder)),
        }
        found = Cloud(
            on.account, authority, sim, service, endpoint, made, folder, app, on.ca_file, state, vault, settings
        )
        await found.put(state, "", b"")
        try:
            yield found
        finally:
            for worker in found.workers:
                await worker.kill()


def _tenants(world: World, folder: Path) -> Iterator[tuple[str, str]]:
    for number, tenant in enumerate(world.tenants):
        token = token_file(folder, tenant)
        yield f"SECURESCORE__tenants__{number}__name", tenant.name
        yield f"SECURESCORE__tenants__{number}__tenant_id", tenant.id
        yield f"SECURESCORE__tenants__{number}__auth__kind", "token"
        yield f"SECURESCORE__tenants__{number}__auth__file", str(token)


def _either(authority: Authority) -> Any:
    def caller(token: str) -> Caller | None:
        return plain_tokens(token) or authority.caller(token)

    return caller


def without(settings: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Settings without those of a branch."""
    return {name: value for name, value in settings.items() if not name.startswith(prefix)}
