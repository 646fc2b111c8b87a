"""A day is told again whenever it is revised: every wire form says which telling it is."""

import json
from typing import Any

import pytest

from tests.golden import samples


def rendered(mapping: str, revision: int, *, final: bool = False) -> Any:
    changes = {"id": f"revision {revision}", "data.revision": revision, "data.final": final}
    return samples.mapping(mapping).render(samples.event("score.observed", changes)).payload


@pytest.mark.parametrize("revision", [0, 1])
def test_each_form_carries_the_revision(revision: int) -> None:
    assert rendered("splunk", revision)["event"]["revision"] == revision
    assert rendered("graphsecurity", revision)["event"]["revision"] == revision
    assert rendered("sentinel", revision)["Revision"] == revision
    assert json.loads(rendered("cloudevents", revision))["data"]["revision"] == revision
    assert f" cn3={revision} cn3Label=Revision" in rendered("cef", revision)
    assert f"\trevision={revision}" in rendered("leef", revision)
    assert json.loads(_text(rendered("ocsf", revision)))["unmapped"]["revision"] == revision
    assert json.loads(_text(rendered("ecs", revision)))["secure_score"]["revision"] == revision


def _text(payload: Any) -> str:
    return payload if isinstance(payload, str) else json.dumps(payload)


@pytest.mark.parametrize(("revision", "final", "activity"), [(0, False, 1), (1, False, 2), (0, True, 2), (2, True, 2)])
def test_a_finding_that_is_told_again_is_an_update(revision: int, final: bool, activity: int) -> None:
    found = json.loads(_text(rendered("ocsf", revision, final=final)))
    assert found["activity_id"] == activity
    assert found["type_uid"] == 200300 + activity
