"""The real `securescore run` under a fake service manager: its words, its signals, its endpoints, its log."""

import asyncio
import json
import re
import signal
import socket
from pathlib import Path

from tests.fakes.service import CANARY, daemon


async def test_the_service_manager_hears_every_word_and_reloads_take_or_refuse_the_new_configuration(
    tmp_path: Path,
) -> None:
    async with daemon(tmp_path, tenants=3) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        await run.until(lambda: run.manager.count("WATCHDOG=1") >= 3, "WATCHDOG")
        await run.until(lambda: len(run.entries("poll.done")) >= 3, "polls")
        assert run.manager.words[0].startswith("READY=1\nSTATUS=")

        assert await run.get("/healthz") == (200, '{"status": "ok", "stalled": []}\n')
        status, text = await run.get("/readyz")
        assert (status, json.loads(text)) == (200, {"ready": True, "reasons": [], "warnings": []})
        _, text = await run.get("/metrics")
        assert re.search(r'^securescore_tenants\{state="ok"\} 3.0$|state="stale"\} 3.0$', text, re.MULTILINE)
        assert re.search(
            r'^securescore_sink_delivered_events_total\{sink="out",stream="score"\} [1-9]', text, re.MULTILINE
        )
        assert 'securescore_http_responses_total{status="200"}' in text
        assert (await run.get("/"))[0] == 404

        # A configuration with a mistake is refused; the old one goes on, and the log, /readyz and an event say so.
        run.rewrite("concurrency: 2", "concurrenzy: 2")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 2, "READY after a refusal")
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", next(w for w in run.manager.words if "RELOAD" in w))
        await run.until(lambda: len(run.entries("reload.refused")) == 1, "the log line")
        (refused,) = run.entries("reload.refused")
        assert "concurrenzy" in refused["problems"][0]
        assert "concurrenzy" in json.loads((await run.get("/readyz"))[1])["warnings"][0]
        told = {("connector.problem", "configuration")}
        await run.until(lambda: told <= {(e.type, e.data.get("reason")) for e in run.events()}, "the problem")

        # Corrected, and with one tenant less: only the tenants are replaced, and the problem is over.
        run.rewrite("concurrenzy: 2", "concurrency: 2")
        text = (tmp_path / "securescore.yaml").read_text()
        (tmp_path / "securescore.yaml").write_text(re.sub(r"tenants: \[\{[^}]*\{[^}]*\}\}, ", "tenants: [", text))
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 3, "READY after new tenants")
        await run.until(lambda: [e["tenants"] for e in run.entries("reload.tenants")] == [2], "the log line")
        told = {("connector.recovered", "configuration")}
        await run.until(lambda: told <= {(e.type, e.data.get("reason")) for e in run.events()}, "the recovery")

        # Another interval: everything is built anew in the same process.
        run.rewrite("interval: 1s", "interval: 2s")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 4, "READY after a rebuild")
        await run.until(lambda: len(run.entries("run.started")) == 2, "the log line")
        _, text = await run.get("/metrics")
        for outcome in ("refused", "tenants", "rebuilt"):
            assert f'securescore_config_reloads_total{{outcome="{outcome}"}} 1.0' in text

        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
        assert run.manager.count("STOPPING=1") == 1
        assert run.manager.count("RELOADING=1") == 3
        (new,) = [e for e in run.events() if e.data.get("reason") == "state_new"]
        assert new.source.startswith("urn:secure-score:connector:")


async def test_no_secret_is_anywhere_but_where_the_operator_put_it(tmp_path: Path) -> None:
    """Tokens of all tenants, at level debug with every fault told, searched for in all that the daemon wrote."""
    async with daemon(tmp_path) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        run.rewrite("mode: batch", 'mode: batch\n                authorization: "${env:CANARY}"')
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: len(run.entries("run.started")) == 2, "the rebuild")
        (tmp_path / "securescore.yaml").write_text(f"password: {CANARY}\n")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: len(run.entries("reload.refused")) == 1, "the refusal")
        await run.until(lambda: len(run.entries("poll.done")) >= 4, "polls")
        said = [(await run.get(path))[1] for path in ("/healthz", "/readyz", "/metrics")]
        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
    said += [*run.log, *run.manager.words]
    secrets = [CANARY, *(p.read_text() for p in tmp_path.glob("*.token"))]
    assert len(secrets) == 3
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in (".token", ".yaml")]
    assert {"state.db", "events.jsonl"} <= {p.name for p in kept}
    for secret in secrets:
        assert not [words for words in said if secret in words]
        assert not [p for p in kept if secret.encode() in p.read_bytes()]


async def test_a_port_that_is_taken_is_weather_told_and_had_as_soon_as_it_is_free(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with daemon(tmp_path, port=taken.getsockname()[1]) as run:
            await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
            await run.until(lambda: len(run.entries("poll.done")) >= 2, "polls")
            (refused,) = run.entries("health.not_listening")[:1]
            assert "Address already in use" in refused["error"]
            told = {("connector.problem", "health_port")}
            await run.until(lambda: told <= {(e.type, e.data.get("reason")) for e in run.events()}, "the problem")
            taken.close()
            await run.until(lambda: len(run.entries("health.listening")) == 1, "the port")
            assert (await run.get("/healthz"))[0] == 200
            run.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.process.wait(), 30) == 0
