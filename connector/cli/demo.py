"""`securescore demo`: a simulated hybrid tenant over real HTTP → events, tables, explanation, files. No credentials.

The same engine, store and sinks as in production; only the clock and the far end are simulated.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connector.app import open_app
from connector.cli import events as event_table
from connector.cli import process, report
from connector.cli.explain import show as show_waterfall
from connector.cli.terminal import cell_len, console, draw, fit, plain, plural, progress, styled, table
from connector.clock import SimulatedClock
from connector.config.values import (
    ArmConfig,
    AuthConfig,
    Config,
    ExceptionsConfig,
    GraphConfig,
    SinkConfig,
    StateConfig,
    TargetsConfig,
    TenantConfig,
)
from connector.durable import creating, replacing
from connector.errors import ConfigError
from connector.health.logs import log_to_stderr
from connector.loops import App
from connector.model import Event
from connector.ports import Query
from connector.report.forms import FORMS
from connector.simulator.server import Budget, serve, token_for
from connector.simulator.world import World

BACKFILL_DAYS = 90
POLLS_A_DAY = 4
TARGET = 75.0
REVIEW_AFTER_DAYS = 180
MARKER = ".securescore-demo"
WRITTEN = {
    "report.html": "the posture report: open it in a browser",
    "events.jsonl": "CloudEvents, one a line",
    "events.cef": "CEF, as a syslog receiver gets it",
}
FILES = ("state.db", "state.db-wal", "state.db-shm", "state.db.lock", *WRITTEN, "token", MARKER)
SHOWN, SHOWN_IN_AZURE, WEAKEST = 10, 6, 3
AZURE = "defender_cloud"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=7, metavar="N", help="live days after the backfill (default 7)")
    parser.add_argument("--seed", type=int, default=311, metavar="N", help="which simulated tenant (default 311)")
    parser.add_argument("--out", default="securescore-demo", metavar="DIR", help="where the files go")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.days <= 366:
        raise ConfigError(["--days must be between 1 and 366"])
    log_to_stderr(level="warning")
    return asyncio.run(_demo(args.days, args.seed, prepare(Path(args.out))))


def prepare(folder: Path) -> Path:
    """A folder of our own: made, or emptied of an earlier demo's files. Raises ConfigError for anybody else's."""
    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / MARKER).exists():
                raise ConfigError([f"{folder} exists and is not an earlier demo"], "name another folder: --out DIR")
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        with creating(folder / MARKER):
            pass
    except OSError as error:
        raise ConfigError([f"cannot write {folder}: {error.strerror}"], "name another folder: --out DIR") from error
    return folder


async def _demo(days: int, seed: int, folder: Path) -> int:
    out = console()
    began = time.monotonic()
    today = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
    live_from = today - timedelta(days=days)
    world = World(seed, 1, (live_from - timedelta(days=BACKFILL_DAYS + 5)).date())
    tenant = world.tenants[0]
    clock = SimulatedClock(live_from)
    async with serve(world, clock, budget=Budget()) as sim:
        token = folder / "token"
        with replacing(token) as file:
            file.write(token_for(tenant.id).encode())
        config = _config(folder, sim.base_url, tenant.id, tenant.name, token)
        out.print("Simulated tenant", styled(tenant.name, "bold"), f"at {sim.base_url}: no credentials, real HTTP.")
        out.print("It has Microsoft 365 and subscriptions in Azure.")
        async with open_app(config, clock=clock) as app:
            out.print(
                f"Reading {BACKFILL_DAYS} days of history, then {days} live days at {POLLS_A_DAY} polls a day ..."
            )
            with progress("Reading history", None):
                await _poll(app)
            first = len(await app.store.history(Query()))
            with progress("Polling live days", days * POLLS_A_DAY) as done:
                for number in range(days * POLLS_A_DAY):
                    await clock.advance(24 * 3600 / POLLS_A_DAY)
                    await _poll(app)
                    done(number + 1)
            events = await app.store.history(Query())
            when = await report.period_of(app.store, config.tenants[:1], None, None, clock.now())
            ours, place = config.tenants[:1], str(folder / "report.html")  # Azure has its section in that report
            await report.save(config, app.store, ours, (), when, FORMS["html"], place, clock.now(), [])
        requests = len(sim.requests)
    _tell(events, first, tenant.name)
    lines = (folder / "events.jsonl").read_bytes().count(b"\n")
    out.print(
        f"{plural(len(events), 'event')} from {plural(requests, 'request')} in {time.monotonic() - began:.1f} s; "
        f"{lines} delivered to each file:"
    )
    longest = max(cell_len(plain(folder / name)) for name in WRITTEN)
    apart = " " if longest + max(map(len, WRITTEN.values())) + 5 <= out.width else "\n     "
    for name, words in WRITTEN.items():
        path = fit(plain(folder / name), longest) if apart == " " else plain(folder / name)
        out.print(f"  {path} {apart}{words}", soft_wrap=True)
    out.print("Next:", styled(f"{plain(process.called())} init", "bold"), "writes a configuration for your own tenant.")
    return 0


def _config(folder: Path, base_url: str, tenant_id: str, name: str, token: Path) -> Config:
    def sink(sink_name: str, file: str, form: str) -> SinkConfig:
        return SinkConfig(
            sink_name, "file", options={"path": str(folder.absolute() / file), "mode": "600"}, format=form
        )

    auth, graph = AuthConfig("token", {"file": str(token.absolute())}), GraphConfig(base_url=base_url)
    return Config(
        tenants=(
            TenantConfig(
                name,
                tenant_id,
                auth=auth,
                graph=graph,
                targets=TargetsConfig(percent_min=TARGET),
                exceptions=ExceptionsConfig(review_after_days=REVIEW_AFTER_DAYS),
            ),
            TenantConfig(
                f"{name}-azure",
                tenant_id,
                source="defender_cloud",
                auth=auth,
                graph=graph,
                arm=ArmConfig("global", base_url),
                compliance=True,
            ),
        ),
        sinks=(sink("jsonl", "events.jsonl", "cloudevents"), sink("cef", "events.cef", "cef")),
        state=StateConfig(path=str(folder.absolute() / "state.db")),
    )


async def _poll(app: App) -> None:
    for outcome in await app.poll_once():
        if outcome.status == "failed":
            raise ConfigError([f"the simulated poll failed: {outcome.error}"], outcome.hint)
    await app.deliver_once()


def _tell(events: Sequence[Event], first: int, name: str) -> None:
    """The changes that mattered since the live days began, in Microsoft 365 and in Azure, both scores side by side, and
    the exact explanation of the biggest score move.
    """
    out = console()
    live = [e for e in events[first:] if e.stream in ("change", "health") and not e.backfilled]
    azure = [e for e in live if e.data["source"] == AZURE]
    live = [e for e in live if e.data["source"] != AZURE]
    worth = _worth(live, SHOWN)
    out.print(f"\n{first} events from history; {len(live)} changes since. The {len(worth)} that matter most:\n")
    event_table.show(worth)
    worth = _worth(azure, SHOWN_IN_AZURE)
    out.print(f"\n{len(azure)} changes in its Azure subscriptions. The {len(worth)} that matter most:\n")
    event_table.show(worth)
    out.print("\nBoth scores today, side by side (they are never summed):\n")
    _beside(events)
    out.print()
    moves = [e for e in events if e.type == "score.changed" and e.data["source"] == "graph"]
    moves = [e for e in moves if e.data["delta"] is not None]
    recent = [e for e in moves if not e.backfilled] or moves
    if recent:
        biggest = max(recent, key=lambda e: abs(e.data["delta"]))
        out.print("The biggest move of the live days, explained exactly:\n")
        show_waterfall(name, biggest.data, limit=12)
        out.print()


def _worth(events: Sequence[Event], shown: int) -> list[Event]:
    """The most severe ones, in order."""
    return sorted(sorted(events, key=lambda e: (-e.severity, e.time))[:shown], key=lambda e: e.time)


def _beside(events: Sequence[Event]) -> None:
    """The newest score of the tenant, of all its subscriptions, and of the weakest of them."""
    newest = {e.unit_key: e.data for e in events if e.type == "score.observed"}
    made = table("score of", "percent>", "points>")
    weakest = sorted(
        (data for data in newest.values() if _kind(data) == "subscription"), key=lambda data: data["score"]["percent"]
    )
    whole = sorted((data for data in newest.values() if _kind(data) != "subscription"), key=_kind)
    for data in (*whole, *weakest[:WEAKEST]):
        kind, score = _kind(data), data["score"]
        who = f"Azure, all {len(weakest)} subscriptions" if kind else "Microsoft 365"
        who = f"  {data['unit']['name']}" if kind == "subscription" else who
        points = "-" if kind == "aggregate" else f"{score['current']:g} of {score['max']:g}"
        made.add_row(plain(who), f"{score['percent']:.1f}", points)
    draw(made, console())


def _kind(data: Mapping[str, Any]) -> str:
    """The kind of unit that an event is about; "" for the tenant of Graph."""
    return str((data.get("unit") or {}).get("kind", ""))
