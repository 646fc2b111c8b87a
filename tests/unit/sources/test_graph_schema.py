"""Documents as Graph declares them (CSDL), as the captures and the simulator have them, and as we and others read them.

The comparison with Microsoft's own models needs msgraph-sdk (240 MB installed), which no other test does: it is the
dependency group `msgraph`, and the test is skipped without it.
"""

import importlib
import importlib.util
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from connector.simulator.faults import alter
from connector.simulator.world import World
from connector.sources.days import parse_days
from connector.sources.profiles import parse_profiles
from connector.sources.scalars import moment
from tests.needs import missing
from tests.shared_data import HEIMDALL_TENANT, shared_data

NOW = datetime(2026, 9, 10, 12, tzinfo=UTC)
SCORE, PROFILE = "secureScore", "secureScoreControlProfile"

Types = Mapping[str, Mapping[str, str]]
"""Declared type → property → its Edm type."""


@pytest.fixture(scope="module")
def declared() -> Types:
    text = shared_data("graph_v1.0_securescore.csdl.xml").read_text(encoding="utf-8")
    root = ET.fromstring(f"<all>{re.sub('<!--.*?-->', '', text, flags=re.DOTALL)}</all>")
    return {
        entry.get("Name", ""): {p.get("Name", ""): p.get("Type", "") for p in entry.iter("Property")} for entry in root
    }


UNDECLARED = {
    SCORE: {"id"},  # of the base type graph.entity
    PROFILE: {"id"},
    # Open types: what the captures add to them, and nothing else.
    "controlScore": {
        *("scoreInPercentage", "lastSynced", "implementationStatus", "on", "count", "total", "state"),
    },
}
INT32 = range(-(2**31), 2**31)


def faults(value: Any, edm: str, types: Types, where: str) -> Iterator[str]:
    """Where a JSON value is not what its Edm type allows (OData JSON format 4.01, section 7)."""
    if value is None:
        return
    if edm.startswith("Collection("):
        if not isinstance(value, list):
            yield f"{where}: no list"
            return
        for n, item in enumerate(value):
            yield from faults(item, edm[11:-1], types, f"{where}[{n}]")
    elif edm.startswith("graph."):
        yield from odd(value, edm[6:], types, where)
    elif not {
        "Edm.String": lambda v: isinstance(v, str),
        "Edm.Boolean": lambda v: isinstance(v, bool),
        "Edm.Double": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
        "Edm.Int32": lambda v: (isinstance(v, int) or (isinstance(v, float) and v.is_integer())) and int(v) in INT32,
        "Edm.DateTimeOffset": lambda v: moment(v) is not None,
    }[edm](value):
        yield f"{where}: {value!r} is no {edm}"


def odd(document: Any, name: str, types: Types, where: str) -> Iterator[str]:
    if not isinstance(document, dict):
        yield f"{where}: no object"
        return
    properties = types[name]
    strict = name in UNDECLARED
    for key, value in document.items():
        if key.startswith("@odata."):
            continue
        if key in properties:
            yield from faults(value, properties[key], types, f"{where}.{key}")
        elif strict and key not in UNDECLARED[name]:
            yield f"{where}.{key}: not declared"


@cache
def simulated() -> dict[str, list[Any]]:
    """What the simulator says of three tenants. Not to be altered."""
    world = World(7, 3, date(2026, 6, 1))
    found: dict[str, list[Any]] = {SCORE: [], PROFILE: []}
    for who in world.tenants:
        found[SCORE] += world.score_documents(who.id, NOW, 3)
        found[PROFILE] += world.profiles(who.id, NOW)
    return found


@pytest.mark.parametrize("kind", [SCORE, PROFILE])
def test_the_simulator_says_only_what_graph_declares(declared: Types, kind: str) -> None:
    documents = simulated()[kind]
    assert len(documents) >= 9
    assert [f for n, d in enumerate(documents) for f in odd(d, kind, declared, f"{kind} {n}")] == []
    spoken = set().union(*documents)
    assert set(declared[kind]) - spoken == set(), "and all of it"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("heimdall2_profiles.json", PROFILE),
        ("heimdall2_secureScore.json", SCORE),
        ("heimdall2_secureScore-multiple.json", SCORE),
    ],
)
def test_captures_conform_so_the_declaration_is_still_the_one_we_meet(declared: Types, file: str, kind: str) -> None:
    documents = json.loads(shared_data(file).read_text(encoding="utf-8-sig"))["value"]
    assert [f for n, d in enumerate(documents) for f in odd(d, kind, declared, f"{file} {n}")] == []


@pytest.mark.parametrize("kind", [SCORE, PROFILE])
def test_drift_is_seen(declared: Types, kind: str) -> None:
    """The checks above can fail: numbers as strings and unheard-of fields are found."""
    rows = [json.dumps(document).encode() for document in simulated()[kind][:2]]
    drifted = [json.loads(row) for row in alter("odd_types", rows)]
    found = [f for d in drifted for f in odd(d, kind, declared, "")]
    assert any("maxScore" in f for f in found)
    assert any("unheardOf" in f for f in found)


# ------------------------------------------------------------------------------------------------------- msgraph-sdk


@pytest.fixture(scope="module")
def sdk() -> Any:
    """Parse bytes into Microsoft's own models; SECURESCORE_MSGRAPH may name a folder the package is installed in."""
    extra = os.environ.get("SECURESCORE_MSGRAPH")
    if extra:
        sys.path.append(extra)
    if importlib.util.find_spec("msgraph") is None:
        missing("msgraph-sdk is not installed: pip install --require-hashes -r tests/requirements-msgraph.lock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = importlib.import_module("kiota_serialization_json.json_parse_node").JsonParseNode
        models = "msgraph.generated.models"
        kinds = {
            SCORE: importlib.import_module(f"{models}.secure_score").SecureScore,
            PROFILE: importlib.import_module(f"{models}.secure_score_control_profile").SecureScoreControlProfile,
        }

    def parse(kind: str, document: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return node(document).get_object_value(kinds[kind])

    return parse


def sources(kind: str) -> list[tuple[str, list[Any]]]:
    """(tenant, documents): captures and simulated ones."""
    file = "heimdall2_profiles.json" if kind == PROFILE else "heimdall2_secureScore.json"
    captured = json.loads(Path(shared_data(file)).read_text(encoding="utf-8-sig"))["value"]
    made: dict[str, list[Any]] = {}
    for document in simulated()[kind]:
        made.setdefault(document["azureTenantId"], []).append(document)
    return [(captured[0].get("azureTenantId") or HEIMDALL_TENANT, captured), *made.items()]


def test_days_read_as_microsofts_own_models_read_them(sdk: Any) -> None:
    compared = 0
    for tenant, documents in sources(SCORE):
        days = parse_days(json.loads(json.dumps(documents)), tenant, "test", "2999-01-01")
        for document, day in zip(documents, days, strict=True):
            theirs = sdk(SCORE, document)
            assert day.id == theirs.id
            assert (day.score, day.max_score) == (theirs.current_score, theirs.max_score)
            assert day.services == tuple(sorted(set(theirs.enabled_services)))
            assert (day.active_users, day.licensed_users) == (theirs.active_user_count, theirs.licensed_user_count)
            own = {name: (c.category, c.score) for name, c in day.controls.items()}
            assert own == {c.control_name: (c.control_category, c.score) for c in theirs.control_scores}
            assert [a.basis for a in day.averages] == [a.basis for a in theirs.average_comparative_scores]
            for mine, other in zip(day.averages, theirs.average_comparative_scores, strict=True):
                assert mine.percent == (None if other.average_score == -1 else other.average_score)
            compared += len(own)
    assert compared > 300


def test_profiles_read_as_microsofts_own_models_read_them(sdk: Any) -> None:
    compared = 0
    for tenant, documents in sources(PROFILE):
        found = parse_profiles(json.loads(json.dumps(documents)), tenant, "test").profiles
        for document in documents:
            theirs, mine = sdk(PROFILE, document), found[document["id"]]
            assert (mine.title, mine.service, mine.tier) == (theirs.title, theirs.service, theirs.tier)
            assert (mine.max_score, mine.rank) == (theirs.max_score, theirs.rank)
            assert (mine.action_url, mine.deprecated) == (theirs.action_url or "", theirs.deprecated)
            ours = sorted(
                (u.state.casefold(), u.by or "", u.at or "") for u in mine.updates
            )  # ours stand in time's order
            assert ours == sorted(
                (
                    u.state.casefold(),
                    u.updated_by or "",
                    f"{at:%Y-%m-%dT%H:%M:%SZ}" if (at := u.updated_date_time) else "",
                )
                for u in theirs.control_state_updates or []
            )
            compared += 1
    assert compared > 1_000
