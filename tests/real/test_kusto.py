"""Every KQL text we ship, judged by Microsoft's own language service against the tables the connector fills."""

import json
import runpy
from typing import Any

import pytest

from tests import sentinel_content
from tests.real import kusto
from tests.sentinel_content import ROOT

BREAKING_OUT = (
    'x" or "" == "',
    'x\\" or "" == "',
    "x\\",
    'x"; SecureScoreChange_CL | project Stolen = Summary //',
    "x\n| take 1",
)
DCR_TYPES = {"boolean": "bool"}


def texts() -> dict[str, str]:
    """Every query by where it stands."""
    found = {f"rule {name}": rule["query"] for name, rule in sentinel_content.rules().items()}
    found.update({f"hunt {name}": hunt["query"] for name, hunt in sentinel_content.hunts().items()})
    for tenants in sentinel_content.TENANTS:
        shown = sentinel_content.workbook_queries(tenants)
        found.update({f"workbook {name}, {tenants} tenants": text for name, text in shown.items()})
    for number, value in enumerate(BREAKING_OUT):
        hostile = dict.fromkeys(("Control", "ControlTenant", "Transition", "Test"), value)
        shown = sentinel_content.workbook_queries("all", hostile)
        found.update({f"workbook {name}, hostile {number}": text for name, text in shown.items()})
    found.update({f"page {name}": text for name, text in sentinel_content.page_queries().items()})
    found.update({f"parser {name}": f"{name}()" for name, _, _ in sentinel_content.functions()})
    return found


def transforms() -> dict[str, dict[str, Any]]:
    """Every transformation of a data collection rule in our templates: source columns, text, and the columns wanted."""
    found = {}
    for path in sorted((ROOT / "packaging" / "azure").rglob("*.json")):
        for number, flow in enumerate(_flows(json.loads(path.read_text("utf-8")))):
            table = flow.get("outputStream", flow["streams"][0]).removeprefix("Custom-")
            source = sentinel_content.tables()[table]
            found[f"{path.name} {number} {table}"] = {
                "source": source,
                "query": flow.get("transformKql", "source"),
                "wanted": source,
            }
    return found


def _flows(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = node.get("dataFlows")
        return (own if isinstance(own, list) else []) + [f for v in node.values() for f in _flows(v)]
    return [f for v in node for f in _flows(v)] if isinstance(node, list) else []


BAD_TRANSFORMS = {
    "summarize": "source | summarize count() by TimeGenerated",
    "a function": "source | extend Top = strcat_array(parse_json(Summary), ',')",
    "a dynamic literal": "source | extend Extra = dynamic({'a': 1})",
    "eleven columns": "source | parse Summary with " + " ' ' ".join(f"c{n}" for n in range(11)),
    "no time": "source | project Summary",
    "a wrong column": "source | where Sumary has 'x'",
}
GOOD_TRANSFORM = "source | extend Summary = iif(isempty(Summary), tolower(EventType), Summary) | where Severity >= 0"


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    source = sentinel_content.tables()["SecureScoreChange_CL"]
    tried = {
        name: {"source": source, "query": text} for name, text in {**BAD_TRANSFORMS, "good": GOOD_TRANSFORM}.items()
    }
    wrong = {"wrong column": "SecureScoreChange() | where Sverity > 3", "wrong table": "SecureScoreChanges_CL | count"}
    return kusto.analysed({**texts(), **wrong}, {**transforms(), **tried})


@pytest.mark.parametrize("name", texts())
def test_every_query_is_understood(name: str, judged: dict[str, Any]) -> None:
    assert judged["queries"][name]["problems"] == []


@pytest.mark.parametrize("name", ["wrong column", "wrong table"])
def test_a_wrong_name_is_found(name: str, judged: dict[str, Any]) -> None:
    (problem,) = judged["queries"][name]["problems"]
    assert "does not refer to any known" in problem


@pytest.mark.parametrize("name", [name for name in texts() if name.startswith(("rule", "hunt"))])
def test_every_column_that_is_mapped_is_there(name: str, judged: dict[str, Any]) -> None:
    """Entities, details, titles: a column that is missing shows as nothing in the incident, without a word."""
    columns = judged["queries"][name]["columns"]
    kind, _, file = name.partition(" ")
    document = (sentinel_content.rules() if kind == "rule" else sentinel_content.hunts())[file]
    assert sentinel_content.columns_used(document) - set(columns) == set()
    assert columns["TimeGenerated"] == "datetime"


@pytest.mark.parametrize("name", [item["name"] for item in sentinel_content.items() if item["type"] == 3])
def test_the_workbook_shows_columns_that_are_there(name: str, judged: dict[str, Any]) -> None:
    (item,) = (item for item in sentinel_content.items() if item["name"] == name)
    columns = judged["queries"][f"workbook {name}, all tenants"]["columns"]
    assert sentinel_content.columns_shown(item) - set(columns) == set()


@pytest.mark.parametrize("name", [item["name"] for item in sentinel_content.items() if item["type"] == 3])
def test_a_value_changes_no_query_of_the_workbook(name: str, judged: dict[str, Any]) -> None:
    """The escaping is the portal's (`escapejson`), played as it is documented; what Kusto makes of it is judged."""
    usual = judged["queries"][f"workbook {name}, all tenants"]
    for number in range(len(BREAKING_OUT)):
        assert judged["queries"][f"workbook {name}, hostile {number}"] == usual


def test_a_function_gives_what_the_content_repository_is_told(judged: dict[str, Any]) -> None:
    told = runpy.run_path(str(sentinel_content.CONTENT / "repository.py"))["functions"]()
    assert told
    for name, columns in told.items():
        given = judged["queries"][f"parser {name}"]["columns"]
        assert {c: t for c, t in given.items() if c not in sentinel_content.ADDED_COLUMNS} == columns, name


def test_every_transformation_is_allowed_and_fills_its_table(judged: dict[str, Any]) -> None:
    filled = sorted(name.rpartition(" ")[2] for name in transforms())
    ours = sorted([*sentinel_content.tables()] * 2)  # by the app's template, and by the codeless push connector
    assert filled == ours, "a template of a rule was not found"
    for name, wanted in transforms().items():
        found = judged["transforms"][name]
        assert found["problems"] == [], name
        assert found["columns"] == {c: DCR_TYPES.get(t, t) for c, t in wanted["wanted"].items()}, name


@pytest.mark.parametrize("name", BAD_TRANSFORMS)
def test_a_transformation_the_service_would_refuse_is_refused(name: str, judged: dict[str, Any]) -> None:
    assert judged["transforms"][name]["problems"] != []


def test_an_allowed_transformation_is_accepted(judged: dict[str, Any]) -> None:
    assert judged["transforms"]["good"]["problems"] == []
