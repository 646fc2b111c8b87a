"""`securescore once`: poll every selected tenant now, offer everything unsettled to every sink meanwhile, exit."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector.app import open_app
from connector.cli import times
from connector.cli.common import config_of
from connector.cli.process import to_end
from connector.cli.selection import add_tenant, selected
from connector.cli.terminal import console, draw, draw_notes, plain, plural, progress, table
from connector.clock import iso
from connector.config.values import Config
from connector.deliver.delivery import Delivery, Outcome
from connector.errors import StoreError
from connector.health.logs import log_to_stderr
from connector.health.overview import open_problems, overview, unwell
from connector.health.upkeep import CONNECTOR
from connector.loops import App
from connector.observe import memory
from connector.observe.poller import PollOutcome

LOOK_S = 0.2
KEPT_BACK: Mapping[str, str] = {
    "start": "start: now (what is derived from the days before first contact)",
    "units": "format (what is scored below a tenant)",
}
"""What a key that keeps events back means, where its name does not say it."""
WELL = ("ok", "unchanged")
"""What becomes of a poll that met nothing wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    parser.add_argument("--no-deliver", action="store_true", help="observe only; events wait in the outbox")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    log_to_stderr(config.log)
    names = [tenant.name for tenant in selected(config, args.tenant)] if args.tenant else []
    return to_end(visit(config, names, deliver=not args.no_deliver))


async def visit(config: Config, names: list[str], *, deliver: bool) -> int:
    """Poll, deliver, and say what came of it; the exit code."""
    async with open_app(config) as app:
        heard = await _heard(app)
        polls, taken = await _poll(app, names, deliver=deliver)
        reports = await app.write_reports(names)
        sinks = [last.plus(taken[last.sink]) for last in await _deliver(app)] if deliver else []
        if not deliver:
            await app.look_or_wait()  # what the polls found wrong with the state
        waiting = await _waiting(app) if deliver else []
        open_now = await _unwell(
            app, [poll.tenant for poll in polls if poll.status in WELL], heard
        )  # the others say it
    out = console()
    shown = table("tenant", "newest day", "events>", "result")
    for poll in polls:
        shown.add_row(plain(poll.tenant), poll.newest_day or "-", str(poll.events), _words(poll.status, poll))
    draw(shown, out)
    draw_notes(((poll.tenant, poll.notes) for poll in polls), out)
    if reports:
        more = f" and {len(reports) - 1} more" if len(reports) > 1 else ""
        out.print(f"Report written: {plain(str(reports[0].file))}{more}")
    if sinks:
        out.print()
        shown = table("sink", "sent>", "kept back>", "parked>", "result")
        for sink in sinks:
            kept = str(sum(app.deliveries[sink.sink].kept_back.values()))
            shown.add_row(plain(sink.sink), str(sink.sent), kept, str(sink.parked), _words(sink.state, sink))
        draw(shown, out)
    out.print()
    for line in [*totals(polls, sinks), *kept_back(app.deliveries), *waiting]:
        out.print(plain(line))
    if [s for s in sinks if s.state in ("ok", "idle") and app.deliveries[s.sink].kept_back.get("start")]:
        out.print("To see one event of each alert rule arrive, marked as a test: securescore check --send-test")
    good = [p.status in WELL for p in polls] + [s.state in ("ok", "idle") and not s.parked for s in sinks]
    done = [p.status != "failed" for p in polls] + [s.state in ("ok", "idle") for s in sinks]
    if open_now:
        out.print()
        for words in open_now:
            out.print(plain(words))
        out.print("next: `securescore status` says of each what to do.")
    return 0 if all(good) and not open_now else 3 if any(done) else 1


def totals(polls: Sequence[PollOutcome], sinks: Sequence[Outcome]) -> list[str]:
    """All of it in a line or two."""
    counts = Counter("ok" if poll.status in WELL else poll.status for poll in polls)
    parts = ", ".join(f"{counts[status]} {status}" for status in ("ok", "partial", "failed") if counts[status])
    events = sum(poll.events for poll in polls)
    found = [f"{plural(len(polls), 'tenant')}: {parts or 'none'}; {plural(events, 'new event')}"]
    if sinks:
        sent, parked = sum(s.sent for s in sinks), sum(s.parked for s in sinks)
        lost = f", {parked} refused for good" if parked else ""
        found.append(f"{plural(len(sinks), 'sink')}: {plural(sent, 'event')} delivered{lost}")
    return found


def kept_back(deliveries: Mapping[str, Delivery]) -> list[str]:
    """What did not concern a sink, by the key of its configuration that says so."""
    found = []
    for name, delivery in deliveries.items():
        if reasons := sorted(delivery.kept_back.items(), key=lambda each: -each[1]):
            words = ", ".join(f"{count} by {KEPT_BACK.get(key, key)}" for key, count in reasons)
            found.append(f"{name}: kept back {words}")
    return found


async def _waiting(app: App) -> list[str]:
    """What waits for a digest."""
    try:
        stats = (await app.store.stats()).sinks
    except StoreError:
        return []  # what follows says it
    now = app.clock.now()
    found = []
    for sink in stats:
        delivery = app.deliveries.get(sink.name)
        if sink.backlog and delivery is not None and delivery.digest is not None:
            at = times.shown(iso(delivery.digest.next(now)))
            found.append(f"{sink.name}: {plural(sink.backlog, 'event')} wait for the digest of {at} UTC")
    return found


async def _heard(app: App) -> list[str]:
    """What is open already, in words."""
    try:
        return [p["summary"] for p in await open_problems(app.store, CONNECTOR)]
    except StoreError:
        return []  # the poll says it


async def _unwell(app: App, tenants: list[str], heard: list[str]) -> list[str]:
    """What stands open after this visit although it went well; and what the state could not even be told."""
    troubles = [f"The state took nothing: {what}" for what in app.watch.words()]
    try:
        seen = [t for t in app.config.tenants if t.name in tenants]
        states = await app.store.heads([t.key for t in seen])
        heads = {t.name: memory.readable_head(states[t.key]) for t in seen}
        problems = await open_problems(app.store, CONNECTOR)
        status = overview(app.config, heads, await app.store.stats(), app.clock.now(), problems, ())
    except StoreError as error:
        return [*troubles, f"The state cannot be read: {error.what}"]
    return [*troubles, *unwell(status, tenants, heard)]


async def _poll(app: App, names: list[str], *, deliver: bool) -> tuple[list[PollOutcome], Mapping[str, Outcome]]:
    """Poll, and deliver meanwhile; what each sink took by then."""
    wanted = app.tenants(names)
    words = f"Reading {wanted[0].name}" if len(wanted) == 1 else "Reading tenants"
    seen: list[PollOutcome] = []
    with progress(words, len(wanted)) as done:

        def told(outcome: PollOutcome) -> None:
            seen.append(outcome)
            done(len(seen))

        if deliver:
            return await app.poll_and_offer(names, told)
        return await app.poll_once(names, told), {}


async def _deliver(app: App) -> list[Outcome]:
    """Offer what is due yet; the bar looks at the counters of the sinks, which know nothing of it."""
    backlog = sum(s.backlog for s in (await app.store.stats()).sinks if not s.abandoned)
    before = _delivered(app)

    async def watch(done: Callable[[int], None]) -> None:
        while True:
            done(_delivered(app) - before)
            await asyncio.sleep(LOOK_S)

    with progress("Delivering events", backlog) as done:
        watching = asyncio.ensure_future(watch(done))
        try:
            return await app.deliver_once()
        finally:
            watching.cancel()


def _delivered(app: App) -> int:
    """How many events the sinks have taken since this process began."""
    return sum(sum(delivery.delivered.values()) for delivery in app.deliveries.values())


def _words(status: str, outcome: Any) -> str:
    text = status if outcome.error is None else f"{status}: {plain(outcome.error)}"
    return f"{text}\nnext: {plain(outcome.hint)}" if outcome.hint else text
