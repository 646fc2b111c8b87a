"""`check` compares what the data collection rule declares with what we send, before the service drops a column."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connector.cli.check import rule_findings
from connector.cli.findings import Finding
from connector.cli.rule_columns import differences, resource_id_problem
from connector.clock import SystemClock
from connector.config.values import AuthConfig, SinkConfig
from tests.golden import samples

RULE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Insights/dataCollectionRules/securescore"
STREAMS = {"score": "Custom-SecureScoreDaily_CL", "change": "Custom-SecureScoreChange_CL"}


@asynccontextmanager
async def manager(status: int, body: Mapping[str, Any]) -> AsyncIterator[str]:
    """Azure Resource Manager with one rule, for the token "reader"."""

    async def answer(request: web.Request) -> web.Response:
        assert request.path == RULE
        assert request.query["api-version"] == "2023-03-11"
        if request.headers["Authorization"] != "Bearer reader":
            return web.json_response({"error": {"code": "AuthorizationFailed"}}, status=403)
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def declaration(streams: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {
        "properties": {
            "streamDeclarations": {
                name: {"columns": [{"name": c, "type": t} for c, t in columns.items()]}
                for name, columns in streams.items()
            }
        }
    }


async def found(tmp_path: Path, root: str, token: str = "reader", rule: str = RULE) -> list[Finding]:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(token)
    auth = AuthConfig("token", {"file": str(file), "tenant_id": "11111111-1111-1111-1111-111111111111"})
    options = {"endpoint": "https://x.ingest.monitor.azure.com", "auth": auth, "rule_resource_id": rule}
    sink = SinkConfig("law", "sentinel", options=options, stream_targets=STREAMS)
    return await rule_findings(sink, str(tmp_path), SystemClock(), root)


async def test_a_rule_that_declares_everything_is_good(tmp_path: Path) -> None:
    ours = {target: samples.mapping("sentinel").columns(stream) for stream, target in STREAMS.items()}
    async with manager(200, declaration(ours)) as root:
        findings = await found(tmp_path, root)
    assert [f.ok for f in findings] == [True, True]


async def test_what_is_missing_or_of_another_type_is_named(tmp_path: Path) -> None:
    ours = {target: dict(samples.mapping("sentinel").columns(stream)) for stream, target in STREAMS.items()}
    del ours["Custom-SecureScoreDaily_CL"]["EventId"]
    ours["Custom-SecureScoreDaily_CL"]["Severity"] = "string"
    del ours["Custom-SecureScoreChange_CL"]
    async with manager(200, declaration(ours)) as root:
        findings = await found(tmp_path, root)
    assert [f.ok for f in findings] == [False, False]
    assert "not declared: EventId" in findings[0].detail
    assert "Severity is declared string, we send int" in findings[0].detail
    assert findings[1].detail == "the rule declares no such stream"


@pytest.mark.parametrize(
    ("status", "body", "token", "words"),
    [
        (200, {}, "stranger", "HTTP 403"),
        (404, {}, "reader", "there is no rule"),
        (200, {"properties": {"streamDeclarations": [1]}}, "reader", "is no data collection rule"),
        (503, {}, "reader", "503"),
    ],
)
async def test_a_rule_that_cannot_be_read_is_one_finding(
    tmp_path: Path, status: int, body: Mapping[str, Any], token: str, words: str
) -> None:
    async with manager(status, body) as root:
        (finding,) = await found(tmp_path, root, token)
    assert finding.ok is False
    assert words in finding.detail
    assert token not in finding.detail + finding.hint


@pytest.mark.parametrize("text", ["", "dcr-1", RULE + "/x", RULE + "?y=1", "/subscriptions/s/../g", RULE[1:]])
async def test_what_cannot_be_a_rule_is_refused_before_anything_is_sent(tmp_path: Path, text: str) -> None:
    assert resource_id_problem(text) is not None
    (finding,) = await found(tmp_path, "http://127.0.0.1:9", rule=text)
    assert "is not the resource id" in finding.detail


def test_types_are_compared_without_case_and_undeclared_types_are_not() -> None:
    assert differences({"A": "datetime", "B": ""}, {"A": "DateTime", "B": "string", "C": "int"}) == []
