"""Entries of several units as a report gets them: two subscriptions, and the exposure of devices."""

from connector.model import Control, Day, Profile, Snapshot, Standard, Unit
from connector.observe import aggregate
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.report.values import CloudMaterial

MFA, DISKS = "aaaa0000-0000-0000-0000-000000000001", "aaaa0000-0000-0000-0000-000000000002"
TITLES = {MFA: "Enable MFA", DISKS: "Enable encryption at rest"}


def control(name: str, healthy: int, total: int, most: float = 10.0) -> Control:
    most = most if total else 0.0
    score = round(most * healthy / total, 2) if total else 0.0
    return Control(name, "", score, None, count=healthy, total=total, not_applicable=0, max_score=most)


def day(date: str, *controls: Control, weight: float = 1.0) -> Day:
    score, most = sum(c.score or 0.0 for c in controls), sum(c.max_score or 0.0 for c in controls)
    return Day(f"s_{date}", date, score, most, {c.name: c for c in controls}, detailed=True, weight=weight)


def remembered(unit: Unit, *days: Day, standards: dict[str, Standard] | None = None) -> Memory:
    known = Memory()
    for found in days:
        profiles = {n: Profile(n, TITLES.get(n, n), service="Defender for Cloud") for n in found.controls}
        read = Snapshot("defender_cloud", (found,), profiles, unit=unit, standards=standards)
        known = observe(known, read, Rules("t", unit=unit), f"{found.day}T12:00:00Z").memory
    return known


def entry(first: str, last: str, tenant: str, name: str = "contoso-azure") -> CloudMaterial:
    prod, test = (Unit("subscription", s, n, "ascScore", "classic") for s, n in (("aaaa", "Production"), ("bbbb", "")))
    days = {
        prod: [
            day(first, control(MFA, 5, 10), control(DISKS, 0, 0)),
            day(last, control(MFA, 8, 10), control(DISKS, 0, 0)),
        ],
        test: [day(first, control(MFA, 2, 10)), day(last, control(MFA, 2, 10), weight=2.0)],
    }
    whole_unit = aggregate.unit(tenant)
    known = Memory()
    for at, date in enumerate((first, last)):
        made = aggregate.snapshot({unit: found[at] for unit, found in days.items()}, {}, tenant, date)
        known = observe(known, made, Rules("t", unit=whole_unit), f"{date}T12:00:00Z").memory
    standards = {"CIS": Standard("CIS", "Failed", 10, 3, 0, 1), "PCI": Standard("PCI", "Failed", 10, 7, None, 1)}
    units = ((prod, remembered(prod, *days[prod], standards=standards)), (test, remembered(test, *days[test])))
    return CloudMaterial(name, "defender_cloud", whole_unit, known, units, no_data=2)


def exposure(first: str, last: str, tenant: str) -> CloudMaterial:
    scores = {
        Unit("organization", tenant, "", "exposureScore"): (30.0, 45.5),
        Unit("device_group", "6", "Laptops", "exposureScore"): (40.0, 20.0),
        Unit("device_group", "7", "Servers", "exposureScore"): (60.0, 71.0),
    }
    known = {
        unit: remembered(unit, *(_exposed(day, score) for day, score in zip((first, last), pair, strict=True)))
        for unit, pair in scores.items()
    }
    stands = next(iter(known))
    return CloudMaterial("contoso-devices", "defender_endpoint", stands, known[stands], tuple(known.items()))


def _exposed(date: str, score: float) -> Day:
    return Day(f"x_{date}", date, score, 100.0, {}, detailed=True)
