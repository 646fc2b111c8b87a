"""What tools print of an answer of Graph: Graph Explorer, az, and PowerShell in its editions, commands and encodings.

No tool runs here; each function writes what the tool writes, as far as a reader can tell.
`python -m tests.tool_output DIR` saves every shape into a folder of its own, to try the real command on it.
"""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.fake_graph import day_document, profile_document

DAY = day_document("2030-01-10", {"AdminMFAV2": 5, "scid_1": 7.5}, detailed=True)
BEFORE = day_document("2030-01-09", {"AdminMFAV2": 5, "scid_1": 7.5})
STATE = {
    "assignedTo": "",
    "comment": "ticket",
    "state": "ThirdParty",
    "updatedBy": "a@b.example",
    "updatedDateTime": "2030-01-05T10:00:00Z",
}
PROFILES = [profile_document("AdminMFAV2", controlStateUpdates=[STATE]), profile_document("scid_1")]
CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#security/"

_KNOWN = {
    "secureScores": "activeUserCount averageComparativeScores azureTenantId controlScores createdDateTime currentScore "
    "enabledServices id licensedUserCount maxScore vendorInformation",
    "secureScoreControlProfiles": "actionType actionUrl azureTenantId complianceInformation controlCategory "
    "controlStateUpdates deprecated id implementationCost lastModifiedDateTime maxScore rank remediation "
    "remediationImpact service threats tier title userImpact vendorInformation",
    "controlScores": "controlCategory controlName description score",
    "averageComparativeScores": "averageScore basis",
    "controlStateUpdates": "assignedTo comment state updatedBy updatedDateTime",
    "vendorInformation": "provider providerVersion subProvider vendor",
}
"""What the types of the SDK declare; everything else they put into AdditionalProperties."""


# ------------------------------------------------------------------------------------------------ what Graph answers


def answer(collection: str, docs: Sequence[Any]) -> dict[str, Any]:
    return {"@odata.context": CONTEXT + collection, "value": list(docs)}


def graph_explorer(value: Any) -> bytes:
    """The response pane, copied into a file."""
    return json.dumps(value, indent=4, ensure_ascii=False).encode()


def az_rest(value: Any) -> bytes:
    """`az rest --method get --url …`; on Windows with CRLF."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


# -------------------------------------------------------------------------------------------------------- PowerShell


def sdk(doc: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A document as an object of the Graph PowerShell SDK: typed, named in capitals, unknown properties put aside."""
    known = _KNOWN[kind].split()
    found: dict[str, Any] = {}
    for name in known:
        value = doc.get(name)
        if name in _KNOWN and isinstance(value, list):
            value = [sdk(entry, name) for entry in value]
        elif name in _KNOWN and isinstance(value, dict):
            value = sdk(value, name)
        elif name.endswith("DateTime") and isinstance(value, str):
            value = datetime.fromisoformat(value)
        found[name[:1].upper() + name[1:]] = value
    aside = {name: value for name, value in doc.items() if name not in known}
    return {**found, "AdditionalProperties": aside}


def convert_to_json(value: Any, depth: int = 2, *, edition: str = "7", made_of: str = "@") -> str:
    """`ConvertTo-Json`: what lies deeper than `depth` becomes its text; dates in 5.1 are ticks.

    `made_of`: "@" for custom objects, "hashtable" for what Invoke-MgGraphRequest hands out.
    """

    def plain(value: Any) -> str:
        if isinstance(value, dict):
            if made_of == "hashtable":
                return "System.Collections.Hashtable"
            return "@{" + "; ".join(f"{key}={'' if v is None else v}" for key, v in value.items()) + "}"
        if isinstance(value, list):
            return " ".join("System.Object[]" if isinstance(item, list) else plain(item) for item in value)
        return "" if value is None else str(value)

    def cut(value: Any, level: int) -> Any:
        if isinstance(value, datetime):
            ticks = int(value.timestamp() * 1000)
            return f"/Date({ticks})/" if edition == "5.1" else value.isoformat().replace("+00:00", "Z")
        if isinstance(value, dict | list) and level > depth:
            return plain(value)
        if isinstance(value, dict):
            return {key: cut(item, level + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [cut(item, level + 1) for item in value]
        return value

    printed = json.dumps(cut(value, 0), indent=4 if edition == "5.1" else 2, ensure_ascii=False)
    if edition == "5.1":
        printed = printed.replace("/Date(", "\\/Date(").replace(")/", ")\\/")
        for sign in "<>&'":
            printed = printed.replace(sign, f"\\u{ord(sign):04x}")
    return printed.replace("\n", "\r\n") + "\r\n"


def one_is_no_list(value: Any) -> Any:
    """A list of one that went through a pipeline or a function is its entry."""
    if isinstance(value, dict):
        return {key: one_is_no_list(item) for key, item in value.items()}
    if isinstance(value, list):
        return one_is_no_list(value[0]) if len(value) == 1 else [one_is_no_list(item) for item in value]
    return value


def counted(value: Any) -> Any:
    """Lists as Windows PowerShell prints them when a type extension gets in the way."""
    if isinstance(value, dict):
        return {key: counted(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"value": [counted(item) for item in value], "Count": len(value)}
    return value


def csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """`Export-Csv`: what is no scalar is the name of its type."""
    lines = [
        "#TYPE Microsoft.Graph.PowerShell.Models.MicrosoftGraphSecureScore",
        ",".join(f'"{key}"' for key in rows[0]),
    ]
    for row in rows:
        cells = ("System.Object[]" if isinstance(v, list | dict) else v for v in row.values())
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return "\r\n".join(lines) + "\r\n"


def format_list(row: Mapping[str, Any]) -> str:
    """`Format-List`, the default view of one object, in a file."""
    width = max(map(len, row))
    cells = ("{...}" if isinstance(v, list | dict) else v for v in row.values())
    return "\r\n" + "\r\n".join(f"{key:{width}} : {cell}" for key, cell in zip(row, cells, strict=True)) + "\r\n"


def clixml(text: str) -> str:
    """`Export-Clixml`."""
    head = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    return f'{head}\r\n  <S N="ControlScores">{text[:5]}</S>\r\n</Objs>'


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "."), body)
    return made.getvalue()


UTF16: Callable[[str], bytes] = lambda text: text.encode("utf-16")  # noqa: E731 - Out-File and > of 5.1
UTF8_BOM: Callable[[str], bytes] = lambda text: text.encode("utf-8-sig")  # noqa: E731 - Out-File -Encoding utf8 of 5.1


# ------------------------------------------------------------------------------------------------------------ shapes


@frozen
class Shape:
    """What one way of saving leaves in a folder: the days and the catalogue, apart or together.

    `refused` is a part of what the reader must say where it cannot take it; "" where it must take everything.
    """

    name: str
    files: Mapping[str, bytes]
    refused: str = ""


def _pair(name: str, *bodies: bytes, refused: str = "", ending: str = "json") -> Shape:
    days, profiles = bodies
    return Shape(name, {f"scores.{ending}": days, f"profiles.{ending}": profiles}, refused)


def shapes() -> list[Shape]:
    days, profiles = answer("secureScores", [DAY, BEFORE]), answer("secureScoreControlProfiles", PROFILES)
    one, only = answer("secureScores", [DAY]), [sdk(DAY, "secureScores")]
    sdk_days = [sdk(doc, "secureScores") for doc in (DAY, BEFORE)]
    sdk_profiles = [sdk(doc, "secureScoreControlProfiles") for doc in PROFILES]
    pages = [{**answer("secureScores", [DAY]), "@odata.nextLink": "https://graph.microsoft.com/x"}]
    pages.append(answer("secureScores", [BEFORE]))
    umlaut = {**days, "value": [{**DAY, "vendorInformation": {"vendor": "Größe"}}, BEFORE]}
    deep = convert_to_json(sdk_days, 10)
    return [
        _pair("Graph Explorer", graph_explorer(days), graph_explorer(profiles)),
        _pair("az rest", az_rest(days), az_rest(profiles)),
        _pair("az rest, Windows, > file", UTF16(az_rest(days).decode()), UTF16(az_rest(profiles).decode())),
        _pair("curl, no ending", json.dumps(days).encode(), json.dumps(profiles).encode(), ending="saved"),
        _pair(
            "Invoke-MgGraphRequest | ConvertTo-Json -Depth 10",
            convert_to_json(days, 10).encode(),
            convert_to_json(profiles, 10).encode(),
        ),
        _pair(
            "Invoke-RestMethod 5.1 > file", *(UTF16(convert_to_json(v, 10, edition="5.1")) for v in (days, profiles))
        ),
        _pair("Get-MgSecuritySecureScore 7", deep.encode(), convert_to_json(sdk_profiles, 10).encode()),
        _pair(
            "Get-MgSecuritySecureScore 5.1, Out-File utf8",
            *(UTF8_BOM(convert_to_json(v, 10, edition="5.1")) for v in (sdk_days, sdk_profiles)),
        ),
        _pair(
            "Get-MgSecuritySecureScore 5.1 > file",
            *(UTF16(convert_to_json(v, 10, edition="5.1")) for v in (sdk_days, sdk_profiles)),
        ),
        _pair(
            "Get-Mg… -Top 1, one object",
            convert_to_json(only[0], 10).encode(),
            convert_to_json(sdk_profiles, 10).encode(),
        ),
        _pair("lists of one are objects", convert_to_json(one_is_no_list(one), 10).encode(), graph_explorer(profiles)),
        _pair(
            "value and Count around lists", graph_explorer(counted(days["value"])), graph_explorer(counted(PROFILES))
        ),
        _pair("value and Count once more", *(graph_explorer({"value": v, "Count": 2}) for v in (days, profiles))),
        _pair("value is one object", graph_explorer({"value": DAY}), graph_explorer(profiles)),
        _pair("a list of pages", graph_explorer(pages), graph_explorer([profiles])),
        _pair("JSON lines", b"".join(json.dumps(d).encode() + b"\n" for d in (DAY, BEFORE)), graph_explorer(profiles)),
        _pair(
            "pages behind one another", b"".join(map(graph_explorer, pages)), graph_explorer(profiles), ending="jsonl"
        ),
        Shape(
            "zip of both", {"export.zip": zipped(scores__json=graph_explorer(days), profiles__json=az_rest(profiles))}
        ),
        _pair(
            "Set-Content 5.1 (code page)",
            json.dumps(umlaut, ensure_ascii=False).encode("cp1252"),
            graph_explorer(profiles),
            refused="Windows code page",
        ),
        _pair(
            "SDK, depth left at 2",
            *(convert_to_json(v).encode() for v in (sdk_days, sdk_profiles)),
            refused="ConvertTo-Json cut",
        ),
        _pair(
            "SDK, one object, depth 2",
            convert_to_json(only[0]).encode(),
            graph_explorer(profiles),
            refused="ConvertTo-Json cut",
        ),
        _pair(
            "Invoke-MgGraphRequest, depth 2",
            convert_to_json(days, made_of="hashtable").encode(),
            graph_explorer(profiles),
            refused="ConvertTo-Json cut",
        ),
        _pair("REST, depth 2", convert_to_json(days).encode(), graph_explorer(profiles), refused="ConvertTo-Json cut"),
        _pair(
            "REST, depth 1", convert_to_json(days, 1).encode(), graph_explorer(profiles), refused="ConvertTo-Json cut"
        ),
        _pair(
            "Export-Csv", csv(sdk_days).encode(), graph_explorer(profiles), refused="a table (Export-Csv)", ending="csv"
        ),
        _pair(
            "Format-List > file",
            UTF16(format_list(only[0])),
            graph_explorer(profiles),
            refused="a list as PowerShell",
            ending="txt",
        ),
        _pair("Export-Clixml", UTF16(clixml(deep)), graph_explorer(profiles), refused="Export-Clixml", ending="xml"),
        _pair(
            "az rest --output yaml",
            b"value:\n- controlScores:\n  - controlName: AdminMFAV2\n",
            graph_explorer(profiles),
            refused="--output yaml",
            ending="yaml",
        ),
        _pair(
            "CIPP",
            graph_explorer({"Results": [DAY], "Metadata": {}}),
            graph_explorer(profiles),
            refused="inside something else",
        ),
        _pair(
            "$batch",
            graph_explorer({"responses": [{"id": "1", "status": 200, "body": days}]}),
            graph_explorer(profiles),
            refused="inside something else",
        ),
    ]


def main(home: Path) -> None:
    for number, shape in enumerate(shapes(), 1):
        folder = home / f"{number:02}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in shape.files.items():
            (folder / name).write_bytes(body)
        sys.stdout.write(f"{folder} {shape.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
