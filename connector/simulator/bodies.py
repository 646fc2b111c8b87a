"""Encoded documents and profiles of a world, kept within a bound of bytes so that thousands of tenants can be served.

No HTTP here. Profiles are encoded once per catalogue version with a placeholder for the tenant; only those with a state
history are encoded per tenant.
"""

import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Any

from connector.simulator.catalogue import Entry
from connector.simulator.world import View, World

_PLACEHOLDER = "00000000-0000-0000-0000-000000000000"


def encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class ByteCache:
    """The most recently used bodies, at most `max_bytes` of them in sum."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bodies: OrderedDict[Hashable, bytes] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._bodies)

    def get(self, key: Hashable) -> bytes | None:
        body = self._bodies.get(key)
        if body is not None:
            self._bodies.move_to_end(key)
        return body

    def put(self, key: Hashable, body: bytes) -> None:
        self.bytes += len(body) - len(self._bodies.pop(key, b""))
        self._bodies[key] = body
        while self.bytes > self._max_bytes:
            _, dropped = self._bodies.popitem(last=False)
            self.bytes -= len(dropped)


class Bodies:
    """What a world says, as JSON bytes."""

    def __init__(self, world: World, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.world = world
        self.documents = ByteCache(max_bytes)
        self._templates: OrderedDict[int, dict[str, bytes]] = OrderedDict()

    def document(self, tenant_id: str, view: View) -> bytes:
        """One `secureScore` document."""
        key = (tenant_id, view, self.world.writes(tenant_id))
        body = self.documents.get(key)
        if body is None:
            body = encode(self.world.score_document(tenant_id, view))
            self.documents.put(key, body)
        return body

    def profiles(self, tenant_id: str, now: datetime) -> list[tuple[Entry, bytes]]:
        """All `secureScoreControlProfile` entries with their bytes."""
        version, listed = self.world.catalogue(tenant_id, now)
        if version.number not in self._templates:
            self._templates[version.number] = {
                e.id: encode(self.world.profile(e, _PLACEHOLDER)) for e in version.entries.values()
            }
            if len(self._templates) > 4:
                self._templates.popitem(last=False)
        templates = self._templates[version.number]
        asserted = self.world.asserted(tenant_id, now)
        own, minute = tenant_id.encode(), self.world.minute(now)
        return [
            (entry, templates[entry.id].replace(_PLACEHOLDER.encode(), own))
            if version.entries.get(entry.id) is entry and entry.id not in asserted
            else (entry, encode(self.world.profile(entry, tenant_id, asserted.get(entry.id, ()), minute)))
            for entry in listed
        ]
