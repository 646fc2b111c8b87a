"""docs/messages.md: its sinks are accepted as they stand, and its Jira mapping names the project."""

from pathlib import Path

from connector.config.yaml_file import load
from connector.mapping.load import load_mapping
from connector.model import Digest
from connector.registry import digest_of, sink_options
from tests.artefacts.test_readme import blocks
from tests.golden import samples

SECRETS = dict.fromkeys(("SLACK_URL", "TEAMS_URL"), "https://hook.example/x") | dict.fromkeys(
    ("JIRA_BASIC", "SERVICENOW_BASIC", "PAGERDUTY_KEY"), "k"
)
ROOT = Path(__file__).parents[2]


def test_its_recipes_are_accepted(tmp_path: Path) -> None:
    sinks, jira, mail = blocks((ROOT / "docs/messages.md").read_text(encoding="utf-8"), "yaml")
    (tmp_path / "jira-soc.yaml").write_text(jira, encoding="utf-8")
    tenants = "tenants: [{name: t, tenant_id: 11111111-1111-1111-1111-111111111111, source: files, path: .}]\n"
    (tmp_path / "securescore.yaml").write_text("state: {path: s.db}\n" + tenants + sinks, encoding="utf-8")
    config = load(str(tmp_path / "securescore.yaml"), sink_options=sink_options, environ=SECRETS)
    assert [sink.name for sink in config.sinks] == ["slack", "teams", "jira", "servicenow", "pagerduty"]
    issue = load_mapping("./jira-soc.yaml", str(tmp_path)).render(samples.event("feed.gap")).payload
    assert isinstance(issue, dict)
    assert issue["fields"]["project"] == {"key": "SOC"}
    assert issue["fields"]["issuetype"] == {"name": "Incident"}
    (tmp_path / "securescore.yaml").write_text("state: {path: s.db}\n" + tenants + mail, encoding="utf-8")
    config = load(str(tmp_path / "securescore.yaml"), sink_options=sink_options)
    assert [digest_of(sink.kind, sink.options) for sink in config.sinks] == [Digest("daily", 360), None]
