"""Whatever reaches a terminal goes through connector/cli/terminal.py: nothing else writes, asks or draws."""

import ast
import asyncio
import errno
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connector.cli import report, terminal
from connector.cli.main import main
from connector.foreign.characters import is_harmless
from connector.report.build import period
from connector.report.values import Summary
from tests.fake_graph import TENANT, day_document, profile_document, serve
from tests.fake_graph import root as root_of

ROOT = Path(__file__).parents[3]
TERMINAL = "connector/cli/terminal.py"
MAY: dict[str, set[str]] = {
    "connector/health/logs.py": {"sys.stderr"},  # log lines; their formatters escape
    "connector/cli/process.py": {"sys.stdout", "sys.stderr"},  # flushed, never written to
    "sinks/file.py": {"sys.stdout", "os.write"},  # records, each `one_line` of formats/lines.py
}
"""What a module other than terminal.py may use, and why."""
CALLS = {"print", "input", "breakpoint"}
STREAMS = {"stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"}
LIBRARIES = {"rich", "curses", "getpass", "readline", "pdb", "tty"}


def other_ways(code: ast.AST) -> Iterator[str]:
    """Every other way to a terminal that a module's code takes."""
    nodes = list(ast.walk(code))
    own = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in CALLS - own:
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if (node.value.id == "sys" and node.attr in STREAMS) or name in ("os.write", "os.system", "os.popen"):
                yield name
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names if node.module == "sys" and a.name in STREAMS)
            if (node.module or "").split(".")[0] in LIBRARIES:
                yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in LIBRARIES)


def for_types_alone(code: str) -> ast.AST:
    """The code without what only a type checker reads."""

    class Without(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> Any:
            return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node

    found: ast.AST = Without().visit(ast.parse(code))
    return found


MODULES = sorted(
    path.relative_to(ROOT).as_posix() for top in ("connector", "sinks") for path in (ROOT / top).rglob("*.py")
)


def test_a_fault_of_the_system_that_nobody_met_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_args: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/srv/state.db")

    monkeypatch.setattr("connector.cli.status.run", fails)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith("error: /srv/state.db: Input/output error\nnext: ")


def test_no_other_module_writes_asks_or_draws() -> None:
    assert TERMINAL in MODULES
    found = {
        name: ways
        for name in MODULES
        if name != TERMINAL
        and (ways := set(other_ways(for_types_alone((ROOT / name).read_text("utf-8")))) - MAY.get(name, set()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "print(x)",
        "say = print",
        "import sys\nsys.stdout.write(x)",
        "from sys import stderr",
        "import rich",
        "def f():\n    from rich.console import Console",
        "os.write(1, b)",
        "input('?')",
        "json.dump(x, sys.__stdout__)",
    ],
)
def test_the_search_finds_another_way(code: str) -> None:
    assert list(other_ways(ast.parse(code)))


def test_what_other_modules_may_use_they_do_use() -> None:
    for name, ways in MAY.items():
        assert ways <= set(other_ways(ast.parse((ROOT / name).read_text("utf-8")))), name


# ---------------------------------------------------------------------------------------------------- what it lets pass

NASTY = "eve\x1b]0;PWNED\x07\x1b[2J\x1b[1;31mDONE: all good\x1b[0m\r\nerror: fake line\u202e\u2028\x9b31m\u200b\ud800"
ALLOWED = {"\n"}


def harmful(text: str) -> list[str]:
    return [c for c in text if c not in ALLOWED and not is_harmless(c)]


def test_every_way_is_harmless(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.say(NASTY)
    terminal.say(NASTY, err=True)
    terminal.complain([NASTY, "two\nlines"], NASTY)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert terminal.ask(NASTY) == ""
    terminal.dump({NASTY: NASTY})
    out = terminal.console()
    out.print(NASTY, terminal.styled(NASTY, "bold"))
    shown = terminal.table(NASTY, "right>", title=NASTY)
    shown.add_row(NASTY, terminal.styled(NASTY, "red"))
    terminal.draw(shown, out)
    terminal.draw_notes([(NASTY, [NASTY])], out)
    terminal.console(stderr=True).print(NASTY)
    said = "".join(capsys.readouterr())
    assert said.count("PWNED") >= 14
    assert harmful(said) == []


def test_a_line_within_an_error_passes_for_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain(["first\nnext: rm -rf /"], "see\nerror: x")
    assert capsys.readouterr().err == "error: first\n  next: rm -rf /\nnext: see\n  error: x\n"


def test_a_document_is_exact_for_a_file_and_harmless_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "a\tb\r\n\x1b[2J\u202ec\n"
    terminal.write_document(text)
    assert capsys.readouterr().out == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    terminal.write_document(text)
    assert capsys.readouterr().out == "a\tb\n [2Jc\n"


def test_an_exception_that_nobody_expected_is_told_harmlessly() -> None:
    parent, child = pty.openpty()
    code = (
        "from connector.cli import terminal; import logging; terminal.tell_bugs_harmlessly();"
        f"logging.getLogger('x').warning({NASTY!r}); raise ValueError({NASTY!r} + ' password=hunter2')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        stdin=child,
        stdout=child,
        stderr=subprocess.PIPE,
        timeout=60,
        cwd=ROOT,
    )
    os.close(parent)
    os.close(child)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.count("PWNED") == 2
    assert "Traceback" in said
    assert "hunter2" not in said
    assert harmful(said) == []
    assert "\nerror:" not in said


# -------------------------------------------------------------------------------------------------------- the commands


async def test_what_a_tenant_wrote_between_plan_and_sending_forges_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`controls set` quotes who changed the control meanwhile, just when the operator decides."""
    said = iter(("admin", NASTY))

    async def answer(request: web.Request) -> web.StreamResponse:
        if "secureScores" in request.path:
            day = day_document("2026-11-22", {"RACE": 5.0})
            return web.json_response({"@odata.context": "x#security/secureScores", "value": [day]})
        who = next(said) if request.path.endswith("/RACE") else "admin"
        state = "Default" if who == "admin" else "Reviewed\x1b[31mX"
        entry = {"state": state, "updatedBy": who, "updatedDateTime": "2026-11-01T00:00:00Z", "comment": "c"}
        profile = profile_document("RACE", controlStateUpdates=[entry])
        return web.json_response(profile if request.path.endswith("/RACE") else {"value": [profile]})

    async with serve(answer) as server:
        (tmp_path / "tok").touch(0o600)
        (tmp_path / "tok").write_text("opaque")
        config = tmp_path / "c.yaml"
        config.write_text(
            json.dumps(
                {
                    "graph": {"base_url": root_of(server)},
                    "state": {"path": str(tmp_path / "state.db")},
                    "tenants": [
                        {
                            "name": "t",
                            "tenant_id": TENANT,
                            "auth": {"kind": "token", "file": str(tmp_path / "tok")},
                            "write_auth": {"kind": "token", "file": str(tmp_path / "tok")},
                        }
                    ],
                    "sinks": [{"name": "ev", "kind": "file", "path": str(tmp_path / "events.jsonl")}],
                }
            )
        )
        words = ["controls", "set", "RACE", "--state", "ignored", "--comment", "why", "--yes", "-c", str(config)]
        assert await asyncio.to_thread(main, ["once", "-c", str(config)]) == 0
        capsys.readouterr()
        code = await asyncio.to_thread(main, words)
    out, err = capsys.readouterr()
    assert code == 1, err
    assert "somebody changed it meanwhile by eve" in err
    assert harmful(out + err) == []
    assert sum(line.startswith("error: ") for line in err.splitlines()) == 1


def test_what_is_wrong_with_a_tenant_is_told_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    report.tell("-", period("2026-11-01", "2026-11-02"), [Summary(NASTY, TENANT, {}, None, 0, 2, (), error=NASTY)], 1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "PWNED" in err
    assert harmful(err) == []
