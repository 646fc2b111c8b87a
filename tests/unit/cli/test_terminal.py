"""What commands draw: within the terminal, aligned in cells, and harmless whatever a tenant's texts hold."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from connector.advice.advise import advise
from connector.advice.listing import Advised
from connector.cli import controls, events, explain, findings, status, terminal
from connector.cli import next as next_
from connector.cli.main import NEXT, complain, main
from connector.cli.terminal import cell_len, draw, fit, table
from connector.config.values import TargetsConfig
from connector.errors import ConfigError, SecureScoreError
from connector.foreign.characters import harmless
from connector.language.choice import language
from connector.model import Control, Day, Event, Profile, StateUpdate, Version

NASTY = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31mred\x9b0m",
    "over\rwritten\x08\x08",
    "two\nlines\u2028three",
    "\u202eesrever\u2066",
    "[red]markup[/red] [link=https://evil.invalid]x[/link] [/]",
    "ends with a backslash \\",
    "宽字符宽字符宽字符宽字符宽字符宽字符宽字符宽字符",
    "emoji 👩‍💻 🛡️ ok",
    "combining Z͑ͫ̓ͪ̂a̷l̸g̵o",
    "a" * 300,
    "\ud800 lone",
)
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def an_event(text: str) -> Event:
    data = {
        "severity": 7,
        "stream": "change",
        "summary": text,
        "backfilled": False,
        "tenant": {"id": text, "name": text},
    }
    return Event("id", "urn", "control.changed", text, "2026-11-22T09:12:03Z", data)


def a_part(text: str, delta: float) -> dict[str, Any]:
    cause = {"label": "configuration", "confidence": "high", "evidence": [text], "also": []}
    return {"control": text, "kind": "moved", "before": 1.0, "after": 2.0, "delta": delta, "cause": cause}


def show_explain() -> None:
    side = {"day": "2026-11-21", "revision": 0, "current": 300.5, "max": 700.0, "percent": 42.9}
    explain.show(
        NASTY[0],
        {
            "before": side,
            "after": {**side, "day": "2026-11-22"},
            "summary": NASTY[5],
            "percent": {"before": 1.0, "after": 2.0, "delta": 1.0, "numerator": 1.0, "denominator": 0.0},
            "contributions": [a_part(text, 3.5 - n) for n, text in enumerate(NASTY)],
            "regrouped": {
                "moves": [
                    {"by": "category", "controls": 2, "points": 1.5, "before": text, "after": text} for text in NASTY
                ]
            },
            "residual": 0.0,
            "cause": {"label": NASTY[1], "confidence": "high", "evidence": [], "also": [NASTY[2]]},
        },
    )


def show_events() -> None:
    events.show([an_event(text) for text in NASTY])


def show_status() -> None:
    tenant: dict[str, Any] = {
        "newest_day": None,
        "data_age_s": None,
        "last_success": None,
        "problems": [],
        "hint": "look",
        "notes": NASTY,
        "labels": {t: t for t in NASTY},
        "percent": 1.0,
        "change_7d": -0.5,
        "deviations": [{"kind": "baseline_full", "control": t} for t in NASTY],
        "refused": [{"part": t, "reason": t, "since": "2026-11-22T09:00:00Z", "unit": t} for t in NASTY],
        "units": [
            {
                "unit": {"kind": "subscription", "id": t, "name": t, "score": t},
                "newest_day": None,
                "score": None,
                "max": None,
                "percent": None,
                "state": t,
                "gone_since": None,
                "refused": [{"part": t, "reason": t, "since": "2026-11-22T09:00:00Z"}],
            }
            for t in NASTY
        ],
        "no_data": {"count": 2, "first": [{"id": t, "name": t} for t in NASTY]},
    }
    sink = {"state": "ok", "backlog": 1, "parked": 0, "last_success": "2026-11-22T09:00:00Z", "oldest_due": None}
    sink |= {"error": None, "hint": None}
    status.show(
        {
            "daemon": {"ready": False, "reasons": NASTY, "warnings": NASTY},
            "tenants": {f"{text}{n}": {**tenant, "error": text} for n, text in enumerate(NASTY)},
            "sinks": {f"{text}{n}": sink for n, text in enumerate(NASTY)},
            "problems": [{"subject": t, "reason": "r", "first_seen": None, "summary": t, "hint": t} for t in NASTY],
            "credentials": [
                {"credential": t, "kind": "secret", "expires_at": None, "days_left": 3, "tenants": [t], "sink": None}
                for t in NASTY
            ],
            "store": {"events": 1, "bytes": 5},
        }
    )


def show_controls() -> None:
    row = {"score": 1.0, "max_score": 2.0, "state": "Ignored", "updated_at": "2026-11-22T09:00:00Z"}
    texts = ("tenant", "control", "portal", "updated_by", "comment")
    controls.show_list([{**row, **dict.fromkeys(texts, text)} for text in NASTY], several=True)


def show_check() -> None:
    findings.show([findings.Finding("sink", text, False, text, text) for text in NASTY])


def show_next() -> None:
    controls_ = {text: Control(text, text, 0.0, 0.0) for text in NASTY}
    newest = Version(Day("id", "2026-11-22", 0.0, 120.0, controls_), "hash")
    held = StateUpdate("Ignored", "2026-11-01T00:00:00Z", NASTY[0], NASTY[1])
    words = {
        t: Profile(t, t, t, t, t, 10.0, implementation_cost=t, updates=(held,) * (n % 2)) for n, t in enumerate(NASTY)
    }
    advice = advise(newest, words, (), TargetsConfig(controls=NASTY), [*NASTY[:3], "zzz"])
    next_.show([Advised(text, str(n), advice) for n, text in enumerate(NASTY)], 40, language())


DRAWN = (show_explain, show_events, show_status, show_controls, show_check, show_next)


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("draw", DRAWN)
def test_hostile_texts_stay_texts_within_the_width(
    draw: Callable[[], None], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    draw()
    said = capsys.readouterr().out
    assert HARMFUL.findall(said) == []
    assert [line for line in said.splitlines() if cell_len(line) > width] == []
    assert "ends" in said


@pytest.mark.parametrize("said", ["0", "-5", "wide", "\u00b2", ""])
def test_columns_that_are_no_width_hide_nothing(
    said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As 0 is what some environments say where a terminal has no size."""
    monkeypatch.delenv("COLUMNS", raising=False)
    show_events()
    usual = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", said)
    show_events()
    assert capsys.readouterr().out == usual != ""


def test_nothing_is_taken_for_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    show_events()
    assert NASTY[5] in capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_waterfall_stands_in_columns(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures end in the same cell, whatever width the characters before them have."""
    monkeypatch.setenv("COLUMNS", str(width))
    show_explain()
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("") + 1
    rows = lines[first : next(n for n, line in enumerate(lines) if line.startswith("Regrouped"))]
    assert len(rows) == len(NASTY) + 3
    ends = set()
    for row in rows:
        found = re.search(r" [+-]?\d+\.\d+(?= |$)", row)
        assert found is not None
        ends.add(cell_len(row[: found.end()]))
    assert len(ends) == 1


@pytest.mark.parametrize("text", [*NASTY[7:11], "plain", ""])
@pytest.mark.parametrize("cells", [2, 9, 40])
def test_fitted_text_takes_exactly_its_cells(text: str, cells: int) -> None:
    assert cell_len(fit(text, cells)) == cells


def test_a_narrow_terminal_gets_cards(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    findings.show([findings.Finding("tenant", "contoso", False, "the secret has expired", "renew it")])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()][:5] == [
        "no tenant",
        "  about: contoso",
        "  found: the secret has expired",
        "  next: renew it",
        "",
    ]


@pytest.mark.parametrize("draw", DRAWN)
def test_where_no_terminal_is_texts_stay_texts(draw: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    draw()
    assert HARMFUL.findall(capsys.readouterr().out) == []


def test_where_no_terminal_is_each_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For `grep`, a file, or a mail of cron, however long it is; and none is padded to the longest."""
    long = "a long reason " * 30 + "at last"
    findings.show([findings.Finding("tenant", name, False, long, "do this") for name in ("contoso", "fabrikam")])
    findings.show([findings.Finding("sink", "soc", True, "short"), findings.Finding("sink", "archive", False, long)])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("no", "ok"))] == [
        f"no  tenant  contoso, fabrikam  2 tenants: {long}  next: do this",
        "ok  sink   soc      short",
        f"no  sink   archive  {long}",
    ]


def test_long_names_are_folded_not_lost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, why = "x" * 60, "because " * 12
    row = {"tenant": "t", "control": name, "portal": "Risk accepted", "updated_by": "someone", "comment": why.strip()}
    controls.show_list([{**row, "score": 1.0, "max_score": 2.0, "state": "Ignored", "updated_at": None}], several=False)
    said = capsys.readouterr().out
    assert said.count("x") == 60
    assert said.count("because") == 12


def drawn(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    made = table("tenant", "newest day", "percent>", "last success (UTC)", "error")
    made.add_row("contoso-azure", "2026-11-30", "64.31", "2026-11-30 09:39", "the sink refuses\nnext: renew " * 5)
    made.add_row("株式会社コントソ", "2026-11-30", "71.64", "2026-11-30 09:39", "")
    draw(made)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", range(60, 131, 5))
def test_dates_and_names_stay_whole_while_there_is_room(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = drawn(width, monkeypatch, capsys)
    said = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    words = ("contoso-azure", "2026-11-30", "64.31", "株式会社コントソ", "percent", "refuses", "09:39")
    assert [word for word in words if word not in said] == []
    rule = next(line for line in lines if line.startswith("─"))
    assert cell_len(rule) <= width  # a table, not cards
    starts = {cell_len(line[: line.index("2026-11-30")]) for line in lines if "2026-11-30" in line and line[0] != " "}
    assert len(starts) == 1  # wide characters shift no column


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("text", NASTY)
def test_errors_quote_nothing_harmful(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(SecureScoreError(f"cannot {text}", text)) == 1
    assert complain(ConfigError([text, "second"])) == 2
    said = capsys.readouterr().err
    assert HARMFUL.findall(said) == []
    hints = [line.removeprefix("next: ") for line in said.splitlines() if line.startswith("next: ")]
    assert hints[-1] == NEXT  # where an error has no step of its own


@pytest.mark.parametrize(
    "words", [["events", "--limit", "many"], ["nonsense"], ["explain", "--colour"], ["report"], ["parked"], ["-c"]]
)
def test_mistakes_of_usage_speak_like_every_other_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "next:"]


# ---------------------------------------------------------------------------------------------------- on a terminal


def on_a_terminal(code: str, **environ: str) -> str:
    """What a program writes to a terminal, its stdout and stderr together."""
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environ}
    with subprocess.Popen([sys.executable, "-c", code], stdin=child, stdout=child, stderr=child, env=env) as process:
        os.close(child)
        said = b""
        while True:
            try:
                part = os.read(parent, 65_536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            said += part
        os.close(parent)
        assert process.wait(30) == 0
    return said.decode()


SHOW = "from tests.unit.cli import test_terminal as t; t.show_events()"
BAR = "from connector.cli.terminal import progress\nwith progress('Reading', 3) as done: done(2)"
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?3[0-9](?:;[0-9;]*)?m")


def test_colour_only_where_it_is_wanted() -> None:
    code = "import sys; sys.path.insert(0, '.'); " + SHOW
    assert COLOUR.search(on_a_terminal(code))
    assert not COLOUR.search(on_a_terminal(code, NO_COLOR="1"))


def test_a_bar_on_a_terminal_and_none_elsewhere() -> None:
    said = on_a_terminal(BAR)
    assert "Reading" in said
    assert "2/3" in said
    quiet = subprocess.run([sys.executable, "-c", BAR], capture_output=True, check=True, timeout=30)
    assert (quiet.stdout, quiet.stderr) == (b"", b"")


def test_without_a_terminal_long_work_tells_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of `once` over five hundred tenants is not silent for ten minutes, and that of one is."""
    now = iter([100.0, 101.0, 129.9, 130.0, 131.0, 161.0])
    monkeypatch.setattr("connector.cli.terminal.time.monotonic", lambda: next(now))
    with terminal.progress("Reading tenants", 500) as done:
        for number in range(1, 6):
            done(number)
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()) == (
        "",
        ["Reading tenants: 3 of 500 after 30 s", "Reading tenants: 5 of 500 after 61 s"],
    )


def test_a_json_document_is_written_as_it_is_encoded_and_is_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIECES", 3)
    value = {"a": [1, 2.5, None, True, {"b": "\u00fc\u202e\x7f\n"}], "none": [], "empty": {}, "last": "x" * 50}
    terminal.dump(value)
    told = capsys.readouterr().out
    assert told == json.dumps(value, indent=2).replace("\x7f", harmless("\x7f")) + "\n"
