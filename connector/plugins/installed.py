"""What installed packages bring: found by entry points, loaded when it is named, and judged before it is used.

A package brings sinks, sources and mappings under a name (GROUPS). Nothing is looked for while a configuration names
only what ships. Whatever a package does wrong here is a PluginError; what it builds is guarded elsewhere (guards.py).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from connector.errors import PluginError
from connector.options import TYPES, Init, Option
from connector.ports import PORT

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS: Mapping[str, str] = {
    "sink": "secure_score_connector.sinks",
    "source": "secure_score_connector.sources",
    "mapping": "secure_score_connector.mappings",
}
"""What a package may bring, and by which group of entry points."""

RESERVED = frozenset(
    {
        *("name", "kind", "mapping", "tenants", "include", "exclude", "min_severity", "batch"),
        *("proxy", "no_proxy", "ca_file", "timeout_s"),
    }
)
"""Keys of every sink that its OPTIONS may not restate, as they may `streams`, `start` and `format`."""


@frozen
class Plugin:
    """One thing that a package brings: `kind` is sink, source or mapping."""

    kind: str
    name: str
    package: str
    version: str
    entry: "EntryPoint"

    def __str__(self) -> str:
        return f"{self.kind} plug-in {self.name} ({self.package} {self.version})"

    @property
    def remedy(self) -> str:
        return f"install {self.package} and what it needs again, or tell its author"


# -------------------------------------------------------------------------------------------------------------- finding


@cache
def plugins() -> tuple[Plugin, ...]:
    """Everything that installed packages bring. Loads nothing; asked once a process."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - few need it, and it reads about every package

    found = []
    for kind, group in GROUPS.items():
        for entry in entry_points(group=group):
            package = entry.dist
            name, version = (package.name, package.version) if package is not None else ("?", "?")
            found.append(Plugin(kind, entry.name, name, version, entry))
    return tuple(sorted(found, key=lambda p: (p.kind, p.name, p.package)))


def plugin_names(kind: str) -> list[str]:
    """The names of one kind, sorted."""
    return list(dict.fromkeys(p.name for p in plugins() if p.kind == kind))


def plugin(kind: str, name: str) -> Plugin | None:
    """The plug-in of this name; None when no package brings one. Raises PluginError when two do."""
    found = [p for p in plugins() if (p.kind, p.name) == (kind, name)]
    if len(found) > 1:
        who = " and by ".join(f"{p.package} {p.version}" for p in found)
        raise PluginError([f"the {kind} {name} is brought by {who}"], "uninstall all but one of them")
    return found[0] if found else None


# -------------------------------------------------------------------------------------------------------------- judging


def load_sink(found: Plugin) -> Any:
    """The module of a sink plug-in. Raises PluginError when it cannot be had or does not fit."""
    return _fitting(found, _sink_faults)


def load_source(found: Plugin) -> Any:
    """The module of a source plug-in. Raises PluginError when it cannot be had or does not fit."""
    return _fitting(found, _module_faults)


def load(found: Plugin) -> Any:
    """What the entry point names. Raises PluginError, whatever the package does while it is imported."""
    try:
        return found.entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError([f"{found} cannot be loaded: {in_words(error)}"], found.remedy) from error


def _fitting(found: Plugin, faults_of: Callable[[Any], list[str]]) -> Any:
    module = load(found)
    version = getattr(module, "PORT", None)
    if version != PORT:
        says = "does not state PORT" if version is None else f"was written for version {version!r} of the port"
        raise PluginError(
            [f"{found} {says}; this program has version {PORT}"],
            f"install a version of {found.package} that states PORT = {PORT}",
        )
    if faults := faults_of(module):
        raise misfit(found, faults)
    return module


def misfit(found: Plugin, faults: Sequence[str]) -> PluginError:
    return PluginError([f"{found} does not fit the port: {'; '.join(faults)}"], found.remedy)


def _module_faults(module: Any) -> list[str]:
    options = getattr(module, "OPTIONS", None)
    if isinstance(options, Mapping):
        wrong = [key for key, one in options.items() if not isinstance(one, Option) or one.type not in TYPES]
        faults = [f"OPTIONS.{key} is no Option of a known type" for key in wrong]
    else:
        faults = ["OPTIONS, the table of its keys, is missing"]
    if not callable(getattr(module, "build", None)):
        faults.append("build() is missing")
    return faults


def _sink_faults(module: Any) -> list[str]:
    faults = _module_faults(module)
    options = getattr(module, "OPTIONS", None)
    names = map(str, options) if isinstance(options, Mapping) else ()
    faults += [f"OPTIONS.{key} is a key of every sink" for key in names if key.partition(".")[0] in RESERVED]
    if not isinstance(getattr(module, "FORMAT", None), str):
        faults.append("FORMAT, the name of its default mapping, is missing")
    if not isinstance(getattr(module, "INIT", None), Init | None):
        faults.append("INIT is no options.Init")
    return faults


def in_words(error: BaseException) -> str:
    """A stranger's exception, in one bounded line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
