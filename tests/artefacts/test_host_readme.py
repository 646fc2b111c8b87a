"""The host README keeps its word: commands, options and reasons it names are those of the program."""

import re

import pytest

from tests.artefacts.host_packages import HOST, ROOT

README = (HOST / "README.md").read_text()
COMMAND = re.compile(r"`?(?:sudo )?securescore ([a-z][a-z-]+)((?: [^`\n#|;]*)?)")


def test_every_command_the_host_readme_names_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    from connector.cli.main import COMMANDS, main  # noqa: PLC0415 - a broken command shall fail this test only

    named: dict[str, set[str]] = {match[1]: set() for match in COMMAND.finditer(README) if match[1] in COMMANDS}
    unknown = {match[1] for match in COMMAND.finditer(README)} - set(COMMANDS)
    assert unknown == set()
    assert {"status", "check", "events", "explain", "parked", "sinks", "replay", "accept-snapshot"} <= set(named)
    for match in COMMAND.finditer(README):
        named[match[1]] |= set(re.findall(r"--[a-z-]+", match[2]))
    for command, options in named.items():
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert {option for option in options if option not in shown} == set(), command


def test_every_problem_reason_has_a_line_in_the_runbook() -> None:
    """Reasons are stable words; a new one is explained to the operator when it is born."""
    told = set(re.findall(r"`([a-z_]+)`", README.partition("## Runbook")[2].partition("### Drills")[0]))
    sources = "".join((ROOT / "connector" / f"{name}.py").read_text() for name in ("poller", "upkeep", "credentials"))
    given = set(re.findall(r'reason(?:=| = )"([a-z_]+)"', sources)) | set(
        re.findall(r'"((?:secret|outbox)_[a-z]+)"', sources)
    )
    assert len(given) >= 6
    assert given - told == set()
