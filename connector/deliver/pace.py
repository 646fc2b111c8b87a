"""How fast a sink takes records, as its last sends told; so that a batch which must be over by a moment is not too
large. Pure: seconds come in as values.
"""

from attrs import define

ASSUMED_S = 1.0
"""What a record is thought to take before the first send: where each is a request of its own it may be as much."""
DIGEST_S = 0.1
"""The same where a batch is a digest: one message, however many records are in it, and not to be cut up."""
SHARE = 0.5
"""A batch is to take so much of the time left: then one twice as slow as the last still ends in it."""


@define
class Pace:
    """Seconds a record as last seen, and how long the last send took if nothing of it was taken."""

    record_s: float = ASSUMED_S
    failure_s: float = 0.0

    def saw(self, records: int, seconds: float, *, moved: bool) -> None:
        """A send has ended. One in which nothing moved tells how slow the sink is, never how fast."""
        pace_s = seconds / records
        if moved or pace_s > self.record_s:
            self.record_s = pace_s
        self.failure_s = 0.0 if moved else seconds

    def fits(self, left_s: float) -> bool:
        """Whether there is time for one send more."""
        return left_s >= max(self.record_s, self.failure_s)

    def bounded(self, most: int, left_s: float) -> int:
        """How many records, of at most so many, may be sent in the time left; one at least."""
        if self.record_s <= 0:
            return most
        return max(1, min(most, int(left_s * SHARE / self.record_s)))
