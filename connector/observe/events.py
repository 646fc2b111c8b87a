"""Change → Event: id, times, tenant and severity are stamped here, once; nothing alters an event afterwards. Pure."""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

from connector.ids import event_id
from connector.model import STREAM_OF_TYPE, Change, Event
from connector.observe.severity import SeverityRules, severity

DAY_TIMED = frozenset({"score.observed", "control.observed"})
"""Types whose `time` is the day itself, as that of every backfilled event; all others carry the observation."""


@frozen
class Origin:
    """Whose events these are. A connector-scope origin has tenant_id None and its instance as `name`."""

    tenant_id: str | None
    name: str
    labels: Mapping[str, str] = Factory(dict)
    source: str = "graph"

    @property
    def urn(self) -> str:
        return (
            f"urn:secure-score:tenant:{self.tenant_id}" if self.tenant_id else f"urn:secure-score:connector:{self.name}"
        )


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
    data["severity"] = severity(rules, change.type, data)
    if (
        "contributions" in data
    ):  # last: the one part without a bound, and some receivers read no further than 5,000 bytes
        data["contributions"] = data.pop("contributions")
    return Event(
        id=event_id(
            origin.tenant_id or origin.urn, change.type, change.subject, change.before, change.after, change.occurrence
        ),
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
