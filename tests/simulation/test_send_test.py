"""`securescore check --send-test` as an operator runs it: every sink gets the events, the history none."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.fakes.daemon import Recorder, ask, securescore, surroundings

MORE = """
              - {name: changes, kind: file, path: changes.cef, format: cef, streams: [change], tenants: [nobody]}
              - {name: loud, kind: file, path: loud.jsonl, min_severity: 8, exclude: ["feed.*", "connector.*"]}
              - {name: dead, kind: file, path: missing/dead.jsonl}
"""


async def findings(folder: Path, *words: str) -> tuple[int | None, list[dict[str, Any]]]:
    process = await securescore(folder, "check", "--send-test", "--json", *words)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert err == b"", err
    return process.returncode, json.loads(out)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_every_sink_gets_the_test_through_its_own_mapping_and_the_history_none(tmp_path: Path) -> None:
    recorder = Recorder()
    async with surroundings(tmp_path, recorder, tenants=1, more=MORE):
        await (await securescore(tmp_path, "once", "--no-deliver")).wait()
        before = await ask(tmp_path, "events", "--format", "json", "--limit", "0")
        stood = json.loads(await ask(tmp_path, "status", "--json"))
        code, found = await findings(tmp_path)
        assert await ask(tmp_path, "events", "--format", "json", "--limit", "0") == before
        after = json.loads(await ask(tmp_path, "status", "--json"))
        assert (after["sinks"], after["store"]) == (stood["sinks"], stood["store"])
        # A named sink alone.
        only, named = await findings(tmp_path, "--sink", "changes")

    sent = {f["subject"]: f for f in found if f["what"] == "send_test"}
    assert code == 3
    assert {name for name, f in sent.items() if f["ok"]} == {"hook", "out", "changes", "loud"}
    assert "No such file or directory" in sent["dead"]["detail"]
    assert sent["dead"]["hint"]

    events = [json.loads(line) for line in lines(tmp_path / "events.jsonl")]
    assert len(events) == len(recorder.order)
    assert {e["id"] for e in events} == set(recorder.order)
    assert all(e["data"]["simulated"] for e in events)
    assert f"{len(events)} test events taken by file" in sent["out"]["detail"]

    # A sink's own filters hold, and what they keep back is said; tenant TEST it takes whatever its tenants.
    cef = lines(tmp_path / "changes.cef")
    assert len(cef) == 2 * sum(e["data"]["stream"] == "change" for e in events)
    assert all("SecureScoreConnectorSimulated=true" in line and "dvchost=TEST" in line for line in cef)
    assert "left out by this sink's filters: feed stale" in sent["changes"]["detail"]
    assert "mass change" in sent["loud"]["detail"], "one of thirty is not enough"
    assert "score dropped" not in sent["loud"]["detail"].partition("filters:")[2]

    # Each shipped rule, with the events that should fire it.
    alerts = {f["subject"]: f["detail"] for f in found if f["what"] == "alert"}
    score = next(e["id"] for e in events if e["type"] == "securescore.score.changed")
    assert score in alerts["score dropped"]
    assert alerts["connector silent"].startswith("no event: ")
    assert only == 0 or [f["subject"] for f in named if f["ok"] is False] == ["dead"]
    assert [f["subject"] for f in named if f["what"] == "send_test"] == ["changes"]


async def test_the_words_for_people_name_rule_event_and_sink(tmp_path: Path) -> None:
    async with surroundings(tmp_path, Recorder(), tenants=1):
        text = await ask(tmp_path, "check", "--send-test", "--sink", "out")
        process = await securescore(tmp_path, "check", "--sink", "out")
        _, err = await process.communicate()
    assert "Secure Score dropped: 120.0 → 66.5" in text
    assert "connector silent" in text
    assert "Look for tenant or host TEST" in text
    assert process.returncode == 2
    assert b"--sink needs --send-test" in err
