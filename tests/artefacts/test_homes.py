"""The table of docs/setting-up.md that says what works where is true of the code, cell by cell.

Nothing is opened or sent: what a home takes is asked of the function that reads its configuration.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from connector.app import evidence
from connector.config import keys, splunk_conf
from connector.errors import ConfigError
from connector.homes.functions import configuration
from connector.homes.tenant_turn import refuse_kinds
from connector.registry import SINKS, sink_module
from tests.unit.homes.test_functions import CLIENT, TENANT
from tests.unit.homes.test_functions import settings as app_settings

ROOT = Path(__file__).parents[2]
SOURCES: tuple[str, ...] = keys.TENANT["source"].choices
PART = (ROOT / "docs" / "setting-up.md").read_text("utf-8").partition("\n## What works where\n")[2]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PART.splitlines() if line.startswith("|")]
TABLE = {row[0]: row[1:] for row in ROWS[2:]}
HOST, FUNCTIONS, SPLUNK = range(3)


def told(row: str, home: int) -> set[str]:
    """The words in code of a cell."""
    return set(re.findall(r"`([a-z_]+)`", TABLE[row][home]))


def test_it_has_a_column_for_each_home() -> None:
    assert ROWS[0][1:] == ["host, container", "Azure Functions app", "Splunk add-on"]
    assert {len(row) for row in ROWS} == {4}


def test_sinks() -> None:
    assert told("sinks", HOST) == set(SINKS)
    assert told("sinks", FUNCTIONS) == {kind for kind in SINKS if serves_a_called_home(kind)}
    assert told("sinks", SPLUNK) == set()
    assert splunk_conf.KIND not in SINKS  # its one sink is splunkd


def serves_a_called_home(kind: str) -> bool:
    assert sink_module(kind) is not None
    try:
        refuse_kinds([kind])
    except ConfigError:
        return False
    return True


def test_sources() -> None:
    assert told("sources", HOST) == set(SOURCES)
    assert told("sources", FUNCTIONS) == set(SOURCES) - {"files"}  # there is no folder but the package's
    for source in told("sources", FUNCTIONS):
        assert settings(SECURESCORE__tenants__0__source=source).tenants[0].source == source
    assert told("sources", SPLUNK) == offered("reads")


def test_the_state() -> None:
    homes = {key.split(".")[1] for key in keys.TOP if key.startswith("state.")} - {"mode", "keep_days", "max_bytes"}
    assert told("the state is in", HOST) == homes - {"kvstore"}  # that needs a session of splunkd
    assert told("the state is in", FUNCTIONS) == {"blob"}
    with pytest.raises(ConfigError, match="no container"):
        configuration({name: value for name, value in app_settings().items() if "__state__" not in name})
    assert told("the state is in", SPLUNK) == set(splunk_conf.HOMES) - {"auto"} == offered("state_store") - {"auto"}


def test_reports_and_evidence() -> None:
    assert [TABLE["reports written on schedule"][home] for home in range(3)] == ["yes", "no", "no"]
    assert [TABLE["evidence archive (`raw`)"][home] for home in range(3)] == ["yes", "no", "no"]
    report = {"SECURESCORE__reports__0__every": "month", "SECURESCORE__reports__0__path": "/x/{tenant}-{period}.html"}
    with pytest.raises(ConfigError, match="reports need a disk"):
        settings(**report)
    there = {"client_id": CLIENT, "tenant_id": TENANT, "cloud": "global", "auth_kind": "client_secret"}
    input_ = {"account": "contoso", "index": "main", "interval": "3600"}
    of_splunk = splunk_conf.config_of(
        splunk_conf.Stanzas("contoso", input_, there, {}, {}), splunk_conf.Home(directory="/state")
    )
    assert not of_splunk.reports
    assert evidence(of_splunk) is None
    assert evidence(settings()) is None


def settings(**more: str) -> Any:
    """The configuration of a function app."""
    return configuration(app_settings(**more))


def offered(field: str) -> set[str]:
    """What a page of the add-on lets one choose."""
    pages = json.loads((ROOT / "packaging" / "splunk" / "globalConfig.json").read_text("utf-8"))["pages"]
    (service,) = pages["inputs"]["services"]
    (entity,) = [one for one in service["entity"] if one["field"] == field]
    return {choice["value"] for choice in entity["options"]["autoCompleteFields"]}
