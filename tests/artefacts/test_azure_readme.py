"""The README for Azure keeps its word: commands, parameters, outputs, roles, settings and reasons are real."""

import json
import re

import pytest

from connector.cli.main import COMMANDS, main
from connector.config.keys import TOP
from tests.artefacts.test_azure_template import AZURE, ROLES, TEMPLATE

README = (AZURE / "README.md").read_text()
COMMAND = re.compile(r"securescore ([a-z][a-z-]+)((?: [^`\n#|;]*)?)")


def test_every_command_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    named: dict[str, set[str]] = {}
    for match in COMMAND.finditer(README):
        named.setdefault(match[1], set()).update(re.findall(r"--[a-z-]+", match[2]))
    assert {"status", "parked", "replay", "accept-snapshot", "events", "tenants"} <= set(named) <= set(COMMANDS)
    for command, options in named.items():
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert {option for option in options if option not in shown} == set(), command


def test_parameters_and_outputs_are_those_of_the_template() -> None:
    table = README.partition("### Parameters")[2].partition("### Many tenants")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told <= set(TEMPLATE["parameters"])
    mentioned = set(re.findall(r"`(\w+)`", table)) | told
    silent = set(TEMPLATE["parameters"]) - mentioned - {"location", "networkAddressPrefix", "packageUri"}
    assert silent == set()
    outputs = set(re.findall(r"outputs? `(\w+)`", README)) | {"stateAccountUrl", "statusUrl"}
    assert outputs <= set(TEMPLATE["outputs"])
    assert outputs >= {"identityPrincipalId", "deployPackage", "roleAssignments"}


def test_every_role_is_in_the_table() -> None:
    table = README.partition("## Permissions")[2].partition("## Operators")[0]
    assert [name for name in ROLES.values() if name not in table] == []


def test_settings_it_names_are_configuration_keys() -> None:
    named = {name.replace("__", ".") for name in re.findall(r"SECURESCORE__(\w+)", README)}
    assert named <= set(TOP)
    assert {"poll.interval", "changes.inventory"} <= named


def test_reasons_that_only_the_function_app_gives_are_explained() -> None:
    sources = (AZURE.parents[1] / "connector" / "homes" / "tenant_turn.py").read_text()
    given = set(re.findall(r'"connector\.problem",\s+"([a-z_]+)"', sources))
    assert given == {"given_up", "behind"}
    assert [reason for reason in given if f"reason `{reason}`" not in README] == []


def test_numbers_it_tells_are_those_of_the_host_file() -> None:
    queues = json.loads((AZURE / "host.json").read_text())["extensions"]["queues"]
    assert queues["batchSize"] + queues["newBatchThreshold"] == 15
    assert "up to 15 tenants at a time" in README
    assert (queues["maxDequeueCount"], queues["visibilityTimeout"]) == (5, "00:05:00")


def test_the_order_of_the_steps_and_what_must_be_there_before_are_said() -> None:
    """Whoever brings the code first is denied for a day; private networking needs a provider, and is left in order."""
    steps = README.partition("## Deploy")[2].partition("### Parameters")[0]
    assert steps.index("grant-graph-permission.sh") < steps.index("`deployPackage`")
    assert "az provider register --namespace Microsoft.App --wait" in steps
    assert "vnet-integration remove" in README.partition("## Leaving")[2]
    form = (AZURE / "createUiDefinition.json").read_text()
    assert "az provider register --namespace Microsoft.App" in form
    assert "up to a day" in form
    assert "up to" in (AZURE / "grant-graph-permission.sh").read_text().partition("is granted.")[2]


def test_files_it_names_are_there() -> None:
    named = set(re.findall(r"packaging/azure/([\w./-]+)", README)) | set(re.findall(r"\]\(((?!\.\.)[\w./-]+)", README))
    assert [name for name in named if name.count("#") == 0 and not (AZURE / name).exists()] == []
