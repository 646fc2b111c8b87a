"""The portal's form (createUiDefinition.json) by the checks of ARM-TTK, and by what Microsoft publishes of elements.

Sources: Azure/arm-ttk, arm-ttk/testcases/CreateUIDefinition/<name of the check>.test.ps1; of the elements
azure-resource-manager-schemas, schemas/0.1.2-preview/CreateUIDefinition.*.json, and for those that are younger than
that schema (CheckBox, ResourceSelector, TagsByResource) their pages at learn.microsoft.com. The schema knows the older
of the two names of the handler only; the toolkit takes both. How the form fits our template is asked in
test_azure_template.py, too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

AZURE = Path(__file__).parents[2] / "packaging" / "azure"
FORM: dict[str, Any] = json.loads((AZURE / "createUiDefinition.json").read_text("utf-8"))
PARAMETERS: dict[str, Any] = json.loads((AZURE / "azuredeploy.json").read_text("utf-8"))["parameters"]
SCHEMA = "https://schema.management.azure.com/schemas/0.1.2-preview/CreateUIDefinition.MultiVm.json#"
COMMON = {"name", "type", "visible"}
ELEMENTS: Mapping[str, tuple[set[str], set[str], set[str], set[str]]] = {
    "Microsoft.Common.TextBox": (
        {"label"}, {"defaultValue", "toolTip", "constraints"}, {"required", "regex", "validationMessage"}, set(),
    ),
    "Microsoft.Common.PasswordBox": (
        {"label"}, {"toolTip", "constraints", "options"}, {"required", "regex", "validationMessage"},
        {"hideConfirmation"},
    ),
    "Microsoft.Common.DropDown": (
        {"label", "constraints"}, {"defaultValue", "toolTip"}, {"allowedValues", "required"}, set(),
    ),
    "Microsoft.Common.OptionsGroup": (
        {"label", "constraints"}, {"defaultValue", "toolTip"}, {"allowedValues", "required"}, set(),
    ),
    "Microsoft.Common.InfoBox": ({"options"}, set(), set(), {"icon", "text", "uri"}),
    "Microsoft.Common.CheckBox": (
        {"label"}, {"defaultValue", "toolTip", "constraints"}, {"required", "validationMessage"}, set(),
    ),
    "Microsoft.Solutions.ResourceSelector": ({"label", "resourceType"}, {"toolTip", "options"}, set(), {"filter"}),
    "Microsoft.Common.TagsByResource": ({"resources"}, {"toolTip"}, set(), set()),
}  # fmt: skip
"""By type: what must be there, what may be, and the keys of `constraints` and of `options`."""
SAYS_ITSELF = {"Microsoft.Common.InfoBox", "Microsoft.Common.Section", "Microsoft.Common.TextBlock"}
BOOLEAN = {"equals", "less", "lessOrEquals", "greater", "greaterOrEquals", "and", "or", "not", "true", "false",
           "contains", "empty"}  # fmt: skip
"""Functions that give a truth value."""

Form = Mapping[str, Any]


def elements(form: Form) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every element, with the step that it stands in; "" is the tab Basics."""
    for one in form["parameters"]["basics"]:
        yield "", one
    for step in form["parameters"]["steps"]:
        for one in step["elements"]:
            yield step["name"], one


def outputs_of(form: Form, step: str, element: str) -> list[str]:
    """The outputs that an element gives its value to."""
    place = f"steps('{step}').{element}" if step else f"basics('{element}')"
    return [name for name, value in form["parameters"]["outputs"].items() if re.search(rf"{re.escape(place)}\b", value)]


# ------------------------------------------------------------------------------------------------------------- checks


def head_is_correct(form: Form) -> list[str]:
    """CreateUIDefinition-Should-Have-Schema, Handler-Must-Be-Correct, CreateUIDefinition-Must-Have-Parameters."""
    found = [] if form.get("$schema") == SCHEMA else ["$schema"]
    found += [] if form.get("version") == "0.1.2-preview" else ["version"]
    found += [] if form.get("handler") in ("Microsoft.Compute.MultiVm", "Microsoft.Azure.CreateUIDef") else ["handler"]
    return found + [key for key in ("basics", "steps", "outputs") if key not in form["parameters"]]


def location_is_an_output(form: Form) -> list[str]:
    """Location-Should-Be-In-Outputs."""
    given = form["parameters"]["outputs"].get("location", "")
    return [] if given == "[location()]" else [given or "none"]


def outputs_are_parameters_of_their_type(form: Form) -> list[str]:
    """Outputs-Must-Be-Present-In-Template-Parameters, Parameters-Without-Default-Must-Exist-In-CreateUIDefinition."""
    outputs = form["parameters"]["outputs"]
    found = [name for name in outputs if name not in PARAMETERS]
    found += [name for name, one in PARAMETERS.items() if "defaultValue" not in one and name not in outputs]
    for name, value in outputs.items():
        first = re.match(r"\[(\w+)\(", value)
        if PARAMETERS.get(name, {}).get("type") == "bool" and (not first or first[1] not in BOOLEAN):
            found.append(name)
    return found


def controls_in_outputs_exist(form: Form) -> list[str]:
    """Controls-In-Outputs-Must-Exist."""
    there = {f"steps('{step}').{one['name']}" if step else f"basics('{one['name']}')" for step, one in elements(form)}
    named = re.findall(r"steps\('\w+'\)\.\w+|basics\('\w+'\)", json.dumps(form["parameters"]["outputs"]))
    return [name for name in named if name not in there]


def allowed_values_are_allowed(form: Form) -> list[str]:
    """Allowed-Values-Should-Actually-Be-Allowed; what is chosen at first is one of the labels."""
    found = []
    for step, one in elements(form):
        values = one.get("constraints", {}).get("allowedValues", [])
        for name in outputs_of(form, step, one["name"]) if values else []:
            takes = PARAMETERS[name]
            found += [v["value"] for v in values if v["value"] not in takes.get("allowedValues", [v["value"]])]
            found += [] if takes.get("defaultValue") in {v["value"] for v in values} else [f"default of {name}"]
        if values and one.get("defaultValue") not in {v["label"] for v in values}:
            found.append(f"first choice of {one['name']}")
    return found


def secrets_are_asked_for_twice_and_kept(form: Form) -> list[str]:
    """Credential-Confirmation-Should-Not-Be-Hidden, PasswordBoxes-Must-Have-Min-Length (constraints are there),
    Password-Textboxes-Must-Be-Used-For-Password-Parameters.
    """
    found = []
    for step, one in elements(form):
        into = [PARAMETERS[name]["type"].lower() for name in outputs_of(form, step, one["name"]) if name in PARAMETERS]
        if one["type"] == "Microsoft.Common.PasswordBox":
            hidden = one.get("options", {}).get("hideConfirmation", False)
            if hidden or "constraints" not in one or set(one["label"]) != {"password", "confirmPassword"}:
                found.append(one["name"])
            found += [] if into and set(into) <= {"securestring", "secureobject"} else [f"where {one['name']} goes"]
        elif "securestring" in into:
            found.append(one["name"])
    return found


def text_boxes_are_well_formed(form: Form) -> list[str]:
    """Textboxes-Are-Well-Formed, Validations-Must-Have-Message."""
    found = []
    for _, one in elements(form):
        if one["type"] == "Microsoft.Common.TextBox":
            wants = one.get("constraints", {})
            found += [] if wants.get("regex") and wants.get("validationMessage") else [one["name"]]
            re.compile(wants.get("regex", ""))
            found += [one["name"] for rule in wants.get("validations", []) if not rule.get("message")]
    return found


def everything_has_a_tooltip(form: Form) -> list[str]:
    """Tooltips-Should-Be-Present."""
    return [
        one["name"]
        for _, one in elements(form)
        if one["type"] not in SAYS_ITSELF and not one.get("toolTip", "").strip()
    ]


def nothing_is_blank(form: Form) -> list[str]:
    """CreateUIDefinition-Must-Not-Have-Blanks."""
    blanks = re.findall(r'"([^"]+)"\s*:\s*(?:\{\s*\}|\[\s*\]|"\s*"|null)', json.dumps(form))
    return [name for name in blanks if name not in ("basics", "defaultValue", "steps")]


def steps_are_as_published(form: Form) -> list[str]:
    """The schema of a step; its names are used once."""
    found = []
    for step in form["parameters"]["steps"]:
        found += [
            f"{step['name']}: {key}" for key in {"name", "label", "subLabel", "bladeTitle", "elements"} ^ set(step)
        ]
        found += [] if set(step.get("subLabel", {})) == {"preValidation", "postValidation"} else [step["name"]]
    names = [f"{step}.{one['name']}" for step, one in elements(form)]
    return found + [name for name in set(names) if names.count(name) > 1]


def elements_are_as_published(form: Form) -> list[str]:
    """The schema of each element: no key is missing, none unknown."""
    found = []
    for _, one in elements(form):
        must, may, constraints, options = ELEMENTS.get(one["type"], (set(), set(), set(), set()))
        keys = set(one)
        found += [f"{one['name']}: {key}" for key in must - keys | keys - must - may - COMMON]
        found += [f"{one['name']}: {key}" for key in set(one.get("constraints", {})) - constraints]
        found += [f"{one['name']}: {key}" for key in set(one.get("options", {})) - options]
        if one["type"] == "Microsoft.Common.InfoBox" and one["options"].get("icon") not in (
            "None", "Info", "Warning", "Error",
        ):  # fmt: skip
            found.append(f"{one['name']}: icon")
        filters = one.get("options", {}).get("filter", {})
        found += [f"{one['name']}: {key}" for key, value in filters.items() if value not in ("all", "onBasics")]
    return found


CHECKS: Mapping[Callable[[Form], list[str]], tuple[str, Any]] = {
    head_is_correct: ("handler", "Microsoft.Compute.Other"),
    location_is_an_output: ("parameters.outputs.location", "westeurope"),
    outputs_are_parameters_of_their_type: ("parameters.outputs.grantReader", "[steps('security').reader]"),
    controls_in_outputs_exist: ("parameters.outputs.packageUri", "[steps('package').url]"),
    allowed_values_are_allowed: ("parameters.steps.0.elements.1.defaultValue", "Auxiliary"),
    secrets_are_asked_for_twice_and_kept: ("parameters.steps.1.elements.2.options", {"hideConfirmation": True}),
    text_boxes_are_well_formed: ("parameters.steps.1.elements.1.constraints", {"regex": "^x$"}),
    everything_has_a_tooltip: ("parameters.steps.2.elements.0.toolTip", " "),
    nothing_is_blank: ("parameters.steps.3.label", ""),
    steps_are_as_published: ("parameters.steps.4.subLabel", {"preValidation": "x"}),
    elements_are_as_published: ("parameters.steps.2.elements.0.tooltip", "as it is not called"),
}
"""Each check, and a place with what it must find there."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_form_passes(check: Callable[[Form], list[str]]) -> None:
    assert check(FORM) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_finds_what_it_looks_for(check: Callable[[Form], list[str]]) -> None:
    path, value = CHECKS[check]
    form = deepcopy(FORM)
    at: Any = form
    *parents, last = path.split(".")
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at[last] = value
    assert check(form) != []
