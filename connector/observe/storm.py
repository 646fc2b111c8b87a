"""Storm control: when very many tenants enter the same state at once, it is told once for all of them. No I/O.

The first ones, up to the limit, are told each, since nobody can know what follows; from then on new problems of that
kind are remembered but not told, and one problem of the connector's own scope names how many there are. It is over when
few enough are left; a tenant that is still troubled then is told in its own name.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, define

from connector.clock import parse_iso
from connector.model import Change
from connector.problems import Fault

SHARE, LEAST = 0.10, 5
"""More than this share of the tenants, and at least so many, entering one state within a cycle are a storm."""
NAMED = 20

State = tuple[str, str]
"""Type and reason of a problem."""
_LONG_AGO = "2020-01-01T00:00:00Z"


@define
class Storms:
    """Who is in which state, and when it came to it. `total` counts the tenants, `cycle_s` is the poll interval."""

    total: int
    cycle_s: float
    _members: dict[State, dict[str, datetime]] = Factory(dict)
    _raging: set[State] = Factory(set)
    _resumed: bool = False

    @property
    def limit(self) -> int:
        """The least number of tenants that is a storm."""
        return limit_of(self.total)

    def resume(self, problems: Mapping[str, Mapping[str, Any]]) -> None:
        """After a start: the storms that were told and are not over, as far as anybody knows. Heeded once."""
        if self._resumed:
            return
        self._resumed = True
        for entry in problems.values():
            if str(entry["subject"]).startswith("tenants:") and entry["type"] == "connector.problem":
                kind, _, reason = str(entry["subject"]).removeprefix("tenants:").partition(":")
                self._raging.add((kind, reason))
                self._members.setdefault((kind, reason), {})

    def replace(self, names: Sequence[str]) -> None:
        """These tenants from now on."""
        self.total, wanted = len(names), set(names)
        self._members = {s: {n: at for n, at in members.items() if n in wanted} for s, members in self._members.items()}

    def settle(
        self,
        tenant: str,
        was: Mapping[str, Mapping[str, Any]],
        problems: Mapping[str, Mapping[str, Any]],
        told: Sequence[Change],
        now: datetime,
    ) -> tuple[dict[str, dict[str, Any]], list[Change]]:
        """What of a tenant's news is told, given its open problems before (`was`) and after; and those to remember."""
        result = {key: dict(entry) for key, entry in problems.items()}
        hushed: set[str] = set()
        states: set[State] = set()
        heard = {change.data.get("problem_id") for change in told}
        for key, entry in result.items():
            state = (entry["type"], entry["reason"])
            states.add(state)
            before = was.get(key)
            known = before is not None and before["problem_id"] == entry["problem_id"]
            fresh = not known or (before is not None and before["reason"] != entry["reason"])
            self._enter(state, tenant, now if fresh else entered_at(entry, now))
            raging = self._blows(state, now) if fresh else state in self._raging
            if raging and (fresh or entry.get("muted")):
                if known and not entry.get("muted"):
                    entry["named"] = True  # it was told by name, and so will be its end
                entry["muted"] = True
                hushed.add(entry["problem_id"])
            elif entry.pop("muted", False) and entry["problem_id"] not in heard:
                entry.update(last_sent=_LONG_AGO, stage="")  # told at the next poll
        for key, before in was.items():
            if before.get("muted") and not before.get("named") and key not in result:
                hushed.add(before["problem_id"])  # its recovery: nobody heard of it
        for state, members in self._members.items():
            if state not in states:
                members.pop(tenant, None)
        return result, [change for change in told if change.data.get("problem_id") not in hushed]

    def faults(self, pending: int) -> list[Fault]:
        """The storms that rage now. While `pending` tenants were not polled since the start, none of them is over."""
        for state in list(self._raging):
            if not pending and is_over(len(self._members.get(state, ())), self.total):
                self._raging.discard(state)
        return [storm_fault(s, sorted(self._members.get(s, ())), self.total) for s in sorted(self._raging)]

    def _enter(self, state: State, tenant: str, at: datetime) -> None:
        self._members.setdefault(state, {}).setdefault(tenant, at)

    def _blows(self, state: State, now: datetime) -> bool:
        since = now - timedelta(seconds=self.cycle_s)
        if sum(at >= since for at in self._members[state].values()) >= self.limit:
            self._raging.add(state)
        return state in self._raging


def entered_at(problem: Mapping[str, Any], now: datetime) -> datetime:
    """When a problem came to its present state; a clock that was ahead counts as now."""
    return min(parse_iso(problem.get("entered", problem["first_seen"])), now)


def storms_among(entered: Mapping[State, Mapping[str, datetime]], total: int, cycle_s: float) -> list[State]:
    """The states that enough of the tenants entered within one cycle, whenever that was."""
    limit, cycle = limit_of(total), timedelta(seconds=cycle_s)
    found = []
    for state, members in entered.items():
        times = sorted(members.values())
        if any(last - first <= cycle for first, last in zip(times, times[limit - 1 :], strict=False)):
            found.append(state)
    return found


def is_over(members: int, total: int) -> bool:
    """Whether so few tenants are left in a state that its storm has passed."""
    return members < (limit_of(total) + 1) // 2


def limit_of(total: int) -> int:
    """The least number of so many tenants that is a storm."""
    return max(LEAST, int(total * SHARE) + 1)


def storm_fault(state: State, names: Sequence[str], total: int) -> Fault:
    """The one problem that stands for those of all these tenants."""
    kind, reason = state
    return Fault(
        "connector.problem",
        reason,
        f"tenants:{kind}:{reason}",
        f"Problem: {len(names)} of {total} tenants at once: {reason} ({kind})",
        detail=", ".join(names[:NAMED]),
        hint="look for what they share: the credential, the proxy, the service; `securescore check` groups them",
        data={"tenants": {"count": len(names), "total": total, "first": list(names[:NAMED])}},
    )
