"""What the Azure Functions app calls: everything opened once a process from its app settings, and opened anew when the
tenants file has changed. The functions themselves are in packaging/azure/function_app.py; no turn is decided here.

Settings: SECURESCORE__… is the configuration (config/environment.py). Besides: SECURESCORE_TENANTS_BLOB, the address of
a tenants file in Blob Storage, and SECURESCORE_DELIVER_S (tenant_turn.DELIVER_S). Any setting may be
`keyvault:https://<vault>/secrets/<name>`: it is read from the vault when a process starts, for vaults that the
platform's own references cannot reach. Both are read as the identity that keeps the state.
"""

import asyncio
import json
import logging
import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from connector.app import open_app
from connector.clock import SystemClock
from connector.config.environment import in_words, tree
from connector.config.parse import TenantRow, parse
from connector.config.values import AuthConfig, Config, NetworkConfig
from connector.config.yaml_file import MAX_BYTES, read_tenants
from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.health.logs import Words
from connector.homes.tenant_turn import DELIVER_S, TenantTurns, read, refuse_kinds
from connector.net.clouds import CLOUDS
from connector.net.connect import open_client
from connector.net.http import Wire, error_for
from connector.ports import Clock
from connector.registry import sink_options
from connector.signin.tokens import azure_credential

STORAGE, STORAGE_VERSION = "https://storage.azure.com", "2023-11-03"
VAULT_VERSION = "7.4"
_VAULT = re.compile(
    r"keyvault:https://(?:localhost:[0-9]+|[a-z0-9-]+\.(vault\.(?:azure\.net|usgovcloudapi\.net)))"
    r"/secrets/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?"
)
"""Where the identity's token for vaults may be sent: to a vault, or to this machine."""
LOOK_AGAIN = timedelta(minutes=5)
"""How old a process's view of the tenants file may be."""


@define
class _Open:
    """What is open, and how many invocations are using it."""

    turns: TenantTurns
    stack: AsyncExitStack
    users: int = 0


@define
class Functions:
    """The app of one process. A method is one invocation; it raises when the platform shall count that as failed."""

    environ: MutableMapping[str, str] = field(factory=lambda: os.environ, repr=False)
    clock: Clock = Factory(SystemClock)
    _lock: asyncio.Lock = Factory(asyncio.Lock)
    _open: _Open | None = None
    _etag: str = ""
    _looked: datetime | None = None

    async def plan(self) -> list[str]:
        """The messages of a timer: every tenant's turn."""
        async with self._using(fresh=True) as turns:
            return await turns.plan()

    async def turn(self, body: bytes) -> None:
        """One message of the queue. A tenant that this process does not know may be new in the tenants file."""
        async with self._using() as turns:
            if turns.knows(read(body)[0]):
                await turns.turn(body)
                return
        async with self._using(fresh=True) as turns:
            await turns.turn(body)

    async def given_up(self, body: bytes) -> None:
        """One message of the poison queue."""
        async with self._using() as turns:
            await turns.given_up(body)

    async def tend(self) -> list[str]:
        """The messages of the other timer: tenants that have events waiting."""
        async with self._using() as turns:
            return await turns.tend()

    async def status(self) -> tuple[int, str]:
        """HTTP status and a JSON document: how tenants and sinks stand, or what is wrong with the settings."""
        try:
            async with self._using() as turns:
                return 200, json.dumps(await turns.status())
        except ConfigError as error:
            return 503, json.dumps({"problems": error.problems, "next": error.hint})
        except SecureScoreError as error:
            return 503, json.dumps({"problems": [error.what], "next": error.hint})

    async def close(self) -> None:
        """Close what is open; for tests, since a process of the platform just ends."""
        was, self._open = self._open, None
        if was is not None:
            await was.stack.aclose()

    # ---------------------------------------------------------------------------------------------------------- opening

    @asynccontextmanager
    async def _using(self, *, fresh: bool = False) -> AsyncIterator[TenantTurns]:
        async with self._lock:
            found = await self._current(fresh=fresh)
            found.users += 1
        try:
            yield found.turns
        finally:
            found.users -= 1
            if found is not self._open and not found.users:
                await found.stack.aclose()

    async def _current(self, *, fresh: bool) -> _Open:
        """What is open now: opened at the first call, and again when there is another tenants file."""
        now = self.clock.now()
        if self._open is None:
            _log_with_facts()
            await read_secrets(self.environ, self.clock)
        elif not (fresh or self._looked is None or now - self._looked >= LOOK_AGAIN):
            return self._open
        address = self.environ.get("SECURESCORE_TENANTS_BLOB", "")
        text, etag = await fetch_tenants(address, self._etag, self.environ, self.clock) if address else (None, "")
        self._looked = now
        if self._open is not None and text is None:
            return self._open
        was, self._open = self._open, await self._opened(configuration(self.environ, address, text))
        self._etag = etag
        if was is not None and not was.users:
            await was.stack.aclose()
        return self._open

    async def _opened(self, config: Config) -> _Open:
        try:
            deliver_s = float(self.environ.get("SECURESCORE_DELIVER_S") or DELIVER_S)
        except ValueError:
            raise ConfigError(["app setting SECURESCORE_DELIVER_S: expected a number of seconds"]) from None
        stack = AsyncExitStack()
        app = await stack.enter_async_context(open_app(config, clock=self.clock))
        return _Open(TenantTurns(app, deliver_s=deliver_s), stack)


def configuration(environ: Mapping[str, str], file: str = "", tenants: bytes | None = None) -> Config:
    """The configuration in the settings, with the tenants of a tenants file. Raises ConfigError with every problem."""
    raw, problems = tree(environ)
    raw.pop("tenants_file", None)  # the platform's disk holds the package only
    rows: list[TenantRow] = []
    if tenants is not None:
        with tempfile.TemporaryDirectory(prefix="securescore-") as folder:
            place = Path(folder, file.rpartition("/")[2].partition("?")[0] or "tenants.csv")
            place.write_bytes(tenants)
            rows, found = read_tenants(str(place))
        problems += found
    try:
        config = parse(raw, sink_options=sink_options, environ=environ, tenant_rows=rows, problems=problems)
    except ConfigError as error:
        raise ConfigError(
            [in_words(problem) for problem in error.problems], "correct the app settings (Configuration); then restart"
        ) from None
    refuse_kinds([sink.kind for sink in config.sinks])
    if config.state.blob is None:
        raise ConfigError(
            ["the state has no container"],
            "set SECURESCORE__state__blob__account_url and SECURESCORE__state__blob__container",
        )
    return config


# ----------------------------------------------------------------------------------------- what Azure keeps for the app


async def fetch_tenants(address: str, etag: str, environ: Mapping[str, str], clock: Clock) -> tuple[bytes | None, str]:
    """The tenants file and its ETag; None when it is still the one with this ETag. Raises ConfigError, Unavailable."""
    account = environ.get("SECURESCORE__state__blob__account_url", "").rstrip("/")
    if not account or not address.startswith(f"{account}/"):
        raise ConfigError(
            ["app setting SECURESCORE_TENANTS_BLOB: is not in the storage account of the state"],
            "put the file into a container there: the identity's token is sent nowhere else",
        )
    headers = {"x-ms-version": STORAGE_VERSION} | ({"If-None-Match": etag} if etag else {})
    async with _as_identity(environ, clock) as (http, credential):
        token = (await credential.get_token_info(f"{STORAGE}/.default")).token
        answer = await http.request(
            "GET", address, headers={**headers, "Authorization": f"Bearer {token}"}, max_bytes=MAX_BYTES
        )
    if answer.status == 304:
        return None, etag
    if answer.status in (401, 403, 404):
        raise ConfigError(
            [f"app setting SECURESCORE_TENANTS_BLOB: HTTP {answer.status}"],
            "correct the address, or give the app's identity the role Storage Blob Data Reader on the container",
        )
    if answer.status != 200:
        raise error_for(answer, "the tenants file")
    if answer.cut:
        raise Unavailable(f"the tenants file is {answer.cut}")
    return answer.body, answer.headers.get("etag", "")


async def read_secrets(environ: MutableMapping[str, str], clock: Clock) -> None:
    """Put in place of each setting `keyvault:…` what the vault holds. Raises ConfigError for all that cannot be had."""
    wanted = {name: text.strip() for name, text in environ.items() if text.strip().startswith("keyvault:")}
    if not wanted:
        return
    problems = []
    async with _as_identity(environ, clock) as (http, credential):
        for name, text in wanted.items():
            match = _VAULT.fullmatch(text)
            if match is None:
                problems.append(f"app setting {name}: expected keyvault:https://<vault>/secrets/<name>")
                continue
            try:
                audience = f"https://{match[1] or 'vault.azure.net'}"
                token = (await credential.get_token_info(f"{audience}/.default")).token
                answer = await http.request(
                    "GET",
                    f"{text.removeprefix('keyvault:')}?api-version={VAULT_VERSION}",
                    headers={"Authorization": f"Bearer {token}"},
                )
                environ[name] = _secret(answer.status, answer.body)
            except (SecureScoreError, ValueError) as error:
                problems.append(f"app setting {name}: the vault does not give it ({error})")
    if problems:
        raise ConfigError(problems, "give the app's identity the role Key Vault Secrets User, and see that it is there")


def _secret(status: int, body: bytes) -> str:
    """The value in the vault's answer. Raises ValueError, which never quotes it."""
    if status != 200:
        raise ValueError(f"HTTP {status}")
    try:
        value = json.loads(body)["value"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("its answer is no secret") from None
    if not isinstance(value, str) or not value:
        raise ValueError("it is empty")
    return value


@asynccontextmanager
async def _as_identity(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[tuple[Wire, Any]]:
    """A transport and a credential of the identity that keeps the state."""
    ca_file = environ.get("SECURESCORE__network__ca_file") or None
    network = NetworkConfig(proxy=environ.get("SECURESCORE__network__proxy") or None, ca_file=ca_file)
    client_id = environ.get("SECURESCORE__state__blob__client_id")
    auth = AuthConfig("managed_identity", {"client_id": client_id} if client_id else {})
    credential = azure_credential(auth, CLOUDS["global"], network, clock)
    http = open_client(network, clock)
    try:
        yield http, credential
    finally:
        await http.close()
        await credential.close()


def _log_with_facts() -> None:
    """The platform's handlers write a record's message only; ours carry their facts beside it."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Words())
    for noisy in ("azure", "msal"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
