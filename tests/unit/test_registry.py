"""A kind of sink is one module and one line: what the configuration, the schema, `init` and the start say of it is
derived from these.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from connector.app import open_app
from connector.cli import init
from connector.cli.main import main
from connector.config import schema, yaml_file
from connector.errors import ConfigError
from connector.homes.tenant_turn import refuse_kinds
from connector.mapping.resources import mapping_names
from connector.options import LIVE, TYPES, Init, Option
from connector.registry import SINKS, sink_module, sink_options
from tests.config_example import TENANT_ID
from tests.fakes.sink import FakeSink


def a_sink_module() -> ModuleType:
    """What CONTRIBUTING asks for, and nothing else."""
    module = ModuleType("sinks.carrier_pigeon")

    def build(name: str, options: Mapping[str, Any], network: object) -> FakeSink:
        return FakeSink(name)

    vars(module).update(
        OPTIONS={**LIVE, "loft": Option("str", required=True, doc="Where the pigeon lives.")},
        FORMAT="leef",
        INIT=Init("loft", "attic", "loft of the pigeon", "name: post\nkind: pigeon\nloft: {address}\nformat: cef"),
        build=build,
    )
    return module


@pytest.fixture
def pigeon(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One file and one line."""
    module = a_sink_module()
    monkeypatch.setitem(sys.modules, "sinks.carrier_pigeon", module)
    monkeypatch.setitem(cast("dict[str, str]", SINKS), "pigeon", module.__name__)
    return module


def configuration(folder: Path, entry: Mapping[str, Any]) -> str:
    file = folder / "c.yaml"
    tenant = {"name": "contoso", "tenant_id": TENANT_ID, "source": "files", "path": str(folder)}
    raw = {"state": {"path": "s.db"}, "tenants": [tenant], "sinks": [entry], "health": {"listen": "off"}}
    file.write_text(json.dumps(raw))
    return str(file)


async def test_a_new_sink_is_one_file_and_one_line(pigeon: ModuleType, tmp_path: Path) -> None:
    file = configuration(tmp_path, {"name": "post", "kind": "pigeon", "loft": "attic"})
    config = yaml_file.load(file, sink_options=sink_options)
    (sink,) = config.sinks
    assert (sink.options, sink.start, sink.streams) == ({"loft": "attic"}, "now", ("score", "change", "health"))
    async with open_app(config) as app:
        assert app.deliveries["post"].mapping.name == "leef"
    made = schema.schema({kind: sink_options(kind) or {} for kind in SINKS})
    assert list(Draft202012Validator(made).iter_errors(json.loads(Path(file).read_text()))) == []
    assert made["$defs"]["sink"]["properties"]["kind"]["enum"][-1] == "pigeon"
    refuse_kinds(["pigeon"])


def test_init_asks_for_a_new_sink_and_writes_it(pigeon: ModuleType, tmp_path: Path) -> None:
    answers = init.asked(init.Answers(sink="pigeon", tenant_id=TENANT_ID, client_id=TENANT_ID, name="x"), lambda _: "")
    out = tmp_path / "c.yaml"
    out.write_text(init.configuration(answers, str(out)))
    (sink,) = yaml_file.load(str(out), sink_options=sink_options, environ={}).sinks
    assert (sink.kind, sink.options["loft"], sink.format) == ("pigeon", "attic", "cef")


def test_an_unknown_kind_is_told_the_known_ones(
    pigeon: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configuration(tmp_path, {"name": "post", "kind": "pidgeon", "loft": "attic"})
    assert main(["check", "-c", file]) == 2
    assert "did you mean pigeon?" in capsys.readouterr().err


@pytest.mark.parametrize("kind", SINKS)
def test_a_shipped_kind_says_all_that_is_derived_from_it(kind: str) -> None:
    module: Any = sink_module(kind)
    assert module.FORMAT in mapping_names()
    assert all(option.type in TYPES and option.doc for option in module.OPTIONS.values())
    assert module.INIT.key in module.OPTIONS
    assert module.INIT.question and module.INIT.example and "{address}" in module.INIT.entry
    assert f"kind: {kind}\n" in module.INIT.entry
    assert all(name in module.OPTIONS and f"{{{name}" in module.INIT.entry for name in module.INIT.settings)


def test_a_called_home_refuses_what_needs_a_host() -> None:
    refuse_kinds(["sentinel", "splunk_hec", "webhook"])
    with pytest.raises(ConfigError) as caught:
        refuse_kinds(["file", "webhook", "syslog"])
    assert [p.split()[4] for p in caught.value.problems] == ["file", "syslog"]
    assert "webhook" in caught.value.hint
    assert "syslog" not in caught.value.hint
