"""What a control has to do with MITRE ATT&CK, NIST CSF and other frameworks: indicative references, values in and out.

The table is data (mappings/frameworks.yaml, and mappings/attack.yaml derived from a published mapping); no control id
stands here. What no row matches has no reference: nothing is guessed, and nothing is said about it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from attrs import frozen

from connector.errors import ConfigError
from connector.mapping.resources import load_data

EFFECTS = ("protect", "detect", "respond")
"""What a capability does about a technique, strongest first: lost points are lost protection before lost sight."""

_INSTANCE = re.compile(r"^\d+\.")
_GLOB = re.compile(r"[*?\[]")
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")
_ROW_KEYS = {"match", "because", "attack"}
_PICK_KEYS = {"capability", "effect", "only"}
_MAX_IDS = 8_192  # a whole catalogue has about 400 ids; ids are Graph's, so the caches are bounded all the same


@frozen
class Ref:
    """One reference. `capability` and `effect` are what an ATT&CK technique follows from; "" elsewhere."""

    framework: str
    id: str
    version: str
    provenance: str
    rationale: str
    capability: str = ""
    effect: str = ""
    label: str = "indicative"


@frozen
class Coverage:
    """How many of `total` controls have a reference: `by_framework` (and "any", "class"); `unmapped` is sorted."""

    total: int
    by_framework: Mapping[str, int]
    unmapped: tuple[str, ...]


@frozen
class Lookup:
    """Which rule speaks for a control, as its place in the list: ids go before globs, and the first glob wins."""

    ids: Mapping[str, int]
    globs: tuple[tuple[str, int], ...]

    def get(self, control_id: str) -> int | None:
        found = self.ids.get(control_id)
        if found is not None:
            return found
        return next((place for glob, place in self.globs if fnmatchcase(control_id, glob)), None)


@frozen
class Table:
    """A compiled table. Controls are looked up without their instance number."""

    version: int
    label: str
    refs: tuple[tuple[Ref, ...], ...]
    rows: Lookup
    classes: tuple[str, ...]
    class_rows: Lookup
    titles: Mapping[tuple[str, str], str]

    def title_of(self, framework: str, ref_id: str) -> str | None:
        """What a framework itself calls one of its references, where we may say it."""
        return self.titles.get((framework, ref_id))

    def references(self, control_id: str) -> tuple[Ref, ...]:
        place = self.rows.get(_plain(control_id))
        return () if place is None else self.refs[place]

    def class_of(self, control_id: str) -> str | None:
        place = self.class_rows.get(_plain(control_id))
        return None if place is None else self.classes[place]

    def coverage(self, control_ids: Iterable[str]) -> Coverage:
        counts: Counter[str] = Counter()
        unmapped = []
        names = set(control_ids)
        for name in names:
            found = {ref.framework for ref in self.references(name)}
            counts.update(found | ({"any"} if found else set()))
            counts["class"] += self.class_of(name) is not None
            if not found:
                unmapped.append(name)
        return Coverage(len(names), dict(sorted(counts.items())), tuple(sorted(unmapped)))


def _plain(control_id: str) -> str:
    """Without the number of a SaaS app's instance. For looking up only: it belongs to the control's identity."""
    return _INSTANCE.sub("", control_id)


# -------------------------------------------------------------------------------------------------- the shipped table


@lru_cache(maxsize=1)
def shipped() -> Table:
    return compile_table(load_data("frameworks"), load_data("attack"))


@lru_cache(maxsize=_MAX_IDS)
def references(control_id: str) -> tuple[Ref, ...]:
    """What the shipped table says of a control, sorted by framework and id; empty where it says nothing."""
    return shipped().references(control_id)


@lru_cache(maxsize=_MAX_IDS)
def _ids(control_id: str) -> tuple[str | None, tuple[tuple[str, tuple[str, ...]], ...]]:
    found: dict[str, dict[str, None]] = {}
    for ref in references(control_id):
        found.setdefault(ref.framework, {})[ref.id] = None
    return shipped().class_of(control_id), tuple((name, tuple(ids)) for name, ids in found.items())


def tags(control_id: str) -> dict[str, Any]:
    """What an event's `control` object carries besides its facts; absent keys where there is nothing to say.

    {"class": str, "frameworks": {"attack": [ids], "nist_csf": [ids], "cis_m365": [ids], "label": "indicative",
    "version": of our table}}
    """
    group, ids = _ids(control_id)
    told: dict[str, Any] = {} if group is None else {"class": group}
    if ids:
        table = shipped()
        lists = {name: list(found) for name, found in ids}
        told["frameworks"] = {**lists, "label": table.label, "version": table.version}
    return told


# ------------------------------------------------------------------------------------------------------- compilation


def compile_table(data: Any, attack: Any) -> Table:
    """The two data files → the table. Raises ConfigError with every problem of a row."""
    problems: list[str] = []
    heads: Mapping[str, Mapping[str, str]] = data["frameworks"]
    rows, classes = data["rows"], data["classes"]
    if heads["attack"]["version"] != attack["attack"]:
        problems.append(
            f"frameworks.attack: version {heads['attack']['version']} is not {attack['attack']} of the table"
        )
    refs = []
    for place, row in enumerate(rows, start=1):
        where = f"rows.{place} ({', '.join(map(str, row.get('match', ())))[:40]})"
        keys = set(row) - _ROW_KEYS
        problems += [f"{where}: unknown framework {key!r}" for key in sorted(keys - set(heads))]
        if not row.get("because"):
            problems.append(f"{where}: no rationale: state `because`")
        found = _attack(row, attack["capabilities"], heads["attack"], data["label"], where, problems)
        for name in sorted(keys & set(heads)):
            found += _own(name, row, heads[name], data["label"], where, problems)
        if not found:
            problems.append(f"{where}: no reference")
        refs.append(tuple(sorted(found, key=lambda ref: (ref.framework, ref.id, ref.capability))))
    table = Table(
        version=int(data["version"]),
        label=str(data["label"]),
        refs=tuple(refs),
        rows=_lookup([row.get("match", ()) for row in rows], "rows", problems),
        classes=tuple(str(one["class"]) for one in classes),
        class_rows=_lookup([one["match"] for one in classes], "classes", problems),
        titles={
            (framework, str(ref_id)): str(title)
            for framework, names in {**data.get("titles", {}), "attack": attack.get("titles", {})}.items()
            for ref_id, title in names.items()
        },
    )
    if problems:
        raise ConfigError(problems, "correct mappings/frameworks.yaml")
    return table


def _attack(
    row: Mapping[str, Any],
    capabilities: Mapping[str, Mapping[str, list[str]]],
    head: Mapping[str, str],
    label: str,
    where: str,
    problems: list[str],
) -> list[Ref]:
    found = []
    for pick in row.get("attack", ()):
        name = pick.get("capability")
        effects = capabilities.get(name, {})
        effect = pick.get("effect") or next((one for one in EFFECTS if effects.get(one)), "")
        known = effects.get(effect, [])
        wanted = pick.get("only", known)
        strange = [one for one in wanted if one not in known or not _TECHNIQUE.fullmatch(one)]
        problems += [f"{where}: unknown key {key!r}" for key in sorted(set(pick) - _PICK_KEYS)]
        if not known:
            problems.append(f"{where}: capability {name!r} has no {effect or 'effect'}")
        elif strange:
            problems.append(f"{where}: {name} does not {effect} {', '.join(strange)}")
        found += [
            Ref("attack", one, head["version"], head["provenance"], row.get("because", ""), name, effect, label)
            for one in wanted
        ]
    return found


def _own(
    name: str, row: Mapping[str, Any], head: Mapping[str, str], label: str, where: str, problems: list[str]
) -> list[Ref]:
    """References that a row states itself: ids only, never a framework's words."""
    problems += [f"{where}: {one!r} is no id of {name}" for one in row[name] if not _ID.fullmatch(str(one))]
    return [
        Ref(name, str(one), head["version"], head["provenance"], row.get("because", ""), label=label)
        for one in row[name]
    ]


def _lookup(matches: list[Iterable[str]], what: str, problems: list[str]) -> Lookup:
    ids: dict[str, int] = {}
    globs: dict[str, int] = {}
    for place, patterns in enumerate(matches):
        for pattern in patterns:
            kind = globs if _GLOB.search(pattern) else ids
            if pattern in kind:
                problems.append(f"{what}: {pattern!r} is matched twice")
            kind.setdefault(pattern, place)
    return Lookup(ids, tuple(globs.items()))
