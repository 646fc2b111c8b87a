"""The OCSF mappings against the published schema of the release each names, packed by others (ocsf-json-schema).

What classes and values are sent is held against 1.5.0 in test_ocsf.py, by another judge.
"""

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.config.keys import FORMATS
from connector.mapping.load import load_mapping
from connector.mapping.resources import mapping_names
from tests.golden import samples

ocsf_json_schema = pytest.importorskip("ocsf_json_schema", reason="pip install secure-score-connector[dev]")

RELEASES = {"ocsf": "1.5.0", "ocsf-1.6": "1.6.0", "ocsf-1.7": "1.7.0", "ocsf-1.8": "1.8.0"}


@cache
def schema(release: str, class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    """What the release says of a class with the profiles a document names; an attribute that it lacks is a fault."""
    published = ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema(release))
    name = published.lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(published.get_class_schema(name, list(profiles)))


def faults(release: str, document: dict[str, Any]) -> list[str]:
    judge = schema(release, document["class_uid"], tuple(document["metadata"].get("profiles", ())))
    return [f"{error.json_path}: {error.message}" for error in judge.iter_errors(document)]


@pytest.mark.parametrize("name", RELEASES)
def test_every_sample_is_valid_by_the_schema_of_its_release(name: str) -> None:
    mapping = load_mapping(name)
    for sample in samples.names():
        document = mapping.render(samples.event(sample)).payload
        assert isinstance(document, dict)
        assert document["metadata"]["version"] == RELEASES[name]
        assert faults(RELEASES[name], document) == [], sample


def test_every_release_that_can_be_chosen_is_held_against_its_schema() -> None:
    assert [name for name in mapping_names() if name.startswith("ocsf")] == list(RELEASES)
    assert [name for name in FORMATS if name.startswith("ocsf")] == list(RELEASES)


@pytest.mark.parametrize("release", RELEASES.values())
def test_the_schemas_can_say_no(release: str) -> None:
    document = load_mapping("ocsf").render(samples.event("control.added")).payload
    assert isinstance(document, dict)
    for changed in (
        {"severity_id": 7},
        {"time": "2026"},
        {"finding_info": {**document["finding_info"], "colour": "red"}},
        {"compliance": {"status_id": 8}},
    ):
        assert faults(release, {**document, **changed}), changed
