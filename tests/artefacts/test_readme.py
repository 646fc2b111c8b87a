"""The README keeps its word: its commands exist, its configuration is accepted."""

import re
import subprocess
import sys
from pathlib import Path

from connector.config.yaml_file import load
from connector.registry import sink_options
from tests.needs import program

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text of one section, its sub-sections included."""
    parts = re.split(r"^## ", README, flags=re.MULTILINE)
    return next(part for part in parts if part.startswith(title + "\n"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_it_opens_with_two_commands_that_make_knows() -> None:
    make = program("make", hint="apt-get install make")
    targets = re.findall(r"^make (\w+)", blocks(README, "sh")[0], re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_it_lists_exactly_the_commands_that_exist() -> None:
    listed = set(re.findall(r"^\| `securescore ([a-z-]+)", section("Commands"), re.MULTILINE))
    command = [sys.executable, "-m", "connector.cli.main", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    existing = set(re.findall(r"^[ │]{1,6}([a-z][a-z-]+)(?: {2,}\S|$)", shown, re.MULTILINE))
    assert listed == existing


def test_its_configuration_is_accepted(tmp_path: Path) -> None:
    text, more_sinks = blocks(section("Configuration"), "yaml")
    place = tmp_path / "securescore.yaml"
    place.write_text(text)
    (tmp_path / "exports").mkdir()
    token = tmp_path / "graph.token"
    token.write_text("opaque")
    token.chmod(0o600)
    config = load(str(place), sink_options=sink_options, environ={})
    assert [tenant.name for tenant in config.tenants] == ["contoso", "lab"]
    assert [(sink.kind, sink.start) for sink in config.sinks] == [("file", "backfill"), ("syslog", "now")]
    place.write_text(text.partition("sinks:")[0] + more_sinks)
    more = load(str(place), sink_options=sink_options, environ={})
    assert [sink.kind for sink in more.sinks] == ["syslog", "splunk_hec", "sentinel", "webhook"]
