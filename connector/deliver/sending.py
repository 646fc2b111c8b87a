"""One batch goes to a sink, and what the sink says of each event is noted in it. Nothing is settled here.

Whatever a sink raises, and however long it takes, ends as an error of the batch: a sink's own bug is no other's.
"""

import asyncio
import logging
from collections.abc import Sequence

from connector.deliver.batch import Batch
from connector.errors import Denied, Unavailable, exhausted
from connector.model import Receipt, Record
from connector.ports import Sink

log = logging.getLogger("securescore.deliver")

MAX_RETRY_AFTER_S = 900.0
"""How long a receiver may ask to be left alone. One wrong maintenance page must not silence a sink for a day: after
this time the next batch asks again, and the receiver may wish again."""


async def offer(sink: Sink, batch: Batch, limit_s: float) -> Batch:
    """Send a batch, if there is anything to send, and note what became of each event."""
    if not batch.records:
        return batch
    receipt, batch.error = await _send(sink, batch.records, limit_s)
    batch.retry_after_s, batch.warning = _bounded(receipt.retry_after_s), receipt.warning
    if isinstance(batch.error, Unavailable):
        batch.error.retry_after_s = _bounded(batch.error.retry_after_s)
    for pending in batch.pending:
        if pending.event.id in receipt.rejected:
            batch.parked[pending.seq] = receipt.rejected[pending.event.id]
        elif pending.event.id in receipt.accepted:
            batch.accepted.add(pending.seq)
    if batch.error is None and not batch.moved:
        what = "the sink accepted nothing and rejected nothing"
        batch.error = Unavailable(what, batch.retry_after_s, hint="look at the receiver's own log")
    return batch


def _bounded(retry_after_s: float | None) -> float | None:
    return None if retry_after_s is None else min(retry_after_s, MAX_RETRY_AFTER_S)


async def _send(sink: Sink, records: Sequence[Record], limit_s: float) -> tuple[Receipt, Unavailable | Denied | None]:
    try:
        async with asyncio.timeout(limit_s):
            return await sink.send(records), None
    except (Unavailable, Denied) as error:
        return Receipt(), error
    except TimeoutError:
        return Receipt(), Unavailable(f"the sink gave no answer within {limit_s:g} s")
    except Exception as bug:
        if (lacking := exhausted(bug)) is not None:
            return Receipt(), lacking
        log.exception("deliver.bug", extra={"sink": sink.name})
        return Receipt(), Unavailable(f"{type(bug).__name__} inside the sink", hint="this is a bug: report the log")
