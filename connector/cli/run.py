"""`securescore run`: the daemon. Polls and delivers until SIGTERM or SIGINT; SIGHUP reads the configuration again.

What a reload changes: when only tenants differ they are replaced while everything goes on; in every other case (also
when nothing differs: secrets and certificates are then read anew) the loops end as in a stop and are built again in
this process. A configuration that cannot be used is refused, and the old one keeps running.
"""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import Factory, define, evolve

from connector import __version__
from connector.app import open_app
from connector.cli.common import config_of
from connector.clock import first_of
from connector.config.values import Config
from connector.config.yaml_file import find
from connector.deliver.prepare import check_sinks
from connector.errors import ConfigError, SecureScoreError
from connector.health import endpoints, listener
from connector.health.logs import log_to_stderr
from connector.health.systemd import Notifier
from connector.loops import MAX_REFUSAL_CHARS, App
from connector.observe.poller import PollOutcome
from connector.options import is_loopback

HELP = "the daemon: poll and deliver until stopped"
STATUS_S = 30.0
"""How often the service manager gets a status line when it expects no watchdog."""

log = logging.getLogger("securescore.run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults()


def run(args: argparse.Namespace) -> int:
    args.config = find(args.config, os.environ)  # once: a reload reads the same file
    config = config_of(args)
    log_to_stderr(config.log)
    log.info("run.configuration", extra={"file": args.config})
    return asyncio.run(_run(args, config))


async def _run(args: argparse.Namespace, config: Config) -> int:
    daemon = Daemon(config, lambda: config_of(args), Notifier.of(os.environ, os.getpid()))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.hup.set)
    await daemon.run()
    return 0


@define
class Daemon:
    """One process of `run`, over any number of reloads. `load` reads the configuration again; it raises ConfigError."""

    config: Config
    load: Callable[[], Config]
    notifier: Notifier
    stop: asyncio.Event = Factory(asyncio.Event)
    hup: asyncio.Event = Factory(asyncio.Event)
    _good: Config | None = None
    _refused: str | None = None
    _reloads: dict[str, int] = Factory(dict)

    async def run(self) -> None:
        """Until `stop`. Raises what open_app and App.run raise, except for a configuration that can be gone back on."""
        while not self.stop.is_set():
            async with AsyncExitStack() as stack:
                try:
                    app = await stack.enter_async_context(open_app(self.config))
                    await stack.enter_async_context(listening(app))
                except SecureScoreError as error:
                    if self._good is None or self._good == self.config:
                        raise
                    self._refuse(error)
                    self.config = self._good
                    continue
                self._good = self.config
                app.counters.refused, app.counters.reloads = self._refused, self._reloads
                facts = {"tenants": len(self.config.tenants), "sinks": len(self.config.sinks)}
                log.info("run.started", extra=facts)
                self.notifier.ready(_status(app))
                await self._until_end(app)
        log.info("run.stopped")

    async def _until_end(self, app: App) -> None:
        """Both loops, until a stop or a reload that needs everything built anew."""
        end = asyncio.Event()
        beside = [asyncio.ensure_future(self._obey(app, end)), asyncio.ensure_future(self._report(app))]
        loops = asyncio.ensure_future(app.run(end, _tell))
        try:
            await asyncio.wait((loops, *beside), return_when=asyncio.FIRST_COMPLETED)
            while not loops.done() and not any(t.done() and t.exception() for t in beside):
                await asyncio.wait([t for t in (loops, *beside) if not t.done()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (loops, *beside):
                task.cancel()
            ended = await asyncio.gather(loops, *beside, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _obey(self, app: App, end: asyncio.Event) -> None:
        """Wait for signals, and do what they say."""
        while True:
            await first_of(self.stop.wait(), self.hup.wait())
            if self.stop.is_set():
                log.info("run.stopping")
                self.notifier.stopping()
                end.set()
                return
            self.hup.clear()
            self.notifier.reloading()
            if await self._reload(app):
                end.set()  # what follows the loops' end tells READY
                return
            self.notifier.ready(_status(app))

    async def _reload(self, app: App) -> bool:
        """Read the configuration again; whether everything must be built anew for it."""
        try:
            new = await asyncio.to_thread(self.load)
            await check_sinks(new)
        except SecureScoreError as error:
            self._refuse(error)
            app.counters.refused = self._refused
            await app.look()
            return False
        log_to_stderr(new.log)
        old, self.config, self._refused = self.config, new, None
        if tenants_differ_only(old, new):
            app.counters.refused = None
            self._count("tenants")
            app.replace_tenants(new.tenants)
            self._good = new
            log.info("reload.tenants", extra={"tenants": len(new.tenants)})
            await app.look()
            return False
        self._count("rebuilt")
        log.info("reload.rebuilding")
        return True

    def _refuse(self, error: SecureScoreError) -> None:
        problems = error.problems if isinstance(error, ConfigError) else [error.what]
        self._refused = "; ".join(problems)[:MAX_REFUSAL_CHARS]
        self._count("refused")
        log.error("reload.refused", extra={"problems": list(problems)[:20], "hint": error.hint})

    def _count(self, outcome: str) -> None:
        self._reloads[outcome] = self._reloads.get(outcome, 0) + 1

    async def _report(self, app: App) -> None:
        """Tell the service manager that both loops are alive, but only while they are."""
        period_s = self.notifier.watchdog_s / 2 if self.notifier.watchdog_s else STATUS_S
        while True:
            stalled = app.stalled()
            if stalled:
                log.error("run.stalled", extra={"loops": stalled})
                self.notifier.status(f"no progress: {', '.join(stalled)}")
            elif self.notifier.watchdog_s:
                self.notifier.alive(_status(app))
            else:
                self.notifier.status(_status(app))
            await asyncio.sleep(period_s)


def tenants_differ_only(old: Config, new: Config) -> bool:
    """Whether replacing the tenants makes the running configuration the new one. Sinks know tenants' own routes."""
    if old.tenants == new.tenants or any(t.overrides for t in (*old.tenants, *new.tenants)):
        return False
    return evolve(new, tenants=old.tenants, tenants_file=old.tenants_file, log=old.log) == old


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[None]:
    """The health endpoints, where the configuration wants them. Raises ConfigError when the address cannot be had."""
    address = app.config.health.listen
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not is_loopback(host):
        log.warning(
            "health.exposed", extra={"listen": address, "hint": "there is no sign-in; keep it behind a firewall"}
        )
    async with AsyncExitStack() as stack:
        answers = endpoints.application(app.counters, app.facts, __version__)
        try:
            await stack.enter_async_context(listener.listening(answers, host, int(port)))
        except OSError as error:
            what = f"health.listen: {address}: {os.strerror(error.errno) if error.errno else error}"
            raise ConfigError([what], "choose a free port, or `health: {listen: off}`") from error
        yield


def _status(app: App) -> str:
    states = app.counters.states(app.clock.now())
    parts = [f"{n} {state}" for state, n in states.items() if n]
    waiting = [name for name, d in app.deliveries.items() if d.health().state in ("unavailable", "denied")]
    return f"tenants: {', '.join(parts) or 'none'}; sinks that take nothing: {', '.join(waiting) or 'none'}"


def _tell(outcome: PollOutcome) -> None:
    level = logging.INFO if outcome.status in ("ok", "unchanged") else logging.WARNING
    facts = {"tenant": outcome.tenant, "status": outcome.status, "events": outcome.events, "error": outcome.error}
    log.log(level, "poll.done", extra={k: v for k, v in facts.items() if v is not None})
