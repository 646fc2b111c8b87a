"""The alert rules that ship, in step: mappings/alerts.yaml has a test event for each, or says why it cannot."""

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.mapping.resources import load_data
from connector.model import STREAM_OF_TYPE
from tests.artefacts.host_packages import HOST, ROOT
from tests.artefacts.test_host_readme import reasons

TABLE: dict[str, Any] = load_data("alerts")
PACKAGING = ROOT / "packaging"


def named(place: str) -> set[str]:
    return {name for alert in TABLE["alerts"] for name in alert.get(place, ())}


def the(pattern: str) -> list[Path]:
    found = sorted(PACKAGING.glob(pattern))
    if not found:
        pytest.skip(f"packaging/{pattern} is not part of this version")
    return found


def test_every_analytic_rule_of_sentinel_is_fired_by_a_test_event() -> None:
    rules = [yaml.safe_load(file.read_text()) for file in the("azure/sentinel/Analytic Rules/*.yaml")]
    assert named("sentinel") == {rule["name"] for rule in rules}


def test_every_alert_of_splunk_is_fired_by_a_test_event() -> None:
    alerts: set[str] = set()
    for file in the("splunk/knowledge/default/savedsearches.conf"):
        conf = configparser.RawConfigParser(strict=True)
        conf.read_string(file.read_text())
        alerts |= {stanza for stanza in conf.sections() if conf.get(stanza, "alert.track") == "1"}
    assert named("splunk") == alerts


def test_every_rule_over_metrics_is_listed_as_such() -> None:
    groups = yaml.safe_load((HOST / "prometheus-alerts.yaml").read_text())["groups"]
    assert [rule["alert"] for group in groups for rule in group["rules"]] == TABLE["metrics"]


def test_every_event_type_says_who_is_told_of_it() -> None:
    """Or where it is seen, and why nobody is woken. test_splunk_knowledge and test_kql_rows hold that it is so."""
    table = TABLE["events"]
    assert list(table) == list(STREAM_OF_TYPE)
    known = {alert["name"] for alert in TABLE["alerts"]}
    for name, row in table.items():
        assert set(row) <= {"alerts", "only", "splunk", "sentinel", "why"}, name
        assert set(row.get("alerts", ())) <= known, name
        observed = STREAM_OF_TYPE[name] in ("score", "inventory")
        assert row.get("alerts") or row.get("why") or observed, f"{name}: nobody is told, and nobody says why"
        assert row.get("splunk") or row.get("why"), name
        assert row.get("sentinel") or row.get("why"), name
    assert {alert for row in table.values() for alert in row.get("alerts", ())} == known


def test_reasons_that_no_event_tells_exist() -> None:
    assert set(TABLE["unsaid"]) <= reasons()


def test_every_test_event_is_waited_for_by_a_rule() -> None:
    for alert in TABLE["alerts"]:
        assert alert.get("splunk") or alert.get("sentinel"), alert["name"]
        assert ("when" in alert) != ("absence" in alert), alert["name"]
