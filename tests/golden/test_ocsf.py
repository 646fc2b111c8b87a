"""ocsf.yaml against the published OCSF schema, by models that a library of others generated from it (ocsf-emitter)."""

from collections.abc import Iterator
from typing import Any

import ocsf_emitter
import pytest
from ocsf_emitter import _models as models  # its public builders make events, they do not read them
from ocsf_emitter.defaults import OCSF_SCHEMA_VERSION, class_spec_by_uid
from ocsf_emitter.errors import InvalidFindingError
from pydantic import BaseModel, ValidationError

from connector.formats import jsonl
from connector.model import Event
from tests.golden import samples

OCSF = samples.mapping("ocsf")
CLASSES = {
    "score": 2003,
    "control": 2003,
    "posture": 2003,
    "compliance": 2003,
    "unit": 3004,
    "profile": 3004,
    "tenant": 3004,
    "connector.write_back": 3004,
    "feed": 6008,
    "connector.problem": 6008,
    "connector.recovered": 6008,
    "connector.heartbeat": 6002,
    "connector.report_written": 6002,
}


def rendered(event: Event) -> dict[str, Any]:
    payload = OCSF.render(event).payload
    assert isinstance(payload, dict)
    return payload


def judged(document: dict[str, Any]) -> BaseModel:
    """The document as an event of its class. Raises ValidationError or InvalidFindingError."""
    spec = class_spec_by_uid(document["class_uid"])
    assert spec is not None
    model: type[BaseModel] = getattr(models, spec.model_name)
    found = model.model_validate_json(jsonl.dumps(document), strict=True)
    if "cloud" in document["metadata"].get("profiles", ()):  # these models know no profiles
        cloud = models.Cloud.model_validate_json(jsonl.dumps(document["cloud"]), strict=True)
        assert list(unknown(cloud)) == []
        assert cloud.provider
    ocsf_emitter.validate(found)  # type: ignore[arg-type]  # the model of a supported class, by construction
    return found


def unknown(value: Any, path: str = "") -> Iterator[str]:
    """The attributes that the schema does not have; the models let them pass. Free objects may hold anything."""
    if isinstance(value, models.Object):
        return
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from unknown(inner, path)


@pytest.mark.parametrize("name", samples.names())
def test_sample_is_valid_by_the_schema(name: str) -> None:
    found = judged(rendered(samples.event(name)))
    of_profiles = [".cloud"] if samples.event(name).data.get("unit", {}).get("kind") == "subscription" else []
    assert list(unknown(found)) == of_profiles


@pytest.mark.parametrize("name", samples.names())
def test_sample_carries_what_every_tool_looks_for(name: str) -> None:
    event = samples.event(name)
    document = rendered(event)
    kind = event.type if event.type in CLASSES else event.type.split(".", maxsplit=1)[0]
    assert document["class_uid"] == CLASSES[kind]
    assert document["metadata"]["uid"] == event.id
    assert document["metadata"]["version"] == OCSF_SCHEMA_VERSION
    assert document["metadata"].get("tenant_uid", "") == event.tenant_id
    assert document["message"] == event.data["summary"]
    assert document["unmapped"] == event.data
    assert isinstance(document["time"], int)


@pytest.mark.parametrize("severity", range(11))
def test_every_severity_has_its_id_and_caption(severity: int) -> None:
    document = rendered(samples.event("control.score_changed/regressed", {"data.severity": severity}))
    captions = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
    assert document["severity"] == captions[document["severity_id"]]
    judged(document)


@pytest.mark.parametrize(
    ("percent", "state", "verdict", "standing"),
    [
        (100.0, "Default", "Pass", "Resolved"),
        (99.996, "Default", "Pass", "Resolved"),
        (40.0, "Default", "Warning", "New"),
        (0.0, "Default", "Fail", "New"),
        (None, "Default", "Unknown", "New"),
        (0.0, "Ignored", "Fail", "Suppressed"),
    ],
)
def test_a_controls_points_are_its_verdict(percent: float | None, state: str, verdict: str, standing: str) -> None:
    changes = {"data.after.percent": percent, "data.control.state": state}
    document = rendered(samples.event("control.score_changed/regressed", changes))
    ids = {"Pass": 1, "Warning": 2, "Fail": 3, "Unknown": 0}
    assert (document["compliance"]["status"], document["compliance"]["status_id"]) == (verdict, ids[verdict])
    assert (document["status"], document["status_id"]) == (
        standing,
        {"New": 1, "Suppressed": 3, "Resolved": 4}[standing],
    )
    judged(document)


def test_a_controls_finding_is_the_same_as_its_score_moves() -> None:
    names = ("control.score_changed/regressed", "control.score_changed/backfilled", "control.state_changed")
    assert len({rendered(samples.event(name))["finding_info"]["uid"] for name in names}) == 1


def test_a_problem_and_its_end_belong_together() -> None:
    found = [rendered(samples.event(name))["metadata"]["correlation_uid"] for name in ("feed.stale", "feed.recovered")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("path", "value"),
    [("severity_id", 7), ("time", "2026"), ("type_uid", 200399), ("metadata", {}), ("compliance", {"status_id": 8})],
)
def test_the_judge_can_say_no(path: str, value: Any) -> None:
    with pytest.raises((ValidationError, InvalidFindingError)):
        judged({**rendered(samples.event("control.added")), path: value})


def test_the_judge_finds_what_the_schema_does_not_have() -> None:
    document = rendered(samples.event("control.added"))
    document["finding_info"]["colour"] = "red"
    assert list(unknown(judged(document))) == [".finding_info.colour"]
