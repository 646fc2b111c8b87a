"""A baseline file as plain values → standards, and what they ask of one tenant. Pure.

    standards:
      - name: gold
        tenants: [tier=gold]
        full: [AdminMFAV2, BlockLegacyAuthentication]
        declared: [{control: McasFirewallLogUpload, state: third-party, comment: "covered by gateway X"}]
        not_declared: [{controls: ["*"], states: [ignored]}]
        percent_min: 75
    exceptions:
      - {tenants: [fabrikam], controls: [AdminMFAV2], until: 2027-03-31, reason: "ticket 4711"}

No files here: the front end reads them. Whether a day meets what is asked is in observe/baseline.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from connector.config.keys import DECLARED, EXCUSE, NOT_DECLARED, STANDARD
from connector.config.read import Path, Problem, Reader, group, placed, shown
from connector.config.values import (
    BaselineConfig,
    Declared,
    Excuse,
    Floor,
    Forbidden,
    TargetsConfig,
    TenantConfig,
    selects,
)
from connector.model import OF_UNITS, STATES

_LISTS = ("declared", "not_declared")
_FLOORS = ("percent_min", "measured_percent_min")


@frozen
class Standard:
    """One standard: `tenants` selects whom it is for, `asks` is what it asks of each of them."""

    name: str
    tenants: tuple[str, ...]
    asks: BaselineConfig


@frozen
class Baseline:
    """A whole file. Each excuse stands with the patterns of those who are excused."""

    standards: tuple[Standard, ...] = ()
    excuses: tuple[tuple[tuple[str, ...], Excuse], ...] = ()


def read_baseline(
    raw: object, name: str, where: Callable[[Path], int | None], at: Path = ()
) -> tuple[Baseline, list[Problem]]:
    """The standards of a file, and everything that is wrong with it; `where` gives the line of a path, `at` is where
    the whole stands when it is no file of its own.
    """
    reader = Reader(where, file=name)
    top = reader.mapping(raw, at)
    for key in top:
        if key not in ("standards", "exceptions"):
            reader.note((*at, key), "unknown key; known: standards, exceptions")
    standards: list[Standard] = []
    for index, item in enumerate(reader.items(top.get("standards"), (*at, "standards"))):
        path: Path = (*at, "standards", index)
        if isinstance(item, Mapping):
            standards.append(_standard(reader, item, path))
            first = next(n for n, other in enumerate(standards) if other.name == standards[-1].name)
            if first != index and standards[-1].name:
                taken = placed((*at, "standards", first), where)
                reader.note((*path, "name"), f"{standards[-1].name} is taken by {taken}")
        else:
            reader.mapping(item, path)
    if isinstance(raw, Mapping) and not standards and not reader.problems:
        reader.note((*at, "standards"), "names no standard: list at least one")
    excuses = []
    for index, item in enumerate(reader.items(top.get("exceptions"), (*at, "exceptions"))):
        path = (*at, "exceptions", index)
        v = reader.read_all(EXCUSE, reader.mapping(item, path), path)
        if v["tenants"] == () and isinstance(item, Mapping) and item.get("tenants") is not None:
            reader.note((*path, "tenants"), 'names nobody: write ["*"] for all')
        excuses.append((v["tenants"] or (), Excuse(_folded(v["controls"]), v["until"] or "", v["reason"] or "")))
    return Baseline(tuple(standards), tuple(excuses)), reader.problems


def asked_of(baseline: Baseline, tenant: TenantConfig) -> BaselineConfig | None:
    """What the standards that are for a tenant ask of it; None without any, and of an entry of several units."""
    mine = [s for s in baseline.standards if selects(s.tenants, tenant.name, tenant.labels)]
    if tenant.source in OF_UNITS or not mine:
        return None
    full: dict[str, str] = {}
    declared: dict[str, Declared] = {}
    floors: dict[str, Floor] = {}
    for asks in (standard.asks for standard in mine):
        full = {**asks.full, **full}
        declared = {**{d.control.casefold(): d for d in asks.declared}, **declared}
        for kind, floor in asks.floors.items():
            floors[kind] = max(floors.get(kind, floor), floor, key=lambda f: f.percent)
    excuses = tuple(e for patterns, e in baseline.excuses if selects(patterns, tenant.name, tenant.labels))
    forbidden = tuple(f for standard in mine for f in standard.asks.forbidden)
    return BaselineConfig(full, tuple(declared.values()), forbidden, floors, excuses)


def with_baseline(baseline: Baseline, tenants: Sequence[TenantConfig]) -> tuple[TenantConfig, ...]:
    """The tenants, each with what is asked of it among its targets; equal targets are one object."""
    shared: dict[Any, TargetsConfig] = {}
    found = []
    for tenant in tenants:
        mine = tuple(selects(s.tenants, tenant.name, tenant.labels) for s in baseline.standards)
        excused = tuple(selects(patterns, tenant.name, tenant.labels) for patterns, _ in baseline.excuses)
        key = (id(tenant.targets), tenant.source in OF_UNITS, mine, excused)
        if key not in shared:
            shared[key] = evolve(tenant.targets, baseline=asked_of(baseline, tenant))
        found.append(evolve(tenant, targets=shared[key]))
    return tuple(found)


def _standard(reader: Reader, raw: Mapping[str, Any], path: Path) -> Standard:
    plain = {name: option for name, option in STANDARD.items() if name not in _LISTS}
    given = reader.mapping(raw, path)
    table = {key: value for key, value in given.items() if key not in _LISTS}
    v = {name: option.default for name, option in plain.items()} | reader.read(group(plain), table, path)
    name = v["name"] or ""
    full = dict.fromkeys(v["full"], name)
    floors = {kind: Floor(v[kind], name) for kind in _FLOORS if v[kind] is not None}
    declared: dict[str, Declared] = {}
    for index, item in enumerate(reader.items(given.get("declared"), (*path, "declared"))):
        at = (*path, "declared", index)
        d = reader.read_all(DECLARED, reader.mapping(item, at), at)
        control = d["control"] or ""
        if control.casefold() in declared:
            reader.note((*at, "control"), f"{shown(control)} is declared twice in this standard")
        declared[control.casefold()] = Declared(
            control, STATES[d["state"] or "default"], d["comment"] or "", name, d["assigned_to"]
        )
    forbidden = []
    for index, item in enumerate(reader.items(given.get("not_declared"), (*path, "not_declared"))):
        at = (*path, "not_declared", index)
        f = reader.read_all(NOT_DECLARED, reader.mapping(item, at), at)
        comment = f["comment"] or f"not allowed by the standard {name}"
        forbidden.append(Forbidden(_folded(f["controls"]), tuple(STATES[word] for word in f["states"]), comment, name))
    _consistent(reader, path, declared, forbidden)
    if not (full or declared or forbidden or floors or reader.problems):
        reader.note(path, f"asks for nothing: give it {', '.join(n for n in STANDARD if n not in ('name', 'tenants'))}")
    return Standard(name, v["tenants"], BaselineConfig(full, tuple(declared.values()), tuple(forbidden), floors))


def _consistent(reader: Reader, path: Path, declared: Mapping[str, Declared], forbidden: Sequence[Forbidden]) -> None:
    """One standard may not forbid by name the state that it asks for; what it forbids of all controls gives way."""
    for index, (name, wanted) in enumerate(declared.items()):
        if any(name in rule.controls and wanted.state in rule.states for rule in forbidden):
            at = (*path, "declared", index, "state")
            reader.note(at, f"{shown(wanted.control)} must have a state here that not_declared forbids it")


def _folded(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(name.casefold() for name in names or ())
