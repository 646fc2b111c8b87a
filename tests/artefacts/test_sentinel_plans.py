"""What the plan of a table lets through, and what the README says of it.

A query of a Basic table knows no functions of the workspace, no join, one table, and no time range of its own. Source:
MicrosoftDocs/azure-monitor-docs, basic-logs-query.md; of Auxiliary: create-custom-table-auxiliary.md.
"""

import re

from tests import sentinel_content
from tests.artefacts.test_azure_template import TEMPLATE
from tests.sentinel_content import CONTENT

INVENTORY = "SecureScoreInventory_CL"
BODIES = {name: body for name, _, body in sentinel_content.functions()}
LACKING = re.compile(r"\b(join|find|search|externaldata|ingestion_time)\b|TimeGenerated\s*[<>]|TimeGenerated between")
"""What a query of such a table may not hold, beside functions and further tables."""


def shipped() -> dict[tuple[str, str], str]:
    """Every query we ship: kind and name."""
    return {
        **{("functions", name): body for name, body in BODIES.items()},
        **{("hunting queries", n.removesuffix(".yaml")): q["query"] for n, q in sentinel_content.hunts().items()},
        **{("rules", name.removesuffix(".yaml")): rule["query"] for name, rule in sentinel_content.rules().items()},
        **{("workbook", name): text for name, text in sentinel_content.templates().items()},
        **{("page", name): text for name, text in sentinel_content.page_queries().items()},
    }


def called(text: str) -> set[str]:
    return {name for name in BODIES if re.search(rf"\b{name}\(", text)}


def read(text: str) -> set[str]:
    """The tables a query reads, also through functions."""
    own = {table for table in sentinel_content.tables() if re.search(rf"\b{table}\b", text)}
    return own.union(*(read(BODIES[name]) for name in called(text)))


def stops(text: str, table: str) -> bool:
    """Whether a query stops where that table is Basic."""
    return table in read(text) and (bool(called(text)) or read(text) != {table} or bool(LACKING.search(text)))


def test_only_the_inventory_may_have_another_plan() -> None:
    plans = {one["name"]: one["plan"] for one in TEMPLATE["variables"]["tables"].values()}
    assert {name for name, plan in plans.items() if plan != "Analytics"} == {INVENTORY}
    assert TEMPLATE["parameters"]["inventoryTablePlan"]["allowedValues"] == ["Analytics", "Basic"]
    assert "dynamic" in sentinel_content.tables()[INVENTORY].values(), "else Auxiliary could be offered"


def test_what_stops_where_the_inventory_is_basic_is_said() -> None:
    told = (CONTENT / "README.md").read_text().partition("these stop")[2].partition("## Change it")[0]
    rows = {(kind, name) for kind, row in re.findall(r"^\| (\w[\w ]*) \| (.*) \|$", told, re.MULTILINE)
            for name in re.findall(r"`([^`]+)`", row)}  # fmt: skip
    assert rows == {one for one, text in shipped().items() if stops(text, INVENTORY)}


def test_the_page_of_the_connector_goes_on() -> None:
    """Whether it is connected, and the newest row of each table, is seen whatever the plan of the inventory."""
    assert [name for (kind, name), text in shipped().items() if kind == "page" and stops(text, INVENTORY)] == []


def test_a_query_that_stops_is_recognised() -> None:
    assert stops("SecureScoreControls() | take 1", INVENTORY)
    assert stops(f"{INVENTORY} | join kind=inner SecureScoreChange_CL on ControlId", INVENTORY)
    assert stops(f"{INVENTORY} | where TimeGenerated > ago(1d)", INVENTORY)
    assert not stops(f"{INVENTORY} | summarize max(TimeGenerated)", INVENTORY)
    assert not stops("SecureScoreChange()", INVENTORY)
