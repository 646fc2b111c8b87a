"""One turn of a sink: due → render → send → settle, again and again (loop.py says when).

Owns back-off and parking, so that a sink stays three methods. Nothing is settled before the sink has answered; an event
in neither part of a receipt is offered again, and no transient fault ever ends that. Back-off, and what is held back,
live in this process only.

What a batch is made of is said in batch.py, how it is sent in sending.py, which events are tried next after failures in
isolation.py. Tenants with a place of their own at the sink: where all that fails is theirs while others are taken, each
gets a queue of its own until it has caught up (apart.py), worked at by a task of its own (lanes.py), so that one
customer's wrong rule holds up no other customer.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from random import Random

from attrs import define, evolve, field, frozen

from connector import backoff
from connector.clock import iso, parse_iso
from connector.deliver import isolation
from connector.deliver.apart import all_with_own_place, left_out_whole, tenants_of, words
from connector.deliver.batch import Batch, Filter, Packer, settlement_of
from connector.deliver.digest import ripe
from connector.deliver.isolation import AGAIN, FIRST, PAGE, Held, Search
from connector.deliver.pace import Pace
from connector.deliver.sending import offer
from connector.errors import Denied, Unavailable
from connector.health.upkeep import SinkHealth
from connector.mapping.render import Mapping as RecordMapping
from connector.model import Digest
from connector.ports import Clock, Operator, Pending, Settlement, Sink, Store

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
"""So long one turn may try further events after a failure."""
SEEK_S = 0.1
"""How long to wait before other tenants are tried, when all of a failed batch have places of their own."""
AGAIN_EVERY = 10
"""After so many batches in a row of first deliveries comes one of what is offered again, if anything is."""

RETRY_LATER = "the receiver took a part and wants to be left alone for now"
RETRY_LATER_HINT = "the rest is offered next time"
SWEEP_EVERY = timedelta(minutes=1)
"""How often what need not wait for a digest is looked for."""
_TOOK_NOTHING = "its place took nothing while others were taken"


class DurableStore(Store, Operator):
    """What a delivery loop needs of a store: settlement, and the replay window."""


@frozen
class Outcome:
    """What one turn of a sink came to. `state` is ok, idle, unavailable or denied; ok may ask for a wait, too.

    A sink that no turn came to is untried.
    """

    sink: str
    state: str
    sent: int = 0
    parked: int = 0
    skipped: int = 0
    error: str | None = None
    hint: str = ""
    wait_s: float = 0.0

    def plus(self, more: "Outcome") -> "Outcome":
        """With what another turn sent, parked and skipped."""
        sent, parked, skipped = self.sent + more.sent, self.parked + more.parked, self.skipped + more.skipped
        return evolve(self, sent=sent, parked=parked, skipped=skipped)


@frozen
class Look:
    """What is due of one kind: what may go, in order; one event that is held back and ripe; whether there is any."""

    fresh: Sequence[Pending] = ()
    lone: Pending | None = None
    any: bool = False


@define
class Line:
    """What is remembered of one kind, first deliveries or what is offered again.

    `size` is how many records a batch may have, `worth` how many events are worth reading for one: what does not fit
    into its bytes is read anew for the next. After a failure its events rest, from and until a moment; `wished` when
    the server named it.
    """

    size: int
    worth: int = PAGE
    search: Search = field(factory=Search)
    rest: tuple[datetime, datetime] | None = None
    wished: bool = False

    def saw(self, batch: Batch, read: int) -> None:
        """So many events were read for a batch: some did not fit, and a few more than did are worth it; or all did."""
        if batch.full:
            self.worth = min(PAGE, batch.seen + batch.seen // 8 + 8)
        elif batch.seen == read:
            self.worth = min(PAGE, 2 * max(self.worth, read))

    def rests(self, now: datetime) -> bool:
        """A clock that was set back ends it, too."""
        return self.rest is not None and self.rest[0] <= now < self.rest[1]


@frozen
class ApartTenant:
    """A tenant set apart, and the queue that it has of its own."""

    name: str
    queue: "Delivery"


@define
class Delivery:
    """One sink's queue. What it is made of is passed in; all else is memory of this process (`init=False`).

    With a `tenant_id` (the key of an entry of `tenants`, as in the store) it offers the events of that entry alone (""
    = the connector's own). `with_own_place` are the keys of the entries that have a place of their own at the sink;
    `apart` are those of them that are left out here. `delivered` counts events accepted since the start of the process,
    by stream: what a heartbeat tells; `kept_back` those that did not concern the sink, by the key that says so.
    `attempt` counts failed turns in a row. With a `digest` first deliveries wait for its times (digest.py); what an
    operator offers again does not.
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
    pace: Pace = field(factory=Pace)
    digest: Digest | None = None

    delivered: dict[str, int] = field(factory=dict, init=False)
    kept_back: dict[str, int] = field(factory=dict, init=False)
    attempt: int = field(default=0, init=False)
    last: Outcome | None = field(default=None, init=False)
    apart: dict[str, ApartTenant] = field(factory=dict, init=False)
    _packer: Packer = field(init=False)
    _lines: dict[str, Line] = field(init=False)
    _end: datetime | None = field(default=None, init=False)
    # The last batch held nothing that concerns this sink: a whole page is looked at, to get past such events.
    _skimming: bool = field(default=False, init=False)
    # What the last turn settled: to be offered it again is a fault of the state.
    _settled: frozenset[int] = field(default=frozenset(), init=False)
    # When was last looked for what waits for a digest and need not, and how many events do wait.
    _swept: datetime | None = field(default=None, init=False)
    _waiting: int = field(default=0, init=False)
    # What the sink said of the last batch it took, where that did not reach everybody.
    _warning: str = field(default="", init=False)
    # How the last failure ended, until something of its kind is taken.
    _refused: Outcome | None = field(default=None, init=False)
    _firsts_in_a_row: int = field(default=0, init=False)
    # Single events, by seq but for `_taken`, which counts accepted ones by tenant.
    _held: dict[int, Held] = field(factory=dict, init=False)
    _left_out: dict[int, int] = field(factory=dict, init=False)
    _taken: dict[str, int] = field(factory=dict, init=False)
    _held_had_its_turn: bool = field(default=False, init=False)
    # Tenants with a place of their own that failed since others were taken: (name, error).
    _suspects: dict[str, tuple[str, Unavailable | Denied]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.max_records = max(1, self.max_records)
        self._packer = Packer(self.sink.name, self.mapping, self.wants, self.max_bytes)
        self._lines = {kind: Line(self.max_records) for kind in (FIRST, AGAIN)}

    def of_tenant(self, tenant_id: str) -> "Delivery":
        """The same sink's queue for one tenant, with a memory of its own."""
        return evolve(self, tenant_id=tenant_id, with_own_place=frozenset())

    async def turn(self, end: datetime | None = None, *, early: bool = False) -> Outcome:
        """Offer one batch, of a size that lets it be over by `end`.

        `early`: the wait that the last turn asked for is not over, so what failed is left alone. Never raises for a
        fault of the far end; StoreError is raised.
        """
        self._end = end
        self.last = await self._turn(early=early)
        return self.last

    def anew(self) -> None:
        """What was backed off may be tried at once, and then as often as in a new process; a server's wish stands."""
        self.attempt = 0
        if any(line.rest is not None and line.wished for line in self._lines.values()):
            return
        for line in self._lines.values():
            line.rest = None

    def has_time(self, end: datetime) -> bool:
        """Whether one send more may be over by then, if it is as the last one was."""
        return self.pace.fits((end - self.clock.now()).total_seconds())

    async def has_more(self) -> bool:
        """Whether anything is due that is not held back."""
        return await self._is_due(FIRST, self.apart) or await self._is_due(AGAIN, self.apart)

    def fail(self, error: Unavailable | Denied) -> Outcome:
        """As a turn in which the sink took nothing."""
        self.last = self._failed(error, Outcome(self.sink.name, "ok"))
        return self.last

    def held_up(self, wait_s: float) -> Outcome:
        """As a turn in which the state could not be read: nothing is known of the sink that was not known before."""
        self.last = evolve(self.last or Outcome(self.sink.name, "untried"), wait_s=wait_s)
        return Outcome(self.sink.name, "unavailable", error="the state cannot be read", wait_s=wait_s)

    def health(self) -> SinkHealth:
        """How the sink is doing, for whoever reports problems."""
        stuck = tuple(held.event_id for held in self._held.values() if held.stuck)
        for tenant in self.apart.values():
            stuck += tenant.queue.health().stuck
        last = self._refused or self.last
        if last is None or last.state == "untried":
            return SinkHealth(self.sink.name, "untried")
        state = last.state if last.state in ("unavailable", "denied") else "ok"
        if state != "ok" and self.attempt == 0:
            state = "ok"  # only what is held back is waiting
        if state == "ok" and (said := self.words_of_those_apart()) is not None:
            return SinkHealth(self.sink.name, *said, stuck)
        return SinkHealth(self.sink.name, state, last.error or "", last.hint, stuck, self._warning)

    def words_of_those_apart(self) -> tuple[str, str, str] | None:
        """(state, error, hint) of the tenants whose own place fails; None when there is none."""
        last = ((tenant.name, tenant.queue.last) for tenant in self.apart.values())
        return words((said.state, name, said.error or "", said.hint) for name, said in last if said is not None)

    # ------------------------------------------------------------------------------------------------------ whose turn

    async def _turn(self, *, early: bool) -> Outcome:
        """Offer an event that is held back, when one is ripe; or the next batch."""
        now = self.clock.now()
        if self.digest is not None:
            await self._sweep(now)
        firsts, agains = await self._candidates(now, early=early)
        if self._settled.intersection(p.seq for p in firsts.fresh):
            # Sending the same events for ever would look like success from here and like a flood from there.
            what = "the state offers again what was settled: its position does not move"
            error = Unavailable(what, hint="this is a bug: report it with the log")
            return self._failed(error, Outcome(self.sink.name, "ok"))
        fresh = agains.fresh or firsts.fresh
        lone = firsts.lone or agains.lone
        if lone is not None and self.attempt == 0 and not (fresh and self._held_had_its_turn):
            self._held_had_its_turn = True
            return await self._retry_alone(lone, now)
        self._held_had_its_turn = False
        if not fresh:
            return self._nothing_new(now, waiting=firsts.any or agains.any)
        self._firsts_in_a_row += fresh is firsts.fresh
        return await self._turn_fresh(fresh, now)

    async def _sweep(self, now: datetime) -> None:
        """What does not concern the sink waits for no digest: among it a digest would come in many small batches."""
        if self._swept is not None and timedelta(0) <= now - self._swept < SWEEP_EVERY:
            return
        while True:
            limit = self._waiting + PAGE
            due = await self.store.due(self.sink.name, limit, self.tenant_id, frozenset(self.apart))
            others = {p.seq: why for p in due if p.kind == FIRST and (why := self._packer.against(p.event))}
            if others:
                await self.store.settle(self.sink.name, Settlement(at=iso(now), skipped=frozenset(others)))
                self._count_kept_back(others.values())
            self._waiting = len(due) - len(others)
            if len(due) < limit:
                self._swept = now
                return

    async def _candidates(self, now: datetime, *, early: bool) -> tuple[Look, Look]:
        """What is due for the first time, and what is due again; of the latter only what is to go now.

        First deliveries come first. What is offered again goes while they rest or are held back, and after AGAIN_EVERY
        of their batches. What rests goes only where nothing else does, and not `early`.
        """
        first, again = self._lines[FIRST], self._lines[AGAIN]
        if not first.rests(now) and first.rest is not None:
            self._suspects.clear()  # all are tried anew
            first.rest = None
        firsts = await self._look(FIRST, now, without={*self.apart, *self._suspects})
        if first.rests(now) and not self._suspects:
            firsts = evolve(firsts, fresh=())
        agains = Look()
        if (not firsts.fresh or self._firsts_in_a_row >= AGAIN_EVERY) and not again.rests(now):
            self._firsts_in_a_row = 0
            agains = await self._look(AGAIN, now, without=self.apart)
        if firsts.fresh or agains.fresh or early or not (first.rests(now) or again.rests(now)):
            return firsts, agains
        self._suspects.clear()
        firsts = await self._look(FIRST, now, without=self.apart)
        return firsts, agains if firsts.fresh else await self._look(AGAIN, now, without=self.apart)

    async def _look(self, kind: str, now: datetime, *, without: Collection[str]) -> Look:
        line = self._lines[kind]
        limit = len(self._held) + (
            PAGE if self._skimming else min(PAGE, min(line.size, line.worth) + line.search.reach)
        )
        asked = await self.store.due(self.sink.name, limit, self.tenant_id, frozenset(without), again=kind == AGAIN)
        due = [p for p in asked if p.kind == kind]
        self._held = isolation.still_due(self._held, due, kind, complete=len(due) < limit)
        if kind == FIRST:
            due = list(ripe(due, self.digest, now))
        fresh, lone = isolation.split(due, self._held, now)
        return Look(fresh, lone, bool(due))

    def _nothing_new(self, now: datetime, *, waiting: bool) -> Outcome:
        """Nothing is due, or only what rests or is held back."""
        rests = [line.rest[1] for line in self._lines.values() if line.rest is not None and line.rests(now)]
        if rests and self._refused is not None:
            return evolve(self._refused, sent=0, parked=0, skipped=0, wait_s=(min(rests) - now).total_seconds())
        self._well()
        for line in self._lines.values():
            line.size = self.max_records
        if not (waiting and self._held):
            return Outcome(self.sink.name, "idle", wait_s=IDLE_S)
        what = f"{len(self._held)} events are refused while others are taken; each is retried alone"
        wait_s = max(0.0, (min(held.until for held in self._held.values()) - now).total_seconds())
        hint = "look for these events in the receiver's log: `securescore events --id ID --trace`"
        return Outcome(self.sink.name, "unavailable", error=what, hint=hint, wait_s=min(wait_s, BACKOFF_CAP_S))

    async def _turn_fresh(self, fresh: Sequence[Pending], now: datetime) -> Outcome:
        """Offer the next batch, and where it fails see whether others are taken; then settle all of it at once."""
        kind = fresh[0].kind
        line = self._lines[kind]
        batch = await self._offer(fresh, line.size)
        if batch.error is None:
            line.saw(batch, len(fresh))
        batches = [batch]
        if isolation.failed_alone(batch, self.attempt):
            line.search = line.search.failed_again()
            if line.search.on and len(self._held) < PAGE:
                behind = await self._try_behind(fresh, line)
                batches += behind
                if any(tried.moved for tried in behind):
                    batch.error = None
        self._skimming = not batch.records
        result = await self._settle(batches, now)
        if batch.error is not None:
            return await self._turn_failed(batch, batch.error, kind, result)
        if batch.records:
            line.size = min(self.max_records, line.size * 2)
        line.rest, line.search = None, Search()
        if self._lines[FIRST].rest is None:
            self.attempt, self._refused = 0, None
        self._hold_left_out(batch)
        whole = left_out_whole(batch, self.with_own_place)
        for tenant_id, tenant in tenants_of(whole).items():
            self._part(tenant_id, tenant, Unavailable(_TOOK_NOTHING, batch.retry_after_s))
        self._part_suspects(batch)
        if batch.retry_after_s is None or (whole and len(whole) == len(batch.left)):
            return result  # a wish to be left alone was that of their places
        return evolve(result, wait_s=batch.retry_after_s)

    async def _turn_failed(self, batch: Batch, error: Unavailable | Denied, kind: str, result: Outcome) -> Outcome:
        """Nothing of the batch was taken: it rests; but where others may be well, these are tried at once."""
        if all_with_own_place(batch, self.with_own_place):
            self._suspects |= {t: (name, error) for t, name in tenants_of(batch.pending).items()}
            if await self._is_due(FIRST, {*self.apart, *self._suspects}):
                return evolve(result, wait_s=SEEK_S)
        else:
            self._suspects.clear()  # it is the sink
        await self._offer_recent_again()
        failed = self._failed(error, result, kind)
        other = FIRST if kind == AGAIN else AGAIN
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            rest = self._lines[kind].rest  # the sink as a whole wants to be left alone
            self._lines[other].rest, self._lines[other].wished = rest, True
        elif not self._lines[other].rests(self.clock.now()) and await self._is_due(other, self.apart):
            return evolve(failed, wait_s=0.0)
        return failed

    async def _is_due(self, kind: str, without: Collection[str]) -> bool:
        """Whether anything is that is not held back."""
        limit = len(self._held) + 1
        due = await self.store.due(self.sink.name, limit, self.tenant_id, frozenset(without), again=kind == AGAIN)
        those = [p for p in due if p.kind == kind]
        if kind == FIRST:
            those = list(ripe(those, self.digest, self.clock.now()))
        return any(p.seq not in self._held for p in those)

    # -------------------------------------------------------------------------------------------------- one batch

    async def _offer(self, due: Sequence[Pending], most: int) -> Batch:
        """Send the largest prefix that fits, and note what became of each event. Settles nothing."""
        began = self.clock.now()
        if self._end is not None:
            most = self.pace.bounded(most, (self._end - began).total_seconds())
        batch = await offer(self.sink, await self._packer.pack(due, most), self.send_limit_s)
        if batch.accepted:
            self._warning = batch.warning
        if batch.records:
            seconds = (self.clock.now() - began).total_seconds()
            self.pace.saw(len(batch.records), seconds, moved=batch.moved)
        return batch

    async def _settle(self, batches: Sequence[Batch], sent: datetime) -> Outcome:
        """Write down what became of the batches, in one settlement."""
        done = settlement_of(batches, at=iso(self.clock.now()), first_sent=iso(sent))
        await self.store.settle(self.sink.name, done)
        self._settled = done.accepted | done.skipped | done.parked.keys()
        for event in (p.event for b in batches for p in b.pending if p.seq in done.accepted):
            self.delivered[event.stream] = self.delivered.get(event.stream, 0) + 1
            self._taken[event.entry] = self._taken.get(event.entry, 0) + 1
        self._count_kept_back(why for b in batches for why in b.skipped.values())
        for seq, reason in done.parked.items():
            log.warning("deliver.parked", extra={"sink": self.sink.name, "seq": seq, "reason": reason})
        return Outcome(self.sink.name, "ok", len(done.accepted), len(done.parked), len(done.skipped))

    def _count_kept_back(self, reasons: Iterable[str]) -> None:
        for why in reasons:
            self.kept_back[why] = self.kept_back.get(why, 0) + 1

    def _well(self) -> None:
        """The sink works: what follows a failure begins anew with the next one."""
        self.attempt, self._refused = 0, None
        for line in self._lines.values():
            line.search, line.rest = Search(), None

    def _failed(self, error: Unavailable | Denied, result: Outcome, kind: str = FIRST) -> Outcome:
        """Back off: a little longer each time, at least as long as the server wishes, never for good."""
        self.attempt += 1
        retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
        wait_s = backoff.delay_s(self.attempt, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, retry_after_s)
        state = "unavailable"
        if isinstance(error, Denied):
            state, wait_s = "denied", self.dice.uniform(HOLD_S / 2, HOLD_S)
        elif self.attempt >= isolation.SHRINK_AFTER and retry_after_s is None:
            self._lines[kind].size = 1
        log.warning(
            "deliver.refused",
            extra={"sink": self.sink.name, "state": state, "error": error.what, "wait_s": round(wait_s, 1)},
        )
        now = self.clock.now()
        self._lines[kind].rest = (now, now + timedelta(seconds=wait_s))
        self._lines[kind].wished = retry_after_s is not None
        self._refused = evolve(result, state=state, error=error.what, hint=error.hint, wait_s=wait_s)
        return self._refused

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
            self._settled = frozenset()  # in its old place it is due once more
            log.info("deliver.replay_window", extra={"sink": self.sink.name, "events": again})

    # ------------------------------------------------------------------------------- single events (isolation.py)

    async def _try_behind(self, fresh: Sequence[Pending], line: Line) -> list[Batch]:
        """Offer events behind those that failed alone in this row of failures, one by one, each further than the last.

        If one is taken, those before it are held back, unless the first of them is taken now: then an outage is just
        over. Thus every event is offered for the first time in commit order.
        """
        line.search = line.search.resumed()
        passed = await self._packer.passed(fresh, line.search.tried + 1)
        before, rest = list(passed.pending), fresh[passed.seen :]
        end = self.clock.now() + timedelta(seconds=SEARCH_S)
        end = end if self._end is None else min(end, self._end)
        tried: list[Batch] = []
        for _ in range(line.search.tries):
            candidate = await self._offer(rest, 1)
            candidate.skipped |= passed.skipped  # or a long run of them would hide every candidate
            tried.append(candidate)
            line.search = line.search.stepped(ended=not candidate.records)
            if candidate.moved:
                first = await self._offer(before[:1], 1)
                tried.append(first)
                if first.moved:
                    break
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
        self._left_out = {} if batch.whole else isolation.left_out(batch, self._left_out)
        if not self._left_out:
            return
        for pending in batch.pending:
            if self._left_out.get(pending.seq, 0) >= isolation.LEFT_OUT and len(self._held) < PAGE:
                del self._left_out[pending.seq]
                self._hold(pending)

    def _hold(self, pending: Pending, was: Held | None = None, error: Unavailable | Denied | None = None) -> Held:
        """Hold an event back, longer each time."""
        retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
        failures = was.failures + 1 if was else 1
        wait_s = backoff.delay_s(failures, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, retry_after_s)
        taken = self._taken.get(pending.event.entry, 0)
        now = self.clock.now()
        held = isolation.hold(pending.event.id, was, error, taken, now, max(BACKOFF_BASE_S, wait_s))
        held = evolve(held, kind=pending.kind)
        self._held[pending.seq] = held
        return held

    # ------------------------------------------------------------------------------------ single tenants (apart.py)

    def _part_suspects(self, batch: Batch) -> None:
        """Others were taken: what failed was the place of each tenant under suspicion. Or it was theirs: an outage."""
        taken = {p.event.entry for p in batch.pending if batch.answered(p)} if self._suspects else set()
        if not taken:
            return
        if not taken <= self._suspects.keys():
            for tenant_id, (name, error) in self._suspects.items():
                if tenant_id not in taken and tenant_id not in self.apart:
                    self._part(tenant_id, name, error)
        self._suspects.clear()

    def _part(self, tenant_id: str, name: str, error: Unavailable | Denied) -> None:
        """From now on this tenant has a queue of its own, which has just failed for the first time."""
        log.warning("deliver.apart", extra={"sink": self.sink.name, "tenant": name, "error": error.what})
        queue = self.of_tenant(tenant_id)
        queue.delivered, queue.kept_back, queue.pace = self.delivered, self.kept_back, evolve(self.pace)
        queue.fail(error)
        self.apart[tenant_id] = ApartTenant(name, queue)
        self._left_out = {}

    def rejoin(self, tenant_id: str) -> None:
        """This tenant has caught up."""
        tenant = self.apart.pop(tenant_id)
        log.info("deliver.together", extra={"sink": self.sink.name, "tenant": tenant.name})
