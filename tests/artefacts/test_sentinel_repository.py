"""The tree of a pull request to the content repository: everything its checks look for, and nothing that is ours alone.

Sources: Azure/Azure-Sentinel `.script/tests/KqlvalidationsTests` (CustomTables, CustomFunctions), `asimParsersTest`
(sample data, union parsers), `Workbooks/README.md` (WorkbooksMetadata.json). What functions give: tests/real.
"""

import csv
import io
import json
import re
import runpy
from functools import cache
from typing import Any

import pytest
import yaml

from tests import sentinel_content
from tests.sentinel_content import CONTENT

CHECKS = ".script/tests/KqlvalidationsTests"
TYPES = {"string", "int", "long", "real", "bool", "datetime", "dynamic"}


@cache
def tree() -> dict[str, str]:
    return dict(runpy.run_path(str(CONTENT / "repository.py"))["files"]())


def documents(folder: str) -> dict[str, Any]:
    return {name.rpartition("/")[2][:-5]: json.loads(text) for name, text in tree().items() if f"/{folder}/" in name}


def test_the_solution_is_whole() -> None:
    root = "Solutions/Secure Score Connector"
    data = json.loads(tree()[f"{root}/Data/Solution_SecureScoreConnector.json"])
    listed = [name for value in data.values() if isinstance(value, list) for name in value]
    assert [name for name in [*listed, data["Metadata"], "ReleaseNotes.md"] if f"{root}/{name}" not in tree()] == []
    assert [name for name in tree() if "README" in name or name.endswith(".py")] == []


def test_every_table_has_its_schema() -> None:
    found = documents("CustomTables")
    assert set(found) == set(sentinel_content.tables())
    for name, one in found.items():
        assert one["Name"] == name
        columns = {column["Name"]: column["Type"] for column in one["Properties"]}
        assert set(columns.values()) <= TYPES
        assert columns.keys() == sentinel_content.tables()[name].keys()


def test_every_function_has_its_schema_but_those_of_asim() -> None:
    found = documents("CustomFunctions")
    assert set(found) == {name for name, _, _ in sentinel_content.functions() if "AuditEvent" not in name}
    for name, one in found.items():
        assert (one["FunctionName"], one["FunctionParameters"]) == (name, [])
        assert {column["Type"] for column in one["FunctionResultColumns"]} <= TYPES


@pytest.mark.parametrize("kind", ["ASim", "vim"])
def test_an_asim_parser_stands_where_its_schema_has_them(kind: str) -> None:
    name = f"{kind}AuditEventMicrosoftSecureScore"
    shown = yaml.safe_load(tree()[f"Parsers/ASimAuditEvent/Parsers/{name}.yaml"])
    own = sentinel_content.documents("Parsers")[f"{name}.yaml"]
    assert shown == {key: value for key, value in own.items() if key != "id"}
    union = additions()[f"Parsers/ASimAuditEvent/Parsers/{kind.replace('v', '')}AuditEvent.yaml"]
    assert union["Parsers"] == own["EquivalentBuiltInParser"]
    assert union["ParserQuery"].startswith(f"{name} (disabled=(BuiltInDisabled or ('Exclude{name}' in")


def test_the_sample_data_is_called_by_vendor_and_product_and_has_the_columns_of_its_table() -> None:
    query = sentinel_content.documents("Parsers")["ASimAuditEventMicrosoftSecureScore.yaml"]["ParserQuery"]
    vendor, product = (re.search(rf'Event{name} = "(.+?)"', query)[1] for name in ("Vendor", "Product"))  # type: ignore[index]
    rows = list(csv.DictReader(io.StringIO(tree()[f"Sample Data/ASIM/{vendor}_{product}_AuditEvent_IngestedLogs.csv"])))
    (table,) = {row["Type"] for row in rows}
    assert [*sentinel_content.tables()[table], "Type"] == list(rows[0])
    assert {row["EventType"] for row in rows} >= {"control.score_changed", "control.state_changed"}
    assert {row["TenantName"] for row in rows} == {"TEST"}, "no data of anybody"
    told = list(csv.DictReader(io.StringIO(tree()[f"Sample Data/ASIM/{table}_Schema.csv"])))
    assert [one["ColumnName"] for one in told] == list(rows[0])
    assert {one["ColumnType"] for one in told} <= TYPES


def additions() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tree()["additions.json"])
    return found


def test_the_workbook_is_described() -> None:
    book = additions()["Workbooks/WorkbooksMetadata.json"]
    assert f"Solutions/Secure Score Connector/Workbooks/{book['templateRelativePath']}" in tree()
    assert f"Logos/{book['logoFileName']}" in tree()
    assert book["dataTypesDependencies"] == sorted(sentinel_content.tables())
    for theme in ("Black", "White"):
        assert [n for n in book["previewImagesFileNames"] if theme in n] == [
            f"SecureScore{theme}{n}.png" for n in (1, 2)
        ]
    for path in (CONTENT / "Previews").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG\r\n")
        assert path.stat().st_size < 500_000
    texts = ("workbookKey", "description", "title", "version", "provider")
    assert [key for key in texts if not book[key]] == []


def test_connectors_are_registered() -> None:
    registered = additions()[".script/tests/detectionTemplateSchemaValidation/ValidConnectorIds.json"]
    shown = {"SecureScoreConnector", *additions()["Workbooks/WorkbooksMetadata.json"]["dataConnectorsDependencies"]}
    pages = [
        json.loads(text) for name, text in tree().items() if name.endswith(("_FunctionApp.json", "Definition.json"))
    ]
    ids = {page.get("id") or page["properties"]["connectorUiConfig"]["id"] for page in pages}
    documents = [*sentinel_content.rules().values(), *sentinel_content.hunts().values()]
    wanted = {connector["connectorId"] for one in documents for connector in one["requiredDataConnectors"]}
    assert set(registered) == shown == ids == wanted
