"""Change → Event: id, times, tenant and severity are stamped here, once; nothing alters an event afterwards. Pure."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import Factory, frozen

from connector.ids import event_id
from connector.model import STREAM_OF_TYPE, WHOLE, Change, Event, Unit
from connector.observe.severity import SeverityRules, severity

DAY_TIMED = frozenset({"score.observed", "control.observed", "compliance.observed"})
"""Types whose `time` is the day itself, as that of every backfilled event; all others carry the observation."""


@frozen
class Origin:
    """Whose events these are. A connector-scope origin has tenant_id None and its instance as `name`.

    `unit` is None for a tenant that is one unit: then neither ids nor documents know of units.
    """

    tenant_id: str | None
    name: str
    labels: Mapping[str, str] = Factory(dict)
    source: str = "graph"
    unit: Unit | None = None

    @cached_property
    def urn(self) -> str:
        if not self.tenant_id:
            return f"urn:secure-score:connector:{self.name}"
        if self.unit is None:
            return f"urn:secure-score:tenant:{self.tenant_id}"
        whose = f"tenant:{self.tenant_id}" if self.unit.kind in WHOLE else self.unit.id
        score = "" if self.unit.score in ("", "ascScore", "exposureScore") else f":{self.unit.score}"
        return f"urn:secure-score:{self.source.replace('_', '-')}:{whose}{score}"

    @cached_property
    def scope(self) -> str:
        """What makes the ids of its events its own: the tenant's GUID alone where that is one unit."""
        return self.tenant_id if self.tenant_id and self.unit is None else self.urn


def stamp(change: Change, origin: Origin, observed_at: str, rules: SeverityRules) -> Event:
    """The event of a change observed at a moment (ISO 8601 UTC text)."""
    tenant = None
    if origin.tenant_id:
        tenant = {"id": origin.tenant_id, "name": origin.name, "labels": dict(origin.labels)}
    data: dict[str, Any] = {
        "stream": STREAM_OF_TYPE[change.type],
        "day": change.day or None,
        "observed_at": observed_at,
        "occurred_at": change.occurred_at,
        "backfilled": change.backfilled,
        "tenant": tenant,
        "severity": 0,
        **change.data,
        "source": origin.source,
    }
    if origin.unit is not None:
        unit = origin.unit
        if data.get("score"):
            computed = {"aggregate": "computed"} if unit.kind == "aggregate" else {}
            data["score"] = {**data["score"], "model": unit.model, **computed}
        data["unit"] = {"kind": unit.kind, "id": unit.id, "name": unit.name or None, "score": unit.score or None}
    data["severity"] = severity(rules, change.type, data)
    if (
        "contributions" in data
    ):  # last: the one part without a bound, and some receivers read no further than 5,000 bytes
        data["contributions"] = data.pop("contributions")
    return Event(
        id=event_id(origin.scope, change.type, change.subject, change.before, change.after, change.occurrence),
        source=origin.urn,
        type=change.type,
        subject=change.subject,
        time=event_time(change, observed_at),
        data=data,
    )


def event_time(change: Change, observed_at: str) -> str:
    """The day at 00:00Z for observations and backfilled events, the moment of observation for everything else."""
    if change.day and (change.backfilled or change.type in DAY_TIMED):
        return f"{change.day}T00:00:00Z"
    return observed_at
