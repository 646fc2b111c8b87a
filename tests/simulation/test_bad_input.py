"""Bad answers on the command line: each is named in words, loses nothing, and is over once a good one comes."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import main

TENANT = "11111111-1111-1111-1111-111111111111"
OTHER = "99999999-9999-9999-9999-999999999999"


def days(tenant: str = TENANT, count: int = 5) -> bytes:
    controls = [{"controlName": f"c{n}", "controlCategory": "Apps", "score": 5.0, "on": "true"} for n in range(count)]
    day: dict[str, Any] = {"id": f"{tenant}_2026-11-21", "azureTenantId": tenant, "currentScore": 5.0 * count}
    return json.dumps({"value": [{**day, "maxScore": 50, "controlScores": controls}]}).encode()


PROFILE = {"azureTenantId": TENANT, "maxScore": 10, "controlStateUpdates": []}
PROFILES = json.dumps({"value": [{"id": f"c{n}", **PROFILE} for n in range(5)]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (days()[:200], "the JSON text ends early"),
        (b"<html><body>Please sign in</body></html>", "HTML or XML, not JSON"),
        (bytes(range(256)) * 9, "not JSON"),
        (b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"value":' + b"9" * 5_000 + b"}", "not JSON"),
        (b"", "is empty"),
        (b'{"value": []}', "empty_after_full"),
        (days(count=0).replace(b"[]", b"null"), "controlScores is missing"),
        (days().replace(b'"c3"', b'""'), "controlName is not a text"),
        (days().replace(b'"c3"', b'"' + b"x" * 10_000_000 + b'"'), "controlName is not a text"),
        (days(OTHER), f"belongs to tenant {OTHER}"),
        (b'{"error": {"code": "", "message": "an error that was saved"}}', "though there were some"),
    ],
    ids=["cut", "html", "binary", "deep", "digits", "nothing", "empty", "null", "nameless", "long", "foreign", "error"],
)
def test_a_bad_answer_is_named_loses_nothing_and_heals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, body: bytes, words: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "profiles.json").write_text(PROFILES)
    (tmp_path / "securescore.yaml").write_text(
        f"state: {{path: state.db}}\n"
        f"tenants: [{{name: t, tenant_id: {TENANT}, source: files, path: saved}}]\n"
        f"sinks: [{{name: out, kind: file, path: out.jsonl}}]\n"
    )
    once = ["once", "-c", str(tmp_path / "securescore.yaml")]
    (saved / "secureScores-1.json").write_bytes(days())
    assert main(once) == 0
    capsys.readouterr()
    (saved / "secureScores-1.json").write_bytes(body)
    assert main(once) == 3
    out = capsys.readouterr().out
    assert out.count(words) == 1
    (saved / "secureScores-1.json").write_bytes(days())
    assert main(once) == 0
    told = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    changes = [e["type"] for e in told if e["data"]["stream"] == "change"]
    assert changes == [], "what could not be read was not compared"
    assert [e["type"] for e in told[-2:]][-1] in ("securescore.feed.recovered", "securescore.connector.recovered")
