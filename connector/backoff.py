"""How long to wait before the next attempt. Pure: no clock, no sleep, no memory; the caller brings the randomness.

Exponential with full jitter, so that many clients that failed together do not come back together.
"""

from random import Random


def delay_s(attempt: int, base_s: float, cap_s: float, random: Random, retry_after_s: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt` (0 = the first).

    A uniform draw from 0..min(cap_s, base_s * 2^attempt), but never less than what the server asked for.
    """
    ceiling_s = min(cap_s, base_s * 2.0 ** min(attempt, 60))
    return max(random.uniform(0.0, ceiling_s), retry_after_s or 0.0)
