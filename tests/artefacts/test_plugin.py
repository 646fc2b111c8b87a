"""A package that brings a sink: built, installed beside the product, judged by the shipped suite, delivering."""

import asyncio
import json
import shutil
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.artefacts.scratch import build, environment, run
from tests.fake_graph import TENANT, history, profile_document

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date().isoformat()
PLUGIN = Path(__file__).parent / "ndjson_plugin"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist, project = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("plugin") / "acme"
    shutil.copytree(PLUGIN, project)
    return environment(tmp_path_factory.mktemp("install") / "venv", build(ROOT, dist), build(project, dist))


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[tuple[str, list[str]]]:
    """The address of a collector, and what it got."""
    lines: list[str] = []

    async def take(request: web.Request) -> web.Response:
        lines.extend((await request.text()).splitlines())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/bulk", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/bulk")), lines


def configuration(folder: Path, url: str) -> None:
    saved = folder / "in"
    saved.mkdir()
    (saved / "secureScores.json").write_text(json.dumps({"value": history(TODAY, 3)}))
    (saved / "secureScoreControlProfiles.json").write_text(json.dumps({"value": [profile_document("AdminMFAV2")]}))
    raw = {
        "state": {"path": "s.db"},
        "tenants": [{"name": "contoso", "tenant_id": TENANT, "source": "files", "path": "in"}],
        "sinks": [{"name": "bulk", "kind": "ndjson", "url": url, "start": "backfill"}],
        "health": {"listen": "off"},
    }
    (folder / "c.yaml").write_text(json.dumps(raw))


def test_the_package_is_small_and_passes_the_shipped_suite(home: Path, tmp_path: Path) -> None:
    assert len((PLUGIN / "acme_ndjson.py").read_text().splitlines()) <= 60
    shutil.copy(PLUGIN / "suite.py", tmp_path)
    done = run(home, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "suite.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed, 1 skipped" in done.stdout


async def test_check_lists_it_and_once_delivers_with_it(
    home: Path, tmp_path: Path, collector: tuple[str, list[str]]
) -> None:
    url, lines = collector
    configuration(tmp_path, url)
    done = await asyncio.to_thread(run, home, "securescore", "check", "-c", "c.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(f["what"], f["subject"]): f for f in json.loads(done.stdout)}
    version = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["version"]
    assert found["plug-in", "sink ndjson"]["detail"] == f"acme-ndjson {version}, used by sink bulk"
    assert found["sink", "bulk"]["ok"] is True
    done = await asyncio.to_thread(run, home, "securescore", "once", "-c", "c.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    types = {json.loads(line)["type"] for line in lines}
    assert "securescore.score.observed" in types


async def test_init_offers_it(home: Path, tmp_path: Path) -> None:
    done = run(home, "securescore", "init", "--sink", "ndjson", "--out", "c.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'url: "https://collector.example/bulk"   # <-- fill in' in (tmp_path / "c.yaml").read_text()
