"""README and docs keep their word: commands exist, configurations are accepted, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connector.config.yaml_file import load
from connector.registry import sink_options
from tests.needs import program

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
# The pages that people follow links in; those under packaging/ travel in packages, too.
PAGES = [*ROOT.glob("*.md"), *DOCS, *(ROOT / "packaging").glob("*/README.md")]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def test_it_opens_with_two_commands_that_make_knows() -> None:
    make = program("make", hint="apt-get install make")
    targets = re.findall(r"^make (\w+)", blocks(README, "sh")[0], re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_the_command_line_page_lists_exactly_the_commands_that_exist() -> None:
    listed = set(re.findall(r"^\| `securescore ([a-z-]+)", page("command-line.md"), re.MULTILINE))
    command = [sys.executable, "-m", "connector.cli.main", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    existing = set(re.findall(r"^[ │]{1,6}([a-z][a-z-]+)(?: {2,}\S|$)", shown, re.MULTILINE))
    assert listed == existing


def test_the_configurations_shown_are_accepted(tmp_path: Path) -> None:
    (text,) = blocks(page("setting-up.md"), "yaml")
    (more_sinks,) = blocks(page("sinks.md"), "yaml")
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


def test_a_service_providers_list_and_configuration_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page("mssp.md").replace("\n   ", "\n")
    (configuration,), (customers,) = blocks(text, "yaml"), blocks(text, "csv")
    (tmp_path / "securescore.yaml").write_text(configuration)
    (tmp_path / "tenants.csv").write_text(customers)
    for secret in ("hec", "teams"):
        (tmp_path / secret).write_text("https://example.org/x")
        (tmp_path / secret).chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = load(str(tmp_path / "securescore.yaml"), sink_options=sink_options, environ={})
    assert [(tenant.name, tenant.labels["tier"]) for tenant in config.tenants] == [
        ("contoso", "gold"),
        ("fabrikam", "silver"),
    ]
    assert [sink.kind for sink in config.sinks] == ["splunk_hec", "webhook"]
    assert [report.every for report in config.reports] == ["month"]


# ----------------------------------------------------------------------------------------------------------- links


def links(text: str) -> list[str]:
    """Where a page leads to within the repository; code is no link."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return [to for to in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", to)]


def anchors(text: str) -> set[str]:
    """The places of a page that a link may name, as GitHub spells them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    lost = []
    for link in links(path.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            lost.append(link)
    assert lost == []


def test_every_page_of_docs_is_one_link_from_the_readme() -> None:
    named = {link.partition("#")[0] for link in links(README)}
    assert [path.name for path in DOCS if f"docs/{path.name}" not in named] == []
