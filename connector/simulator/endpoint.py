"""What Defender for Endpoint answers about its exposure score, of a tenant and by device group. LOWER IS BETTER.

A score follows from (seed, tenant, group, hour); the organization's is the mean of its groups.
"""

import json
from datetime import datetime, timedelta
from math import fsum

from connector.simulator.chance import share
from connector.simulator.tenants import Tenant
from connector.simulator.world import World

PATHS = ("/api/exposureScore", "/api/exposureScore/ByMachineGroups")
AUDIENCES = frozenset({"https://api.securitycenter.microsoft.com", "https://api.security.microsoft.com"})
ROLE, SCOPE = "Score.Read.All", "Score.Read"
"""What an application needs, and what a person."""
GROUPS = ("UnassignedGroup", "Servers", "Clients EU", "Clients US")


def body(world: World, who: Tenant, path: str, now: datetime, origin: str) -> bytes:
    """The body of an answer; `time` is that of the call, with the seven digits of .NET."""
    time = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06d}0Z"
    scores = [_score(world, who, group, now) for group in range(len(GROUPS))]
    context = f"{origin}/api/$metadata#ExposureScore"
    if path == PATHS[0]:
        mean = round(fsum(scores) / len(scores), 2)
        return json.dumps({"@odata.context": f"{context}/$entity", "time": time, "score": mean}).encode()
    rows = [
        {"time": time, "score": score, "rbacGroupName": name, "rbacGroupId": number}
        for number, (name, score) in enumerate(zip(GROUPS, scores, strict=True))
    ]
    return json.dumps({"@odata.context": f"{context}s", "value": rows}).encode()


def _score(world: World, who: Tenant, group: int, now: datetime) -> float:
    """Between two levels a week apart, with some noise from day to day."""
    hours = (now - world.start) // timedelta(hours=1)
    week, left = divmod(hours, 168)
    low, high = (_level(world, who, group, week + after) for after in (0, 1))
    noise = 3.0 * (share(world.seed, "exposure noise", who.number, group, hours // 24) - 0.5)
    return round(min(100.0, max(0.0, low + (high - low) * left / 168 + noise)), 2)


def _level(world: World, who: Tenant, group: int, week: int) -> float:
    usual = 20.0 + 40.0 * share(world.seed, "exposure", who.number, group)
    return usual + 12.0 * (share(world.seed, "exposure", who.number, group, week) - 0.5)
