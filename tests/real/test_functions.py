"""The function app as shipped: the zip in the platform's own worker code, on Azurite, under a host that is emulated."""

import asyncio
import json
import os
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from attrs import Factory, define

from connector.cli.main import main
from connector.observe import memory
from connector.ports import Query, Settlement, State
from connector.simulator.faults import Fault
from tests import azure_zip
from tests.fakes import ingestion
from tests.real.functions_cloud import CLIENT, SECRET, Cloud, Ground, cloud, ground, without
from tests.real.functions_fleet import measure
from tests.real.functions_host import QUEUE


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The unpacked zip; while one works on it, SECURESCORE_FUNCTION_APP names a folder that stands for it."""
    if given := os.environ.get("SECURESCORE_FUNCTION_APP"):
        return Path(given)
    base = tmp_path_factory.getbasetemp()
    return azure_zip.shared(base if worker_id == "master" else base.parent).parent / "app"


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("ground")) as made:
        yield made


@pytest.fixture
async def azure(tmp_path: Path, app: Path, on: Ground) -> AsyncIterator[Cloud]:
    async with cloud(tmp_path, app, on) as made:
        yield made


async def test_timer_queue_worker_rule(azure: Cloud) -> None:
    host = await azure.host()
    assert host.workers[0].found["foreign"] == [], "only the zip's own packages are imported"
    (message,) = await host.timer("plan")
    assert json.loads(message)["name"] == azure.sim.world.tenants[0].name
    await host.until_empty()
    assert host.ended == [(message, True, "")]
    async with azure.store() as store:
        committed = {e.id: e for e in await store.history(Query())}
    tenant_events = {i for i, e in committed.items() if e.tenant_id}
    assert len(tenant_events) > 20
    stored = Counter(azure.service.ids())
    assert set(stored) == tenant_events
    assert set(stored.values()) == {1}
    code, document = await host.status()
    assert code == 200
    assert [t["error"] for t in document["tenants"].values()] == [None]
    assert document["sinks"]["sentinel"]["backlog"] == len(committed) - len(tenant_events)


async def tenant_events(azure: Cloud) -> set[str]:
    """What is committed of tenants; the connector's own events go with its own timer."""
    async with azure.store() as store:
        found = {e.id for e in await store.history(Query()) if e.tenant_id}
        assert dict(store.damaged) == {}
    return found


def once_an_id(azure: Cloud) -> set[str]:
    """The ids in the tables. A row may have come twice, and then it is the same row."""
    rows: dict[str, str] = {}
    for stored in azure.service.stored:
        row = json.dumps([stored.stream, stored.row], sort_keys=True)
        assert rows.setdefault(str(stored.row["EventId"]), row) == row
    return set(rows)


async def test_a_crash_in_the_middle_of_a_tenant_is_made_good(azure: Cloud) -> None:
    """The worker dies while Graph answers, and the next one when the rule has taken rows that it never hears of."""
    azure.sim.faults.add(Fault("slow", times=1, seconds=30))
    for place in ("graph", "rule"):
        host = await azure.host()
        if place == "graph":
            (message,) = await host.timer("plan")
        else:
            azure.service.next.append(ingestion.Fault("hang_after"))
        pump = asyncio.create_task(host.until_empty())
        while not (azure.sim.faults._requests if place == "graph" else azure.service.unheard):
            await asyncio.sleep(0.02)
        await host.workers[0].kill()
        while not host.ended:
            await asyncio.sleep(0.02)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        assert host.ended == [(message, False, "the worker died")]
    host = await azure.host()
    await host.until_empty()
    assert host.ended == [(message, True, "")]
    assert once_an_id(azure) == await tenant_events(azure)
    assert len(azure.service.ids()) > len(once_an_id(azure)), "what was taken unheard came again"


async def test_two_workers_on_one_tenant_leave_a_sound_state(azure: Cloud) -> None:
    host = await azure.host(2)
    (message,) = await host.timer("plan")
    for _ in range(5):
        await host.queues.put(QUEUE, message)
    await host.until_empty()
    assert [ok for _, ok, _ in host.ended] == [True] * 6
    events = await tenant_events(azure)
    assert once_an_id(azure) == events
    async with azure.store() as store:
        stats = await store.stats()
        tenant = azure.sim.world.tenants[0].id
        assert memory.head(await store.load(tenant))["failures"] == 0
        assert await store.due("sentinel", 10, tenant) == []
    assert stats.sinks[0].parked == 0


async def test_a_bad_tenant_reaches_the_poison_queue_and_the_health_stream(
    tmp_path: Path, app: Path, on: Ground
) -> None:
    async with cloud(tmp_path, app, on, 3) as azure:
        good, denied, bad = azure.sim.world.tenants
        azure.sim.faults.add(Fault("denied", tenant=denied.id))
        async with azure.store() as store:
            await store.commit(bad.id, State(parts={"head": b'{"format": 99}'}), [])
        host = await azure.host()
        assert len(await host.timer("plan")) == 3
        await host.queues.put(QUEUE, "no message of ours")
        await host.until_empty()

        tries = Counter((json.loads(text)["name"] if text[0] == "{" else text, ok) for text, ok, _ in host.ended)
        assert tries == {
            (good.name, True): 1,
            (denied.name, True): 1,
            (bad.name, False): 5,
            (bad.name, True): 1,
            ("no message of ours", False): 5,
            ("no message of ours", True): 1,
        }
        await host.timer("tend")
        told = {
            (row.row["Reason"], row.row.get("TenantName"), row.row["Summary"])
            for row in azure.service.stored
            if row.row["EventType"] == "connector.problem"
        }
        assert ("denied", denied.name, f"Problem: tenant {denied.name} cannot be read (denied)") in told
        assert ("given_up", None, f"Problem: the queue gave tenant {bad.name} up") in told
        assert {name for _, name, _ in told} <= {None, denied.name}
        assert len([s for _, _, s in told if "the queue gave" in s]) == 2
        _, document = await host.status()
        assert document["tenants"][good.name]["error"] is None
        assert "403" in document["tenants"][denied.name]["error"]


async def test_a_dead_endpoint_poisons_nothing(tmp_path: Path, app: Path, on: Ground) -> None:
    async with cloud(tmp_path, app, on, 2) as azure:
        host = await azure.host(SECURESCORE_DELIVER_S="2")
        await azure.endpoint.stop()
        for _ in range(7):
            await host.timer("plan")
            await host.until_empty()
        assert [ok for _, ok, _ in host.ended] == [True] * 14
        assert await host.queues.count(f"{QUEUE}-poison") == 0
        assert azure.service.stored == []
        events = await tenant_events(azure)
        assert len(events) > 100

        await azure.endpoint.start()
        waiting = await host.timer("tend")
        assert [json.loads(m)["poll"] for m in waiting] == [False, False]
        asked = len(azure.sim.requests)
        await host.until_empty()
        for _ in range(10):  # what does not fit into the two seconds of a turn comes with the next tend
            if once_an_id(azure) >= events:
                break
            await host.timer("tend")
            await host.until_empty()
        assert len(azure.sim.requests) == asked, "only delivered, not polled"
        assert once_an_id(azure) >= events


@define
class Slow:
    """A receiver of webhooks that takes so long for each event; `ids` are those that it answered for."""

    an_event_s: float = 1.0
    ids: Counter[str] = Factory(Counter)
    url: str = ""

    async def _take(self, request: web.Request) -> web.Response:
        found = re.findall(rb'"specversion":"1.0","id":"([^"]+)"', await request.read())
        await asyncio.sleep(self.an_event_s * len(found))
        self.ids.update(each.decode() for each in found)
        return web.Response(status=204)

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator["Slow"]:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", self._take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
            yield self
        finally:
            await runner.cleanup()


async def test_a_slow_sink_ends_no_turn_late_and_brings_no_message_twice(tmp_path: Path, app: Path, on: Ground) -> None:
    """A second an event, and hundreds of events: each turn delivers what fits into its time, and ends."""
    async with cloud(tmp_path, app, on, 3) as azure, Slow().serve(on.context) as slow:
        azure.settings = without(azure.settings, "SECURESCORE__sinks__0") | {
            "SECURESCORE__sinks__0__name": "hook",
            "SECURESCORE__sinks__0__kind": "webhook",
            "SECURESCORE__sinks__0__url": slow.url,
            "SECURESCORE__sinks__0__format": "cloudevents",
            "SECURESCORE__sinks__0__streams__0": "score",
            "SECURESCORE__sinks__0__streams__1": "inventory",
            "SECURESCORE__sinks__0__start": "backfill",
        }
        host = await azure.host(SECURESCORE_DELIVER_S="10")
        await host.timer("plan")
        await host.until_empty(most_s=120)
        events = await tenant_events(azure)
        assert len(events) > 200
        assert 0 < len(slow.ids) < len(events), "a part was delivered, the rest waits"
        await host.timer("tend")
        await host.until_empty(most_s=120)
        assert len(host.ended) == 6, "no message came twice"
        assert {ok for _, ok, _ in host.ended} == {True}
        late_s = 35  # the poll, and one batch of a pace that nobody knew yet: bounded by the network's time limit
        assert max(host.seconds) < 10 + late_s, host.seconds
        slow.an_event_s = 0.0
        async with azure.store() as store:
            wanted = {e.id for e in await store.history(Query()) if e.tenant_id and e.stream in ("score", "inventory")}
        while missing := wanted - slow.ids.keys():
            await host.timer("tend")
            await host.until_empty(most_s=120)
            assert missing > wanted - slow.ids.keys(), "each round brings some on, until nothing is missing"
        assert "offers again what was settled" not in (tmp_path / "worker.log").read_text()


async def test_many_tenants_and_a_slow_one_that_blocks_nobody(tmp_path: Path, app: Path, on: Ground) -> None:
    """The small version of functions_fleet.py; then one tenant's Graph does not answer at all."""
    async with cloud(tmp_path, app, on, 12, backfill="0d") as azure:
        host = await azure.host()
        found = await measure(azure, host)
        assert (found["first"]["failed"], found["unchanged"]["failed"], found["poisoned"]) == (0, 0, 0)
        assert (found["missing"], found["more_than_once"], found["waiting"]) == (0, 0, 0)

        slow = azure.sim.world.tenants[0]
        azure.sim.faults.add(Fault("slow", tenant=slow.id, seconds=3600))
        host.ended.clear()
        await host.timer("plan")
        pump = asyncio.create_task(host.until_empty())
        while len(host.ended) < 11:
            await asyncio.sleep(0.02)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        assert {json.loads(text)["tenant"] for text, _, _ in host.ended} == {
            t.id for t in azure.sim.world.tenants if t is not slow
        }


async def test_tenants_of_a_blob_with_a_secret_from_the_vault(tmp_path: Path, app: Path, on: Ground) -> None:
    """A partner's way: one application, its secret in a vault, tenants in a file that grows while the app runs."""
    async with cloud(tmp_path, app, on, 3) as azure:
        azure.settings = without(azure.settings, "SECURESCORE__tenants")
        azure.vault.secrets["graph"] = SECRET
        azure.settings |= {
            "GRAPH_SECRET": f"keyvault:{azure.vault.url}/secrets/graph",
            "SECURESCORE_TENANTS_BLOB": f"{azure.account.blob}/config/tenants.csv",
            "SECURESCORE__defaults__auth__kind": "client_secret",
            "SECURESCORE__defaults__auth__client_id": CLIENT,
            "SECURESCORE__defaults__auth__client_secret": "${env:GRAPH_SECRET}",
        }
        lines = [f"{t.name},{t.id}" for t in azure.sim.world.tenants]
        await azure.put("config", "tenants.csv", "\n".join(["name,tenant_id", *lines[:2]]).encode())
        host = await azure.host(2)
        assert len(await host.timer("plan")) == 2
        await host.until_empty()
        await azure.put("config", "tenants.csv", "\n".join(["name,tenant_id", *lines]).encode())
        assert len(await host.timer("plan")) == 3
        await host.until_empty()
        assert [ok for _, ok, _ in host.ended] == [True] * 5, host.ended
        assert once_an_id(azure) == await tenant_events(azure)
        assert {row.row["SourceTenantId"] for row in azure.service.stored} == {t.id for t in azure.sim.world.tenants}
        assert SECRET not in (tmp_path / "worker.log").read_text()


async def test_operators_commands_work_on_the_apps_state(
    azure: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = await azure.host()
    await host.timer("plan")
    await host.until_empty()
    tenant = azure.sim.world.tenants[0]
    async with azure.store() as store:
        state = await store.load(tenant.id)
        assert state is not None
        refusal = {"first_at": "2026-11-22T09:00:00Z", "problem_id": "p", "lost": ["AdminMFAV2"], "approved": False}
        await store.commit(tenant.id, memory.with_head(state, {**memory.head(state), "refusal": refusal}), [])
    token = tmp_path / "storage.token"
    token.touch(0o600)
    issuer = f"https://sts.windows.net/{tenant.id}/"
    token.write_text(azure.authority.issue({"iss": issuer, "aud": "https://storage.azure.com", "tid": tenant.id}))
    config = tmp_path / "operator.yaml"
    config.write_text(f"""
        state:
          blob: {{account_url: "{azure.account.blob}", container: {azure.container}, token_file: storage.token}}
        network: {{ca_file: "{azure.ca_file}"}}
        tenants: [{{name: {tenant.name}, tenant_id: {tenant.id}, auth: {{kind: managed_identity}}}}]
        sinks:
          - name: sentinel
            kind: sentinel
            endpoint: "{azure.endpoint.url}"
            rule_id: {ingestion.RULE}
            auth: {{kind: managed_identity}}
        """)

    async def command(*words: str) -> str:
        code = await asyncio.to_thread(main, [*words, "-c", str(config)])
        shown = capsys.readouterr()
        assert code == 0, shown.err
        return shown.out

    assert tenant.name in await command("status")
    assert "AdminMFAV2" not in await command("accept-snapshot", "--tenant", tenant.name)
    async with azure.store() as store:
        assert memory.head(await store.load(tenant.id))["refusal"]["approved"] is True

    before = azure.service.ids()
    assert f"{len(before)} events will be offered" in await command(
        "replay", "--sink", "sentinel", "--tenant", tenant.name
    )
    async with azure.store() as store:
        (first, *_) = await store.due("sentinel", 1, tenant.id)
        moment = "2026-11-22T09:00:00Z"
        await store.settle(
            "sentinel", Settlement(moment, attempted=(first.seq,), parked={first.seq: "the rule said no"})
        )
    listed = await command("parked", "list")
    assert first.event.id[:8] in listed
    await command("parked", "retry", first.event.id)
    for _ in range(10):  # what does not fit into one turn on a busy machine comes with the next tend
        await host.timer("tend")
        await host.until_empty()
        again = Counter(azure.service.ids())
        if min(again[i] for i in before) > 1:
            break
    assert {again[i] for i in before} == {2}
