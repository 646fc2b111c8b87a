"""What the daemon tells Prometheus, in a real one: scraped, its alert rules judged, the dashboard's queries run."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_asyncio
import yaml
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer, unused_port
from attrs import evolve
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from connector.app import open_app
from connector.config.values import ArmConfig, EndpointConfig, HealthConfig
from connector.health import endpoints
from tests.needs import program
from tests.simulation.test_pipeline import advance, simulated

HOST = Path(__file__).parents[2] / "packaging/host"
BOARD = json.loads((HOST / "grafana-dashboard.json").read_text("utf-8"))
RULES = HOST / "prometheus-alerts.yaml"
HINT = "apt-get install prometheus"


def queries() -> Iterator[tuple[str, str]]:
    """(panel, query) of the dashboard, its variables filled as Grafana fills them for "All"."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$tenant", ".*")


def test_promtool_takes_the_alert_rules() -> None:
    done = subprocess.run(
        [program("promtool", HINT), "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def words(alert: str, value: str, **labels: str) -> dict[str, str]:
    """The annotations of an alert, its blanks filled as Prometheus fills them."""
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    rule = next(r for group in rules["groups"] for r in group["rules"] if r["alert"] == alert)
    found = {}
    for key, text in rule["annotations"].items():
        found[key] = text.replace("{{ $value | humanize }}", value)
        for label, filled in labels.items():
            found[key] = found[key].replace(f"{{{{ $labels.{label} }}}}", filled)
    return found


def played(tmp_path: Path, series: list[dict[str, str]], alert: str, *fires: dict[str, Any]) -> None:
    """As promtool plays the series: the alert fires so after 26 hours, and did not after 23."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": "26h", "alertname": alert, "exp_alerts": [*fires]},
                    {"eval_time": "23h", "alertname": alert, "exp_alerts": []},
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [program("promtool", HINT), "test", "rules", str(tmp_path / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fall_of_the_score_fires_and_jitter_does_not(tmp_path: Path) -> None:
    """Three points in a day, and a tenant that swings by one."""
    series = [
        {"series": 'securescore_score_percent{tenant="fell"}', "values": "60x1440 56x1440"},
        {"series": 'securescore_score_percent{tenant="swings"}', "values": "60x1440 59x1440"},
    ]
    labels = {"severity": "warning", "tenant": "fell"}
    fires = {"exp_labels": labels, "exp_annotations": words("SecureScoreFell", "4", tenant="fell")}
    played(tmp_path, series, "SecureScoreFell", fires)


def test_a_subscription_that_fell_fires_by_itself_whatever_it_is_called(tmp_path: Path) -> None:
    """A small one may lose more at once; a new name in the middle of it is no reason to stay silent."""
    name = 'securescore_unit_score_percent{tenant="t",unit_kind="subscription",unit_id="%s",unit="%s"}'
    series = [
        {"series": name % ("fell", "before"), "values": "60x1440 _x1440"},
        {"series": name % ("fell", "after"), "values": "_x1440 _ 45x1440"},
        {"series": name % ("swings", "s"), "values": "60x1440 52x1440"},
    ]
    labels = {"tenant": "t", "unit_kind": "subscription", "unit_id": "fell"}
    told = words("SecureScoreUnitFell", "15", **labels)
    fires = {"exp_labels": {"severity": "warning", **labels}, "exp_annotations": told}
    played(tmp_path, series, "SecureScoreUnitFell", fires)


def test_the_score_over_all_is_told_with_the_subscriptions_that_it_fell_with(tmp_path: Path) -> None:
    """As long as each that fell has an alert of its own."""
    name = 'securescore_unit_score_percent{tenant="%s",unit_kind="subscription",unit_id="%s",unit="%s"}'
    series = [
        {"series": 'securescore_score_percent{tenant="one"}', "values": "60x1440 54x1440"},
        {"series": name % ("one", "fell", "fell"), "values": "80x1440 60x1440"},
        {"series": name % ("one", "swings", "swings"), "values": "70x1440 69.5x1440"},
    ]
    played(tmp_path, series, "SecureScoreFell")
    series += [{**each, "series": each["series"].replace('"one"', '"many"')} for each in series]
    series.append({"series": name % ("many", "too", "too"), "values": "70x1440 65x1440"})
    told = words("SecureScoreFell", "6", tenant="many")
    fires = {"exp_labels": {"severity": "warning", "tenant": "many"}, "exp_annotations": told}
    played(tmp_path, series, "SecureScoreFell", fires)


def test_an_exposure_that_rose_fires(tmp_path: Path) -> None:
    name = 'securescore_unit_exposure_score{tenant="%s",unit_kind="device_group",unit_id="7",unit="seven"}'
    series = [
        {"series": 'securescore_exposure_score{tenant="rose"}', "values": "30x1440 36x1440"},
        {"series": 'securescore_exposure_score{tenant="fell"}', "values": "30x1440 20x1440"},
        {"series": name % "rose", "values": "30x1440 50x1440"},
        {"series": name % "fell", "values": "30x1440 10x1440"},
    ]
    told = words("SecureScoreExposureRose", "6", tenant="rose")
    fires = {"exp_labels": {"severity": "warning", "tenant": "rose"}, "exp_annotations": told}
    played(tmp_path, series, "SecureScoreExposureRose", fires)
    labels = {"tenant": "rose", "unit_kind": "device_group", "unit_id": "7"}
    told = words("SecureScoreUnitExposureRose", "20", **labels)
    fires = {"exp_labels": {"severity": "warning", **labels}, "exp_annotations": told}
    played(tmp_path, series, "SecureScoreUnitExposureRose", fires)


def test_a_subscription_that_is_gone_fires_and_one_more_does_not(tmp_path: Path) -> None:
    series = [
        {"series": 'securescore_units{tenant="lost"}', "values": "12x1440 10x1440"},
        {"series": 'securescore_units{tenant="grew"}', "values": "12x1440 13x1440"},
    ]
    told = words("SecureScoreUnitGone", "2", tenant="lost")
    fires = {"exp_labels": {"severity": "warning", "tenant": "lost"}, "exp_annotations": told}
    played(tmp_path, series, "SecureScoreUnitGone", fires)


@pytest_asyncio.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[str]:
    """A real Prometheus that scrapes a daemon whose tenants have just been polled; yields its address."""
    binary = program("prometheus", HINT)
    async with simulated(tmp_path, tenants=2, now=datetime(2026, 9, 8, 8, tzinfo=UTC)) as (sim, polled):
        (graph, *_) = polled.tenants
        azure = evolve(graph, name="azure", source="defender_cloud", arm=ArmConfig("global", sim.base_url))
        devices = evolve(
            graph, name="devices", source="defender_endpoint", defender_endpoint=EndpointConfig(sim.base_url)
        )
        health = HealthConfig("127.0.0.1:0", control_gauges=True)
        config = evolve(polled, tenants=(*polled.tenants, azure, devices), health=health)
        async with open_app(config, clock=sim.clock) as app:
            stop = asyncio.Event()
            running = asyncio.ensure_future(app.run(stop))
            for _ in range(200):
                await advance(sim, 30)
                await asyncio.sleep(0.01)
                if len(app.counters.scores) == 4:
                    break

            async def gather() -> tuple[Any, Any]:
                return app.counters, await app.facts()

            async with TestServer(endpoints.application(gather, "1.2.3")) as server:
                port = unused_port()
                scrape = {
                    "job_name": "securescore",
                    "scrape_interval": "1s",
                    "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}],
                }
                settings = {
                    "scrape_configs": [scrape],
                    "rule_files": [str(RULES)],
                    "global": {"evaluation_interval": "1s"},
                }
                (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
                process = await asyncio.create_subprocess_exec(
                    binary,
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/tsdb",
                    f"--web.listen-address=127.0.0.1:{port}",
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                try:
                    yield f"http://127.0.0.1:{port}"
                finally:
                    process.terminate()
                    await process.wait()
            stop.set()
            await advance(sim, 60)
            await asyncio.wait_for(running, 30)


async def ask(http: ClientSession, url: str, query: str) -> list[Any]:
    async with http.get(f"{url}/api/v1/query", params={"query": query}) as response:
        said = await response.json()
        assert said["status"] == "success", (query, said)
        return list(said["data"]["result"])


async def test_every_query_of_the_dashboard_has_an_answer_in_a_real_prometheus(prometheus: str) -> None:
    async with ClientSession() as http:
        for _ in range(100):
            try:
                if len(await ask(http, prometheus, "count(securescore_score_percent) >= 3")) == 1:
                    break
            except OSError:
                pass
            await asyncio.sleep(0.2)
        await asyncio.sleep(2.5)  # a second scrape, for what grows
        for title, query in queries():
            without_past = query.replace(" offset 7d", "")  # this Prometheus has lived for seconds
            assert await ask(http, prometheus, without_past), f"{title}: {query}"
        controls = await ask(http, prometheus, "count by (tenant) (securescore_control_score_points)")
        assert len(controls) == 3
        of_units = await ask(http, prometheus, "securescore_unit_score_percent or securescore_unit_exposure_score")
        kinds = {(each["metric"]["tenant"], each["metric"]["unit_kind"]) for each in of_units}
        assert kinds == {("azure", "subscription"), ("devices", "device_group")}
        assert all(each["metric"]["unit_id"] for each in of_units)
        shown = "count by (tenant) (securescore_unit_score_percent or securescore_unit_exposure_score)"
        known = f"securescore_units == on (tenant) {shown}"
        assert len(await ask(http, prometheus, known)) == 2, "as many are shown as there are"
        async with http.get(f"{prometheus}/api/v1/rules") as response:
            groups = (await response.json())["data"]["groups"]
        assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
        assert len(groups) == 2


# -------------------------------------------------------------------------------------------------------- the dashboard


def test_grafanas_own_models_read_the_dashboard_whole() -> None:
    register_default_plugins()
    board = Dashboard.from_json(BOARD)
    assert board.panels is not None
    assert len(board.panels) == len(BOARD["panels"])


def test_panels_do_not_overlap_and_nothing_names_a_data_source_of_one_machine() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${datasource}"}
    assert BOARD.get("id") is None
