"""The guides are true of the code: what they name exists, and what exists and matters is named."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "connector"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
WINGS = {p.name for p in ENGINE.iterdir() if p.is_dir() and p.name != "__pycache__"}
GUIDES = ("docs/architecture.md", "CONTRIBUTING.md")


def test_the_picture_shows_every_wing() -> None:
    picture = ARCHITECTURE.split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"\b([a-z]+)\b", re.sub(r'\["[^"]*"\]', "", picture)))
    assert drawn - {"flowchart"} == WINGS | {"app", "ports", "model"}


def test_the_picture_shows_no_arrow_that_the_import_rules_forbid() -> None:
    rules = (ROOT / "pyproject.toml").read_text("utf-8").split("layers = [")[1].split("]\n")[0]
    rank = {name: n for n, line in enumerate(rules.splitlines()) for name in re.findall(r"[a-z]+", line.split("#")[0])}
    assert len(arrows()) > 20
    assert [(a, b) for a, b in arrows() if rank[a] > rank[b]] == []


def test_the_picture_shows_the_imports_there_are() -> None:
    drawn = arrows()
    reached = set(drawn)
    while more := {(a, d) for a, b in reached for c, d in drawn if b == c} - reached:
        reached |= more
    wings = {name for arrow in drawn for name in arrow}
    there = {(a, b) for a, b in imports() if a != b and {a, b} <= wings}
    assert there - reached == set(), "draw these arrows in docs/architecture.md"
    assert drawn - there == set(), "nothing imports along these arrows of docs/architecture.md"


def arrows() -> set[tuple[str, str]]:
    picture = ARCHITECTURE.split("```mermaid")[1].split("```")[0]
    return set(re.findall(r"^\s+(\w+)(?:\[.*?\])? --> (\w+)", picture, re.MULTILINE))


def imports() -> set[tuple[str, str]]:
    """Which wing, or module at the root of the engine, imports which."""
    found = set()
    for path in ENGINE.rglob("*.py"):
        importer = path.relative_to(ENGINE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                found |= {(importer, name.split(".")[1]) for name in names if name.startswith("connector.")}
    return found


@pytest.mark.parametrize("wing", sorted(WINGS))
def test_a_wing_says_what_lives_in_it_and_what_may_not(wing: str) -> None:
    text = (ENGINE / wing / "__init__.py").read_text("utf-8")
    assert len(text.split()) > 15
    missing = [name for name in re.findall(r"\b([a-z_0-9]+\.py)\b", text) if not (ENGINE / wing / name).exists()]
    assert missing == []


def test_every_file_that_an_opening_docstring_names_exists() -> None:
    """Files that moved or were renamed are not spoken of under their old names."""
    tops = (ENGINE, ROOT / "sinks", ROOT / "packaging", ROOT / "tests")
    there = [f"/{path.relative_to(ROOT).as_posix()}" for top in tops for path in top.rglob("*.py")]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in (*ENGINE.rglob("*.py"), *(ROOT / "sinks").glob("*.py"))
        for name in re.findall(r"(?<![\w./])((?:\w+/)*\w+\.py)\b", opening(path))
    }
    assert len(named) > 100
    assert [(path, name) for path, name in named if not any(each.endswith(f"/{name}") for each in there)] == []


def opening(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_bytes())) or ""


@pytest.mark.parametrize("guide", GUIDES)
def test_every_file_that_a_guide_names_exists(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    if "| was `connector/…` |" in text:
        text = re.sub(r"^\| `\w+\.py` \|", "|", text, flags=re.MULTILINE)  # the old names
    named = re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|yaml|md|toml|json|css|csv))`", text)
    assert len(named) > 10
    homes = (ROOT, ENGINE, ROOT / "tests")
    assert [name for name in named if not any((home / name).exists() for home in homes)] == []
    folders = re.findall(r"`((?:[\w.-]+/)+)`", text)
    assert [name for name in folders if not any((home / name).is_dir() for home in homes)] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_every_test_that_a_guide_names_exists(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    for name in re.findall(r"`((?:[a-z]+/)*(?:test_\w+|\w+_contract))`", text):
        homes = (ROOT / "tests", ENGINE / "testing")
        assert any(list(home.rglob(f"{name}.py")) for home in homes), name


def test_a_dozen_modules_at_most_stand_at_the_root_of_the_engine() -> None:
    """Everything else has a wing."""
    assert len([p for p in ENGINE.glob("*.py") if p.name != "__init__.py"]) <= 12
