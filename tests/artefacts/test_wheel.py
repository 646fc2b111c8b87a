"""The built wheel is the whole product: installed in an empty folder it needs nothing from the checkout."""

import zipfile
from pathlib import Path

import pytest

from tests.artefacts.scratch import build, environment, run

ROOT = Path(__file__).parents[2]
PACKAGES = ("connector", "sinks", "mappings")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("install") / "venv", wheel)


def test_the_wheel_holds_every_file_of_the_three_packages_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    outside = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == outside
    assert {"mappings/cloudevents.yaml", "mappings/cef.yaml", "mappings/leef.yaml", "connector/py.typed"} <= inside


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_the_wheel_carries_the_licence_and_the_attribution(wheel: Path, name: str) -> None:
    assert any(inside.endswith(f".dist-info/licenses/{name}") for inside in zipfile.ZipFile(wheel).namelist())


def test_the_same_sources_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert build(ROOT, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_three_packages_come_from_the_installation(home: Path, tmp_path: Path) -> None:
    code = "import connector, sinks, mappings\nfor one in (connector, sinks, mappings): print(one.__file__)"
    done = run(home, "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [Path(line).is_relative_to(home) for line in done.stdout.split()] == [True] * 3


def test_the_command_answers_in_an_empty_folder(home: Path, tmp_path: Path) -> None:
    done = run(home, "securescore", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_works_in_an_empty_folder(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(home, "securescore", "demo", "--days", "10", "--seed", "1", "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (out / "events.jsonl").stat().st_size > 0
    assert (out / "events.cef").stat().st_size > 0
    assert (out / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
