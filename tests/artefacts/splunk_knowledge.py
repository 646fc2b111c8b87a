"""The knowledge of the Splunk packages as tests need it: conf files read, and a world to run its searches in."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from connector.model import Event
from tests.artefacts.spl import Model, Row, World, compiled, row_of
from tests.golden import samples

KNOWLEDGE = Path(__file__).parents[2] / "packaging" / "splunk" / "knowledge"
Conf = dict[str, dict[str, str]]


def conf(name: str, folder: Path = KNOWLEDGE / "default") -> Conf:
    """A conf file: {stanza: {key: value}}."""
    found: Conf = {}
    stanza: dict[str, str] = {}
    for line in (folder / name).read_text().replace("\\\n", "").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            stanza = found.setdefault(line.strip()[1:-1], {})
        else:
            key, _, value = line.partition("=")
            stanza[key.strip()] = value.strip()
    return found


def macros() -> dict[str, tuple[str, list[str]]]:
    return {
        name: (body["definition"], [each.strip() for each in body.get("args", "").split(",") if each.strip()])
        for name, body in conf("macros.conf").items()
    }


@cache
def table(name: str, lookups: Path) -> tuple[list[dict[str, str]], bool]:
    """The rows of a lookup, and whether its key is a glob."""
    transform = conf("transforms.conf")[name]
    if "filename" not in transform:  # kept by the input in the KV store
        return [], False
    with (lookups / transform["filename"]).open(newline="") as file:
        return list(csv.DictReader(file)), "WILDCARD" in transform.get("match_type", "")


def lookup(name: str, lookups: Path) -> Callable[[Mapping[str, Any]], Mapping[str, str] | None]:
    rows, globs = table(name, lookups)

    def find(keys: Mapping[str, Any]) -> Mapping[str, str] | None:
        def fits(row: Mapping[str, str]) -> bool:
            return all(
                fnmatchcase(str(value), row[key]) if globs else str(value) == row[key] for key, value in keys.items()
            )

        return next((row for row in rows if fits(row)), None)

    return find


def world(events: Iterable[Event], lookups: Path, now: datetime, indexed: datetime | None = None) -> World:
    """Events as the index would hold them at a moment, with the fields that props.conf adds."""
    props, known = conf("props.conf"), {name: lookup(name, lookups) for name in conf("transforms.conf")}
    rows = []
    for event in events:
        envelope = dict(samples.mapping("splunk").render(event).payload)  # type: ignore[arg-type]
        at = indexed or datetime.fromisoformat(event.data["observed_at"])
        rows.append(enriched(row_of(envelope, at.timestamp()), props, known))
    return World(rows, macros(), known, now.astimezone(UTC).timestamp(), {"ms_securescore_instances": []}, models())


def models() -> dict[str, Model]:
    """The datasets of the data models: {MODEL.DATASET: …}."""
    found = {}
    for path in (KNOWLEDGE / "data/models").glob("*.json"):
        model = json.loads(path.read_text())
        for each in model["objects"]:
            (constraint,) = each["constraints"]
            made = {c["outputFields"][0]["fieldName"]: c["expression"] for c in each["calculations"]}
            names = [one["fieldName"] for one in each["fields"]]
            found[f"{model['modelName']}.{each['objectName']}"] = Model(constraint["search"], names, made)
    return found


_LOOKUP = re.compile(r"(\w+) (\w+)(?: AS (\S+))? OUTPUTNEW (.+)")


@cache
def calculated(expression: str) -> Callable[[Row], Any]:
    return compiled(World([], {}, {}, 0.0), expression)


def enriched(
    row: Row, props: Conf, known: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, str] | None]]
) -> Row:
    """The calculated fields of the row's sourcetype, then its automatic lookups."""
    stanza = props[str(row["sourcetype"])]
    made = {key.removeprefix("EVAL-"): calculated(value)(row) for key, value in stanza.items() if key[:5] == "EVAL-"}
    row.update({key: value for key, value in made.items() if value is not None})
    for key, value in stanza.items():
        if not key.startswith("LOOKUP-"):
            continue
        match = _LOOKUP.fullmatch(value)
        assert match is not None, value
        field = match[3] or match[2]
        hit = known[match[1]]({match[2]: row[field]}) if field in row else None
        for part in match[4].split(","):
            column, _, name = part.strip().partition(" AS ")
            if hit and hit[column]:
                row.setdefault(name or column, hit[column])
    return row


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((KNOWLEDGE / "dashboards").glob("*.json"))}


def query(dashboard: str, source: str) -> str:
    """The search behind a source: a chain is its base and what it makes of it."""
    found = dashboards()[dashboard]["dataSources"][source]
    text = str(found["options"]["query"])
    return f"{query(dashboard, found['options']['extend'])} {text}" if found["type"] == "ds.chain" else text
