"""References of controls to frameworks: how the table is read, and that the shipped one is sound and copies nothing."""

import importlib.util
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.errors import ConfigError
from connector.mapping.resources import load_data
from connector.model import Control, Day, Version
from connector.observe import changes, frameworks
from connector.observe.causes import UNKNOWN
from tests.shared_data import shared_data

ROOT = Path(__file__).parents[3]
CTID = "ctid_m365-07.18.2025_attack-16.1.json"
CSF_CATEGORIES = {
    "GV": "OC RM RR PO OV SC",
    "ID": "AM RA IM",
    "PR": "AA AT DS PS IR",
    "DE": "CM AE",
    "RS": "MA AN CO MI",
    "RC": "RP CO",
}
"""The categories of NIST CSF 2.0."""

ATTACK: dict[str, Any] = {
    "version": 1,
    "attack": "16.1",
    "capabilities": {
        "A-B-E3": {"protect": ["T1001", "T1002.003"], "detect": ["T1003"]},
        "A-C-E5": {"detect": ["T1004"], "respond": ["T1005"]},
    },
}
TABLE: dict[str, Any] = {
    "version": 7,
    "label": "indicative",
    "frameworks": {
        "attack": {"version": "16.1", "provenance": "somebody's"},
        "nist_csf": {"version": "2.0", "provenance": "ours"},
        "cis_m365": {"version": "9", "provenance": "ours"},
    },
    "classes": [{"class": "first", "match": ["One", "Two*"]}, {"class": "second", "match": ["Two_a"]}],
    "rows": [
        {"match": ["fam_*"], "attack": [{"capability": "A-B-E3"}], "nist_csf": ["PR.AA-01"], "because": "family"},
        {"match": ["fam_a*", "One"], "nist_csf": ["PR.AA-05"], "because": "never reached by fam_a"},
        {"match": ["fam_b"], "cis_m365": ["5.2.2"], "because": "an id of its own"},
        {"match": ["Two*"], "attack": [{"capability": "A-C-E5"}], "because": "detect comes before respond"},
        {"match": ["Two_a"], "attack": [{"capability": "A-C-E5", "effect": "respond"}], "because": "stated effect"},
        {"match": ["Three"], "attack": [{"capability": "A-B-E3", "only": ["T1002.003"]}], "because": "one facet"},
    ],
}


def compiled(table: Any = TABLE) -> frameworks.Table:
    return frameworks.compile_table(table, ATTACK)


def found(control_id: str, table: frameworks.Table | None = None) -> list[str]:
    return [ref.id for ref in (table or compiled()).references(control_id)]


# --------------------------------------------------------------------------------------------------------- the engine


@pytest.mark.parametrize(
    ("control_id", "ids"),
    [
        ("fam_x", ["T1001", "T1002.003", "PR.AA-01"]),
        ("fam_a1", ["T1001", "T1002.003", "PR.AA-01"]),  # the first glob of the file wins
        ("fam_b", ["5.2.2"]),  # an id goes before an earlier glob
        ("One", ["PR.AA-05"]),
        ("Two_x", ["T1004"]),
        ("Two_a", ["T1005"]),
        ("Three", ["T1002.003"]),
        ("11770.fam_b", ["5.2.2"]),  # one instance of a SaaS app
        ("11770.11771.fam_b", []),
        ("x11770.fam_b", []),
        ("FAM_B", []),
        ("", []),
        ("[", []),
        ("fam", []),
    ],
)
def test_what_is_said_of_a_control(control_id: str, ids: list[str]) -> None:
    assert found(control_id) == ids


def test_what_is_said_of_controls_of_resources() -> None:
    cloud = json.loads(shared_data("azure_ListSecureScoreControls_expand_example_trimmed.json").read_bytes())
    seen = frameworks.shipped().coverage(control["name"] for control in cloud["value"])
    assert seen.by_framework == {"any": 10, "class": 0, "nist_csf": 10}
    names = {control["name"]: control["properties"]["displayName"] for control in cloud["value"]}
    assert [names[one] for one in seen.unmapped] == [
        "Implement security best practices",
        "Protect applications against DDoS attacks",
    ]


def test_a_reference_tells_where_it_comes_from() -> None:
    first, *_ = compiled().references("fam_x")
    assert first == frameworks.Ref(
        "attack", "T1001", "16.1", "somebody's", "family", capability="A-B-E3", effect="protect", label="indicative"
    )


@pytest.mark.parametrize(
    ("control_id", "name"),
    [("One", "first"), ("Two_b", "first"), ("Two_a", "second"), ("5.Two_a", "second"), ("Zero", None)],
)
def test_classes(control_id: str, name: str | None) -> None:
    assert compiled().class_of(control_id) == name


def test_coverage_counts_controls_and_names_the_unmapped() -> None:
    seen = compiled().coverage(["fam_x", "fam_x", "One", "Zero", "Another"])
    assert seen.total == 4
    assert seen.by_framework == {"any": 2, "attack": 1, "class": 1, "nist_csf": 2}
    assert seen.unmapped == ("Another", "Zero")


def test_every_problem_of_a_table_is_named() -> None:
    table = deepcopy(TABLE)
    table["frameworks"]["attack"]["version"] = "15"
    table["classes"].append({"class": "third", "match": ["One"]})
    table["rows"] += [
        {"match": ["p1"], "nist_csf": ["PR.AA-01"]},
        {"match": ["p2"], "because": "nothing"},
        {"match": ["p3"], "iso": ["A.5"], "nist_csf": ["PR.AA-01"], "because": "x"},
        {"match": ["p4"], "attack": [{"capability": "NO-SUCH-E3"}], "nist_csf": ["PR.AA-01"], "because": "x"},
        {"match": ["p5"], "attack": [{"capability": "A-B-E3", "only": ["T1003"]}], "because": "x"},
        {"match": ["p6"], "attack": [{"capability": "A-B-E3", "onyl": ["T1001"]}], "because": "x"},
        {"match": ["p7"], "nist_csf": ["words of the framework"], "because": "x"},
        {"match": ["fam_b"], "nist_csf": ["PR.AA-01"], "because": "x"},
    ]
    with pytest.raises(ConfigError) as refused:
        compiled(table)
    told = "\n".join(refused.value.problems)
    for words in (
        "version 15 is not 16.1",
        "classes: 'One' is matched twice",
        "rows.7 (p1): no rationale",
        "rows.8 (p2): no reference",
        "rows.9 (p3): unknown framework 'iso'",
        "rows.10 (p4): capability 'NO-SUCH-E3' has no effect",
        "rows.11 (p5): A-B-E3 does not protect T1003",
        "rows.12 (p6): unknown key 'onyl'",
        "rows.13 (p7): 'words of the framework' is no id of nist_csf",
        "rows: 'fam_b' is matched twice",
    ):
        assert words in told
    assert len(refused.value.problems) == 10
    assert refused.value.hint


# --------------------------------------------------------------------------------------------------------- in events


def control(name: str, score: float) -> Control:
    return Control(name, "Identity", score, score * 10)


def version(day: str, one: Control) -> Version:
    return Version(Day(f"t_{day}", day, one.score, 10.0, {one.name: one}), day)


def score_changed(name: str) -> Mapping[str, Any]:
    was, now = control(name, 10.0), control(name, 4.0)
    before, after = version("2026-11-21", was), version("2026-11-22", now)
    change = changes.control_score_changed(
        was, now, after, UNKNOWN, None, was_day=before.day.day, was_ref=before.ref, transition=None, backfilled=False
    )
    return change.data["control"]  # type: ignore[no-any-return]


def test_a_change_of_a_control_carries_class_and_references() -> None:
    info = score_changed("BlockLegacyAuthentication")
    assert info["class"] == "mfa_conditional_access"
    assert info["frameworks"] == {
        "attack": ["T1078.004", "T1110", "T1110.001", "T1110.002", "T1110.003", "T1110.004"],
        "nist_csf": ["PR.AA-03"],
        "label": "indicative",
        "version": 1,
    }


def test_an_unmapped_control_says_nothing() -> None:
    assert {"class", "frameworks"}.isdisjoint(score_changed("SomethingNew"))


def test_the_daily_inventory_goes_without_references() -> None:
    one = control("BlockLegacyAuthentication", 10.0)
    [observed] = changes.controls_observed(version("2026-11-22", one), {})
    assert {"class", "frameworks"}.isdisjoint(observed.data["control"])


def test_the_tags_of_two_events_are_not_the_same_objects() -> None:
    frameworks.tags("AdminMFAV2")["frameworks"]["attack"].clear()
    assert frameworks.tags("AdminMFAV2")["frameworks"]["attack"]


# --------------------------------------------------------------------------------------------------- the shipped table


@pytest.mark.parametrize(
    ("control_id", "name"),
    [
        ("AdminMFAV2", "mfa_conditional_access"),
        ("MFARegistrationV2", "mfa_conditional_access"),
        ("SelfServicePasswordReset", "self_service_password_reset"),
        ("RoleOverlap", "privileged_identity"),
        ("PasswordHashSync", "password_hash_sync"),
        ("SigninRiskPolicy", "sign_in_user_risk"),
        ("UserRiskPolicy", "sign_in_user_risk"),
        ("McasOAuthAppNotification", "app_permissions"),
        ("McasAnomalyDetectionPolicy", "anomaly_detection"),
        ("McasFirewallLogUpload", "cloud_discovery"),
        ("McasCloudAppNotification", "cloud_discovery"),
        ("McasCutomActivityPolicy", "activity_policies"),
        ("scid_2010", None),
    ],
)
def test_the_controls_of_the_first_set_are_classed(control_id: str, name: str | None) -> None:
    assert frameworks.tags(control_id).get("class") == name


def test_one_instance_of_an_app_has_the_references_of_the_app() -> None:
    name = "MDA_Google_EnableTwoFactorAuth"
    assert frameworks.references(f"11770.{name}") == frameworks.references(name) != ()


def test_every_row_has_an_id_in_the_right_form_and_words_of_its_own() -> None:
    rows = load_data("frameworks")["rows"]
    csf = {f"{function}.{category}" for function, many in CSF_CATEGORIES.items() for category in many.split()}
    for row in rows:
        assert set(row) <= {"match", "attack", "nist_csf", "because"}, row  # no source permits CIS sections: none
        assert len(row["because"]) <= 120
        for one in row.get("nist_csf", ()):
            assert re.fullmatch(r"[A-Z]{2}\.[A-Z]{2}(-\d\d)?", one)
            assert one[:5] in csf
    for table in frameworks.shipped().refs:
        assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", ref.id) for ref in table if ref.framework == "attack")
        assert all(ref.label == "indicative" and ref.provenance and ref.rationale and ref.version for ref in table)


def catalogue() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shared_data("mssat_SecureScore-API-Controls.json").read_text("utf-8-sig"))
    return found


def test_the_catalogue_is_covered_and_the_events_stay_small() -> None:
    ids = [profile["Id"] for profile in catalogue()]
    seen = frameworks.shipped().coverage(ids)
    assert seen.total == 411
    assert seen.by_framework == {"any": 410, "attack": 82, "class": 19, "nist_csf": 410}
    assert seen.unmapped == ("mdo_quarantineretentionperiod",)
    assert max(len(json.dumps(frameworks.tags(one))) for one in ids) < 400


def test_no_id_stands_in_the_table_that_no_capture_has() -> None:
    """A misspelt id would never match, and nobody would notice."""
    pages = json.loads(shared_data("heimdall2_profiles.json").read_text("utf-8-sig"))
    cloud = json.loads(shared_data("azure_ListSecureScoreControls_expand_example_trimmed.json").read_bytes())
    ids = {profile["Id"] for profile in catalogue()} | {profile["id"] for profile in pages["value"]}
    ids |= {control["name"] for control in cloud["value"]}
    assert set(frameworks.shipped().rows.ids) <= ids
    assert set(frameworks.shipped().class_rows.ids) <= ids


def test_every_technique_is_one_that_the_source_gives_to_that_capability() -> None:
    source = json.loads(shared_data(CTID).read_bytes())
    known = {
        (row["capability_id"], row["score_category"], row["attack_object_id"]) for row in source["mapping_objects"]
    }
    refs = [ref for table in frameworks.shipped().refs for ref in table if ref.framework == "attack"]
    assert len(refs) > 100
    assert [ref for ref in refs if (ref.capability, ref.effect, ref.id) not in known] == []


def test_the_derived_table_is_what_the_tool_makes_of_the_source() -> None:
    spec = importlib.util.spec_from_file_location("tool", ROOT / "packaging/tools/build_frameworks.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = tool.derive(json.loads(shared_data(CTID).read_bytes()))
    assert text == (ROOT / "mappings/attack.yaml").read_text("utf-8")
    assert yaml.safe_load(text)["capabilities"]["EID-MFA-E3"]["protect"][0] == "T1078.004"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"<[^>]+>", " ", text).casefold())


def test_no_sentence_of_a_source_is_copied() -> None:
    """No run of eight words of our files stands in a title, a remediation text or a comment of the sources."""
    theirs: set[tuple[str, ...]] = set()
    texts = [str(profile.get(key)) for profile in catalogue() for key in ("Title", "Remediation", "RemediationImpact")]
    texts += [row["comments"] for row in json.loads(shared_data(CTID).read_bytes())["mapping_objects"]]
    for text in texts:
        run = words(text)
        theirs |= {tuple(run[n : n + 8]) for n in range(len(run) - 7)}
    ours = words(" . ".join(row["because"] for row in load_data("frameworks")["rows"]))
    assert theirs
    assert {tuple(ours[n : n + 8]) for n in range(len(ours) - 7)} & theirs == set()
    titles = {profile["Title"].casefold() for profile in catalogue()}
    text = (ROOT / "mappings/frameworks.yaml").read_text("utf-8").casefold()
    assert [title for title in titles if len(title) > 20 and title in text] == []


def test_the_origin_is_credited() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for name in ("Center for Threat-Informed Defense", "Apache License, Version 2.0", "mitre/heimdall2"):
        assert name in notice


def test_every_reference_has_the_name_that_its_framework_gives_it() -> None:
    table = frameworks.shipped()
    used = {(ref.framework, ref.id) for refs in table.refs for ref in refs}
    assert [one for one in sorted(used) if not table.title_of(*one)] == []
    nist = {ref_id for framework, ref_id in table.titles if framework == "nist_csf"}
    assert nist == {ref_id for framework, ref_id in used if framework == "nist_csf"}, "a name that no row uses"
    assert table.title_of("attack", "T1110.003") == "Password Spraying"
    assert table.title_of("nist_csf", "PR.AA-03") == "Users, services, and hardware are authenticated"
    assert table.title_of("cis_m365", "1.1") is None
