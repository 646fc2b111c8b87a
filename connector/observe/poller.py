"""The observe side: read a tenant's source, fold the snapshot, commit state and events in one transaction.

Schedule, concurrency and feed-health policy live here; nothing about sinks does. What a snapshot means: fold.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from attrs import evolve, frozen

from connector.clock import iso, parse_iso
from connector.config.values import ChangesConfig, TenantConfig
from connector.errors import (
    ConfigError,
    Conflict,
    Denied,
    SecureScoreError,
    StoreError,
    TenantDamaged,
    Unavailable,
    WrongTenant,
    exhausted,
)
from connector.ids import event_id
from connector.model import Absent, Change, Event, EvidenceFile, Known, Reading, Snapshot, Unchanged, Unit
from connector.observe import deviations, estate, heads, mending, pending_writes, units
from connector.observe import memory as remember
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe, stale
from connector.observe.months import damaged
from connector.observe.places import Places
from connector.observe.severity import SeverityRules
from connector.observe.storm import Storms
from connector.observe.unit_folds import UNITS_A_COMMIT, UnitFolds
from connector.ports import Clock, Flaw, Source, State, Store
from connector.problems import Fault, advance
from connector.signin.credentials import ExpiryWatch
from connector.signin.refusals import SignInRefused

log = logging.getLogger("securescore.poll")

UNAVAILABLE_AFTER = 2
"""How many failed polls in a row make unavailability a problem: one alone is weather."""
READ_LIMIT_S = 900.0
"""How long reading one tenant may take, sign-in and all. A source bounds itself; this is for what no source sees."""
COMMIT_TRIES = 20
"""A conflict means that an operator's command committed in between, so tries are as many as one may well commit."""
MAX_DAYS_A_COMMIT = 400
HEALS = "usually heals by itself; scores and states are not compared until it does"
"""What to do about a part that could not be read, where its source knows nothing better."""
EVIDENCE = "connector.problem:evidence"
UNJUDGED = ("feed.partial:", "connector.problem:turn", EVIDENCE)
"""Open problems that a poll which read nothing cannot judge: they stay open."""


class Archive(Protocol):
    """Where complete responses are kept as evidence (evidence.py)."""

    async def save(self, tenant_id: str, files: Sequence[EvidenceFile], newest_day: str) -> None:
        """Raises Unavailable, in bounded time; then the poll goes on and says so."""
        ...


@frozen
class PollOutcome:
    """What one poll of a tenant came to: `status` ok, unchanged, partial or failed; `error` is the fault in words.

    `notes` say what is odd about the input, although it was read; `stale`: the feed stands still (`feed.stale`).
    """

    tenant: str
    status: str
    newest_day: str | None = None
    events: int = 0
    error: str | None = None
    hint: str = ""
    reason: str = ""
    retry_after_s: float | None = None
    notes: tuple[str, ...] = ()
    stale: bool = False


@frozen
class _Note:
    """What a poll that folded nothing has to write: the head, and what is told of the feed's health."""

    state: State
    events: Sequence[Event]
    outcome: PollOutcome


@frozen
class Poller:
    """Observes tenants. `open_source` gives a ready source for a tenant; a tenant is never polled twice at once.

    In `places` those wait for one another that have nothing to tell.
    """

    store: Store
    clock: Clock
    open_source: Callable[[TenantConfig], Awaitable[Source]]
    changes: ChangesConfig
    severity: SeverityRules
    archive: Archive | None = None
    keep_days: int = 400
    max_days_a_commit: int = MAX_DAYS_A_COMMIT
    watch: ExpiryWatch | None = None
    storms: Storms | None = None
    read_limit_s: float = READ_LIMIT_S
    places: Places | None = None

    async def poll(self, tenant: TenantConfig) -> PollOutcome:
        """Read, fold and commit one tenant. A foreseeable failure is an outcome; only StoreError is raised.

        What of its state cannot be read is set aside, told, and gone on without.
        """
        for _ in range(COMMIT_TRIES):
            try:
                return await self._poll_sound(tenant)
            except Conflict:
                log.info("poll.conflict", extra={"tenant": tenant.name})
            except TenantDamaged as error:
                return PollOutcome(tenant.name, "failed", error=error.what, hint=error.hint, reason="state_damaged")
            except StoreError:
                raise
            except Exception as bug:  # one tenant's bug must not stop the others
                if (lack := exhausted(bug)) is not None:
                    return await self._unforeseen(tenant, lack, reason="unavailable")
                log.exception("poll.bug", extra={"tenant": tenant.name})
                what = f"{type(bug).__name__} while observing; the log has the traceback"
                fault = SecureScoreError(what, "this is a bug: report it")
                return await self._unforeseen(tenant, fault, reason="bug")
        return PollOutcome(
            tenant.name, "failed", error="another process keeps committing this tenant", reason="conflict"
        )

    async def _unforeseen(self, tenant: TenantConfig, error: SecureScoreError, *, reason: str) -> PollOutcome:
        """What nobody expects of a poll is remembered and told as any other failure. Raises StoreError."""
        try:
            state = (await self.store.heads([tenant.key]))[tenant.key]
            expiring = await self.watch.of_tenant(tenant.name, self.clock.now()) if self.watch else []
            note = self._failed(tenant, state, remember.head(state), error, reason, expiring)
            await self._commit(tenant, note.state, note.events)
        except StoreError:
            raise
        except Exception:  # the fault may lie here, too; or another process was faster
            log.exception("poll.untold", extra={"tenant": tenant.name})
            return PollOutcome(tenant.name, "failed", error=error.what, hint=error.hint, reason=reason)
        return note.outcome

    async def _poll_sound(self, tenant: TenantConfig) -> PollOutcome:
        """A poll, which goes on without what cannot be read."""
        try:
            found = await self._poll(tenant)
        except TenantDamaged as error:
            await self._mend(tenant, await self.store.load(tenant.key) or State(), error)
            found = await self._poll(tenant)
        if isinstance(found, PollOutcome):
            return found
        if self.places is not None and not found.events:
            await self.places.wait()  # with nothing but the note: what was read is let go
        await self._commit(tenant, found.state, found.events)
        return found.outcome

    async def _commit(self, tenant: TenantConfig, state: State, events: Sequence[Event]) -> State:
        if self.places is not None and events:
            await self.places.bring_along()
        return await self.store.commit(tenant.key, state, events)

    async def _poll(self, tenant: TenantConfig) -> PollOutcome | _Note:
        state = (await self.store.heads([tenant.key]))[tenant.key]
        head = remember.head(state)
        expiring = await self.watch.of_tenant(tenant.name, self.clock.now()) if self.watch else []
        try:
            snapshot = await self._read(tenant, heads.known(head, tenant.language, iso(self.clock.now())))
        except (ConfigError, Denied, Unavailable, WrongTenant) as error:
            return self._failed(tenant, state, head, error, _reason(error), expiring)
        self._log_notes(tenant.name, head, snapshot)
        if isinstance(snapshot, Reading):
            return await self._poll_units(tenant, state, head, snapshot, expiring)
        now = iso(self.clock.now())
        rules = self._rules(tenant)
        origin = Origin(tenant.tenant_id, tenant.name, tenant.labels, snapshot.source)
        asked = tenant.targets.baseline
        news = isinstance(snapshot.days, tuple) or isinstance(snapshot.catalogue, Mapping)
        if not news and not deviations.asked_anew(head, asked):
            return self._quiet(tenant, origin, state, head, snapshot, now, expiring)

        snapshot = self._kept(snapshot, head.get("newest"))
        state = await self._whole(tenant, state)
        old = remember.decode(state)
        count, done, unkept = 0, False, None
        while not done:
            seen = observe(old, snapshot, rules, now, self.max_days_a_commit)
            done = seen.done
            newest_day = seen.memory.newest.day.day if seen.memory.newest else None
            told = list(seen.changes)
            late: list[Change] = []
            values = {**head, "tenant": tenant.name, "source": snapshot.source}
            if done:
                refusing = seen.memory.refusal is not None
                unkept = await self._keep(tenant, snapshot, newest_day)  # before the commit, which tells it
                more_faults = [*expiring, *([_unkept(tenant.name, unkept)] if unkept else [])]
                lacking, kept = snapshot.incomplete, bool(snapshot.evidence)
                problems, more = self._problems(
                    tenant, head, lacking, newest_day, now, more_faults, refusing=refusing, kept=kept
                )
                values, late = pending_writes.abandoned({**values, **heads.after(head, snapshot, problems, now)}, now)
                values["trend"] = heads.trend(seen.memory)
                values = deviations.noted(values, asked, seen.memory.targets)
                told += more
            events = [stamp(change, origin, now, self.severity) for change in told]
            events += [stamp(change, _ours(origin), now, self.severity) for change in late]
            encoded = remember.encode(state, old, seen.memory, values)
            if newest_day is not None:
                encoded = remember.forget_before(encoded, self._horizon(newest_day))
            state = await self._commit(tenant, encoded, events)
            count += len(events)
            head = remember.head(state)
            old = seen.memory
        outcome = _outcome_of(tenant.name, snapshot, newest_day, count, values)
        if unkept is not None:
            return evolve(outcome, status="partial", error=unkept.what, hint=unkept.hint, reason="evidence")
        return outcome

    async def _whole(self, tenant: TenantConfig, head_only: State | None) -> State | None:
        """All parts of the state whose head told the source what is known.

        Raises Conflict when another was committed meanwhile, and TenantDamaged when a part is lost: what was read told
        nothing of what is known in it, so the poll begins anew without it.
        """
        state = await self.store.load(tenant.key)
        if (state and state.generation) != (head_only and head_only.generation):
            raise Conflict(f"tenant {tenant.name} was committed while it was read", "Read it again.")
        if state is not None and state.lost:
            raise damaged(f"of tenant {tenant.name}", ValueError("; ".join(sorted(state.lost.values()))))
        return state

    async def _poll_units(
        self,
        tenant: TenantConfig,
        state: State | None,
        head: Mapping[str, Any],
        reading: Reading,
        expiring: Sequence[Fault],
    ) -> PollOutcome:
        """Fold what was read of several units, so many of them a commit; what is said of the whole is in the last."""
        entry = units.whole(tenant)
        assert entry is not None  # only the sources that have one give a Reading
        now = iso(self.clock.now())
        roster = units.roster(head)
        met = estate.met(roster, reading, now)
        if met.snapshots or met.changes:
            state = await self._whole(tenant, state)
        folds = UnitFolds(
            met=met,
            roster=roster,
            entry=entry,
            source=reading.source,
            rules=lambda unit: self._rules(tenant, unit),
            forget=self._horizon,
            now=now,
            units_a_commit=min(UNITS_A_COMMIT, self.max_days_a_commit),
        )
        lacking = {"units": met.absent} if met.absent is not None else {}
        count, unkept = 0, None
        values: dict[str, Any] = {**head, "tenant": tenant.name, "source": reading.source}
        newest_day = head.get("newest")
        for step in folds.steps(state):
            if step is None:
                await asyncio.sleep(0)
                continue
            values |= {units.ROSTER: step.roster}
            told = list(step.told)
            if step.last:
                newest_day = step.head.get("newest", newest_day)
                day = newest_day or max((row.get("newest") or "" for row in step.roster.values()), default="")
                unkept = await self._keep(tenant, reading, day or None)  # before the commit, which tells it
                faults = [*expiring, *([_unkept(tenant.name, unkept)] if unkept else [])]
                refusing = bool(step.head.get("refusal", head.get("refusal")))
                problems, more = self._problems(
                    tenant, head, lacking, newest_day, now, faults, refusing=refusing, kept=bool(reading.evidence)
                )
                values |= {**heads.after_units(head, reading, met, problems, now), **step.head}
                told += [(entry, change) for change in more]
            events = [stamp(change, units.origin(tenant, unit), now, self.severity) for unit, change in told]
            state = units.applied(state or State(), step.parts)
            state = await self._commit(tenant, remember.with_head(state, values), events)
            count += len(events)
        unchanged = isinstance(reading.units, Unchanged)
        outcome = _outcome(tenant.name, list(lacking.values()), newest_day, count, values, unchanged=unchanged)
        if unkept is not None:
            return evolve(outcome, status="partial", error=unkept.what, hint=unkept.hint, reason="evidence")
        return outcome

    def _rules(self, tenant: TenantConfig, unit: Unit | None = None) -> Rules:
        """What decides about the changes of a tenant that is one unit, or of one of its units."""
        scope = units.origin(tenant, unit).scope if unit else tenant.tenant_id
        return Rules(scope, self.changes, tenant.targets, tenant.exceptions, tenant.language, unit)

    async def _mend(self, tenant: TenantConfig, state: State, error: TenantDamaged) -> None:
        """Set aside what cannot be read, in a commit of its own, and say so. Raises the error when nothing is found."""
        gone = mending.unreadable(state)
        if not gone:
            raise error
        now = iso(self.clock.now())
        for part, why in gone.items():
            if part not in state.lost:  # those the store has noted itself
                document = f"{tenant.key}/{part or 'state'}, as read at {now}"
                await self.store.note(Flaw("state_damaged", document, why, tenant.key, 0, {}, now))
        anew, lost_units = mending.begun_anew(state, gone)
        left = mending.mended(state, gone)
        log.error("state.mended", extra={"tenant": tenant.name, "parts": sorted(gone), "anew": anew})
        rows = {} if anew else units.roster(remember.head(state))
        origins = [units.origin(tenant, estate.of_row(rows[key])) for key in lost_units]
        origins += [units.origin(tenant)] if anew else []
        events = [stamp(begun_anew(now, origin.scope), origin, now, self.severity) for origin in origins]
        await self.store.commit(tenant.key, left, events)

    async def _read(self, tenant: TenantConfig, known: Known) -> Snapshot | Reading:
        """What the tenant's source holds. Raises what a source raises, Unavailable when it does not come to an end."""
        try:
            async with asyncio.timeout(self.read_limit_s):
                source = await self.open_source(tenant)
                try:
                    return await source.read(known)
                finally:
                    await source.close()
        except TimeoutError:
            raise Unavailable(f"reading it took longer than {self.read_limit_s:g} s") from None

    async def _keep(
        self, tenant: TenantConfig, snapshot: Snapshot | Reading, newest_day: str | None
    ) -> Unavailable | None:
        """Keep what was received as evidence; why that failed, for it must not keep a poll from being committed."""
        if self.archive is None or newest_day is None or not snapshot.evidence:
            return None
        try:
            await self.archive.save(tenant.key, snapshot.evidence, newest_day)
        except Unavailable as error:
            log.warning("evidence.failed", extra={"tenant": tenant.name, "error": error.what})
            return error
        return None

    @staticmethod
    def _log_notes(tenant: str, head: Mapping[str, Any], snapshot: Snapshot | Reading) -> None:
        """Each note once, when it is new."""
        told = {text for _, text in head.get("notes", ())}
        for note in snapshot.notes:
            if heads.shown(note.text) not in told:
                log.warning("input.noted", extra={"tenant": tenant, "note": note.text})

    def _kept(self, snapshot: Snapshot, newest_day: str | None) -> Snapshot:
        """The snapshot without days that retention has dropped already: they would look late on every read."""
        if not isinstance(snapshot.days, tuple) or not snapshot.days:
            return snapshot
        horizon = self._horizon(max(newest_day or "", *(d.day for d in snapshot.days)))
        return evolve(snapshot, days=tuple(d for d in snapshot.days if d.day >= horizon))

    def _horizon(self, newest_day: str) -> str:
        """The oldest day kept: counted from the newest day, but a document of the future must not expire the past."""
        newest = min(newest_day, iso(self.clock.now())[:10])
        return (parse_iso(newest) - timedelta(days=self.keep_days)).date().isoformat()

    def _quiet(
        self,
        tenant: TenantConfig,
        origin: Origin,
        state: State | None,
        head: Mapping[str, Any],
        snapshot: Snapshot,
        now: str,
        expiring: Sequence[Fault],
    ) -> _Note:
        """Nothing to fold: both parts unchanged or absent. Only the feed's health may have news."""
        newest_day = head.get("newest")
        refusing = bool(head.get("refusal"))
        lacking, kept = snapshot.incomplete, bool(snapshot.evidence)
        problems, told = self._problems(tenant, head, lacking, newest_day, now, expiring, refusing=refusing, kept=kept)
        values = {**head, "tenant": tenant.name, **heads.after(head, snapshot, problems, now)}
        values, late = pending_writes.abandoned(values, now)
        events = [stamp(change, origin, now, self.severity) for change in told]
        events += [stamp(change, _ours(origin), now, self.severity) for change in late]
        outcome = _outcome_of(tenant.name, snapshot, newest_day, len(events), values)
        return _Note(remember.with_head(state or State(), values), events, outcome)

    def _failed(
        self,
        tenant: TenantConfig,
        state: State | None,
        head: Mapping[str, Any],
        error: SecureScoreError,
        reason: str,
        expiring: Sequence[Fault],
    ) -> _Note:
        """Nothing could be read at all: remember the failure, and tell it when it is a problem."""
        now = iso(self.clock.now())
        failures = int(head.get("failures", 0)) + 1
        newest_day = head.get("newest")
        faults = [*self._stale(newest_day, now, refusing=bool(head.get("refusal"))), *expiring]
        if reason != "unavailable" or failures >= UNAVAILABLE_AFTER:
            faults.append(
                Fault(
                    "connector.problem",
                    reason,
                    "access",
                    f"Problem: tenant {tenant.name} cannot be read ({reason})",
                    detail=error.what,
                    hint=error.hint,
                )
            )
        problems, told = advance(
            head.get("problems", {}),
            faults,
            now,
            scope=units.origin(tenant).scope,
            newest_day=newest_day,
            unchecked=lambda key: key.startswith(UNJUDGED),
        )
        problems, told = self._calmed(tenant, head, problems, told, now)
        origin = units.origin(tenant)
        events = [stamp(change, origin, now, self.severity) for change in told]
        values = {
            **head,
            "tenant": tenant.name,
            "failures": failures,
            "error": error.what,
            "reason": reason,
            "hint": error.hint,
            "last_attempt": now,
            "problems": problems,
        }
        outcome = PollOutcome(
            tenant.name,
            "failed",
            newest_day,
            len(events),
            error.what,
            error.hint,
            reason,
            error.retry_after_s if isinstance(error, Unavailable) else None,
        )
        return _Note(remember.with_head(state or State(), values), events, outcome)

    def _problems(
        self,
        tenant: TenantConfig,
        head: Mapping[str, Any],
        lacking: Mapping[str, Absent],
        newest_day: str | None,
        now: str,
        expiring: Sequence[Fault],
        *,
        refusing: bool,
        kept: bool,
    ) -> tuple[dict[str, dict[str, Any]], list[Change]]:
        faults = [
            Fault(
                "feed.partial",
                part.reason,
                name,
                f"Feed partial: the {name} could not be read completely ({part.reason})",
                detail=part.detail,
                hint=part.hint or HEALS,
                data={"part": name},
            )
            for name, part in lacking.items()
        ]
        faults += [*self._stale(newest_day, now, refusing=refusing), *expiring]
        problems, told = advance(
            head.get("problems", {}),
            faults,
            now,
            scope=units.origin(tenant).scope,
            newest_day=newest_day,
            unchecked=lambda key: key == EVIDENCE and self.archive is not None and not kept,
        )
        return self._calmed(tenant, head, problems, told, now)

    def _calmed(
        self,
        tenant: TenantConfig,
        head: Mapping[str, Any],
        problems: dict[str, dict[str, Any]],
        told: list[Change],
        now: str,
    ) -> tuple[dict[str, dict[str, Any]], list[Change]]:
        """What is told of it when very many tenants have the same problem."""
        if self.storms is None:
            return problems, told
        return self.storms.settle(tenant.name, head.get("problems", {}), problems, told, parse_iso(now))

    def _stale(self, newest_day: str | None, now: str, *, refusing: bool) -> list[Fault]:
        """A feed is stale when its newest day began longer ago than `stale_after`; a refused day shows it is alive."""
        if newest_day is None or refusing:
            return []
        fault = stale(newest_day, now, self.changes.stale_after_s)
        return [] if fault is None else [fault]


def begun_anew(now: str, scope: str) -> Change:
    """The notice that the state of a tenant, or of a unit, could not be read and is built anew."""
    data = {
        "summary": "The state of this tenant is new: its history is derived again and marked as backfilled",
        "reason": "state_new",
        "problem_id": event_id(scope, "connector.problem", "state", "state_new", now),
        "first_seen": now,
        "repeat": 0,
        "detail": "what was kept of it could not be read any more",
        "hint": "nothing for what comes; to have what was kept, restore the state from its backup",
        "sink": None,
    }
    return Change("connector.problem", "state", f"state_new#{now}", "0", "", data)


def _unkept(tenant: str, error: Unavailable) -> Fault:
    return Fault(
        "connector.problem",
        "evidence",
        "evidence",
        f"Problem: what was received of tenant {tenant} is not kept as evidence",
        detail=error.what,
        hint=error.hint,
    )


def _ours(origin: Origin) -> Origin:
    """Of the same tenant, but said by the connector of itself."""
    return evolve(origin, source="connector")


def _reason(error: SecureScoreError) -> str:
    if isinstance(error, WrongTenant):
        return "wrong_tenant"
    if isinstance(error, ConfigError):
        return "configuration"
    if isinstance(error, SignInRefused) and error.reason == "secret_expired":
        return error.reason
    return "denied" if isinstance(error, Denied) else "unavailable"


def _outcome(
    name: str,
    lacking: Sequence[Absent],
    newest_day: str | None,
    events: int,
    head: Mapping[str, Any],
    *,
    unchanged: bool,
) -> PollOutcome:
    notes, stale = tuple(text for _, text in head["notes"]), heads.is_stale(head)
    if lacking:
        return PollOutcome(
            name,
            "partial",
            newest_day,
            events,
            heads.words(lacking),
            heads.hint(lacking),
            reason=lacking[0].reason,
            retry_after_s=max((p.retry_after_s or 0.0 for p in lacking), default=0.0) or None,
            notes=notes,
            stale=stale,
        )
    status = "unchanged" if unchanged else "ok"
    return PollOutcome(name, status, newest_day, events, notes=notes, stale=stale)


def _outcome_of(
    name: str, snapshot: Snapshot, newest_day: str | None, events: int, head: Mapping[str, Any]
) -> PollOutcome:
    """That of a tenant which is one unit."""
    unchanged = isinstance(snapshot.days, Unchanged) and isinstance(snapshot.catalogue, Unchanged)
    return _outcome(name, list(snapshot.incomplete.values()), newest_day, events, head, unchanged=unchanged)
