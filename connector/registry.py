"""Every kind of sink, and which module it is: those that ship, one line each, and those that installed packages bring.

A package brings sinks, sources and mappings by entry points (GROUPS). They are looked for when a configuration names
what does not ship, and loaded only then, so that nobody waits for a package that is not used. Nothing is built here
(app.py does that), and what a kind means is known to its own module alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from attrs import frozen

from connector.errors import PluginError
from connector.options import TYPES, Init, Option
from connector.ports import PORT, Sink, Source

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SINKS: Mapping[str, str] = {
    "syslog": "sinks.syslog",
    "splunk_hec": "sinks.splunk",
    "sentinel": "sinks.sentinel",
    "webhook": "sinks.webhook",
    "file": "sinks.file",
}
"""Every kind of sink that ships and its module, in the order people are told of them: a new sink is its file plus its
line here."""

GROUPS: Mapping[str, str] = {
    "sink": "secure_score_connector.sinks",
    "source": "secure_score_connector.sources",
    "mapping": "secure_score_connector.mappings",
}
"""What a plug-in may bring, and the group of entry points it is brought by."""

ANY_OPTIONS: Mapping[str, Option] = {"…": Option("str")}
"""The options of a kind whose plug-in cannot be asked for them: what is written is not judged."""

RESERVED = frozenset(
    {
        *("name", "kind", "mapping", "tenants", "include", "exclude", "min_severity", "batch"),
        *("proxy", "no_proxy", "ca_file", "timeout_s"),
    }
)
"""The keys of any sink that a kind may not restate in its OPTIONS, as it may `streams`, `start` and `format`."""


class SinkModule(Protocol):
    """What every module of a sink offers, and what it may offer besides.

    INIT: what `init` asks and writes (options.Init). ROUTES: keys of the tenants' overrides that tenants may have of
    their own here; `build` is then also given `routes`. HOST_ONLY = True: it needs a process and a disk that last, so
    that homes which are called for a moment refuse it. PORT: a plug-in's, see ports.PORT.
    """

    OPTIONS: Mapping[str, Option]
    FORMAT: str
    """The mapping of a sink that names none."""

    @property
    def build(self) -> Callable[..., Sink]:
        """`build(name, options, network)`: the sink of one entry, its secrets resolved. Raises ConfigError."""
        ...


class SourceModule(Protocol):
    """What every module of a source plug-in offers; PORT as a sink's."""

    OPTIONS: Mapping[str, Option]
    """The keys of the tenant's `options`."""

    @property
    def build(self) -> Callable[..., Source]:
        """`build(tenant_id, options, network)`: the source of one tenant, closed after each read."""
        ...


@frozen
class Plugin:
    """What an installed package brings: `kind` is sink, source or mapping."""

    kind: str
    name: str
    package: str
    version: str
    entry: "EntryPoint"

    @property
    def words(self) -> str:
        return f"{self.kind} plug-in {self.name} ({self.package} {self.version})"


# -------------------------------------------------------------------------------------------------------------- finding


@cache
def plugins() -> tuple[Plugin, ...]:
    """Everything that installed packages bring, by name. Loads nothing; asked once a process."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - looks into every installed package

    found = []
    for kind, group in GROUPS.items():
        for entry in entry_points(group=group):
            package = entry.dist
            name, version = (package.name, package.version) if package is not None else ("?", "?")
            found.append(Plugin(kind, entry.name, name, version, entry))
    return tuple(sorted(found, key=lambda p: (p.kind, p.name, p.package)))


def names(kind: str) -> list[str]:
    """The names of all plug-ins of one kind."""
    return list(dict.fromkeys(p.name for p in plugins() if p.kind == kind))


def plugin(kind: str, name: str) -> Plugin | None:
    """The plug-in of this name, None when nobody brings it. Raises PluginError when two packages do."""
    found = [p for p in plugins() if (p.kind, p.name) == (kind, name)]
    if len(found) > 1:
        who = " and ".join(f"{p.package} {p.version}" for p in found)
        raise PluginError([f"{kind} {name!r} is brought by {who}"], "uninstall all but one of them")
    return found[0] if found else None


def load(found: Plugin) -> Any:
    """What the entry point names. Raises PluginError, whatever the package does when it is imported."""
    try:
        return found.entry.load()
    except Exception as error:  # a stranger's code: nothing it raises may reach further than what names it
        what = f"{found.words} cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError([what], _ask(found)) from error


def _ask(found: Plugin) -> str:
    return f"install {found.package} and what it needs again, or ask its author"


# ---------------------------------------------------------------------------------------------------------------- sinks


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
    return None if found is None else cast("SinkModule", _fitting(found, load(found), _sink_faults))


def sink_options(kind: str) -> Mapping[str, Option] | None:
    """The OPTIONS of a kind of sink, for the configuration; None for an unknown kind.

    A plug-in that cannot be asked spoils no configuration: ANY_OPTIONS. Whoever builds the sink is told why.
    """
    try:
        module = sink_module(kind)
    except PluginError:
        return ANY_OPTIONS
    return None if module is None else module.OPTIONS


def check_sink(sink: Any, name: str) -> list[str]:
    """What keeps an object from being the sink of this name (ports.Sink); empty when it fits."""
    faults = _missing(sink, ("send", "probe", "close"), "sink")
    if getattr(sink, "name", None) != name:
        faults.append(f"the sink's name is {getattr(sink, 'name', None)!r}, not {name!r}")
    for key, least in (("max_records", 1), ("max_bytes", 1), ("replay_window_s", 0)):
        value = getattr(sink, key, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            faults.append(f"the sink's {key} is {value!r}, not a number from {least} on")
    return faults


def _sink_faults(module: Any) -> list[str]:
    faults = _options_faults(module)
    faults += [f"OPTIONS.{key} is a key of every sink" for key in _names(module) if key.partition(".")[0] in RESERVED]
    if not isinstance(getattr(module, "FORMAT", None), str):
        faults.append("FORMAT, the name of its default mapping, is missing")
    if not isinstance(getattr(module, "INIT", None), Init | None):
        faults.append("INIT is not an options.Init")
    return faults


def _names(module: Any) -> list[str]:
    options = getattr(module, "OPTIONS", None)
    return [key for key in options if isinstance(key, str)] if isinstance(options, Mapping) else []


# -------------------------------------------------------------------------------------------------------------- sources


def source_module(name: str) -> SourceModule | None:
    """The module of a source plug-in; None when nobody brings it. Raises PluginError as `sink_module`."""
    found = plugin("source", name)
    return None if found is None else cast("SourceModule", _fitting(found, load(found), _options_faults))


def source_options(name: str) -> Mapping[str, Option] | None:
    """As `sink_options`, of a source."""
    try:
        module = source_module(name)
    except PluginError:
        return ANY_OPTIONS
    return None if module is None else module.OPTIONS


def check_source(source: Any) -> list[str]:
    """What keeps an object from being a source (ports.Source); empty when it fits."""
    faults = _missing(source, ("read", "close"), "source")
    if not isinstance(getattr(source, "name", None), str):
        faults.append("the source has no name")
    return faults


# ------------------------------------------------------------------------------------------------------ whether it fits


def _fitting(found: Plugin, module: Any, faults_of: Callable[[Any], Sequence[str]]) -> Any:
    """The module when it fits the port. Raises PluginError with everything that does not."""
    version = getattr(module, "PORT", None)
    if version != PORT:
        says = f"was written for version {version} of the port" if version is not None else "does not state PORT"
        raise PluginError(
            [f"{found.words} {says}; this program has version {PORT}"],
            f"install a version of {found.package} that states PORT = {PORT}",
        )
    if faults := faults_of(module):
        raise misfit(found, faults)
    return module


def misfit(found: Plugin, faults: Sequence[str]) -> PluginError:
    """The error of a plug-in that does not fit its port."""
    return PluginError([f"{found.words} does not fit the port: {'; '.join(faults)}"], _ask(found))


def _options_faults(module: Any) -> list[str]:
    options = getattr(module, "OPTIONS", None)
    if not isinstance(options, Mapping):
        faults = ["OPTIONS, the table of its configuration keys, is missing"]
    else:
        wrong = [key for key, one in options.items() if not isinstance(one, Option) or one.type not in TYPES]
        faults = [f"OPTIONS.{key} is no Option of a known type" for key in wrong]
    if not callable(getattr(module, "build", None)):
        faults.append("build is missing")
    return faults


def _missing(thing: Any, methods: Sequence[str], what: str) -> list[str]:
    return [f"the {what} has no {name}()" for name in methods if not callable(getattr(thing, name, None))]
