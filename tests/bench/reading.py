"""The read path: a first poll, an unchanged poll, and the diff of two days, each beside its rival."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import (
    AuthConfig,
    Config,
    GraphConfig,
    NetworkConfig,
    RawConfig,
    SinkConfig,
    StateConfig,
    TenantConfig,
)
from connector.loops import App
from connector.observe import diff
from connector.simulator.world import World
from connector.sources.days import parse_days
from connector.sources.graph import GraphSource
from tests.bench import msgraph
from tests.bench.measure import Cost, Figure, Round, cpu, in_turn, ratio, times
from tests.bench.servers import CLIENT, NOW, SECRET, START, Server, started

_LINK = re.compile(rb'"@odata\.nextLink"\s*:\s*("[^"]+")')
SCORES, PROFILES = "/v1.0/security/secureScores", "/v1.0/security/secureScoreControlProfiles"
ALL_DAYS, OVERLAP = "?$top=90", "?$top=4"


def config(server: Server, folder: Path, *, raw_days: int = 0, sinks: Sequence[SinkConfig] = ()) -> Config:
    """Every tenant of the server, with a client secret; evidence off unless asked for."""
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": f"${{file:{secret}}}"})
    graph = GraphConfig(base_url=server.at["graph"], authority=server.at["entra"])
    pairs = zip(server.at["names"], server.at["ids"], strict=True)
    return Config(
        tenants=tuple(TenantConfig(name, tenant_id, auth=auth, graph=graph) for name, tenant_id in pairs),
        sinks=tuple(sinks),
        state=StateConfig(path=str(folder / "state.db")),
        raw=RawConfig(keep_days=raw_days),
        network=NetworkConfig(ca_file=server.at["ca"]),
    )


async def ready(app: App, tenant: TenantConfig) -> GraphSource:
    """The tenant's source with its token held and its connection open: signing in is not what is measured."""
    source = await app.poller.open_source(tenant)
    assert isinstance(source, GraphSource)
    await source.newest()
    return source


class Bare:
    """A bare aiohttp client: it knows every address beforehand and only reads."""

    def __init__(self, base_url: str, token: str, ca_file: str) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        context = ssl.create_default_context(cafile=ca_file)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    async def get(self, url: str) -> bytes:
        async with self._session.get(url, headers=self._headers) as response:
            assert response.status == 200
            return await response.read()

    async def addresses(self, query: str, wanted: int) -> list[str]:
        """What a poll asks for: the days, in one page here, and every page of the catalogue."""
        found = [f"{self._base_url}{SCORES}{query}"]
        assert (await self.get(found[0])).count(b'"controlScores"') >= wanted
        url = f"{self._base_url}{PROFILES}"
        while True:
            found.append(url)
            link = _LINK.search(await self.get(url))
            if link is None:
                return found
            url = json.loads(link[1])

    async def read(self, urls: Sequence[str]) -> list[bytes]:
        return [await self.get(url) for url in urls]

    async def close(self) -> None:
        await self._session.close()


@asynccontextmanager
async def bare(server: Server, source: GraphSource) -> AsyncIterator[Bare]:
    client = Bare(server.at["graph"], await source._token.token(), server.at["ca"])
    try:
        yield client
    finally:
        await client.close()


async def first_poll(folder: Path, rounds: int) -> Figure:
    """Each round is another tenant's first contact, in one process and one state file."""
    sizes: list[int] = []

    async def pages_of(server: Server, source: GraphSource) -> Cost:
        async with bare(server, source) as client:
            pages = await client.read(await client.addresses(ALL_DAYS, 90))
        sizes.append(sum(map(len, pages)))
        return partial(_json_loads, pages)

    measured, events = await _first_polls(folder, rounds, pages_of)
    old = ratio("", measured, "").value
    return ratio(
        "first_poll_vs_json_loads",
        measured,
        f"{_FIRST_POLL}; evidence archive off",
        ms_a_poll=1000 * sum(r.ours for r in measured) / len(measured),
        ms_json_loads=1000 * sum(r.theirs for r in measured) / len(measured),
        mb_read=sum(sizes) / len(sizes) / 1e6,
        events=events,
    ).with_old(poll_vs_json_loads=old)


_FIRST_POLL = (
    "CPU of the whole poll in this process (HTTP, parsing, diff, events, state, SQLite commit); Graph in another; "
    "signed in before"
)


async def _first_polls(
    folder: Path, rounds: int, rival: Callable[[Server, GraphSource], Awaitable[Cost]]
) -> tuple[list[Round], float]:
    """First contacts in turn with a rival that is made ready for each tenant; and how many events one gives."""
    with started("graph", tenants=rounds + 1, size="mid") as server:
        settings = config(server, folder)
        async with open_app(settings, clock=SimulatedClock(NOW)) as app:
            ready_rivals = [await rival(server, await ready(app, tenant)) for tenant in settings.tenants]
            turns, others = iter(settings.tenants), iter(ready_rivals)
            events = []

            async def ours() -> float:
                tenant = next(turns)
                with cpu() as spent:
                    outcome = await app.poller.poll(tenant)
                assert outcome.status == "ok", outcome.error
                events.append(outcome.events)
                return spent.seconds

            async def theirs() -> float:
                return await next(others)()

            return await in_turn(ours, theirs, rounds), sum(events) / len(events)


async def _json_loads(pages: Sequence[bytes], times_: int = 1) -> float:
    with cpu() as spent:
        for _ in range(times_):
            for page in pages:
                json.loads(page)
    return spent.seconds / times_


async def against_the_sdk(folder: Path, rounds: int) -> Figure | None:
    """The same first poll, against Microsoft's client reading the same documents; None where that is not installed."""
    if not msgraph.installed():
        return None

    async def reading(server: Server, source: GraphSource) -> Cost:
        read = msgraph.reader(server, await source._token.token())

        async def cost() -> float:
            with cpu() as spent:
                documents = await read()
            assert documents > 400
            return spent.seconds

        return cost

    measured, _ = await _first_polls(folder, rounds, reading)
    return ratio(
        "poll_vs_msgraph_sdk",
        measured,
        f"{_FIRST_POLL}; the rival reads into its models, compares nothing, keeps nothing and tells nothing",
        ms_a_poll=1000 * sum(r.ours for r in measured) / len(measured),
        ms_of_the_sdk=1000 * sum(r.theirs for r in measured) / len(measured),
    )


async def changed_poll(folder: Path, rounds: int, hours: int) -> Figure:
    """Hourly polls of one tenant; those count in which the newest day says something else, or there is a newer one."""
    found: list[Round] = []
    sizes, events = [], []
    with started("graph", tenants=1, size="mid", as_in_life=True) as server:
        settings = config(server, folder)
        [tenant] = settings.tenants
        clock = SimulatedClock(NOW)
        async with open_app(settings, clock=clock) as app:
            source = await ready(app, tenant)
            await app.poller.poll(tenant)
            known = await source.newest()
            for _ in range(hours):
                await clock.advance(3600)
                server.ask("advance 3600")
                newest = await source.newest()  # signs in anew, too
                with cpu() as spent:
                    outcome = await app.poller.poll(tenant)
                before, known = known, newest
                if newest == before:
                    continue
                assert outcome.status == "ok", outcome
                assert before is not None
                wanted = max(1, (clock.now().date() - date.fromisoformat(before.day)).days) + 3
                async with bare(server, source) as client:
                    pages = await client.read(await client.addresses(f"?$top={wanted}", wanted))
                found.append(Round(spent.seconds, await _json_loads(pages, 3)))
                sizes.append(sum(map(len, pages)))
                events.append(outcome.events)
                if len(found) > rounds:
                    break
    measured = found[1:]  # the first warms up
    assert measured, "the newest day never moved"
    return ratio(
        "changed_poll_vs_json_loads",
        measured,
        "CPU of the whole poll over TLS and in gzip, memory decoded and committed; signed in before",
        ms_a_poll=1000 * sum(r.ours for r in measured) / len(measured),
        ms_json_loads=1000 * sum(r.theirs for r in measured) / len(measured),
        mb_read=sum(sizes) / len(sizes) / 1e6,
        events=sum(events) / len(events),
    )


SIDE_BY_SIDE = 8
"""So many tenants are polled at once in the smallest fleet (observe/schedule.py)."""


async def unchanged_poll(folder: Path, rounds: int, polls: int) -> Figure:
    """Each round is so many polls of each of several tenants, side by side, whose bytes do not change."""
    measured, size, requests = await _unchanged(folder / "many", SIDE_BY_SIDE, rounds, max(1, polls // 4))
    alone, _, _ = await _unchanged(folder / "one", 1, rounds, polls)
    method = (
        f"CPU of the whole poll, hash of what came and commit included, {SIDE_BY_SIDE} tenants side by side on both "
        "sides; over TLS and in gzip, as Graph answers; the rival knows every address, checks and stores nothing"
    )
    return ratio(
        "unchanged_poll_vs_bare_client",
        measured,
        method,
        ms_a_poll=1000 * sum(r.ours for r in measured) / len(measured),
        ms_bare=1000 * sum(r.theirs for r in measured) / len(measured),
        ms_a_poll_alone=1000 * sum(r.ours for r in alone) / len(alone),
        ms_bare_alone=1000 * sum(r.theirs for r in alone) / len(alone),
        alone=ratio("", alone, "").value,
        mb_read=size / 1e6,
        requests=requests,
    )


async def _unchanged(folder: Path, tenants: int, rounds: int, polls: int) -> tuple[list[Round], int, int]:
    """What a poll cost, ours and theirs; and how many bytes of how many requests it is."""
    folder.mkdir(parents=True, exist_ok=True)
    with started("graph", tenants=tenants, size="mid", as_in_life=True) as server:
        settings = config(server, folder)
        async with open_app(settings, clock=SimulatedClock(NOW)) as app, AsyncExitStack() as clients:
            rivals = []
            for tenant in settings.tenants:
                source = await ready(app, tenant)
                await app.poller.poll(tenant)
                assert (await app.poller.poll(tenant)).status == "ok"  # another number of days: read anew
                client = await clients.enter_async_context(bare(server, source))
                rivals.append((client, await client.addresses(OVERLAP, 4)))

            async def poll(tenant: TenantConfig) -> None:
                app.places.begin()
                outcome = await app.poller.poll(tenant)
                app.places.leave()
                assert outcome.status == "unchanged", outcome

            async def ours() -> float:
                clock = app.clock
                assert isinstance(clock, SimulatedClock)
                seconds = 0.0
                for _ in range(polls):
                    await clock.advance(3)  # the budget would space so many polls in a row: it may not wait
                    with cpu() as spent:
                        await asyncio.gather(*map(poll, settings.tenants))
                    seconds += spent.seconds
                return seconds / polls / tenants

            async def theirs() -> float:
                seconds = 0.0
                for _ in range(polls):
                    with cpu() as spent:
                        await asyncio.gather(*(client.read(urls) for client, urls in rivals))
                    seconds += spent.seconds
                return seconds / polls / tenants

            measured = await in_turn(ours, theirs, rounds)
            client, urls = rivals[0]
            return measured, sum(map(len, await client.read(urls))), len(urls)


def _two_days() -> tuple[dict[str, Any], dict[str, Any]]:
    """Two adjacent closed days of a large tenant between which something moved."""
    world = World(7, 1, START, sizes=("e5",), missing=0.0)
    documents = world.score_documents(world.tenants[0].id, NOW)[1:]
    for after, before in pairwise(documents):
        pairs = zip(after["controlScores"], before["controlScores"], strict=False)
        if sum(a["score"] != b["score"] for a, b in pairs) >= 3:
            return before, after
    raise RuntimeError("nothing ever moved")


async def two_days(rounds: int, loops: int) -> Figure:
    """The decomposition of a score change, against DeepDiff of the same two documents, keyed as it likes them best."""
    deep_diff = import_module("deepdiff").DeepDiff  # `make bench` installs it, nothing else needs it
    before, after = _two_days()
    tenant_id = before["azureTenantId"]
    old, new = parse_days([before, after], tenant_id, "", "2026-12-31")
    old_raw, new_raw = (
        _keyed(document, {row["controlName"]: row for row in document["controlScores"]}) for document in (before, after)
    )
    found = diff.decompose(old, new)
    assert found.contributions

    async def ours() -> float:
        with cpu() as spent:
            for _ in range(loops):
                diff.decompose(old, new)
        return spent.seconds / loops

    async def theirs() -> float:
        with cpu() as spent:
            result = deep_diff(old_raw, new_raw)
        assert result
        return spent.seconds

    measured = await in_turn(ours, theirs, rounds)
    method = f"CPU; ours from parsed days ({len(old.controls)} controls), DeepDiff from parsed JSON keyed by control"
    return times(
        "diff_vs_deepdiff",
        measured,
        method,
        us_ours=1e6 * sum(r.ours for r in measured) / len(measured),
        ms_deepdiff=1000 * sum(r.theirs for r in measured) / len(measured),
        contributions=len(found.contributions),
    )


def _keyed(document: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
    return {**document, "controlScores": controls}
