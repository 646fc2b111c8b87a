"""What is wrong with the state, as faults: what is damaged, ahead, older or moved, and history that gave way. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from connector.ids import digest
from connector.ports import Flaw, SinkStats
from connector.problems import Fault

SHOWN = 20
_PAGE = "docs/reliability.md, Backup and restore"


@frozen
class _Kind:
    subject: str
    words: str
    hint: str


_KINDS: Mapping[str, _Kind] = {
    "state_damaged": _Kind(
        "state:damaged",
        "of the state damaged or gone",
        "look after the disk (kernel log); `securescore check --state` reads everything; what is lost may be in the"
        f" evidence archive or in a backup ({_PAGE})",
    ),
    "cursor_ahead": _Kind(
        "state:places",
        "that sinks are ahead of what the state holds",
        "an older copy of a part of the state was put back. What comes again has its old id; restore all of a state,"
        f" with the connector stopped ({_PAGE})",
    ),
    "state_restored": _Kind(
        "state:restored",
        "that the state is older than when it was last used here",
        "a backup was put back, or a file of the state was lost: what was delivered since that moment is sent again"
        f" under the same ids, and what changed since is derived again as far as the source goes back ({_PAGE})",
    ),
    "state_copied": _Kind(
        "state:copied",
        "that the state is a copy, or was moved",
        "if the other one is still in use, both deliver the same events: stop one of them, and let a second connector"
        " begin with a state of its own",
    ),
}


def flaw_faults(flaws: Sequence[Flaw], names: Mapping[str, str]) -> list[Fault]:
    """One fault a reason, told again when there is more of it. `names` are those of the tenants, by id."""
    found = []
    for reason, kind in _KINDS.items():
        those = [flaw for flaw in flaws if flaw.reason == reason]
        if those:
            found.append(_flaw_fault(reason, kind, those, names))
    return found


def _flaw_fault(reason: str, kind: _Kind, those: Sequence[Flaw], names: Mapping[str, str]) -> Fault:
    events = _sum(flaw.events for flaw in those)
    waiting: dict[str, int] | None = {}
    for flaw in those:
        if flaw.sinks is None or waiting is None:
            waiting = None
            continue
        for sink, count in flaw.sinks.items():
            waiting[sink] = waiting.get(sink, 0) + count
    tenants = sorted({_tenant(flaw, names) for flaw in those if flaw.tenant_id})
    summary = f"Problem: {len(those)} {'sign' if len(those) == 1 else 'signs'} {kind.words}"
    if reason == "state_damaged":
        held = "an unknown number of events" if events is None else f"{events} events"
        lost = "unknown how many were not delivered" if waiting is None else _lost(waiting)
        summary = f"Problem: {len(those)} {'piece' if len(those) == 1 else 'pieces'} {kind.words}, with {held}; {lost}"
    lines = [f"{flaw.document}{f' of {_tenant(flaw, names)}' if flaw.tenant_id else ''}: {flaw.what}" for flaw in those]
    more = f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else ""
    data: dict[str, Any] = {
        "documents": [flaw.document for flaw in those[:SHOWN]],
        "tenants": tenants[:SHOWN],
        "events": events,
        "lost": waiting,
    }
    stage = digest(sorted(flaw.document for flaw in those))[:16]
    detail = "; ".join(lines[:SHOWN]) + more
    return Fault(
        "connector.problem", reason, kind.subject, summary, detail=detail, hint=kind.hint, data=data, stage=stage
    )


def _lost(waiting: Mapping[str, int]) -> str:
    if not waiting:
        return "no sink had still to take any of them"
    return ", ".join(f"sink {sink} had still to take {count}" for sink, count in sorted(waiting.items()))


def _sum(counts: Iterable[int | None]) -> int | None:
    found = list(counts)
    return None if None in found else sum(count or 0 for count in found)


def _tenant(flaw: Flaw, names: Mapping[str, str]) -> str:
    return names.get(flaw.tenant_id or "", flaw.tenant_id or "")


def gone_sinks(sinks: Sequence[SinkStats]) -> list[Fault]:
    """Sinks that are not configured any more and still hold events."""
    return [
        Fault(
            "connector.problem",
            "sink_removed",
            f"sink:{sink.name}",
            f"Problem: sink {sink.name} is no longer configured and holds {sink.backlog + sink.parked} events",
            detail=f"{sink.backlog} to take, {sink.parked} parked; a sink under another name does not get them",
            hint=f"configure it again under this name, or give them up with `securescore sinks release {sink.name}`",
            data={"sink": sink.name, "backlog": sink.backlog, "parked": sink.parked},
        )
        for sink in sinks
        if sink.abandoned and (sink.backlog or sink.parked)
    ]


def shed_fault(shed: Mapping[str, Any], max_bytes: int) -> Fault:
    """History that every sink has, deleted before its time because the disk bound was near."""
    return Fault(
        "connector.problem",
        "history_purged",
        "history",
        f"Problem: {shed['events']} delivered events, up to {shed['until']}, were deleted to stay below the bound",
        detail=f"`state.max_bytes` is {max_bytes}; every sink had taken them",
        hint="raise `state.max_bytes`, or keep less (`state.keep_days`), if `events`, `replay` and `explain` need not"
        " reach back so far",
        data={"events": shed["events"], "until": shed["until"], "max_bytes": max_bytes},
    )
