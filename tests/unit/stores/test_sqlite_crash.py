"""kill -9 at every SQL statement and at random moments: what was acknowledged is there, nothing is there by halves.

Run as a program this file is the driver: it forks workers, kills them, and checks the file after each death. (A fork of
pytest itself would copy its threads' locks.)
"""

import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from attrs import Factory, define

from connector.clock import SystemClock
from connector.ports import Query, Settlement, Start, State
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import AFTER_ALL, CONTOSO, event, events, numbers, seqs

STATEMENTS = 110
MOMENTS = 40
BIRTHS = 15
BESIDE = ("beside-1", "beside-2", "beside-3")
"""Tenants that commit at the same moment, in one transaction as far as they wait for each other."""


def test_kill_at_every_step_loses_and_halves_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "1"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == STATEMENTS + MOMENTS + BIRTHS, (result, done.stderr)
    assert min(result["commits"], result["settlements"], result["purges"]) > 20, result
    assert result["in_flight"] > 10, f"the kills must hit transactions under way: {result}"


# ------------------------------------------------------------------------------------------------------------- worker


async def work(
    path: Path, seed: int, tell: Callable[[dict[str, Any]], None], arm: Callable[[SqliteStore], None]
) -> NoReturn:
    """Commit, deliver in part and purge until killed; tells each step before it begins and when it is acknowledged."""
    chance = random.Random(seed)
    store = await open_store(path, clock=SystemClock())
    await asyncio.get_running_loop().run_in_executor(store._worker, arm, store)
    await store.attach([Start("siem")])
    while True:  # a fast machine must not let a worker end before its hour
        step = chance.choice(["commit", "turn", "turn", "purge", "purge"])
        if step == "commit":
            state = await store.load(CONTOSO) or State(parts={"n": b"0"})
            begin = int(state.parts["n"])
            end = begin + chance.randrange(1, 30)
            tell({"begin": "commit", "n": end})
            parts = {"n": str(end).encode(), "filling": bytes(chance.randrange(20_000))}
            beside = {tenant: await store.load(tenant) or State() for tenant in BESIDE}
            await asyncio.gather(
                store.commit(CONTOSO, State(state.generation, parts), events(range(begin, end))),
                *(store.commit(t, State(was.generation, {"n": parts["n"]}), []) for t, was in beside.items()),
            )
        elif step == "turn":
            due = await store.due("siem", chance.randrange(1, 40))
            fate = {n: chance.choice(["accepted", "accepted", "accepted", "parked", "ignored"]) for n in numbers(due)}
            tell({"begin": "turn", "fate": fate})
            of = {word: seqs(due, [n for n in fate if fate[n] == word]) for word in ("accepted", "parked")}
            await store.settle(
                "siem",
                Settlement(
                    "t", "t", tuple(seqs(due)), frozenset(of["accepted"]), parked=dict.fromkeys(of["parked"], "no")
                ),
            )
        else:
            tell({"begin": "purge"})
            await store.purge(AFTER_ALL)
        tell({"end": step})


# ------------------------------------------------------------------------------------------------------------- driver


@define
class Ledger:
    """What was acknowledged, and the step that was under way at the last death."""

    n: int = 0
    beside: dict[str, int] = Factory(lambda: dict.fromkeys(BESIDE, 0))
    fate: dict[int, str] = Factory(dict)
    under_way: dict[str, Any] | None = None
    counts: dict[str, int] = Factory(
        lambda: dict.fromkeys(("kills", "commits", "settlements", "purges", "in_flight"), 0)
    )

    def hear(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            self.under_way = line
            return
        assert self.under_way is not None
        self.counts[{"commit": "commits", "turn": "settlements", "purge": "purges"}[line["end"]]] += 1
        if line["end"] == "commit":
            self.n = self.under_way["n"]
            self.beside = dict.fromkeys(BESIDE, self.n)
        elif line["end"] == "turn":
            self.settled(self.under_way)
        self.under_way = None

    def settled(self, line: dict[str, Any]) -> None:
        self.fate.update({int(n): word for n, word in line["fate"].items() if word != "ignored"})

    async def check(self, path: Path) -> None:
        """The file is sound and holds what was acknowledged; the step under way happened whole or not at all."""
        store = await open_store(path, clock=SystemClock())
        state = await store.load(CONTOSO)
        n = 0 if state is None else int(state.parts["n"])
        for tenant, known in self.beside.items():
            there_of_it = await store.load(tenant)
            self.beside[tenant] = 0 if there_of_it is None else int(there_of_it.parts["n"])
            under_way = (self.under_way or {}).get("n", known)
            assert self.beside[tenant] in (known, under_way), "as was acknowledged, or as was under way"
        there = {e.data["number"] for e in await store.history(Query())}
        waiting = {p.event.data["number"] for p in await store.due("siem", 10**6)} if n else set()
        parked = set(numbers(await store.parked()))
        stats = await store.stats()
        if self.under_way is not None:
            self.counts["in_flight"] += 1
            if self.under_way["begin"] == "commit":
                assert n in (self.n, self.under_way["n"]), "a commit under way is there whole or not at all"
                self.n = n
            elif self.under_way["begin"] == "turn":
                named = {int(k): word for k, word in self.under_way["fate"].items() if word != "ignored"}
                took_place = {k not in waiting for k in named}
                assert len(took_place) <= 1, "a settlement under way is there whole or not at all"
                if took_place == {True}:
                    self.settled(self.under_way)
            self.under_way = None
        assert n == self.n, "an acknowledged commit is there"
        everything = set(range(n))
        assert there <= everything, "events come with their state"
        expected = {word: {k for k in everything if self.fate.get(k) == word} for word in ("accepted", "parked")}
        assert waiting == everything - expected["accepted"] - expected["parked"], "due is what was not settled"
        assert parked == expected["parked"], "parked events stay"
        assert everything - there <= expected["accepted"], "only settled events are purged"
        assert stats.events == len(there)
        assert sum(s.backlog for s in stats.sinks) == len(waiting)
        for k in list(expected["accepted"] & there)[:3]:
            assert (await store.trace(event(k).id))[0]["state"] == "accepted"
        await store.close()


def run(
    path: Path, seed: int, ledger: Ledger, statement: int | None = None, after_s: float | None = None, lines: int = 0
) -> None:
    """One worker's life: it dies at its own n-th statement, or some time after its birth or its n-th line at our hand.

    (Lines, so that a slow machine sees as many steps as a fast one.)
    """
    ours, theirs = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(ours)

        def arm(store: SqliteStore) -> None:
            assert store._connection is not None
            seen: list[str] = [""]

            def count(sql: str) -> None:
                if sql[:20] != seen[-1]:  # the rows of one `executemany` are one step
                    seen.append(sql[:20])
                if len(seen) - 2 == statement:
                    os.kill(os.getpid(), signal.SIGKILL)

            store._connection.set_trace_callback(count)

        try:
            asyncio.run(work(path, seed, lambda line: void(os.write(theirs, json.dumps(line).encode() + b"\n")), arm))
        except Exception:
            logging.getLogger(__name__).exception("a worker failed")
        os._exit(1)  # only its death may end it
    os.close(theirs)
    with os.fdopen(ours, "rb") as told:
        for line in islice(told, lines):
            ledger.hear(json.loads(line))
        if after_s is not None:
            time.sleep(after_s)
            os.kill(worker, signal.SIGKILL)
        for line in told:
            ledger.hear(json.loads(line))
    _, status = os.waitpid(worker, 0)
    ledger.counts["kills"] += os.WIFSIGNALED(status)
    asyncio.run(ledger.check(path))


def void(_: object) -> None: ...


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    ledger = Ledger()
    path = folder / "state.db"
    for statement in range(STATEMENTS):
        run(path, chance.getrandbits(32), ledger, statement=statement)
    for _ in range(MOMENTS):
        lines, after_s = chance.randrange(1, 40), chance.uniform(0.0, 0.01)
        run(path, chance.getrandbits(32), ledger, after_s=after_s, lines=lines)
    for birth in range(BIRTHS):
        newborn = Ledger(counts=ledger.counts)
        run(folder / f"newborn{birth}.db", chance.getrandbits(32), newborn, after_s=chance.uniform(0.0, 0.015))
    sys.stdout.write(json.dumps(ledger.counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
