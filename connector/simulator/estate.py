"""Simulated Azure subscriptions that live: what Defender for Cloud would say about each of them at any moment.

Everything follows from (seed, tenant, subscription, minute). No I/O and no clock. The arithmetic is that of Microsoft's
own example: a control's points are its maximum times the share of its healthy resources, rounded to two decimals; one
to which nothing applies has a maximum of 0; a subscription has the sum of its controls. What lives: resources come and
go, recommendations are met and missed, one recommendation a month moves to another control, the idle control is at
times applicable; of the subscriptions one is disabled, one was never started, one is away for three days every four
weeks, and one comes after two months.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import fsum
from typing import Any
from uuid import UUID

from attrs import frozen

from connector.simulator.chance import rng, share
from connector.simulator.tenants import DAY, Tenant

SLOT = 480
"""Controls are computed anew every eight hours, in each subscription at another minute."""
COUNTS: Mapping[str, int] = {"e5": 12, "mid": 7, "small": 5, "tiny": 5}
"""How many subscriptions a tenant of a size has."""
AWAY_EVERY, AWAY_FOR, AWAY_FROM = 28, 3, 10
"""In days: how often one subscription is away, for how long, and when first."""
COMES_ON_DAY = 60
MOVES_EVERY = 30


def _guid(*key: object) -> str:
    return str(UUID(int=rng(*key).getrandbits(128), version=4))


@frozen
class Rule:
    """One control of the benchmark: its maximum, how many recommendations it has, and whether little ever applies."""

    number: int
    title: str
    maximum: int
    recommendations: int
    idle: bool = False

    @property
    def id(self) -> str:
        return _guid("control", self.number)


RULES: tuple[Rule, ...] = (
    Rule(0, "Enable MFA", 10, 3),
    Rule(1, "Secure management ports", 8, 4),
    Rule(2, "Apply system updates", 6, 8),
    Rule(3, "Remediate vulnerabilities", 6, 12),
    Rule(4, "Remediate security configurations", 4, 18),
    Rule(5, "Manage access and permissions", 4, 9),
    Rule(6, "Enable encryption at rest", 4, 11),
    Rule(7, "Encrypt data in transit", 4, 14),
    Rule(8, "Restrict unauthorized network access", 4, 16),
    Rule(9, "Protect applications against DDoS attacks", 2, 2, idle=True),
    Rule(10, "Enable endpoint protection", 2, 6),
    Rule(11, "Enable auditing and logging", 1, 13),
    Rule(12, "Enable enhanced security features", 0, 10),
    Rule(13, "Implement security best practices", 0, 25),
)
STANDARDS = (
    ("Microsoft-cloud-security-benchmark", 60),
    ("CIS-Azure-Foundations-v2.0.0", 90),
    ("PCI-DSS-4", 180),
)
_WORDS = ("prod", "test", "data", "web", "identity", "backup", "sandbox", "shared", "mobile", "finance", "hr", "iot")


@frozen
class Subscription:
    """One subscription by its number; `kind` is what is special about it."""

    number: int
    id: str
    name: str
    kind: str  # usual | disabled | unstarted | away | late


@lru_cache(maxsize=4096)
def rule_id(number: int) -> str:
    return RULES[number].id


def recommendations(day: int) -> dict[int, tuple[str, ...]]:
    """By control, the ids of its recommendations on a day: one moves to another control every month."""
    return dict(_recommendations(max(0, day) // MOVES_EVERY))


@lru_cache(maxsize=64)
def _recommendations(moved: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
    found = {
        rule.number: [_guid("recommendation", rule.number, n) for n in range(rule.recommendations)] for rule in RULES
    }
    for move in range(1, moved + 1):
        origin, target = _move(move)
        if len(found[origin]) > 1:
            found[target].append(found[origin].pop(0))
    return tuple((number, tuple(ids)) for number, ids in found.items())


def _move(number: int) -> tuple[int, int]:
    """From which control to which the recommendation of a month moves."""
    origin, target = rng("move", number).sample(range(len(RULES)), 2)
    return origin, target


@lru_cache(maxsize=64)
def _touched(moved: int) -> Mapping[int, int]:
    """How often each control has won or lost a recommendation."""
    found = dict.fromkeys(range(len(RULES)), 0)
    for move in range(1, moved + 1):
        for rule in _move(move):
            found[rule] += 1
    return found


@frozen
class Estate:
    """The subscriptions of one tenant."""

    seed: int
    tenant: Tenant
    count: int

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """All that ever are."""
        return _subscriptions(self.seed, self.tenant, self.count)

    def listed(self, minute: int) -> list[Subscription]:
        """Those that can be seen at a minute."""
        return [one for one in self.subscriptions if _is_there(one, minute)]

    def subscription_rows(self, minute: int) -> Iterator[dict[str, Any]]:
        """Rows of the table resourcecontainers."""
        for one in self.listed(minute):
            yield {
                "id": f"/subscriptions/{one.id}",
                "subscriptionId": one.id,
                "tenantId": self.tenant.id,
                "name": one.name,
                "state": "Disabled" if one.kind == "disabled" else "Enabled",
            }

    def score_rows(self, minute: int) -> Iterator[dict[str, Any]]:
        """Rows of scores and controls; none of a disabled subscription, an empty score of one that never started."""
        for one in self.listed(minute):
            if one.kind == "disabled":
                continue
            if one.kind == "unstarted":
                yield self._score_row(one, {}, 0)
                continue
            controls = [self._control(one, rule, minute) for rule in RULES]
            scores = [control["properties"]["score"] for control in controls]
            current, most = round(fsum(s["current"] for s in scores), 2), sum(s["max"] for s in scores)
            score = {"max": most, "current": current, "percentage": round(current / most, 4) if most else 0}
            weight = 2 * sum(control["properties"]["weight"] for control in controls) + 13
            yield self._score_row(one, score, weight)
            yield from controls

    def standard_rows(self, minute: int) -> Iterator[dict[str, Any]]:
        """Rows of regulatory compliance; a standard moves now and then."""
        for one in self.listed(minute):
            if one.kind in ("disabled", "unstarted"):
                continue
            for name, size in STANDARDS:
                usual = self._share("failed", one.number, name)
                stretch = (minute // DAY + int(30 * usual)) // 30
                failed = int(size * 0.4 * usual + 4 * self._share("failed", one.number, name, stretch))
                row_id = f"{_spelt(one)}/providers/Microsoft.Security/regulatoryComplianceStandards/{name}"
                yield self._row(one, row_id, name, "regulatorycompliancestandards") | {
                    "properties": {
                        "state": "Failed" if failed else "Passed",
                        "passedControls": size - failed,
                        "failedControls": failed,
                        "skippedControls": size // 20,
                        "unsupportedControls": size // 15,
                    }
                }

    def _score_row(self, one: Subscription, score: Mapping[str, Any], weight: int) -> dict[str, Any]:
        row_id = f"{_spelt(one)}/providers/Microsoft.Security/secureScores/ascScore"
        properties = {"displayName": "ASC score", "score": dict(score), "weight": weight}
        return self._row(one, row_id, "ascScore", "securescores") | {"properties": properties}

    def _control(self, one: Subscription, rule: Rule, minute: int) -> dict[str, Any]:
        # Computed in slots: what happened since the last one does not show yet.
        offset = int(self._share("offset", one.number) * SLOT)
        computed = (minute - offset) // SLOT * SLOT + offset
        healthy, total, without = self._counts(one, rule, computed)
        most = rule.maximum if total else 0
        current = round(most * healthy / total, 2) if total else 0
        name = rule_id(rule.number)
        row_id = f"{_spelt(one)}/providers/Microsoft.Security/secureScores/ascScore/secureScoreControls/{name}"
        return self._row(one, row_id, name, "securescores/securescorecontrols") | {
            "properties": {
                "displayName": rule.title,
                "healthyResourceCount": healthy,
                "unhealthyResourceCount": total - healthy,
                "notApplicableResourceCount": without,
                "score": {"max": most, "current": current, "percentage": round(current / most, 4) if most else 0},
                "weight": total,
                "definition": _definition(rule.number, max(0, minute) // DAY // MOVES_EVERY),
            }
        }

    def _counts(self, one: Subscription, rule: Rule, minute: int) -> tuple[int, int, int]:
        """(healthy resources, resources, those it does not apply to)."""
        key = (one.number, rule.number)
        base = 2 + int(30 * self._share("base", *key) ** 2)
        come = self._epoch("population", key, minute, 45)
        total = base + int((self._share("walk", *key, come) - 0.5) * base * 0.5)
        without = int(3 * self._share("without", *key, come))
        if rule.idle and self._share("idle", *key, come) < 0.6:
            total, without = 0, without + total
        moved = _touched(max(0, minute) // DAY // MOVES_EVERY)[rule.number]
        met = self._epoch("posture", key, minute, 30)
        level = self._share("level", *key, met, moved) ** 0.6
        return int(total * level + 0.5), total, without

    def _epoch(self, what: str, key: tuple[int, int], minute: int, days: int) -> int:
        """The number of a stretch of time in which nothing moves, of so many days on average."""
        length = int(days * SLOT * 3 * (0.5 + self._share(what, *key)))
        return (minute + int(self._share(what, "start", *key) * length)) // length

    def _row(self, one: Subscription, row_id: str, name: str, kind: str) -> dict[str, Any]:
        return {
            "id": row_id,
            "name": name,
            "type": f"microsoft.security/{kind}",
            "subscriptionId": one.id,
            "tenantId": self.tenant.id,
        }

    def _share(self, *key: object) -> float:
        return share(self.seed, "estate", self.tenant.number, *key)


@lru_cache(maxsize=256)
def _subscriptions(seed: int, tenant: Tenant, count: int) -> tuple[Subscription, ...]:
    special = ("disabled", "unstarted", "away", "late") if count >= 5 else ()  # of so few, each is a usual one
    kinds = {count - 1 - place: kind for place, kind in enumerate(special)}
    found = []
    for number in range(count):
        again = f"-{number // len(_WORDS) + 1}" if number >= len(_WORDS) else ""
        name = f"{tenant.name}-{_WORDS[number % len(_WORDS)]}{again}"
        own = _guid(seed, "subscription", tenant.number, number)
        found.append(Subscription(number, own, name, kinds.get(number, "usual")))
    return tuple(found)


def _is_there(one: Subscription, minute: int) -> bool:
    day = minute // DAY
    if one.kind == "late":
        return day >= COMES_ON_DAY
    if one.kind == "away":
        return day < AWAY_FROM or (day - AWAY_FROM) % AWAY_EVERY >= AWAY_FOR
    return True


def _spelt(one: Subscription) -> str:
    """The beginning of a row's id: some of Azure's providers write ids in capitals."""
    return f"/subscriptions/{one.id.upper() if one.number % 3 == 1 else one.id}"


@lru_cache(maxsize=256)
def _definition(number: int, moved: int) -> dict[str, Any]:
    rule, name = RULES[number], rule_id(number)
    ids = dict(_recommendations(moved))[number]
    return {
        "id": f"/providers/Microsoft.Security/secureScoreControlDefinitions/{name}",
        "name": name,
        "type": "Microsoft.Security/secureScoreControlDefinitions",
        "properties": {
            "displayName": rule.title,
            "description": f"Resources that meet every recommendation of “{rule.title}” count as healthy.",
            "maxScore": rule.maximum,
            "source": {"sourceType": "BuiltIn"},
            "assessmentDefinitions": [{"id": f"/providers/Microsoft.Security/assessmentMetadata/{one}"} for one in ids],
        },
    }
