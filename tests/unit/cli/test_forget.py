"""`tenants forget` beside a daemon that goes on committing: what is deleted was exported, and only that."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from connector.cli.evidence_export import copy_evidence, take_evidence
from connector.cli.tenants import export_and_forget
from connector.clock import SystemClock
from connector.errors import ConfigError, Conflict, StoreError, Unavailable
from connector.model import Event
from connector.observe.evidence import Evidence
from connector.ports import Query, Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import CONTOSO, add, event, events


class Busy:
    """The store, with a daemon that commits `more` between each reading of events and their deletion."""

    def __init__(self, inner: SqliteStore, more: list[list[Event]]) -> None:
        self.inner = inner
        self.more = more

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def history(self, query: Query) -> Sequence[Event]:
        found = await self.inner.history(query)
        if self.more:
            await add(self.inner, self.more.pop(0))
        return found


async def opened(path: Path) -> SqliteStore:
    store = await open_store(path / "s.db", clock=SystemClock())
    await store.attach([Start("siem")])
    return store


def exported(path: Path) -> list[int]:
    return [json.loads(line)["data"]["number"] for line in path.read_text().splitlines()]


async def test_what_comes_meanwhile_is_exported_too(tmp_path: Path) -> None:
    async with await opened(tmp_path) as store:
        await add(store, events(range(3)))
        busy: Any = Busy(store, [events([3, 4]), events([5])])
        assert await export_and_forget(busy, CONTOSO, tmp_path / "out.jsonl") == 6
        assert exported(tmp_path / "out.jsonl") == [0, 1, 2, 3, 4, 5]
        assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
        assert await store.history(Query(tenant_id=CONTOSO)) == []
        assert await store.load(CONTOSO) is None


async def test_a_tenant_without_events_at_first_is_no_other_case(tmp_path: Path) -> None:
    async with await opened(tmp_path) as store:
        busy: Any = Busy(store, [events([1])])
        assert await export_and_forget(busy, CONTOSO, tmp_path / "out.jsonl") == 1
        assert exported(tmp_path / "out.jsonl") == [1]


async def test_without_an_end_nothing_unexported_is_deleted(tmp_path: Path) -> None:
    async with await opened(tmp_path) as store:
        busy: Any = Busy(store, [events([n]) for n in range(1000)])
        with pytest.raises(StoreError, match="meanwhile") as caught:
            await export_and_forget(busy, CONTOSO, tmp_path / "out.jsonl")
        assert caught.value.hint
        kept = {e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))}
        assert kept | set(exported(tmp_path / "out.jsonl")) == set(range(20))
        assert kept


async def test_a_step_under_way_deletes_nothing_that_came_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.stores.sqlite._PURGE_EVENTS", 4)
    async with await opened(tmp_path) as store:
        for some in (range(4), range(4, 8), range(8, 10)):
            committed = await add(store, events(some))
        run, steps = store._run, 0

        async def disturbed(work: Any, *args: Any, **options: Any) -> Any:
            nonlocal steps
            if work.__name__ == "forget":
                steps += 1
                if steps == 2:
                    await add(store, [event(99)])
            return await run(work, *args, **options)

        monkeypatch.setattr(store, "_run", disturbed)
        with pytest.raises(Conflict):
            await store.forget(CONTOSO, committed.generation)
        assert [e.data["number"] for e in await store.history(Query())] == [4, 5, 6, 7, 8, 9, 99]


def saved(archive: Evidence, day: str, body: bytes) -> None:
    (archive.root / "t" / day).mkdir(parents=True, exist_ok=True)
    (archive.root / "t" / day / "secureScores-1.json.gz").write_bytes(body)


async def test_evidence_that_is_saved_meanwhile_is_exported_before_it_is_deleted(tmp_path: Path) -> None:
    archive, into = Evidence(tmp_path / "evidence", 400), tmp_path / "out" / "evidence"
    saved(archive, "2026-11-20", b"one")
    assert await copy_evidence(archive, "t", into) == 1
    saved(archive, "2026-11-20", b"read again")
    saved(archive, "2026-11-21", b"two")
    assert await take_evidence(archive, "t", into) == 2
    assert (into / "2026-11-20" / "secureScores-1.json.gz").read_bytes() == b"read again"
    assert (into / "2026-11-21" / "secureScores-1.json.gz").read_bytes() == b"two"
    assert list(archive.root.iterdir()) == []


async def test_a_deletion_of_evidence_that_was_cut_short_is_exported_and_ended(tmp_path: Path) -> None:
    archive, into = Evidence(tmp_path / "evidence", 400), tmp_path / "out"
    saved(archive, "2026-11-20", b"one")
    (archive.root / "t").rename(archive.root / ".t.forgotten")
    assert await copy_evidence(archive, "t", into) == 1
    assert await take_evidence(archive, "t", into) == 1
    assert list(archive.root.iterdir()) == []
    assert (into / "2026-11-20" / "secureScores-1.json.gz").read_bytes() == b"one"


async def test_a_tenant_without_evidence_leaves_no_folder(tmp_path: Path) -> None:
    archive, into = Evidence(tmp_path / "none", 400), tmp_path / "out"
    assert await copy_evidence(archive, "t", into) == await take_evidence(archive, "t", into) == 0
    assert not into.exists()


async def test_evidence_that_cannot_be_exported_stays(tmp_path: Path) -> None:
    archive, into = Evidence(tmp_path / "evidence", 400), tmp_path / "out"
    saved(archive, "2026-11-20", b"one")
    into.write_text("a file stands where the folder should")
    with pytest.raises(ConfigError, match="cannot be copied") as caught:
        await copy_evidence(archive, "t", into)
    assert "nothing was deleted" in caught.value.hint
    with pytest.raises(Unavailable, match="not deleted"):
        await take_evidence(archive, "t", into)
    assert (archive.root / "t" / "2026-11-20" / "secureScores-1.json.gz").read_bytes() == b"one"
