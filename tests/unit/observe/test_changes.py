"""What an event says: texts and links of the far end are passed on only as far as a console may show them."""

import pytest
from attrs import evolve

from connector.model import Control, Day, Profile, StateUpdate, Version
from connector.observe import totals
from connector.observe.changes import control_info, controls_observed


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://security.example/x?tid=1", "https://security.example/x?tid=1"),
        ("HTTP://security.example/", "HTTP://security.example/"),
        ("", None),
        ("javascript:alert(1)", None),
        ("data:text/html,<script>", None),
        (" https://security.example", None),
        ("https://security.example/\x1b[31m", None),
        ("https://security.example/\u202efdp.exe", None),
        ("file:///etc/passwd", None),
    ],
)
def test_only_addresses_of_the_web_become_links(url: str, told: str | None) -> None:
    assert control_info("a", None, Profile("a", "A", action_url=url))["url"] == told


@pytest.mark.parametrize(("percent", "asserted"), [(100.0, True), (40.0, False), (None, True)])
def test_a_control_is_observed_as_asserted_where_its_points_are(percent: float | None, asserted: bool) -> None:
    stated = Profile("a", "A", updates=(StateUpdate("ThirdParty", "2026-11-23T00:30:00Z"),))
    one = Control("a", "Identity", 4.0, percent)
    seen = Version(Day("t", "2026-11-22", 4.0, 10.0, {"a": one}), "h", seen="2026-11-23T08:00:00Z")
    for version, profiles, expected in (
        (seen, {"a": stated}, asserted),
        (evolve(seen, seen=""), {"a": stated}, False),
        (seen, {}, None),
    ):
        [observed] = controls_observed(version, profiles)
        assert observed.data["asserted"] is expected


def test_controls_of_resources_are_in_no_group_whatever_day_was_summed_before() -> None:
    of_graph, of_resources = Control("a", "Identity", 4.0, 40.0), Control("a", "Identity", 4.0, 40.0, max_score=10.0)
    tally = totals.Tally()
    for control, groups in ((of_graph, ["Identity"]), (of_resources, []), (of_graph, ["Identity"]), (None, [])):
        controls = {} if control is None else {"a": control}
        told = totals.of_day(Version(Day("t", "2026-11-22", 4.0, 10.0, controls), "h"), None, tally)
        assert list(told["by_category"]) == groups
