"""States that earlier versions stored: read as they are, and polled unchanged they tell nothing.

states/without_tellings.json holds what one tenant's Graph answered, poll by poll, and the parts that the version before
occurrences were counted stored of it: once after `reads`, once after `refused` as well.
"""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from attrs import evolve

from connector.config.values import ChangesConfig, TargetsConfig
from connector.ids import event_id
from connector.model import Change, Snapshot
from connector.observe import memory as remember
from connector.observe.changes import entry_identity
from connector.observe.fold import Observation, Rules, observe
from connector.observe.memory import Memory
from connector.ports import State
from connector.sources.days import parse_days
from connector.sources.profiles import parse_profiles
from tests.fake_graph import TENANT

FOUND = json.loads((Path(__file__).parent / "states" / "without_tellings.json").read_text("utf-8"))
RULES = Rules(TENANT, ChangesConfig(evidence=True), TargetsConfig(percent_min=99.0, controls=("A",)))


def stored(name: str) -> Memory:
    return remember.decode(State(1, {part: b64decode(body) for part, body in FOUND[name].items()}))


def poll(memory: Memory, documents: list[Any], now: str, profiles: Any = None) -> Observation:
    days = tuple(parse_days(documents, TENANT, "secureScores", now[:10]))
    catalogue = parse_profiles(FOUND["profiles"] if profiles is None else profiles, TENANT, "profiles").profiles
    return observe(memory, Snapshot("graph", days, catalogue), RULES, now)


def kinds(seen: Observation) -> list[str]:
    return [change.type for change in seen.changes]


def an_id(change: Change) -> str:
    return event_id(TENANT, change.type, change.subject, change.before, change.after, change.occurrence)


def test_polled_unchanged_it_tells_nothing() -> None:
    """Even where entries of one second now keep their order, and nothing is known of what was told."""
    memory, (_, documents) = stored("state"), FOUND["reads"][-1]
    assert memory.tellings is None
    seen = poll(memory, documents, "2026-11-02T13:00:00Z")
    assert seen.changes == ()
    assert poll(seen.memory, documents, "2026-11-02T14:00:00Z") == evolve(
        seen, memory=evolve(seen.memory, seen_at="2026-11-02T14:00:00Z")
    )
    again = remember.decode(remember.encode(None, Memory(), seen.memory, {}))
    assert again == seen.memory


def test_a_waiting_refusal_goes_on_waiting() -> None:
    memory, (_, documents) = stored("refusing"), FOUND["refused"]
    seen = poll(memory, documents, "2026-11-04T11:59:59Z")
    assert (kinds(seen), seen.memory.refusal is not None) == ([], True)
    seen = poll(seen.memory, documents, "2026-11-04T12:00:00Z")
    assert {"feed.recovered", "score.changed", "control.removed"} <= set(kinds(seen))


def test_what_it_told_counts_as_told() -> None:
    """An entry that an earlier version told, gone and back, is a second occurrence."""
    memory, (_, documents) = stored("state"), FOUND["reads"][-1]
    first = event_id(TENANT, "control.state_changed", "A", "", entry_of(memory))
    without = [evolve_updates(profile, [{"state": "Default"}]) for profile in FOUND["profiles"]]
    seen = poll(memory, documents, "2026-11-02T13:00:00Z", without)
    seen = poll(seen.memory, documents, "2026-11-02T14:00:00Z")
    told = [an_id(change) for change in seen.changes if change.type == "control.state_changed"]
    assert told
    assert first not in told


def evolve_updates(profile: dict[str, Any], updates: list[Any]) -> dict[str, Any]:
    return {**profile, "controlStateUpdates": updates} if profile["id"] == "A" else profile


def entry_of(memory: Memory) -> str:
    assert memory.profiles is not None
    return f"{entry_identity(memory.profiles['A'].updates[0])}#0"
