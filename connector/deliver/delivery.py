"""One turn of a sink: due → render → send → settle, again and again (loop.py says when).

Owns back-off and parking, so that a sink stays three methods. Nothing is settled before the sink has answered; an event
in neither part of a receipt is offered again, and no transient fault ever ends that. Back-off, and what is held back,
live in this process only.

What a batch is made of is said in batch.py, how it is sent in sending.py, which events are tried next after failures in
isolation.py. Tenants with a place of their own at the sink: where all that fails is theirs while others are taken, each
gets a loop of its own until it has caught up (apart.py), so that one customer's wrong rule holds up no other customer.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from attrs import define, evolve, field, frozen

from connector import backoff
from connector.clock import iso, parse_iso
from connector.deliver import isolation
from connector.deliver.apart import ApartTenants, all_with_own_place, left_out_whole, tenants_of
from connector.deliver.batch import Batch, Filter, Packer, settlement_of
from connector.deliver.isolation import PAGE, Held, Search
from connector.deliver.sending import offer
from connector.errors import Denied, Unavailable
from connector.health.upkeep import SinkHealth
from connector.mapping.render import Mapping as RecordMapping
from connector.ports import Clock, Operator, Pending, Sink, Store

log = logging.getLogger("securescore.deliver")

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
HOLD_S = 300.0
"""How long to wait when an operator must act; every sink is tried again some time, for ever."""
IDLE_S = 1.0
"""How long to wait when nothing is due."""
SEND_LIMIT_S = 900.0
"""A sink bounds its own attempts; this is for one that does not."""
SEARCH_S = 30.0
"""So long one turn may try further events or tenants after a failure."""
BESIDE = 10
"""So many batches of other tenants are tried in one turn, when all of a failed one have places of their own."""

RETRY_LATER = "the receiver took a part and wants to be left alone for now"
RETRY_LATER_HINT = "the rest is offered next time"
_TOOK_NOTHING = "its place took nothing while others were taken"


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


@define
class Delivery:
    """One sink's queue. What it is made of is passed in; all else is memory of this process (`init=False`).

    With a `tenant_id` it offers the events of that tenant alone ("" = the connector's own). `with_own_place` are the
    ids of the tenants that have a place of their own at the sink. `delivered` counts events accepted since the start of
    the process, by stream: what a heartbeat tells. `attempt` counts failed turns in a row.
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
    with_own_place: frozenset[str] = frozenset()

    delivered: dict[str, int] = field(factory=dict, init=False)
    attempt: int = field(default=0, init=False)
    last: Outcome | None = field(default=None, init=False)
    _packer: Packer = field(init=False)
    _batch_size: int = field(init=False)
    # The last batch held nothing that concerns this sink: a whole page is looked at, to get past such events.
    _skimming: bool = field(default=False, init=False)
    # What the last turn settled: to be offered it again is a fault of the state.
    _settled: frozenset[int] = field(default=frozenset(), init=False)
    # Single events, by seq but for `_taken`, which counts accepted ones by tenant.
    _search: Search = field(factory=Search, init=False)
    _held: dict[int, Held] = field(factory=dict, init=False)
    _left_out: dict[int, int] = field(factory=dict, init=False)
    _taken: dict[str, int] = field(factory=dict, init=False)
    _held_had_its_turn: bool = field(default=False, init=False)
    # Single tenants: those that are apart, and those whose batches failed in this row of failures (name, error).
    _apart: "ApartTenants[Delivery]" = field(factory=ApartTenants, init=False)
    _suspects: dict[str, tuple[str, Unavailable | Denied]] = field(factory=dict, init=False)
    _apart_had_its_turn: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.max_records = max(1, self.max_records)
        self._packer = Packer(self.sink.name, self.mapping, self.wants, self.max_bytes)
        self._batch_size = self.max_records

    def of_tenant(self, tenant_id: str) -> "Delivery":
        """The same sink's queue for one tenant, with a memory of its own."""
        return evolve(self, tenant_id=tenant_id, with_own_place=frozenset())

    async def turn(self) -> Outcome:
        """Offer one batch. Never raises for a fault of the far end; StoreError is raised."""
        self.last = await self._turn()
        return self.last

    def fail(self, error: Unavailable | Denied) -> Outcome:
        """As a turn in which the sink took nothing."""
        self.last = self._failed(error, Outcome(self.sink.name, "ok"))
        return self.last

    def health(self) -> SinkHealth:
        """How the sink is doing, for whoever reports problems."""
        stuck = tuple(held.event_id for held in self._held.values() if held.stuck)
        for loop in self._apart.loops():
            stuck += loop.health().stuck
        if self.last is None:
            return SinkHealth(self.sink.name, "untried")
        state = self.last.state if self.last.state in ("unavailable", "denied") else "ok"
        if state != "ok" and self.attempt == 0:
            state = "ok"  # only what is held back is waiting
        if state == "ok" and (words := self._apart.words()) is not None:
            return SinkHealth(self.sink.name, *words, stuck)
        return SinkHealth(self.sink.name, state, self.last.error or "", self.last.hint, stuck)

    # ------------------------------------------------------------------------------------------------------ whose turn

    async def _turn(self) -> Outcome:
        """A turn of a tenant that is apart, when one is ripe and the last turn was not such a one; else of the rest."""
        now = self.clock.now()
        tenant_id = None if self._apart_had_its_turn else self._apart.ripe(now)
        self._apart_had_its_turn = tenant_id is not None
        if tenant_id is not None:
            return await self._turn_apart(tenant_id)
        outcome = await self._turn_together()
        if outcome.state != "idle" or not self._apart:
            return outcome
        wait_s = self._apart.wait_s(now)
        if not wait_s:  # one of them is ripe: the next turn is its
            return Outcome(self.sink.name, "ok")
        state, error, hint = self._apart.words() or ("unavailable", RETRY_LATER, RETRY_LATER_HINT)
        return Outcome(self.sink.name, state, error=error, hint=hint, wait_s=wait_s)

    async def _turn_together(self) -> Outcome:
        """A turn of all that are not apart: of an event that is held back, when one is ripe, or of the next batch."""
        name = self.sink.name
        limit = len(self._held) + (PAGE if self._skimming else min(PAGE, self._batch_size + self._search.reach))
        due = await self.store.due(name, limit, self.tenant_id, frozenset(self._apart))
        if self._settled.intersection(p.seq for p in due if p.kind == "first"):
            # Sending the same events for ever would look like success from here and like a flood from there.
            what = "the state offers again what was settled: its position does not move"
            return self._failed(Unavailable(what, hint="this is a bug: report it with the log"), Outcome(name, "ok"))
        self._held = isolation.still_due(self._held, due, complete=len(due) < limit)
        now = self.clock.now()
        fresh, lone = isolation.split(due, self._held, now)
        if lone is not None and self.attempt == 0 and not (fresh and self._held_had_its_turn):
            self._held_had_its_turn = True
            return await self._retry_alone(lone, now)
        self._held_had_its_turn = False
        return await self._turn_fresh(fresh, now) if fresh else self._nothing_new(now, waiting=bool(due))

    def _nothing_new(self, now: datetime, *, waiting: bool) -> Outcome:
        """Nothing is due, or only what is held back."""
        self._well()
        self._batch_size = self.max_records
        if not (waiting and self._held):
            return Outcome(self.sink.name, "idle", wait_s=IDLE_S)
        what = f"{len(self._held)} events are refused while others are taken; each is retried alone"
        wait_s = max(0.0, (min(held.until for held in self._held.values()) - now).total_seconds())
        hint = "look for these events in the receiver's log: `securescore events --id ID --trace`"
        return Outcome(self.sink.name, "unavailable", error=what, hint=hint, wait_s=min(wait_s, BACKOFF_CAP_S))

    async def _turn_fresh(self, fresh: Sequence[Pending], now: datetime) -> Outcome:
        """Offer the next batch, and where it fails see whether others are taken; then settle all of it at once."""
        batch = await self._offer(fresh, self._batch_size)
        batches = [batch]
        if batch.error is not None and all_with_own_place(batch, self.with_own_place):
            batches += await self._try_beside(batch)
            if batches[-1].moved:
                batch.error = None
        if isolation.failed_alone(batch, self.attempt):
            self._search = self._search.failed_again()
            if self._search.on and len(self._held) < PAGE:
                batches += await self._try_behind(fresh)
                if batches[-1].moved:
                    batch.error = None
        self._skimming = not batch.records
        result = await self._settle(batches, now)
        if batch.error is not None:
            await self._offer_recent_again()
            return self._failed(batch.error, result)
        if batch.records:
            self._batch_size = min(self.max_records, self._batch_size * 2)
        self._well()
        self._suspects.clear()
        self._hold_left_out(batch)
        whole = left_out_whole(batch, self.with_own_place)
        for tenant_id, tenant in tenants_of(whole).items():
            self._part(tenant_id, tenant, Unavailable(_TOOK_NOTHING, batch.retry_after_s))
        if batch.retry_after_s is None or (whole and len(whole) == len(batch.left)):
            return result  # a wish to be left alone was that of their places
        return evolve(result, wait_s=batch.retry_after_s)

    # -------------------------------------------------------------------------------------------------- one batch

    async def _offer(self, due: Sequence[Pending], most: int) -> Batch:
        """Send the largest prefix that fits, and note what became of each event. Settles nothing."""
        return await offer(self.sink, self._packer.pack(due, most), self.send_limit_s)

    async def _settle(self, batches: Sequence[Batch], sent: datetime) -> Outcome:
        """Write down what became of the batches, in one settlement."""
        done = settlement_of(batches, at=iso(self.clock.now()), first_sent=iso(sent))
        await self.store.settle(self.sink.name, done)
        self._settled = done.accepted | done.skipped | done.parked.keys()
        for event in (p.event for b in batches for p in b.pending if p.seq in done.accepted):
            self.delivered[event.stream] = self.delivered.get(event.stream, 0) + 1
            self._taken[event.tenant_id] = self._taken.get(event.tenant_id, 0) + 1
        for seq, reason in done.parked.items():
            log.warning("deliver.parked", extra={"sink": self.sink.name, "seq": seq, "reason": reason})
        return Outcome(self.sink.name, "ok", len(done.accepted), len(done.parked), len(done.skipped))

    def _well(self) -> None:
        """The sink works: what follows a failure begins anew with the next one."""
        self.attempt, self._search = 0, Search()

    def _failed(self, error: Unavailable | Denied, result: Outcome) -> Outcome:
        """Back off: a little longer each time, at least as long as the server wishes, never for good."""
        self.attempt += 1
        retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
        wait_s = backoff.delay_s(self.attempt, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, retry_after_s)
        state = "unavailable"
        if isinstance(error, Denied):
            state, wait_s = "denied", self.dice.uniform(HOLD_S / 2, HOLD_S)
        elif self.attempt >= isolation.SHRINK_AFTER and retry_after_s is None:
            self._batch_size = 1
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

    # ------------------------------------------------------------------------------- single events (isolation.py)

    async def _try_behind(self, fresh: Sequence[Pending]) -> list[Batch]:
        """Offer events behind those that failed alone in this row of failures, one by one, each further than the last.

        If one is taken, those before it are held back. Thus every event is offered for the first time in commit order.
        """
        self._search = self._search.resumed()
        passed = self._packer.passed(fresh, self._search.tried + 1)
        before, rest = list(passed.pending), fresh[passed.seen :]
        end = self.clock.now() + timedelta(seconds=SEARCH_S)
        tried: list[Batch] = []
        for _ in range(self._search.tries):
            candidate = await self._offer(rest, 1)
            candidate.skipped |= passed.skipped  # or a long run of them would hide every candidate
            tried.append(candidate)
            self._search = self._search.stepped(ended=not candidate.records)
            if candidate.moved:
                log.warning("deliver.set_aside", extra={"sink": self.sink.name, "ids": [p.event.id for p in before]})
                for pending in before:
                    self._hold(pending)
            if candidate.moved or not isolation.may_be_the_events(candidate.error) or self.clock.now() >= end:
                break
            before += candidate.pending
            rest = rest[candidate.seen :]
        return tried

    async def _retry_alone(self, pending: Pending, now: datetime) -> Outcome:
        """Another try of one event that is held back; its failure says nothing about the sink."""
        was = self._held.pop(pending.seq)
        batch = await self._offer([pending], 1)
        if batch.records and not batch.moved and batch.error is not None:
            held = self._hold(pending, was, batch.error)
            if held.hopeless:
                del self._held[pending.seq]
                batch.parked[pending.seq] = f"refused {held.proofs} times while others were taken: {batch.error.what}"
        return await self._settle([batch], now)

    def _hold_left_out(self, batch: Batch) -> None:
        """Hold back what receipts keep leaving out."""
        self._left_out = isolation.left_out(batch, self._left_out)
        for pending in batch.pending:
            if self._left_out.get(pending.seq, 0) >= isolation.LEFT_OUT and len(self._held) < PAGE:
                del self._left_out[pending.seq]
                self._hold(pending)

    def _hold(self, pending: Pending, was: Held | None = None, error: Unavailable | Denied | None = None) -> Held:
        """Hold an event back, longer each time."""
        retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
        failures = was.failures + 1 if was else 1
        wait_s = backoff.delay_s(failures, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, retry_after_s)
        taken = self._taken.get(pending.event.tenant_id, 0)
        now = self.clock.now()
        held = isolation.hold(pending.event.id, was, error, taken, now, max(BACKOFF_BASE_S, wait_s))
        self._held[pending.seq] = held
        return held

    # ------------------------------------------------------------------------------------ single tenants (apart.py)

    async def _try_beside(self, failed: Batch) -> list[Batch]:
        """Offer events of other tenants than those whose batches failed in this row of failures.

        If any are taken, the failure was that of places: each of those tenants goes its own way from now on.
        """
        end = self.clock.now() + timedelta(seconds=SEARCH_S)
        tried: list[Batch] = []
        for _ in range(BESIDE):
            if failed.error is not None:
                self._suspects |= {t: (name, failed.error) for t, name in tenants_of(failed.pending).items()}
            without = frozenset({*self._apart, *self._suspects})
            rest = await self.store.due(self.sink.name, self._batch_size, self.tenant_id, without)
            beside = await self._offer(rest, self._batch_size)
            tried.append(beside)
            if beside.moved:
                for tenant_id, (name, error) in self._suspects.items():
                    self._part(tenant_id, name, error)
            elif beside.records and all_with_own_place(beside, self.with_own_place) and self.clock.now() < end:
                failed = beside
                continue
            elif not beside.records and not beside.skipped:  # all have failed: an outage, most likely
                self._suspects.clear()
            break
        return tried

    def _part(self, tenant_id: str, name: str, error: Unavailable | Denied) -> None:
        """From now on this tenant has a loop of its own, which has just failed for the first time."""
        log.warning("deliver.apart", extra={"sink": self.sink.name, "tenant": name, "error": error.what})
        loop = self.of_tenant(tenant_id)
        loop.delivered = self.delivered
        self._note(tenant_id, name, loop, loop.fail(error))
        self._left_out = {}

    def _note(self, tenant_id: str, name: str, loop: "Delivery", turn: Outcome) -> None:
        said = (turn.state, turn.error or "", turn.hint)
        self._apart.note(tenant_id, name, loop, self.clock.now(), turn.wait_s, said)

    async def _turn_apart(self, tenant_id: str) -> Outcome:
        """One turn of a tenant that is apart; its failure says nothing about the sink."""
        tenant = self._apart[tenant_id]
        turn = await tenant.loop.turn()
        if turn.state == "idle":
            self._apart.rejoin(tenant_id)
            log.info("deliver.together", extra={"sink": self.sink.name, "tenant": tenant.name})
        else:
            self._note(tenant_id, tenant.name, tenant.loop, turn)
        return Outcome(self.sink.name, "ok", turn.sent, turn.parked, turn.skipped)
