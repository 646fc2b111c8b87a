"""What `check` makes of the dates of servers: whatever one says, nobody stumbles over it."""

from datetime import UTC, datetime

import pytest

from connector.cli.check_clock import Skew
from connector.net.http import Response

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Sun, 22 Nov 2026 12:00:00",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999",
    ],
)
def test_a_date_that_is_none_says_nothing_of_our_clock(date: str) -> None:
    skew = Skew()
    skew.look(Response(200, {"date": date}, b"", NOON))
    skew.look(Response(200, {}, b"", NOON))
    assert skew.finding() == []


@pytest.mark.parametrize(("date", "ok"), [("12:00:30", True), ("12:02:00", None), ("11:50:00", False)])
def test_the_clock_is_judged_by_the_servers(date: str, ok: bool | None) -> None:
    skew = Skew()
    for said in (date, date, "01:00:00"):  # one server may be wrong itself
        skew.look(Response(200, {"date": f"Sun, 22 Nov 2026 {said} GMT"}, b"", NOON))
    (finding,) = skew.finding()
    assert finding.ok is ok
