"""`securescore status`: how fresh each tenant is, how far each sink got, what expires. Reads beside a daemon."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from connector.cli import times
from connector.cli.common import config_of, store_beside
from connector.cli.selection import add_tenant, add_unit, selected, units_of
from connector.cli.terminal import console, draw, draw_notes, dump, plain, plural, table
from connector.clock import SystemClock
from connector.config.values import Config
from connector.health.overview import open_problems, overview, refusal_words
from connector.health.upkeep import CONNECTOR
from connector.model import EXPOSURE, WHOLE
from connector.observe import memory, units
from connector.signin.credentials import ending

SHOWN_UNITS, SHOWN_REFUSALS = 20, 3
WIDE = 110
"""From so many cells on there is room for labels and the change within a week, too."""
NEVER_READ = "never read"
"""What is said of a tenant that no poll has read so far."""
MANY = 30
"""Of more tenants than these only those in trouble are shown, unless all are asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    add_unit(parser)
    parser.add_argument("--all", action="store_true", help=f"every tenant; of more than {MANY} only troubled ones show")
    parser.add_argument(
        "--deviations", action="store_true", help="only tenants that deviate from the baseline, and how"
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON document, of all tenants")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    status = asyncio.run(collect(evolve(config, tenants=selected(config, args.tenant)), args.unit))
    if args.deviations:
        status["tenants"] = {name: t for name, t in status["tenants"].items() if t["deviations"]}
    if args.json:
        dump(status)
    else:
        show(status, every=args.all or args.deviations, deviations=args.deviations)
    return 0


async def collect(config: Config, only: Sequence[str] = ()) -> dict[str, Any]:
    """The document of health.overview, and what the running daemon says of itself (None: nobody answers).

    Of units those that are selected, where it is said which. Raises ConfigError.
    """
    from connector.health.ask import readiness  # noqa: PLC0415 - it brings an HTTP client, which no start waits for

    now = SystemClock().now()
    credentials = await asyncio.to_thread(ending, config)
    async with store_beside(config) as store:
        states = await store.heads([t.key for t in config.tenants])
        heads = {t.name: memory.readable_head(states[t.key]) for t in config.tenants}
        problems = await open_problems(store, CONNECTOR)
        status = overview(config, heads, await store.stats(), now, problems, credentials)
    if only:
        wanted = units_of([units.roster(head) for head in heads.values()], only)
        for tenant in status["tenants"].values():
            tenant["units"] = [row for row in tenant["units"] if _key(row) in wanted]
    return {**status, "daemon": await readiness(config.health.listen)}


def standing(tenant: Mapping[str, Any]) -> str:
    """How a tenant stands, in a word: ok, never read, the reason of what is wrong with it, or refused."""
    if tenant["problems"]:
        return str(tenant["problems"][0])
    if tenant["error"]:
        return "failing"
    if tenant["refused"]:
        return "refused"
    return "ok" if tenant["newest_day"] or tenant["units"] else NEVER_READ


def summary(tenants: Mapping[str, Mapping[str, Any]]) -> str:
    """All of them in a line: 500 tenants: 497 ok, 2 denied, 1 stale; weakest: contoso 31.20 %."""
    counts = Counter(map(standing, tenants.values()))
    order = sorted(counts, key=lambda word: (word != "ok", -counts[word], word))
    said = f"{plural(len(tenants), 'tenant')}: {', '.join(f'{counts[word]} {word}' for word in order) or 'none'}"
    known = {name: t["percent"] for name, t in tenants.items() if t["percent"] is not None and not _is_exposure(t)}
    if len(known) > 1:
        weakest = min(known, key=lambda name: known[name])
        said += f"; weakest: {weakest} {known[weakest]:.2f} %"
    if away := [len(t["deviations"]) for t in tenants.values() if t["deviations"]]:
        said += f"; {plural(sum(away), 'deviation')} from the baseline in {plural(len(away), 'tenant')}"
    return said


def show(status: dict[str, Any], *, every: bool = False, deviations: bool = False) -> None:
    out = console()
    out.print(plain(summary(status["tenants"])))
    out.print()
    chosen = status["tenants"]
    if len(chosen) > MANY and not every:
        chosen = {name: t for name, t in chosen.items() if standing(t) != "ok"}
    wide = out.width >= WIDE
    labelled = wide and any(t["labels"] for t in chosen.values())
    label = ["labels"] if labelled else []
    judged = any(t["deviations"] for t in chosen.values())
    away = ["deviations>"] if judged else []
    figures = ("newest day", "data age>", "percent>", *(["7 days>"] if wide else []), *away)
    tenants = table("tenant", *label, *figures, "last success (UTC)", "error")
    heard: set[str] = set()  # what many tenants share is said once
    for name, t in chosen.items():
        troubles = [*t["problems"], *(refusal_words(r) for r in t["refused"][:SHOWN_REFUSALS])]
        if (more := len(t["refused"]) - SHOWN_REFUSALS) > 0:
            troubles.append(f"{more} more refused")
        hint = t["hint"] if t["error"] and t["hint"] not in heard else None
        heard |= {hint} if hint else set()
        error = words(t["error"] or ", ".join(troubles), hint)
        style = "red" if t["error"] else "yellow" if error else None
        labels = [plain(", ".join(f"{key}={value}" for key, value in sorted(t["labels"].items())))] if labelled else []
        row = (plain(name), *labels, t["newest_day"] or "-", _age(t["data_age_s"]), *_score(t)[: 1 + wide])
        row += (str(len(t["deviations"])),) if judged else ()
        tenants.add_row(*row, times.shown(t["last_success"]), error, style=style)
    if chosen:
        draw(tenants, out)
    if hidden := len(status["tenants"]) - len(chosen):
        deviating = sum(bool(t["deviations"]) for name, t in status["tenants"].items() if name not in chosen)
        of_them = (
            f" ({deviating} with deviations from the baseline: --deviations)" if deviating and not deviations else ""
        )
        out.print(f"{plural(hidden, 'tenant')} without trouble not shown: --all, or --tenant NAME{of_them}")
    draw_notes(((name, t["notes"]) for name, t in chosen.items()), out)
    if deviations:
        _draw_deviations(status["tenants"], out)
    for name, t in chosen.items():
        _draw_units(name, t, out)
    out.print()
    draw(sink_table(status["sinks"]), out)
    said = status["daemon"] or {"reasons": [], "warnings": []}
    for words_of, style in ((said["reasons"], "red"), (said["warnings"], "yellow")):
        for text in words_of:
            out.print(f"\nThe daemon says: {plain(text)}", style=style)
    others = [p for p in status["problems"] if p["subject"].removeprefix("sink:") not in status["sinks"]]
    if others:
        problems = table("problem", "since (UTC)", "what")
        for p in others:
            problems.add_row(p["reason"], times.shown(p["first_seen"]), words(p["summary"] or p["subject"], p["hint"]))
        out.print()
        draw(problems, out)
    if status["credentials"]:
        out.print()
        draw(_credentials(status["credentials"]), out)
    out.print(f"\n{plural(status['store']['events'], 'event')} kept, {status['store']['bytes'] / 1e6:.1f} MB")


DEVIATIONS: Mapping[str, str] = {
    "baseline_full": "has not all its points",
    "baseline_declared": "is not declared as it must be",
    "baseline_not_declared": "is declared as it must not be",
    "baseline_percent_min": "the percentage is below the least",
    "baseline_measured_percent_min": "the measured percentage is below the least",
}


def _draw_deviations(tenants: Mapping[str, Mapping[str, Any]], out: Any) -> None:
    shown = table("tenant", "control", "deviation")
    for name, t in tenants.items():
        for one in t["deviations"]:
            shown.add_row(plain(name), plain(one["control"] or ""), DEVIATIONS.get(one["kind"], plain(one["kind"])))
    out.print()
    if shown.rows:
        draw(shown, out)
    else:
        out.print("No tenant deviates from the baseline.")


def _score(tenant: Mapping[str, Any]) -> tuple[str, str]:
    """Percent, and its change within a week."""
    percent, change = tenant["percent"], tenant["change_7d"]
    what = "exposure " if _is_exposure(tenant) else ""
    return "-" if percent is None else f"{what}{percent:.2f}", "-" if change is None else f"{round(change, 2) + 0:+.2f}"


def _is_exposure(tenant: Mapping[str, Any]) -> bool:
    """Whether less is better for it, so that its figure is none to compare with those of others."""
    return any(_less_is_better(row) for row in tenant["units"])


def _less_is_better(row: Mapping[str, Any]) -> bool:
    return bool(row["unit"]["score"] == EXPOSURE)


def _draw_units(name: str, tenant: Mapping[str, Any], out: Any) -> None:
    """The units of an entry: the one that stands for all, then those that need a look, then the weakest."""
    rows = sorted(tenant["units"], key=_by_need)
    if not rows:
        return
    last = "lower is better>" if _is_exposure(tenant) else "percent>"
    shown = table(f"unit of {plain(name)}", "newest day", "score>", last, "note")
    for row in rows[:SHOWN_UNITS]:
        notes = [refusal_words(r) for r in row["refused"]]
        notes += [f"gone since {times.shown(row['gone_since'])} UTC"] if row["gone_since"] else []
        notes += [row["state"]] if row["state"] not in (None, "Enabled") else []
        score = "-" if row["score"] is None else f"{row['score']:g}"
        percent = "-" if row["percent"] is None else f"{row['percent']:.2f}"
        style = "yellow" if notes else None
        called = row["unit"]["name"] or (row["unit"]["kind"] if row["unit"]["kind"] in WHOLE else row["unit"]["id"])
        shown.add_row(plain(called), row["newest_day"] or "-", score, percent, plain(", ".join(notes)), style=style)
    out.print()
    draw(shown, out)
    if len(rows) > SHOWN_UNITS:
        out.print(f"{len(rows) - SHOWN_UNITS} more: --unit names some, --json has all of them.")
    if count := tenant["no_data"]["count"]:
        first = ", ".join(plain(s["name"] or s["id"]) for s in tenant["no_data"]["first"][:3])
        out.print(f"No score of {plural(count, 'enabled subscription')} so far: {first}{' …' if count > 3 else ''}")


def _by_need(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
    percent = row["percent"]
    strength = 101.0 if percent is None else 100.0 - percent if _less_is_better(row) else percent
    return row["unit"]["kind"] not in WHOLE, not row["refused"] and not row["gone_since"], strength


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['unit']['id']}/{row['unit']['score'] or ''}"


def sink_table(rows: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str] | None = None) -> Any:
    """A table of sinks; with `kinds` a column more."""
    kind = [] if kinds is None else ["kind"]
    made = table("sink", *kind, "state", "backlog>", "parked>", "last success (UTC)", "error")
    for name, s in rows.items():
        made.add_row(
            plain(name),
            *([] if kinds is None else [kinds.get(name, "not configured")]),
            s["state"],
            str(s["backlog"]),
            str(s["parked"]),
            times.shown(s["last_success"]),
            words(s["error"], s["hint"]),
            style="red" if s["parked"] or s["error"] else "yellow" if s["state"] in ("behind", "abandoned") else None,
        )
    return made


def _credentials(rows: Sequence[Mapping[str, Any]]) -> Any:
    made = table("credential", "kind", "expires", "days left>", "used by")
    unknown = {"secret": "not stated (expires_on)", "certificate": "unknown: its file cannot be read from here"}
    for c in sorted(rows, key=lambda c: (c["expires_at"] is None, c["expires_at"] or "", c["credential"])):
        left = c["days_left"]
        style = None if left is None else "red" if left < 0 else "yellow" if left <= 30 else None
        users = f"{len(c['tenants'])} tenants" if len(c["tenants"]) > 1 else c["sink"] or ", ".join(c["tenants"])
        made.add_row(
            plain(c["credential"]),
            c["kind"],
            c["expires_at"][:10] if c["expires_at"] else unknown[c["kind"]],
            "-" if left is None else str(left),
            plain(users),
            style=style,
        )
    return made


def _age(seconds: int | None) -> str:
    """In hours while hours matter, else in days."""
    hours = None if seconds is None else seconds / 3600
    return "-" if hours is None else f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} d"


def words(error: str | None, hint: str | None) -> str:
    """What went wrong, and below it what to do next."""
    return plain(error or "") + (f"\nnext: {plain(hint)}" if error and hint else "")
