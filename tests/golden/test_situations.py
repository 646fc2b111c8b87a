"""Day-to-day situations and the events they must give (situations/*.yaml): the engine's documentation by example.

Every file runs through the real poller, engine and memory; only the source and the store are small fakes. The notation:

    title       one line
    rules       keys of ChangesConfig, `targets`, `exceptions`, `language` and `baseline` (a baseline file), where they
                differ from the defaults
    catalogue   id → fields of Profile (`max` for max_score); `updates` lists [state, at, by, comment, assigned_to]
    reads       what each poll finds, in order:
        at          the moment of the poll
        days        day → {control → score, or its fields; $score, $max, $services, $users, $flags, $stripped: the
                    day's own}, or `unchanged` (default), `empty`, or why they could not be read ("partial", …).
                    As from Graph, only the newest day of a read keeps evidence (count, total, on, status);
                    `keeps_detail: true` leaves it everywhere (saved files).
        documents   instead of `days`: secureScore documents as Graph sends them, given to the real parser
        catalogue   id → changed fields, null = gone; or `unchanged`, or the reason why it could not be read
        language, rules   changed configuration from here on;   approve: true   the operator runs accept-snapshot first
        incomplete: true  the catalogue is only partly there;   fails: denied | unavailable | wrong_tenant
    ignore      types that are not told apart (default: the daily observations)
    expect      every other event, in order: `type`, `subject`, `read` (number of the poll), and keys of `data`
                (dotted paths). Mappings match in part, everything else exactly; "#2" stands for the id of the second
                expected event.

A control's percentage and the day's totals are computed from the catalogue (10 points where it says nothing).
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve

from connector.clock import SimulatedClock, parse_iso
from connector.config.baseline import read_baseline, with_baseline
from connector.config.values import ChangesConfig, ExceptionsConfig, TargetsConfig, TenantConfig
from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, WrongTenant
from connector.mapping.resources import load_data
from connector.model import (
    STREAM_OF_TYPE,
    Absent,
    Control,
    Day,
    Event,
    Known,
    Profile,
    Snapshot,
    StateUpdate,
    Unchanged,
)
from connector.observe import explain, memory
from connector.observe.poller import Poller
from connector.observe.severity import SeverityRules
from connector.ports import Source, State
from connector.report.words import CAUSES
from connector.sources.days import parse_days
from tests.golden import samples

TENANT = "11111111-1111-1111-1111-111111111111"
FILES = sorted((Path(__file__).parent / "situations").glob("*.yaml"))
DAILY = ["score.observed", "control.observed"]
KEYS = {"title", "rules", "catalogue", "reads", "ignore", "expect"}
READ_KEYS = {
    *("at", "days", "keeps_detail", "documents", "catalogue", "language", "rules", "approve", "incomplete", "fails"),
}


# --------------------------------------------------------------------------------------------------------- notation


def text(value: Any) -> str:
    """YAML turns dates and moments into values; the engine wants their text."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, date) else str(value)


def profile(name: str, fields: Mapping[str, Any]) -> Profile:
    given = dict(fields)
    given["max_score"] = given.pop("max", 10.0)
    given["threats"] = tuple(given.get("threats", ()))
    names = ("state", "at", "by", "comment", "assigned_to")
    rows = [[None if v is None else text(v) for v in entry] for entry in given.get("updates", ())]
    given["updates"] = tuple(StateUpdate(**dict(zip(names, row, strict=False))) for row in rows)  # type: ignore[arg-type]
    return Profile(id=name, title=given.pop("title", name), **given)


def day(date_: str, notation: Mapping[str, Any], catalogue: Mapping[str, Any], *, detailed: bool) -> Day:
    own = {k: v for k, v in notation.items() if k.startswith("$")}
    detailed = detailed and not own.pop("$stripped", False)
    controls = {}
    for name, value in notation.items():
        if name.startswith("$"):
            continue
        known = catalogue.get(name) or {}
        fields = dict(value) if isinstance(value, dict) else {"score": value}
        fields = {"on" if key is True else key: v for key, v in fields.items()}  # YAML takes the word for a truth
        score, top = fields.pop("score"), known.get("max", 10.0)
        percent = fields.pop("percent", None if score is None or not top else round(100.0 * score / top, 2))
        category = fields.pop("category", known.get("category", "Identity"))
        controls[name] = Control(name, category, score, percent, **(fields if detailed else {}))
    tops = [(catalogue.get(name) or {}).get("max", 10.0) for name in controls]
    return Day(
        id=f"{TENANT}_{date_}",
        day=date_,
        score=own.pop("$score", round(sum(c.score or 0.0 for c in controls.values()), 4)),
        max_score=own.pop("$max", float(sum(tops))),
        controls=controls,
        services=tuple(sorted(own.pop("$services", ()))),
        active_users=own.pop("$users", None),
        flags=tuple(own.pop("$flags", ())),
        detailed=detailed,
        **own,  # an unknown $key is refused here
    )


# ------------------------------------------------------------------------------------------------------------ fakes


class Scripted:
    """A source that holds what the situation says."""

    name = "graph"

    def __init__(self, snapshot: Snapshot | SecureScoreError) -> None:
        self.snapshot = snapshot

    async def read(self, known: Known) -> Snapshot:
        if isinstance(self.snapshot, SecureScoreError):
            raise self.snapshot
        return self.snapshot

    async def close(self) -> None: ...


class Kept:
    """The part of a store that the poller uses."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.events: list[Event] = []

    async def load(self, tenant_id: str) -> State | None:
        return self.state

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return {tenant_id: await self.load(tenant_id) for tenant_id in tenant_ids}

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        assert state.generation == (self.state.generation if self.state else 0)
        self.state = evolve(state, generation=state.generation + 1)
        self.events += events
        return self.state


class Situation:
    """Plays the reads of one file; `told` holds (number of the read, event)."""

    def __init__(self, script: Mapping[str, Any]) -> None:
        assert set(script) <= KEYS, f"unknown keys {set(script) - KEYS}"
        self.script = script
        self.rules = dict(script.get("rules", {}))
        self.catalogue: dict[str, Any] = {k: v or {} for k, v in script.get("catalogue", {}).items()}
        self.store = Kept()
        self.told: list[tuple[int, Event]] = []
        data = load_data("severity")
        self.severity = SeverityRules(tuple(data["rules"]), int(data["default"]))

    async def play(self) -> list[tuple[int, Event]]:
        for number, read in enumerate(self.script["reads"], 1):
            assert set(read) <= READ_KEYS, f"unknown keys {set(read) - READ_KEYS}"
            self.rules.update(read.get("rules", {}))
            self.rules.update({"language": read["language"]} if "language" in read else {})
            if read.get("approve"):
                assert self.store.state is not None
                approved = memory.approve(self.store.state)
                assert approved is not None, "nothing is being refused"
                self.store.state = approved
            snapshot = self.snapshot(read)
            await self.poll(text(read["at"]), snapshot)
            self.told += [(number, e) for e in self.store.events]
            self.store.events = []
            if isinstance(snapshot, Snapshot):
                await self.poll(text(read["at"]), snapshot)
                again = [f"{e.type} {e.subject}" for e in self.store.events]
                assert not again, f"read {number}, read once more, tells {again}"
        return self.told

    async def poll(self, at: str, snapshot: Snapshot | SecureScoreError) -> None:
        async def open_source(_: TenantConfig) -> Source:
            return Scripted(snapshot)

        rules = dict(self.rules)
        language = rules.pop("language", "en-US")
        baseline = rules.pop("baseline", None)
        wanted: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in rules.pop("targets", {}).items()
        }
        targets = TargetsConfig(**wanted)
        exceptions = ExceptionsConfig(**rules.pop("exceptions", {}))
        poller = Poller(
            store=self.store,  # type: ignore[arg-type]  # only what the poller uses
            clock=SimulatedClock(parse_iso(at)),
            open_source=open_source,
            changes=ChangesConfig(**rules),
            severity=self.severity,
        )
        tenant = TenantConfig("contoso", TENANT, language=language, targets=targets, exceptions=exceptions)
        if baseline is not None:
            standards, problems = read_baseline(baseline, "baseline", lambda _: None)
            assert problems == []
            (tenant,) = with_baseline(standards, [tenant])
        outcome = await poller.poll(tenant)
        assert outcome.reason != "bug", outcome

    def snapshot(self, read: Mapping[str, Any]) -> Snapshot | SecureScoreError:
        if "fails" in read:
            return {
                "denied": Denied("403", "grant SecurityEvents.Read.All"),
                "unavailable": Unavailable("503"),
                "wrong_tenant": WrongTenant("the documents belong to another tenant"),
            }[str(read["fails"])]
        catalogue = self._catalogue(read.get("catalogue", {}))
        try:
            days = self._documents(read) if "documents" in read else self._days(read)
        except PartialRead as error:
            days = Absent(error.reason, error.what)
        except WrongTenant as error:
            return error
        partial = {"catalogue": Absent("incomplete", "a page is missing")} if read.get("incomplete") else {}
        return Snapshot("graph", days, catalogue, partial=partial)

    def _days(self, read: Mapping[str, Any]) -> tuple[Day, ...] | Unchanged | Absent:
        days = read.get("days", "unchanged")
        if isinstance(days, str):
            return () if days == "empty" else Unchanged() if days == "unchanged" else Absent(days)
        dates = {text(k): v for k, v in days.items()}
        newest, keeps = max(dates), read.get("keeps_detail", False)
        return tuple(day(d, dates[d], self.catalogue, detailed=keeps or d == newest) for d in sorted(dates))

    def _documents(self, read: Mapping[str, Any]) -> tuple[Day, ...]:
        today = text(read["at"])[:10]
        return tuple(parse_days(read["documents"], TENANT, "secureScores", today))

    def _catalogue(self, moved: Any) -> dict[str, Profile] | Unchanged | Absent:
        if isinstance(moved, str):
            return Unchanged() if moved == "unchanged" else Absent(moved)
        for name, fields in moved.items():
            if fields is None:
                self.catalogue.pop(name)
            else:
                self.catalogue[name] = {**self.catalogue.get(name, {}), **fields}
        return {name: profile(name, fields) for name, fields in self.catalogue.items()}


# ---------------------------------------------------------------------------------------------------------- matching


def differences(expected: Any, actual: Any, ids: Sequence[str], path: str) -> list[str]:
    """Where `actual` does not match in part what is expected, in words."""
    if isinstance(expected, str) and expected.startswith("#"):
        expected = ids[int(expected[1:]) - 1]
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{path}: expected a mapping, is {actual!r}"]
        return [d for k, v in expected.items() for d in differences(v, actual.get(k, "<missing>"), ids, f"{path}.{k}")]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [d for i, (e, a) in pairs for d in differences(e, a, ids, f"{path}[{i}]")]
    expected = text(expected) if isinstance(expected, date) else expected
    return [] if expected == actual else [f"{path}: expected {expected!r}, is {actual!r}"]


def compare(expected: Sequence[Mapping[str, Any]], told: Sequence[tuple[int, Event]]) -> list[str]:
    """Every way in which the told events are not the expected ones."""
    ids = [event.id for _, event in told]
    found = []
    if [e["type"] for e in expected] != [event.type for _, event in told]:
        found.append("other events, or in another order")
    for number, (wanted, (read, event)) in enumerate(zip(expected, told, strict=False), 1):
        for key, value in wanted.items():
            actual: Any = {"type": event.type, "subject": event.subject, "read": read, "time": event.time}.get(key)
            if key not in ("type", "subject", "read", "time"):
                actual = event.data
                for step in key.split("."):
                    actual = actual.get(step, "<missing>") if isinstance(actual, dict) else "<missing>"
            found += differences(value, actual, ids, f"event {number} ({event.type} {event.subject}) {key}")
    return found


def story(told: Sequence[tuple[int, Event]]) -> str:
    lines = []
    for number, (read, event) in enumerate(told, 1):
        cause = event.data.get("cause") or {}
        why = (
            f"   [{cause['label']}, {cause['confidence']}; also {cause['also']}: {cause['evidence']}]" if cause else ""
        )
        lines.append(f"  {number:2} read {read}: {event.type} {event.subject} · {event.data['summary']}{why}")
    return "\n".join(lines) or "  (nothing)"


OPEN = re.compile(r"((?:by_category|by_service|by_tier|labels|detail))\..*")
"""Maps whose keys are data: names of groups, labels of an operator, figures of an average."""

SHOWN_ELSEWHERE = (
    "control.class",
    "control.frameworks",
    "control_scores",
    "graph",
    "cause.parts",
    "contributions[].cause.parts",
)
"""What no sample event carries: few events have it, and the cases of the mappings set it."""


def paths(value: Any, path: str = "") -> set[str]:
    """The dotted paths of every key in what an event says."""
    if isinstance(value, Mapping):
        own = {OPEN.sub(r"\1", f"{path}{key}") for key in value}
        return own | {found for key, inner in value.items() for found in paths(inner, f"{path}{key}.")}
    if isinstance(value, list):
        return {found for inner in value for found in paths(inner, f"{path[:-1]}[].")}
    return set()


@cache
def paths_of_samples() -> frozenset[str]:
    return frozenset(path for name in samples.names() for path in paths(samples.event(name).data))


def check_event(event: Event) -> None:
    """What holds for every event of every situation."""
    json.dumps(event.data, allow_nan=False)
    new = {path for path in paths(event.data) - paths_of_samples() if not path.startswith(SHOWN_ELSEWHERE)}
    assert new == set(), "put these keys into an event of sample_events.yaml: the mappings are held against those"
    assert 0 <= event.severity <= 10
    assert not event.backfilled or event.severity == 0
    if event.type == "score.changed" and event.data["delta"] is not None:
        total = sum(c["delta"] for c in event.data["contributions"]) + event.data["residual"]
        assert round(total, 4) == event.data["delta"], "delta != contributions + residual"
        split = event.data["percent"]
        if split["delta"] is not None:
            assert round(split["numerator"] + split["denominator"], 4) == split["delta"]


# ------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_situation(path: Path) -> None:
    """The situation gives exactly the expected events; read a second time it gives none."""
    script = yaml.safe_load(path.read_text("utf-8"))
    told = await Situation(script).play()
    for _, event in told:
        check_event(event)
    ids = [event.id for _, event in told]
    assert len(ids) == len(set(ids)), "an event was told twice"
    ignored = script.get("ignore", DAILY)
    shown = [(read, event) for read, event in told if event.type not in ignored]
    wrong = compare(script["expect"], shown)
    if wrong:
        listing = "\n".join(f"  - {line}" for line in wrong)
        pytest.fail(f"{path.name}: {script['title']}\n{listing}\nwhat was told:\n{story(shown)}", pytrace=False)


def test_situations_are_many_and_titled() -> None:
    titles = [yaml.safe_load(path.read_text("utf-8"))["title"] for path in FILES]
    assert len(titles) >= 36
    assert len(set(titles)) == len(titles)


def test_situations_show_every_type_the_engine_tells() -> None:
    """Heartbeats, recoveries of sinks, write-backs and reports are made elsewhere; units have their own tests."""
    shown = {e["type"] for path in FILES for e in yaml.safe_load(path.read_text("utf-8"))["expect"]}
    assert set(STREAM_OF_TYPE) - shown == {
        *("connector.heartbeat", "connector.write_back", "connector.report_written"),
        *("unit.added", "unit.removed", "compliance.observed", "compliance.changed"),
    }


def test_situations_show_every_cause() -> None:
    """What the engine can name has its words for people, its place in docs/events.md and a situation that shows it."""
    engine = Path(explain.__file__).parent
    texts = "".join(path.read_text("utf-8") for path in engine.glob("*.py"))
    named = set(re.findall(r'Cause\(\s*"(\w+)"', texts))
    assert named == set(CAUSES), "connector/language/en.json has other causes than the engine names"
    scripts = [yaml.safe_load(path.read_text("utf-8")) for path in FILES]
    shown = {label for script in scripts for wanted in script["expect"] for label in labels(wanted)}
    named -= {"nothing_moved"}  # said of a whole period, in reports
    named -= {"scope", "weight"}  # of units: tests/unit/observe/test_units.py
    assert named - shown == set(), "write a situation"
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
    assert {label for label in named if f"`{label}`" not in page} == set(), "docs/events.md, Causes"


def labels(expected: Any) -> list[str]:
    """The labels of every cause in what is expected of an event."""
    if isinstance(expected, list):
        return [label for one in expected for label in labels(one)]
    if not isinstance(expected, dict):
        return []
    own = [expected["label"]] if "label" in expected else []
    own += [value for key, value in expected.items() if key == "cause.label"]
    return own + [label for value in expected.values() for label in labels(value)]


async def test_harness_sees_a_wrong_expectation() -> None:
    """A harness that accepts everything would make every situation true."""
    script = yaml.safe_load((Path(__file__).parent / "situations" / "two_admins_lose_mfa.yaml").read_text("utf-8"))
    told = [(r, e) for r, e in await Situation(script).play() if e.type not in DAILY]
    assert compare(script["expect"], told) == []
    assert compare([{**script["expect"][0], "delta": 0.5}, *script["expect"][1:]], told)
    assert compare(script["expect"][:-1], told)
    assert compare(list(reversed(script["expect"])), told)
