"""The best known catalogue: what a read that lacks profiles makes of it, and what is kept of those that left. Pure.

Whether a loss is believed is in guard.py; what is told of profiles and their histories is decided in fold.py.
"""

from collections.abc import Mapping

from attrs import frozen

from connector.model import Change, Profile, Snapshot
from connector.observe import guard
from connector.observe.memory import Departed, Memory, Refusal

MAX_DEPARTED = 500
"""How many profiles that left the catalogue are remembered."""


@frozen
class Catalogue:
    """What this read makes of the catalogue: `profiles` with those that are known and did not come (None where nothing
    was read); `foreign` are those of them that stand there in an earlier language.
    """

    profiles: Mapping[str, Profile] | None
    whole: bool
    refusal: Refusal | None
    notice: Change | None
    foreign: tuple[str, ...]
    never_whole: bool

    @classmethod
    def read(
        cls, memory: Memory, snapshot: Snapshot, tenant_id: str, language: str, limit: float, now: str
    ) -> "Catalogue":
        if not isinstance(snapshot.catalogue, Mapping):
            never_whole = memory.catalogue_partial
            return cls(None, not never_whole, memory.catalogue_refusal, None, memory.foreign, never_whole)
        whole = "catalogue" not in snapshot.partial
        came, known = snapshot.catalogue, memory.profiles or {}
        refusal, notice = memory.catalogue_refusal, None
        profiles: Mapping[str, Profile] = came
        if not whole:
            profiles = {**known, **came}
        else:
            refusal, notice = guard.judge_catalogue(memory, came, tenant_id, limit, now)
            if refusal is not None:
                whole = False
                profiles = {key: came.get(key, old) for key, old in known.items()}
        foreign = memory.foreign if memory.language in ("", language) else known
        never_whole = "catalogue" in snapshot.partial and (memory.profiles is None or memory.catalogue_partial)
        foreign = tuple(key for key in foreign if key not in came and key in profiles)
        return cls(profiles, whole, refusal, notice, foreign, never_whole)


def departed_from(memory: Memory, catalogue: Mapping[str, Profile]) -> Mapping[str, Departed]:
    """The profiles that left, for the day they come back: what their histories said is no news then."""
    gone = {
        key: Departed(profile, memory.seen_at)
        for key, profile in (memory.profiles or {}).items()
        if key not in catalogue
    }
    back = [key for key in memory.departed if key in catalogue]
    if not gone and not back:
        return memory.departed
    left = {key: was for key, was in memory.departed.items() if key not in catalogue} | gone
    return dict(list(left.items())[-MAX_DEPARTED:])
