"""Subscriptions as a source of several units reads them: two controls each, of which one moves."""

from collections.abc import Mapping

from attrs import define, field

from connector.config.values import AuthConfig, TenantConfig
from connector.model import Control, Day, Known, Listed, Profile, Reading, Snapshot, Unit

TENANT = "11111111-1111-1111-1111-111111111111"
ENTRY = TenantConfig("contoso-azure", TENANT, source="defender_cloud", auth=AuthConfig("managed_identity"))


def sub(number: int) -> str:
    """The id of a subscription."""
    return f"aaaaaaaa-0000-4000-8000-{number:012}"


def one(number: int, day: str, healthy: int = 5, total: int = 10, name: str | None = None) -> Snapshot:
    """A subscription with two controls, of which one moves."""
    moving = Control("c1", "", 10 * healthy / total, 100 * healthy / total, count=healthy, total=total, max_score=10)
    still = Control("c2", "", 4.0, 100.0, count=3, total=3, max_score=4)
    score = 4.0 + (moving.score or 0.0)
    unit = Unit("subscription", sub(number), f"sub-{number}" if name is None else name, "ascScore", "classic")
    found = Day(f"{unit.id}_{day}", day, score, 14.0, {c.name: c for c in (moving, still)}, detailed=True, weight=total)
    profiles = {name: Profile(name, f"Control {name}", service="Defender for Cloud") for name in found.controls}
    return Snapshot("defender_cloud", (found,), profiles, unit=unit)


def listed(*snapshots: Snapshot) -> Mapping[str, Listed]:
    """All of them, as enabled."""
    return {s.unit.id: Listed(s.unit.id, s.unit.name, "Enabled") for s in snapshots if s.unit}


@define
class SeveralUnits:
    """A source that reads whatever it is given, and remembers what it was told."""

    reading: Reading | Exception = field(factory=lambda: Reading("defender_cloud", ()))
    known: list[Known] = field(factory=list)
    name: str = "defender_cloud"

    def holds(self, *snapshots: Snapshot) -> None:
        self.reading = Reading("defender_cloud", snapshots, listed(*snapshots), pages={"scores-1": repr(snapshots)})

    async def read(self, known: Known) -> Reading:
        self.known.append(known)
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading

    async def close(self) -> None: ...
