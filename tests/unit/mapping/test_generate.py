"""Generated rendering: word for word what the interpreter makes, whatever the mapping and the event hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.formats.cef import CUSTOM
from connector.mapping import generate
from connector.mapping.formatters import FORMATTERS, TYPES
from connector.mapping.interpret import COMPILED, CONSTANTS
from connector.mapping.load import load_mapping
from connector.mapping.render import Mapping
from connector.mapping.resources import mapping_names
from connector.model import STREAM_OF_TYPE, Event
from tests.golden import samples
from tests.hostile_events import HOSTILE_TEXT, hostile_events

MAPPED = [samples.mapping(name) for name in mapping_names() if name != "cloudevents"]


def _made(mapping: Mapping, event: Event, way: str) -> str:
    try:
        record = getattr(mapping, way)(event)
    except MappingError as error:
        return f"{error.what} {error.hint}"
    return f"{record!r} {record.encoded!r}"


def _same(mapping: Mapping, event: Event) -> None:
    assert _made(mapping, event, "render") == _made(mapping, event, "interpret")


@pytest.mark.parametrize("mapping", MAPPED, ids=lambda mapping: mapping.name)
def test_every_type_of_every_shipped_mapping_is_generated(mapping: Mapping) -> None:
    assert [kind for kind in STREAM_OF_TYPE if generate.generate(mapping.compiled, kind) is None] == []
    for name in samples.names():
        _same(mapping, samples.event(name))


@given(hostile_events())
def test_hostile_events_render_as_the_interpreter_renders_them(event: Event) -> None:
    for mapping in MAPPED:
        _same(mapping, event)


# ------------------------------------------------------------------------------------------------- hostile mappings

PATHS = st.sampled_from(
    [
        *(
            "id",
            "type",
            "subject",
            "time",
            "specversion",
            "data",
            "data.control",
            "data.control.threats",
            "data.before",
        ),
        *("data.control.title", "data.after.score", "data.delta", "data.day", "data.observed_at", "data.nothing"),
        *("data.cause.evidence", "data.tenant.labels", "nothing", "id.deeper", "type.deeper", "data.control.title.x"),
        *("data.cause.evidence[0]", "data.control.{a: id, b: tier}", "length(data.control.threats)", "data.final"),
        *("data.backfilled", "data.severity", "data.changes", "to_number(data.after.percent) > `50`", "abs(data.day)"),
        *(
            "data.delta == `0` || data.day",
            "data.severity && data.delta < `1`",
            "!data.final",
            "data.changes[-1].field",
        ),
        *("data.cause.evidence[-2]", "data.day > `1`", "data.control.id == 'AdminMFAV2'", 'data.delta != `"x"`'),
        *(
            "data.tenant && `0`",
            "to_number(data.day)",
            "(data.before.score || `2`) >= `2.5`",
            "data.control.threats[0]",
        ),
        *("data.changes[].field", "data.control.threats[].x", "data.cause.evidence[].a.b", "data.before[].score"),
        *("starts_with(data.day || '', '2026')", "starts_with(data.severity, '7')", "starts_with(id, 'it\\'s')"),
        *("!starts_with(data.day, '2')", "data.changes[0][0]", "data.changes[].{a: field}", "type[0].x"),
        *('"data"."control".id', "type == 'securescore.feed.gap'", "data.delta == `1`", "data.before == data.after"),
    ]
)
PLAIN = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | HOSTILE_TEXT
KEYS = st.sampled_from(
    ["a", "b", "c", "a.b", "a.c", "b.c.d", 'it\'s "x"', "{x}", "{{y}}.{", "a\nb", "v1", "h1", "\ud800"]
)
CEF_KEYS = st.sampled_from([*sorted(CUSTOM)[:4], *(f"{key}Label" for key in sorted(CUSTOM)[:4]), "msg", "app", "act"])
FORMATS = st.sampled_from(
    [
        *(name for name in FORMATTERS if name not in ("round", "clamp", "cut_prefix")),
        *("round:2", "clamp:0:10", "cut_prefix:secure", "join:'; \"", "pairs:{"),
    ]
)
TABLES = st.dictionaries(st.sampled_from(["regressed", "7", "true", "contoso"]), PLAIN, max_size=3)


@st.composite
def _nodes(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    sources = ["from", "value", "constant", *(["join", "object", "list"] if depth else [])]
    source = draw(st.sampled_from(sources))
    inner = _nodes(depth - 1)
    value: Any = {
        "from": st.lists(PATHS, min_size=1, max_size=3),
        "value": PLAIN | st.lists(PLAIN, max_size=2) | TABLES,
        "constant": st.sampled_from(sorted(CONSTANTS)),
        "join": st.lists(inner, min_size=1, max_size=3),
        "list": st.lists(inner, min_size=1, max_size=3),
        "object": st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    }[source]
    node: dict[str, Any] = {source: draw(value)}
    if source == "join":
        node["sep"] = draw(st.sampled_from([" ", "/", "'", "{", "\n"]))
    modifiers: dict[str, st.SearchStrategy[Any]] = {
        "when": PATHS,
        "format": st.lists(FORMATS, min_size=1, max_size=2),
        "table": TABLES | st.just("shared"),
        "default": st.integers(0, 5) | HOSTILE_TEXT | st.lists(st.integers(), max_size=2),
        "type": st.sampled_from(sorted(TYPES)),
        "max": st.integers(1, 8),
        "max_octets": st.integers(1, 8),
    }
    for key in draw(st.sets(st.sampled_from(sorted(modifiers)), max_size=3)):
        node[key] = draw(modifiers[key])
    return node


@st.composite
def _compiled(draw: st.DrawFn) -> dict[str, Any]:
    encode = draw(st.sampled_from(["object", "json", "cef", "leef"]))
    words = ("vendor", "product", "version", "class_id") if encode in ("cef", "leef") else ()
    header = {key: draw(_nodes(0)) for key in (*words, *(("name", "severity") if encode == "cef" else ()))}
    fields = draw(st.dictionaries(CEF_KEYS if words else KEYS, _nodes(), min_size=1, max_size=5))
    nothing: dict[str, Any] = {"all": {"header": header, "fields": fields}, "streams": {}, "types": {}}
    return {"compiled": COMPILED, "name": "own", "encode": encode, "tables": {"shared": {"a": 1}}, "layers": [nothing]}


@given(_compiled(), hostile_events())
def test_any_mapping_renders_as_the_interpreter_renders_it(compiled: dict[str, Any], event: Event) -> None:
    mapping = Mapping.from_compiled(compiled)
    try:
        wanted = _made(mapping, event, "interpret")
    except Exception as bug:  # noqa: BLE001  # a key that is both a value and an object: judged when a file is compiled
        with pytest.raises(type(bug)):
            mapping.render(event)
    else:
        assert _made(mapping, event, "render") == wanted


def test_a_mappings_text_is_never_code() -> None:
    text = "'+__import__('os').abort()+'"
    fields = {
        f"{text}.{text}": {"from": ["data.day"], "default": text},
        text + "x": {"join": [{"value": text}], "sep": text},
    }
    layer = {"all": {"header": {}, "fields": fields}, "streams": {}, "types": {}}
    compiled = {"compiled": COMPILED, "name": text, "encode": "object", "tables": {}, "layers": [layer]}
    event = samples.event("feed.gap")
    assert generate.generate(compiled, event.type) is not None
    _same(Mapping.from_compiled(compiled), event)  # it would not come back


# ------------------------------------------------------------------------------------------------- the interpreter's


@pytest.mark.parametrize(
    "fields",
    [
        {"cs1": {"from": ["data.day"]}, "cs1Label": {"from": ["data.delta"]}},
        {"cs1": {"from": ["data.day"]}, "msg": {"value": "x"}, "cs1Label": {"value": "Day"}},
    ],
    ids=["a label that moves", "a label away from its key"],
)
def test_what_the_generator_does_not_know_is_interpreted(fields: dict[str, Any]) -> None:
    cef = samples.mapping("cef").compiled
    layer = {"all": {"header": cef["layers"][0]["all"]["header"], "fields": fields}, "streams": {}, "types": {}}
    compiled = {**cef, "layers": [layer]}
    event = samples.event("control.score_changed/regressed")
    assert generate.generate(compiled, event.type) is None
    assert "cs1=2026-11-22" in str(Mapping.from_compiled(compiled).render(event).payload)


def test_a_huge_mapping_is_interpreted() -> None:
    fields = {f"k{n}": {"from": ["data.day"]} for n in range(generate.MAX_NODES + 1)}
    layer = {"all": {"header": {}, "fields": fields}, "streams": {}, "types": {}}
    compiled = {"compiled": COMPILED, "name": "own", "encode": "object", "tables": {}, "layers": [layer]}
    assert generate.generate(compiled, "feed.gap") is None
    assert len(Mapping.from_compiled(compiled).render(samples.event("feed.gap")).payload) == len(fields)


def test_a_type_is_generated_at_its_first_event_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(compiled: Any, kind: str) -> Any:
        asked.append(kind)
        return generate.generate(compiled, kind)

    monkeypatch.setattr("connector.mapping.render.generate", counted)
    mapping = load_mapping("splunk")
    assert asked == []
    for _ in range(3):
        mapping.render(samples.event("feed.gap"))
    assert asked == ["feed.gap"]
