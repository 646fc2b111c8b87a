"""What an attacker may put into names and texts at Microsoft, taken the whole way: no line, table or parser breaks.

Two polls of saved responses whose every text is hostile, delivered in each format; read back by parsers of others.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cefp  # type: ignore[import-untyped]  # an oracle without type hints
import pytest

from connector.cli.main import main

TENANT = "11111111-1111-1111-1111-111111111111"
EVIL = (
    "a|b=c\\d\ne\rf\x00g\x1b[31mh\x07\u202egnp.exe\u2028i\x85j\ud800k😀<script>alert(1)</script>"
    "\t{{7*7}}${jndi:ldap://x/a}=cmd|' /C calc'!A0"
)
FORMATS = ("cloudevents", "cef", "leef", "splunk", "sentinel", "ocsf", "ecs")


def documents(points: float) -> list[dict[str, Any]]:
    names = [f"{n}{EVIL}" for n in range(4)] + ["../../etc/passwd", "--help", "sinks", "x" * 256]
    controls = [
        {
            "controlName": name,
            "controlCategory": EVIL,
            "score": points,
            "scoreInPercentage": points * 10,
            "description": EVIL * 50,
            "implementationStatus": EVIL * 500,
            "count": EVIL,
            "total": "1e400",
            "on": EVIL,
            EVIL: {EVIL: [EVIL]},
        }
        for name in names
    ]
    day = {
        "id": f"{TENANT}_2026-11-2{1 if points == 10 else 2}",
        "azureTenantId": TENANT,
        "currentScore": points * len(names),
        "maxScore": 80,
        "activeUserCount": "Infinity",
        "licensedUserCount": 10**30,
        "enabledServices": [EVIL, f"{points}{EVIL}"],
        "averageComparativeScores": [{"basis": EVIL, "averageScore": EVIL, EVIL: EVIL}],
        "controlScores": controls,
    }
    entry = {"state": EVIL, "updatedBy": EVIL, "comment": EVIL * 1000, "assignedTo": EVIL}
    profiles = [
        {
            "id": name,
            "azureTenantId": TENANT,
            "title": f"{points}{EVIL * 1000}",
            "service": EVIL,
            "tier": EVIL,
            "actionUrl": f"javascript:{EVIL}",
            "threats": [EVIL] * 9,
            "maxScore": 10,
            "remediation": EVIL,
            "controlStateUpdates": [{**entry, "updatedDateTime": f"2026-11-2{1 if points == 10 else 2}T08:00:00Z"}],
        }
        for name in names
    ]
    return [{"@odata.context": "x#secureScores", "value": [day]}, {"value": profiles}]


def lines(path: Path) -> list[str]:
    """Lines as a reader of bytes finds them."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    found = data.decode("utf-8").removesuffix("\n").split("\n")
    for line in found:
        bad = [c for c in line if (ord(c) < 32 and c != "\t") or ord(c) in (0x7F, 0x85, 0x2028, 0x2029)]
        assert not bad, f"{bad!r} in {line[:200]!r}"
    return found


@pytest.fixture
def sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What each sink wrote, by format."""
    saved = tmp_path / "saved"
    saved.mkdir()
    sinks = "".join(f"  - {{name: {f}, kind: file, path: {f}.txt, format: {f}}}\n" for f in FORMATS)
    (tmp_path / "securescore.yaml").write_text(
        f"state: {{path: state.db}}\n"
        f"changes: {{evidence: true}}\n"
        f"tenants: [{{name: t, tenant_id: {TENANT}, source: files, path: saved}}]\nsinks:\n{sinks}"
    )
    config = ["-c", str(tmp_path / "securescore.yaml")]
    for points in (10.0, 4.0):
        for name, document in zip(("days", "profiles"), documents(points), strict=True):
            (saved / f"{name}.json").write_text(json.dumps(document))
        assert main(["once", *config]) == 0
    commands = (["status"], ["events"], ["explain"], ["controls", "list"], ["parked", "list"], ["sinks", "list"])
    for command in commands:
        assert main([*command, *config]) == 0
    shown = "".join(capsys.readouterr())
    assert not [c for c in shown if not c.isprintable() and c != "\n"], "nothing reaches the terminal's own language"
    return {f: lines(tmp_path / f"{f}.txt") for f in FORMATS}


def test_every_event_is_a_line_of_its_own_and_parsers_find_no_forged_field(sent: Mapping[str, list[str]]) -> None:
    events = [json.loads(line) for line in sent["cloudevents"]]
    assert {e["type"] for e in events} >= {
        "securescore.control.score_changed",
        "securescore.control.state_changed",
        "securescore.profile.changed",
        "securescore.score.changed",
        "securescore.tenant.changed",
    }
    assert {f: len(found) for f, found in sent.items()} == dict.fromkeys(FORMATS, len(events))
    for name in ("splunk", "sentinel", "ocsf", "ecs"):
        for line in sent[name]:
            json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    for line in sent["leef"]:
        header = line.split("|")
        assert len(header) == 7 or line.count("|") > 6
        assert header[:2] == ["LEEF:2.0", "SecureScoreConnector"]
        assert all("=" in pair for pair in line.split("|", 6)[6].split("\t"))

    parsed = [cefp.parse(line) for line in sent["cef"]]
    assert [p["extension"]["externalId"] for p in parsed] == [e["id"] for e in events]
    allowed = {
        *("rt", "start", "externalId", "deviceExternalId", "dvchost", "cat", "act", "outcome", "suser", "duser"),
        *("msg", "reason", "request"),
    }
    keys = {key for p in parsed for key in p["extension"]} - allowed
    custom = ("cs", "cn", "cfp", "deviceCustomDate", "SecureScoreConnector")
    assert [k for k in keys if not k.startswith(custom)] == []
    assert not any("javascript" in p["extension"].get("request", "") for p in parsed)
