"""A tenant of Graph as the version before units polled it: its state is read and polled as ever, its ids are the same.

states/of_one_unit.json holds what saved answers said, poll by poll, which events that version committed of them, by
their ids, and the parts that it stored.
"""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from connector.app import severity_rules
from connector.clock import SimulatedClock, parse_iso
from connector.config.values import ChangesConfig, TargetsConfig, TenantConfig
from connector.model import Event
from connector.observe import memory
from connector.observe.poller import Poller, PollOutcome
from connector.ports import Query, Source, Start, State
from connector.sources.files import FilesSource
from connector.stores.sqlite import SqliteStore, open_store

FOUND = json.loads((Path(__file__).parent / "states" / "of_one_unit.json").read_text("utf-8"))
TENANT = FOUND["tenant"]


async def opened(folder: Path) -> SqliteStore:
    store = await open_store(folder / "s.db", clock=SimulatedClock(parse_iso("2026-11-21T09:00:00Z")))
    await store.attach([Start("siem")])
    (folder / "answers").mkdir()
    return store


async def poll(store: SqliteStore, folder: Path, at: str, files: dict[str, Any]) -> PollOutcome:
    clock, answers = SimulatedClock(parse_iso(at)), folder / "answers"
    for name, document in files.items():
        (answers / name).write_text(json.dumps(document))

    async def source(_: TenantConfig) -> Source:
        return FilesSource(path=answers, tenant_id=TENANT, clock=clock)

    targets = TargetsConfig(percent_min=60.0, controls=("A",))
    tenant = TenantConfig("contoso", TENANT, {"customer": "c"}, source="files", path=str(answers), targets=targets)
    return await Poller(store, clock, source, ChangesConfig(evidence=True), severity_rules()).poll(tenant)


async def test_the_same_answers_give_the_same_ids_and_neither_state_nor_events_know_of_units(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for one in FOUND["polls"]:
        assert (await poll(store, tmp_path, one["at"], one["files"])).status == "ok"
    events: list[Event] = await store.history(Query())
    assert [event.id for event in events] == FOUND["events"]
    assert not [event for event in events if "unit" in event.data or event.entry != TENANT]
    state = await store.load(TENANT)
    assert state is not None
    assert state.parts.keys() == FOUND["state"].keys()
    then = State(1, {part: b64decode(body) for part, body in FOUND["state"].items()})
    head = memory.head(state)
    assert head.pop("trend") == {"2026-11-22": 60.0}  # what that version did not leave for `status`
    assert head == memory.head(then)
    assert memory.decode(state) == memory.decode(then)
    await store.close()


async def test_a_state_of_the_version_before_is_polled_unchanged_without_an_event(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    parts = {part: b64decode(body) for part, body in FOUND["state"].items()}
    await store.commit(TENANT, State(0, parts), [])
    files: dict[str, Any] = {}
    for one in FOUND["polls"]:
        files |= one["files"]
    for at in ("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"):
        assert (await poll(store, tmp_path, at, files)).status == "unchanged"
    anew = {**parts, "head": json.dumps({**json.loads(parts["head"]), "pages": {}}).encode()}
    state = await store.load(TENANT)
    assert state is not None
    await store.commit(TENANT, State(state.generation, anew), [])
    assert (await poll(store, tmp_path, "2026-11-22T13:00:00Z", files)).status == "ok", "read anew, byte by byte"
    assert await store.history(Query()) == []
    after = await store.load(TENANT)
    assert after is not None
    assert {p: b for p, b in after.parts.items() if p != "head"} == {p: b for p, b in parts.items() if p != "head"}
    await store.close()
