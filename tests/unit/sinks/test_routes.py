"""Tenants with an index, token or rule of their own: the sink is told, and told of nobody else's."""

from pathlib import Path

from attrs import evolve

from connector.app import open_app
from connector.config.values import Config, SinkConfig, StateConfig, TenantConfig
from connector.deliver.prepare import build_sink
from sinks.splunk import HecSink

GUID = "11111111-1111-1111-1111-11111111111{}"


def test_a_sink_learns_the_routes_of_the_tenants_it_takes(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HEC", "shared")
    monkeypatch.setenv("HEC_CONTOSO", "only-contoso")
    config = SinkConfig(
        "hec", "splunk_hec", options={"url": "https://hec.example", "token": "${env:HEC}"}, tenants=("c*",)
    )
    contoso = TenantConfig("contoso", GUID.format(1), overrides={"index": "cust_c", "token": "${env:HEC_CONTOSO}"})
    fabrikam = evolve(contoso, name="fabrikam", tenant_id=GUID.format(2))
    plain = evolve(contoso, name="camp", tenant_id=GUID.format(3), overrides={})
    sink = build_sink(config, (contoso, fabrikam, plain))
    assert isinstance(sink, HecSink)
    routes = sink._collector.routes
    assert {name: (route.index, route.token) for name, route in routes.items()} == {
        "contoso": ("cust_c", "only-contoso")
    }
    assert "only-contoso" not in repr(sink)


async def test_a_delivery_loop_knows_who_has_a_place_of_its_own(tmp_path: Path) -> None:
    contoso = TenantConfig("contoso", GUID.format(1), overrides={"rule_id": "dcr-1", "language": "de-DE"})
    fabrikam = evolve(contoso, name="fabrikam", tenant_id=GUID.format(2), overrides={"index": "cust_f"})
    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o600)
    hec = {"url": "https://hec.example", "token": f"${{file:{tmp_path}/token}}"}
    config = Config(
        tenants=(contoso, fabrikam),
        sinks=(
            SinkConfig("archive", "file", options={"path": str(tmp_path / "events.jsonl")}),
            SinkConfig("hec", "splunk_hec", options=hec),
        ),
        state=StateConfig(path=str(tmp_path / "state.db")),
    )
    async with open_app(config) as app:
        assert app.deliveries["archive"].with_own_place == frozenset()
        assert app.deliveries["hec"].with_own_place == {fabrikam.tenant_id}
