"""A hybrid month as it lies in a Splunk index, and what the engine knows of it. No assertions.

Two Microsoft 365 tenants, and the subscriptions of one of them in Defender for Cloud. Days are revised, one comes late,
one tenant is a day behind the other; controls come and go, somebody declares, a licence is bought. Everything is folded
by the engine itself, so that its memory says what a page has to show.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from attrs import evolve, frozen

from connector.app import severity_rules
from connector.config.values import BaselineConfig, ChangesConfig, Excuse, Forbidden, TargetsConfig
from connector.model import Average, Control, Day, Event, Listed, Profile, Snapshot, Standard, StateUpdate, Unit
from connector.observe import aggregate, unit_changes
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from tests.golden import samples

CONTOSO, FABRIKAM = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
AZURE = "contoso-azure"
"""What the entry of contoso's subscriptions is called: names of entries differ, the tenant is the same."""
NAMES = {CONTOSO: "contoso", FABRIKAM: "fabrikam"}
FIRST = datetime(2026, 10, 30, 9, tzinfo=UTC)
DAYS = 26
NOW = FIRST + timedelta(days=DAYS - 1, hours=13)
LATE = 12
"""Of which day contoso's document comes two days late."""
PROD = Unit("subscription", "aaaaaaaa-0000-4000-8000-000000000001", "contoso-prod", "ascScore", "classic")
SHOP = Unit("subscription", "aaaaaaaa-0000-4000-8000-000000000002", "contoso-shop", "ascScore", "classic")
LAB = Unit("subscription", "aaaaaaaa-0000-4000-8000-000000000003", "contoso-lab", "ascScore", "classic")
CANCELLED = 20
"""On which day the subscription contoso-lab is gone, its scores with it."""
CLOUD_CONTROLS = {
    "11111111-2222-4333-8444-000000000001": ("Enable MFA", 10.0),
    "11111111-2222-4333-8444-000000000002": ("Secure management ports", 8.0),
    "11111111-2222-4333-8444-000000000003": ("Encrypt data in transit", 4.0),
}
KINDS = (
    ("AdminMFAV2", "Ask administrators for a second factor", "Identity", "AzureAD", "Core", 10.0, 1, "Low", "Low"),
    ("BlockLegacyAuthentication", "Block old sign-ins", "Identity", "AzureAD", "Core", 8.0, 2, "Moderate", "High"),
    ("OneAdmin", "More than one global administrator", "Identity", "AzureAD", "Core", 1.0, 9, "Low", "Low"),
    ("scid_2010", "Switch on the endpoint firewall", "Device", "MDATP", "Advanced", 8.0, 3, "Moderate", "Low"),
    ("scid_2011", "Switch on real-time protection", "Device", "MDATP", "Core", 9.0, 4, "Low", "Low"),
    ("mdo_safelinks", "Check links when they are opened", "Apps", "MDO", "Core", 9.0, 5, "Low", "Moderate"),
    ("exo_mailbox_audit", "Audit mailboxes", "Apps", "EXO", "Core", 5.0, 6, "Low", "Low"),
    ("mip_labels", "Publish sensitivity labels", "Data", "MIP", "Defense In Depth", 5.0, 7, "High", "Moderate"),
    ("dlp_policies", "Data loss prevention in chats", "Data", "MIP", "Defense In Depth", 5.0, 8, "Moderate", "High"),
    ("spo_external", "Sharing outside ends", "Apps", "SPO", "Core", 4.0, 10, "Low", "High"),
)  # fmt: skip
TARGETS = TargetsConfig(percent_min=60.0)
STANDARDS = BaselineConfig(
    full={"blocklegacyauthentication": "gold", "mip_labels": "gold", "exo_mailbox_audit": "silver"},
    forbidden=(Forbidden(("*",), ("Ignored",), "by the board alone", "everybody"),),
)
OVER = FIRST + timedelta(days=19)
"""Until which day both tenants are excused of BlockLegacyAuthentication."""
EXCUSED = FIRST + timedelta(days=22)
"""Since when they are excused of mip_labels, into the next year."""


@frozen
class Month:
    """The events in the order of their observation, and the memory of each tenant and unit, by its key."""

    events: tuple[Event, ...]
    graph: Mapping[str, Memory]
    cloud: Mapping[Unit, Memory]
    profiles: Mapping[str, Profile]


def share(place: int, day: int, tenant: int) -> float:
    """How much of its points a control has: rises over the month, and one falls back in its third week."""
    risen = min(1.0, 0.25 + 0.055 * place + 0.012 * day + 0.07 * tenant)
    fallen = place == 1 and day >= 17
    return round(max(0.2, risen - (0.5 if fallen else 0.0)), 2)


def profiles(day: int) -> dict[str, Profile]:
    found = {}
    for name, title, category, service, tier, top, rank, cost, impact in KINDS:
        url = f"https://security.example.com/{name}"
        found[name] = Profile(
            name, title, category, service, tier, top, rank, "Config", url, impact, cost, ("Account Breach",)
        )
    if day >= 9:
        said = StateUpdate("Ignored", "2026-11-08T08:15:00Z", "ada@example.org", "guests need it", "ben@example.org")
        found["spo_external"] = evolve(found["spo_external"], updates=(said,))
    return found


def promised(at: datetime) -> BaselineConfig:
    """The standards, with who is excused then."""
    excuses = [Excuse(("block*",), f"{OVER:%Y-%m-%d}", "old scanners")]
    if at >= EXCUSED:
        excuses.append(Excuse(("mip_*",), f"{FIRST.year + 1}-03-31", "contract"))
    return evolve(STANDARDS, excuses=tuple(excuses))


def graph_day(tenant: str, day: int, revised: bool = False) -> Day:
    which = list(NAMES).index(tenant)
    date = (FIRST + timedelta(days=day)).date().isoformat()
    controls = {}
    for place, (name, _, category, _, _, top, *_) in enumerate(KINDS):
        if name == "OneAdmin" and day >= 20:  # retired
            continue
        if name == "dlp_policies" and day < 6:  # not there yet
            continue
        part = share(place, day, which) + (0.05 if revised and place == 3 else 0.0)
        total = 120 if name.startswith("scid_") else 40
        count = round(total * (1 - part)) if name.startswith("scid_") else round(total * part)
        controls[name] = Control(name, category, round(top * part, 2), round(100 * part, 2), count=count, total=total)
    score = round(sum(c.score or 0.0 for c in controls.values()), 2)
    top = sum(kind[5] for kind in KINDS if kind[0] in controls)
    averages = (Average("AllTenants", 46.2), Average("TotalSeats", 51.75))
    services = ("HasAADP1", "HasEXOP2", *(("HasMDOP2",) if day >= 14 else ()))
    return Day(
        f"{tenant}_{date}",
        date,
        score,
        top,
        controls,
        active_users=88,
        licensed_users=120,
        services=services,
        averages=averages,
        detailed=True,
    )


def cloud_day(unit: Unit, day: int, part: float) -> Day:
    date = (FIRST + timedelta(days=day)).date().isoformat()
    controls = {}
    for place, (name, (_, top)) in enumerate(CLOUD_CONTROLS.items()):
        healthy, total = round(10 * min(1.0, part + 0.1 * place)), 10
        controls[name] = Control(
            name,
            "",
            round(top * healthy / total, 2),
            10.0 * healthy,
            count=healthy,
            total=total,
            max_score=top,
            not_applicable=2,
        )
    score = sum(c.score or 0.0 for c in controls.values())
    return Day(f"{unit.id}_{date}", date, score, 22.0, controls, detailed=True, weight=30.0 if unit is PROD else 10.0)


def standards(unit: Unit, at: datetime) -> dict[str, Standard]:
    """What a subscription says of two standards; of one contoso-prod says something better on the last evening."""
    better = 5 if unit is PROD and at > NOW - timedelta(hours=4) else 0
    passed = 40 if unit is PROD else 22
    found = {"PCI-DSS-4": (passed + better, 12 - better), "Azure-CIS-1.1.0": (passed, 3)}
    return {name: Standard(name, "Failed", good, bad, 1, 2) for name, (good, bad) in found.items()}


def reads(tenant: str) -> Iterator[tuple[datetime, list[Day]]]:
    """What is read, and when: each day at nine and, revised, at eight in the evening; the newest day of fabrikam is
    that of yesterday."""
    for day in range(DAYS - (tenant == FABRIKAM)):
        at = FIRST + timedelta(days=day)
        if day == LATE and tenant == CONTOSO:
            continue
        late = [graph_day(tenant, LATE)] if day == LATE + 2 and tenant == CONTOSO else []
        yield at, [*late, graph_day(tenant, day)]
        yield at + timedelta(hours=11), [graph_day(tenant, day, revised=day % 3 == 0)]


@cache
def month() -> Month:
    told: list[tuple[datetime, int, Event]] = []
    rules = severity_rules()

    def fold(memory: Memory, snapshot: Snapshot, origin: Origin, at: datetime) -> Memory:
        moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        targets = TARGETS if origin.unit else evolve(TARGETS, baseline=promised(at))
        limits = Rules(origin.scope or "", ChangesConfig(suspicious_loss=1.0), targets, unit=origin.unit)
        seen = observe(memory, snapshot, limits, moment)
        for change in seen.changes:
            told.append((at, len(told), stamp(change, origin, moment, rules)))
        return seen.memory

    graph = {}
    for tenant, name in NAMES.items():
        memory = Memory()
        for at, days in reads(tenant):
            day = (at - FIRST).days
            memory = fold(memory, Snapshot("graph", tuple(days), profiles(day)), Origin(tenant, name), at)
        graph[tenant] = memory
    cloud: dict[Unit, Memory] = {}
    catalogue = {
        name: Profile(name, title, service="Defender for Cloud", max_score=top)
        for name, (title, top) in CLOUD_CONTROLS.items()
    }
    for day in range(8, DAYS):
        for hours, more in ((0, 0.0), (11, 0.1 if day % 4 == 0 else 0.0)):
            at = FIRST + timedelta(days=day, hours=hours)
            newest = {PROD: cloud_day(PROD, day, 0.4 + 0.02 * (day - 8) + more), SHOP: cloud_day(SHOP, day, 0.3)}
            if day < CANCELLED:
                newest[LAB] = cloud_day(LAB, day, 0.1)
            elif LAB in cloud:
                del cloud[LAB]
                moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
                gone = unit_changes.unit_removed(LAB, "", moment, moment)
                origin = Origin(CONTOSO, AZURE, source="defender_cloud", unit=LAB)
                told.append((at, len(told), stamp(gone, origin, moment, rules)))
            for unit, found in newest.items():
                origin = Origin(CONTOSO, AZURE, source="defender_cloud", unit=unit)
                asked = standards(unit, at)
                snapshot = Snapshot("defender_cloud", (found,), catalogue, unit=unit, standards=asked)
                cloud[unit] = fold(cloud.get(unit, Memory()), snapshot, origin, at)
            listed = {unit.id: Listed(unit.id, unit.name, "Enabled") for unit in newest}
            whole = aggregate.unit(CONTOSO)
            snapshot = aggregate.snapshot(newest, listed, CONTOSO, f"{at:%Y-%m-%d}")
            origin = Origin(CONTOSO, AZURE, source="defender_cloud", unit=whole)
            cloud[whole] = fold(cloud.get(whole, Memory()), snapshot, origin, at)
    events = [event for _, _, event in sorted(told, key=lambda each: each[:2])]
    return Month((*events, *heartbeats(), *problems()), graph, cloud, profiles(DAYS - 1))


def heartbeats() -> list[Event]:
    found = []
    for hours in range(72):
        at = f"{NOW - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        said: dict[str, Any] = {"id": f"beat-{hours}", "time": at, "data.observed_at": at}
        found.append(samples.event("connector.heartbeat", {**said, "data.delivered": {"splunk": 3 + hours % 7}}))
    return found


def problems() -> list[Event]:
    at = f"{NOW - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    moved = {"time": at, "data.observed_at": at}
    names = ("feed.suspicious", "feed.partial", "connector.problem/connector")
    return [samples.event(name, moved) for name in names]
