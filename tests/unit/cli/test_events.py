"""`securescore events` as a table: changes and health first, the rest on request; every other form holds all of it."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from connector.cli.main import main
from connector.clock import SystemClock
from connector.stores.sqlite import open_store
from tests.contract.store_contract import add, event

TENANT = "11111111-1111-1111-1111-111111111111"
CLI = Path(__file__).parents[3] / "connector" / "cli"
SAID = {"score.observed", "control.observed", "score.changed", "feed.stale", "connector.heartbeat"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A state with one event of several types; the arguments that name its configuration."""
    monkeypatch.setenv("COLUMNS", "160")
    config = tmp_path / "c.yaml"
    tenant = f"{{name: lab, tenant_id: {TENANT}, source: files, path: in}}"
    config.write_text(
        f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{{name: out, kind: file, path: o.jsonl}}]\n"
    )
    events = [event(n, type=each) for n, each in enumerate(sorted(SAID))]

    async def fill() -> None:
        async with await open_store(tmp_path / "s.db", clock=SystemClock()) as store:
            await add(store, events)

    asyncio.run(fill())
    return ["-c", str(config)]


def types(text: str) -> set[str]:
    return {each for each in SAID if re.search(rf"\s{re.escape(each)}\s", text)}


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ([], {"score.changed", "feed.stale"}),
        (["--all"], SAID),
        (["--type", "*"], SAID),
        (["--type", "score.*"], {"score.observed", "score.changed"}),
        (["--type", "connector.heartbeat"], {"connector.heartbeat"}),
    ],
)
def test_the_table_shows_changes_and_health_unless_more_is_asked_for(
    lab: list[str], capsys: pytest.CaptureFixture[str], words: list[str], seen: set[str]
) -> None:
    assert main(["events", *words, *lab]) == 0
    said = capsys.readouterr()
    assert types(said.out) == seen
    assert ("--all" in said.err) == (not words), "what is not shown is told, beside the table"


def test_a_span_with_a_minus_is_a_span(lab: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As search languages write it; what begins with a dash is no option here."""
    assert main(["events", "--since", "-3650d", "--until=-0d", *lab]) == 0
    assert types(capsys.readouterr().out) == {"score.changed", "feed.stale"}


@pytest.mark.parametrize("form", ["json", "cef", "cloudevents"])
def test_what_programs_read_holds_every_event(lab: list[str], capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["events", "--format", form, *lab]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    count = len(json.loads(said.out)) if form == "json" else said.out.count("CEF:") or said.out.count('"specversion"')
    assert count == len(SAID)


def test_every_column_of_moments_says_utc() -> None:
    """Looked for in the source of all commands: a table that is drawn nowhere in a test counts, too."""
    calls = [
        call
        for file in CLI.glob("*.py")
        for call in re.findall(r"\btable\(([^()]*(?:\([^()]*\)[^()]*)*)\)", file.read_text())
    ]
    headings = {each for call in calls for each in re.findall(r'"([^"]+)"', call)}
    of_moments = {each for each in headings if re.search(r"\b(time|at|since|success|sent|settled)\b", each)}
    assert {"since (UTC)", "parked at (UTC)", "last success (UTC)", "settled (UTC)"} <= of_moments
    # "sent" counts, and of a control it is the day that is shown since when its state holds.
    assert [each for each in sorted(of_moments - {"sent>", "since"}) if not each.endswith("(UTC)")] == []
