"""Shipped data files, found inside the installed packages; YAML only where it is at hand, compiled JSON elsewhere."""

import json
from importlib import resources
from typing import Any

from connector.errors import ConfigError


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

    return yaml.safe_load(source.read_text("utf-8"))
