"""`securescore controls`: list and show controls with their state and who set it.

Only reading lives here; `set` is in controls_set.py, `apply` in controls_apply.py.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from connector.cli import times
from connector.cli.common import config_of, graph_of, store_beside
from connector.cli.controls_apply import apply_baseline
from connector.cli.controls_set import asked_for, set_states
from connector.cli.names import did_you_mean, near, spelled
from connector.cli.selection import ONE_UNIT_HELP, add_tenant, add_unit, one, selected
from connector.cli.terminal import cell_len, complain, console, draw, dump, plain, plural, table
from connector.cli.unit_view import view_of
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, SecureScoreError, TenantDamaged
from connector.model import PORTAL, STATES, Day, Profile
from connector.observe import memory
from connector.observe.diff import effective_state, max_of, ordered_updates
from connector.writeback.plan import is_completed, state_of

MAX_CHANGES = 25
NAMED = 10
"""So many tenants of which nothing is known are named."""
Seen = tuple[Mapping[str, Profile], Day | None]
"""The catalogue, and the newest day."""
WIDE = 120
"""From so many cells on `list` has a column for everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "set", "apply"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="the control, as `list` shows it, in any case")
    add_tenant(parser, "which tenants (list, apply), or which one (show, set): names, globs or label=value")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    reading = parser.add_argument_group("list, show")
    add_unit(reading, ONE_UNIT_HELP)
    reading.add_argument("--live", action="store_true", help="list: ask Graph now, instead of the last poll")
    reading.add_argument("--offline", action="store_true", help="show: what the last poll saw, instead of asking Graph")
    reading.add_argument("--service", metavar="S", help="list: only controls of this service, e.g. AzureAD")
    reading.add_argument("--state", metavar="STATE", help=f"list: only these; set: {' | '.join(STATES)}")
    writing = parser.add_argument_group("set")
    writing.add_argument("--comment", metavar="TEXT", help="why (mandatory); it becomes part of the history")
    writing.add_argument("--assigned-to", metavar="WHO", help='responsible person; "" clears; not given = unchanged')
    writing.add_argument("--from-csv", metavar="FILE", help="many changes: a file with name,state,comment,assigned_to")
    writing = parser.add_argument_group("set, apply")
    writing.add_argument("--max", type=int, default=MAX_CHANGES, metavar="N", help="most changes (default 25)")
    writing.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    writing.add_argument("--yes", action="store_true", help="do not ask")
    applying = parser.add_argument_group("apply")
    baseline = "standards, whose states are set where a tenant deviates (default: `baseline` of the configuration)"
    applying.add_argument("--baseline", metavar="FILE", help=baseline)
    writing.add_argument("--operator", metavar="NAME", help="who decided it, beside the operating system's user")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    _check_usage(args)
    if args.action == "set":
        return asyncio.run(set_states(config, _tenant(config, args.tenant, live=True), asked_for(args), args))
    if args.action == "apply":
        return asyncio.run(apply_baseline(config, args))
    if args.action == "show":
        return asyncio.run(_show(config, _tenant(config, args.tenant), args))
    return asyncio.run(_list(config, _tenants(config, args), args))


def _check_usage(args: argparse.Namespace) -> None:
    """Options that this action does not have are a mistake, not noise: `list --yes` was meant to be something else."""
    allowed = {
        "list": {"live", "service", "state", "unit"},
        "show": {"offline", "unit"},
        "set": {"state", "comment", "assigned_to", "from_csv", "max", "dry_run", "yes", "operator"},
        "apply": {"baseline", "max", "dry_run", "yes", "operator"},
    }[args.action]
    given = {name: getattr(args, name) for name in ("live", "offline", "service", "state", "comment", "assigned_to")}
    given |= {name: getattr(args, name) for name in ("from_csv", "dry_run", "yes", "operator", "baseline")}
    given["unit"] = args.unit or None
    strange = [f"--{k.replace('_', '-')}" for k, v in given.items() if v not in (None, False) and k not in allowed]
    problems = [f"{option} does not belong to `controls {args.action}`" for option in strange]
    if args.action == "list" and args.name:
        problems.append("`controls list` takes no NAME; `controls show NAME` shows one")
    if args.action == "apply" and args.name:
        problems.append("`controls apply` takes no NAME; which controls, says the baseline")
    if args.action == "show" and not args.name:
        problems.append("show needs the NAME of the control")
    if args.state is not None and state_of(args.state) is None:
        problems.append(f"--state {args.state!r} is no state: one of {', '.join(STATES)}")
    if problems:
        raise ConfigError(problems, "see `securescore controls --help`")


def _tenants(config: Config, args: argparse.Namespace) -> Sequence[TenantConfig]:
    """The selected tenants, or all. Asking Graph is for one tenant at a time."""
    alone = args.live or args.unit
    return [_tenant(config, args.tenant, live=args.live)] if alone else selected(config, args.tenant)


def _tenant(config: Config, patterns: Sequence[str], *, live: bool = False) -> TenantConfig:
    found = one(config, patterns)
    if live and found.source != "graph":
        where = "from saved files" if found.source == "files" else f"by source: {found.source}"
        raise ConfigError([f"tenant {found.name} is read {where}: nobody can be asked, and nothing can be set"])
    return found


# ------------------------------------------------------------------------------------------------------ list and show


async def _list(config: Config, tenants: Sequence[TenantConfig], args: argparse.Namespace) -> int:
    wanted_state = state_of(args.state) if args.state else None
    silent: list[str] = []
    if args.live:
        seen = [(tenant.name, await _live(config, tenant, args.service)) for tenant in tenants]
    else:
        seen, silent = await _all_known(config, tenants, args.unit)
    rows = [
        row
        for name, (profiles, day) in seen
        for row in (row_of(name, p, day) for p in profiles.values())
        if (args.service is None or row["service"] == args.service) and wanted_state in (None, row["state"])
    ]
    rows.sort(key=lambda row: (row["tenant"], row["control"]))
    if args.json:
        dump(rows)
    else:
        show_list(rows, several=len(tenants) > 1)
    if silent:
        more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        what = f"nothing is known yet, or can be read, of {', '.join(map(plain, silent[:NAMED]))}{more}"
        complain([what], "run `securescore once`")
    return 3 if silent else 0


async def _all_known(
    config: Config, tenants: Sequence[TenantConfig], unit: Sequence[str]
) -> tuple[list[tuple[str, Seen]], list[str]]:
    """What the last polls saw, by the tenant's name; and of several tenants the names of those of which that is
    nothing.
    """
    found: list[tuple[str, Seen]] = []
    silent: list[str] = []
    async with store_beside(config) as store:
        for tenant in tenants:
            try:
                found.append((tenant.name, await _known(store, tenant, unit)))
            except (NothingKnown, TenantDamaged):  # one tenant's matter: the next poll reads or mends it
                if len(tenants) == 1:
                    raise
                silent.append(tenant.name)
    return found, silent


def show_list(rows: Sequence[Mapping[str, Any]], *, several: bool) -> None:
    """A control's title stands under its name. A column each for who, when and why where there is room; else they stand
    under the state.
    """
    out = console()
    wide = out.width >= WIDE
    shown = table(
        *(["tenant"] if several else []), "control", "points>", "state", *(["by", "since", "comment"] if wide else [])
    )
    longest = max((cell_len(plain(row.get(of) or "")) for row in rows for of in ("control", "title")), default=0)
    shown.columns[int(several)].width = min(longest, out.width // 3 if wide else out.width * 9 // 20)
    for row in rows:
        who, since, why = row["updated_by"] or "", (row["updated_at"] or "")[:10], row["comment"] or ""
        cells = [f"{plain(row['control'])}\n{plain(row.get('title') or '')}".rstrip(), _points(row)]
        if wide:
            cells += [_state_words(row), plain(who), since, plain(why)]
        else:
            about = "\n".join(plain(words) for words in (f"{who} {since}".strip(), why) if words)
            cells.append(plain(row["portal"]) + (f"\n{about}" if about else ""))
        shown.add_row(*([plain(row["tenant"])] if several else []), *cells)
    if rows:
        draw(shown, out)
        out.print()
    out.print(plural(len(rows), "control"))


async def _show(config: Config, tenant: TenantConfig, args: argparse.Namespace) -> int:
    if args.offline or tenant.source != "graph":
        profiles, day = await _stored(config, tenant, args.unit)
        profile = _only(args.name, profiles)
    else:
        async with graph_of(config, tenant) as (source, _):
            profile = await source.control(args.name)
            profiles = {} if profile else await source.catalogue()
            profile = profile or _only(args.name, profiles)
            day = await source.newest() if profile else None
    if profile is None:
        hint = did_you_mean(
            spelled(args.name, profiles) or near(args.name, profiles), "`securescore controls list` shows the names"
        )
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
    out.print(f"{plain(profile.id)}: {plain(profile.title)}")
    facts = {
        "state": f"{row['portal']} ({row['state']})",
        "points": _points(row),
        "service": f"{profile.service}, {profile.category}, {profile.tier}",
        "threats": ", ".join(profile.threats),
        "portal": profile.action_url,
    }
    for name, value in facts.items():
        out.print(f"  {name:<8} {plain(value)}")
    shown = table("since (UTC)", "state", "by", "assigned to", "comment", title="History")
    for u in ordered_updates(profile):
        words = f"{PORTAL.get(u.state, '?')} ({u.state})"
        shown.add_row(
            times.shown(u.at, "unknown" if u.at_unusable else "-"),
            plain(words),
            plain(u.by or "-"),
            plain(u.assigned_to or "-"),
            plain(u.comment or ""),
        )
    if history:
        draw(shown, out)
    return 0


def _only(name: str, profiles: Mapping[str, Profile]) -> Profile | None:
    """The one control that is named so, in any case; of several that differ by case alone, none."""
    names = spelled(name, profiles)
    return profiles[names[0]] if len(names) == 1 else None


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
        "portal": "Completed" if is_completed(profile, control, day.day if day else "") else _portal(now.state),
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
    return plain(row["portal"] if row["state"] == "Default" else f"{row['portal']} ({row['state']})")


class NothingKnown(SecureScoreError):
    """No poll has read the controls of a tenant yet."""


async def _stored(config: Config, tenant: TenantConfig, unit: Sequence[str]) -> Seen:
    """What the last poll saw, of a tenant or of one of its units."""
    async with store_beside(config) as store:
        return await _known(store, tenant, unit)


async def _known(whole: DurableStore, tenant: TenantConfig, unit: Sequence[str]) -> Seen:
    """The same, of a store that is open. Raises NothingKnown, TenantDamaged."""
    store, _ = await view_of(whole, tenant, unit)
    seen = memory.shown(await store.load(tenant.key, memory.stands))
    if seen.profiles is None:
        raise NothingKnown(
            f"nothing is known of the controls of {tenant.name} yet",
            "run `securescore once`, or ask Graph with `controls list --live`",
        )
    return seen.profiles, seen.newest.day if seen.newest else None


async def _live(config: Config, tenant: TenantConfig, service: str | None) -> Seen:
    async with graph_of(config, tenant) as (source, _):
        return await source.catalogue(service), await source.newest()
