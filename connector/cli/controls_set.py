"""`securescore controls set`: changes the state of controls of one tenant at Microsoft.

It compares first and asks; how the changes are sent is in controls_send.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from connector.cli.common import graph_of, store_beside
from connector.cli.confirm import agreed
from connector.cli.controls_csv import read_csv
from connector.cli.controls_send import GOOD, Done, Sender, carry_out, dry, operator_of, words, writer_of
from connector.cli.names import did_you_mean, near, spelled
from connector.cli.terminal import complain, console, draw, dump, plain, say, somebody_answers, table
from connector.config.values import Config, TenantConfig
from connector.errors import ConfigError, PartialRead, Unavailable
from connector.model import STATES, Day, Profile
from connector.observe import memory
from connector.sources.graph import GraphSource
from connector.writeback.plan import Plan, Wanted, plan, refusal, wanted


def asked_for(args: argparse.Namespace) -> list[tuple[int | None, Wanted]]:
    """What is asked for, with the line it stands on. Raises ConfigError with everything that is wrong."""
    if args.from_csv:
        if args.name or args.state or args.comment or args.assigned_to is not None:
            raise ConfigError(["with --from-csv, names, states and comments stand in the file alone"])
        changes = read_csv(Path(args.from_csv))
    else:
        problems = [
            *([] if args.name else ["set needs the NAME of the control, or --from-csv FILE"]),
            *([] if args.state else [f"--state is missing: one of {', '.join(STATES)}"]),
            *([] if args.comment else ["--comment is missing: it is what an auditor will read"]),
        ]
        asked, more = (None, []) if problems else wanted(args.name, args.state, args.comment, args.assigned_to)
        if asked is None:
            raise ConfigError(problems + more)
        changes = [(None, asked)]
    if len(changes) > args.max:
        raise ConfigError(
            [f"{len(changes)} changes are more than {args.max}: nothing was sent"],
            f"look again, then allow so many with --max {len(changes)}",
        )
    if not (args.dry_run or args.yes or somebody_answers()):
        raise ConfigError(["nobody is there to confirm: nothing was sent"], "add --yes, or look first with --dry-run")
    return changes


async def set_states(
    config: Config, tenant: TenantConfig, changes: Sequence[tuple[int | None, Wanted]], args: argparse.Namespace
) -> int:
    async with store_beside(config) as store, graph_of(config, tenant, write=True) as (source, transports):
        seen = memory.shown(await store.load(tenant.key, memory.stands))
        day = seen.newest.day if seen.newest else None
        scored = day.controls if day else {}
        plans = list(zip((line for line, _ in changes), await _plans(source, changes, day), strict=True))
        to_send = sum(p.verdict == "send" for _, p in plans)
        if args.dry_run:
            done = [Done(line, dry(p)) for line, p in plans]
        elif to_send and not args.yes and not _confirmed(tenant, plans, to_send):
            say("stopped: nothing was sent", err=True)
            return 1
        else:
            operator = operator_of(args.operator)
            writer = writer_of(config, tenant, transports)
            done = await carry_out(Sender(source, writer, store, tenant, operator, scored), plans)
    _report(done, tenant, args)
    good = sum(d.result.outcome in GOOD for d in done)
    return 0 if good == len(done) else 3 if good else 1


async def _plans(source: GraphSource, changes: Sequence[tuple[int | None, Wanted]], known: Day | None) -> list[Plan]:
    """One control is asked for by its id; for several, or one that is written otherwise, the catalogue is read once.

    `known` is from the last poll.
    """
    early = [refusal(asked) for _, asked in changes]
    if all(early):
        return [p for p in early if p is not None]
    only = changes[0][1].control
    alone = await source.control(only) if len(changes) == 1 else None
    profiles = {only: alone} if alone else await source.catalogue()
    asked = [_as_spelled(each, profiles) for _, each in changes]
    try:
        newest = await source.newest() or known
    except (Unavailable, PartialRead):  # enough to tell completed controls from others
        newest = known
    scored, day = (newest.controls, newest.day) if newest else ({}, "")
    made = [plan(w, profiles.get(w.control), scored.get(w.control), day) for w in asked]
    return [p if p.profile or not (hint := _meant(p, profiles)) else evolve(p, hint=hint) for p in made]


def _as_spelled(wish: Wanted, profiles: Mapping[str, Profile]) -> Wanted:
    """The wish with the control as the tenant spells it, where one alone is named so in any case."""
    names = spelled(wish.control, profiles)
    return evolve(wish, control=names[0]) if len(names) == 1 else wish


def _meant(refused: Plan, profiles: Mapping[str, Profile]) -> str:
    """What else could have been meant by a control that the tenant does not have; "" for nothing, or another cause."""
    name = refused.wanted.control
    if refusal(refused.wanted):
        return ""
    return did_you_mean(spelled(name, profiles) or near(name, profiles), "")


def _confirmed(tenant: TenantConfig, plans: Sequence[tuple[int | None, Plan]], to_send: int) -> bool:
    out = console(stderr=True)
    for _, p in plans:
        if p.verdict == "send":
            title = f" ({plain(p.profile.title)})" if p.profile and p.profile.title else ""
            out.print(f"  {plain(p.wanted.control)}{title}: {words(p.before.state)} → {words(p.wanted.state)}")
    full = any(p.wanted.state in ("ThirdParty", "Reviewed") for _, p in plans if p.verdict == "send")
    if full:
        out.print("  Resolved controls get full points without being measured.")
    noun = "this change" if to_send == 1 else f"these {to_send} changes"
    return agreed(f"Send {noun} to Microsoft for tenant {plain(tenant.name)}?")


def _report(done: Sequence[Done], tenant: TenantConfig, args: argparse.Namespace) -> None:
    if args.json:
        dump([{"tenant": tenant.name, **d.as_data()} for d in done])
    else:
        numbered = any(d.line for d in done)
        shown = table(*(["line>"] if numbered else []), "control", "was", "wanted", "result")
        for d in done:
            asked, before = d.result.plan.wanted, d.result.plan.before
            result = {"same": "unchanged: it is so already", "success": "done, and read back"}.get(
                d.result.outcome, d.result.outcome
            )
            cells = [str(d.line)] if numbered else []
            title = f"\n{plain(d.result.plan.profile.title)}" if d.result.plan.profile else ""
            shown.add_row(
                *cells, f"{plain(asked.control)}{title}".rstrip(), words(before.state), words(asked.state), result
            )
        draw(shown)
        if any(d.result.outcome == "success" for d in done):
            console().print("Points follow within 24 hours to 7 days.")
    for d in done:
        if d.result.outcome not in GOOD:
            where = f"line {d.line}: " if d.line else ""
            what = f"{where}{d.result.plan.wanted.control}: {d.result.outcome}: {d.result.detail}"
            complain([plain(what)], plain(d.result.hint))
