"""Which configuration a command works on: the one that was named, in whatever form, or none at all."""

import re
from pathlib import Path

import pytest

from connector.cli.main import main

HERE = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One configuration that would be found without a name, and another; each has a state of its own."""
    home = tmp_path_factory.mktemp("home")
    for file, name, guid in (("securescore.yaml", "here", HERE), ("other.yaml", "other", OTHER)):
        (home / f"in-{name}").mkdir()
        tenant = f"{{name: {name}, tenant_id: {guid}, source: files, path: in-{name}}}"
        sink = f"{{name: out, kind: file, path: {name}.jsonl}}"
        (home / file).write_text(f"state: {{path: {name}.db}}\ntenants: [{tenant}]\nsinks: [{sink}]\n")
        main(["once", "-c", str(home / file)])  # finds nothing to read; the state is there
    return home


@pytest.fixture(autouse=True)
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    capsys.readouterr()


def tenants(capsys: pytest.CaptureFixture[str]) -> set[str]:
    out = capsys.readouterr().out
    return {name for name in ("here", "other") if re.search(rf"^\s*{name}\b", out, re.MULTILINE)}


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "other.yaml", "tenants", "list"],
        ["-cother.yaml", "tenants", "list"],
        ["-c=other.yaml", "tenants", "list"],
        ["tenants", "-cother.yaml", "list"],
        ["tenants", "list", "-cother.yaml"],
        ["--config", "other.yaml", "tenants", "list"],
        ["tenants", "list", "--config=other.yaml"],
        ["-cother.yaml", "tenants", "list", "--config=other.yaml"],
    ],
)
def test_every_form_of_the_option_names_the_file(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert tenants(capsys) == {"other"}


@pytest.mark.parametrize(
    "words",
    [
        ["--conf=other.yaml", "tenants", "list"],
        ["--conf", "other.yaml", "tenants", "list"],
        ["tenants", "list", "--con=other.yaml"],
        ["-c", "", "tenants", "list"],
        ["-c=", "tenants", "list"],
        ["--config=", "tenants", "list"],
        ["--config", "", "tenants", "list"],
        ["-cother.yaml", "tenants", "list", "-c", "securescore.yaml"],
    ],
)
def test_anything_else_is_refused_and_no_other_configuration_is_taken(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert tenants(capsys) == set()


def test_an_empty_name_in_the_environment_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECURESCORE_CONFIG", "")
    assert main(["tenants", "list"]) == 2
    assert "SECURESCORE_CONFIG names no file" in capsys.readouterr().err
    assert main(["tenants", "list", "-c", "other.yaml"]) == 0


def test_nothing_is_deleted_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-c", ""], ["--conf=other.yaml"], ["-cother.yaml"]):
        assert main([*words, "tenants", "forget", "here"]) == 2
    capsys.readouterr()
    assert main(["tenants", "list"]) == 0
    assert tenants(capsys) == {"here"}


@pytest.mark.parametrize("words", [["events", "--sinc", "2026-01-01"], ["events", "--lim=3"]])
def test_half_an_option_is_no_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "unrecognized" in capsys.readouterr().err


def test_an_event_without_a_name_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--id", ""]) == 1
    assert "no event has the id" in capsys.readouterr().err
