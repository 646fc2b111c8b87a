"""`securescore run`: the daemon. Polls and delivers until SIGTERM or SIGINT; SIGHUP reads the configuration again.

What a reload changes: when only tenants differ they are replaced while everything goes on; in every other case (also
when nothing differs: secrets and certificates are then read anew) the loops end as in a stop and are built again in
this process. A configuration that cannot be used is refused, and the old one keeps running. A state that cannot be
opened is waited for; only one that is not ours ends the process.
"""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Callable

from aiohttp import web
from attrs import Factory, define, evolve, field

from connector import __version__
from connector.app import open_app
from connector.cli import process
from connector.cli.common import config_of
from connector.clock import SystemClock, first_of
from connector.config.values import Config
from connector.config.yaml_file import find
from connector.deliver.prepare import check_sinks
from connector.errors import ConfigError, SecureScoreError, StateRefused, StoreError, exhausted
from connector.health import endpoints
from connector.health.counters import Counters
from connector.health.logs import log_to_stderr
from connector.health.overview import Facts
from connector.health.state_watch import StateWatch
from connector.health.systemd import Notifier
from connector.health.window import Window
from connector.loops import MAX_REFUSAL_CHARS, App
from connector.observe.poller import PollOutcome

PROGRESS_S = 30.0
"""How often the log is told how far the first round of polls is."""
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
    return process.to_end(_run(args, config))


async def _run(args: argparse.Namespace, config: Config) -> int:
    daemon = Daemon(config, lambda: config_of(args), Notifier.of(os.environ, os.getpid()))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.hup.set)
    if process.hup_came():
        daemon.hup.set()
    await daemon.run()
    return 0


@define
class FirstRound:
    """Tells the log how far the first round of polls is, and what it came to: thousands of tenants take a while."""

    _told_at_s: float | None = None
    _over: bool = False

    def look(self, app: App, now_s: float) -> None:
        """Every PROGRESS_S at most, until every tenant has had its poll."""
        if self._over:
            return
        if self._told_at_s is None:
            self._told_at_s = now_s
        states = app.counters.states()
        self._over = states["pending"] == 0
        delivered = sum(sum(delivery.delivered.values()) for delivery in app.deliveries.values())
        figures = {**states, "events": app.counters.committed, "delivered": delivered}
        if self._over:
            log.info("run.first_round", extra=figures)
        elif now_s - self._told_at_s >= PROGRESS_S:
            self._told_at_s = now_s
            log.info("run.progress", extra=figures)


@define
class Daemon:
    """One process of `run`, over any number of reloads. `load` reads the configuration again; it raises ConfigError."""

    config: Config
    load: Callable[[], Config]
    notifier: Notifier
    stop: asyncio.Event = Factory(asyncio.Event)
    hup: asyncio.Event = Factory(asyncio.Event)
    _app: App | None = None
    _told_up: bool = False
    _good: Config | None = None
    _refused: str | None = None
    _reloads: dict[str, int] = Factory(dict)
    _first_round: FirstRound = field(factory=FirstRound, init=False)
    _window: Window = field(init=False)
    _state: StateWatch = field(factory=lambda: StateWatch(SystemClock()), init=False)
    """Of opening the state; what the loops meet is the App's to know."""

    def __attrs_post_init__(self) -> None:
        self._window = Window(self._answers)

    async def run(self) -> None:
        """Until `stop`. Raises ConfigError for a configuration that cannot be gone back on, and a StateRefused."""
        reporting = asyncio.ensure_future(self._report())
        try:
            while not self.stop.is_set():
                await self._window.show(self.config.health.listen)
                try:
                    await self._open_and_run()
                except SecureScoreError as error:
                    await self._after(error)
                except Exception as error:
                    lacking = exhausted(error)
                    if lacking is None and self._good in (None, self.config):
                        raise
                    await self._after(_bug(error) if lacking is None else StoreError(lacking.what, lacking.hint))
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            await self._window.close()
        log.info("run.stopped")

    def _up(self, status: str) -> None:
        """It runs, or waits for its state: either way the service manager has no reason to end it."""
        self._told_up = True
        self.notifier.ready(status)

    async def _open_and_run(self) -> None:
        async with open_app(self.config) as app:
            self._good = self.config
            self._state.well("open")
            app.counters.refused, app.counters.reloads = self._refused, self._reloads
            app.counters.port_fault = lambda: self._window.fault
            self._app = app
            try:
                facts = {"tenants": len(self.config.tenants), "sinks": len(self.config.sinks)}
                log.info("run.started", extra=facts)
                self._up(_status(app))
                await self._until_end(app)
            finally:
                self._app = None

    async def _after(self, error: SecureScoreError) -> None:
        """Go back to the configuration that worked; where there is none other, wait for the state, or give up."""
        if self._good is not None and self._good != self.config:
            self._refuse(error)
            self.config = self._good
            return
        if not isinstance(error, StoreError) or isinstance(error, StateRefused):
            raise error
        wait_s = self._state.failed("open", error)
        self._up(_waiting(self._state))  # and its status line says what it waits for
        await first_of(asyncio.sleep(wait_s), self.stop.wait(), self.hup.wait())
        if self.hup.is_set() and not self.stop.is_set():
            self.hup.clear()
            if (new := await self._read()) is not None:
                self._good, self.config = self.config, new

    async def _until_end(self, app: App) -> None:
        """Both loops, until a stop or a reload that needs everything built anew."""
        end = asyncio.Event()
        beside = [asyncio.ensure_future(self._obey(app, end))]
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
        new = await self._read()
        if new is None:
            app.counters.refused = self._refused
            await app.look_or_wait()
            return False
        old, self.config, self._refused = self.config, new, None
        if tenants_differ_only(old, new):
            app.counters.refused = None
            self._count("tenants")
            app.replace_tenants(new.tenants)
            self._good = new
            log.info("reload.tenants", extra={"tenants": len(new.tenants)})
            await app.look_or_wait()
            return False
        self._count("rebuilt")
        log.info("reload.rebuilding")
        return True

    async def _read(self) -> Config | None:
        """The configuration as it is now; None when it is refused, or a stop came while its files did not answer."""
        reading = asyncio.ensure_future(self._load())
        await first_of(asyncio.wait([reading]), self.stop.wait())
        if not reading.done():
            reading.cancel()
            return None
        try:
            new = reading.result()
        except SecureScoreError as error:
            self._refuse(error)
            return None
        except Exception as bug:  # noqa: BLE001 - whatever it stumbles over, what runs goes on
            self._refuse(_bug(bug))
            return None
        log_to_stderr(new.log)
        return new

    async def _load(self) -> Config:
        new = await asyncio.to_thread(self.load)
        await check_sinks(new)
        return new

    def _refuse(self, error: SecureScoreError) -> None:
        problems = error.problems if isinstance(error, ConfigError) else [error.what]
        self._refused = "; ".join(problems)[:MAX_REFUSAL_CHARS]
        self._count("refused")
        log.error("reload.refused", extra={"problems": list(problems)[:20], "hint": error.hint})

    def _count(self, outcome: str) -> None:
        self._reloads[outcome] = self._reloads.get(outcome, 0) + 1

    async def _report(self) -> None:
        """Tell the service manager that all loops are alive, but only while they are."""
        period_s = self.notifier.watchdog_s / 2 if self.notifier.watchdog_s else STATUS_S
        while True:
            if not self._told_up:  # before that nobody counts
                await asyncio.sleep(0.1)
                continue
            app = self._app
            stalled = app.stalled() if app else []
            status = _status(app) if app else _waiting(self._state)
            if app is not None:
                self._first_round.look(app, asyncio.get_running_loop().time())
            if stalled:
                log.error("run.stalled", extra={"loops": stalled})
                self.notifier.status(f"no progress: {', '.join(stalled)}")
            elif self.notifier.watchdog_s:
                self.notifier.alive(status)
            else:
                self.notifier.status(status)
            await asyncio.sleep(period_s)

    def _answers(self) -> web.Application:
        return endpoints.application(self._standing, __version__)

    async def _standing(self) -> tuple[Counters, Facts]:
        """How everything stands, also while nothing is open."""
        if self._app is not None:
            return self._app.counters, await self._app.facts()
        counters = Counters(refused=self._refused, reloads=self._reloads)
        facts = Facts(
            now=SystemClock().now(),
            stats=None,
            max_bytes=self.config.state.max_bytes,
            full=False,
            stopping=self.stop.is_set(),
            stalled=(),
            sinks={},
            trouble=self._state.words(),
        )
        return counters, facts


def _bug(error: Exception) -> SecureScoreError:
    """What a new configuration made us stumble over, as a reason to refuse it."""
    log.error("reload.bug", exc_info=error)
    words = f"{type(error).__name__} while it was taken up; the log has the traceback"
    return SecureScoreError(words, "this is a bug: report it")


def tenants_differ_only(old: Config, new: Config) -> bool:
    """Whether replacing the tenants makes the running configuration the new one. Sinks know tenants' own routes."""
    if old.tenants == new.tenants or any(t.overrides for t in (*old.tenants, *new.tenants)):
        return False
    return evolve(new, tenants=old.tenants, tenants_file=old.tenants_file, baseline=old.baseline, log=old.log) == old


def _status(app: App) -> str:
    states = app.counters.states()
    parts = [f"{n} {state}" for state, n in states.items() if n]
    waiting = [name for name, d in app.deliveries.items() if d.health().state in ("unavailable", "denied")]
    troubles = [f"the state takes nothing: {what}; " for what in app.watch.words()]
    words = f"tenants: {', '.join(parts) or 'none'}; sinks that take nothing: {', '.join(waiting) or 'none'}"
    return "".join(troubles) + words


def _waiting(state: StateWatch) -> str:
    return "; ".join(f"waiting for the state: {what}" for what in state.words()) or "opening the state"


def _tell(outcome: PollOutcome) -> None:
    level = logging.INFO if outcome.status in ("ok", "unchanged") else logging.WARNING
    facts = {"tenant": outcome.tenant, "status": outcome.status, "events": outcome.events, "error": outcome.error}
    log.log(level, "poll.done", extra={k: v for k, v in facts.items() if v is not None})
