"""Lays out a pull request to the content repository (Azure/Azure-Sentinel) as a tree. Build tool, never shipped.

    python packaging/azure/sentinel/repository.py --out dist/azure-sentinel

Beside the files of this folder that is what its checks read: schemas of tables and functions, sample data, and what is
added to files that are there already (`additions.json`: workbook, connector ids, union parsers). The pictures of the
workbook are drawn by packaging/tools/workbook_pictures.py. Not made here is `Package/`: that needs the repository's own
tool.
"""

import argparse
import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connector.app import severity_rules
from connector.cli.alert_samples import events
from connector.formats import ingestion
from connector.mapping.load import load_mapping

sys.path.insert(0, str(Path(__file__).parent))
import push

HERE = Path(__file__).parent
SOLUTION = "Solutions/Secure Score Connector"
CHECKS = ".script/tests/KqlvalidationsTests"
SAMPLES = "Sample Data/ASIM"
PARSERS = "Parsers/ASimAuditEvent/Parsers"
FOLDERS = ("Analytic Rules", "Data", "Data Connectors", "Hunting Queries", "Parsers", "Workbooks")
AUDIT = "AuditEventMicrosoftSecureScore"
AUDITED = "SecureScoreChange_CL"
"""The table that most audit events come from, and the sample data is of."""
KUSTO = {"boolean": "bool"}
DOTNET = {
    "datetime": "System.DateTime",
    "string": "System.String",
    "int": "System.Int32",
    "long": "System.Int64",
    "real": "System.Double",
    "bool": "System.SByte",
    "dynamic": "System.Object",
}
OLDER: Mapping[str, Mapping[str, str]] = {
    "M365SecureScore": {
        "TimeGenerated": "datetime",
        "createdDateTime_t": "datetime",
        "id_s": "string",
        "azureTenantId_g": "string",
        "currentScore_d": "real",
        "maxScore_d": "real",
        "activeUserCount_d": "real",
        "licensedUserCount_d": "real",
        "enabledServices_s": "string",
        "vendorInformation_provider_s": "string",
        "vendorInformation_vendor_s": "string",
    },
    "M365SecureScoreControls": {
        "TimeGenerated": "datetime",
        "azureTenantId_g": "string",
        "controlName_s": "string",
        "controlCategory_s": "string",
        "controlState_s": "string",
        "description_s": "string",
        "implementationStatus_s": "string",
        "score_d": "real",
        "scoreInPercentage_d": "real",
        "count_s": "string",
        "total_s": "string",
        "on_s": "string",
    },
}
"""What the functions in the shape of the older tables give."""
MADE_AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def main() -> int:
    parser = argparse.ArgumentParser(description="Lay out the pull request to Azure/Azure-Sentinel.")
    parser.add_argument("--out", type=Path, default=HERE.parents[2] / "dist" / "azure-sentinel")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    for name, text in files():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, picture in pictures():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    print(out)
    return 0


def files() -> Iterator[tuple[str, str]]:
    """Every file by its place in that repository."""
    for path in sorted(path for folder in FOLDERS for path in (HERE / folder).rglob("*") if path.is_file()):
        name = path.relative_to(HERE).as_posix()
        if AUDIT not in name:
            yield f"{SOLUTION}/{name}", path.read_text("utf-8")
    for name in ("ReleaseNotes.md", "SolutionMetadata.json"):
        yield f"{SOLUTION}/{name}", (HERE / name).read_text("utf-8")
    for path in (HERE / "Logo").glob("*.svg"):
        yield f"Logos/{path.name}", path.read_text("utf-8")
    for kind in ("ASim", "vim"):
        text = (HERE / "Parsers" / f"{kind}{AUDIT}.yaml").read_text("utf-8")
        yield f"{PARSERS}/{kind}{AUDIT}.yaml", text.partition("\n")[2]  # ids are not kept there
    for name, columns in tables().items():
        yield f"{CHECKS}/CustomTables/{name}.json", dumped({"Name": name, "Properties": listed(columns)})
    for name, columns in functions().items():
        found = {"FunctionName": name, "FunctionParameters": [], "FunctionResultColumns": listed(columns)}
        yield f"{CHECKS}/CustomFunctions/{name}.json", dumped(found)
    yield f"{SAMPLES}/Microsoft_Secure Score_AuditEvent_IngestedLogs.csv", sample()
    yield f"{SAMPLES}/{AUDITED}_Schema.csv", schema(tables()[AUDITED])
    yield "additions.json", dumped(additions())


def pictures() -> Iterator[tuple[str, bytes]]:
    """The workbook's previews by their place in that repository."""
    for path in sorted((HERE / "Previews").glob("*.png")):
        yield f"Workbooks/Images/Preview/{path.name}", path.read_bytes()


def tables() -> dict[str, dict[str, str]]:
    """Table → column → type, in the words of Kusto."""
    return {
        name: {one["name"]: KUSTO.get(one["type"], one["type"]) for one in columns}
        for name, columns in push.tables().items()
    }


def functions() -> dict[str, Mapping[str, str]]:
    """What each parser gives, but for the columns that Azure Monitor adds; the ASIM parsers have their schema's."""
    added = {"IngestedAt": "datetime", "Copies": "long"}
    found: dict[str, Mapping[str, str]] = {
        name.removesuffix("_CL"): {**columns, **added} for name, columns in tables().items()
    }
    found |= {"SecureScoreDays": found["SecureScoreDaily"], "SecureScoreControls": found["SecureScoreInventory"]}
    return found | OLDER


def sample() -> str:
    """Rows as the workspace has them: the events of `check --send-test` that are audit events."""
    mapping = load_mapping("sentinel")
    found = io.StringIO()
    rows = csv.DictWriter(found, [*tables()[AUDITED], "Type"], lineterminator="\n")
    rows.writeheader()
    for event in events(MADE_AT, severity_rules(), ["sentinel"]):
        record = mapping.render(event)
        if record.stream == "change" and event.type.startswith("control."):
            row: dict[str, Any] = json.loads(ingestion.row(record.payload))
            texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}
            rows.writerow({**texts, "Type": AUDITED})
    return found.getvalue()


def schema(columns: Mapping[str, str]) -> str:
    lines = [
        f'{name},{n},"{DOTNET[kind]}",{kind}' for n, (name, kind) in enumerate({**columns, "Type": "string"}.items())
    ]
    return "\n".join(["ColumnName,ColumnOrdinal,DataType,ColumnType", *lines, ""])


def additions() -> dict[str, Any]:
    """What is added to files of the repository that are there already, by file."""
    (book,) = (HERE / "Workbooks").glob("*.json")
    return {
        "Workbooks/WorkbooksMetadata.json": {
            "workbookKey": "SecureScoreConnectorWorkbook",
            "logoFileName": "SecureScoreConnector.svg",
            "description": "What changed in Microsoft Secure Score and why: contributions, causes, posture, controls, "
            "tenants, and the health of the feed.",
            "dataTypesDependencies": sorted(tables()),
            "dataConnectorsDependencies": ["SecureScoreConnector", push.CONNECTOR],
            "previewImagesFileNames": [name.rpartition("/")[2] for name, _ in pictures()],
            "version": "1.0.0",
            "title": "Microsoft Secure Score",
            "templateRelativePath": book.name,
            "subtitle": "",
            "provider": "Secure Score Connector",
            "support": {"tier": "Community"},
        },
        ".script/tests/detectionTemplateSchemaValidation/ValidConnectorIds.json": [
            "SecureScoreConnector",
            push.CONNECTOR,
        ],
        f"{PARSERS}/ASimAuditEvent.yaml": union("ASim", "_ASim", "pack=pack"),
        f"{PARSERS}/imAuditEvent.yaml": union("vim", "_Im", "…, pack=pack, as those beside it"),
    }


def union(kind: str, built_in: str, arguments: str) -> dict[str, str]:
    """An entry in `Parsers` and a line in `ParserQuery` of a union parser."""
    disabled = f"BuiltInDisabled or ('Exclude{kind}{AUDIT}' in (DisabledParsers))"
    return {
        "Parsers": f"{built_in}_AuditEvent_MicrosoftSecureScore",
        "ParserQuery": f"{kind}{AUDIT} (disabled=({disabled}), {arguments})",
    }


def listed(columns: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in columns.items()]


def dumped(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
