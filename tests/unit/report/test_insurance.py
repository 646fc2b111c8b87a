"""What insurers ask is answered from measured points alone: nothing declared, unscored or unknown says yes."""

import re
from collections.abc import Mapping

import pytest
from attrs import evolve

from connector.errors import ConfigError
from connector.model import Control, Day, Profile, StateUpdate, Version
from connector.observe import diff
from connector.report import build, insurance
from connector.report.insurance import ANSWERS, answer_all, compile_table
from connector.report.values import EvidenceFile, Question
from connector.report.words import ANSWERS as WORDS
from connector.report.words import STANDINGS
from tests.fakes.posture import simulated, whole

HELD = (StateUpdate("ThirdParty", "2026-01-01T00:00:00Z"),)


def asked(
    percents: Mapping[str, float | None],
    *,
    declared: tuple[str, ...] = (),
    strange: tuple[str, ...] = (),
    decides: list[list[str]] | None = None,
    beside: list[str] | None = None,
) -> Question:
    """The answer to one question, of a day on which each control is worth 10; `strange` are not in the catalogue."""
    table = compile_table(
        {
            "version": 1,
            "label": "indicative",
            "questions": [{"id": "backup", "decides": decides or [], "beside": beside or []}],
        }
    )
    controls = {n: Control(n, "Identity", None if p is None else p / 10, p) for n, p in percents.items()}
    profiles = {
        n: Profile(n, n, max_score=10.0, updates=HELD if n in declared else ()) for n in percents if n not in strange
    }
    version = Version(Day("t_2026-11-22", "2026-11-22", 1.0, 2.0, controls), "hash")
    (question,) = answer_all(version, profiles, (), table).questions
    return question


@pytest.mark.parametrize(
    ("percents", "answer"),
    [
        ({"A": 100.0, "B": 100.0}, "yes"),
        ({"A": 100.0, "B": 99.99}, "partly"),
        ({"A": 100.0, "B": 0.0}, "partly"),
        ({"A": 0.0, "B": 0.0}, "no"),
        ({"A": 100.0}, "partly"),  # a control that is not scored proves nothing
        ({"A": 0.0}, "no"),
        ({"A": 0.0, "B": None}, "not_answerable"),
        ({"A": 100.0, "B": None}, "partly"),
        ({"A": None, "B": None}, "not_answerable"),
        ({"C": 100.0}, "not_answerable"),
        ({}, "not_answerable"),
    ],
)
def test_measured_points_decide(percents: Mapping[str, float | None], answer: str) -> None:
    assert asked(percents, decides=[["A"], ["B"]]).answer == answer


@pytest.mark.parametrize(
    ("declared", "percent", "answer"),
    [(("A",), 100.0, "asserted"), (("A", "B"), 100.0, "asserted"), (("A",), 50.0, "partly"), (("B",), 0.0, "partly")],
)
def test_what_was_declared_never_says_yes(declared: tuple[str, ...], percent: float, answer: str) -> None:
    assert asked({"A": 100.0, "B": percent}, declared=declared, decides=[["A"], ["B"]]).answer == answer


@pytest.mark.parametrize("state", sorted(diff.DECLARED))
def test_every_declared_state_is_an_assertion(state: str) -> None:
    profile = Profile("A", "A", updates=(StateUpdate(state, "2026-01-01T00:00:00Z"),))
    assert insurance.standing(Control("A", "Identity", 10.0, 100.0), profile) == "asserted"


def test_full_points_outside_the_catalogue_may_be_declared_ones() -> None:
    assert asked({"A": 100.0}, strange=("A",), decides=[["A"]]).answer == "not_answerable"


def test_a_group_takes_every_control_that_it_names() -> None:
    """Windows is covered, the Macs are not; there is no Linux."""
    found = asked({"scid_2000": 100.0, "scid_5001": 40.0}, decides=[["scid_200[012]", "scid_500[12]", "scid_600[12]"]])
    assert (found.answer, found.missing) == ("partly", ())
    assert [(c.control, c.standing) for c in found.deciding] == [("scid_2000", "full"), ("scid_5001", "part")]


def test_a_control_of_an_app_instance_counts_for_its_kind() -> None:
    assert asked({"11770.MDA_Google_MFA": 100.0}, decides=[["MDA_*"]]).answer == "yes"


def test_what_stands_beside_says_partly_at_most_and_only_where_nothing_decides() -> None:
    assert asked({"A": 100.0}, beside=["A"]).answer == "partly"
    assert asked({"A": 0.0}, beside=["A"]).answer == "not_answerable"
    found = asked({"A": 0.0, "B": 100.0}, decides=[["A"]], beside=["A", "B"])
    assert (found.answer, [c.control for c in found.beside]) == ("no", ["B"])
    assert asked({"B": 100.0}, decides=[["A"]], beside=["B"]).missing == ("A",)


def test_the_table_names_every_mistake() -> None:
    row = {"id": "backup"}
    with pytest.raises(ConfigError) as caught:
        compile_table({"version": 1, "label": "x", "questions": [row, {**row, "deices": []}, {"id": "r"}]})
    assert caught.value.problems == [
        "questions.2 (backup): unknown key 'deices'",
        "questions.2 (backup): the id is taken",
        "questions.3 (r): no text insurance.r.question in connector/language",
        "questions.3 (r): no text insurance.r.limits in connector/language",
    ]


def test_the_shipped_questions_are_what_insurers_ask() -> None:
    table = insurance.shipped()
    ids = [one.id for one in table.questions]
    assert {"mfa_all_users", "mfa_administrators", "mfa_mail", "mfa_remote_access", "legacy_sign_in"} < set(ids)
    assert {"endpoint_detection", "mail_protection", "privileged_access", "logging", "data_loss"} < set(ids)
    assert {"patch_state", "backup", "response_plan"} < set(ids)
    assert all(re.fullmatch(r"[a-z_]+", one) for one in ids)
    assert set(WORDS) == set(ANSWERS)
    assert set(STANDINGS) == {"full", "asserted", "part", "none", "unknown"}


def test_a_simulated_tenant_has_its_answers_with_day_and_hashes() -> None:
    material = simulated()
    assert material.memory.newest is not None
    newest = material.memory.newest
    proof = (
        EvidenceFile(newest.day.day, "secureScores-1.json.gz", "ab" * 32, "verified"),
        EvidenceFile(newest.day.day, "secureScores-2.json.gz", "cd" * 32, "altered"),
        EvidenceFile("2026-01-01", "secureScores-1.json.gz", "ef" * 32, "verified"),
    )
    told = build.build(evolve(material, evidence=proof), whole(material)).insurance
    assert (told.day, told.sha256, told.evidence) == (newest.day.day, newest.hash, ("ab" * 32,))
    answers = {one.id: one.answer for one in told.questions}
    silent = ("backup", "response_plan", "patch_state", "mfa_remote_access")
    assert {answers[one] for one in silent} == {"not_answerable"}, "Secure Score says nothing of it"
    assert answers["mail_authentication"] != "yes"
    assert set(answers.values()) <= set(ANSWERS)
    without = build.build(evolve(material, memory=evolve(material.memory, profiles=None)), whole(material)).insurance
    assert "yes" not in [one.answer for one in without.questions], "nobody knows what was declared"
