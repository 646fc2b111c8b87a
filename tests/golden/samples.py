"""The sample events, the shipped mappings and their golden cases, each read once a process. No assertions live here."""

from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from connector import __version__
from connector.mapping.load import load_mapping
from connector.mapping.render import Mapping
from connector.model import Event

SAMPLES = Path(__file__).with_name("sample_events.yaml")


def _yaml(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)  # these are our largest files, and libyaml is ten times as fast


@cache
def _samples() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = _yaml(SAMPLES.read_text("utf-8"))
    return loaded


def names() -> list[str]:
    """The names of all samples: the event type, with "/variant" where a type has more than one."""
    return list(_samples())


def event(name: str, changes: dict[str, Any] | None = None) -> Event:
    """A sample as an event of its own, with values set by dotted path ({"data.severity": 3}); shared by nobody."""
    document = deepcopy(_samples()[name])
    for path, value in (changes or {}).items():
        at = document
        *parents, last = path.split(".")
        for key in parents:
            at = at[key]
        at[last] = value
    return Event(**document)


@cache
def mapping(name: str) -> Mapping:
    """A mapping that ships. Reading one from its YAML takes longer than most tests."""
    return load_mapping(name)


def cases_files() -> list[str]:
    """The names of all mappings with golden cases."""
    found = [entry.name for entry in resources.files("mappings").iterdir()]
    return sorted(name.removesuffix(".cases.yaml") for name in found if name.endswith(".cases.yaml"))


@cache
def cases(name: str) -> dict[str, dict[str, Any]]:
    """The golden cases of a mapping by name; the form is described in each file's head."""
    loaded = _yaml((resources.files("mappings") / f"{name}.cases.yaml").read_text("utf-8"))
    return {case.get("name", case["sample"]): case for case in loaded}


def expected(encode: str, expect: Any) -> Any:
    """What a case expects: a dict for objects, else text; a list is the header and the fields of a CEF or LEEF line."""
    if encode == "object":
        return _versioned(expect)
    if isinstance(expect, list):
        text: str = expect[0] + {"cef": " ", "leef": "\t"}[encode].join(expect[1:])
        return _versioned(text)
    return _versioned(expect)


def _versioned(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("<version>", __version__)
    if isinstance(value, dict):
        return {key: _versioned(inner) for key, inner in value.items()}
    return [_versioned(inner) for inner in value] if isinstance(value, list) else value
