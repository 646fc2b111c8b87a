"""Second occurrences: what returns after its opposite is no copy of the first, and gets an id of its own. Pure.

An id comes from what was compared, so a fact that returns has the id it had before, and every receiver would drop it.
Therefore the tellings of such facts are counted in memory. What is read twice is not told twice, so it is not counted
twice either.
"""

from collections import Counter
from collections.abc import Sequence

from attrs import evolve

from connector.ids import event_id
from connector.model import Change, StateUpdate
from connector.observe import changes, diff
from connector.observe.baseline import PREFIX
from connector.observe.memory import Memory

LASTING = ("control.state_changed", "tenant.changed", "posture.exception_due")
"""Types whose identity holds no revision of a day, so that they may return at any time."""
WITHIN_A_DAY = ("control.evidence_changed", "profile.added", "profile.removed", "profile.changed")
"""Types that may return while the newest day stays the same; so may deviations from a baseline, told as targets."""
MAX_TELLINGS = 5000
"""How many facts are remembered; those told longest ago are forgotten first."""

Tellings = dict[str, tuple[int, str]]


def counted(memory: Memory, tenant_id: str, told: Sequence[Change], newest_day: str) -> tuple[Tellings, list[Change]]:
    """The tellings to remember, and the changes with their occurrence."""
    tellings = dict(_told_before(memory, tenant_id) if memory.tellings is None else memory.tellings)
    result = []
    for change in told:
        if change.type in LASTING or change.type in WITHIN_A_DAY or change.before.startswith(PREFIX):
            key = _key(tenant_id, change)
            times, _ = tellings.pop(key, (0, ""))
            tellings[key] = (times + 1, "" if change.type in LASTING else change.day)
            change = evolve(change, occurrence=times)  # noqa: PLW2901  # the same change, now counted
        result.append(change)
    kept = {key: value for key, value in tellings.items() if not value[1] or value[1] >= newest_day}
    return dict(list(kept.items())[-MAX_TELLINGS:]), result


def _told_before(memory: Memory, tenant_id: str) -> Tellings:
    """What an older version, which did not count, may have told: the entries of the histories that it knew."""
    found: Tellings = {}
    for profile in (memory.profiles or {}).values():
        seen: Counter[StateUpdate] = Counter()
        for update in diff.ordered_updates(profile):
            identity = f"{changes.entry_identity(update)}#{seen[update]}"
            seen[update] += 1
            if update.at is not None:
                found[event_id(tenant_id, "control.state_changed", profile.id, "", identity)] = (1, "")
    return found


def _key(tenant_id: str, change: Change) -> str:
    return event_id(tenant_id, change.type, change.subject, change.before, change.after)
