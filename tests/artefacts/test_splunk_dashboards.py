"""The dashboards: every search runs and finds its fields, every panel has a place and data, the waterfall is exact."""

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.app import severity_rules
from connector.cli import alert_samples
from tests.artefacts.spl import SplError, World, filled, number, split
from tests.artefacts.splunk_knowledge import KNOWLEDGE, dashboards, query, world
from tests.artefacts.splunk_month import month
from tests.golden import samples

NOW = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
DASHBOARDS = dashboards()
SEARCHES = [(name, source) for name, found in DASHBOARDS.items() for source in found["dataSources"]]
KINDS = {"singlevalue", "table", "line", "area", "column", "bar", "pie"}


@pytest.fixture(scope="module")
def index(lookups: Path) -> World:
    """A hybrid month, and beside it the sample events and those of the alert test, as if they were real."""
    real = alert_samples.events(datetime(2026, 11, 20, 8, tzinfo=UTC), severity_rules(), ["splunk"])
    sampled = [samples.event(name) for name in samples.names()]
    moment = "2026-11-26T09:12:05Z"
    later = samples.event(
        "score.observed", {"id": "later", "time": moment, "data.day": "2026-11-26", "data.observed_at": moment}
    )
    found = world([*month().events, *sampled, later, *real], lookups, NOW)
    for row in found.rows:
        row.pop("simulated", None)
    found.tables = {"ms_securescore_instances": [{"instance": "sh1-prod", "host": "sh1", "interval_s": 3600}]}
    return found


def tokens(name: str) -> dict[str, str]:
    """Every token at its default, and one control chosen."""
    found = {
        key: value["value"] for key, value in DASHBOARDS[name]["defaults"].get("tokens", {}).get("default", {}).items()
    }
    inputs = DASHBOARDS[name]["inputs"].values()
    given = {each["options"]["token"]: each["options"]["defaultValue"] for each in inputs}
    return {**found, **given, **({"control": "AdminMFAV2"} if "control" in given else {})}


@pytest.mark.parametrize(("name", "source"), SEARCHES)
def test_each_search_runs_and_every_field_exists(name: str, source: str, index: World) -> None:
    index.unknown.clear()
    rows = index.run(query(name, source), tokens(name))
    assert rows, "with rows to the end every field is looked at"
    assert index.unknown <= {"simulated"}, "which only test events have"


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_a_definition_is_whole(name: str) -> None:
    found = DASHBOARDS[name]
    assert found["title"].startswith("Secure Score: ")
    assert found["description"]
    assert found["layout"]["globalInputs"] == list(found["inputs"])
    shown = [block["item"] for block in found["layout"]["structure"]]
    assert sorted(shown) == sorted(found["visualizations"]), "every panel has its place, once"
    for panel in found["visualizations"].values():
        assert panel["type"].removeprefix("splunk.") in KINDS
        assert panel["title"]
        assert panel["dataSources"]["primary"] in found["dataSources"]
    used = {source for panel in found["visualizations"].values() for source in panel["dataSources"].values()}
    used |= {each["options"]["extend"] for each in found["dataSources"].values() if each["type"] == "ds.chain"}
    used |= {each["dataSources"]["primary"] for each in found["inputs"].values() if "dataSources" in each}
    assert used == set(found["dataSources"]), "no search runs for nobody"
    known = {f"{token}" for token in tokens(name)} | {"time.earliest", "time.latest"}
    asked = set(re.findall(r"\$([a-z_.]+)(?:\|s)?\$", str(found)))
    assert asked <= known, "every token has a default"
    for source in found["dataSources"]:
        rest = re.sub(r"\$[a-z_.]+\|s\$", "", query(name, source))
        assert "$" not in rest, "it would paste a value unescaped, or begin a token, as in a pattern"


TOKEN = re.compile(r"\$([a-z_.]+)\|s\$")
ASKING = [(name, source) for name, source in SEARCHES if TOKEN.search(query(name, source))]
BREAKING_OUT = (
    'x" | outputlookup pwn | search "',
    'x\\" | outputlookup pwn | search "',
    "x\\",
    'x" OR tenant="*',
    "x` | outputlookup pwn | `ms_securescore_days",
    "x\n| outputlookup pwn",
)


@pytest.mark.parametrize(("name", "source"), ASKING)
def test_a_value_stays_a_value_in_every_query(name: str, source: str, index: World) -> None:
    """Values come from events, from a click and from the address: whatever they hold, they are compared, never run."""
    text = query(name, source)
    assert all(text[: hit.start()].endswith("=") for hit in TOKEN.finditer(text)), "in quotes once, by the filter"
    for token in set(TOKEN.findall(text)):
        for value in BREAKING_OUT:
            given = {**tokens(name), token: value}
            commands = [part.split()[0] for part in split(filled(text, given), "|") if part]
            assert commands == [part.split()[0] for part in split(filled(text, tokens(name)), "|") if part]
            if "`" not in value:  # whether Splunk looks for macros within quotes cannot be seen here
                assert not any(row.get("Control") or row.get("Tenant") for row in index.run(text, given))


def test_a_pasted_value_would_have_been_run(index: World) -> None:
    pasted = query("securescore_controls", "ds_events").replace("$control|s$", '"$control$"')
    with pytest.raises(SplError, match="outputlookup"):
        index.run(pasted, {**tokens("securescore_controls"), "control": BREAKING_OUT[0]})


def test_macros_take_plain_words_only() -> None:
    """An argument is pasted into the macro's body; no token and no value stands in one."""
    texts = [query(name, source) for name, source in SEARCHES]
    texts += [(KNOWLEDGE / "default" / f"{each}.conf").read_text("utf-8") for each in ("savedsearches", "eventtypes")]
    arguments = {each for text in texts for each in re.findall(r"`\w+\(([^`]*)\)`", text)}
    assert len(arguments) > 2
    assert [each for each in arguments if not re.fullmatch(r"[a-z_]+|\*", each)] == []


def test_a_link_of_an_event_leads_to_the_web_or_nowhere(lookups: Path) -> None:
    """And only a row that has one can be clicked: nothing lies behind the others."""
    for url, shown in (("javascript:alert(1)", []), (None, []), ("https://example.org/", ["https://example.org/"])):
        event = samples.event("control.state_changed", {"data.control.url": url})
        where = world([event], lookups, NOW)
        given = {**tokens("securescore_controls"), "control": event.data["control"]["id"]}
        rows = where.run(query("securescore_controls", "ds_remedy"), given)
        assert [row["Where it is put right"] for row in rows] == shown
    linked = [panel for found in DASHBOARDS.values() for panel in found["visualizations"].values()
              if "customUrl" in str(panel.get("eventHandlers"))]  # fmt: skip
    assert [panel["dataSources"]["primary"] for panel in linked] == ["ds_remedy"]


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_panels_do_not_overlap(name: str) -> None:
    layout = DASHBOARDS[name]["layout"]
    places = [block["position"] for block in layout["structure"]]
    for one, other in itertools.combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    assert sum(place["w"] * place["h"] for place in places) == layout["options"]["width"] * layout["options"]["height"]


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_drilldowns_lead_to_columns_and_dashboards_that_exist(name: str, index: World) -> None:
    for panel in DASHBOARDS[name]["visualizations"].values():
        for handler in panel.get("eventHandlers", ()):
            rows = index.run(query(name, panel["dataSources"]["primary"]), tokens(name))
            columns = {column for row in rows for column in row}
            named = re.findall(r"row\.(.+?)\.value", str(handler))
            assert named
            assert set(named) <= columns
            for row in rows:
                assert all(row.get(each) for each in named), "no link where nothing is behind it"
            target = handler["options"].get("dashboard")
            if target:
                assert target in DASHBOARDS
                assert {each["token"] for each in handler["options"]["tokens"]} <= set(tokens(target))


@pytest.mark.parametrize("sample", ["score.changed/regressed", "score.changed/improved", "alert_events"])
def test_the_waterfall_is_exact(sample: str, index: World, lookups: Path) -> None:
    """From the score before, by every step, to the score after."""
    if sample == "alert_events":
        events = alert_samples.events(NOW, severity_rules(), ["splunk"])
        event = next(each for each in events if each.type == "score.changed")
    else:
        event = samples.event(sample)
    where = world([event], lookups, NOW)
    where.rows[0].pop("simulated", None)
    rows = where.run(query("securescore_changes", "ds_waterfall"), tokens("securescore_changes"))
    first, *steps, last = rows
    assert first["Step"] == f"From {event.data['before']['current']:g}"
    assert last["Step"] == f"To {event.data['after']['current']:g}"
    assert len(steps) <= 14, "what is small is added up in one step"
    moved = sum(step["Gained"] - step["Lost"] for step in steps)
    assert moved == pytest.approx(event.data["delta"], abs=0.0001)
    assert moved == pytest.approx(last["Score"] - first["Score"], abs=0.0005)
    level = first["Score"]
    for step in steps:
        level += step["Gained"] - step["Lost"]
        assert step["base"] == pytest.approx(min(level, level - step["Gained"] + step["Lost"]), abs=0.001)
        assert step["base"] >= 0
    assert first["base"] == last["base"] == 0


def test_every_contribution_is_listed(index: World) -> None:
    event = samples.event("score.changed/improved")
    chosen = {**tokens("securescore_changes"), "tenant": "contoso", "transition": event.id}
    rows = index.run(query("securescore_changes", "ds_parts"), chosen)
    assert [row["Control"] for row in rows] == ["AdminMFAV2", "mip_labels"]
    assert sum(row["Points"] for row in rows) + event.data["residual"] == pytest.approx(event.data["delta"])
    assert rows[0]["Evidence"] == "compliant users 2/5 → 5/5"
    assert rows[0]["Class"] == "mfa_conditional_access"


def test_open_problems_close(index: World) -> None:
    rows = index.run(query("securescore_health", "ds_problems"), tokens("securescore_health"))
    told = {row["Problem"] for row in rows}
    assert "Suspicious day refused: 2026-11-27 lost 80 of 120 controls, maximum 700.0 → 240.0" in told
    assert not any("contoso cannot be read" in problem for problem in told), "that one recovered"
    (count,) = index.run(query("securescore_health", "ds_open"), tokens("securescore_health"))
    assert number(count["Open"]) == len(rows)


def test_the_newest_row_of_each_control_counts(lookups: Path) -> None:
    old = samples.event(
        "control.observed", {"id": "a", "data.day": "2026-11-20", "data.after": {"score": 1.0, "day": "x"}}
    )
    where = world([samples.event("control.observed"), old], lookups, NOW)
    (row,) = where.run(query("securescore_controls", "ds_inventory"), tokens("securescore_controls"))
    shown: dict[str, Any] = {key: row[key] for key in ("Control", "Points", "To win", "Counted", "_control")}
    told = {"Points": 6.0, "To win": 2.0, "Counted": "28 of 120", "_control": "scid_2010"}
    assert shown == {"Control": "Switch on the endpoint firewall", **told}
