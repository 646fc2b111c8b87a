"""Every pluggable end that ships has its line in the registry, row in docs/sinks.md and contract test.

Nothing is run here: what a forgotten step would leave unsaid is looked for in the files.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.config import keys
from connector.registry import SINKS

ROOT = Path(__file__).parents[2]
SINKS_PAGE = (ROOT / "docs" / "sinks.md").read_text("utf-8")


def modules(folder: str, holds: Callable[[str], object]) -> list[str]:
    """The modules of a folder of which that is true."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if holds(path.read_text("utf-8")))


def test_every_module_with_options_of_a_sink_is_registered() -> None:
    configurable = modules("sinks", lambda text: re.search(r"^OPTIONS\b", text, re.MULTILINE))
    registered = sorted(module.removeprefix("sinks.") for module in SINKS.values())
    assert configurable == registered, "give the sink its line in connector/registry.py"


@pytest.mark.parametrize("kind", SINKS)
def test_every_kind_of_sink_is_in_the_table_of_sinks(kind: str) -> None:
    assert f"\n| `{kind}` |" in SINKS_PAGE, "give the sink its row in docs/sinks.md"


@pytest.mark.parametrize("sink", modules("sinks", lambda text: "async def send(" in text))
def test_every_sink_is_held_to_the_contract_of_sinks(sink: str) -> None:
    assert "(SinkContract)" in text_of(f"tests/contract/test_sink_{sink}.py")


@pytest.mark.parametrize("source", modules("connector/sources", lambda text: "async def read(self, known" in text))
def test_every_source_is_held_to_the_contract_of_sources(source: str) -> None:
    own_tests = text_of(f"tests/unit/sources/test_{source}.py")
    assert "check_source(" in own_tests or "check_source_of_units(" in own_tests


@pytest.mark.parametrize("source", keys.TENANT["source"].choices)
def test_every_source_that_ships_is_judged_and_opened(source: str) -> None:
    judged = text_of("connector/config/parse.py") + text_of("connector/config/keys.py")
    assert f'source == "{source}"' in judged or f': "{source}",' in judged, "say which keys a tenant of it has"
    assert f'tenant.source == "{source}"' in text_of("connector/app.py"), "open it in open_source"


@pytest.mark.parametrize("store", modules("connector/stores", lambda text: "def open_store(" in text))
def test_every_store_is_held_to_the_contract_of_stores(store: str) -> None:
    text = text_of(f"tests/contract/test_store_{store}.py")
    assert "(StoreContract)" in text
    if "async def create(" in text_of(f"connector/stores/{store}.py"):
        assert "(DocumentsContract)" in text


def test_every_home_of_the_state_that_can_be_named_is_opened() -> None:
    others = {"mode", "keep_days", "max_bytes"}
    homes = {key.split(".")[1] for key in keys.TOP if key.startswith("state.")} - others
    text = text_of("connector/app.py")
    assert {home for home in homes if f"state.{home}" not in text} == set(), "open it in open_store"


def text_of(file: str) -> str:
    path = ROOT / file
    assert path.exists(), f"{file} is missing"
    return path.read_text("utf-8")
