"""Event → Record by a compiled mapping: the generated function of the event's type, else the interpreter. Pure.

What a mapping means is in interpret.py, the same as one function a type in generate.py; where a compiled mapping comes
from is in load.py, what a receiver's wire looks like in formats/.
"""

from collections import abc
from typing import Any

from attrs import field, frozen
from jmespath.exceptions import JMESPathError

from connector.errors import ConfigError, MappingError
from connector.formats.text import as_text
from connector.mapping.generate import Renderer, encoded, finished, generate
from connector.mapping.interpret import COMPILED, ENCODERS, Plan, merged, plan_of
from connector.model import STREAM_OF_TYPE, STREAMS, Event, Record

_Payload = tuple[str | dict[str, Any], bytes | None]
"""The payload of a record, and the octets of an object."""


@frozen
class Mapping:
    """One loaded mapping. `encode` is cef, leef, cloudevents or json (payload: text) or object (payload: a dict)."""

    name: str
    encode: str
    compiled: abc.Mapping[str, Any] = field(repr=False)
    _plans: abc.Mapping[str, Plan] = field(repr=False, eq=False)
    _renderers: dict[str, Renderer | None] = field(factory=dict, init=False, repr=False, eq=False)

    @classmethod
    def from_compiled(cls, compiled: abc.Mapping[str, Any]) -> "Mapping":
        """The mapping of a compiled form (`compile_mapping`). Raises ConfigError when it is not one of this version."""
        if compiled.get("compiled") != COMPILED:
            raise ConfigError(
                ["not a compiled mapping of this version"], hint="compile it again with this version of the connector"
            )
        try:
            plans = {kind: plan_of(compiled, kind, stream) for kind, stream in STREAM_OF_TYPE.items()}
            plans.update({stream: plan_of(compiled, "", stream) for stream in STREAMS})
            return cls(compiled["name"], compiled["encode"], compiled, plans)
        except (KeyError, ValueError, TypeError, AttributeError, JMESPathError) as error:
            raise ConfigError([f"damaged compiled mapping: {error!r}"], hint="compile it again") from error

    def render(self, event: Event) -> Record:
        """The event as one sink will see it. Raises MappingError: this event cannot be rendered by this mapping."""
        return self._record(event, self._payload)

    def interpret(self, event: Event) -> Record:
        """The same by the interpreter alone: the reference that `render` is held against. Raises MappingError."""
        return self._record(event, self._interpreted)

    def columns(self, stream: str) -> dict[str, str]:
        """Output key → declared `type` ("" where none) of everything this mapping can put out for a stream."""
        found: dict[str, str] = {}
        for kind, of_stream in STREAM_OF_TYPE.items():
            if of_stream == stream:
                for key, node in merged(self.compiled, "fields", kind, stream).items():
                    found[key] = found.get(key) or str(node.get("type", ""))
        return found

    def _record(self, event: Event, payload_of: abc.Callable[[Event, str], _Payload]) -> Record:
        found: Any = event.data
        data = found if isinstance(found, abc.Mapping) else {}
        stream = data.get("stream")
        if not isinstance(stream, str):
            stream = STREAM_OF_TYPE.get(event.type, "")
        tenant = data.get("tenant")
        name = (tenant.get("name") or tenant.get("id") or "") if isinstance(tenant, abc.Mapping) else ""
        severity = data.get("severity")
        payload, octets = payload_of(event, stream)
        return Record(
            event_id=event.id,
            stream=stream,
            tenant=name if isinstance(name, str) else as_text(name),
            time=event.time,
            severity=severity if type(severity) is int else 0,
            payload=payload,
            encoded=octets,
        )

    def _payload(self, event: Event, stream: str) -> _Payload:
        kind = event.type
        try:
            renderer = self._renderers[kind]
        except KeyError:  # the first event of its type
            renderer = generate(self.compiled, kind)
            if kind in self._plans:  # no more of them than there are types, whatever events claim to be
                self._renderers[kind] = renderer
        if renderer is not None and type(event.data) is dict:
            try:
                made = renderer(event)
                return (made, None) if isinstance(made, str) else finished(made)
            except Exception:  # noqa: BLE001, S110  # whatever it is, the interpreter has the words for it, or the record
                pass
        return self._interpreted(event, stream)

    def _interpreted(self, event: Event, stream: str) -> _Payload:
        plan = self._plans.get(event.type) or self._plans.get(stream)
        if plan is None:
            raise MappingError(f"event {event.id}: type {event.type!r} has no known stream", "update the connector")
        try:
            made = ENCODERS[self.encode](plan, event)
        except MappingError as error:
            hint = error.hint or f"correct the mapping {self.name!r}; the event is kept"
            raise MappingError(f"mapping {self.name!r}, event {event.id} ({event.type}): {error.what}", hint) from error
        except (ValueError, TypeError, RecursionError, JMESPathError) as error:
            what = f"mapping {self.name!r}, event {event.id} ({event.type}): {type(error).__name__}: {error}"
            raise MappingError(what, f"correct the mapping {self.name!r}; the event is kept") from error
        return made, None if isinstance(made, str) else encoded(made)
