"""What the command line says of itself: completion in real shells, the manual page, the pages in docs/."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from connector.cli import completion, describe, main, manual
from connector.cli.examples import EXAMPLES
from connector.config import reference, schema, yaml_file
from connector.config.reference import Key
from connector.registry import SINKS, sink_options
from tests.needs import program

ROOT = Path(__file__).parents[3]
REWRITE = "SECURESCORE_REWRITE=1 python -m pytest tests/unit/cli/test_reference.py"
KNOWN = describe.commands()
KINDS = {kind: table for kind in SINKS if (table := sink_options(kind)) is not None}
KEYS = reference.keys(KINDS)


@pytest.mark.parametrize(
    ("name", "text"), [("commands.md", manual.markdown(KNOWN)), ("configuration.md", reference.page(KEYS))]
)
def test_the_pages_in_docs_are_current(name: str, text: str) -> None:
    file = ROOT / "docs" / name
    if os.environ.get("SECURESCORE_REWRITE") == "1":
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, f"write it again: {REWRITE}"


def test_every_command_has_examples_that_parse() -> None:
    assert EXAMPLES.keys() == main.COMMANDS.keys()
    for name, lines in EXAMPLES.items():
        for line in lines:
            words = shlex.split(line.replace("source <(", "").replace(")", "").split("|")[0])
            assert words[0] == "securescore"
            _, rest = main._config_option(words[1:])  # the one reader of -c
            assert main.parser([name]).parse_args(rest).command == name


@pytest.mark.parametrize("words", [[], ["help"], ["help", "events"]])
def test_who_asks_for_help_gets_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main.main(words)
    out = capsys.readouterr()
    assert "usage: securescore" in (out.out or out.err)
    assert code == (2 if not words else 0)
    assert ("securescore events --since" in out.out) == ("events" in words)


# ------------------------------------------------------------------------------------------------------ completion

BASH = """
source /dev/stdin <<'SCRIPT'
{script}
SCRIPT
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); _securescore; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def _bash(*words: str) -> list[str]:
    script = completion.bash(KNOWN)
    text = BASH.format(script=script, words=" ".join(shlex.quote(word) for word in words), count=len(words))
    done = subprocess.run(
        [program("bash", "apt-get install bash"), "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["securescore", "ex"], ["explain"]),
        (["securescore", "-c", "x.yaml", "par"], ["parked"]),
        (["securescore", "parked", "re"], ["retry"]),
        (["securescore", "controls", "--dr"], ["--dry-run"]),
        (["securescore", "init", "--cloud", "us"], ["usgov"]),
        (["securescore", "completion", "f"], ["fish"]),
    ],
)
def test_bash_completes(words: list[str], found: list[str]) -> None:
    assert sorted(_bash(*words)) == found


def test_bash_completes_files_where_a_file_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert _bash("securescore", "-c", "ow") == ["own.yaml"]
    assert _bash("securescore", "report", "--out", "o") == ["own.yaml"]


@pytest.mark.parametrize(
    ("line", "found"),
    [("ex", ["explain"]), ("parked re", ["retry"]), ("controls --dr", ["--dry-run"]), ("completion z", ["zsh"])],
)
def test_fish_completes(line: str, found: list[str]) -> None:
    text = f"{completion.fish(KNOWN)}\ncomplete -C 'securescore {line}'\n"
    done = subprocess.run(
        [program("fish", "apt-get install fish"), "--private"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert [row.split("\t")[0] for row in done.stdout.splitlines()] == found


def test_zsh_takes_the_script_and_knows_the_function(tmp_path: Path) -> None:
    (tmp_path / "_securescore").write_text(completion.zsh(KNOWN), encoding="utf-8")
    text = 'fpath=("$1" $fpath); autoload -Uz compinit; compinit -u -d "$1/dump"; autoload +X -Uz _securescore; '
    text += "print $_comps[securescore]; functions -x 2 _securescore | head -1"
    zsh = program("zsh", "apt-get install zsh")
    done = subprocess.run(
        [zsh, "-fc", text, "x", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "_securescore"
    subprocess.run([zsh, "-n", str(tmp_path / "_securescore")], check=True, timeout=60)


# ---------------------------------------------------------------------------------------------------------- manual


def test_the_manual_page_is_roff_without_a_warning(tmp_path: Path) -> None:
    page = tmp_path / "securescore.1"
    page.write_text(manual.page(KNOWN, "1.2.3", "2026-11-22"), encoding="utf-8")
    groff = [program("groff", "apt-get install groff"), "-man", "-Tutf8", "-ww", "-K", "utf8", str(page)]
    done = subprocess.run(groff, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    for command in KNOWN:
        assert f"securescore {command.name}" in done.stdout.replace("\x1b[1m", "").replace("\x1b[0m", "")


# --------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("key", [key for key in KEYS if key.path != "tenants.options"], ids=lambda key: key.path)
def test_the_example_of_every_key_is_what_the_schema_takes(key: Key) -> None:
    inside = key.path.startswith(reference.BASELINE)
    whole = schema.baseline_schema() if inside else schema.schema(KINDS)
    made = yaml_file.read_yaml(key.example, "example").value
    faults = [
        error
        for error in Draft202012Validator(whole).iter_errors(made)
        if error.validator not in ("required", "if") and not _only_incomplete(error)
    ]
    assert [error.message for error in faults] == []


def _only_incomplete(error: ValidationError) -> bool:
    """An example shows one key: what else its entry needs is missing."""
    return bool(error.context) and all(each.validator == "required" or _only_incomplete(each) for each in error.context)


@pytest.mark.parametrize(
    ("word", "paths"),
    [
        ("state.path", ["state.path"]),
        ("Sinks.Syslog.PORT", ["sinks.syslog.port"]),
        ("framing", ["sinks.syslog.framing"]),
        ("declared.control", ["baseline.standards.declared.control"]),
        (
            "not_declared",
            [f"baseline.standards.not_declared.{name}" for name in ("controls", "states", "comment")],
        ),
        ("baseline", ["baseline"]),
        ("nothing", []),
    ],
)
def test_a_key_is_found_by_its_path_or_the_end_of_it(word: str, paths: list[str]) -> None:
    assert [key.path for key in reference.named(word, KEYS)] == paths


def test_config_explain_says_what_a_key_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "explain", "state.max_bytes"]) == 0
    out = capsys.readouterr().out
    assert "at least 16MiB" in out
    assert "default  4GiB" in out
    assert "state:\n             max_bytes: 64MiB" in out


def test_a_misspelt_key_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "explain", "framming"]) == 2
    assert "did you mean sinks.syslog.framing?" in capsys.readouterr().err


def test_config_schema_prints_the_shipped_schema(capsys: pytest.CaptureFixture[str]) -> None:
    for words, name in (([], "config.schema.json"), (["baseline"], "baseline.schema.json")):
        assert main.main(["config", "schema", *words]) == 0
        assert capsys.readouterr().out == (ROOT / "connector/config" / name).read_text(encoding="utf-8")
    assert main.main(["config", "schema", "sinks"]) == 2
    assert "there is no schema 'sinks'" in capsys.readouterr().err
