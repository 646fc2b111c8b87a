"""Which of the events that are due a digest may have now: pure, values in, values out.

A digest keeps nothing of its own. Its events wait in the outbox until a time of the digest has come since they were
observed; then they are offered like any others: in their order, settled after the sink answered. A process that was
down at that time offers them when it starts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from connector.clock import parse_iso
from connector.model import Digest
from connector.ports import Pending

GRACE = timedelta(minutes=2)
"""So long after its time a digest begins: polls that are under way then commit events that were observed before it."""


def ripe(due: Sequence[Pending], digest: Digest | None, now: datetime) -> Sequence[Pending]:
    """Those that may be offered: a prefix, so that nothing overtakes."""
    if digest is None:
        return due
    end = digest.last(now - GRACE)

    def is_ripe(pending: Pending) -> bool:
        observed = parse_iso(str(pending.event.data["observed_at"]))
        return observed < end or observed > now

    return list(takewhile(is_ripe, due))
