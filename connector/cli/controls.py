"""`securescore controls`: list and show controls with their state and who set it; set a state at Microsoft.

`set` is the only command that changes anything at Microsoft. It compares first, asks, reads back, and leaves an event.
"""

import argparse
import asyncio
import csv
import io
import os
import pwd
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve, frozen

from connector.app import (
    Transports,
    graph_source,
    severity_rules,
    token_provider,
    transports_for,
)
from connector.cli.common import cell_len, clean, config_of, console, draw, dump, plain, plural, store_beside, table
from connector.clock import SystemClock, iso
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, PartialRead, SecureScoreError, Unavailable
from connector.model import PORTAL, Control, Day, Profile
from connector.net.clouds import cloud_of
from connector.observe import memory
from connector.observe.diff import effective_state, max_of, ordered_updates
from connector.observe.events import Origin
from connector.sources.graph import GraphSource
from connector.writeback.apply import Result, Writer, apply, unfinished
from connector.writeback.plan import STATES, Plan, Wanted, is_full, plan, refusal, state_of, wanted
from connector.writeback.record import Operator, announce, change_of, record, withdraw

HELP = "list and show controls; set a control's state at Microsoft"
MAX_CHANGES = 25
WIDE = 120
"""From so many cells on `list` has a column for everything."""
MAX_CSV_BYTES = 1024 * 1024
COLUMNS = ("name", "state", "comment", "assigned_to")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "set"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="the control, as `list` shows it")
    parser.add_argument("--tenant", metavar="T", help="which tenant (needed when there are several)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    reading = parser.add_argument_group("list, show")
    reading.add_argument("--live", action="store_true", help="list: ask Graph now, instead of the last poll")
    reading.add_argument("--offline", action="store_true", help="show: what the last poll saw, instead of asking Graph")
    reading.add_argument("--service", metavar="S", help="list: only controls of this service, e.g. AzureAD")
    reading.add_argument("--state", metavar="STATE", help=f"list: only these; set: {' | '.join(STATES)}")
    writing = parser.add_argument_group("set")
    writing.add_argument("--comment", metavar="TEXT", help="why (mandatory); it becomes part of the history")
    writing.add_argument("--assigned-to", metavar="WHO", help='responsible person; "" clears; not given = unchanged')
    writing.add_argument("--from-csv", metavar="FILE", help="many changes: a file with name,state,comment,assigned_to")
    writing.add_argument("--max", type=int, default=MAX_CHANGES, metavar="N", help="most changes (default 25)")
    writing.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    writing.add_argument("--yes", action="store_true", help="do not ask")
    writing.add_argument("--operator", metavar="NAME", help="who decided it, beside the operating system's user")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    _check_usage(args)
    if args.action == "set":
        return asyncio.run(_set(config, _tenant(config, args.tenant, live=True), _wishes(args), args))
    if args.action == "show":
        return asyncio.run(_show(config, _tenant(config, args.tenant), args))
    return asyncio.run(_list(config, _tenants(config, args), args))


def _check_usage(args: argparse.Namespace) -> None:
    """Options that this action does not have are a mistake, not noise: `list --yes` was meant to be something else."""
    allowed = {
        "list": {"live", "service", "state"},
        "show": {"offline"},
        "set": {"state", "comment", "assigned_to", "from_csv", "max", "dry_run", "yes", "operator"},
    }[args.action]
    given = {name: getattr(args, name) for name in ("live", "offline", "service", "state", "comment", "assigned_to")}
    given |= {name: getattr(args, name) for name in ("from_csv", "dry_run", "yes", "operator")}
    strange = [f"--{k.replace('_', '-')}" for k, v in given.items() if v not in (None, False) and k not in allowed]
    problems = [f"{option} does not belong to `controls {args.action}`" for option in strange]
    if args.action == "list" and args.name:
        problems.append("`controls list` takes no NAME; `controls show NAME` shows one")
    if args.action == "show" and not args.name:
        problems.append("show needs the NAME of the control")
    if args.state is not None and state_of(args.state) is None:
        problems.append(f"--state {args.state!r} is no state: one of {', '.join(STATES)}")
    if problems:
        raise ConfigError(problems, "see `securescore controls --help`")


def _tenants(config: Config, args: argparse.Namespace) -> list[TenantConfig]:
    """The named tenant, or all. Asking Graph is for one tenant at a time."""
    if args.tenant is None and not args.live:
        return list(config.tenants)
    return [_tenant(config, args.tenant, live=args.live)]


def _tenant(config: Config, name: str | None, *, live: bool = False) -> TenantConfig:
    if name is None and len(config.tenants) > 1:
        raise ConfigError([f"{len(config.tenants)} tenants are configured: say which, with --tenant"])
    found = [t for t in config.tenants if name in (None, t.name, t.tenant_id)]
    if not found:
        raise ConfigError([f"no tenant named {name!r} is configured"], "see `securescore tenants list`")
    if live and found[0].source != "graph":
        raise ConfigError(
            [f"tenant {found[0].name} is read from saved files: nobody can be asked, and nothing can be set"]
        )
    return found[0]


# ------------------------------------------------------------------------------------------------------ list and show


async def _list(config: Config, tenants: Sequence[TenantConfig], args: argparse.Namespace) -> int:
    wanted_state = state_of(args.state) if args.state else None
    rows: list[dict[str, Any]] = []
    for tenant in tenants:
        profiles, day = await (_live(config, tenant, args.service) if args.live else _stored(config, tenant))
        found = (row_of(tenant.name, p, day) for p in profiles.values())
        rows += [
            row
            for row in found
            if (args.service is None or row["service"] == args.service) and wanted_state in (None, row["state"])
        ]
    rows.sort(key=lambda row: (row["tenant"], row["control"]))
    if args.json:
        dump(rows)
        return 0
    show_list(rows, several=len(tenants) > 1)
    return 0


def show_list(rows: Sequence[Mapping[str, Any]], *, several: bool) -> None:
    """A column each for who, when and why where there is room; else they stand under the state."""
    out = console()
    wide = out.width >= WIDE
    shown = table(
        *(["tenant"] if several else []), "control", "points>", "state", *(["by", "since", "comment"] if wide else [])
    )
    longest = max((cell_len(plain(row["control"])) for row in rows), default=0)
    shown.columns[int(several)].width = min(longest, out.width // 3 if wide else out.width * 9 // 20)
    for row in rows:
        who, since, why = row["updated_by"] or "", (row["updated_at"] or "")[:10], row["comment"] or ""
        cells = [clean(row["control"]), _points(row)]
        if wide:
            cells += [_state_words(row), clean(who), since, clean(why)]
        else:
            about = "\n".join(clean(words) for words in (f"{who} {since}".strip(), why) if words)
            cells.append(clean(row["portal"]) + (f"\n{about}" if about else ""))
        shown.add_row(*([clean(row["tenant"])] if several else []), *cells)
    if rows:
        draw(shown, out)
        out.print()
    out.print(plural(len(rows), "control"))


async def _show(config: Config, tenant: TenantConfig, args: argparse.Namespace) -> int:
    if args.offline or tenant.source != "graph":
        profiles, day = await _stored(config, tenant)
        profile = profiles.get(args.name)
        names: Iterable[str] = profiles
    else:
        async with _graph(config, tenant) as (source, _):
            profile = await source.control(args.name)
            day = await source.newest() if profile else None
            names = () if profile else await source.catalogue()
    if profile is None:
        near = get_close_matches(args.name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`securescore controls list` shows the names"
        raise SecureScoreError(f"tenant {tenant.name} has no control named {args.name}", hint)
    row = row_of(tenant.name, profile, day)
    history = [
        {"state": u.state, "at": u.at, "by": u.by, "comment": u.comment, "assigned_to": u.assigned_to}
        for u in ordered_updates(profile)
    ]
    if args.json:
        dump({**row, "history": history})
        return 0
    out = console()
    out.print(f"{clean(profile.id)}: {clean(profile.title)}")
    facts = {
        "state": f"{row['portal']} ({row['state']})",
        "points": _points(row),
        "service": f"{profile.service}, {profile.category}, {profile.tier}",
        "threats": ", ".join(profile.threats),
        "portal": profile.action_url,
    }
    for name, value in facts.items():
        out.print(f"  {name:<8} {clean(value)}")
    shown = table("since", "state", "by", "assigned to", "comment", title="History")
    for u in ordered_updates(profile):
        words = f"{PORTAL.get(u.state, '?')} ({u.state})"
        shown.add_row(
            (u.at or "-").replace("T", " "),
            clean(words),
            clean(u.by or "-"),
            clean(u.assigned_to or "-"),
            clean(u.comment or ""),
        )
    if history:
        draw(shown, out)
    return 0


def row_of(tenant: str, profile: Profile, day: Day | None) -> dict[str, Any]:
    """One control as `list --json` gives it. Points are None when the newest day does not score the control."""
    control = day.controls.get(profile.id) if day else None
    now = effective_state(profile)
    most = max_of(control, profile)
    return {
        "tenant": tenant,
        "control": profile.id,
        "title": profile.title,
        "service": profile.service,
        "category": profile.category,
        "state": now.state,
        "portal": "Completed" if now.state == "Default" and is_full(control, profile) else _portal(now.state),
        "score": control.score if control else None,
        "max_score": most,
        "updated_by": now.by,
        "updated_at": now.at,
        "comment": now.comment,
        "assigned_to": now.assigned_to,
        "day": day.day if day else None,
    }


def _portal(state: str) -> str:
    return PORTAL.get(state, "unknown")


def _points(row: Mapping[str, Any]) -> str:
    score = "-" if row["score"] is None else f"{row['score']:g}"
    most = "?" if row["max_score"] is None else f"{row['max_score']:g}"
    return f"{score}/{most}"


def _state_words(row: Mapping[str, Any]) -> str:
    return clean(row["portal"] if row["state"] == "Default" else f"{row['portal']} ({row['state']})")


async def _stored(config: Config, tenant: TenantConfig) -> tuple[Mapping[str, Profile], Day | None]:
    """What the last poll saw."""
    async with store_beside(config) as store:
        seen = memory.decode(await store.load(tenant.tenant_id), since="9999")
    if seen.profiles is None:
        raise SecureScoreError(
            f"nothing is known of the controls of {tenant.name} yet",
            "run `securescore once`, or ask Graph with `controls list --live`",
        )
    return seen.profiles, seen.newest.day if seen.newest else None


async def _live(config: Config, tenant: TenantConfig, service: str | None) -> tuple[Mapping[str, Profile], Day | None]:
    async with _graph(config, tenant) as (source, _):
        return await source.catalogue(service), await source.newest()


@asynccontextmanager
async def _graph(
    config: Config, tenant: TenantConfig, *, write: bool = False
) -> AsyncIterator[tuple[GraphSource, Transports]]:
    clock = SystemClock()
    transports = transports_for(config, clock)
    try:
        yield graph_source(tenant, config, transports, clock, write=write), transports
    finally:
        await transports.close()


# ---------------------------------------------------------------------------------------------------------------- set


def _wishes(args: argparse.Namespace) -> list[tuple[int | None, Wanted]]:
    """What is asked for, with the line it stands on. Raises ConfigError with everything that is wrong."""
    if args.from_csv:
        if args.name or args.state or args.comment or args.assigned_to is not None:
            raise ConfigError(["with --from-csv, names, states and comments stand in the file alone"])
        wishes = read_csv(Path(args.from_csv))
    else:
        problems = [
            *([] if args.name else ["set needs the NAME of the control, or --from-csv FILE"]),
            *([] if args.state else [f"--state is missing: one of {', '.join(STATES)}"]),
            *([] if args.comment else ["--comment is missing: it is what an auditor will read"]),
        ]
        wish, more = (None, []) if problems else wanted(args.name, args.state, args.comment, args.assigned_to)
        if wish is None:
            raise ConfigError(problems + more)
        wishes = [(None, wish)]
    if len(wishes) > args.max:
        raise ConfigError(
            [f"{len(wishes)} changes are more than {args.max}: nothing was sent"],
            f"look again, then allow so many with --max {len(wishes)}",
        )
    if not (args.dry_run or args.yes or sys.stdin.isatty()):
        raise ConfigError(["nobody is there to confirm: nothing was sent"], "add --yes, or look first with --dry-run")
    return wishes


def read_csv(path: Path) -> list[tuple[int | None, Wanted]]:
    """The wishes of a CSV file (UTF-8, header name,state,comment[,assigned_to]) with their line numbers.

    An empty assigned_to means unchanged. Raises ConfigError with every problem of every line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CSV_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    if len(raw) > MAX_CSV_BYTES:
        raise ConfigError([f"{path} is larger than {MAX_CSV_BYTES} bytes"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8: byte {error.start}"], "save it as CSV UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int | None, Wanted]] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    try:
        header = [(name or "").strip().casefold() for name in reader.fieldnames or ()]
        if sorted(header) != sorted(set(header)) or not set(COLUMNS[:3]) <= set(header) <= set(COLUMNS):
            what = f"{path} line 1: the columns must be name,state,comment and, if wanted, assigned_to"
            apart = ";" in text[:200] or "\t" in text[:200]
            raise ConfigError([what], "save it with commas between the columns" if apart else "nothing was sent")
        reader.fieldnames = header
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                problems.append(f"{path} line {line}: has another number of columns than the header")
                continue
            wish, wrong = wanted(row["name"], row["state"], row["comment"], row.get("assigned_to") or None)
            problems += [f"{path} line {line}: {what}" for what in wrong]
            if wish is None:
                continue
            first = lines.setdefault(wish.control, line)
            if first != line:
                problems.append(f"{path} line {line}: {wish.control} stands on line {first} already")
            found.append((line, wish))
    except csv.Error as error:
        problems.append(f"{path} line {reader.line_num}: {error}")
    if problems:
        raise ConfigError(problems, "nothing was sent; correct the file")
    if not found:
        raise ConfigError([f"{path} holds no change"])
    return found


@frozen
class _Done:
    """One line of the report."""

    line: int | None
    result: Result
    event_id: str | None = None

    def as_data(self) -> dict[str, Any]:
        wish, before = self.result.plan.wanted, self.result.plan.before
        return {
            "line": self.line,
            "control": wish.control,
            "before": before.state,
            "after": wish.state,
            "outcome": self.result.outcome,
            "detail": self.result.detail,
            "hint": self.result.hint,
            "event": self.event_id,
        }


GOOD = ("same", "success", "would be sent")


async def _set(
    config: Config, tenant: TenantConfig, wishes: Sequence[tuple[int | None, Wanted]], args: argparse.Namespace
) -> int:
    clock = SystemClock()
    operator = Operator(_os_user(), socket.gethostname(), args.operator)
    async with store_beside(config) as store, _graph(config, tenant, write=True) as (source, transports):
        seen = memory.decode(await store.load(tenant.tenant_id), since="9999")
        scored = seen.newest.day.controls if seen.newest else {}
        plans = list(zip((line for line, _ in wishes), await _plans(source, wishes, scored), strict=True))
        to_send = sum(p.verdict == "send" for _, p in plans)
        if args.dry_run:
            done = [_Done(line, _dry(p)) for line, p in plans]
        elif to_send and not args.yes and not _confirmed(tenant, plans, to_send):
            print("stopped: nothing was sent", file=sys.stderr)
            return 1
        else:
            writer = Writer(
                http=transports.budgets.in_front_of(transports.get(config.network), tenant.tenant_id),
                base_url=cloud_of(tenant.graph).graph,
                token=token_provider(tenant, config, transports, write=True),
                clock=clock,
                random=Random(),  # noqa: S311 - spreads retries, guards nothing
            )
            one = _One(source, writer, store, tenant, operator, scored)
            done = await _carry_out(one, plans)
    _report(done, tenant, args)
    good = sum(d.result.outcome in GOOD for d in done)
    return 0 if good == len(done) else 3 if good else 1


async def _plans(
    source: GraphSource, wishes: Sequence[tuple[int | None, Wanted]], known: Mapping[str, Control]
) -> list[Plan]:
    """One control is asked for by its id; for several the catalogue is read once. `known` is from the last poll."""
    early = [refusal(wish) for _, wish in wishes]
    if all(early):
        return [p for p in early if p is not None]
    only = wishes[0][1].control
    one = len(wishes) == 1
    profiles = {only: await source.control(only)} if one else await source.catalogue()
    try:
        newest = await source.newest()
    except (Unavailable, PartialRead):  # enough to tell completed controls from others
        newest = None
    scored = newest.controls if newest else known
    return [plan(w, profiles.get(w.control), scored.get(w.control)) for _, w in wishes]


def _dry(planned: Plan) -> Result:
    if planned.verdict == "send":
        return Result(planned, "would be sent")
    return Result(planned, planned.verdict, planned.reason, planned.hint)


@frozen
class _One:
    """What one change needs: it is applied and recorded as one step."""

    source: GraphSource
    writer: Writer
    store: DurableStore
    tenant: TenantConfig
    operator: Operator
    scored: Mapping[str, Control]

    async def __call__(self, line: int | None, planned: Plan) -> _Done:
        tenant, control = self.tenant, self.scored.get(planned.wanted.control)
        began = iso(self.writer.clock.now())
        announced = change_of(unfinished(planned), self.operator, control, began)
        if planned.verdict == "send":
            try:
                await announce(self.store, tenant.tenant_id, announced)
            except SecureScoreError as error:
                what = f"nothing was sent, as it could not be recorded: {error.what}"
                return _Done(line, Result(planned, "failure", what, error.hint, stops=True))
        result = await apply(planned, self.source, self.writer)
        now = iso(self.writer.clock.now())
        change = change_of(result, self.operator, control, now)
        try:
            if not result.sent:
                if planned.verdict == "send":
                    await withdraw(self.store, tenant.tenant_id, announced)
                return _Done(line, result)
            origin = Origin(tenant.tenant_id, tenant.name, tenant.labels, "connector")
            event = await record(self.store, origin, change, severity_rules(), now, announced)
        except SecureScoreError as error:
            said = f"{result.detail}; the event could not be recorded: {error.what}".lstrip("; ")
            hint = f"note it by hand: {change.data['summary']} by {self.operator} at {now}"
            return _Done(line, evolve(result, outcome="unrecorded", detail=said, hint=hint, stops=True))
        return _Done(line, result, event.id)


async def _carry_out(one: _One, plans: Sequence[tuple[int | None, Plan]]) -> list[_Done]:
    """One after the other; what no further change could pass ends it, and the rest is reported as not tried."""
    done: list[_Done] = []
    why = ""
    for line, planned in _tracked(plans):
        if why and planned.verdict == "send":
            done.append(_Done(line, Result(planned, "not tried", why, "repair that, then run the command again")))
            continue
        step = asyncio.ensure_future(one(line, planned))
        try:
            done.append(await asyncio.shield(step))
        except asyncio.CancelledError:
            await step  # a change that is under way is finished and recorded even when the operator interrupts
            raise
        if done[-1].result.stops:
            why = done[-1].result.detail
    return done


def _tracked(plans: Sequence[tuple[int | None, Plan]]) -> Iterable[tuple[int | None, Plan]]:
    from rich.progress import track  # noqa: PLC0415

    out = console(stderr=True)
    quiet = not out.is_terminal or len(plans) < 2
    return track(plans, description="setting states", console=out, disable=quiet, transient=True)


def _confirmed(tenant: TenantConfig, plans: Sequence[tuple[int | None, Plan]], to_send: int) -> bool:
    out = console(stderr=True)
    for _, p in plans:
        if p.verdict == "send":
            out.print(f"  {clean(p.wanted.control)}: {_words(p.before.state)} → {_words(p.wanted.state)}")
    full = any(p.wanted.state in ("ThirdParty", "Reviewed") for _, p in plans if p.verdict == "send")
    if full:
        out.print("  Resolved controls get full points without being measured.")
    noun = "this change" if to_send == 1 else f"these {to_send} changes"
    out.print(f"Send {noun} to Microsoft for tenant {clean(tenant.name)}? \\[y/N] ", end="")
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def _words(state: str) -> str:
    return clean(f"{PORTAL.get(state, 'unknown')} ({state})")


def _report(done: Sequence[_Done], tenant: TenantConfig, args: argparse.Namespace) -> None:
    if args.json:
        dump([{"tenant": tenant.name, **d.as_data()} for d in done])
    else:
        numbered = any(d.line for d in done)
        shown = table(*(["line>"] if numbered else []), "control", "was", "wanted", "result")
        for d in done:
            wish, before = d.result.plan.wanted, d.result.plan.before
            result = {"same": "unchanged: it is so already", "success": "done, and read back"}.get(
                d.result.outcome, d.result.outcome
            )
            cells = [str(d.line)] if numbered else []
            shown.add_row(*cells, clean(wish.control), _words(before.state), _words(wish.state), result)
        draw(shown)
        if any(d.result.outcome == "success" for d in done):
            console().print("Points follow within 24 hours to 7 days.")
    for d in done:
        if d.result.outcome not in GOOD:
            where = f"line {d.line}: " if d.line else ""
            print(
                f"error: {where}{d.result.plan.wanted.control}: {d.result.outcome}: {d.result.detail}", file=sys.stderr
            )
            if d.result.hint:
                print(f"next: {d.result.hint}", file=sys.stderr)


def _os_user() -> str:
    """The user of the process, and who became it through sudo: shared service accounts are common here."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"uid {uid}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{user} (sudo by {behind[:64]})" if behind.isprintable() and behind not in ("", user) else user
