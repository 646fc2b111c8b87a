"""`reports` of the configuration: what is read, and what is refused before a file is written to the wrong place."""

from typing import Any

import pytest

from connector.config.keys import LANGUAGES
from connector.config.values import ScheduleConfig
from connector.errors import ConfigError
from connector.language.choice import LANGUAGES as SPOKEN
from tests.config_example import minimal, parsed

GOOD: dict[str, Any] = {"every": "month", "path": "./reports/{tenant}-{period}.html"}


def problems(*reports: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(minimal(reports=list(reports)))
    return caught.value.problems


def test_a_path_is_relative_to_the_configuration_and_the_rest_has_defaults() -> None:
    found = parsed(minimal(reports=[GOOD, {**GOOD, "every": "day", "path": "/srv/{tenant}/{period}.hdf.json"}])).reports
    assert found == (
        ScheduleConfig("month", "/srv/reports/{tenant}-{period}.html"),
        ScheduleConfig("day", "/srv/{tenant}/{period}.hdf.json"),
    )
    full = {**GOOD, "tenants": ["tier=gold"], "language": "de", "keep_days": "90d"}
    assert parsed(minimal(reports=[full])).reports[0] == ScheduleConfig(
        "month", "/srv/reports/{tenant}-{period}.html", ("tier=gold",), "de", 90
    )
    assert parsed(minimal()).reports == ()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("./r/{tenant}.html", ["lacks {period}: no period may replace another's file"]),
        ("./r/{period}.html", ["lacks {tenant}: each tenant has a file of its own"]),
        ("./r/{tenant}-{perod}.html", ["{perod} is no placeholder", "did you mean period?", "lacks {period}"]),
        ("./r/{tenant}-{period}-{tenant_id}.html", ["{tenant_id} is no placeholder"]),
        ("./r/{{tenant}}-{period}.html", ["brace that belongs to no placeholder"]),
        ("./r/{tenant}-{period}.html{", ["brace", "must end in one of"]),
        ("./r/{tenant}-{period}.pdf", ["must end in one of .html, .json, .csv"]),
    ],
)
def test_a_path_that_would_lose_a_report_is_refused(path: str, words: list[str]) -> None:
    told = " ".join(problems({**GOOD, "path": path}))
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"every": "year"}, "every"),
        ({"every": None}, "every: is missing"),
        ({"path": None}, "path: is missing"),
        ({"language": "tlh"}, "language"),
        ({"keep_days": 0}, "keep_days"),
        ({"tenant": "x"}, "tenants"),
    ],
)
def test_every_other_key_is_checked(change: dict[str, Any], word: str) -> None:
    assert any(word in problem for problem in problems({**GOOD, **change}))


def test_two_entries_do_not_write_the_same_files() -> None:
    [problem] = problems(GOOD, {**GOOD, "every": "week"})
    assert "is taken by reports[0]" in problem
    assert "expected a mapping" in problems("monthly")[0]


def test_every_language_that_can_be_named_has_its_texts() -> None:
    assert set(LANGUAGES) == set(SPOKEN)
