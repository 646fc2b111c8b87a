"""The host README keeps its word: commands, options and reasons it names are those of the program."""

import ast
import re
from collections.abc import Mapping
from functools import cache

import pytest
import yaml

from tests.artefacts.host_packages import HOST, ROOT

README = (HOST / "README.md").read_text()
ELSEWHERE = {"cli", "simulator", "config", "refusals.py"}
"""Where reasons are words for other things."""
COMMAND = re.compile(r"`?(?:sudo )?securescore ([a-z][a-z-]+)((?: [^`\n#|;]*)?)")


def test_every_command_the_host_readme_names_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    from connector.cli.main import COMMANDS, main  # noqa: PLC0415 - a broken command shall fail this test only

    named: dict[str, set[str]] = {match[1]: set() for match in COMMAND.finditer(README) if match[1] in COMMANDS}
    unknown = {match[1] for match in COMMAND.finditer(README)} - set(COMMANDS)
    assert unknown == set()
    assert {"status", "check", "events", "explain", "parked", "sinks", "replay", "accept-snapshot"} <= set(named)
    for match in COMMAND.finditer(README):
        named[match[1]] |= set(re.findall(r"--[a-z-]+", match[2]))
    for command, options in named.items():
        actions = [command, "list"] if command == "parked" else [command]  # its options belong to its actions
        assert main([*actions, "--help"]) == 0
        shown = capsys.readouterr().out
        assert {option for option in options if option not in shown} == set(), command


WHY_GONE = ("disabled", "not_listed")
"""Why a subscription is gone (unit.removed): a fact of Azure's, no problem of ours."""


@cache
def reasons() -> frozenset[str]:
    """Every reason that the engine can give a problem or an incomplete read, found where it is said."""
    paths = [path for path in (ROOT / "connector").rglob("*.py") if not ELSEWHERE & set(path.parts)]
    trees = [ast.parse(path.read_text()) for path in paths]
    named = {
        node.targets[0].id: node.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    given = {word for tree in trees for node in ast.walk(tree) for value in said(node) for word in words(value, named)}
    return frozenset(given - {"", *WHY_GONE})


def said(node: ast.AST) -> list[ast.expr]:
    """The expressions that give a reason at this place."""
    if isinstance(node, ast.Call):
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        place = {"Absent": 0, "Fault": 1, "PartialRead": 1, "Loss": 1, "Flaw": 0}.get(called)
        by_place = [] if place is None else node.args[place : place + 1]
        return [*by_place, *(k.value for k in node.keywords if k.arg == "reason")]
    if isinstance(node, ast.Dict):
        return [
            v
            for k, v in zip(node.keys, node.values, strict=True)
            if isinstance(k, ast.Constant) and k.value == "reason"
        ]
    if isinstance(node, ast.Assign) and any(map(about_a_reason, node.targets)):
        return [node.value]
    if isinstance(node, ast.FunctionDef) and node.name == "_reason":
        return [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value is not None]
    return []


def about_a_reason(target: ast.expr) -> bool:
    """Whether the word stands in what is assigned to: a name, an attribute, a key."""
    parts = list(ast.walk(target))
    names = [n.id for n in parts if isinstance(n, ast.Name)] + [n.attr for n in parts if isinstance(n, ast.Attribute)]
    return any("reason" in str(word) for word in (*names, *(n.value for n in parts if isinstance(n, ast.Constant))))


def words(value: ast.expr, named: Mapping[str, ast.expr]) -> set[str]:
    """The texts an expression can come to: constants, also by name, either branch of a choice, members of a pair."""
    if isinstance(value, ast.Name | ast.Attribute):
        meant = named.get(value.id if isinstance(value, ast.Name) else value.attr)
        return set() if meant is None else words(meant, {})
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value} if re.fullmatch(r"[a-z_]+", value.value) else set()
    if isinstance(value, ast.IfExp):
        return words(value.body, named) | words(value.orelse, named)
    if isinstance(value, ast.Tuple):
        return {word for part in value.elts for word in words(part, named)}
    return set()


def test_every_problem_reason_has_a_line_in_the_runbook_and_the_runbook_no_other() -> None:
    """Reasons are stable words; a new one is explained to the operator when it is born."""
    table = README.partition("## Runbook")[2].partition("### Drills")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    told = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row.split("|")[1])} | {"suspicious"}
    given = reasons()
    assert len(given) >= 20
    assert given - told == set()
    assert told - given == set()


def test_every_reason_that_carries_a_severity_of_its_own_exists() -> None:
    rules = yaml.safe_load((ROOT / "mappings" / "severity.yaml").read_text())["rules"]
    named = {word for rule in rules for word in rule["when"].get("reason", ())}
    assert named - reasons() == set()
