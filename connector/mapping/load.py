"""A mapping by name or path → one that renders: from its YAML where YAML is at hand, else from its compiled JSON form.

Nothing is judged here (compile.py) and nothing rendered (render.py).
"""

import json
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from connector.errors import ConfigError, PluginError
from connector.mapping.interpret import COMPILED
from connector.mapping.render import Mapping
from connector.mapping.resources import is_path, mapping_names, plugged_mapping, read_text


def load_mapping(name_or_path: str, base_dir: str = ".") -> Mapping:
    """A mapping by name (it ships, or a package brings it), or a file (.yaml, .yml, compiled .json) under `base_dir`.

    Raises ConfigError naming every problem with file, line and key.
    """
    return Mapping.from_compiled(compile_mapping(name_or_path, base_dir))


def compile_mapping(name_or_path: str, base_dir: str = ".") -> dict[str, Any]:
    """The compiled form, JSON-able, of a mapping that ships or that an installed package brings, or of a file.

    Files are relative to `base_dir`. Raises ConfigError.
    """
    if is_path(name_or_path):
        path = Path(base_dir) / name_or_path
        if path.suffix == ".json":
            return _load_json(path)
        return _compile_yaml(path)
    here = resources.files("mappings")
    text_form, compiled_form = here / f"{name_or_path}.yaml", here / f"{name_or_path}.json"
    if compiled_form.is_file() and not (text_form.is_file() and _yaml_available()):
        return _load_json(compiled_form)
    if name_or_path in mapping_names():
        return _compile_yaml(text_form)
    if (plugged := plugged_mapping(name_or_path)) is not None:
        return _compile_plugged(plugged)
    raise ConfigError(
        [f"there is no mapping {name_or_path!r}; shipped are {', '.join(mapping_names())}"],
        hint="for a file of your own write a path, e.g. ./own.yaml",
    )


def _compile_plugged(file: Traversable) -> dict[str, Any]:
    """The compiled form of a mapping that a package brings: what is wrong in it is that package's fault."""
    try:
        return _load_json(file) if file.name.endswith(".json") else _compile_yaml(file)
    except ConfigError as error:
        raise PluginError(
            error.problems, "install the package that brings this mapping again, or tell its author"
        ) from error


def _yaml_available() -> bool:
    try:
        import yaml  # noqa: F401, PLC0415  # asked for only here: many homes have none
    except ImportError:
        return False
    return True


def _compile_yaml(file: Path | Traversable) -> dict[str, Any]:
    if not _yaml_available():
        raise ConfigError(
            [f"{file}: reading YAML needs the package pyyaml"],
            hint="pip install pyyaml, or give the compiled .json form of the mapping",
        )
    from connector.mapping.compile import compile_file  # noqa: PLC0415  # the only way to YAML

    return compile_file(file)


def _load_json(file: Path | Traversable) -> dict[str, Any]:
    try:
        compiled = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{file}: not JSON: {error}"], hint="compile the mapping again") from error
    if not isinstance(compiled, dict) or compiled.get("compiled") != COMPILED:
        raise ConfigError([f"{file}: not a compiled mapping of this version"], hint="compile the mapping again")
    return compiled
