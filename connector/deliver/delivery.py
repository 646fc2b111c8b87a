"""The deliver side: due → render → send → settle, one loop a sink.

Owns back-off, isolation and parking, so that a sink stays three methods; what a batch is made of is said in batch.py.
Nothing is settled before the sink has answered; an event in neither part of a receipt is offered again, and no
transient fault ever ends that. Back-off, and what is set aside, live in this process only.

Isolation: when batches keep failing they shrink to one event, and then one of those behind it is tried too. What fails
alone while one behind it is taken is no outage: it is set aside, retried alone, and parked with the sink's words when
it has failed often enough while others of its tenant were taken (a tenant may have a place of its own at the sink, and
that place an outage of its own). So is what receipts keep leaving out. The queue moves on meanwhile.

Tenants with a place of their own at the sink (`apart`): where all that fails is theirs while others are taken, each
gets a loop of its own until it has caught up (apart.py), so that one customer's wrong rule holds up no other customer.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random

from attrs import Factory, define, evolve, field, frozen

from connector import backoff
from connector.clock import first_of, iso, parse_iso
from connector.deliver.apart import Lanes
from connector.deliver.batch import Batch, Filter, Packer
from connector.errors import Denied, StoreError, Unavailable
from connector.health.upkeep import Standing
from connector.mapping.render import Mapping as RecordMapping
from connector.model import Receipt, Record
from connector.ports import Clock, Operator, Pending, Settlement, Sink, Store

log = logging.getLogger("securescore.deliver")

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
HOLD_S = 300.0
"""How long to wait when an operator must act; every sink is tried again some time, for ever."""
IDLE_S = 1.0
IDLE_CAP_S = 15.0
"""An idle sink looks this often, and ever less often, for what an operator's command made due; commits wake it."""
SEND_LIMIT_S = 900.0
"""A sink bounds its own attempts; this is for one that does not."""
PAGE = 1_000
"""How many events are looked at in one turn."""

SHRINK_AFTER = 5
"""Failed turns in a row after which batches hold one event; they double with each success."""
ISOLATE_AFTER = 3
"""Failures of the first event alone, in a row, after which the one behind it is tried too, then the next, and so on."""
BEHIND, STRIDE, FAR, SEARCH_S = 50, 25, PAGE - 100, 30.0
"""From this far behind so many are tried in one turn, as far as that, while it takes no longer; then from the start.

What goes on failing is most likely an outage: of the further searches only numbers 1, 3, 7, 15, … go that far.
"""
BESIDE = 10
"""So many batches of other tenants are tried in one turn, when all of a failed one have places of their own."""
LEFT_OUT = 3
"""How often in a row a receipt may leave an event out, while it takes later ones, before that is set aside."""
STUCK_AFTER = 3
PARK_AFTER = 10
"""Lone tries, each with others of its tenant taken since the last, until an event is reported stuck, or parked."""


_WISH, _WISH_HINT = "the receiver took a part and wants to be left alone for now", "the rest is offered next time"


class DurableStore(Store, Operator):
    """What a delivery loop needs of a store: settlement, and the replay window."""


@frozen
class Outcome:
    """What one turn of a sink came to. `state` is ok, idle, unavailable or denied; ok may ask for a wait, too."""

    sink: str
    state: str
    sent: int = 0
    parked: int = 0
    skipped: int = 0
    error: str | None = None
    hint: str = ""
    wait_s: float = 0.0


@frozen
class _Aside:
    """An event that is retried alone, from `until` on.

    `proofs` counts failures with others of its tenant taken since the one before; `taken` is how many had been by then.
    """

    event_id: str
    since: datetime
    until: datetime
    failures: int
    proofs: int
    taken: int

    def ripe(self, now: datetime) -> bool:
        """A clock that was set back makes it ripe, too."""
        return now >= self.until or now < self.since


@define
class Delivery:
    """One sink's loop. Everything but the parts it is made of lives in memory only.

    With a `tenant_id` it offers the events of that tenant alone ("" = the connector's own). `delivered` counts events
    accepted since the start of the process, by stream: what a heartbeat tells. `apart` are the ids of the tenants that
    have a place of their own at the sink.
    """

    store: DurableStore
    sink: Sink
    mapping: RecordMapping
    clock: Clock
    wants: Filter
    max_records: int
    max_bytes: int
    dice: Random = field(factory=Random, repr=False)
    send_limit_s: float = SEND_LIMIT_S
    tenant_id: str | None = None
    apart: frozenset[str] = frozenset()
    delivered: dict[str, int] = Factory(dict)
    _taken: dict[str, int] = Factory(dict)
    attempt: int = 0
    last: Outcome | None = None
    _packer: Packer = field(init=False)
    _room: int = field(init=False)
    _skimming: bool = False
    _settled: frozenset[int] = frozenset()
    _left_out: dict[int, int] = Factory(dict)
    _aside: dict[int, _Aside] = Factory(dict)
    _lone_turn: bool = False
    _alone: int = 0
    _behind: int = 0
    _searches: int = 0
    _lanes: "Lanes[Delivery]" = Factory(Lanes)
    _lane_turn: bool = False
    _suspects: dict[str, tuple[str, Unavailable | Denied]] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.max_records = max(1, self.max_records)
        self._packer = Packer(self.sink.name, self.mapping, self.wants, self.max_bytes)
        self._room = self.max_records

    def of_tenant(self, tenant_id: str) -> "Delivery":
        """The same sink's loop for one tenant, with a memory of its own."""
        return Delivery(
            store=self.store,
            sink=self.sink,
            mapping=self.mapping,
            clock=self.clock,
            wants=self.wants,
            max_records=self.max_records,
            max_bytes=self.max_bytes,
            send_limit_s=self.send_limit_s,
            tenant_id=tenant_id,
        )

    async def turn(self) -> Outcome:
        """Offer one batch. Never raises for a fault of the far end; StoreError is raised."""
        self.last = await self._turn()
        return self.last

    def fail(self, error: Unavailable | Denied) -> Outcome:
        """As a turn in which the sink took nothing."""
        self.last = self._failed(error, Outcome(self.sink.name, "ok"))
        return self.last

    def standing(self) -> Standing:
        """How the sink stands, for whoever reports problems."""
        stuck = tuple(a.event_id for a in self._aside.values() if a.proofs >= STUCK_AFTER)
        for tenant_id in self._lanes:
            stuck += self._lanes.loop(tenant_id).standing().stuck
        if self.last is None:
            return Standing(self.sink.name, "untried")
        state = self.last.state if self.last.state in ("unavailable", "denied") else "ok"
        if state != "ok" and self.attempt == 0:
            state = "ok"  # only what was set aside is waiting
        if state == "ok" and (words := self._lanes.words()) is not None:
            return Standing(self.sink.name, *words, stuck)
        return Standing(self.sink.name, state, self.last.error or "", self.last.hint, stuck)

    async def _turn(self) -> Outcome:
        """A turn of a tenant that is apart, when one is ripe and the last turn was not such a one; else of the rest."""
        now = self.clock.now()
        tenant_id = None if self._lane_turn else self._lanes.ripe(now)
        self._lane_turn = tenant_id is not None
        if tenant_id is not None:
            return await self._turn_apart(tenant_id)
        outcome = await self._turn_together()
        if outcome.state != "idle" or not self._lanes:
            return outcome
        wait_s = self._lanes.wait_s(now)
        if not wait_s:  # one of them is ripe: the next turn is its
            return Outcome(self.sink.name, "ok")
        state, error, hint = self._lanes.words() or ("unavailable", _WISH, _WISH_HINT)
        return Outcome(self.sink.name, state, error=error, hint=hint, wait_s=wait_s)

    async def _turn_together(self) -> Outcome:
        name = self.sink.name
        behind = self._behind + STRIDE + 1 if self._alone >= ISOLATE_AFTER else 0
        limit = len(self._aside) + (PAGE if self._skimming else min(PAGE, self._room + behind))
        due = await self.store.due(name, limit, self.tenant_id, frozenset(self._lanes))
        if self._settled.intersection(p.seq for p in due if p.kind == "first"):
            # Sending the same events for ever would look like success from here and like a flood from there.
            what = "the state offers again what was settled: its position does not move"
            return self._failed(Unavailable(what, hint="this is a bug: report it with the log"), Outcome(name, "ok"))
        self._forget(due, complete=len(due) < limit)
        now = self.clock.now()
        fresh = [p for p in due if p.seq not in self._aside]
        lone = next((p for p in due if p.seq in self._aside and self._aside[p.seq].ripe(now)), None)
        if lone is not None and self.attempt == 0 and not (fresh and self._lone_turn):
            return await self._retry_alone(lone, now)
        self._lone_turn = False
        if not fresh:
            return self._nothing_new(now, waiting=bool(due))
        batch = await self._offer(fresh, self._room)
        batches = [batch]
        if batch.error is not None and self._is_apart(batch):
            batches += await self._try_beside(batch)
            if batches[-1].moved:
                batch.error = None
        if batch.error is not None and self._failed_alone(batch):
            self._alone += 1
            if self._alone > ISOLATE_AFTER and len(self._aside) < PAGE:
                batches += await self._try_behind(fresh)
                if batches[-1].moved:
                    batch.error = None
        self._skimming = not batch.records
        result = await self._settle(batches, now)
        self._count_left_out(batch)
        if batch.error is not None:
            await self._offer_recent_again()
            return self._failed(batch.error, result)
        if batch.records:
            self._room = min(self.max_records, self._room * 2)
        self.attempt = self._alone = self._behind = self._searches = 0
        self._suspects.clear()
        if self._part_left_tenants(batch):
            return result  # the wish was that of their places
        return result if batch.wish_s is None else evolve(result, wait_s=batch.wish_s)

    def _nothing_new(self, now: datetime, *, waiting: bool) -> Outcome:
        """Nothing is due, or only what was set aside."""
        self.attempt = self._alone = self._behind = self._searches = 0
        self._room = self.max_records
        if not (waiting and self._aside):
            return Outcome(self.sink.name, "idle", wait_s=IDLE_S)
        what = f"{len(self._aside)} events are refused while others are taken; each is retried alone"
        wait_s = max(0.0, (min(a.until for a in self._aside.values()) - now).total_seconds())
        hint = "look for these events in the receiver's log: `securescore events --id ID --trace`"
        return Outcome(self.sink.name, "unavailable", error=what, hint=hint, wait_s=min(wait_s, BACKOFF_CAP_S))

    # -------------------------------------------------------------------------------------------------- one batch

    async def _offer(self, due: Sequence[Pending], room: int) -> Batch:
        """Send the largest prefix that fits, and note what became of each event. Settles nothing."""
        batch = self._packer.pack(due, room)
        if not batch.records:
            return batch
        receipt, batch.error = await self._send(batch.records)
        batch.wish_s = receipt.retry_after_s
        for pending in batch.pending:
            if pending.event.id in receipt.rejected:
                batch.parked[pending.seq] = receipt.rejected[pending.event.id]
            elif pending.event.id in receipt.accepted:
                batch.accepted.add(pending.seq)
        if batch.error is None and not batch.moved:
            what = "the sink accepted nothing and rejected nothing"
            batch.error = Unavailable(what, batch.wish_s, hint="look at the receiver's own log")
        return batch

    async def _send(self, records: Sequence[Record]) -> tuple[Receipt, Unavailable | Denied | None]:
        try:
            async with asyncio.timeout(self.send_limit_s):
                return await self.sink.send(records), None
        except (Unavailable, Denied) as error:
            return Receipt(), error
        except TimeoutError:
            return Receipt(), Unavailable(f"the sink gave no answer within {self.send_limit_s:g} s")
        except Exception as bug:
            log.exception("deliver.bug", extra={"sink": self.sink.name})
            return Receipt(), Unavailable(f"{type(bug).__name__} inside the sink", hint="this is a bug: report the log")

    async def _settle(self, batches: Sequence[Batch], sent: datetime) -> Outcome:
        """Write down what became of the batches, in one settlement."""
        parked = {seq: words for b in batches for seq, words in b.parked.items()}
        accepted = frozenset(seq for b in batches for seq in b.accepted)
        skipped = frozenset(seq for b in batches for seq in b.skipped)
        await self.store.settle(
            self.sink.name,
            Settlement(
                at=iso(self.clock.now()),
                first_sent=iso(sent),
                attempted=tuple(p.seq for b in batches for p in b.pending),
                accepted=accepted,
                skipped=skipped,
                parked=parked,
            ),
        )
        self._settled = accepted | skipped | parked.keys()
        for event in (p.event for b in batches for p in b.pending if p.seq in accepted):
            self.delivered[event.stream] = self.delivered.get(event.stream, 0) + 1
            self._taken[event.tenant_id] = self._taken.get(event.tenant_id, 0) + 1
        for seq, reason in parked.items():
            log.warning("deliver.parked", extra={"sink": self.sink.name, "seq": seq, "reason": reason})
        return Outcome(self.sink.name, "ok", sent=len(accepted), parked=len(parked), skipped=len(skipped))

    def _failed(self, error: Unavailable | Denied, result: Outcome) -> Outcome:
        """Back off: a little longer each time, at least as long as the server wishes, never for good."""
        self.attempt += 1
        wish_s = error.retry_after_s if isinstance(error, Unavailable) else None
        wait_s = backoff.delay_s(self.attempt, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, wish_s)
        state = "unavailable"
        if isinstance(error, Denied):
            state, wait_s = "denied", self.dice.uniform(HOLD_S / 2, HOLD_S)
        elif self.attempt >= SHRINK_AFTER and wish_s is None:
            self._room = 1
        log.warning(
            "deliver.refused",
            extra={"sink": self.sink.name, "state": state, "error": error.what, "wait_s": round(wait_s, 1)},
        )
        return evolve(result, state=state, error=error.what, hint=error.hint, wait_s=wait_s)

    async def _offer_recent_again(self) -> None:
        """What was settled within the replay window before a failure may be lost: offer it again, once an outage.

        A refused certificate counts, too: the receiver may have refused it while it took the batches before.

        The window reaches back from the last success, not from now: a receiver that died right after it is noticed by
        the next batch, which may be an hour away.
        """
        window_s = self.sink.replay_window_s
        if not window_s or self.attempt:
            return
        stats = await self.store.stats()
        last = next((s.last_success for s in stats.sinks if s.name == self.sink.name), None)
        if last is None:
            return
        again = await self.store.recent(self.sink.name, iso(parse_iso(last) - timedelta(seconds=window_s)))
        if again:
            log.info("deliver.replay_window", extra={"sink": self.sink.name, "events": again})

    # ------------------------------------------------------------------------------------------------- isolation

    def _failed_alone(self, batch: Batch) -> bool:
        """Whether the first event was refused by itself, after larger batches were, and the sink asks for no time."""
        return _is_plain(batch.error) and len(batch.records) == 1 and self.attempt >= SHRINK_AFTER

    async def _try_behind(self, fresh: Sequence[Pending]) -> list[Batch]:
        """Offer events behind those that failed alone in this row of failures, one by one, each further than the last.

        If one is taken, those before it are set aside. Thus every event is offered for the first time in commit order.
        """
        far = FAR if self._searches & (self._searches + 1) == 0 else BEHIND
        if self._behind >= far:
            self._behind, self._searches = 0, self._searches + 1
        passed = self._packer.passed(fresh, self._behind + 1)
        before, skipped, rest = list(passed.pending), passed.skipped, fresh[passed.seen :]
        end = self.clock.now() + timedelta(seconds=SEARCH_S)
        tried: list[Batch] = []
        for _ in range(1 if self._behind < BEHIND else STRIDE):
            candidate = await self._offer(rest, 1)
            candidate.skipped |= skipped  # or a long run of them would hide every candidate
            tried.append(candidate)
            self._behind += 1
            if not candidate.records:  # the end of the queue
                self._behind, self._searches = 0, self._searches + 1
            if candidate.moved:
                log.warning("deliver.set_aside", extra={"sink": self.sink.name, "ids": [p.event.id for p in before]})
                for pending in before:
                    self._set_aside(pending)
            if candidate.moved or not _is_plain(candidate.error) or self.clock.now() >= end:
                break
            before += candidate.pending
            rest = rest[candidate.seen :]
        return tried

    def _count_left_out(self, batch: Batch) -> None:
        """Events that the receipt left out although it took or refused a later one of the same batch."""
        if batch.error is not None:
            return
        last = max(
            (n for n, p in enumerate(batch.pending) if p.seq in batch.accepted or p.seq in batch.parked), default=0
        )
        left = [p for p in batch.pending[:last] if p.seq not in batch.accepted and p.seq not in batch.parked]
        self._left_out = {p.seq: self._left_out.get(p.seq, 0) + 1 for p in left}
        for pending in left:
            if self._left_out[pending.seq] >= LEFT_OUT and len(self._aside) < PAGE:
                del self._left_out[pending.seq]
                self._set_aside(pending)

    def _set_aside(
        self, pending: Pending, was: _Aside | None = None, error: Unavailable | Denied | None = None
    ) -> None:
        """Hold an event back, longer each time. What an operator must mend is no proof against the event."""
        taken = self._taken.get(pending.event.tenant_id, 0)
        failures = was.failures + 1 if was else 1
        proofs = was.proofs + (taken > was.taken and not isinstance(error, Denied)) if was else 0
        wish_s = error.retry_after_s if isinstance(error, Unavailable) else None
        wait_s = max(BACKOFF_BASE_S, backoff.delay_s(failures, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, wish_s))
        now = self.clock.now()
        until = now + timedelta(seconds=wait_s)
        self._aside[pending.seq] = _Aside(pending.event.id, now, until, failures, proofs, taken)

    async def _retry_alone(self, pending: Pending, now: datetime) -> Outcome:
        """Another try of one event that was set aside; its failure says nothing about the sink."""
        self._lone_turn = True
        was = self._aside.pop(pending.seq)
        batch = await self._offer([pending], 1)
        if batch.records and not batch.moved and batch.error is not None:
            self._set_aside(pending, was, batch.error)
            proofs = self._aside[pending.seq].proofs
            if proofs > PARK_AFTER:
                del self._aside[pending.seq]
                batch.parked[pending.seq] = f"refused {proofs} times while others were taken: {batch.error.what}"
        return await self._settle([batch], now)

    def _forget(self, due: Sequence[Pending], *, complete: bool) -> None:
        """What is no longer due (released, forgotten) is not held any more."""
        there = {p.seq for p in due}
        gone = [seq for seq in self._aside if seq not in there and (complete or seq < max(there))]
        for seq in gone:
            del self._aside[seq]

    # ---------------------------------------------------------------------------------------------- tenants apart

    def _is_apart(self, batch: Batch) -> bool:
        """Whether every event of it is of a tenant with a place of its own: its failure may say nothing of the rest."""
        return bool(batch.pending) and all(p.event.tenant_id in self.apart for p in batch.pending)

    async def _try_beside(self, failed: Batch) -> list[Batch]:
        """Offer events of other tenants than those whose batches failed in this row of failures.

        If any are taken, the failure was that of places: each of those tenants goes its own way from now on.
        """
        end = self.clock.now() + timedelta(seconds=SEARCH_S)
        tried: list[Batch] = []
        for _ in range(BESIDE):
            if failed.error is not None:
                self._suspects |= {t: (name, failed.error) for t, name in _tenants(failed.pending).items()}
            without = frozenset({*self._lanes, *self._suspects})
            rest = await self.store.due(self.sink.name, self._room, self.tenant_id, without)
            beside = await self._offer(rest, self._room)
            tried.append(beside)
            if beside.moved:
                for tenant_id, (name, error) in self._suspects.items():
                    self._part(tenant_id, name, error)
            elif beside.records and self._is_apart(beside) and self.clock.now() < end:
                failed = beside
                continue
            elif not beside.records and not beside.skipped:  # all have failed: an outage, most likely
                self._suspects.clear()
            break
        return tried

    def _part_left_tenants(self, batch: Batch) -> bool:
        """Tenants with a place of their own that took nothing, while others were taken, go their own way from now on.

        Returns whether all that the receipt left out is theirs.
        """
        if not batch.moved:
            return False
        left = [p for p in batch.pending if p.seq not in batch.accepted and p.seq not in batch.parked]
        took = {p.event.tenant_id for p in batch.pending if p.seq in batch.accepted or p.seq in batch.parked}
        whole = [p for p in left if p.event.tenant_id in self.apart - took]
        error = Unavailable("its place took nothing while others were taken", batch.wish_s)
        for tenant_id, name in _tenants(whole).items():
            self._part(tenant_id, name, error)
        return bool(left) and len(whole) == len(left)

    def _part(self, tenant_id: str, name: str, error: Unavailable | Denied) -> None:
        """From now on this tenant has a loop of its own, which has just failed for the first time."""
        log.warning("deliver.apart", extra={"sink": self.sink.name, "tenant": name, "error": error.what})
        loop = self.of_tenant(tenant_id)
        loop.dice, loop.delivered = self.dice, self.delivered
        self._note(tenant_id, name, loop, loop.fail(error))
        self._left_out = {}

    def _note(self, tenant_id: str, name: str, loop: "Delivery", turn: Outcome) -> None:
        said = (turn.state, turn.error or "", turn.hint)
        self._lanes.note(tenant_id, name, loop, self.clock.now(), turn.wait_s, said)

    async def _turn_apart(self, tenant_id: str) -> Outcome:
        """One turn of a tenant that is apart; its failure says nothing about the sink."""
        loop, name = self._lanes.loop(tenant_id), self._lanes.name(tenant_id)
        turn = await loop.turn()
        if turn.state == "idle":
            self._lanes.close(tenant_id)
            log.info("deliver.together", extra={"sink": self.sink.name, "tenant": name})
        else:
            self._note(tenant_id, name, loop, turn)
        return Outcome(self.sink.name, "ok", turn.sent, turn.parked, turn.skipped)

    # ----------------------------------------------------------------------------------------------------- loops

    async def drain(self, deadline_s: float) -> Outcome:
        """Offer until nothing is due or the deadline has passed; transient failures are retried within it."""
        end = self.clock.now() + timedelta(seconds=deadline_s)
        total = Outcome(self.sink.name, "idle")
        while True:
            turn = await self.turn()
            total = evolve(
                turn,
                sent=total.sent + turn.sent,
                parked=total.parked + turn.parked,
                skipped=total.skipped + turn.skipped,
            )
            if turn.state == "idle":
                return evolve(total, state="ok")
            if turn.state == "ok" and not turn.wait_s:
                continue
            remaining_s = (end - self.clock.now()).total_seconds()
            if turn.state == "denied" or turn.wait_s >= remaining_s:
                return total if turn.state != "ok" else evolve(total, state="unavailable", error=_WISH, hint=_WISH_HINT)
            await self.clock.sleep(turn.wait_s)

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Offer for ever. `wake` ends an idle wait; after `stop` what is due is offered until the sink falters."""
        idle_s = IDLE_S
        while True:
            wake.clear()  # before looking: a commit after this look wakes the wait below
            turn = await self._guarded_turn()
            if stop.is_set() and (turn.state != "ok" or turn.wait_s):
                return
            idle_s = min(IDLE_CAP_S, idle_s * 2) if turn.state == "idle" else IDLE_S
            if turn.wait_s and turn.state == "idle":
                if await _wait(self.clock, idle_s, stop, wake):
                    idle_s = IDLE_S
            elif turn.wait_s:
                # Where only single events or tenants are waiting, a commit may bring what others are to have at once.
                works = self.attempt == 0 and turn.state != "ok"
                await _wait(self.clock, turn.wait_s, stop, wake if works else None)

    async def _guarded_turn(self) -> Outcome:
        """A turn whose own bug stops this sink for a while, and no other."""
        try:
            return await self.turn()
        except StoreError:
            raise
        except Exception as bug:
            log.exception("deliver.bug", extra={"sink": self.sink.name})
            error = Unavailable(f"{type(bug).__name__} in the delivery loop", hint="this is a bug: report the log")
            failed = self.fail(error)
            return evolve(failed, wait_s=max(failed.wait_s, BACKOFF_BASE_S))


async def _wait(clock: Clock, seconds: float, stop: asyncio.Event, wake: asyncio.Event | None = None) -> bool:
    """Sleep until the time is over, or one of the events is set; whether `wake` was."""
    await first_of(clock.sleep(seconds), *(event.wait() for event in (stop, wake) if event is not None))
    return wake is not None and wake.is_set()


def _tenants(pending: Iterable[Pending]) -> dict[str, str]:
    """The tenants of these events: id → name."""
    return {p.event.tenant_id: str((p.event.data.get("tenant") or {}).get("name") or "") for p in pending}


def _is_plain(error: Unavailable | Denied | None) -> bool:
    """A failure that may be the event's: neither an operator's matter nor the sink's wish to be left alone."""
    return isinstance(error, Unavailable) and error.retry_after_s is None
