"""What a composed connector calls itself, and what its parts know after a reload."""

import socket
from pathlib import Path

import pytest
from attrs import evolve

from connector.app import instance, open_app
from connector.config.parse import parse
from tests.config_example import KINDS, minimal
from tests.golden import samples


def test_a_host_is_called_by_its_name_and_a_function_app_by_the_app_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "3f0d25f1_container")
    monkeypatch.delenv("WEBSITE_SITE_NAME", raising=False)
    assert instance() == "3f0d25f1-container"
    monkeypatch.setenv("WEBSITE_SITE_NAME", "securescore-fn")
    assert instance("/2") == "securescore-fn-2"


async def test_after_a_reload_the_sinks_know_the_tenants_as_they_are_configured_now(tmp_path: Path) -> None:
    """A label that was changed while the daemon ran says where events go from then on, and so does a new name."""
    event = samples.event("score.observed")
    tenant = {"name": "contoso", "tenant_id": event.tenant_id, "source": "files", "path": "in"}
    raw = minimal(
        state={"path": "s.db"},
        tenants=[{**tenant, "labels": {"customer": "old"}}],
        sinks=[
            {"name": name, "kind": "file", "path": f"{name}.jsonl", "tenants": [f"customer={name}"]}
            for name in ("old", "new")
        ],
        health={"listen": "off"},
    )
    config = parse(raw, sink_options=KINDS.get, base_dir=str(tmp_path))
    async with open_app(config) as app:

        def takers() -> list[str]:
            return [name for name, delivery in app.deliveries.items() if delivery.wants.wants(event)]

        assert takers() == ["old"]
        app.counters.polled("contoso", "ok", "", "2026-11-22", 3, app.clock.now())
        app.replace_tenants([evolve(config.tenants[0], name="acme", labels={"customer": "new"})])
        assert takers() == ["new"]
        assert app.counters.states()["pending"] == 0, "what was seen of it was seen"
        assert list(app.counters.tenants) == ["acme"]
