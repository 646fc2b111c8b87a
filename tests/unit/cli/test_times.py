"""Times as people say them: the same words in every command."""

from datetime import UTC, datetime

import pytest

from connector.cli.times import day, moment
from connector.errors import ConfigError

NOW = datetime(2026, 11, 22, 9, 12, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00:00Z"),
        ("today", "2026-11-22T00:00:00Z"),
        ("Yesterday", "2026-11-21T00:00:00Z"),
        ("90m", "2026-11-22T07:42:03Z"),
        ("24h", "2026-11-21T09:12:03Z"),
        ("7d", "2026-11-15T09:12:03Z"),
        ("2W", "2026-11-08T09:12:03Z"),
        ("-7d", "2026-11-15T09:12:03Z"),
    ],
)
def test_a_moment(text: str, wanted: str) -> None:
    assert moment(text, "--since", NOW) == wanted
    assert day(text, "--from", NOW) == wanted[:10]


@pytest.mark.parametrize("text", ["", "tomorrow", "7", "7x", "--7d", "d", "2026-13-01", "999999w", "0900-01-01"])
def test_what_names_no_time_is_told_with_the_forms(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        moment(text, "--since", NOW)
    assert raised.value.problems == [f"--since {text!r} names no time"]
    assert "yesterday, 24h or 7d" in raised.value.hint


def test_nothing_said_is_nothing() -> None:
    assert (moment(None, "--since", NOW), day(None, "--from", NOW)) == (None, None)
