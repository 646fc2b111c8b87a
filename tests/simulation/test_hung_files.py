"""A disk or share that hangs: what lies there waits and is told; every other tenant is polled as if nothing was."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import AuthConfig, Config, HealthConfig, PollConfig, RawConfig, StateConfig, TenantConfig
from connector.errors import Unavailable
from connector.loops import STALLED_S, App
from connector.model import Known, Snapshot
from connector.observe import evidence, poller
from connector.observe.poller import PollOutcome
from connector.ports import Query, Source
from connector.signin import credentials, files
from connector.simulator.faults import Faults
from connector.simulator.server import serve
from connector.simulator.world import World
from connector.sources import folder
from connector.sources.files import FilesSource
from tests.fakes.simulated import tenants_of

NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)
TENANTS, HUNG = 12, 6


@asynccontextmanager
async def opened(folder: Path, *, keep: bool = True) -> AsyncIterator[tuple[App, SimulatedClock]]:
    """The application with twelve simulated tenants and their evidence, on a clock that stands still."""
    world = World(7, TENANTS, date(2026, 6, 1), sizes=("small",))
    clock = SimulatedClock(NOW)
    async with serve(world, clock, faults=Faults()) as sim:
        config = Config(
            tenants=tuple(tenants_of(world, sim.base_url, folder)),
            sinks=(),
            state=StateConfig(path=str(folder / "state.db")),
            raw=RawConfig(path=str(folder / "evidence"), keep_days=400 if keep else 0),
            poll=PollConfig(backfill_days=2),
            health=HealthConfig(heartbeat_s=0),
        )
        async with open_app(config, clock=clock) as app:
            yield app, clock


@contextlib.contextmanager
def hanging(*paths: Path) -> Iterator[None]:
    """Files whose opening blocks, as on a hung share: pipes without a writer. In the end they let go."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    try:
        yield
    finally:
        for path in paths:
            aside = path.rename(path.with_name(f"{path.name}.pipe"))  # who comes again must not hang again
            with contextlib.suppress(OSError):  # nobody waits there
                os.close(os.open(aside, os.O_WRONLY | os.O_NONBLOCK))
            aside.unlink()


async def polled(app: App, clock: SimulatedClock) -> dict[str, PollOutcome]:
    """One poll of everybody. Time passes as if the real one were short: what is tried again is not waited for."""
    polls = asyncio.ensure_future(app.poll_once())
    async with asyncio.timeout(120):
        while not (await asyncio.wait([polls], timeout=0.02))[0]:
            await clock.advance(1)
    return {o.tenant: o for o in polls.result()}


async def test_hung_evidence_stops_that_evidence_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "SAVE_LIMIT_S", 10.0)
    async with opened(tmp_path) as (app, clock):
        day = NOW.date().isoformat()
        lists = [tmp_path / "evidence" / t.tenant_id / day / evidence.SUMS for t in app.config.tenants[:HUNG]]
        hung = {t.name for t in app.config.tenants[:HUNG]}
        with hanging(*lists):
            for _ in range(3):  # each a day later: every tenant has something new to keep
                found = await polled(app, clock)
                assert {name for name, o in found.items() if o.reason == "evidence"} == hung
                assert {o.status for name, o in found.items() if name not in hung} == {"ok"}
                assert all(o.newest_day == clock.now().date().isoformat() for o in found.values()), "all committed"
                await clock.advance(86_400)
            told = [e for e in await app.store.history(Query()) if e.data.get("reason") == "evidence"]
            storm = [e for e in told if e.subject == "tenants:connector.problem:evidence"]
            assert set(storm[0].data["tenants"]["first"]) == hung, "so many at once are told together"
        async with asyncio.timeout(60):
            while evidence._THREADS._left:
                await asyncio.sleep(0.01)
        found = await polled(app, clock)
        assert {o.status for o in found.values()} == {"ok"}
        await app.look()
        told = [e for e in await app.store.history(Query()) if e.type == "connector.recovered"]
        assert any(e.subject == storm[0].subject for e in told)


async def test_hung_token_files_stop_their_tenants_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIMIT_S", 8.0)
    async with opened(tmp_path, keep=False) as (app, clock):
        hung = app.config.tenants[:HUNG]
        with hanging(*(Path(str(t.auth.options["file"])) for t in hung if t.auth)):
            for _ in range(3):
                found = await polled(app, clock)
                failed = {name for name, o in found.items() if o.status == "failed"}
                assert failed == {t.name for t in hung}
                assert {o.reason for o in found.values() if o.tenant in failed} == {"unavailable"}
                assert all("does not answer" in str(found[name].error) for name in failed)
                await clock.advance(86_400)


async def test_a_folder_of_saved_answers_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "READ_LIMIT_S", 0.2)
    source = FilesSource(path=tmp_path, tenant_id="11111111-1111-1111-1111-111111111111", clock=SimulatedClock(NOW))
    with hanging(tmp_path / "secureScores-1.json"):
        monkeypatch.setattr(FilesSource, "_read", lambda self, _: (self._path / "secureScores-1.json").read_bytes())
        for words in ("not over after", "the last try still hangs"):
            with pytest.raises(Unavailable, match=words):
                await source.read(Known())


async def test_a_look_at_certificates_that_hangs_is_told_and_keeps_what_was_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = AuthConfig("client_secret", {"client_id": "c", "client_secret": "${env:S}"}, expires_on="2026-09-10")
    hung = AuthConfig("certificate", {"client_id": "c", "file": str(tmp_path / "key.pem")})
    two = [TenantConfig("a", "1" * 8, auth=secret), TenantConfig("b", "2" * 8, auth=hung)]
    watch = credentials.ExpiryWatch(Config(tenants=tuple(two), sinks=(), state=StateConfig(path="x")))
    assert [f.reason for f in await watch.of_tenant("a", NOW)] == ["secret_expiring"]
    later = NOW + credentials.REREAD
    monkeypatch.setattr(credentials, "LOOK_LIMIT_S", 0.2)
    with hanging(tmp_path / "key.pem"):
        assert [f.reason for f in await watch.of_tenant("a", later)] == ["secret_expiring"]
        assert [f.reason for f in await watch.shared(later)] == ["credentials_unread"]
    async with asyncio.timeout(60):
        while await watch.shared(later := later + credentials.REREAD):
            await asyncio.sleep(0.01)


class Endless:
    """A source that never comes to an end, whatever limits it says it has."""

    name = "graph"

    async def read(self, _: Known) -> Snapshot:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None: ...


async def test_a_poll_without_end_is_ended_and_told(tmp_path: Path) -> None:
    async with opened(tmp_path, keep=False) as (app, clock):
        first, *others = app.config.tenants
        well = app.poller.open_source

        async def source(tenant: TenantConfig) -> Source:
            return Endless() if tenant.name == first.name else await well(tenant)

        app.poller = evolve(app.poller, open_source=source, read_limit_s=3)
        for _ in range(poller.UNAVAILABLE_AFTER):
            found = await polled(app, clock)
            assert found[first.name].error == "reading it took longer than 3 s"
        assert {o.status for name, o in found.items() if name != first.name} <= {"ok", "unchanged"}
        told = [e for e in await app.store.history(Query()) if e.type == "connector.problem" and e.data["tenant"]]
        assert [(e.data["tenant"]["name"], e.data["reason"]) for e in told] == [(first.name, "unavailable")]
        assert len(others) == TENANTS - 1


async def test_polls_that_all_hang_are_no_progress_for_the_watchdog(tmp_path: Path) -> None:
    """That the scheduler goes round while every place is taken proves nothing: a poll that ends does."""
    async with opened(tmp_path, keep=False) as (app, clock):
        hang, release = asyncio.Event(), asyncio.Event()
        well = app.poller.open_source

        async def source(tenant: TenantConfig) -> Source:
            hang.set()
            await release.wait()
            return await well(tenant)

        app.poller = evolve(app.poller, open_source=source)
        stop = asyncio.Event()
        running = asyncio.ensure_future(app.run(stop))
        await asyncio.wait_for(hang.wait(), 30)
        for _ in range(20):  # the scheduler goes round, minute after minute
            await clock.advance(60)
        at_s, last = app._moved["observe"]
        app._moved["observe"] = (at_s - STALLED_S["observe"] - 10, last)
        app._moving("upkeep")
        for _ in range(3):  # and it goes round again
            await clock.advance(60)
            await asyncio.sleep(0.02)
        assert app.stalled() == ["observe"]
        release.set()
        async with asyncio.timeout(30):
            while app.stalled():
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(running, 30)
