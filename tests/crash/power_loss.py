"""What must be true of a disk after a power cut, and of the connector that goes on from it.

The disk is built from a recording (scene.py, disk.py). It is opened by the real store, the real file sink's lines are
read, the archive is verified; from some disks the real `once` goes on. Which recordings and how many: the tests.
"""

import json
import random
import shutil
from collections import Counter
from pathlib import Path

from attrs import Factory, define

from connector.formats import cloudevents
from connector.model import Event
from connector.observe.evidence import SUMS, Evidence
from connector.ports import Query
from tests.crash.disk import Disk, Tree, states
from tests.crash.order import out_of_order
from tests.crash.recording import Note
from tests.crash.scene import Scene, open_state
from tests.fakes.daemon import ask

GONE_ON = 50
"""From one disk in so many the real `once` goes on, if it is asked for."""
SINKS = ("hook", "out")


def lay(tree: Tree, folder: Path) -> None:
    """Put a crash state into an empty folder."""
    folder.mkdir()
    for path, body in tree.items():
        if body is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(body)
            (folder / path).chmod(0o600)


@define
class Outside:
    """What the world knows after some notes: what the webhook heard, and how many events polls said they committed."""

    heard: dict[str, set[str]] = Factory(dict)
    said: Counter[str] = Factory(Counter)
    _unread: bytes = b""

    def learn(self, note: Note) -> None:
        if note.kind == "h":
            for event in json.loads(note.data):
                self.heard.setdefault(event["id"], set()).add(json.dumps(event))
        elif note.kind == "s":
            *lines, self._unread = (self._unread + note.data).split(b"\n")
            for line in lines:
                told = json.loads(line) if line.startswith(b"{") else {}
                if told.get("event") == "poll.done":
                    self.said[told["tenant"]] += told["events"]


@define
class Truth:
    """How the recorded life ended: every event that was ever committed, in order."""

    events: dict[str, Event]
    ids: dict[str, str]
    """The line of each event → its id."""

    @classmethod
    async def of(cls, scene: Scene) -> "Truth":
        store = await open_state(scene.folder, scene.store)
        events = {event.id: event for event in await store.history(Query())}
        await store.close()
        return cls(events, {cloudevents.dumps(event): known for known, event in events.items()})

    def tenants(self) -> dict[str, str]:
        """Id → name."""
        of_tenants = (event.data["tenant"] for event in self.events.values() if event.tenant_id)
        return {tenant["id"]: tenant["name"] for tenant in of_tenants}


def lines_of(path: Path) -> list[str]:
    """The whole lines of the file sink's file. What a power cut tore is cut when the sink goes on."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [line.decode() for line in lines if b"\0" not in line]


async def check(home: Path, store_kind: str, truth: Truth, outside: Outside) -> None:
    """A crash state keeps what was promised. Opening it is what the connector does first."""
    written = dict.fromkeys(truth.ids[line] for line in lines_of(home / "events.jsonl"))  # KeyError: no true line
    assert out_of_order(truth.events, written) == [], "first arrivals in the order of their commits"

    store = await open_state(home, store_kind, writer=True)
    try:
        assert not [*await store.verify(), *await store.flaws()], "a power cut is no damage, and no older copy"
        kept = await store.history(Query())
        known = {event.id for event in kept}
        assert len(known) == len(kept)
        assert all(truth.events[event.id] == event for event in kept), "committed as it was"
        assert known >= written.keys(), "what the file has is committed"
        assert known >= outside.heard.keys(), "what the webhook heard is committed"
        of_tenants = Counter(event.tenant_id for event in kept)
        for tenant_id, name in truth.tenants().items():
            assert of_tenants[tenant_id] >= outside.said[name], "what a poll acknowledged is there"
            assert await store.load(tenant_id) or not of_tenants[tenant_id], "events come with their state"
        for sink, arrived in zip(SINKS, (outside.heard.keys(), written.keys()), strict=True):
            waiting = {pending.event.id for pending in await store.due(sink, 100_000)} if known else set()
            assert known - waiting <= arrived, f"settled means delivered: {sink}"
    finally:
        await store.close()

    for root in home.rglob("evidence"):
        for tenant in root.iterdir():
            found = await Evidence(root, 400).verified(tenant.name, [day.name for day in tenant.iterdir()])
            assert {state for *_, state in found} <= {"verified", "unlisted"}, "nobody altered or took evidence"
    for tenant_id, name in truth.tenants().items():
        assert not outside.said[name] or list(home.glob(f"evidence/{tenant_id}/*/{SUMS}")), "what a poll kept is there"


async def go_on(home: Path, scene: Scene, outside: Outside) -> None:
    """The real `once` from a crash state: all is delivered, and no id has come with two contents."""
    scene.hook.contents = {known: set(texts) for known, texts in outside.heard.items()}
    before = lines_of(home / "events.jsonl")
    await ask(home, "once")
    store = await open_state(home, scene.store)
    kept = {event.id: cloudevents.dumps(event) for event in await store.history(Query())}
    assert all(sink.backlog == sink.parked == 0 for sink in (await store.stats()).sinks)
    assert not await store.flaws(), "nothing is wrong, and nothing is told to be"
    await store.close()
    lines = (home / "events.jsonl").read_text().splitlines()
    assert set(lines) == set(kept.values()), "nothing is missing in the file, nothing is torn, no id has two contents"
    assert set(before) <= set(lines)
    assert scene.hook.contents == {known: {json.dumps(json.loads(text))} for known, text in kept.items()}


@define
class Figures:
    """A series of power cuts. `notes`: the length of the recording; `gone_on`: from how many `once` went on."""

    store: str
    notes: int = 0
    states: int = 0
    gone_on: int = 0
    events: int = 0


async def lose_power(scene: Scene, start: dict[str, Disk], count: int, scratch: Path, *, go: bool) -> Figures:
    notes, truth = scene.recording.notes(), await Truth.of(scene)
    figures = Figures(scene.store, notes=len(notes), events=len(truth.events))
    home = scene.folder  # where it was: a state that lies elsewhere is told
    home.rename(scratch / "lived")
    for model, disk in start.items():
        draw, outside, learnt = random.Random(f"{scene.store} {model}"), Outside(), 0
        for after, manner, tree in states(disk, notes, count, draw):
            while learnt <= after:
                outside.learn(notes[learnt])
                learnt += 1
            lay(tree, home)
            try:
                await check(home, scene.store, truth, outside)
                if go and figures.states % GONE_ON == 0:
                    await go_on(home, scene, outside)
                    figures.gone_on += 1
            except BaseException as error:
                error.add_note(f"{scene.store}, {model}, {manner}, after note {after} of {len(notes)}")
                raise
            shutil.rmtree(home)
            figures.states += 1
    return figures
