"""What of a read is believed, decided once for all that is told of it. Pure.

Every document passes the same guard, by whichever door it comes: as a newest day, revised, late, or dated ahead; and so
does the catalogue. Judges only: what is told of a day that is believed is decided in fold.py, in which words in
changes.py and notices.py.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache

from attrs import Factory, define, evolve, frozen

from connector.clock import iso, parse_iso
from connector.ids import digest, event_id
from connector.model import Change, Profile, Version
from connector.observe import diff, notices
from connector.observe.memory import Memory, Refusal
from connector.observe.months import Days

PERSISTENCE_S = 24 * 3600.0
"""How long what is suspicious must stay before it is believed without an operator."""
MAX_REFUSED = 200
"""How many refused versions are remembered."""
AHEAD = "dated_ahead"
VANISHED = "day_vanished"


@frozen
class Loss:
    """What a document lacks: the controls (or profiles), and its maximum; `reason` is "" where that is bearable."""

    lost: tuple[str, ...]
    reason: str
    maximum: float | None = None


@frozen
class Notice:
    """A version is refused, and that is news. `against`: what it was compared with, or the last accepted day."""

    version: Version
    against: Version | None
    loss: Loss
    refusal: Refusal
    accepts_at: str | None

    def told(self) -> Change:
        if self.refusal.reason == AHEAD:
            return notices.day_ahead(
                self.version, self.against, self.refusal.problem_id, self.refusal.first_at, self.accepts_at or ""
            )
        assert self.against is not None
        return notices.feed_suspicious(
            self.version,
            self.against,
            lost=self.loss.lost,
            reason=self.loss.reason,
            problem_id=self.refusal.problem_id,
            first_seen=self.refusal.first_at,
            accepts_at=self.accepts_at,
        )


@frozen
class Verdict:
    """What a document of a read is: "known" (its numbers), "accepted" (a new day, or a revision of the newest one),
    "revised" (a day that had closed), "late", "held" until the next read agrees, or "refused". `version` has its
    revision, `known` is our own copy.

    `over` is the refusal that ends with this document.
    """

    kind: str
    version: Version
    known: Version | None = None
    notice: Notice | None = None
    over: Refusal | None = None


@frozen
class Judged:
    """All of a read. `newest` is the last accepted day once it is folded; where the newest day so far is `given_up`,
    `restored` is the known day that takes its place.

    `over` are the refusals that ended with this read; `done` is false where `max_days` cut it. `held` are controls that
    this read lacks for the first time, where it takes two to believe that.
    """

    verdicts: tuple[Verdict, ...]
    newest: Version | None
    first_newest: str
    given_up: Version | None
    restored: Version | None
    doubted_at: str
    refusal: Refusal | None
    standing: Mapping[str, Refusal]
    over: tuple[Refusal, ...]
    refused: tuple[str, ...]
    done: bool
    held: tuple[str, ...] = ()


def judge(
    memory: Memory,
    read: Sequence[Version],
    tenant_id: str,
    limit: float,
    now: str,
    *,
    complete: bool = True,
    max_days: int | None = None,
    twice: bool = False,
) -> Judged:
    """The verdicts over the days of a read, oldest first; `limit` is the share of controls that may go. What a read
    lacks that is not `complete` proves nothing.

    With `max_days` it ends before one new day more is accepted; what comes behind is still looked at. `twice`: that a
    control is gone is believed when two reads in a row lack it.
    """
    bench = _Bench(memory, tenant_id, limit, now, twice)
    if read and complete:
        bench.doubt([version.day.day for version in read])
    bench.first_newest = bench.first_newest or max((v.day.day for v in read if not bench.is_ahead(v)), default="")
    known_before = bench.newest.day.day if bench.newest else ""
    verdicts: list[Verdict] = []
    new = 0
    done = True
    for position, version in enumerate(read):
        known = bench.known(version)
        is_new = known is None and version.day.day >= known_before
        if known is not None and known.hash == version.hash:
            verdict = Verdict("known", version, known)
        elif bench.is_ahead(version):
            verdict = bench.ahead(version)
        elif is_new or known is bench.newest:
            verdict = bench.newest_verdict(version, known, read[position + 1 :])
        elif known is not None:
            verdict = bench.revised(evolve(version, revision=known.revision + 1), known)
        else:
            verdict = bench.late(version)
        if verdict.kind == "accepted":
            if is_new and new == max_days:
                done = False
                break
            new += is_new
            bench.accept(verdict)
        verdicts.append(verdict)
    return bench.judged(verdicts, whole=bool(read) and complete and done, done=done)


@define
class _Bench:
    memory: Memory
    tenant_id: str
    limit: float
    now: str
    twice: bool = False
    held: tuple[str, ...] = ()
    newest: Version | None = None
    first_newest: str = ""
    given_up: Version | None = None
    restored: Version | None = None
    doubted_at: str = ""
    refusal: Refusal | None = None
    seen: Loss | None = None  # what the refused documents of this read lack, together
    standing: dict[str, Refusal] = Factory(dict)
    stands: set[str] = Factory(set)
    refused: list[str] = Factory(list)
    days: Days = Factory(Days)

    def __attrs_post_init__(self) -> None:
        self.newest, self.first_newest = self.memory.newest, self.memory.first_newest or ""
        self.refusal = _clocked(self.memory.refusal, self.now)
        self.doubted_at = min(self.memory.doubted_at, self.now)
        self.standing = dict(self.memory.standing)
        self.refused = list(self.memory.refused)
        self.days = Days.of(self.memory.days)

    # ---------------------------------------------------------------------------------------------------- the newest

    def doubt(self, read: Sequence[str]) -> None:
        """A newest day that no document stands for, or that lies ahead, is given up when that lasts."""
        if self.newest is None:
            return
        day = self.newest.day.day
        if not self.is_ahead(self.newest) and any(found >= day for found in read):
            self.doubted_at = ""
            return
        self.doubted_at = self.doubted_at or self.now
        if age_s(self.doubted_at, self.now) < PERSISTENCE_S:
            return
        self.given_up, self.doubted_at = self.newest, ""
        self.newest = next(self.days.before(min(day, _shift(tomorrow(self.now), 1))), None)
        self.restored = self.newest
        if self.newest is not None:
            del self.days[self.newest.day.day]
        self.first_newest = min(self.first_newest, self.newest.day.day if self.newest else "")

    def is_ahead(self, version: Version) -> bool:
        return version.day.day > tomorrow(self.now)

    def known(self, version: Version) -> Version | None:
        day = version.day.day
        return self.newest if self.newest is not None and self.newest.day.day == day else self.days.get(day)

    def accept(self, verdict: Verdict) -> None:
        if self.newest is not None and self.newest.day.day != verdict.version.day.day:
            self.days[self.newest.day.day] = self.newest
        self.newest = verdict.version
        if verdict.over is not None:
            self.refusal = self.seen = None

    # -------------------------------------------------------------------------------------------------- by the doors

    def newest_verdict(self, version: Version, known: Version | None, later: Sequence[Version]) -> Verdict:
        """Of a new day, or a revision of the newest one.

        First contact is a declared baseline: it has no accepted day to protect. A refused day is never believed when a
        later one of the same read has nothing suspicious: then the loss did not persist.
        """
        version = version if known is None else evolve(version, revision=known.revision + 1)
        accepted = self.newest
        if accepted is not None and (known is not None or version.day.day > self.first_newest):
            found = loss(accepted, version, self.limit)
            if found.reason and not (is_believed(self.refusal, found, self.now) and self._persists(accepted, later)):
                return self._refuse(version, accepted, found)
            # What was refused for a time, or is approved, has been seen more than once.
            if self.twice and not found.reason and not set(found.lost) <= set(self.memory.held):
                self.held = found.lost
                return Verdict("held", version)
        is_over = version.day.day >= max((ref[:10] for ref in self.refused), default="")
        return Verdict("accepted", version, known, over=self.refusal if is_over else None)

    def _persists(self, accepted: Version, later: Sequence[Version]) -> bool:
        return all(loss(accepted, day, self.limit).reason for day in later if not self.is_ahead(day))

    def _refuse(self, version: Version, accepted: Version, found: Loss) -> Verdict:
        """Told when it is news. What several documents of one read lack is one loss, whatever their order."""
        self._remember(version)
        self.seen = found if self.seen is None else _together(self.seen, found)
        if self.refusal is not None and not grew(self.refusal, found):
            return Verdict("refused", version)
        fresh_id = problem_id(self.tenant_id, accepted, found.reason, self.now)
        self.refusal = _next(self.refusal, self.seen, fresh_id, self.now)
        return Verdict("refused", version, notice=Notice(version, accepted, found, self.refusal, accepts_at(self.now)))

    def revised(self, version: Version, known: Version) -> Verdict:
        """Of a closed day. Where it is suspicious our own copy stands, for good: history may be stripped further, never
        believed less.
        """
        return self._closed(version, [known]) or self._keep("revised", version, known)

    def late(self, version: Version) -> Verdict:
        """Of a day older than the newest that we do not have: beside it stand the nearest known days.

        What lies before all that is known has nothing to lose.
        """
        earlier = next(self.days.before(version.day.day), None)
        beside = [earlier, next(self.days.after(version.day.day), self.newest)] if earlier else []
        return self._closed(version, [day for day in beside if day]) or self._keep("late", version, None)

    def _keep(self, kind: str, version: Version, known: Version | None) -> Verdict:
        self.days[version.day.day] = version
        return Verdict(kind, version, known)

    def _closed(self, version: Version, beside: Sequence[Version]) -> Verdict | None:
        """The refusal of a closed day that is suspicious beside each of these; None where it is not."""
        day = version.day.day
        if identity(version) in self.refused:
            self.stands.add(day)
            return Verdict("refused", version)
        found = [loss(other, version, self.limit) for other in beside]
        if not found or not all(each.reason for each in found):
            return None
        self._remember(version)
        return self._stand(version, beside[0], found[0], None)

    def ahead(self, version: Version) -> Verdict:
        """Of a document dated further ahead than tomorrow."""
        return self._stand(version, self.newest, Loss((), AHEAD), iso(parse_iso(version.day.day) - timedelta(days=1)))

    def _stand(self, version: Version, against: Version | None, found: Loss, until: str | None) -> Verdict:
        """A refusal for as long as the feed holds that document, told once."""
        day = version.day.day
        self.stands.add(day)
        if day in self.standing:
            return Verdict("refused", version)
        fresh_id = problem_id(self.tenant_id, against or version, found.reason, self.now)
        refusal = Refusal(self.now, fresh_id, (), reason=found.reason)
        self.standing[day] = refusal
        return Verdict("refused", version, notice=Notice(version, against, found, refusal, until))

    def _remember(self, version: Version) -> None:
        if identity(version) not in self.refused:
            self.refused.append(identity(version))

    # ------------------------------------------------------------------------------------------------------- the end

    def judged(self, verdicts: Sequence[Verdict], *, whole: bool, done: bool) -> Judged:
        over = []
        if self.refusal is not None and self.seen is not None and not self.refusal.approved:
            lost, reason, maximum = self.seen.lost, self.seen.reason, self.seen.maximum
            self.refusal = evolve(self.refusal, lost=lost, reason=reason, maximum=maximum)
        if whole:
            if self.refusal is not None and self.seen is None:
                over.append(self.refusal)
                self.refusal = None
            over += [refusal for day, refusal in sorted(self.standing.items()) if day not in self.stands]
            self.standing = {day: refusal for day, refusal in self.standing.items() if day in self.stands}
        return Judged(
            verdicts=tuple(verdicts),
            newest=self.newest,
            first_newest=self.first_newest,
            given_up=self.given_up,
            restored=self.restored,
            doubted_at=self.doubted_at,
            refusal=self.refusal,
            standing=self.standing,
            over=tuple(over),
            refused=tuple(self.refused[-MAX_REFUSED:]),
            done=done,
            held=self.held,
        )


# --------------------------------------------------------------------------------------------------------- catalogue


def judge_catalogue(
    memory: Memory, catalogue: Mapping[str, Profile], tenant_id: str, limit: float, now: str
) -> tuple[Refusal | None, Change | None]:
    """The refusal of a catalogue that shrank too much at once, and what is to be told of it.

    Only arrivals and removals wait: entries that are known and did arrive are compared as ever.
    """
    known, refusal = memory.profiles or {}, _clocked(memory.catalogue_refusal, now)
    found = Loss(tuple(sorted(key for key in known if key not in catalogue)), "profiles_lost")
    if len(found.lost) <= limit * len(known) or is_believed(refusal, found, now):
        return None, None
    if refusal is not None and not grew(refusal, found):
        return evolve(refusal, lost=found.lost, reason=found.reason), None
    fresh_id = event_id(tenant_id, "feed.suspicious", found.reason, digest(found.lost), now)
    refusal = _next(refusal, found, fresh_id, now)
    told = notices.catalogue_suspicious(
        len(known),
        found.lost,
        memory.newest,
        problem_id=refusal.problem_id,
        first_seen=refusal.first_at,
        accepts_at=accepts_at(now),
    )
    return refusal, told


# ------------------------------------------------------------------------------------------------------- small parts


def loss(accepted: Version, version: Version, limit: float) -> Loss:
    """What a version lacks. An unknown maximum proves nothing."""
    lost = tuple(sorted(n for n in accepted.day.controls if n not in version.day.controls))
    old, new = accepted.day.max_score, version.day.max_score
    kept = new + _not_applicable(accepted, version) if new else new
    if diff.lost_share(accepted.day, version.day) > limit:
        return Loss(lost, "controls_lost", new)
    return Loss(lost, "max_halved" if old and kept is not None and kept < old / 2 else "", new)


def _not_applicable(accepted: Version, version: Version) -> float:
    """The maximum of those controls of resources that are there, and apply to none any more: it is not lost."""
    before = accepted.day.controls
    return sum(
        before[name].max_score or 0.0
        for name, control in version.day.controls.items()
        if control.max_score == 0 and name in before
    )


def grew(refusal: Refusal, found: Loss) -> bool:
    """Whether more is lost than what was refused, or something of another kind. (An older version kept no reason.)"""
    if not set(found.lost) <= set(refusal.lost) or (refusal.reason and found.reason not in refusal.reason.split("+")):
        return True
    return refusal.maximum is not None and found.maximum is not None and found.maximum < refusal.maximum / 2


def _together(one: Loss, other: Loss) -> Loss:
    known = [maximum for maximum in (one.maximum, other.maximum) if maximum is not None]
    reasons = sorted({*one.reason.split("+"), other.reason})
    return Loss(tuple(sorted({*one.lost, *other.lost})), "+".join(reasons), min(known, default=None))


def is_believed(refusal: Refusal | None, found: Loss, now: str) -> bool:
    """Whether what was refused is now to be believed: approved by the operator, or there for long enough."""
    if refusal is None or grew(refusal, found):
        return False
    return refusal.approved or age_s(refusal.first_at, now) >= PERSISTENCE_S


def _next(refusal: Refusal | None, found: Loss, fresh_id: str, now: str) -> Refusal:
    """A refusal for a loss not refused so far; one that waits already goes on, with its clock started anew."""
    problem = fresh_id if refusal is None else refusal.problem_id
    return Refusal(now, problem, found.lost, reason=found.reason, maximum=found.maximum)


def _clocked(refusal: Refusal | None, now: str) -> Refusal | None:
    """No wait ends later because a clock was once ahead."""
    return None if refusal is None else evolve(refusal, first_at=min(refusal.first_at, now))


def accepts_at(now: str) -> str:
    return iso(parse_iso(now) + timedelta(seconds=PERSISTENCE_S))


def problem_id(tenant_id: str, accepted: Version, reason: str, now: str) -> str:
    return event_id(tenant_id, "feed.suspicious", reason, accepted.ref, now)


def recovered(refusal: Refusal, newest: Version | None, now: str) -> Change:
    return notices.feed_recovered(
        newest,
        reason="suspicious",
        problem_id=refusal.problem_id,
        first_seen=refusal.first_at,
        duration_s=max(0, int(age_s(refusal.first_at, now))),
    )


def identity(version: Version) -> str:
    return f"{version.day.day}#{version.day.id}#{version.hash}"


@lru_cache(maxsize=64)  # asked for every day of a read
def tomorrow(now: str) -> str:
    return _shift(now[:10], 1)


def age_s(since: str, now: str) -> float:
    return (parse_iso(now) - parse_iso(since)).total_seconds()


def _shift(day: str, days: int) -> str:
    return (parse_iso(day) + timedelta(days=days)).date().isoformat()
