"""`securescore check --send-test` as an operator runs it: every sink gets the events, the history none."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.fakes.daemon import Recorder, operate, surroundings

MORE = """
              - {name: changes, kind: file, path: changes.cef, format: cef, streams: [change], tenants: [nobody]}
              - {name: loud, kind: file, path: loud.jsonl, min_severity: 8, exclude: ["feed.*", "connector.*"]}
              - {name: dead, kind: file, path: missing/dead.jsonl}
"""


async def said(folder: Path, *words: str, fails: int = 0) -> str:
    code, out, err = await asyncio.to_thread(operate, *words, "-c", str(folder / "securescore.yaml"))
    assert code == fails, out + err
    assert bool(err) == (code == 2), err
    return out + err


async def findings(folder: Path, *words: str, fails: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await said(folder, "check", "--send-test", "--json", *words, fails=fails))
    return found


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_every_sink_gets_the_test_through_its_own_mapping_and_the_history_none(tmp_path: Path) -> None:
    recorder = Recorder()
    async with surroundings(tmp_path, recorder, tenants=1, more=MORE):
        await said(tmp_path, "once", "--no-deliver")
        before = await said(tmp_path, "events", "--format", "json", "--limit", "0")
        stood = json.loads(await said(tmp_path, "status", "--json"))
        found = await findings(tmp_path, fails=3)
        assert await said(tmp_path, "events", "--format", "json", "--limit", "0") == before
        after = json.loads(await said(tmp_path, "status", "--json"))
        assert (after["sinks"], after["store"]) == (stood["sinks"], stood["store"])
        # A named sink alone.
        named = await findings(tmp_path, "--sink", "changes", fails=3)  # the dead one still fails its own check

    sent = {f["subject"]: f for f in found if f["what"] == "send_test"}
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
    _, left_out = sent["changes"]["detail"].split("left out by this sink's filters: ")
    assert "feed stale" in left_out.split(", ")
    assert "mass change" in sent["loud"]["detail"], "one of thirty is not enough"
    assert "score dropped" not in sent["loud"]["detail"].partition("filters:")[2]

    # Each shipped rule, with the events that should fire it.
    alerts = {f["subject"]: f["detail"] for f in found if f["what"] == "alert"}
    score = next(e["id"] for e in events if e["type"] == "securescore.score.changed")
    assert score in alerts["score dropped"]
    assert alerts["connector silent"].startswith("no event: ")
    assert [f["subject"] for f in named if f["ok"] is False] == ["dead"]
    assert [f["subject"] for f in named if f["what"] == "send_test"] == ["changes"]


async def test_the_words_for_people_name_rule_event_and_sink(tmp_path: Path) -> None:
    async with surroundings(tmp_path, Recorder(), tenants=1):
        text = await said(tmp_path, "check", "--send-test", "--sink", "out")
        refusal = await said(tmp_path, "check", "--sink", "out", fails=2)
    assert "Secure Score dropped: 120.0 → 66.5" in text
    assert "connector silent" in text
    assert "Look for tenant or host TEST" in text
    assert "--sink needs --send-test" in refusal
