"""Every kind of sink and which module it is: those that ship, one line each, and those that installed packages bring.

A module is imported when its kind is named. Nothing is built here (app.py does that), and what a kind means is known to
its own module alone.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from connector.errors import PluginError
from connector.model import Digest
from connector.options import Option
from connector.plugins.installed import load_sink, load_source, plugin
from connector.ports import Sink, Source

SINKS: Mapping[str, str] = {
    "syslog": "sinks.syslog",
    "splunk_hec": "sinks.splunk",
    "sentinel": "sinks.sentinel",
    "webhook": "sinks.webhook",
    "mail": "sinks.mail",
    "file": "sinks.file",
}
"""Every kind of sink that ships and its module, in the order people are told of them: a new sink is its file plus its
line here."""

ANY_OPTIONS: Mapping[str, Option] = {"…": Option("str")}
"""The options of a plug-in that cannot be asked for them: what is written is not judged."""


class SinkModule(Protocol):
    """What every module of a sink offers, and below what it may offer besides.

    INIT (options.Init): what `init` asks and writes. HOST_ONLY = True: it needs a process and a disk that last, so
    homes that are called for a moment refuse it. ROUTES: keys of the tenants' overrides that a tenant may have of its
    own here; `build` is then given `routes` as well. `digest(options)`: when what has gathered is offered
    (model.Digest), None for at once; ConfigError. PORT: see ports.PORT; plug-ins must state it.
    """

    OPTIONS: Mapping[str, Option]
    FORMAT: str
    """The mapping of a sink that names none."""

    @property
    def build(self) -> Callable[..., Sink]:
        """`build(name, options, network)`: the sink of one entry, its secrets resolved. Raises ConfigError."""
        ...


class SourceModule(Protocol):
    """What every module of a source plug-in offers; it states PORT."""

    OPTIONS: Mapping[str, Option]
    """The keys under a tenant's `options`."""

    @property
    def build(self) -> Callable[..., Source]:
        """`build(tenant_id, options, network)`: a source of one tenant, closed after one read. Raises ConfigError."""
        ...


def sink_module(kind: str) -> SinkModule | None:
    """The module of a kind of sink; None for an unknown kind. Raises PluginError for a plug-in that cannot serve."""
    if kind in SINKS:
        try:
            return cast("SinkModule", import_module(SINKS[kind]))
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("sinks"):
                return None  # left out of this package
            raise
    found = plugin("sink", kind)
    return None if found is None else cast("SinkModule", load_sink(found))


def sink_options(kind: str) -> Mapping[str, Option] | None:
    """The OPTIONS of a kind of sink, for the configuration; None for an unknown kind.

    A plug-in that cannot serve spoils no configuration (ANY_OPTIONS): whoever builds its sink is told why.
    """
    try:
        module = sink_module(kind)
    except PluginError:
        return ANY_OPTIONS
    return None if module is None else module.OPTIONS


def digest_of(kind: str, options: Mapping[str, Any]) -> Digest | None:
    """When a sink of this kind, with these options, is offered what has gathered; None for at once."""
    module = sink_module(kind) if kind in SINKS else None
    digest: Callable[[Mapping[str, Any]], Digest | None] | None = getattr(module, "digest", None)
    return None if digest is None else digest(options)


def source_module(name: str) -> SourceModule | None:
    """The module of a source that a package brings; None when none does. Raises PluginError as `sink_module`."""
    found = plugin("source", name)
    return None if found is None else cast("SourceModule", load_source(found))


def source_options(name: str) -> Mapping[str, Option] | None:
    """The OPTIONS of such a source, as `sink_options`."""
    try:
        module = source_module(name)
    except PluginError:
        return ANY_OPTIONS
    return None if module is None else module.OPTIONS
