"""The ASIM parsers within the rules of the content repository.

Source: Azure/Azure-Sentinel `.script/tests/asimParsersTest/VerifyASimParserTemplate.py` (names, versions, references,
sample data), and what its reviewers ask for: a twin without filters, `pack`, filters before anything is summarised.
What they give is judged in tests/real (test_kusto.py, test_kql_rows.py).
"""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import sentinel_content

SCHEMA, VERSION = "AuditEvent", "0.1.2"
"""The version that the repository's check knows; parsers of others that came in 2026 also say 1.0.0."""
KINDS = {"ASim": "_ASim_AuditEvent_", "vim": "_Im_AuditEvent_"}
SWITCHES = [{"Name": name, "Type": "bool", "Default": "false"} for name in ("disabled", "pack")]
FILTERS = (
    *("starttime", "endtime", "srcipaddr_has_any_prefix", "eventresult", "actorusername_has_any", "eventtype_in"),
    *("operation_has_any", "object_has_any", "newvalue_has_any"),
)


def parser(kind: str) -> dict[str, Any]:
    return sentinel_content.documents("Parsers")[f"{kind}AuditEventMicrosoftSecureScore.yaml"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_parser_is_described_as_the_repository_asks(kind: str) -> None:
    found = parser(kind)
    about = found["Parser"]
    assert about["Title"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["Version"])
    datetime.strptime(about["LastUpdated"], "%b %d, %Y").replace(tzinfo=UTC)
    assert found["Normalization"] == {"Schema": SCHEMA, "Version": VERSION}
    assert {one["Title"]: one["Link"] for one in found["References"]} == {
        "ASIM Audit Event Schema": "https://aka.ms/ASimAuditEventDoc",
        "ASIM": "https://aka.ms/AboutASIM",
    }
    assert found["ParserName"].startswith(f"{kind}{SCHEMA}")
    assert found["EquivalentBuiltInParser"] == f"{KINDS[kind]}MicrosoftSecureScore"
    for field, value in (
        ("EventProduct", "Secure Score"),
        ("EventVendor", "Microsoft"),
        ("EventSchemaVersion", VERSION),
    ):
        assert f'{field} = "{value}"' in found["ParserQuery"]


def test_parameters_are_those_of_the_schema() -> None:
    assert [one["Name"] for one in parser("vim")["ParserParams"][: len(FILTERS)]] == list(FILTERS)
    assert parser("vim")["ParserParams"][len(FILTERS) :] == SWITCHES
    assert parser("ASim")["ParserParams"] == SWITCHES


def test_both_parsers_are_one_but_for_the_filters() -> None:
    lines = parser("vim")["ParserQuery"].splitlines()
    rest = [line for line in lines if not any(re.search(rf"\b{name}\b", line) for name in FILTERS)]
    assert parser("ASim")["ParserQuery"].splitlines() == rest
    for name in FILTERS:
        assert any(re.search(rf"\| where .*\b{name}\b", line) for line in lines), f"{name} filters nothing"


def test_rows_are_filtered_before_they_are_summarised_and_first_by_time() -> None:
    query = parser("vim")["ParserQuery"]
    before, _, after = query.partition("| summarize")
    assert [name for name in FILTERS if not re.search(rf"\b{name}\b", before)] == []
    assert [name for name in FILTERS if re.search(rf"\b{name}\b", after)] == []
    for branch in re.findall(r"\((SecureScore\w+_CL\n.*?)\n *\| project", query, re.DOTALL):
        steps = [step.strip() for step in branch.split("| where")]
        assert [steps[n].split()[0] for n in (1, 2, 3)] == ["not(disabled)", "isnull(starttime)", "isnull(endtime)"]


def test_a_parser_stands_alone() -> None:
    """In the content repository it has a place of its own, away from this solution's functions."""
    functions = [name for name, _, _ in sentinel_content.functions()]
    for kind in KINDS:
        assert [name for name in functions if f"{name}(" in parser(kind)["ParserQuery"]] == []


def test_further_fields_are_packed_only_when_asked() -> None:
    for kind in KINDS:
        assert "AdditionalFields = iff(pack, bag_pack(" in parser(kind)["ParserQuery"]
