"""Files for compliance tools: OSCAL and HDF say of every control what is known, and neither passes an assertion."""

import json
import re
from functools import cache
from typing import Any

import pytest
from attrs import evolve

from connector.observe import diff
from connector.report import build, hdf, oscal
from connector.report.values import EvidenceFile, Scored, TenantReport
from tests.fakes.posture import HOSTILE, hostile, simulated, whole
from tests.unit.report.test_forms import written

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TOKEN = re.compile(r"[^\W\d][\w.-]*")


@cache
def report(*, harmed: bool = False) -> TenantReport:
    made = hostile(simulated(7)) if harmed else simulated(7)
    found = build.build(made, whole(made))
    proof = (
        EvidenceFile(found.days[-1].day, "secureScores-1.json.gz", "ab" * 32, "verified"),
        EvidenceFile(found.days[-1].day, "secureScores-9.json.gz", "", "unlisted"),
    )
    return evolve(found, evidence=proof)


def of(form: Any, made: TenantReport) -> Any:
    return json.loads(written(form, [made]))


def standing(made: TenantReport, name: str) -> str:
    return next(one.standing for one in made.scored if one.control == name)


def with_one(**more: Any) -> tuple[TenantReport, Scored]:
    """The report with its first control as it is said to be."""
    first, *others = report().scored
    one = evolve(first, **more)
    return evolve(report(), scored=(one, *others)), one


STANDINGS = [
    ("full", "Default", "satisfied", "passed"),
    ("asserted", "ThirdParty", "not-satisfied", "skipped"),
    ("asserted", "Ignored", "not-satisfied", "skipped"),
    ("unknown", "unknown", "not-satisfied", "skipped"),
    ("part", "Default", "not-satisfied", "failed"),
    ("part", "Reviewed", "not-satisfied", "failed"),
    ("none", "Ignored", "not-satisfied", "failed"),
]


# --------------------------------------------------------------------------------------------------------------- OSCAL


def everything(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(inner for each in value.values() for inner in everything(each))]
    if isinstance(value, list):
        return [inner for each in value for inner in everything(each)]
    return [value]


@pytest.mark.parametrize("harmed", [False, True])
def test_every_control_is_observed_and_found_once(harmed: bool) -> None:
    made = report(harmed=harmed)
    root = of(oscal, made)["assessment-results"]
    (result,) = root["results"]
    names = [one.control for one in made.scored]
    assert [p["value"] for o in result["observations"] for p in o["props"] if p["name"] == "control"] == names
    ids = [o["uuid"] for o in result["observations"]]
    assert [f["related-observations"] for f in result["findings"]] == [[{"observation-uuid": one}] for one in ids]
    selected = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    assert [c["control-id"] for c in selected] == [f["target"]["target-id"] for f in result["findings"]]
    assert len({c["control-id"] for c in selected}) == len(names)


@pytest.mark.parametrize("harmed", [False, True])
def test_what_oscal_asks_of_every_value_holds(harmed: bool) -> None:
    root = of(oscal, report(harmed=harmed))
    found = everything(root)
    objects = [each for each in found if isinstance(each, dict)]
    made = [each["uuid"] for each in objects if "uuid" in each]
    assert [one for one in made if not UUID.fullmatch(one)] == []
    assert len(set(made)) == len(made)
    for prop in (each for each in objects if "ns" in each):
        assert TOKEN.fullmatch(prop["name"])
        assert re.fullmatch(r"\S(.*\S)?", prop["value"])
    for each in objects:
        assert TOKEN.fullmatch(each.get("control-id", "x"))
        assert TOKEN.fullmatch(each.get("target-id", "x"))
        assert [] not in each.values(), "an empty list is none"
    linked = {text.removeprefix("#") for each in objects for k, text in each.items() if k == "href" and text[0] == "#"}
    assert linked <= set(made)


def test_the_same_data_has_the_same_ids() -> None:
    again = build.build(simulated(7), whole(simulated(7)))
    assert written(oscal, [evolve(again, evidence=report().evidence)]) == written(oscal, [report()])
    other = evolve(report(), summary=evolve(report().summary, tenant_id="another"))
    one, two = (of(oscal, made)["assessment-results"]["uuid"] for made in (report(), other))
    assert one != two


def test_evidence_hashes_stand_in_the_back_matter() -> None:
    resources = of(oscal, report())["assessment-results"]["back-matter"]["resources"]
    kept, unlisted = resources[1:]
    assert kept["rlinks"][0]["hashes"] == [{"algorithm": "SHA-256", "value": "ab" * 32}]
    assert "hashes" not in unlisted["rlinks"][0]
    (result,) = of(oscal, report())["assessment-results"]["results"]
    assert result["observations"][0]["relevant-evidence"][0]["href"] == f"#{kept['uuid']}"


def test_nothing_of_a_tenant_is_markup_in_oscal() -> None:
    titles = [
        each["title"]
        for each in everything(of(oscal, report(harmed=True)))
        if isinstance(each, dict) and "title" in each
    ]
    assert [title for title in titles if re.search(r"(?<!\\)[<>\[\]`]", title)] == []
    assert not [title for title in titles if "\n" in title]


@pytest.mark.parametrize(("state_of", "state", "satisfied", "_passed"), STANDINGS)
def test_oscal_is_satisfied_by_measured_points_only(state_of: str, state: str, satisfied: str, _passed: str) -> None:
    made, _ = with_one(standing=state_of, state=state)
    finding = of(oscal, made)["assessment-results"]["results"][0]["findings"][0]
    assert finding["target"]["status"]["state"] == satisfied


def test_a_day_without_controls_has_no_empty_lists() -> None:
    result = of(oscal, evolve(report(), scored=()))["assessment-results"]["results"][0]
    assert "findings" not in result
    assert "observations" not in result


def test_a_control_id_that_is_no_token_becomes_one() -> None:
    made, one = with_one(control="11770.MDA Google (1)")
    selected = of(oscal, made)["assessment-results"]["results"][0]["findings"][0]
    assert selected["target"]["target-id"] == "_11770.MDA_Google__1_"
    assert one.control in [
        p["value"] for p in of(oscal, made)["assessment-results"]["results"][0]["observations"][0]["props"]
    ]


# ----------------------------------------------------------------------------------------------------------------- HDF


@pytest.mark.parametrize("harmed", [False, True])
def test_every_control_is_in_the_profile_with_one_result(harmed: bool) -> None:
    made = report(harmed=harmed)
    document = of(hdf, made)
    assert set(document) >= {"platform", "version", "statistics", "profiles"}
    (profile,) = document["profiles"]
    assert set(profile) >= {"attributes", "controls", "groups", "name", "sha256", "supports"}
    assert [c["id"] for c in profile["controls"]] == [one.control for one in made.scored]
    for control in profile["controls"]:
        assert set(control) >= {"id", "impact", "refs", "results", "source_location", "tags"}
        assert 0 <= control["impact"] <= 1
        (result,) = control["results"]
        assert set(result) >= {"code_desc", "start_time", "status"}
        assert (result["status"] == "passed") == (standing(made, control["id"]) == "full")
        assert (result["status"] == "skipped") == ("skip_message" in result)
    assert sorted(n for group in profile["groups"] for n in group["controls"]) == [one.control for one in made.scored]
    json.dumps(document, ensure_ascii=False).encode()  # no lone surrogate


@pytest.mark.parametrize(("state_of", "state", "_satisfied", "passed"), STANDINGS)
def test_heimdall_counts_measured_points_only(state_of: str, state: str, _satisfied: str, passed: str) -> None:
    made, _ = with_one(standing=state_of, state=state, comment="why", by="who")
    control = of(hdf, made)["profiles"][0]["controls"][0]
    assert control["results"][0]["status"] == passed
    assert ("waiver_data" in control) == (state == "Ignored")


def test_nist_tags_follow_from_the_category_of_the_framework() -> None:
    known = {ref for one in report().scored for ref in one.references.get("nist_csf", ())}
    assert known <= set(hdf.NIST_800_53), "give these categories their neighbours"
    for control in of(hdf, report())["profiles"][0]["controls"]:
        csf = control["tags"]["nist_csf"]
        assert control["tags"]["nist"] == (
            list(dict.fromkeys(r for c in csf for r in hdf.NIST_800_53[c])) or list(hdf.UNMAPPED)
        )


def test_every_category_that_the_table_of_frameworks_uses_has_its_neighbours() -> None:
    from connector.observe import frameworks  # noqa: PLC0415

    used = {ref.id for refs in frameworks.shipped().refs for ref in refs if ref.framework == "nist_csf"}
    assert used == set(hdf.NIST_800_53)


def test_the_totals_and_the_evidence_come_along() -> None:
    data = of(hdf, report())["passthrough"]["auxiliary_data"][0]["data"]
    assert (data["score"], data["day"]) == (report().summary.score, report().summary.newest_day)
    assert [e["sha256"] for e in data["evidence"]] == ["ab" * 32, ""]
    assert diff.fixed(data["measured"]) + diff.fixed(data["asserted"]) == diff.fixed(data["score"])
    assert HOSTILE[0] in json.dumps(of(hdf, report(harmed=True)), ensure_ascii=False)
