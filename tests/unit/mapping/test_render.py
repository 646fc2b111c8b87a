"""The mapping engine: what a mapping makes of an event, and that no event however hostile gets through it badly."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cefp  # type: ignore[import-untyped]  # an oracle without type hints
import pytest
from hypothesis import given

from connector.config.keys import FORMATS
from connector.errors import ConfigError, MappingError
from connector.formats import jsonl
from connector.mapping import render
from connector.mapping.load import compile_mapping, load_mapping
from connector.mapping.render import Mapping
from connector.mapping.resources import mapping_names
from connector.model import STREAM_OF_TYPE, Event
from tests.golden import samples
from tests.hostile_events import hostile_events

CHANGE = samples.event("control.score_changed/regressed")


def _mapping(tmp_path: Path, text: str, name: str = "own.yaml") -> Mapping:
    (tmp_path / name).write_text(text, "utf-8")
    return load_mapping(f"./{name}", str(tmp_path))


def _fields(tmp_path: Path, fields: str, event: Event = CHANGE) -> dict[str, Any]:
    loaded = _mapping(tmp_path, "encode: object\nfields:\n" + "".join(f"  {line}\n" for line in fields.splitlines()))
    payload = loaded.render(event).payload
    assert repr(payload) == repr(loaded.interpret(event).payload)
    assert isinstance(payload, dict)
    return payload


# ------------------------------------------------------------------------------------------------------------ nodes


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ("data.control.id", "AdminMFAV2"),
        ("type", "securescore.control.score_changed"),
        ("data.before.score", 10.0),
        ("data.cause.evidence[0]", "compliant users 5/5 → 2/5"),
        ("'data.control.{a: id, b: tier}'", {"a": "AdminMFAV2", "b": "Core"}),
        ("length(data.control.threats)", 2),
        ("7", 7),
        ("true", True),
        ("{value: text}", "text"),
        ("{value: {a: [1]}}", {"a": [1]}),
        ("{constant: product}", "Secure Score Connector"),
        ("[data.occurred_at, data.day]", "2026-11-22"),
        ("{from: [data.nothing, data.day]}", "2026-11-22"),
        ("{join: [data.control.id, data.nothing, data.delta], sep: /}", "AdminMFAV2/-6.0"),
        ("{join: [id, {value: x}]}", f"{CHANGE.id} x"),
        ("{object: {a: data.delta, b.c: data.day, d: data.nothing}}", {"a": -6.0, "b": {"c": "2026-11-22"}}),
        ("{list: [data.day, data.nothing, {object: {x: 1}}]}", ["2026-11-22", {"x": 1}]),
        ("{from: data.control.threats, format: [join, upper]}", "ACCOUNT BREACH, ELEVATION OF PRIVILEGE"),
        ("{from: data.direction, table: {regressed: worse}}", "worse"),
        ("{from: data.severity, table: {7: High}, default: Low}", "High"),
        ("{from: data.backfilled, table: {true: old, false: new}}", "new"),
        ("{from: data.direction, table: {improved: 1}, default: 0}", 0),
        ("{from: data.nothing, default: none}", "none"),
        ("{from: data.control.id, max: 12}", "AdminMFAV2"),
        ("{from: data.control.title, max: 12}", "Ask...[cut]"),
        ("{from: 'data.cause.evidence[0]', max_octets: 24}", "compliant users...[cut]"),
        ("{from: data.delta, type: string}", "-6.0"),
        ("{from: data.day, type: datetime}", "2026-11-22T00:00:00Z"),
        ("{from: data.day, when: data.transition}", "2026-11-22"),
        ("{from: data.day, when: 'data.severity > `5`'}", "2026-11-22"),
        ("{from: data.revision, type: long}", 0),
        ("{from: data.backfilled}", False),
        ("[data.nothing, data.revision, data.day]", 0),
        ("{list: [data.revision, data.backfilled]}", [0, False]),
        ("{from: data.day, when: data.revision}", "2026-11-22"),
    ],
)
def test_node(tmp_path: Path, node: str, value: Any) -> None:
    made = _fields(tmp_path, f"x: {node}")
    assert made == {"x": value}
    assert type(made["x"]) is type(value)


@pytest.mark.parametrize(
    "node",
    [
        "data.nothing",
        "data.nothing.deeper",
        "data.day.deeper",
        "data.control.threats.deeper",
        "data.occurred_at",
        "data.cause.also",
        "join(', ', data.nothing)",
        "{value: null}",
        "{object: {a: data.nothing}}",
        "{list: [data.nothing]}",
        "{join: [data.nothing]}",
        "{from: data.direction, table: {improved: 1}}",
        "{from: data.cause.evidence, table: {x: 1}}",
        "{from: data.day, when: data.backfilled}",
        "{from: data.day, when: data.nothing}",
        "{from: data.day, when: 'data.severity > `7`'}",
        "{from: data.day, type: long}",
        "{from: data.nothing, format: upper}",
    ],
)
def test_what_is_not_there_is_left_out(tmp_path: Path, node: str) -> None:
    assert _fields(tmp_path, f"x: {node}\ny: 1") == {"y": 1}


def test_dots_in_a_key_nest(tmp_path: Path) -> None:
    made = _fields(tmp_path, "a.b.c: data.day\na.b.d: 1\na.e: {value: x}\nf: data.delta")
    assert made == {"a": {"b": {"c": "2026-11-22", "d": 1}, "e": "x"}, "f": -6.0}


def test_plain_path_and_jmespath_agree(tmp_path: Path) -> None:
    """A plain path is looked up without jmespath; written with a needless pipe the same goes through it."""
    for sample in samples.names():
        event = samples.event(sample)
        for path in ("data.control.title", "data.tenant.name", "data.before.score", "data.cause.evidence", "data.x"):
            plain = _fields(tmp_path, f"x: {path}", event)
            assert plain == _fields(tmp_path, f'x: "{path} | @"', event)


def test_json_is_one_line_of_the_object(tmp_path: Path) -> None:
    record = _mapping(tmp_path, "encode: json\nfields: {a.b: data.summary, n: data.delta}").render(CHANGE)
    assert isinstance(record.payload, str)
    assert record.payload.isascii()
    assert json.loads(record.payload) == {"a": {"b": CHANGE.data["summary"]}, "n": -6.0}


# --------------------------------------------------------------------------------------------------------- sections

SECTIONS = """
encode: object
fields: {who: {value: all}, order: {value: 1}}
streams:
  change: {fields: {who: {value: stream}, stream: data.stream}}
types:
  control.*: {fields: {who: {value: glob}}}
  control.score_changed: {fields: {who: {value: type}, order: null}}
"""


@pytest.mark.parametrize(
    ("sample", "result"),
    [
        ("control.score_changed/regressed", {"who": "type", "stream": "change"}),
        ("control.added", {"who": "glob", "order": 1, "stream": "change"}),
        ("control.observed", {"who": "glob", "order": 1}),
        ("score.changed/improved", {"who": "stream", "order": 1, "stream": "change"}),
        ("feed.gap", {"who": "all", "order": 1}),
    ],
)
def test_types_win_over_streams_over_all(tmp_path: Path, sample: str, result: dict[str, Any]) -> None:
    assert _mapping(tmp_path, SECTIONS).render(samples.event(sample)).payload == result


def test_the_more_exact_type_section_wins_wherever_it_stands(tmp_path: Path) -> None:
    """A compiled mapping may have its keys sorted, so their order can mean nothing."""
    sections = {"control.score_changed": "name", "control.score_*": "longer", "control.*": "glob", "*": "star"}
    for count in range(1, 5):
        left = list(sections.items())[-count:]
        for order in (left, left[::-1]):
            types = "".join(f"  '{glob}': {{fields: {{who: {{value: {who}}}}}}}\n" for glob, who in order)
            mapping = _mapping(tmp_path, f"encode: object\ntypes:\n{types}")
            assert mapping.render(samples.event("control.score_changed/regressed")).payload == {"who": left[0][1]}


def test_an_extension_wins_over_every_section_of_its_base(tmp_path: Path) -> None:
    _mapping(tmp_path, SECTIONS, "base.yaml")
    child = _mapping(tmp_path, "extends: ./base.yaml\nfields: {who: {value: child}, stream: null, more: data.day}")
    assert child.render(CHANGE).payload == {"who": "child", "more": "2026-11-22"}
    assert list(child.render(samples.event("feed.gap")).payload) == ["who", "order", "more"]


def test_extending_a_shipped_mapping_overrides_a_few_keys(tmp_path: Path) -> None:
    own = _mapping(
        tmp_path,
        """
extends: cef
header: {vendor: {value: Contoso}}
fields:
  flexString1: {value: soc-7}
  flexString1Label: {value: Queue}
  reason: null
tables: {names: {securescore.feed.gap: Own name}}
""",
    )
    base, made = (cefp.parse(m.render(samples.event("feed.gap")).payload) for m in (samples.mapping("cef"), own))
    assert made["device"] == {**base["device"], "vendor": "Contoso"}
    assert made["name"] == "Own name"
    assert made["extension"] == {**base["extension"], "flexString1": "soc-7", "flexString1Label": "Queue"}
    assert "reason" not in cefp.parse(own.render(CHANGE).payload)["extension"]


def test_an_extension_may_extend_a_compiled_base(tmp_path: Path) -> None:
    compiled = compile_mapping("leef")
    (tmp_path / "leef.json").write_text(json.dumps(compiled))
    assert load_mapping("./leef.json", str(tmp_path)).render(CHANGE) == samples.mapping("leef").render(CHANGE)


def test_columns_of_a_stream_with_their_types(tmp_path: Path) -> None:
    loaded = _mapping(
        tmp_path,
        """
encode: object
fields: {TimeGenerated: {from: data.observed_at, type: datetime}, EventId: {from: id, type: string}, Loose: id}
streams: {change: {fields: {Delta: {from: data.delta, type: real}}}, health: {fields: {Loose: null}}}
types: {score.changed: {fields: {Residual: {from: data.residual, type: real}}}}
""",
    )
    common = {"TimeGenerated": "datetime", "EventId": "string"}
    assert loaded.columns("change") == {**common, "Loose": "", "Delta": "real", "Residual": "real"}
    assert loaded.columns("health") == common


# ---------------------------------------------------------------------------------------------------------- loading


def test_shipped_names() -> None:
    assert set(mapping_names()) == set(FORMATS), (
        "what ships and what `format` may name (connector/config/keys.py) differ"
    )
    assert "severity" not in mapping_names()


@pytest.mark.parametrize("name", ["cfe", "cef.cases", "severity", ""])
def test_unknown_name_tells_what_there_is(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_mapping(name)
    assert "cloudevents" in raised.value.problems[0]
    assert "./own.yaml" in raised.value.hint


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        load_mapping("./gone.yaml", str(tmp_path))


@pytest.mark.parametrize("content", ["{}", '{"compiled": 99}', "not json", "[]", "[" * 100_000])
def test_bad_compiled_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(ConfigError) as raised:
        load_mapping("own.json", str(tmp_path))
    assert "compile" in raised.value.hint


@pytest.mark.parametrize("part", ["layers", "encode", "tables", "name"])
def test_damaged_compiled_form(part: str) -> None:
    compiled = compile_mapping("cef")
    with pytest.raises(ConfigError):
        Mapping.from_compiled({key: value for key, value in compiled.items() if key != part})


def test_home_without_yaml_uses_compiled_mappings(tmp_path: Path) -> None:
    """As in the Splunk add-on: no yaml module, the compiled form beside (or instead of) the YAML file."""
    package = tmp_path / "mappings"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "cef.yaml").write_text("encode: cef  # never read here")
    (package / "cef.json").write_text(json.dumps(compile_mapping("cef")))
    (package / "leef.yaml").write_text("encode: leef")
    program = """
import sys
sys.modules["yaml"] = None
from connector.mapping.load import load_mapping
from connector.mapping.resources import mapping_names
from connector.errors import ConfigError
print(load_mapping("cef").encode, mapping_names())
try:
    load_mapping("leef")
except ConfigError as error:
    print(error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{Path(render.__file__).parents[3]}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.splitlines()[0] == "cef ['cef', 'leef']"
    assert "pip install pyyaml" in done.stdout


def test_importing_the_engine_does_not_import_yaml() -> None:
    program = "import sys; import connector.mapping.load; print('yaml' in sys.modules)"
    root = str(Path(render.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "False\n"


# ---------------------------------------------------------------------------------------------------- hostile events

SHIPPED = [samples.mapping(name) for name in mapping_names()]


@given(hostile_events())
def test_rendering_is_total(event: Event) -> None:
    for shipped in SHIPPED:
        record = shipped.render(event)
        assert record.event_id == event.id
        assert isinstance(record.tenant, str)
        assert type(record.severity) is int
        if isinstance(record.payload, str):
            assert len(record.payload.splitlines()) == 1
            record.payload.encode()
        else:
            json.dumps(record.payload, allow_nan=False).encode()


@given(hostile_events())
def test_hostile_events_cannot_forge_cef_keys(event: Event) -> None:
    """Whatever a value holds, the id stays ours and no key appears that the mapping does not name."""
    cef = next(shipped for shipped in SHIPPED if shipped.name == "cef")
    parsed = cefp.parse(cef.render(event).payload)
    known = {key for stream in set(STREAM_OF_TYPE.values()) for key in cef.columns(stream)}
    assert parsed["extension"]["externalId"] == event.id
    assert parsed["extension"].keys() <= known
    assert parsed["device"]["vendor"] == "SecureScoreConnector"
    assert 0 <= int(parsed["severity"]) <= 10


def test_what_json_cannot_carry_becomes_null_or_readable(tmp_path: Path) -> None:
    event = samples.event("feed.gap", {"data.days": [float("nan"), float("inf"), "\ud800", 1.5, {"a\udfff": True}]})
    made = _fields(tmp_path, "x: data.days", event)
    assert made == {"x": [None, None, "\N{REPLACEMENT CHARACTER}", 1.5, {"a\N{REPLACEMENT CHARACTER}": True}]}


def test_an_unrenderable_event_is_a_mapping_error_with_facts() -> None:
    event = samples.event("feed.gap", {"data.days": float("nan")})
    with pytest.raises(MappingError) as raised:
        load_mapping("cloudevents").render(event)
    assert "'cloudevents'" in raised.value.what
    assert event.id in raised.value.what
    assert "feed.gap" in raised.value.what
    assert "cloudevents" in raised.value.hint


def test_endless_nesting_is_a_mapping_error(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(MappingError, match="RecursionError"):
        _fields(tmp_path, "x: data.days", samples.event("feed.gap", {"data.days": deep}))


@pytest.mark.parametrize("encode", ["object", "json"])
@pytest.mark.parametrize("sound_octets", [jsonl.sound_octets, jsonl.pure_sound_octets])
def test_what_no_receiver_takes_is_replaced_wherever_it_stands(
    tmp_path: Path, encode: str, sound_octets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_sound_octets", sound_octets)
    mapping = _mapping(tmp_path, f"encode: {encode}\nfields:\n  x: data.control\n")
    odd = {
        "\ud800": [float("nan"), {"a": (1, "\udfff"), "b": float("inf"), "c": "😀", "d": 2**70, "e": None, "f": 1e-7}]
    }
    wanted = {"x": {"\ufffd": [None, {"a": [1, "\ufffd"], "b": None, "c": "😀", "d": 2**70, "e": None, "f": 1e-7}]}}
    record = mapping.render(samples.event("control.observed", {"data.control": odd}))
    text = record.payload if isinstance(record.payload, str) else record.encoded
    assert text is not None
    assert json.loads(text) == wanted
    assert record == mapping.interpret(samples.event("control.observed", {"data.control": odd}))
    fine = mapping.render(samples.event("control.observed", {"data.control": wanted["x"]}))
    assert (fine.payload, fine.encoded) == (record.payload, record.encoded)


def test_unknown_event_type_falls_back_to_its_stream(tmp_path: Path) -> None:
    event = Event("id-1", "urn:x", "control.brand_new", "s", "2026-11-22T00:00:00Z", {"stream": "change"})
    assert _mapping(tmp_path, SECTIONS).render(event).payload == {"who": "stream", "order": 1, "stream": "change"}
    nowhere = Event("id-1", "urn:x", "brand.new", "s", "2026-11-22T00:00:00Z", {})
    with pytest.raises(MappingError, match=r"brand\.new"):
        _mapping(tmp_path, SECTIONS).render(nowhere)


@pytest.mark.parametrize(
    ("tenant", "name"),
    [
        ({"id": "1111", "name": "contoso"}, "contoso"),
        ({"id": "1111", "name": None}, "1111"),
        ({"id": "1111"}, "1111"),
        (None, ""),
        ("text", ""),
        ({"name": 7}, "7"),
    ],
)
def test_record_tenant(tenant: Any, name: str) -> None:
    assert samples.mapping("cloudevents").render(samples.event("feed.gap", {"data.tenant": tenant})).tenant == name
