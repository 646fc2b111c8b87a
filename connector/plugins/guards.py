"""What a plug-in builds, with a guard in front of it: its fault stays with the one sink or tenant that names it.

An exception that is none of ours, or an answer that is none, becomes an error that names the package. Nothing is tried
again here, and what ships needs no guard.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from attrs import define, evolve

from connector.errors import ConfigError, Denied, PluginError, SecureScoreError, Unavailable, WrongTenant
from connector.model import Known, Receipt, Record, Snapshot
from connector.plugins.installed import Plugin, in_words, misfit
from connector.ports import Sink, Source

log = logging.getLogger("securescore.plugins")

PROBE_LIMIT_S, READ_LIMIT_S = 60.0, 600.0
"""How long a probe or a read may take. Without an end it would keep the place of others; sends are bounded by the loop
that asks for them."""


def guarded_sink(found: Plugin, name: str, build: Callable[[], Any]) -> Sink:
    """The sink of this name that a plug-in builds, behind a guard. Raises PluginError; ConfigError as it comes."""
    sink = _built(found, build, lambda sink: _sink_misses(sink, name))
    return _GuardedSink(name, sink.max_records, sink.max_bytes, float(sink.replay_window_s), sink, found)


def guarded_source(found: Plugin, build: Callable[[], Any]) -> Source:
    """The source that a plug-in builds, behind a guard. Raises as `guarded_sink`."""
    source = _built(found, build, _source_misses)
    return _GuardedSource(source.name, source, found)


def _built(found: Plugin, build: Callable[[], Any], misses: Callable[[Any], list[str]]) -> Any:
    try:
        built = build()
        faults = misses(built)
    except ConfigError:
        raise
    except Exception as bug:
        log.exception("plugin.bug", extra={"plugin": str(found)})
        raise PluginError([f"{found} cannot build its {found.kind}: {in_words(bug)}"], found.remedy) from bug
    if faults:
        raise misfit(found, faults)
    return built


def _sink_misses(sink: Any, name: str) -> list[str]:
    faults = _no_methods(sink, "send", "probe", "close")
    if (its := getattr(sink, "name", None)) != name:
        faults.append(f"the sink calls itself {its!r}, not {name!r}")
    for key, least in (("max_records", 1), ("max_bytes", 1), ("replay_window_s", 0)):
        value = getattr(sink, key, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            faults.append(f"{key} is {value!r}, not a number from {least} on")
    return faults


def _source_misses(source: Any) -> list[str]:
    faults = _no_methods(source, "read", "close")
    if not isinstance(getattr(source, "name", None), str):
        faults.append("the source has no name")
    return faults


def _no_methods(built: Any, *names: str) -> list[str]:
    return [f"{name}() is missing" for name in names if not callable(getattr(built, name, None))]


@define
class _GuardedSink:
    """A plug-in's sink: an exception that is none of ours, or an answer that is none, is its own trouble."""

    name: str
    max_records: int
    max_bytes: int
    replay_window_s: float
    sink: Any
    plugin: Plugin

    async def send(self, records: Sequence[Record]) -> Receipt:
        try:
            receipt = await self.sink.send([_own(record) for record in records])
        except SecureScoreError:
            raise
        except Exception as bug:
            raise _bug(self.plugin, bug) from bug
        if not isinstance(receipt, Receipt):
            raise self._strange(f"answers with {type(receipt).__name__}, not with a Receipt")
        if not {*receipt.accepted, *receipt.rejected} <= {record.event_id for record in records}:
            raise self._strange("speaks of events that it was not given")
        return receipt

    def _strange(self, what: str) -> Unavailable:
        return Unavailable(f"{self.plugin} {what}", hint=self.plugin.remedy)

    async def probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_LIMIT_S):
                await self.sink.probe()
        except SecureScoreError:
            raise
        except Exception as bug:
            raise _bug(self.plugin, bug) from bug

    async def close(self) -> None:
        await _closed(self.sink, self.plugin)


@define
class _GuardedSource:
    """A plug-in's source, likewise."""

    name: str
    source: Any
    plugin: Plugin

    async def read(self, known: Known) -> Snapshot:
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                snapshot = await self.source.read(known)
        except (ConfigError, Denied, Unavailable, WrongTenant):
            raise
        except SecureScoreError as error:  # of those a StoreError, say, would pass for the state's
            raise Unavailable(f"{self.plugin}: {error.what}", hint=error.hint or self.plugin.remedy) from None
        except Exception as bug:
            raise _bug(self.plugin, bug) from bug
        if not isinstance(snapshot, Snapshot):
            what = f"{self.plugin} reads a {type(snapshot).__name__}, not a Snapshot"
            raise Unavailable(what, hint=self.plugin.remedy)
        return snapshot

    async def close(self) -> None:
        await _closed(self.source, self.plugin)


@define
class BrokenSink:
    """Stands for the sink of a plug-in that cannot serve: takes nothing and says why, while the others go on.

    `built` is a sink that lacks only its mapping.
    """

    name: str
    fault: PluginError
    built: Sink | None = None
    max_records: int = 1000
    max_bytes: int = 1_000_000
    replay_window_s: float = 0.0

    async def send(self, records: Sequence[Record]) -> Receipt:
        if not records:
            return Receipt()
        raise Denied(self.fault.what, self.fault.hint)

    async def probe(self) -> None:
        raise Denied(self.fault.what, self.fault.hint)

    async def close(self) -> None:
        if self.built is not None:
            await self.built.close()


def _own(record: Record) -> Record:
    """A record that shares nothing with its event: what a plug-in does to it is nobody else's matter."""
    if isinstance(record.payload, str):
        return record
    payload = deepcopy(record.payload) if record.encoded is None else json.loads(record.encoded)
    return evolve(record, payload=payload)


def _bug(found: Plugin, bug: Exception) -> Unavailable:
    log.error("plugin.bug", extra={"plugin": str(found)}, exc_info=bug)
    return Unavailable(f"{found}: {in_words(bug)}", hint=found.remedy)


async def _closed(built: Any, found: Plugin) -> None:
    try:
        await built.close()
    except Exception:
        log.exception("plugin.bug", extra={"plugin": str(found)})
