"""The Bicep and Terraform wrappers give the template what it takes, and ask it for what it has."""

import re

import pytest

from tests.artefacts.test_azure_template import AZURE, TEMPLATE

NEEDED = {name for name, one in TEMPLATE["parameters"].items() if "defaultValue" not in one}
WRAPPERS = {
    "main.bicep": (r"^    (\w+): \w+$", r"connector\.outputs\.(\w+)", "'../azuredeploy.json'"),
    "main.tf": (r"^    (\w+) += \{ value = var\.\w+ \}$", r"local\.outputs\.(\w+)\.value", "/../azuredeploy.json"),
}
"""File → how it gives a parameter, how it reads an output, how it names the template."""


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_fits_the_template(name: str) -> None:
    text = (AZURE / "wrappers" / name).read_text()
    gives, reads, names = WRAPPERS[name]
    given = set(re.findall(gives, text, re.MULTILINE))
    assert NEEDED <= given <= set(TEMPLATE["parameters"])
    assert len(given) == 5 - (name == "main.tf")
    assert (
        set(re.findall(reads, text))
        == {"identityPrincipalId", "deployPackage", "statusUrl"}
        <= set(TEMPLATE["outputs"])
    )
    assert names in text


def test_every_value_of_the_bicep_file_is_a_parameter_of_it() -> None:
    text = (AZURE / "wrappers" / "main.bicep").read_text()
    declared = set(re.findall(r"^param (\w+) ", text, re.MULTILINE))
    assert set(re.findall(r"^    \w+: (\w+)$", text, re.MULTILINE)) == declared


def test_every_variable_of_the_terraform_file_is_declared_and_used() -> None:
    text = (AZURE / "wrappers" / "main.tf").read_text()
    assert set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE)) == set(re.findall(r"\bvar\.(\w+)", text))


def test_the_terraform_file_asks_for_the_versions_that_the_guide_names() -> None:
    told = dict(re.findall(r"^\| (Terraform|azurerm) \| ([\d.]+) \|", (AZURE / "README.md").read_text(), re.MULTILINE))
    text = (AZURE / "wrappers" / "main.tf").read_text()
    assert re.findall(r'required_version = ">= (.+)"', text) == [told["Terraform"]]
    assert re.findall(r'version = "~> (.+)"', text) == [told["azurerm"]]
    assert re.findall(r'source  = "(.+)"', text) == ["hashicorp/azurerm"]


def test_every_thing_not_tried_has_a_command_that_tries_it() -> None:
    text = (AZURE / "README.md").read_text().partition("### What was not tried")[2].partition("\n### ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row for row in rows if "`" not in row[1]] == []
    ours = re.findall(r"packaging/[\w./-]+", text)
    assert len(ours) >= 6
    assert [path for path in ours if not (AZURE.parents[1] / path).exists()] == []
