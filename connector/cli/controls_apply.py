"""`securescore controls apply`: the states that a baseline asks for, set in every selected tenant that deviates.

It reads every tenant first, shows what it would send, asks once, and then goes through the tenants one by one, each as
`controls set` does (controls_send.py). Run again it compares again, and sends what is still missing.
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from connector.app import Transports, graph_source, transports_for
from connector.cli.common import store_beside
from connector.cli.confirm import agreed
from connector.cli.controls_send import GOOD, Done, Sender, carry_out, dry, operator_of, words, writer_of
from connector.cli.selection import selected
from connector.cli.terminal import complain, console, draw, dump, plain, plural, progress, say, somebody_answers, table
from connector.clock import SystemClock
from connector.config.baseline import with_baseline
from connector.config.values import Config, TenantConfig
from connector.config.yaml_file import load_baseline
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, PartialRead, SecureScoreError, Unavailable
from connector.model import Control, Day
from connector.observe import memory
from connector.observe.baseline import Judged
from connector.writeback.by_baseline import Step, steps
from connector.writeback.plan import Plan

AT_ONCE = 8
"""So many tenants are read at a time."""


@frozen
class Looked:
    """A tenant and what stands between it and its standards; `error` why that is not known."""

    tenant: TenantConfig
    steps: tuple[Step, ...] = ()
    day: Day | None = None
    error: str = ""
    hint: str = ""

    @property
    def plans(self) -> list[Plan]:
        return [step.plan for step in self.steps if step.plan is not None]

    @property
    def by_hand(self) -> list[Judged]:
        return [step.deviation for step in self.steps if step.plan is None]

    @property
    def to_send(self) -> list[Plan]:
        return [planned for planned in self.plans if planned.verdict == "send"]


async def apply_baseline(config: Config, args: argparse.Namespace) -> int:
    """0 when every state is as it is asked for, or would be; 1 when none could be set, 3 when some could not."""
    file = args.baseline or config.baseline
    if file is None:
        raise ConfigError(["apply needs a baseline"], "say --baseline FILE, or name it in the configuration: baseline:")
    if not (args.dry_run or args.yes or somebody_answers()):
        raise ConfigError(["nobody is there to confirm: nothing was sent"], "add --yes, or look first with --dry-run")
    chosen = with_baseline(load_baseline(file), selected(config, args.tenant))
    meant = [tenant for tenant in chosen if tenant.targets.baseline is not None]
    if not meant:
        raise SecureScoreError(
            f"no standard in {file} is for any of {plural(len(chosen), 'selected tenant')}",
            "compare its `tenants` with `securescore tenants list`",
        )
    transports = transports_for(config, SystemClock())
    try:
        async with store_beside(config) as store:
            looked = await _look(config, meant, store, transports)
            count = sum(len(one.to_send) for one in looked)
            if count > args.max:
                raise ConfigError(
                    [f"{count} changes are more than {args.max}: nothing was sent"],
                    f"look again with --dry-run, then allow so many with --max {count}",
                )
            if not args.dry_run and count and not args.yes and not _confirmed(looked, count):
                say("stopped: nothing was sent", err=True)
                return 1
            done = [(one, await _carried_out(one, config, store, transports, args)) for one in looked]
    finally:
        await transports.close()
    if args.json:
        dump([_as_data(one, each) for one, each in done])
    else:
        _show(done, len(chosen) - len(meant))
    _complain(done)
    results = [d.result.outcome in GOOD for _, each in done for d in each] + [False for one in looked if one.error]
    return 0 if all(results) else 3 if any(results) else 1


async def _look(
    config: Config, tenants: Sequence[TenantConfig], store: DurableStore, transports: Transports
) -> list[Looked]:
    """What every tenant needs, read with the credential that would write. One that cannot be read says why."""
    gate, count = asyncio.Semaphore(AT_ONCE), 0
    with progress("Reading tenants", len(tenants)) as so_far:

        async def one(tenant: TenantConfig) -> Looked:
            nonlocal count
            async with gate:
                try:
                    return await _of_tenant(config, tenant, store, transports)
                except SecureScoreError as error:
                    return Looked(tenant, error=error.what, hint=error.hint)
                finally:
                    count += 1
                    so_far(count)

        return list(await asyncio.gather(*map(one, tenants)))


async def _of_tenant(config: Config, tenant: TenantConfig, store: DurableStore, transports: Transports) -> Looked:
    asked = tenant.targets.baseline
    assert asked is not None
    if tenant.source != "graph":
        where = "from saved files" if tenant.source == "files" else f"by source: {tenant.source}"
        return Looked(tenant, error=f"it is read {where}: nothing can be set there")
    source = graph_source(tenant, config, transports, SystemClock(), write=True)
    catalogue = await source.catalogue()
    try:
        day = await source.newest()
    except (Unavailable, PartialRead):
        day = None
    if day is None:
        seen = memory.shown(await store.load(tenant.key, memory.stands))
        day = seen.newest.day if seen.newest else None
    if day is None:
        return Looked(tenant, error="it has no score yet, by which its controls could be judged")
    return Looked(tenant, tuple(steps(asked, catalogue, day)), day)


async def _carried_out(
    one: Looked, config: Config, store: DurableStore, transports: Transports, args: argparse.Namespace
) -> list[Done]:
    """What came of one tenant's plans. A fault that stops one tenant leaves the next ones their turn."""
    if args.dry_run or not one.to_send:
        return [Done(None, dry(planned)) for planned in one.plans]
    scored: dict[str, Control] = dict(one.day.controls) if one.day else {}
    source = graph_source(one.tenant, config, transports, SystemClock(), write=True)
    writer = writer_of(config, one.tenant, transports)
    send = Sender(source, writer, store, one.tenant, operator_of(args.operator), scored)
    return await carry_out(send, [(None, planned) for planned in one.plans])


def _confirmed(looked: Sequence[Looked], count: int) -> bool:
    out = console(stderr=True)
    concerned = [one for one in looked if one.to_send]
    for one in concerned:
        out.print(f"{plain(one.tenant.name)}:")
        for p in one.to_send:
            title = f" ({plain(p.profile.title)})" if p.profile and p.profile.title else ""
            out.print(f"  {plain(p.wanted.control)}{title}: {words(p.before.state)} → {words(p.wanted.state)}")
    if any(p.wanted.state in ("ThirdParty", "Reviewed") for one in concerned for p in one.to_send):
        out.print("Resolved controls get full points without being measured.")
    return agreed(f"Send {plural(count, 'change')} to Microsoft for {plural(len(concerned), 'tenant')}?")


def _as_data(one: Looked, done: Sequence[Done]) -> dict[str, Any]:
    by_control = {step.deviation.control: step.deviation for step in one.steps if step.plan is not None}
    changes = []
    for d in done:
        row, deviation = d.as_data(), by_control[d.result.plan.wanted.control]
        del row["line"]
        changes.append({**row, "kind": deviation.kind, "standard": deviation.standard})
    by_hand = [
        {
            "control": deviation.control or None,
            "kind": deviation.kind,
            "standard": deviation.standard,
            "threshold": deviation.threshold,
            "value": deviation.value,
        }
        for deviation in one.by_hand
    ]
    return {
        "tenant": one.tenant.name,
        "changes": changes,
        "by_hand": by_hand,
        "error": one.error or None,
        "hint": one.hint or None,
    }


_RESULTS = {"same": "unchanged: it is so already", "success": "done, and read back"}


def _show(done: Sequence[tuple[Looked, Sequence[Done]]], unmeant: int) -> None:
    out = console()
    shown = table("tenant", "standard", "control", "was", "wanted", "result")
    for one, each in done:
        for d, step in zip(each, (s for s in one.steps if s.plan is not None), strict=True):
            planned = d.result.plan
            title = f"\n{plain(planned.profile.title)}" if planned.profile else ""
            shown.add_row(
                plain(one.tenant.name),
                plain(step.deviation.standard or ""),
                f"{plain(planned.wanted.control)}{title}".rstrip(),
                words(planned.before.state),
                words(planned.wanted.state),
                _RESULTS.get(d.result.outcome, d.result.outcome),
            )
    if any(each for _, each in done):
        draw(shown, out)
    else:
        out.print("No state has to be set.")
    by_hand = table("tenant", "standard", "what no state can mend", "is>", "wanted>")
    for one, _ in done:
        for deviation in one.by_hand:
            is_, wanted = ("-" if v is None else f"{v:g}" for v in (deviation.value, deviation.threshold))
            what = deviation.control or deviation.kind.removeprefix("baseline_")
            by_hand.add_row(plain(one.tenant.name), plain(deviation.standard or ""), plain(what), is_, wanted)
    if any(one.by_hand for one, _ in done):
        out.print()
        draw(by_hand, out)
    if unmeant:
        out.print(f"\n{plural(unmeant, 'selected tenant')} without a standard")
    if any(d.result.outcome == "success" for _, each in done for d in each):
        out.print("The next poll tells what is met; points follow within 24 hours to 7 days.")


def _complain(done: Sequence[tuple[Looked, Sequence[Done]]]) -> None:
    """What did not go well, each with what to do; what several tenants share is said with each."""
    for one, each in done:
        if one.error:
            complain([plain(f"{one.tenant.name}: {one.error}")], plain(one.hint))
        for d in each:
            if d.result.outcome not in GOOD:
                what = f"{one.tenant.name}: {d.result.plan.wanted.control}: {d.result.outcome}: {d.result.detail}"
                complain([plain(what)], plain(d.result.hint))
