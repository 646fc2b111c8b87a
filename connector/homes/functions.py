"""What the Azure Functions app calls: everything opened once a process from its app settings, and opened anew when the
tenants file has changed. One that cannot be had or used leaves the one that was taken last in force, and is told. The
functions themselves are in packaging/azure/function_app.py; no turn is decided here.

Settings: SECURESCORE__… is the configuration (config/environment.py). Besides: SECURESCORE_TENANTS_BLOB, the address of
a tenants file in Blob Storage, and SECURESCORE_DELIVER_S (tenant_turn.DELIVER_S). Any setting may be
`keyvault:https://<vault>/secrets/<name>`: it is read from the vault when a process starts, for vaults that the
platform's own references cannot reach. Both are read as the identity that keeps the state.
"""

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from attrs import Factory, define, field

from connector.app import open_app
from connector.clock import SystemClock
from connector.config.baseline import read_baseline
from connector.config.environment import in_words, tree
from connector.config.parse import TenantRow, parse
from connector.config.values import Config
from connector.config.yaml_file import read_tenants
from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.health.logs import Words
from connector.homes.azure import fetch_tenants, file_name, keep_tenants, kept_tenants, read_secrets
from connector.homes.tenant_turn import DELIVER_S, TenantTurns, read, refuse_kinds
from connector.ports import Clock
from connector.registry import sink_options

log = logging.getLogger("securescore.functions")

INVOCATION_LIMIT_S = 870.0
"""How long an invocation may take, opening and all: below `functionTimeout` in host.json, at which the platform ends
the worker with everything else that it does."""
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
    _refused: SecureScoreError | None = None

    async def plan(self) -> list[str]:
        """The messages of a timer: every tenant's turn."""
        async with self._using(fresh=True) as turns:
            return await turns.plan()

    async def turn(self, body: bytes) -> None:
        """One message of the queue. A tenant that this process does not know may be new in the tenants file."""
        async with self._using() as turns:
            if turns.knows(read(body).key):
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
        async with self._using(fresh=True) as turns:
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
        try:
            async with asyncio.timeout(INVOCATION_LIMIT_S):
                async with self._lock:
                    found = await self._current(fresh=fresh)
                    found.users += 1
                try:
                    yield found.turns
                finally:
                    found.users -= 1
                    if found is not self._open and not found.users:
                        await found.stack.aclose()
        except TimeoutError:
            hint = "the log says what it waited for; nothing is lost, what is left comes with the next one"
            raise Unavailable(f"not over after {INVOCATION_LIMIT_S:g} s", hint=hint) from None

    async def _current(self, *, fresh: bool) -> _Open:
        """What is open now: opened at the first call, and again when there is another tenants file that can be used."""
        now = self.clock.now()
        if self._open is None:
            _log_with_facts()
            await read_secrets(self.environ, self.clock)
        elif not (fresh or self._looked is None or now - self._looked >= LOOK_AGAIN):
            return self._open
        self._looked = now
        address = self.environ.get("SECURESCORE_TENANTS_BLOB", "")
        try:
            if not address:
                return self._open or await self._replace(None)
            text, etag = await fetch_tenants(address, self._etag, self.environ, self.clock)
            if self._open is None or text is not None:
                await self._replace(text)
                self._etag = etag
                await self._keep(address, text)
            self._refused = None
        except SecureScoreError as error:
            if self._open is None:
                await self._replace_with_kept(address, error)
            self._refused = error
            told = {"problems": _problems(error)[:20], "hint": error.hint}
            log.error("tenants.refused", extra=told)  # noqa: TRY400 - a fact, no bug
        assert self._open is not None
        self._open.turns.refused = self._refused
        return self._open

    async def _replace(self, tenants: bytes | None) -> _Open:
        """Open anew with these tenants; what was open ends with its last user. Raises ConfigError; then it stays."""
        address = self.environ.get("SECURESCORE_TENANTS_BLOB", "")
        was, self._open = self._open, await self._opened(configuration(self.environ, address, tenants))
        if was is not None and not was.users:
            await was.stack.aclose()
        return self._open

    async def _replace_with_kept(self, address: str, error: SecureScoreError) -> None:
        """Open with the tenants that were taken last, by whatever process; where there are none the error stands."""
        if not address:
            raise error
        try:
            tenants = await kept_tenants(address, self.environ, self.clock)
            if tenants is None:
                raise error
            await self._replace(tenants)
        except SecureScoreError:
            raise error from None

    async def _keep(self, address: str, tenants: bytes | None) -> None:
        if tenants is None:
            return
        try:
            await keep_tenants(address, tenants, self.environ, self.clock)
        except SecureScoreError as error:  # needed only if the next file is wrong
            log.warning("tenants.not_kept", extra={"error": error.what, "hint": error.hint})

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
            place = Path(folder, file_name(file))
            place.write_bytes(tenants)
            rows, found = read_tenants(str(place))
        problems += found
    standards = None
    if isinstance(raw.get("baseline"), dict):  # there is no file beside these settings: they hold the standards
        standards, found = read_baseline(raw.pop("baseline"), "", lambda _: None, ("baseline",))
        problems += found
    try:
        config = parse(
            raw,
            sink_options=sink_options,
            environ=environ,
            tenant_rows=rows,
            baseline=standards,
            problems=problems,
        )
    except ConfigError as error:
        raise ConfigError(
            [in_words(problem) for problem in error.problems],
            "correct the app settings (Configuration), then restart; a tenants file is read again by itself",
        ) from None
    refuse_kinds([sink.kind for sink in config.sinks])
    if saved := [t for t in config.tenants if t.saved]:
        raise ConfigError(
            [
                f"tenant {t.name}: source: {t.source} reads saved responses from a folder, and there is none here"
                for t in saved
            ],
            "read the tenant from Graph here, or let a daemon on a host read the folder",
        )
    if config.reports:
        raise ConfigError(
            ["reports need a disk that lasts"], "let a host write them: `securescore report`, or the daemon"
        )
    if config.state.blob is None:
        raise ConfigError(
            ["the state has no container"],
            "set SECURESCORE__state__blob__account_url and SECURESCORE__state__blob__container",
        )
    return config


def _problems(error: SecureScoreError) -> list[str]:
    return list(error.problems) if isinstance(error, ConfigError) else [error.what]


def _log_with_facts() -> None:
    """The platform's handlers write a record's message only; ours carry their facts beside it."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Words())
    for noisy in ("azure", "msal"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
