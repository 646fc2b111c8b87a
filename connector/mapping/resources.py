"""Data files: those that ship, found inside the installed packages, and mapping files by path. Read here, not judged.

YAML only where it is at hand, compiled JSON elsewhere.
"""

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from connector.errors import ConfigError, PluginError
from connector.plugins.installed import load, plugin

MAX_FILE_BYTES = 1_000_000


def load_data(name: str) -> Any:
    """The content of mappings/<name>.json if it was compiled, else of mappings/<name>.yaml."""
    folder = resources.files("mappings")
    compiled = folder / f"{name}.json"
    if compiled.is_file():
        return json.loads(compiled.read_text("utf-8"))
    source = folder / f"{name}.yaml"
    if not source.is_file():
        raise ConfigError([f"there is no shipped data file {name!r}"])
    import yaml  # noqa: PLC0415 - homes without YAML carry the compiled form

    # Where PyYAML has libyaml it reads ten times as fast, and every start reads the table of severities.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(source.read_text("utf-8"), loader)  # noqa: S506 - both are the safe one


def mapping_names() -> list[str]:
    """The shipped mappings, sorted."""
    return sorted(
        {entry.name.rpartition(".")[0] for entry in resources.files("mappings").iterdir() if _is_mapping_file(entry)}
    )


def plugged_mapping(name: str) -> Traversable | None:
    """The file of a mapping that an installed package brings; None when none does. Raises PluginError.

    The entry point names the package that `<name>.yaml` (or its compiled `<name>.json`) lies in.
    """
    found = plugin("mapping", name)
    if found is None:
        return None
    module = load(found)
    try:
        folder = resources.files(module)
    except TypeError as error:
        raise PluginError([f"{found}: its entry point names no package"], found.remedy) from error
    for suffix in ("yaml", "json"):
        if (file := folder / f"{name}.{suffix}").is_file():
            return file
    raise PluginError([f"{found}: there is no {name}.yaml in {module.__name__}"], found.remedy)


def is_path(name_or_path: str) -> bool:
    """Whether a mapping is meant by path rather than by shipped name."""
    return "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml", ".json"))


def read_text(file: Path | Traversable) -> str:
    """A mapping file's text. Raises ConfigError when it is missing, too large or not UTF-8."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError([f"{file}: larger than {MAX_FILE_BYTES} octets, no mapping is"])
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([f"{file}: cannot be read: {reason}"], hint="check the path of the mapping") from error


def _is_mapping_file(entry: Traversable) -> bool:
    stem, dot, suffix = entry.name.rpartition(".")
    if suffix == "json":
        return '"compiled"' in entry.read_text("utf-8")
    if suffix != "yaml" or not dot or not stem or stem.endswith(".cases"):
        return False
    return re.search(r"^(?:encode|extends):", entry.read_text("utf-8"), re.MULTILINE) is not None
