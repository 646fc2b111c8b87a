"""Whether a sink is worth trying, where tenant after tenant comes to it and each would find out anew that it fails.

Pure memory of one process: no clock, no sink and no tenant's queue is known here.
"""

from datetime import datetime, timedelta

from attrs import Factory, define

from connector.deliver.delivery import Outcome

HELD_AFTER = 3
HOLD_S = 120.0


@define
class Circuit:
    """Open while tenant after tenant fails. One fault may be a tenant's own, so it takes HELD_AFTER different ones.

    After HOLD_S one of them tries for all. Only a send is a try: who has nothing to send leaves it to the next.
    """

    failing: dict[str, None] = Factory(dict)
    since: datetime | None = None
    trying: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether nobody is to try now. A clock that was set back ends it, too."""
        if len(self.failing) < HELD_AFTER or self.since is None:
            return False
        return self.trying is not None or self.since <= now < self.since + timedelta(seconds=HOLD_S)

    def enter(self, tenant_id: str, now: datetime) -> bool:
        """Whether this tenant may try. One that may must `leave`, whatever comes of it."""
        if self.holds(now):
            return False
        if len(self.failing) >= HELD_AFTER:
            self.trying = tenant_id
        return True

    def leave(self, tenant_id: str, outcome: Outcome | None, now: datetime) -> None:
        """What came of it; None where it did not come to a send."""
        if self.trying == tenant_id:
            self.trying = None
        if outcome is None:
            return
        if outcome.sent or outcome.parked:
            self.failing.clear()
        elif outcome.state in ("unavailable", "denied"):
            self.failing[tenant_id] = None
            self.since = now
