"""What a `secureScore` document becomes, each with what Graph (or a broken middle box) was seen to send."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import PartialRead, WrongTenant
from connector.model import Control, Day
from connector.sources.days import load_days, parse_days
from connector.sources.pages import load
from connector.sources.profiles import parse_profiles
from connector.sources.scalars import MAX_NUMBER
from tests.fake_graph import OTHER_TENANT, TENANT, day_document, profile_document
from tests.shared_data import HEIMDALL_TENANT, shared_data
from tests.tricky_pages import TRICKY, compact, two_days

TODAY = "2030-01-10"


def parse_day(document: Any, today: str = TODAY) -> Day:
    (day,) = parse_days([document], TENANT, "page", today)
    return day


def with_control(**fields: Any) -> dict[str, Any]:
    document = day_document("2030-01-10", {"A": 5})
    document["controlScores"][0] |= fields
    return document


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_json_value_in_any_scalar_place_crashes(value: Any) -> None:
    """Whatever stands where a scalar belongs, the day is read; what cannot be used is None, never 0."""
    document = with_control(score=value, scoreInPercentage=value, controlCategory=value, lastSynced=value, on=value)
    document |= dict.fromkeys(("currentScore", "maxScore", "activeUserCount", "enabledServices"), value)
    document["averageComparativeScores"] = value
    control = parse_day(document).controls["A"]
    assert control.score is None or 0 <= control.score <= MAX_NUMBER
    if value is None or isinstance(value, (bool, list)):
        assert control.score is None
    profile = profile_document("A", maxScore=value, rank=value, title=value, threats=value, deprecated=value)
    assert list(parse_profiles([profile], TENANT, "page").profiles) == ["A"]


def test_newest_day_keeps_its_detail() -> None:
    day = parse_day(day_document("2030-01-10", {"AdminMFAV2": 5, "scid_1": 7.5}, detailed=True))
    assert day == Day(
        id=f"{TENANT}_2030-01-10",
        day="2030-01-10",
        score=12.5,
        max_score=20.0,
        controls={
            "AdminMFAV2": Control(
                "AdminMFAV2", "Identity", 5.0, 50.0, count=3, total=4, status="3 of 4 users are covered"
            ),
            "scid_1": Control("scid_1", "Device", 7.5, 75.0, count=3, total=4, status="3 of 4 users are covered"),
        },
        services=("HasAADP1", "HasEXOP2"),
        active_users=7,
        licensed_users=0,
        averages=day.averages,
        detailed=True,
    )
    assert [(a.basis, a.percent, a.detail) for a in day.averages] == [("AllTenants", 41.5, {"appsScore": 12.0})]


def test_stripped_day_has_no_evidence() -> None:
    """The blanked status text of history must never become a fact."""
    day = parse_day(day_document("2030-01-09", {"A": 5}))
    assert not day.detailed
    assert day.controls["A"] == Control("A", "Identity", 5.0, 50.0)


@pytest.mark.parametrize(
    "field",
    [{"lastSynced": "2030-01-09T04:00:00Z"}, {"on": "false"}, {"count": "0"}, {"total": "0"}, {"description": "x"}],
)
def test_any_sign_of_detail_makes_a_day_detailed(field: dict[str, Any]) -> None:
    assert parse_day(with_control(**field)).detailed


@pytest.mark.parametrize("field", [{"lastSynced": None}, {"on": None}, {"count": None}, {"description": ""}])
def test_nulled_detail_is_no_detail(field: dict[str, Any]) -> None:
    assert not parse_day(with_control(**field)).detailed


def test_control_without_description_key_is_read() -> None:
    document = with_control()
    del document["controlScores"][0]["description"]
    assert parse_day(document).controls["A"].score == 5.0


def test_equal_controls_of_history_are_one_value() -> None:
    days = parse_days(
        [day_document("2030-01-09", {"A": 5, "B": 1}), day_document("2030-01-08", {"A": 5, "B": 2})],
        TENANT,
        "page",
        TODAY,
    )
    assert days[0].controls["A"] is days[1].controls["A"]
    assert [d.controls["B"].score for d in days] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("second", "expected", "flags"),
    [
        ({"score": True}, None, ("bad_number",)),  # True == 1.0: must not be taken for the control read before
        ({"score": 1}, 1.0, ()),
        ({"score": "1.0"}, 1.0, ()),
        ({"score": None}, None, ()),
        ({"score": -1.0}, None, ("sentinel",)),
        ({"score": math.inf}, None, ("bad_number",)),
    ],
)
def test_second_document_is_coerced_like_the_first(
    second: dict[str, Any], expected: float | None, flags: tuple[str, ...]
) -> None:
    first, other = day_document("2030-01-09", {"A": 1}), day_document("2030-01-08", {"A": 1})
    other["controlScores"][0] |= second
    days = parse_days([first, other], TENANT, "page", TODAY)
    assert days[0].controls["A"].score == 1.0
    assert (days[1].controls["A"].score, days[1].flags) == (expected, flags)


def test_changed_category_in_history_is_kept() -> None:
    first, other = day_document("2030-01-09", {"A": 1}), day_document("2030-01-08", {"A": 1})
    other["controlScores"][0]["controlCategory"] = "Apps"
    days = parse_days([first, other], TENANT, "page", TODAY)
    assert [d.controls["A"].category for d in days] == ["Identity", "Apps"]


def test_percentage_above_100_is_refused_but_not_its_rounding() -> None:
    assert parse_day(with_control(scoreInPercentage=100.004)).controls["A"].percent == 100.004
    wild = parse_day(with_control(scoreInPercentage=250.0))
    assert (wild.controls["A"].percent, wild.flags) == (None, ("bad_number",))


def test_unknown_properties_are_ignored() -> None:
    document = day_document("2030-01-10", {"A": 5}, somethingNew={"a": [1]}, NotScored=True)
    document["controlScores"][0]["Reviewed"] = False
    assert parse_day(document).controls["A"].score == 5.0


def test_duplicate_control_keeps_the_first() -> None:
    document = day_document("2030-01-10", {"A": 5})
    document["controlScores"].append(document["controlScores"][0] | {"score": 3.0})
    day = parse_day(document)
    assert (day.controls["A"].score, day.flags) == (5.0, ("duplicate_control",))


def test_equal_duplicate_is_still_flagged() -> None:
    document = day_document("2030-01-09", {"A": 5})
    document["controlScores"] *= 2
    assert parse_day(document).flags == ("duplicate_control",)


@pytest.mark.parametrize(
    ("current", "flags"), [(10.0, ()), (10.02, ()), (10.05, ("inconsistent",)), (289, ("inconsistent",)), (None, ())]
)
def test_total_is_compared_with_the_sum_of_its_two_controls(current: Any, flags: tuple[str, ...]) -> None:
    """Microsoft's total is reported unchanged; what does not add up is flagged."""
    day = parse_day(day_document("2030-01-10", {"A": 5, "B": 5}, currentScore=current))
    assert (day.score, day.flags) == (current, flags)


def test_no_controls_is_not_missing_controls() -> None:
    assert parse_day(day_document("2030-01-10", {})).controls == {}
    with pytest.raises(PartialRead, match=r"document 1 \(2030-01-10\): controlScores is missing"):
        parse_day(day_document("2030-01-10", {}, controlScores=None))


def test_future_day_is_accepted_and_flagged() -> None:
    assert parse_day(day_document("2030-01-11", {"A": 1})).flags == ("future_dated",)


def test_day_is_the_one_in_the_id() -> None:
    day = parse_day(day_document("2030-01-08", {"A": 1}, createdDateTime="2030-01-07T00:00:00Z"))
    assert (day.day, day.flags) == ("2030-01-08", ("date_mismatch",))


@pytest.mark.parametrize("document_id", [f"{TENANT}_2030-13-45", "a0f3", None, f"{TENANT}_0001-01-01"])
def test_without_a_date_in_the_id_the_creation_counts(document_id: str | None) -> None:
    day = parse_day(day_document("2030-01-08", {"A": 1}, id=document_id))
    assert (day.day, day.flags) == ("2030-01-08", ())
    assert day.id == document_id or (document_id is None and day.id == f"{TENANT}_2030-01-08")


def test_day_without_any_date_is_refused() -> None:
    with pytest.raises(PartialRead, match="page, document 1: neither id nor createdDateTime"):
        parse_day(day_document("2030-01-08", {"A": 1}, id="x", createdDateTime="0001-01-01T00:00:00Z"))


def test_sentinel_averages_of_2019_become_unknown() -> None:
    averages = [
        {"basis": "TotalSeats", "averageScore": -1, "SeatSizeRangeLowerValue": "1", "seatSizeRangeUpperValue": 6},
        {"basis": "IndustryTypes", "averageScore": 30.5, "categoryValue": "Mining", "appsScore": -1.0},
        "rubbish",
    ]
    day = parse_day(day_document("2030-01-10", {"A": 1}, averageComparativeScores=averages))
    assert [(a.basis, a.percent, a.detail) for a in day.averages] == [
        ("TotalSeats", None, {"seatSizeRangeLowerValue": 1.0, "seatSizeRangeUpperValue": 6.0}),
        ("IndustryTypes", 30.5, {"categoryValue": "Mining", "appsScore": None}),
    ]
    assert day.flags == ("sentinel",)


@pytest.mark.parametrize("name", [None, "", "  ", 5, "x" * 257, ["A"]])
def test_control_without_usable_name_spoils_the_read(name: Any) -> None:
    """Dropping it would look like a removed control."""
    with pytest.raises(PartialRead, match=r"page, document 1 \(2030-01-10\): controlScores\[0\].controlName"):
        parse_day(with_control(controlName=name))


@pytest.mark.parametrize("entry", [None, "A", 5, [], {}])
def test_control_that_is_no_object_spoils_the_read(entry: Any) -> None:
    document = day_document("2030-01-10", {"A": 5})
    document["controlScores"].append(entry)
    with pytest.raises(PartialRead, match=r"controlScores\[1\]"):
        parse_day(document)


def test_too_many_controls_are_refused() -> None:
    document = day_document("2030-01-10", {"A": 5})
    document["controlScores"] *= 5_001
    with pytest.raises(PartialRead, match="5001 entries") as caught:
        parse_day(document)
    assert caught.value.reason == "too_large"


def test_awkward_names_are_kept_byte_for_byte() -> None:
    name = "11770.MDA_Googlé_Enable|Two=Factor "
    assert list(parse_day(day_document("2030-01-10", {name: 5})).controls) == [name]


@pytest.mark.parametrize(
    "fields", [{"azureTenantId": OTHER_TENANT}, {"id": f"{OTHER_TENANT}_2030-01-10", "azureTenantId": None}]
)
def test_foreign_day_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongTenant, match=f"page, document 1 belongs to tenant {OTHER_TENANT}"):
        parse_day(day_document("2030-01-10", {"A": 5}, **fields))


def test_tenant_is_compared_without_case() -> None:
    document = day_document("2030-01-10", {"A": 5}, azureTenantId="ABCDEF00-0000-0000-0000-000000000000")
    document["id"] = "ABCDEF00-0000-0000-0000-000000000000_2030-01-10"
    (day,) = parse_days([document], "abcdef00-0000-0000-0000-000000000000", "page", TODAY)
    assert day.id == "ABCDEF00-0000-0000-0000-000000000000_2030-01-10"


# ---------------------------------------------------------------------------------------------------- row by row


@pytest.mark.parametrize("value", TRICKY)
def test_a_page_read_row_by_row_means_what_it_means_as_a_whole(value: Any) -> None:
    pages = [
        {"value": two_days(text=value)},
        {"value": two_days(), "more": value},
        {"value": [*two_days(), {"id": 3, "controlScores": value}, {"id": 4, "controlScores": [value]}]},
        {"value": [{"controlScores": two_days(text=value)}, *two_days()]},
    ]
    for body in map(compact, pages):
        assert repr(load_days(body, "page")) == repr(load(body, "page"))
        twice = body.replace(b'"id":2,', b'"controlScores":[{"x":1}],"id":2,')
        assert repr(load_days(twice, "page")) == repr(load(twice, "page"))


def said(load: Any, body: bytes) -> str:
    try:
        return repr(load(body, "page"))
    except PartialRead as error:
        return f"{error.reason}: {error.what}"


@given(st.data())
def test_no_damage_to_a_page_is_read_over(data: st.DataObject) -> None:
    body = compact({"value": two_days(text=data.draw(st.sampled_from(TRICKY)))})
    at = data.draw(st.integers(0, len(body)))
    until = data.draw(st.integers(at, len(body)))
    piece = data.draw(
        st.sampled_from([b"", b"{", b"}", b"]", b'"', b",", b"},{", b"Infinity", b"\xff", body[at:until]])
    )
    damaged = body[:at] + piece + body[until:]
    assert said(load_days, damaged) == said(load, damaged)


def test_rows_cut_in_a_wrong_place_are_not_taken_for_others_that_make_up_their_number() -> None:
    body = b'{"value":[{"controlScores":[{"a":1}, {"b":2},{"t":"x},{y"}]},{"controlScores":[{"t":"x},{y"}]}]}'
    assert load_days(body, "page") == load(body, "page")


def test_rows_that_repeat_are_one_value_in_all_days() -> None:
    page = {"value": [day_document(f"2030-01-{n:02}", {"A": 5, "B": n}) for n in range(1, 10)]}
    days = parse_days(load_days(compact(page), "page")["value"], TENANT, "page", TODAY)
    assert len({id(day.controls["A"]) for day in days}) == 1
    assert [day.controls["B"].score for day in days] == [float(n) for n in range(1, 10)]
    assert days == parse_days(page["value"], TENANT, "page", TODAY)


def test_a_doubtful_row_flags_every_day_it_is_in() -> None:
    page = {"value": [day_document(f"2030-01-{n:02}", {"A": 5}) for n in range(1, 4)]}
    for document in page["value"]:
        document["controlScores"][0]["score"] = "many"
    days = parse_days(load_days(compact(page), "page")["value"], TENANT, "page", TODAY)
    assert [day.flags for day in days] == [("bad_number",)] * 3


# ------------------------------------------------------------------------------------------------- real captures


def test_real_newest_document() -> None:
    data = json.loads(shared_data("heimdall2_secureScore.json").read_bytes())
    (day,) = parse_days(data["value"], HEIMDALL_TENANT, "capture", TODAY)
    assert (day.day, day.score, day.max_score, len(day.controls)) == ("2024-01-01", 128.0, 274.0, 68)
    assert sum(c.score or 0 for c in day.controls.values()) == 128.0
    assert day.detailed
    assert day.flags == ()
    counted = [c for c in day.controls.values() if c.count is not None]
    assert (len(counted), sum(c.total is not None for c in counted)) == (45, 43)
    assert sum(c.on is not None for c in day.controls.values()) == 16


def test_real_hostile_pair() -> None:
    data = json.loads(shared_data("heimdall2_secureScore-multiple.json").read_bytes())
    days = parse_days(data["value"], HEIMDALL_TENANT, "capture", TODAY)
    assert [(d.day, d.flags) for d in days] == [
        ("2024-01-01", ("inconsistent",)),
        ("2024-01-02", ("date_mismatch", "inconsistent")),
    ]
