"""The modular-input sink: records to splunkd as `<event>` elements on the standard output of the input's process.

Only the Splunk add-on can make one: the writer (splunklib's EventWriter) and the stanza are splunkd's. Accepted means
written and flushed into splunkd's pipe, which is all that this interface confirms; what was not is left out of the
receipt and comes again with the same id. The envelope is the one of the HTTP Event Collector, so that one props.conf
serves both.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from connector.errors import Unavailable
from connector.formats import hec, jsonl
from connector.model import Receipt, Record


class Writer(Protocol):
    """What splunklib's EventWriter offers of it: returns when the event is flushed, else raises OSError."""

    def write_event(self, event: Any) -> None: ...


@frozen
class Place:
    """Where the events belong: the stanza that splunkd started, and its index (None = splunkd's default)."""

    stanza: str
    index: str | None = None
    host: str | None = None


class ModularInputSink:
    """Writes batches, an event at a time; see the module's text."""

    max_records = 200
    max_bytes = 4 * 1024 * 1024
    replay_window_s = 0.0

    def __init__(self, name: str, place: Place, writer: Writer) -> None:
        self.name = name
        self._place = place
        self._writer = writer

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Write a batch in order. Raises Unavailable when splunkd no longer reads and nothing was written."""
        accepted: set[str] = set()
        rejected: dict[str, str] = {}
        for record in records:
            try:
                event = event_of(self._place, record)
            except (TypeError, ValueError, RecursionError) as error:
                rejected[record.event_id] = f"not an event of Splunk: {error}"
                continue
            try:
                self._writer.write_event(event)
            except (OSError, ValueError) as error:  # a closed stream is a ValueError
                if accepted or rejected:
                    break
                hint = "splunkd has stopped this input; the events come again with its next run"
                raise Unavailable(f"splunkd no longer reads: {error}", hint=hint) from error
            accepted.add(record.event_id)
        return Receipt(accepted=frozenset(accepted), rejected=rejected)

    async def probe(self) -> None:
        """There is nothing to ask: only a write shows whether splunkd still reads."""

    async def close(self) -> None:
        """The stream is ended by whoever opened it."""


def event_of(place: Place, record: Record) -> Any:
    """The splunklib Event of a record. Raises ValueError with the reason."""
    from splunklib.modularinput import Event  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    found = hec.envelope(record.payload, record.time)
    return Event(
        data=jsonl.dumps(found["event"]),
        stanza=place.stanza,
        time=found["time"],
        host=found.get("host") or place.host,
        index=found.get("index") or place.index,
        source=found.get("source"),
        sourcetype=found.get("sourcetype"),
    )
