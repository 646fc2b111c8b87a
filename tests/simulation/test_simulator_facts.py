"""The list of what is known of the real service: every name in it exists, and every habit and fault is in it."""

import re

import pytest

from connector.cli.main import main
from connector.simulator.facts import FACTS, Fact, lines
from connector.simulator.faults import KINDS
from connector.simulator.habits import HABITS


def facts(played: str) -> list[Fact]:
    return [fact for about in FACTS.values() for fact in about if fact.played == played]


@pytest.mark.parametrize(("played", "names"), [("habit", set(HABITS)), ("fault", set(KINDS))])
def test_every_switch_plays_a_fact_and_every_fact_names_its_switch(played: str, names: set[str]) -> None:
    assert {name for fact in facts(played) for name in fact.how.split(", ")} == names


def test_what_is_not_played_says_why() -> None:
    assert all(fact.how for fact in facts("no"))
    assert all(fact.how == "" for fact in facts("always"))


def test_the_list_is_printed_without_serving(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--facts"]) == 0
    printed = capsys.readouterr().out
    assert printed == "\n".join(lines()) + "\n"
    assert re.search(r"^  unordered +0\.3 ", printed, re.MULTILINE)
    assert re.search(r"^  challenge +401", printed, re.MULTILINE)
