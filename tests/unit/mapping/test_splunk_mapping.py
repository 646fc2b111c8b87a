"""splunk.yaml and graphsecurity.yaml as Splunk sees them: CIM, default fields, KV_MODE=json, nothing forgotten."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from connector.formats import hec
from connector.model import STREAM_OF_TYPE
from tests.golden import samples

SPLUNK = samples.mapping("splunk")
CHANGES = [name for name in samples.names() if samples.event(name).stream == "change"]

# Splunk Common Information Model, data model Change, dataset All_Changes.
CIM_CHANGE = (
    "action",
    "change_type",
    "command",
    "dest",
    "dvc",
    "object",
    "object_attrs",
    "object_category",
    "object_id",
    "src",
    "status",
    "user",
    "vendor_product",
)
ACTIONS = {
    "control.added": "created",
    "control.removed": "deleted",
    "profile.added": "created",
    "profile.removed": "deleted",
    "unit.added": "created",
    "unit.removed": "deleted",
}

# Fields Splunk sets itself on every event: an extracted one of the same name would be lost or stand beside it.
DEFAULT_FIELDS = {
    *("host", "source", "sourcetype", "index", "time", "_time", "_raw", "linecount", "punct", "splunk_server"),
    *(
        "eventtype",
        "tag",
        "timestamp",
        "timestartpos",
        "timeendpos",
        "unix_category",
        "unix_group",
        "splunk_server_group",
    ),
    *("date_hour", "date_mday", "date_minute", "date_month", "date_second", "date_wday", "date_year", "date_zone"),
}


def envelope(name: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    payload = SPLUNK.render(samples.event(name, changes)).payload
    assert not isinstance(payload, str)
    return dict(payload)


def event(name: str) -> dict[str, Any]:
    found: dict[str, Any] = envelope(name)["event"]
    return found


def kv_mode_json(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Fields as KV_MODE=json names them: a.b inside objects, a{} for the items of a list."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from kv_mode_json(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from kv_mode_json(inner, name + "{}")
    else:
        yield name, value


@pytest.mark.parametrize("name", samples.names())
def test_every_event_has_a_case(name: str) -> None:
    assert name in samples.cases("splunk")


@pytest.mark.parametrize("name", CHANGES)
def test_change_events_fill_the_data_model(name: str) -> None:
    fields = dict(kv_mode_json(event(name)))
    assert [key for key in CIM_CHANGE if not isinstance(fields.get(key), str) or not fields[key]] == []
    kind = name.split("/", maxsplit=1)[0]
    assert fields["action"] == ACTIONS.get(kind, "modified")
    assert fields["object_category"] == "security_control", "other categories fall out of All_Changes"
    product = {"defender_cloud": "Defender for Cloud", "defender_endpoint": "Defender for Endpoint"}
    assert fields["vendor_product"] == f"Microsoft {product.get(fields['origin'], 'Secure Score')}"
    assert fields["command"] == fields["event_type"] == kind
    assert (fields["dest"], fields["dest_id"]) == (fields["tenant"], fields["tenant_id"])


@pytest.mark.parametrize("name", [name for name in samples.names() if name not in CHANGES])
def test_snapshots_and_health_are_no_changes(name: str) -> None:
    assert not {"action", "change_type", "object_category"} & event(name).keys()


@pytest.mark.parametrize("name", samples.names())
def test_no_field_collides_with_splunks_own(name: str) -> None:
    fields = event(name)
    assert not DEFAULT_FIELDS & fields.keys()
    assert not [key for key in fields if key.startswith(("_", "date_"))]


@pytest.mark.parametrize("name", samples.names())
def test_a_collector_takes_it_as_it_is(name: str) -> None:
    found = envelope(name)
    assert hec.envelope(found, "2000-01-01T00:00:00Z") == found
    assert json.loads(hec.encode(found)) == found
    assert found["sourcetype"] == f"ms:securescore:{samples.event(name).stream}"
    assert found["source"].startswith("secure_score:")
    assert found["host"]


@pytest.mark.parametrize("name", samples.names())
def test_splunks_time_is_the_events(name: str) -> None:
    assert hec.envelope({"event": 1}, samples.event(name).time)["time"] == envelope(name)["time"]


RENAMED = {
    "source": "origin",
    "tenant.id": "tenant_id",
    "tenant.name": "tenant",
    "tenant.labels.customer": "labels.customer",
    "unit.kind": "unit_kind",
    "unit.id": "unit_id",
    "unit.name": "unit_name",
    "unit.score": "score_name",
}


@pytest.mark.parametrize("name", samples.names())
def test_nothing_an_event_says_is_lost(name: str) -> None:
    """Every fact of `data` stands under the same path, whoever adds one must add it here too."""
    found = list(kv_mode_json(event(name)))
    wanted = [(RENAMED.get(key, key), value) for key, value in kv_mode_json(dict(samples.event(name).data))]
    assert [pair for pair in wanted if pair not in found and pair[1] not in (None, "")] == []


@pytest.mark.parametrize("name", samples.names())
def test_null_is_written_only_inside_lists_and_groups(name: str) -> None:
    """KV_MODE=json would make the word "null" of it."""
    whole = ("contributions", "changes", "averages", "by_category", "by_service")
    assert [key for key, value in kv_mode_json(event(name)) if value is None and not key.startswith(whole)] == []


def test_field_types_do_not_change_from_event_to_event() -> None:
    """A field that is a number here and a text there cannot be searched."""
    kinds: dict[str, set[str]] = {}
    for name in samples.names():
        for key, value in kv_mode_json(event(name)):
            if value is not None and not key.startswith("changes{}."):
                kinds.setdefault(key, set()).add("number" if type(value) in (int, float) else type(value).__name__)
    assert {key: kind for key, kind in kinds.items() if len(kind) > 1} == {}


def test_connector_events_belong_to_no_tenant() -> None:
    found = envelope("connector.heartbeat")
    assert found["host"] == "siem-forwarder-1"
    assert "tenant" not in found["event"]
    assert "index" not in found


@pytest.mark.parametrize("name", samples.names())
def test_the_index_comes_from_the_tenants_own_label_only(name: str) -> None:
    if samples.event(name).data["tenant"] is None:
        return
    tenant = {"id": "x", "name": "contoso", "labels": {"splunk_index": "mine", "index": "other"}}
    assert envelope(name, {"data.tenant": tenant})["index"] == "mine"
    assert "index" not in envelope(name)


# ------------------------------------------------------------------------------------------------- GraphSecurity:Score


def test_the_older_add_ons_document_has_graphs_names() -> None:
    found = samples.mapping("graphsecurity").render(samples.event("score.observed")).payload
    assert not isinstance(found, str)
    assert found["sourcetype"] == "GraphSecurity:Score"
    assert set(found["event"]) - {"event_id", "revision", "final"} == {
        "id",
        "azureTenantId",
        "createdDateTime",
        "currentScore",
        "maxScore",
        "activeUserCount",
        "licensedUserCount",
        "enabledServices",
        "averageComparativeScores",
        "vendorInformation",
    }


@pytest.mark.parametrize("kind", [kind for kind in STREAM_OF_TYPE if kind != "score.observed"])
def test_the_older_add_ons_document_is_made_of_scores_only(kind: str) -> None:
    """Anything else gives an empty payload, which the sink refuses with the reason rather than send."""
    name = next(name for name in samples.names() if name.split("/")[0] == kind)
    payload = samples.mapping("graphsecurity").render(samples.event(name)).payload
    with pytest.raises(ValueError, match="the mapping gives no event"):
        hec.envelope(payload, "2026-11-22T00:00:00Z")
