"""The contract every store keeps (ports.Store and ports.Operator), as tests: a store's own test file gives a `Home`.

Nothing about any particular store. A store adds about fifteen lines:

    from tests.contract.store_contract import Home, StoreContract

    class Folder:  # fits Home
        async def open(self) -> AnyStore: ...
        async def beside(self) -> AnyStore: ...

    class TestMyStore(StoreContract):
        @pytest.fixture
        def home(self, tmp_path: Path) -> Home: ...
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import pytest
import pytest_asyncio
from attrs import Factory, define, evolve

from connector.errors import Conflict, StoreError
from connector.ids import event_id
from connector.model import STREAM_OF_TYPE, Event
from connector.ports import Flaw, Operator, Parked, Pending, Query, Settlement, SinkStats, Start, State, Store

CONTOSO = "11111111-1111-1111-1111-111111111111"
FABRIKAM = "22222222-2222-2222-2222-222222222222"
AZURE = f"{CONTOSO}.defender_cloud"
T0 = "2026-11-22T09:00:00Z"
T1 = "2026-11-22T09:01:00Z"
T2 = "2026-11-22T09:02:00Z"
LATER = "2026-11-23T09:00:00Z"
AFTER_ALL = "2027-01-01T00:00:00Z"

HOSTILE = {
    "nul": "a\x00b\x00",
    "controls": "a\x01\x1b[31m\r\n\td\x7f",
    "quotes": "'\"`;--); DROP TABLE event;",
    "emoji": "\U0001f469\u200d\U0001f4bb \u202eabc\u202c",
    "lone_surrogates": "a\ud800b\udfffc",
    "separators": "a\u2028b\u0085c",
    "json": '"},{"id":"x"}]',
    "paths": "../../etc/passwd%2f..",
    "globs": "[*]?{}!^",
    "empty": "",
    "long": "\u00e4" * 1_000_000,
}
"""Texts that break careless storage. Each comes back as it was given."""


class AnyStore(Store, Operator, Protocol):
    """Both halves of a store."""


class Home(Protocol):
    """Where one store lives, empty at first; what is committed there stays when handles are closed."""

    async def open(self) -> AnyStore:
        """The one writer."""
        ...

    async def beside(self) -> AnyStore:
        """A second handle while the writer is open, as an operator's command in another process has it."""
        ...

    async def copy(self) -> object:
        """A backup of all that is stored, made while no handle is open."""
        ...

    async def restore(self, copy: object) -> None:
        """Put a backup in the place of all that is stored."""
        ...


def event(
    number: int,
    tenant: str | None = CONTOSO,
    type: str = "control.score_changed",  # noqa: A002 - the field's name
    subject: str | None = None,
    observed_at: str = T0,
    **data: Any,
) -> Event:
    """Event `number` of a tenant; None = the connector itself. The same arguments give the same event."""
    return Event(
        id=event_id(tenant or "connector", type, subject or "", "", str(number)),
        source="urn:secure-score:connector:test" if tenant is None else f"urn:secure-score:tenant:{tenant}",
        type=type,
        subject=f"Control{number}" if subject is None else subject,
        time=observed_at,
        data={
            "stream": STREAM_OF_TYPE[type],
            "day": observed_at[:10],
            "observed_at": observed_at,
            "occurred_at": None,
            "backfilled": False,
            "tenant": None if tenant is None else {"id": tenant, "name": "contoso", "labels": {}},
            "severity": 3,
            "number": number,
            **data,
            **({"source": "defender_cloud"} if "unit" in data else {}),
        },
    )


def unit(name: str) -> dict[str, Any]:
    """What an event says of a subscription."""
    return {"kind": "subscription", "id": name, "name": None, "score": "ascScore"}


def events(numbers: Iterable[int], **fields: Any) -> list[Event]:
    return [event(number, **fields) for number in numbers]


async def add(store: AnyStore, new: Sequence[Event], tenant: str = CONTOSO) -> State:
    """Commit events on top of what is stored."""
    return await store.commit(tenant, await store.load(tenant) or State(), new)


def numbers(pending: Iterable[Pending | Parked]) -> list[int]:
    return [int(p.event.data["number"]) for p in pending]


def seqs(pending: Iterable[Pending], wanted: Iterable[int] | None = None) -> list[int]:
    """Their seqs, of all or of the wanted event numbers."""
    chosen = None if wanted is None else set(wanted)
    return [p.seq for p in pending if chosen is None or p.event.data["number"] in chosen]


async def settle(
    store: AnyStore,
    sink: str,
    *,
    accept: Iterable[int] = (),
    park: Mapping[int, str] | None = None,
    skip: Iterable[int] = (),
    at: str = T1,
    first_sent: str = T0,
    limit: int = 1000,
    tenant: str | None = None,
) -> list[Pending]:
    """One turn of a delivery loop, by event number: what is due and not skipped is offered. Returns what was due."""
    due = await store.due(sink, limit, tenant)
    skipped = frozenset(seqs(due, skip))
    words = park or {}
    await store.settle(
        sink,
        Settlement(
            at=at,
            first_sent=first_sent,
            attempted=tuple(p.seq for p in due if p.seq not in skipped),
            accepted=frozenset(seqs(due, accept)),
            skipped=skipped,
            parked={p.seq: words[p.event.data["number"]] for p in due if p.event.data["number"] in words},
        ),
    )
    return due


async def take_all(store: AnyStore, sink: str, limit: int = 1000) -> list[int]:
    """A sink that takes everything: the event numbers in the order they came."""
    taken: list[int] = []
    while due := await store.due(sink, limit):
        taken += numbers(due)
        everything = tuple(seqs(due))
        await store.settle(sink, Settlement(T1, T0, everything, accepted=frozenset(everything)))
    return taken


async def stats_of(store: AnyStore, sink: str) -> SinkStats:
    return next(s for s in (await store.stats()).sinks if s.name == sink)


async def traced(store: AnyStore, number: int, sink: str = "siem") -> Mapping[str, Any]:
    return next(line for line in await store.trace(event(number).id) if line["sink"] == sink)


@define
class Model:
    """What one sink must be offered, kept the plainest way: a word for each event number.

    Words: due, again, parked, done (settled; also what was never offered).
    """

    words: dict[int, str] = Factory(dict)
    sent: dict[int, int] = Factory(dict)

    def due(self) -> list[int]:
        first = sorted(n for n, word in self.words.items() if word == "due")
        return first or sorted(n for n, word in self.words.items() if word == "again")

    def count(self, *words: str) -> int:
        return sum(word in words for word in self.words.values())


class StoreContract:
    """Inherit and give `home`."""

    @pytest_asyncio.fixture
    async def store(self, home: Home) -> AsyncIterator[AnyStore]:
        """The writer, with one sink "siem" attached before anything was committed."""
        store = await home.open()
        await store.attach([Start("siem")])
        yield store
        await store.close()

    # ------------------------------------------------------------------------------------------- state and events

    async def test_a_new_store_is_empty(self, home: Home) -> None:
        store = await home.open()
        assert await store.load(CONTOSO) is None
        assert await store.tenants() == []
        assert await store.history(Query()) == []
        assert await store.parked() == []
        assert await store.trace("no-such-id") == []
        assert await store.purge(AFTER_ALL) == 0
        assert await store.forget(CONTOSO) == 0
        assert await store.unpark([], None, "retry") == 0
        stats = await store.stats()
        assert (stats.events, stats.sinks) == (0, ())
        await store.attach([])
        await store.close()

    async def test_commit_keeps_state_and_events_together(self, store: AnyStore) -> None:
        committed = await store.commit(CONTOSO, State(parts={"head": b"\x00\xff"}), events([1, 2]))
        assert committed == State(1, {"head": b"\x00\xff"})
        assert await store.load(CONTOSO) == committed
        assert await store.history(Query()) == events([1, 2])
        assert await store.tenants() == [CONTOSO]

    async def test_a_commit_replaces_all_parts(self, store: AnyStore) -> None:
        first = await store.commit(CONTOSO, State(parts={"same": b"1", "changes": b"1", "goes": b"1"}), [])
        second = await store.commit(CONTOSO, State(first.generation, {"same": b"1", "changes": b"2", "new": b""}), [])
        assert second.generation == first.generation + 1
        assert await store.load(CONTOSO) == State(second.generation, {"same": b"1", "changes": b"2", "new": b""})

    async def test_a_state_that_was_read_is_replaced_in_what_differs(self, store: AnyStore) -> None:
        parts = {"same": b"1", "changes": b"1", "goes": b"1", "other": b"2"}
        await store.commit(CONTOSO, State(parts=parts), [])
        read = await store.load(CONTOSO)
        assert read is not None
        # An object that is there under another name, and one that says the same, are no reason to leave anything out.
        wanted = {
            "same": read.parts["same"],
            "changes": read.parts["other"],
            "other": bytes(bytearray(b"2")),
            "new": b"",
        }
        second = await store.commit(CONTOSO, evolve(read, parts=wanted), [])
        assert await store.load(CONTOSO) == State(second.generation, wanted)
        third = await store.commit(CONTOSO, evolve(second, parts={**wanted, "new": b"3"}), [])
        assert await store.load(CONTOSO) == State(third.generation, {**wanted, "new": b"3"})

    async def test_heads_are_states_without_their_other_parts(self, home: Home, store: AnyStore) -> None:
        await store.commit(CONTOSO, State(parts={"head": b"1", "other": b"2"}), events([1]))
        await store.commit(FABRIKAM, State(parts={"other": b"3"}), [])
        await store.commit(AZURE, State(parts={"head": b"4"}), [])
        await store.forget(AZURE)
        wanted = {
            CONTOSO: State(1, {"head": b"1"}, whole=False),
            FABRIKAM: State(1, {}, whole=False),
            AZURE: None,
            "nobody": None,
            HOSTILE["lone_surrogates"]: None,
        }
        other = await home.beside()
        for handle in (store, other):
            assert await handle.heads([]) == {}
            assert await handle.heads(list(wanted)) == wanted
            for tenant_id, state in wanted.items():
                assert await handle.heads([tenant_id]) == {tenant_id: state}
        await other.close()

    async def test_only_the_parts_that_are_asked_for_are_loaded(self, home: Home, store: AnyStore) -> None:
        parts = {"head": b"1", "days/2026-10": b"2", "days/2026-11": b"3", HOSTILE["quotes"]: b"4"}
        await store.commit(CONTOSO, State(parts=parts), events([1]))
        other = await home.beside()
        for handle in (store, other):
            for names in ({"head"}, {"days/2026-10", HOSTILE["quotes"]}, {"unheard of"}, set(), set(parts)):
                found = await handle.load(CONTOSO, names.__contains__)
                assert found == State(1, {name: parts[name] for name in parts if name in names}, whole=False)
            assert await handle.load("nobody", lambda _: True) is None
        await other.close()
        some = await store.load(CONTOSO, lambda part: part.startswith("days/"))
        assert some is not None
        await store.commit(CONTOSO, evolve(some, parts={**some.parts, "days/2026-11": b"5"}), [])
        assert await store.load(CONTOSO) == State(2, {**parts, "days/2026-11": b"5"}), "the others stay"

    async def test_a_commit_of_a_head_leaves_the_other_parts(self, home: Home, store: AnyStore) -> None:
        await store.commit(CONTOSO, State(parts={"head": b"1", "other": b"2", "days/2026-11": b"3"}), events([1]))
        read = (await store.heads([CONTOSO]))[CONTOSO]
        assert read is not None
        second = await store.commit(CONTOSO, evolve(read, parts={"head": b"4"}), events([2]))
        assert second == State(2, {"head": b"4"}, whole=False)
        third = await store.commit(CONTOSO, evolve(second, parts={"head": b"5"}), [])
        with pytest.raises(Conflict):
            await store.commit(CONTOSO, evolve(second, parts={"head": b"6"}), events([3]))
        wanted = State(third.generation, {"head": b"5", "other": b"2", "days/2026-11": b"3"})
        assert await store.load(CONTOSO) == wanted
        await store.close()
        store = await home.open()
        assert await store.load(CONTOSO) == wanted
        assert await store.heads([CONTOSO]) == {CONTOSO: State(third.generation, {"head": b"5"}, whole=False)}
        assert numbers(await store.due("siem", 10)) == [1, 2]
        whole = await store.load(CONTOSO)
        assert whole is not None
        await store.commit(CONTOSO, evolve(whole, parts={"head": b"7"}), [])
        assert await store.load(CONTOSO) == State(4, {"head": b"7"}), "of a whole state what is not carried goes"
        await store.close()

    async def test_an_event_already_there_is_left_as_it_is(self, store: AnyStore) -> None:
        await add(store, [event(1, wording="first")])
        await add(store, [event(1, wording="second"), event(2), event(2, wording="again")])
        assert [e.data.get("wording") for e in await store.history(Query())] == ["first", None]
        assert await take_all(store, "siem") == [1, 2]
        await add(store, [event(1, wording="third")])
        assert await store.due("siem", 10) == [], "a known event is no news, settled or not"
        assert (await store.stats()).events == 2

    async def test_a_stale_generation_changes_nothing(self, store: AnyStore) -> None:
        first = await store.commit(CONTOSO, State(parts={"a": b"1"}), events([1]))
        for generation in (0, first.generation + 1):
            with pytest.raises(Conflict) as caught:
                await store.commit(CONTOSO, State(generation, {"a": b"2"}), events([2]))
            assert caught.value.hint
        with pytest.raises(Conflict):
            await store.commit(FABRIKAM, State(1, {}), events([3], tenant=FABRIKAM))
        assert await store.load(CONTOSO) == first
        assert await store.tenants() == [CONTOSO]
        assert await store.history(Query()) == events([1])
        assert numbers(await store.due("siem", 10)) == [1]

    async def test_of_two_handles_one_wins_whole(self, home: Home, store: AnyStore) -> None:
        """Both loaded the same generation and commit at once: state and events are the winner's."""
        other = await home.beside()
        for turn in range(10):
            loaded = await store.load(CONTOSO) or State()
            assert await other.load(CONTOSO) in (loaded, None)
            results = await asyncio.gather(
                store.commit(CONTOSO, State(loaded.generation, {"who": b"a"}), [event(turn, who="a", subject="a")]),
                other.commit(CONTOSO, State(loaded.generation, {"who": b"b"}), [event(turn, who="b", subject="b")]),
                return_exceptions=True,
            )
            assert sorted(type(r).__name__ for r in results) == ["Conflict", "State"]
            state = await store.load(CONTOSO)
            assert state is not None
            newest = (await store.history(Query(newest_first=True, limit=1)))[0]
            assert state.parts["who"].decode() == newest.data["who"]
        assert (await store.stats()).events == 10
        await other.close()

    async def test_tenants_are_apart(self, store: AnyStore) -> None:
        await store.commit(CONTOSO, State(parts={"a": b"c"}), events([1]))
        await store.commit(FABRIKAM, State(parts={"a": b"f"}), events([1], tenant=FABRIKAM))
        assert await store.tenants() == sorted([CONTOSO, FABRIKAM])
        contoso = await store.load(CONTOSO)
        assert contoso is not None
        assert contoso.parts == {"a": b"c"}
        assert await store.history(Query(tenant_id=FABRIKAM)) == events([1], tenant=FABRIKAM)

    async def test_entries_of_one_tenant_are_apart(self, store: AnyStore) -> None:
        """A tenant's own entry and one of several units share the tenant's GUID, and nothing else."""
        await store.attach([Start("siem")])
        own, azure = [event(1)], [event(2, unit=unit("a")), event(3, unit=unit("b"), subject="C")]
        await add(store, own)
        await add(store, azure, AZURE)
        assert sorted(await store.tenants()) == [CONTOSO, AZURE]
        assert await store.history(Query(tenant_id=CONTOSO)) == own
        assert await store.history(Query(tenant_id=AZURE)) == azure
        assert numbers(await store.due("siem", 9, CONTOSO)) == [1]
        assert numbers(await store.due("siem", 9, AZURE)) == [2, 3]
        assert numbers(await store.due("siem", 9, without=[AZURE])) == [1]
        assert await store.forget(CONTOSO) == 1
        assert await store.load(CONTOSO) is None
        assert await store.load(AZURE) is not None
        assert numbers(await store.due("siem", 9)) == [2, 3]
        assert await store.forget(AZURE) == 2
        assert await store.tenants() == []

    async def test_history_of_units(self, store: AnyStore) -> None:
        await add(store, [event(n, unit=unit(name)) for n, name in enumerate("abca")], AZURE)
        await add(store, [event(9), event(10, tenant=FABRIKAM, unit=None)])

        async def found(*names: str, **more: Any) -> list[int]:
            return [e.data["number"] for e in await store.history(Query(units=names, **more))]

        assert await found("a/ascScore") == [0, 3]
        assert await found("b/ascScore", "c/ascScore") == [1, 2]
        assert await found("a/ascScore", newest_first=True, limit=1) == [3]
        assert await found("a/ascScore", tenant_id=CONTOSO) == []
        assert await found("a") == [0, 3]
        assert await found("a/", "/", "", "'; --") == []

    async def test_events_of_the_connector_itself(self, store: AnyStore) -> None:
        """Their `data.tenant` is null; they belong to tenant "", which is not listed as a tenant."""
        problem = event(1, tenant=None, type="connector.problem")
        await store.commit("", State(parts={"open": b"1"}), [problem])
        assert await store.load("") == State(1, {"open": b"1"})
        assert await store.tenants() == []
        assert await store.history(Query(tenant_id="")) == [problem]
        assert [p.event for p in await store.due("siem", 10)] == [problem]
        assert [p.event for p in await store.due("siem", 10, "")] == [problem]
        assert await store.due("siem", 10, CONTOSO) == []

    async def test_an_event_that_cannot_be_stored_stores_nothing(self, store: AnyStore) -> None:
        with pytest.raises(ValueError, match="JSON"):
            await store.commit(CONTOSO, State(parts={"a": b"1"}), [event(1), event(2, score=float("nan"))])
        assert await store.load(CONTOSO) is None
        assert await store.history(Query()) == []

    @pytest.mark.parametrize("name", HOSTILE)
    async def test_hostile_text_comes_back_as_it_was(self, store: AnyStore, name: str) -> None:
        text = HOSTILE[name]
        hostile = event(1, subject=text, title=text, nested={"list": [text]})
        await store.commit(CONTOSO, State(parts={"part": text.encode("utf-8", "surrogatepass")}), [hostile, event(2)])
        assert (await store.due("siem", 10))[0].event == hostile
        assert await store.history(Query(subject=text)) == [hostile]
        await settle(store, "siem", park={1: text}, accept=[2])
        assert [(p.event, p.reason) for p in await store.parked("siem", [hostile.id])] == [(hostile, text)]
        assert (await store.trace(hostile.id))[0]["reason"] == text

    @pytest.mark.parametrize("name", [name for name in HOSTILE if name not in {"long", "empty"}])
    async def test_hostile_questions_find_nothing(self, store: AnyStore, name: str) -> None:
        """Arguments of the command line may be anything; none of them breaks a query or matches what it should not."""
        text = HOSTILE[name]
        await add(store, events([1]))
        await settle(store, "siem", park={1: "no"})
        for query in (
            Query(ids=(text,)),
            Query(id_begin=text),
            Query(tenant_id=text),
            Query(subject=text),
            Query(types=(text,)),
        ):
            assert await store.history(query) == []
        assert await store.trace(text) == []
        assert await store.load(text) is None
        assert await store.parked(text) == []
        assert await store.parked(None, [text]) == []
        assert await store.unpark([text], None, "discard") == 0
        assert await store.forget(text) == 0
        for asked in (store.due(text, 10), store.replay(text, Query()), store.release(text)):
            with pytest.raises(StoreError) as caught:
                await asked
            assert caught.value.hint

    async def test_what_is_stored_cannot_be_altered_afterwards(self, store: AnyStore) -> None:
        """An event is a value: what was just committed may come as the same object, what is stored stays."""
        mutable = {"score": 1}
        await add(store, [event(1, before=mutable)])
        mutable["score"] = 2
        assert (await store.history(Query()))[0].data["before"] == {"score": 1}

    # -------------------------------------------------------------------------------------------------- delivery

    async def test_due_comes_in_commit_order(self, store: AnyStore) -> None:
        """Per tenant and stream, whatever the batch size, with seqs that rise and belong to one event each."""
        for start in (0, 5, 10):
            await add(store, events(range(start, start + 5)))
            await add(store, events(range(start, start + 5), tenant=FABRIKAM), FABRIKAM)
        due = await store.due("siem", 100)
        assert len({p.seq for p in due}) == 30
        for tenant in (CONTOSO, FABRIKAM):
            own = [p for p in due if p.event.tenant_id == tenant]
            assert numbers(own) == list(range(15))
            assert seqs(own) == sorted(seqs(own))
        assert {(p.attempts, p.kind) for p in due} == {(0, "first")}
        assert await store.due("siem", 100) == due, "asking settles nothing"
        assert await store.due("siem", 7) == due[:7]
        assert await store.due("siem", 0) == []

    async def test_due_of_one_tenant(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await add(store, events(range(3), tenant=FABRIKAM), FABRIKAM)
        assert [p.event for p in await store.due("siem", 10, FABRIKAM)] == events(range(3), tenant=FABRIKAM)
        await settle(store, "siem", accept=range(3), tenant=FABRIKAM)
        assert await store.due("siem", 10, FABRIKAM) == []
        assert [p.event for p in await store.due("siem", 10)] == events(range(3)), "the other tenant's stay due"
        assert (await stats_of(store, "siem")).backlog == 3

    async def test_due_without_some_tenants(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await add(store, events(range(3), tenant=FABRIKAM), FABRIKAM)
        assert [p.event for p in await store.due("siem", 10, None, [CONTOSO])] == events(range(3), tenant=FABRIKAM)
        assert await store.due("siem", 10, None, [CONTOSO, FABRIKAM]) == []
        assert await store.due("siem", 10, CONTOSO, [CONTOSO]) == []
        await settle(store, "siem", accept=[0, 1], tenant=FABRIKAM, limit=2)
        assert [p.event for p in await store.due("siem", 10, None, ["nobody"])] == [
            *events(range(3)),
            *events([2], tenant=FABRIKAM),
        ]
        assert len(await store.due("siem", 10, None, [FABRIKAM])) == 3

    async def test_settled_is_not_offered_again(self, store: AnyStore) -> None:
        await add(store, events(range(5)))
        await settle(store, "siem", accept=range(3), limit=3)
        assert numbers(await store.due("siem", 10)) == [3, 4]
        await settle(store, "siem", accept=[3], skip=[4])
        assert await store.due("siem", 10) == []

    async def test_unmentioned_is_due_again(self, store: AnyStore) -> None:
        """In its old place, counted; what came behind it and was taken does not come again."""
        await add(store, events(range(6)))
        await settle(store, "siem", accept=[1, 3], limit=4)
        due = await store.due("siem", 10)
        assert [(p.event.data["number"], p.attempts, p.kind) for p in due] == [
            (0, 1, "first"),
            (2, 1, "first"),
            (4, 0, "first"),
            (5, 0, "first"),
        ]
        await settle(store, "siem", accept=[4, 5])
        assert [(p.event.data["number"], p.attempts) for p in await store.due("siem", 10)] == [(0, 2), (2, 2)]
        assert (await stats_of(store, "siem")).backlog == 2
        await settle(store, "siem", accept=[2])
        await settle(store, "siem", accept=[0])
        assert await store.due("siem", 10) == []
        assert (await stats_of(store, "siem")).backlog == 0

    async def test_a_batch_that_nobody_answered_stays(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        for attempt in range(3):
            due = await settle(store, "siem", limit=3)
            assert [(p.event.data["number"], p.attempts) for p in due] == [(0, attempt), (1, attempt), (2, attempt)]
        assert numbers(await store.due("siem", 10)) == [0, 1, 2, 3]
        assert await take_all(store, "siem") == [0, 1, 2, 3]

    async def test_what_was_skipped_far_ahead_leaves_the_rest_due(self, store: AnyStore) -> None:
        """A filter looks at more events than a batch takes: those between are neither lost nor counted as sent."""
        await add(store, events(range(10)))
        due = await store.due("siem", 10)
        await store.settle(
            "siem",
            Settlement(
                T1,
                T0,
                tuple(seqs(due, [0, 1])),
                accepted=frozenset(seqs(due, [0, 1])),
                skipped=frozenset(seqs(due, [5, 9])),
            ),
        )
        rest = await store.due("siem", 10)
        assert [(p.event.data["number"], p.attempts) for p in rest] == [(n, 0) for n in (2, 3, 4, 6, 7, 8)]
        assert (await traced(store, 9))["state"] == "skipped"
        assert (await traced(store, 8))["state"] == "due"

    async def test_a_settlement_counts_once(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        due = await store.due("siem", 3)
        settlement = Settlement(
            T1, T0, tuple(seqs(due)), accepted=frozenset(seqs(due, [0, 2])), parked={due[1].seq: "no"}
        )
        await store.settle("siem", settlement)
        before = (await store.stats(), await store.trace(event(0).id), await store.parked())
        await store.settle("siem", settlement)
        await store.settle("siem", Settlement(T2, T2, tuple(seqs(due))))
        await store.settle("siem", Settlement(T2))
        assert (await store.stats(), await store.trace(event(0).id), await store.parked()) == before
        assert numbers(await store.due("siem", 10)) == [3]

    async def test_an_unknown_number_settles_nothing(self, store: AnyStore) -> None:
        """Or events that are yet to come would be taken for settled."""
        await add(store, events([1]))
        await store.settle("siem", Settlement(T1, T0, (999_999,), accepted=frozenset({999_999})))
        await add(store, events([2]))
        assert numbers(await store.due("siem", 10)) == [1, 2]

    async def test_sinks_have_their_own_place(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("other")])
        await add(store, events(range(4)))
        await settle(store, "siem", accept=range(4))
        await settle(store, "other", accept=[1], park={0: "no"}, limit=2)
        await add(store, events([4]))
        assert numbers(await store.due("siem", 10)) == [4]
        assert numbers(await store.due("other", 10)) == [2, 3, 4]
        assert [p.sink for p in await store.parked()] == ["other"]

    async def test_the_cursor_moves_over_settled_events_only(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        due = await store.due("siem", 10)
        await settle(store, "siem", accept=[0, 2, 3])
        assert due[0].seq <= (await stats_of(store, "siem")).cursor < due[1].seq
        await settle(store, "siem", park={1: "no"})
        assert (await stats_of(store, "siem")).cursor >= due[3].seq

    async def test_new_events_come_behind_what_is_still_due(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await settle(store, "siem", accept=[2])
        await add(store, events([3]))
        assert numbers(await store.due("siem", 10)) == [0, 1, 3]

    async def test_a_long_queue_drains_in_order(self, store: AnyStore) -> None:
        for start in range(0, 600, 100):
            await add(store, events(range(start, start + 100)))
        assert await take_all(store, "siem", limit=37) == list(range(600))

    # --------------------------------------------------------------------------------- parked, replay, replay window

    async def test_parked_is_kept_with_the_sinks_words(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await settle(store, "siem")
        await settle(store, "siem", accept=[0, 2], park={1: "HTTP 400: bad field"}, at=T2)
        assert await store.due("siem", 10) == []
        (parked,) = await store.parked()
        assert (parked.sink, parked.event, parked.reason) == ("siem", event(1), "HTTP 400: bad field")
        assert (parked.parked_at, parked.attempts) == (T2, 2)
        assert await store.parked("siem", [event(1).id]) == [parked]
        assert await store.parked("siem", [event(0).id]) == []
        assert await store.parked("other") == []
        stats = await stats_of(store, "siem")
        assert (stats.parked, stats.backlog) == (1, 0)

    async def test_parked_before_it_was_sent(self, store: AnyStore) -> None:
        """A record that cannot be rendered is never offered: parked without an attempt."""
        await add(store, events([1]))
        (due,) = await store.due("siem", 1)
        await store.settle("siem", Settlement(T1, T0, parked={due.seq: "mapping cef: no subject"}))
        (parked,) = await store.parked()
        assert (parked.reason, parked.attempts) == ("mapping cef: no subject", 0)
        assert await store.due("siem", 1) == []

    async def test_a_retried_event_comes_behind_first_deliveries(self, store: AnyStore) -> None:
        await add(store, events(range(2)))
        await settle(store, "siem", park={0: "no"}, accept=[1])
        assert await store.unpark([event(0).id], "siem", "retry") == 1
        assert await store.unpark([event(0).id], "siem", "retry") == 0, "it is not parked any more"
        await add(store, events([2, 3]))
        first = await settle(store, "siem", accept=[2], limit=1)
        assert [(p.event.data["number"], p.kind) for p in first] == [(2, "first")]
        assert (await settle(store, "siem", accept=[3], limit=1))[0].kind == "first"
        (again,) = await store.due("siem", 10)
        assert (again.event, again.attempts, again.kind) == (event(0), 1, "again")
        assert (await stats_of(store, "siem")).backlog == 1
        await settle(store, "siem", accept=[0])
        assert await store.due("siem", 10) == []
        assert await store.parked() == []

    async def test_a_retried_event_may_be_refused_or_ignored_again(self, store: AnyStore) -> None:
        await add(store, events([0]))
        await settle(store, "siem", park={0: "no"})
        await store.unpark([event(0).id], None, "retry")
        await settle(store, "siem")
        assert [(p.attempts, p.kind) for p in await store.due("siem", 10)] == [(2, "again")]
        await settle(store, "siem", park={0: "still no"})
        assert [(p.reason, p.attempts) for p in await store.parked()] == [("still no", 3)]

    async def test_a_discarded_event_is_settled_and_remembered(self, store: AnyStore) -> None:
        await add(store, events([0]))
        await settle(store, "siem", park={0: "no"})
        assert await store.unpark([event(0).id], "siem", "discard") == 1
        assert await store.parked() == []
        assert await store.due("siem", 10) == []
        line = await traced(store, 0)
        assert (line["state"], line["reason"], line["attempts"]) == ("discarded", "no", 1)
        assert line["settled"] is not None
        stats = await stats_of(store, "siem")
        assert (stats.parked, stats.backlog) == (0, 0)

    async def test_unpark_chooses_by_sink_and_id(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("other")])
        await add(store, events(range(3)))
        for sink in ("siem", "other"):
            await settle(store, sink, park={0: "no", 1: "no", 2: "no"})
        assert await store.unpark([event(0).id, event(1).id], "siem", "retry") == 2
        assert await store.unpark([event(0).id], None, "discard") == 1
        assert [(p.sink, p.event.data["number"]) for p in await store.parked("siem")] == [("siem", 2)]
        assert numbers(await store.parked("other")) == [1, 2]
        assert await store.unpark([], "other", "retry") == 2, "no ids: all of the sink"
        assert await store.unpark([], None, "discard") == 1
        assert await store.parked() == []

    async def test_replay_comes_behind_first_deliveries_with_the_same_ids(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        await settle(store, "siem", accept=range(4))
        await add(store, events([4]))
        assert await store.replay("siem", Query(ids=tuple(e.id for e in events([2, 1])))) == 2
        assert (await stats_of(store, "siem")).backlog == 3
        first = await settle(store, "siem", accept=[4])
        assert [(p.event.data["number"], p.kind) for p in first] == [(4, "first")]
        again = await store.due("siem", 10)
        assert [(p.event, p.kind) for p in again] == [(event(1), "again"), (event(2), "again")]
        await settle(store, "siem", accept=[2])
        assert [(p.event.data["number"], p.attempts) for p in await store.due("siem", 10)] == [(1, 1)]
        await settle(store, "siem", accept=[1])
        assert await store.due("siem", 10) == []
        assert (await store.stats()).events == 5

    async def test_replay_takes_what_is_settled_and_leaves_the_rest(self, store: AnyStore) -> None:
        """Due events come anyway, parked ones wait for their own decision; skipped and discarded ones are settled."""
        await add(store, events(range(6)))
        await settle(store, "siem", accept=[0], skip=[1], park={2: "no", 3: "no"}, limit=5)
        await store.unpark([event(3).id], "siem", "discard")
        assert await store.replay("siem", Query()) == 3
        assert await store.replay("siem", Query()) == 0, "already on its way"
        assert numbers(await store.parked()) == [2]
        assert await take_all(store, "siem") == [4, 5, 0, 1, 3]

    async def test_replay_reaches_before_the_sinks_start(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await store.attach([Start("siem"), Start("late")])
        assert await store.due("late", 10) == []
        assert await store.replay("late", Query(since=T0, types=("control.*",), limit=2, newest_first=True)) == 2
        assert numbers(await store.due("late", 10)) == [1, 2]

    async def test_recent_offers_what_was_settled_in_the_window(self, store: AnyStore) -> None:
        await add(store, events(range(6)))
        await settle(store, "siem", accept=[0], limit=1, at=T0)
        await settle(store, "siem", accept=[1], park={2: "no"}, skip=[3], limit=3, at=T1)
        await settle(store, "siem", skip=[3], limit=1, at=T1)
        await settle(store, "siem", accept=[4], limit=1, at=T2)
        assert await store.recent("siem", LATER) == 0
        assert await store.recent("siem", T1) == 2, "accepted at T1 and T2; neither older, skipped nor parked"
        assert await store.recent("siem", T1) == 0, "already on its way"
        due = await store.due("siem", 10)
        assert [(p.event.data["number"], p.kind) for p in due] == [(1, "first"), (4, "first"), (5, "first")], (
            "before what came later: who lost them gets everything in order"
        )

    async def test_what_is_offered_again_can_be_asked_for_while_others_wait(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        await add(store, events([10], tenant=FABRIKAM), FABRIKAM)
        await settle(store, "siem", accept=[0, 1, 10], park={2: "no"})
        await store.unpark([event(2).id], "siem", "retry")
        assert await store.replay("siem", Query(ids=(event(0).id,))) == 1
        assert await store.replay("siem", Query(tenant_id=FABRIKAM)) == 1
        assert numbers(await store.due("siem", 10)) == [3], "it waits for the first time"
        again = await store.due("siem", 10, again=True)
        assert [(p.event.data["number"], p.kind) for p in again] == [(0, "again"), (2, "again"), (10, "again")]
        assert numbers(await store.due("siem", 1, again=True)) == [0]
        assert numbers(await store.due("siem", 10, FABRIKAM, again=True)) == [10]
        assert numbers(await store.due("siem", 10, None, {CONTOSO}, again=True)) == [10]
        assert numbers(await store.due("siem", 10)) == [3]

    async def test_others_are_found_behind_any_number_of_a_tenant_that_is_left_out(self, store: AnyStore) -> None:
        """Also behind those that were offered once, and each look leaves everything due as it was."""
        await add(store, events(range(2500)))
        await add(store, events([9000, 9001], tenant=FABRIKAM), FABRIKAM)
        for _ in range(2):
            assert numbers(await store.due("siem", 10, None, {CONTOSO})) == [9000, 9001]
            assert (await stats_of(store, "siem")).backlog == 2502
        await settle(store, "siem", accept=[9000], tenant=FABRIKAM)
        await add(store, events(range(3000, 3010)))
        assert numbers(await store.due("siem", 10, None, {CONTOSO})) == [9001]
        assert await store.due("siem", 10, None, {CONTOSO, FABRIKAM}) == []
        assert numbers(await store.due("siem", 3, CONTOSO)) == [0, 1, 2]
        assert (await traced(store, 5))["state"] == "due"
        taken = await take_all(store, "siem")
        assert [n for n in taken if n != 9001] == [*range(2500), *range(3000, 3010)]
        assert 9001 in taken
        assert (await stats_of(store, "siem")).backlog == 0

    # ------------------------------------------------------------------------------------------ life of the sinks

    async def test_a_new_sink_begins_at_the_next_commit(self, store: AnyStore) -> None:
        await add(store, events([1]))
        await store.attach([Start("siem"), Start("new")])
        assert await store.due("new", 10) == []
        assert (await stats_of(store, "new")).backlog == 0
        await add(store, events([2]))
        assert numbers(await store.due("new", 10)) == [2]
        assert numbers(await store.due("siem", 10)) == [1, 2]
        assert (await traced(store, 1, "new"))["state"] == "not_offered"

    async def test_a_new_sink_may_begin_with_all_history(self, store: AnyStore) -> None:
        await add(store, events([1, 2]))
        await store.attach([Start("siem"), Start("new", whole_history=True)])
        await add(store, events([3]))
        assert (await stats_of(store, "new")).backlog == 3
        assert await take_all(store, "new") == [1, 2, 3]

    async def test_attaching_again_changes_nothing(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await settle(store, "siem", accept=[0], limit=1)
        await store.attach([Start("siem", whole_history=True)])
        assert numbers(await store.due("siem", 10)) == [1, 2]

    async def test_a_removed_sink_is_abandoned_and_continues_when_it_returns(self, store: AnyStore) -> None:
        await add(store, events(range(3)))
        await settle(store, "siem", accept=[0], park={1: "no"}, limit=2)
        await store.attach([Start("other")])
        await add(store, events([3]))
        gone = await stats_of(store, "siem")
        assert (gone.abandoned, gone.backlog, gone.parked) == (True, 2, 1)
        assert not (await stats_of(store, "other")).abandoned
        await store.attach([Start("siem"), Start("other")])
        assert not (await stats_of(store, "siem")).abandoned
        assert await take_all(store, "siem") == [2, 3]
        assert numbers(await store.parked("siem")) == [1]

    async def test_attach_names_those_that_are_gone_and_hold_events(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("idle"), Start("parks")])
        await add(store, events(range(3)))
        await take_all(store, "idle")
        await settle(store, "parks", accept=[0, 1], park={2: "no"})
        assert [(s.name, s.backlog, s.parked) for s in await store.attach([Start("new")])] == [
            ("parks", 0, 1),
            ("siem", 3, 0),
        ]
        assert len(await store.attach([Start("new")])) == 2, "as long as they do"
        assert await store.attach([Start("new"), Start("siem"), Start("parks"), Start("idle")]) == ()

    async def test_a_renamed_sink_is_new(self, store: AnyStore) -> None:
        await add(store, events([1]))
        await store.attach([Start("siem2")])
        await add(store, events([2]))
        assert {s.name: s.abandoned for s in (await store.stats()).sinks} == {"siem": True, "siem2": False}
        assert numbers(await store.due("siem2", 10)) == [2]

    async def test_release_of_an_abandoned_sink_forgets_it(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        await settle(store, "siem", accept=[0], park={1: "no"}, limit=2)
        await store.attach([Start("other")])
        assert await store.release("siem") == 3, "two due, one parked"
        assert [s.name for s in (await store.stats()).sinks] == ["other"]
        assert await store.parked() == []
        assert await store.purge(AFTER_ALL) == 4, "nothing pins history any more"
        await store.attach([Start("other"), Start("siem")])
        await add(store, events([9]))
        assert await take_all(store, "siem") == [9], "it is a new sink now"

    async def test_release_of_an_attached_sink_gives_up_its_backlog(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        due = await settle(store, "siem", accept=[0], park={1: "no"}, limit=3)
        assert await store.release("siem") == 3
        assert await store.release("siem") == 0
        assert await store.due("siem", 10) == []
        stats = await stats_of(store, "siem")
        assert (stats.backlog, stats.parked, stats.abandoned) == (0, 0, False)
        await store.settle("siem", Settlement(T2, T2, tuple(seqs(due)), parked={due[2].seq: "late answer"}))
        assert await store.due("siem", 10) == [], "an answer that comes too late brings nothing back"
        assert await store.parked() == []
        assert (await traced(store, 0))["state"] == "accepted"
        assert (await traced(store, 3))["state"] == "not_offered"
        await add(store, events([4]))
        assert numbers(await store.due("siem", 10)) == [4]

    async def test_an_unknown_sink_is_named(self, store: AnyStore) -> None:
        await add(store, events([1]))
        for asked in (
            store.due("nobody", 1),
            store.settle("nobody", Settlement(T1, T0, (1,))),
            store.replay("nobody", Query()),
            store.recent("nobody", T0),
            store.release("nobody"),
        ):
            with pytest.raises(StoreError, match="nobody") as caught:
                await asked
            assert caught.value.hint

    # ---------------------------------------------------------------------------------------------------- history

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (Query(), [1, 2, 3, 4, 5]),
            (Query(newest_first=True), [5, 4, 3, 2, 1]),
            (Query(limit=2), [1, 2]),
            (Query(limit=2, newest_first=True), [5, 4]),
            (Query(limit=0), []),
            (Query(ids=(event(3, type="profile.added", observed_at=T1).id, event(1).id, "unknown")), [1, 3]),
            (Query(tenant_id=CONTOSO), [1, 2, 3, 4, 5]),
            (Query(tenant_id=FABRIKAM), []),
            (Query(types=("control.added",)), [2]),
            (Query(types=("control.*", "feed.gap")), [1, 2, 5]),
            (Query(types=("*ed",)), [1, 2, 3, 4]),
            (Query(types=("profile.adde?", "[s]core.*")), [3, 4]),
            (Query(types=("[!cf]*",)), [3, 4]),
            (Query(types=("Control.*", "control")), []),
            (Query(subject="Control4"), [4]),
            (Query(subject="Control"), []),
            (Query(subject="control4"), []),
            (Query(since=T1), [3, 4, 5]),
            (Query(until=T1), [1, 2]),
            (Query(since=T1, until=T2), [3, 4]),
            (Query(since="2026-11-22", until="2026-11-23"), [1, 2, 3, 4, 5]),
            (Query(since=T1, types=("score.*", "control.*"), subject="Control4", limit=5), [4]),
        ],
    )
    async def test_history(self, store: AnyStore, query: Query, expected: list[int]) -> None:
        await add(store, [event(1), event(2, type="control.added")])
        await add(
            store, [event(3, type="profile.added", observed_at=T1), event(4, type="score.observed", observed_at=T1)]
        )
        await add(store, [event(5, type="feed.gap", observed_at=T2)])
        await settle(store, "siem", accept=[1, 2])
        assert [e.data["number"] for e in await store.history(query)] == expected

    async def test_history_by_how_an_id_begins(self, store: AnyStore) -> None:
        plain = events([1, 2, 3])
        ids = ("Odd one", "odd two", "\ud800lone", plain[0].id[:13], plain[0].id + "-longer", "0" * 32)
        odd = [evolve(event(10 + n), id=each) for n, each in enumerate(ids)]
        elsewhere = event(4, tenant=FABRIKAM)
        await store.commit(CONTOSO, State(parts={"head": b"1"}), [*plain, *odd])
        await store.commit(FABRIKAM, State(parts={"head": b"1"}), [elsewhere])
        everyone = [*plain, *odd, elsewhere]
        begins = {each.id[:length] for each in everyone for length in (1, 2, 7, 8, 9, 14, 18, 35, 36, 40)}
        for begin in sorted({*begins, "zzzz", "-", "0a-", "%", "*"}):
            wanted = [e for e in everyone if e.id.casefold().startswith(begin.casefold())]
            assert await store.history(Query(id_begin=begin)) == wanted, begin
            assert await store.history(Query(id_begin=begin.swapcase(), tenant_id=FABRIKAM)) == [
                e for e in wanted if e is elsewhere
            ]
        both = Query(ids=(plain[0].id, plain[1].id), id_begin=plain[1].id[:8])
        assert await store.history(both) == [e for e in plain[:2] if e.id.startswith(plain[1].id[:8])]

    # ------------------------------------------------------------------------------------------------------ trace

    async def test_trace_tells_the_whole_story(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("other")])
        await add(store, events(range(5)))
        await settle(store, "siem", first_sent="2026-11-22T09:00:01Z", at="2026-11-22T09:00:02Z")
        await settle(
            store,
            "siem",
            accept=[0],
            skip=[1],
            park={2: "no"},
            first_sent="2026-11-22T09:00:03Z",
            at="2026-11-22T09:00:04Z",
        )
        await settle(store, "siem", accept=[3], first_sent="2026-11-22T09:00:05Z", at="2026-11-22T09:00:06Z")
        sent = {"sink": "siem", "first_sent": "2026-11-22T09:00:01Z", "reason": None}
        assert await traced(store, 0) == sent | {"state": "accepted", "attempts": 2, "settled": "2026-11-22T09:00:04Z"}
        assert await traced(store, 1) == sent | {"state": "skipped", "attempts": 1, "settled": "2026-11-22T09:00:04Z"}
        assert await traced(store, 2) == sent | {"state": "parked", "attempts": 2, "settled": None, "reason": "no"}
        assert await traced(store, 3) == sent | {"state": "accepted", "attempts": 3, "settled": "2026-11-22T09:00:06Z"}
        assert await traced(store, 4) == sent | {"state": "due", "attempts": 3, "settled": None}
        assert [line["sink"] for line in await store.trace(event(0).id)] == ["other", "siem"]
        assert await traced(store, 0, "other") == {
            "sink": "other",
            "state": "due",
            "first_sent": None,
            "attempts": 0,
            "settled": None,
            "reason": None,
        }

    async def test_trace_counts_a_replay(self, store: AnyStore) -> None:
        await add(store, events(range(2)))
        await settle(store, "siem", accept=[0, 1], first_sent=T0, at=T1)
        await store.replay("siem", Query(ids=(event(0).id,)))
        assert (await traced(store, 0))["state"] == "again"
        await settle(store, "siem", accept=[0], first_sent=T2, at=LATER)
        line = await traced(store, 0)
        assert (line["state"], line["first_sent"], line["attempts"], line["settled"]) == ("accepted", T0, 2, LATER)
        assert (await traced(store, 1))["attempts"] == 1

    # ---------------------------------------------------------------------------------------- stats, purge, forget

    async def test_stats(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("other")])
        assert (await stats_of(store, "siem")).oldest_due is None
        await add(store, events(range(3), observed_at=T0))
        await add(store, events(range(3, 6), observed_at=T1))
        await settle(store, "siem", accept=[0, 1, 2, 4], park={3: "no"}, at=T2)
        stats = await store.stats()
        assert stats.events == 6
        assert stats.bytes > 0
        assert [s.name for s in stats.sinks] == ["other", "siem"]
        siem, other = await stats_of(store, "siem"), await stats_of(store, "other")
        assert (siem.backlog, siem.parked, siem.last_success, siem.oldest_due) == (1, 1, T2, T1)
        assert (other.backlog, other.parked, other.last_success, other.oldest_due) == (6, 0, None, T0)
        await settle(store, "siem")
        assert (await stats_of(store, "siem")).last_success == T2, "an attempt is no success"
        assert await take_all(store, "siem") == [5]
        assert (await stats_of(store, "siem")).oldest_due is None

    async def test_purge_deletes_what_is_old_and_settled(self, store: AnyStore) -> None:
        await add(store, events(range(3), observed_at=T0))
        await add(store, events(range(3, 5), observed_at=T2))
        await take_all(store, "siem")
        assert await store.purge(T0) == 0, "not before its moment"
        assert await store.purge(T1) == 3
        assert await store.purge(T1) == 0
        assert [e.data["number"] for e in await store.history(Query())] == [3, 4]
        assert (await store.stats()).events == 2
        assert await store.trace(event(0).id) == []
        state = await store.load(CONTOSO)
        assert state is not None, "state is not history"
        await add(store, events([5]))
        assert await take_all(store, "siem") == [5]

    async def test_purge_waits_for_every_sink(self, store: AnyStore) -> None:
        """Unsettled, half settled, offered again or abandoned: each of them pins what it has not settled."""
        await store.attach([Start("siem"), Start("slow")])
        await add(store, events(range(3)))
        await take_all(store, "siem")
        assert await store.purge(AFTER_ALL) == 0
        await store.attach([Start("siem")])
        assert await store.purge(AFTER_ALL) == 0, "abandoned before it was offered anything"
        await store.attach([Start("siem"), Start("slow")])
        await settle(store, "slow")
        assert await store.purge(AFTER_ALL) == 0, "offered is not settled"
        await store.attach([Start("siem")])
        assert await store.purge(AFTER_ALL) == 0, "abandoned, not released"
        await take_all(store, "slow")
        await store.replay("siem", Query())
        assert await store.purge(AFTER_ALL) == 0
        await take_all(store, "siem")
        assert await store.purge(AFTER_ALL) == 3
        assert (await store.stats()).events == 0

    async def test_purge_never_deletes_a_parked_event(self, store: AnyStore) -> None:
        await add(store, events([0]))
        await settle(store, "siem", park={0: "no"})
        await add(store, events([1]))
        await take_all(store, "siem")
        await store.purge(AFTER_ALL)
        assert numbers(await store.parked()) == [0]
        assert [e.data["number"] for e in await store.history(Query())] == [0]
        await store.unpark([], None, "retry")
        assert await store.purge(AFTER_ALL) == 0
        assert await take_all(store, "siem") == [0]
        assert await store.purge(AFTER_ALL) == 1

    async def test_a_discarded_event_may_be_purged(self, store: AnyStore) -> None:
        await add(store, events([0]))
        await settle(store, "siem", park={0: "no"})
        await store.unpark([], None, "discard")
        assert await store.purge(AFTER_ALL) == 1

    async def test_an_emptied_store_numbers_on(self, store: AnyStore) -> None:
        """Or an event could be born behind a cursor and be lost."""
        await store.attach([Start("siem"), Start("other")])
        await add(store, events(range(3)))
        last = max(seqs(await store.due("siem", 10)))
        await take_all(store, "siem")
        await take_all(store, "other")
        assert await store.purge(AFTER_ALL) == 3
        await add(store, events([3]))
        (due,) = await store.due("siem", 10)
        assert due.seq > last
        assert await take_all(store, "other") == [3]

    async def test_forget_leaves_nothing_of_a_tenant(self, store: AnyStore) -> None:
        await add(store, events(range(4)))
        await add(store, events(range(2), tenant=FABRIKAM), FABRIKAM)
        await settle(store, "siem", accept=[0], park={1: "no"}, limit=3, tenant=CONTOSO)
        assert await store.forget(CONTOSO) == 4
        assert await store.load(CONTOSO) is None
        assert await store.tenants() == [FABRIKAM]
        assert await store.parked() == []
        assert await store.history(Query(tenant_id=CONTOSO)) == []
        stats = await store.stats()
        assert (stats.events, stats.sinks[0].backlog) == (2, 2)
        assert [p.event for p in await store.due("siem", 10)] == events(range(2), tenant=FABRIKAM)
        assert (await store.commit(CONTOSO, State(), events([1]))).generation == 1, "it may come again as a new tenant"
        assert (await stats_of(store, "siem")).backlog == 3

    async def test_a_commit_after_forget_is_a_conflict(self, store: AnyStore) -> None:
        """The daemon had the tenant loaded when the operator forgot it."""
        committed = await add(store, events([1]))
        await store.forget(CONTOSO)
        with pytest.raises(Conflict):
            await store.commit(CONTOSO, committed, events([2]))
        assert await store.history(Query()) == []

    async def test_forget_of_a_generation_deletes_nothing_that_came_later(self, store: AnyStore) -> None:
        """What an export has not seen stays; with the present generation all goes."""
        committed = await add(store, events(range(3)))
        await add(store, events([3]))
        with pytest.raises(Conflict):
            await store.forget(CONTOSO, committed.generation)
        assert numbers(await store.due("siem", 10))[-1] == 3
        assert [e.data["number"] for e in await store.history(Query())][-1] == 3
        assert await store.load(CONTOSO) is not None
        state = await store.load(CONTOSO)
        assert state is not None
        await store.forget(CONTOSO, state.generation)
        assert await store.load(CONTOSO) is None
        assert await store.history(Query(tenant_id=CONTOSO)) == []
        assert (await stats_of(store, "siem")).backlog == 0
        with pytest.raises(Conflict):
            await add(store, events([4]), FABRIKAM)
            await store.forget(FABRIKAM, 0)

    async def test_shed_takes_the_oldest_that_every_sink_has_settled(self, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("slow")])
        for n in range(6):
            await add(
                store, [event(n, observed_at=f"2026-11-2{n}T09:00:00Z", filling=random.Random(n).randbytes(9000).hex())]
            )
        await take_all(store, "siem")
        assert (await store.shed(1)).events == 0, "nothing that a sink has not settled"
        await settle(store, "slow", accept=range(3), park={3: "no"}, limit=5)
        first = await store.shed(1)
        assert 1 <= first.events <= 3, "in whole steps"
        assert first.until == f"2026-11-2{first.events - 1}T09:00:00Z"
        assert [e.data["number"] for e in await store.history(Query())] == list(range(first.events, 6))
        assert first.events + (await store.shed(10**9)).events == 3
        assert [e.data["number"] for e in await store.history(Query())] == [3, 4, 5], "neither parked nor waiting"
        assert numbers(await store.due("slow", 10)) == [4, 5]
        assert await store.load(CONTOSO) is not None

    # ---------------------------------------------------------------------------------------------------- soundness

    async def test_a_sound_store_has_no_flaws(self, home: Home, store: AnyStore) -> None:
        await store.attach([Start("siem"), Start("other")])
        await store.commit(CONTOSO, State(parts={"head": b"{}", "days/2026-11": b"1"}), events(range(5)))
        await settle(store, "siem", accept=[0, 2], park={1: "no"}, limit=3)
        await store.purge(AFTER_ALL)
        await add(store, events(range(3), tenant=FABRIKAM), FABRIKAM)
        await store.forget(FABRIKAM)
        await store.attach([Start("siem")])
        await store.release("other")
        assert list(await store.flaws()) == []
        assert list(await store.verify()) == []
        other = await home.beside()
        assert list(await other.flaws()) == []
        assert list(await other.verify()) == []
        await other.close()

    async def test_a_note_is_kept_once_and_survives(self, home: Home, store: AnyStore) -> None:
        flaw = Flaw("state_damaged", "a part", "torn", CONTOSO, 3, {"siem": 2}, T0)
        await store.note(flaw)
        await store.note(evolve(flaw, events=9, at=T1))
        await store.note(Flaw("state_damaged", "another", "torn", None, None, None, T1))
        other = await home.beside()
        assert list(await other.flaws()) == [flaw, Flaw("state_damaged", "another", "torn", None, None, None, T1)]
        await other.close()

    async def test_an_older_copy_put_back_swallows_nothing(self, home: Home) -> None:
        """Sinks had gone further than the copy: what is derived again is sent again, what is new is sent."""
        store = await home.open()
        await store.attach([Start("siem")])
        await add(store, events(range(3)))
        assert await take_all(store, "siem") == [0, 1, 2]
        await store.close()
        copy = await home.copy()
        store = await home.open()
        for n in range(3, 8):
            await add(store, events([n]))
            assert await take_all(store, "siem") == [n]
        await store.close()
        await home.restore(copy)
        store = await home.open()
        await store.attach([Start("siem")])
        state = await store.load(CONTOSO)
        assert state is not None
        assert state.generation == 1, "it is the older one"
        await add(store, events([3, 4]))
        await add(store, events([8, 9]))
        assert await take_all(store, "siem") == [3, 4, 8, 9]
        assert (await stats_of(store, "siem")).backlog == 0
        assert [f.reason for f in await store.flaws()] in ([], ["state_restored"]), "told where it can be known"
        assert [f for f in await store.verify() if f.reason == "state_damaged"] == []
        await store.close()

    async def test_what_a_clock_ahead_has_stamped_comes_again_once(self, store: AnyStore) -> None:
        """And not after every failure for years."""
        await add(store, events([0]))
        await settle(store, "siem", accept=[0], at=AFTER_ALL)
        assert await store.recent("siem", T0) == 1
        assert await take_all(store, "siem") == [0]
        assert await store.recent("siem", T2) == 0

    # ------------------------------------------------------------------------------------ restarts, second handles

    async def test_everything_survives_a_restart(self, home: Home) -> None:
        async def picture(store: AnyStore) -> dict[str, Any]:
            return {
                "state": await store.load(CONTOSO),
                "tenants": await store.tenants(),
                "history": await store.history(Query()),
                "events": (await store.stats()).events,
                "sinks": (await store.stats()).sinks,
                "due": await store.due("siem", 10),
                "gone": await store.due("gone", 10),
                "parked": await store.parked(),
                "trace": [await store.trace(e.id) for e in events(range(8))],
            }

        sinks = [Start("siem"), Start("late")]
        store = await home.open()
        await store.attach([Start("siem"), Start("gone")])
        await store.commit(CONTOSO, State(parts={"a": b"1", "b": b"\x00" * 70_000}), events(range(8)))
        await store.attach(sinks)
        await settle(store, "siem", accept=[0, 2], park={3: "no", 4: "no", 5: "no"}, skip=[6], limit=7)
        await store.unpark([event(4).id], None, "retry")
        await store.unpark([event(5).id], None, "discard")
        await store.replay("siem", Query(ids=(event(0).id,)))
        before = await picture(store)
        assert numbers(before["due"]) == [1, 7]
        await store.close()
        for _ in range(2):
            store = await home.open()
            await store.attach(sinks)
            assert await picture(store) == before
            await store.close()

    async def test_close_may_be_called_twice(self, home: Home) -> None:
        store = await home.open()
        await store.close()
        await store.close()

    async def test_an_operators_command_counts_at_the_next_turn(self, home: Home, store: AnyStore) -> None:
        """A second process replays, decides, releases and forgets; the daemon, which remembers nothing, sees it."""
        other = await home.beside()
        await add(store, events(range(3)))
        assert numbers(await other.due("siem", 10)) == [0, 1, 2]
        await settle(store, "siem", accept=[0, 1], park={2: "no"})
        assert numbers(await other.parked()) == [2]
        assert await other.unpark([event(2).id], None, "retry") == 1
        assert numbers(await store.due("siem", 10)) == [2]
        assert await other.replay("siem", Query(ids=(event(0).id,))) == 1
        assert numbers(await store.due("siem", 10)) == [0, 2]
        assert await other.release("siem") == 2
        assert await store.due("siem", 10) == []
        loaded = await other.load(CONTOSO)
        assert loaded is not None
        await other.commit(CONTOSO, State(loaded.generation, {"approved": b"1"}), events([3]))
        assert numbers(await store.due("siem", 10)) == [3]
        assert await other.forget(CONTOSO) == 4
        assert await store.due("siem", 10) == []
        assert await store.load(CONTOSO) is None
        await other.close()

    @pytest.mark.parametrize("how", ["forget", "purge", "shed"])
    async def test_what_another_process_deletes_is_never_offered_again(
        self, home: Home, store: AnyStore, how: str
    ) -> None:
        """However lately the daemon has committed it, and although it has given it out already."""
        await add(store, events(range(3), wording="before"))
        assert numbers(await store.due("siem", 10)) == [0, 1, 2]
        if how != "forget":  # which needs nobody's leave
            await settle(store, "siem", accept=[0, 1, 2], at=T1)
        other = await home.beside()
        if how == "forget":
            assert await other.forget(CONTOSO) == 3
        elif how == "purge":
            assert await other.purge(AFTER_ALL) == 3
        else:
            assert (await other.shed(10**9)).events == 3
        await other.close()
        assert await store.due("siem", 10) == []
        assert await store.replay("siem", Query()) == 0
        assert await store.recent("siem", T0) == 0
        assert await store.due("siem", 10, again=True) == []
        assert await store.history(Query()) == []
        await add(store, events(range(3), wording="after"))
        assert [p.event for p in await store.due("siem", 10)] == events(range(3), wording="after")

    async def test_many_tenants_commit_while_sinks_deliver(self, store: AnyStore) -> None:
        """Everything at once on one handle: each sink still gets every event once, in order per tenant."""
        sinks = ("siem", "b", "c")
        await store.attach([Start(name) for name in sinks])
        tenants = [f"tenant-{n}" for n in range(8)]

        async def observe(tenant: str) -> None:
            for turn in range(5):
                await add(store, events(range(turn * 4, turn * 4 + 4), tenant=tenant), tenant)

        async def deliver(sink: str) -> list[Event]:
            got: list[Event] = []
            while len(got) < len(tenants) * 20:
                due = await store.due(sink, 7)
                got += [p.event for p in due]
                await store.settle(sink, Settlement(T1, T0, tuple(seqs(due)), accepted=frozenset(seqs(due))))
                await asyncio.sleep(0)
            return got

        async with asyncio.timeout(60):
            *_, a, b, c = await asyncio.gather(*(observe(t) for t in tenants), *(deliver(s) for s in sinks))
        for got in (a, b, c):
            assert got is not None
            for tenant in tenants:
                assert [e for e in got if e.tenant_id == tenant] == events(range(20), tenant=tenant)

    @pytest.mark.parametrize("seed", range(6))
    async def test_any_course_of_events_is_as_the_model_says(self, home: Home, seed: int) -> None:
        """Commits, partial receipts, filters, retries, replays, purges and restarts in any order, with two sinks."""
        chance = random.Random(seed)
        store = await home.open()
        sinks = {"a": Model(), "b": Model()}
        await store.attach([Start(name) for name in sinks])
        kept: set[int] = set()
        born = 0

        async def turn(sink: str) -> None:
            model = sinks[sink]
            due = await store.due(sink, chance.choice([1, 3, 50]))
            fate = {n: chance.choice(["accept", "accept", "park", "skip", "ignore"]) for n in numbers(due)}
            if chance.random() < 0.2:
                fate = dict.fromkeys(fate, "ignore")
            of = {
                word: seqs(due, [n for n in fate if fate[n] == word]) for word in ("accept", "park", "skip", "ignore")
            }
            await store.settle(
                sink,
                Settlement(
                    T1,
                    T0,
                    tuple(of["accept"] + of["park"] + of["ignore"]),
                    frozenset(of["accept"]),
                    frozenset(of["skip"]),
                    dict.fromkeys(of["park"], "no"),
                ),
            )
            for number, word in fate.items():
                model.sent[number] = model.sent.get(number, 0) + (word != "skip")
                model.words[number] = {"park": "parked", "ignore": model.words[number]}.get(word, "done")

        for _ in range(120):
            sink = chance.choice(list(sinks))
            model = sinks[sink]
            some = chance.sample(sorted(kept), min(len(kept), chance.randrange(1, 6)))
            ids = tuple(e.id for e in events(some))
            match chance.choice(
                ["commit", "commit", "turn", "turn", "turn", "turn", "replay", "unpark", "purge", "reopen"]
            ):
                case "commit":
                    new = range(born, born + chance.randrange(1, 6))
                    born = new.stop
                    await add(store, events([*some, *new]))
                    kept.update(new)
                    for each in sinks.values():
                        each.words.update(dict.fromkeys(new, "due"))
                case "turn":
                    await turn(sink)
                case "replay" if some:
                    offered = [n for n in some if model.words[n] == "done"]
                    assert await store.replay(sink, Query(ids=ids)) == len(offered)
                    model.words.update(dict.fromkeys(offered, "again"))
                case "unpark" if some:
                    action = chance.choice(["retry", "discard"])
                    chosen = [n for n in some if model.words[n] == "parked"]
                    assert await store.unpark(ids, sink, action) == len(chosen)
                    model.words.update(dict.fromkeys(chosen, "again" if action == "retry" else "done"))
                case "purge":
                    await store.purge(AFTER_ALL)
                    left = {int(e.data["number"]) for e in await store.history(Query())}
                    assert {m.words[n] for n in kept - left for m in sinks.values()} <= {"done"}
                    kept = left
                    for each in sinks.values():
                        each.words = {n: word for n, word in each.words.items() if n in left}
                case "reopen":
                    await store.close()
                    store = await home.open()
            for name, each in sinks.items():
                due = await store.due(name, 1000)
                assert numbers(due) == each.due()
                assert {p.kind for p in due} <= {"again" if each.count("due") == 0 else "first"}
                assert [p.attempts for p in due if p.kind == "first"] == [
                    each.sent.get(n, 0) for n in each.due() if each.words[n] == "due"
                ]
                stats = await stats_of(store, name)
                assert (stats.backlog, stats.parked) == (each.count("due", "again"), each.count("parked"))
                assert sorted(numbers(await store.parked(name))) == sorted(
                    n for n, word in each.words.items() if word == "parked"
                )
            assert (await store.stats()).events == len(kept)
        await store.close()
