"""Every shipped mapping against its golden cases, and what must hold for all samples whatever a case says."""

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import cefp  # type: ignore[import-untyped]  # an oracle without type hints
import pytest

from connector.formats import cloudevents
from connector.mapping.load import compile_mapping
from connector.mapping.render import Mapping
from connector.mapping.resources import mapping_names
from connector.model import STREAM_OF_TYPE, Event
from tests.golden import samples

CASES = [(name, case) for name in samples.cases_files() for case in samples.cases(name)]
TEXT_PER_EVENT = ("cef", "leef")
"""Mappings that treat each event type by itself, and so have a case for each."""

loaded = samples.mapping

DIRECTED = ("score.changed", "control.score_changed")


def _parsed(event: Event) -> dict[str, Any]:
    parsed: dict[str, Any] = cefp.parse(loaded("cef").render(event).payload)
    return parsed


# ---------------------------------------------------------------------------------------------------------- samples


def test_samples_cover_every_event_type() -> None:
    assert {samples.event(name).type for name in samples.names()} == set(STREAM_OF_TYPE)


@pytest.mark.parametrize("name", samples.names())
def test_sample_is_a_sound_event(name: str) -> None:
    event = samples.event(name)
    assert event.type == name.split("/", maxsplit=1)[0]
    assert event.stream == STREAM_OF_TYPE[event.type]
    assert cloudevents.loads(cloudevents.dumps(event)) == event
    scope = "connector" if event.data["tenant"] is None else "tenant"
    if event.data.get("unit"):
        scope = event.data["source"].replace("_", "-")
    assert event.source.startswith(f"urn:secure-score:{scope}:")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event.id)


def test_sample_score_changes_add_up() -> None:
    for name in ("score.changed/regressed", "score.changed/improved"):
        data = samples.event(name).data
        assert data["delta"] == sum(c["delta"] for c in data["contributions"]) + data["residual"]
        split = data["percent"]
        assert round(split["numerator"] + split["denominator"], 4) == split["delta"]


# ------------------------------------------------------------------------------------------------------------ cases


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}:{case}" for name, case in CASES])
def test_case(name: str, case: str) -> None:
    wanted = samples.cases(name)[case]
    record = loaded(name).render(samples.event(wanted["sample"], wanted.get("set")))
    assert record.payload == samples.expected(loaded(name).encode, wanted["expect"])


def test_every_shipped_mapping_has_cases() -> None:
    assert samples.cases_files() == mapping_names()


@pytest.mark.parametrize("name", mapping_names())
def test_every_key_is_shown_by_a_case(name: str) -> None:
    """Every key that the mapping's own file sets is in a case, and every section of it in one of an event it is for."""
    cases = [
        (samples.event(case["sample"]), shown(loaded(name).encode, case["expect"]))
        for case in samples.cases(name).values()
    ]
    own = compile_mapping(name)["layers"][-1]
    everywhere: list[tuple[str, Callable[[Event], bool], Any]] = [("", lambda _: True, own["all"])]
    everywhere += [(f"streams.{s}", partial(_of_stream, s), section) for s, section in own["streams"].items()]
    everywhere += [(f"types.{glob}", partial(_of_type, glob), section) for glob, section in own["types"].items()]
    missing = []
    for where, concerns, section in everywhere:
        set_here = {key for key, node in section["fields"].items() if node is not None}
        missing += [
            f"{where}: {key}".removeprefix(": ") for key in set_here if not any(key in keys for _, keys in cases)
        ]
        if set_here and not any(concerns(event) and set_here & keys for event, keys in cases):
            missing.append(where)
    assert not missing, f"no case in mappings/{name}.cases.yaml shows {sorted(missing)}"


def _of_stream(stream: str, event: Event) -> bool:
    return event.stream == stream


def _of_type(glob: str, event: Event) -> bool:
    return fnmatchcase(event.type, glob)


def shown(encode: str, expect: Any) -> set[str]:
    """The keys in what a case expects: dotted paths of an object, keys of a line."""
    if encode == "object":
        return set(paths(expect))
    lines = expect if isinstance(expect, list) else [expect]
    return {key for line in lines for key in re.findall(r"(?:^|[ \t|])([A-Za-z0-9_]+)=", line)}


def paths(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, inner in value.items():
        yield above + key
        if isinstance(inner, dict):
            yield from paths(inner, f"{above}{key}.")


@pytest.mark.parametrize("name", TEXT_PER_EVENT)
def test_every_sample_has_a_case(name: str) -> None:
    assert set(samples.names()) <= set(samples.cases(name))


# ------------------------------------------------------------------------------------------------- every mapping


@pytest.mark.parametrize("name", mapping_names())
def test_compiled_form_renders_the_same(name: str) -> None:
    compiled = json.loads(json.dumps(compile_mapping(name)))
    again = Mapping.from_compiled(compiled)
    assert again == loaded(name)
    for sample in samples.names():
        event = samples.event(sample)
        assert again.render(event) == loaded(name).render(event)


@pytest.mark.parametrize("name", mapping_names())
@pytest.mark.parametrize("sample", samples.names())
def test_record_carries_the_event(name: str, sample: str) -> None:
    event = samples.event(sample)
    record = loaded(name).render(event)
    tenant = event.data["tenant"]
    assert (record.event_id, record.stream, record.time) == (event.id, event.stream, event.time)
    assert record.severity == event.data["severity"]
    assert record.tenant == (tenant["name"] if tenant else "")


@pytest.mark.parametrize("name", mapping_names())
def test_rendering_leaves_the_event_alone(name: str) -> None:
    for sample in samples.names():
        event = samples.event(sample)
        loaded(name).render(event)
        assert event == samples.event(sample)


# -------------------------------------------------------------------------------------------------------------- CEF


@pytest.mark.parametrize("name", samples.names())
def test_cef_key_facts(name: str) -> None:
    """By an independent parser: id, times, tenant and severity of each sample stand where receivers look for them."""
    event = samples.event(name)
    parsed = _parsed(event)
    extension = parsed["extension"]
    assert parsed["severity"] == str(event.data["severity"])
    assert extension["externalId"] == event.id
    assert len(extension["rt"]) == 13
    assert ("start" in extension) == (event.data["day"] is not None or event.data["occurred_at"] is not None)
    assert extension["deviceExternalId"] == ((event.data["tenant"] or {}).get("id") or event.source)
    assert extension["msg"] == event.data["summary"]
    control = event.data.get("control")
    assert extension.get("cs1") == (control["id"] if control else None)
    assert extension.get("request") == (control["url"] if control else None)


@pytest.mark.parametrize("name", samples.names())
def test_cef_keys_are_labelled_and_leave_flex_to_the_customer(name: str) -> None:
    keys = _parsed(samples.event(name))["extension"]
    custom = {key for key in keys if re.fullmatch(r"(cs|cn|cfp|deviceCustomDate)\d", key)}
    assert {f"{key}Label" for key in custom} == {key for key in keys if key.endswith("Label")}
    assert not [key for key in keys if key.startswith("flex")]
    assert all(re.fullmatch(r"[A-Za-z0-9]+", key) for key in keys)


def test_cef_labels_mean_the_same_everywhere() -> None:
    labels: dict[str, set[str]] = {}
    for name in samples.names():
        for key, value in _parsed(samples.event(name))["extension"].items():
            if key.endswith("Label"):
                labels.setdefault(key, set()).add(value)
    assert {key: values for key, values in labels.items() if len(values) > 1} == {}


def test_cef_regressed_and_improved_have_class_ids_of_their_own() -> None:
    for kind in DIRECTED:
        parsed = [_parsed(samples.event(f"{kind}/{way}")) for way in ("regressed", "improved")]
        assert [p["device"]["event_class_id"] for p in parsed] == [f"{kind}.regressed", f"{kind}.improved"]
        assert parsed[0]["name"] != parsed[1]["name"]


def test_class_ids_are_the_same_in_cef_and_leef() -> None:
    for name in samples.names():
        event = samples.event(name)
        leef = loaded("leef").render(event).payload
        assert isinstance(leef, str)
        assert leef.split("|")[4] == _parsed(event)["device"]["event_class_id"]


@pytest.mark.parametrize("direction", ["unchanged", "unknown", None, 7, ["improved"], "improved\n"])
@pytest.mark.parametrize("kind", [*DIRECTED, "control.state_changed"])
def test_cef_name_and_class_id_never_hold_event_data(kind: str, direction: Any) -> None:
    sample = kind if kind in samples.names() else f"{kind}/regressed"
    parsed = _parsed(samples.event(sample, {"data.direction": direction, "subject": "x"}))
    assert parsed["device"]["event_class_id"] == kind
    assert parsed["name"] in {"Secure Score changed", "Control score changed", "Control state changed"}


def test_every_event_type_has_its_own_cef_name() -> None:
    names = {}
    for name in samples.names():
        parsed = _parsed(samples.event(name))
        names[parsed["device"]["event_class_id"]] = parsed["name"]
    assert len(set(names.values())) == len(names)
    assert "Secure Score event" not in names.values()
