"""What of a read is believed: days and catalogues that lost too much at once are refused for a while. Pure.

Judges only; what is told of a day that is believed is decided in fold.py, in which words in notices.py.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import evolve

from connector.clock import iso, parse_iso
from connector.ids import digest, event_id
from connector.model import Change, Profile, Version
from connector.observe import diff, notices
from connector.observe.memory import Memory, Refusal

PERSISTENCE_S = 24 * 3600.0
"""How long a suspicious day must stay before it is believed without an operator."""
MAX_REFUSED = 200
"""How many refused versions are remembered."""


def loss(accepted: Version, version: Version, limit: float) -> tuple[tuple[str, ...], str]:
    """The controls a version lacks, and why that is suspicious ("" when it is not).

    An unknown maximum proves nothing.
    """
    lost = tuple(sorted(n for n in accepted.day.controls if n not in version.day.controls))
    if diff.lost_share(accepted.day, version.day) > limit:
        return lost, "controls_lost"
    old, new = accepted.day.max_score, version.day.max_score
    return lost, "max_halved" if old and new is not None and new < old / 2 else ""


def catalogue_suspicion(
    memory: Memory, catalogue: Mapping[str, Profile], tenant_id: str, limit: float, now: str
) -> tuple[Refusal | None, Change | None]:
    """The refusal of a catalogue that shrank too much at once, and what is to be told of it.

    Only arrivals and removals wait: entries that are known and did arrive are compared as ever.
    """
    known, refusal = memory.profiles or {}, memory.catalogue_refusal
    lost = tuple(sorted(key for key in known if key not in catalogue))
    if len(lost) <= limit * len(known) or is_believed(refusal, lost, now):
        return None, None
    if refusal is not None and not refusal.approved:
        return evolve(refusal, lost=lost), None
    problem_id = event_id(tenant_id, "feed.suspicious", "profiles_lost", digest(lost), now)
    told = notices.catalogue_suspicious(
        len(known), lost, memory.newest, problem_id=problem_id, first_seen=now, accepts_at=accepts_at(now)
    )
    return Refusal(now, problem_id, lost), told


def is_believed(refusal: Refusal | None, lost: Sequence[str], now: str) -> bool:
    """Whether what was refused is now to be believed: approved by the operator, or there for long enough."""
    if refusal is None:
        return False
    approved = refusal.approved and set(lost) <= set(refusal.lost)
    return approved or age_s(refusal.first_at, now) >= PERSISTENCE_S


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
        duration_s=int(age_s(refusal.first_at, now)),
    )


def identity(version: Version) -> str:
    return f"{version.day.day}#{version.day.id}#{version.hash}"


def age_s(since: str, now: str) -> float:
    return (parse_iso(now) - parse_iso(since)).total_seconds()
