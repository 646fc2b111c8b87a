"""Coercion rules of the wire format, each with the value Graph (or a broken middle box) was seen to send."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import PartialRead, WrongTenant
from connector.ids import sha256
from connector.model import Control, Day, Profile, StateUpdate
from connector.sources import wire
from tests.fake_graph import OTHER_TENANT, TENANT, day_document, profile_document
from tests.shared_data import HEIMDALL_TENANT, shared_data

TODAY = "2030-01-10"


def parse_day(document: Any, today: str = TODAY) -> Day:
    (day,) = wire.parse_days([document], TENANT, "page", today)
    return day


def parse_profile(document: Any) -> Profile:
    (profile,) = wire.parse_profiles([document], TENANT, "page").profiles.values()
    return profile


def with_control(**fields: Any) -> dict[str, Any]:
    document = day_document("2030-01-10", {"A": 5})
    document["controlScores"][0] |= fields
    return document


# ------------------------------------------------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (5, 5.0, set()),
        (5.0, 5.0, set()),
        ("5", 5.0, set()),
        (" 5.25 ", 5.25, set()),
        ("0.0", 0.0, set()),
        (None, None, set()),
        (-1, None, {"sentinel"}),
        (-1.0, None, {"sentinel"}),
        ("-1", None, {"sentinel"}),
        (-2, None, {"bad_number"}),
        ("", None, {"bad_number"}),
        ("n/a", None, {"bad_number"}),
        ("1_0", None, {"bad_number"}),
        (True, None, {"bad_number"}),
        (False, None, {"bad_number"}),
        ([5], None, {"bad_number"}),
        ({"x": 5}, None, {"bad_number"}),
        (math.nan, None, {"bad_number"}),
        (math.inf, None, {"bad_number"}),
        ("NaN", None, {"bad_number"}),
        ("Infinity", None, {"bad_number"}),
        (1e300, None, {"bad_number"}),
        (10**400, None, {"bad_number"}),
    ],
)
def test_number(value: Any, expected: float | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (wire.number(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (3, 3, set()),
        (3.0, 3, set()),
        ("3", 3, set()),
        ("0", 0, set()),
        (3.5, None, {"bad_number"}),
        (None, None, set()),
    ],
)
def test_whole_number(value: Any, expected: int | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (wire.whole(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (True, True, set()),
        ("true", True, set()),
        ("FALSE", False, set()),
        (1, True, set()),
        (0.0, False, set()),
        (None, None, set()),
        ("maybe", None, {"bad_number"}),
        (2, None, {"bad_number"}),
        ([], None, {"bad_number"}),
    ],
)
def test_truth(value: Any, expected: bool | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (wire.truth(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "abc"),
        (None, ""),
        (True, "true"),
        (5.0, "5.0"),
        ([], ""),
        ({}, ""),
        ("abcdef", "abcd…"),
        ("é\ud800", "é?"),
    ],
)
def test_text(value: Any, expected: str) -> None:
    assert wire.text(value, 5) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2030-01-02T04:05:06Z", "2030-01-02T04:05:06Z"),
        ("2030-01-02T04:05:06.1234567Z", "2030-01-02T04:05:06Z"),
        ("2030-01-02T04:05:06+02:00", "2030-01-02T02:05:06Z"),
        ("2030-01-02T04:05:06", "2030-01-02T04:05:06Z"),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_moment(value: Any, expected: str | None) -> None:
    assert wire.moment(value) == expected


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_json_value_in_any_scalar_place_crashes(value: Any) -> None:
    """Whatever stands where a scalar belongs, the day is read; what cannot be used is None, never 0."""
    document = with_control(score=value, scoreInPercentage=value, controlCategory=value, lastSynced=value, on=value)
    document |= dict.fromkeys(("currentScore", "maxScore", "activeUserCount", "enabledServices"), value)
    document["averageComparativeScores"] = value
    control = parse_day(document).controls["A"]
    assert control.score is None or 0 <= control.score <= wire.MAX_NUMBER
    if value is None or isinstance(value, (bool, list)):
        assert control.score is None
    parse_profile(profile_document("A", maxScore=value, rank=value, title=value, threats=value, deprecated=value))


# ---------------------------------------------------------------------------------------------------------- days


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
    days = wire.parse_days(
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
    days = wire.parse_days([first, other], TENANT, "page", TODAY)
    assert days[0].controls["A"].score == 1.0
    assert (days[1].controls["A"].score, days[1].flags) == (expected, flags)


def test_changed_category_in_history_is_kept() -> None:
    first, other = day_document("2030-01-09", {"A": 1}), day_document("2030-01-08", {"A": 1})
    other["controlScores"][0]["controlCategory"] = "Apps"
    days = wire.parse_days([first, other], TENANT, "page", TODAY)
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
    (day,) = wire.parse_days([document], "abcdef00-0000-0000-0000-000000000000", "page", TODAY)
    assert day.id == "ABCDEF00-0000-0000-0000-000000000000_2030-01-10"


# ----------------------------------------------------------------------------------------------------- catalogue


def test_profile() -> None:
    assert parse_profile(profile_document("A")) == Profile(
        id="A",
        title="Title of A",
        category="Identity",
        service="AzureAD",
        tier="Core",
        max_score=10.0,
        rank=5,
        action_type="Config",
        action_url="https://example.invalid/A",
        user_impact="Moderate",
        implementation_cost="Low",
        threats=("Account Breach",),
        deprecated=False,
        remediation_sha256=sha256(b"<p>Do what A asks for.</p>"),
        remediation_impact_sha256=sha256(b"None."),
        updates=(StateUpdate("Default"),),
    )


def test_profile_of_nulls() -> None:
    nulls = dict.fromkeys(profile_document("A"), None)
    assert parse_profile(nulls | {"id": "A"}) == Profile(id="A", title="")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Default", "Default"),
        ("default", "Default"),
        ("ignored", "Ignored"),
        ("thirdParty", "ThirdParty"),
        (" REVIEWED", "Reviewed"),
        ("Planned", "Planned"),
        (None, ""),
    ],
)
def test_state_has_one_spelling_and_unknown_ones_stay_raw(sent: str | None, kept: str) -> None:
    assert parse_profile(profile_document("A", controlStateUpdates=[{"state": sent}])).updates[0].state == kept


def test_state_history_keeps_its_order() -> None:
    updates = [
        {"state": "ignored", "updatedDateTime": "2030-01-02T00:00:00Z", "updatedBy": "a@b.example", "comment": "c"},
        {"state": "Default", "updatedDateTime": None, "assignedTo": "x"},
        {"state": "ThirdParty", "updatedDateTime": "2030-01-01T00:00:00.1234567Z"},
    ]
    assert parse_profile(profile_document("A", controlStateUpdates=updates)).updates == (
        StateUpdate("Ignored", "2030-01-02T00:00:00Z", "a@b.example", "c"),
        StateUpdate("Default", assigned_to="x"),
        StateUpdate("ThirdParty", "2030-01-01T00:00:00Z"),
    )


@pytest.mark.parametrize("updates", ["ignore", {"state": "Ignored"}, 5, True, [None], ["Ignored"]])
def test_misshapen_state_history_spoils_the_read(updates: Any) -> None:
    with pytest.raises(PartialRead, match=r"page, profile 1 \(A\): controlStateUpdates"):
        parse_profile(profile_document("A", controlStateUpdates=updates))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["Account breach", "Account Breach", "accountBreach"], ("Account Breach",)),
        (["Password cracking", "Data  Exfiltration "], ("Data Exfiltration", "Password Cracking")),
        (["elevationOfPrivilege", "Elevation of Privilege"], ("Elevation of Privilege",)),
        ([None, "", 5], ("5",)),
        ("Account Breach", ()),
        (None, ()),
    ],
)
def test_threats_have_one_spelling(sent: Any, kept: tuple[str, ...]) -> None:
    assert parse_profile(profile_document("A", threats=sent)).threats == kept


def test_duplicate_profile_keeps_the_first_and_is_noted() -> None:
    read = wire.parse_profiles([profile_document("A"), profile_document("A", title="other")], TENANT, "page 3")
    assert read.profiles["A"].title == "Title of A"
    assert read.notes == ("page 3: duplicate_profile",)


def test_odd_numbers_of_profiles_are_noted() -> None:
    read = wire.parse_profiles([profile_document("A", maxScore=-1, rank="many")], TENANT, "page 3")
    assert (read.profiles["A"].max_score, read.profiles["A"].rank) == (None, None)
    assert read.notes == ("page 3: bad_number", "page 3: sentinel")


def test_foreign_profile_is_refused() -> None:
    with pytest.raises(WrongTenant, match="page, profile 2 belongs to tenant"):
        wire.parse_profiles([profile_document("A"), profile_document("B", azureTenantId=OTHER_TENANT)], TENANT, "page")


def test_changed_remediation_changes_only_its_hash() -> None:
    one, two = parse_profile(profile_document("A")), parse_profile(profile_document("A", remediation="new"))
    assert one.remediation_sha256 != two.remediation_sha256
    assert one.title == two.title


def test_over_long_texts_are_cut() -> None:
    assert len(parse_profile(profile_document("A", title="x" * 100_000)).title) == wire.MAX_TEXT


# --------------------------------------------------------------------------------------------------------- bytes

PAGE = json.dumps({"value": [day_document("2030-01-10", {"A": 5})]}).encode()


@pytest.mark.parametrize("cut", [*range(1, len(PAGE), 37), len(PAGE) - 1])
def test_page_cut_anywhere_is_truncated(cut: int) -> None:
    with pytest.raises(PartialRead) as caught:
        wire.load(PAGE[:cut], "page 1")
    assert caught.value.reason == "truncated"
    assert caught.value.what == f"page 1: the JSON text ends early, after {cut} bytes"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"\xef\xbb\xbf<html>",
        b"Service Unavailable",
        b"{]}",
        b"\xff\xfe\xfd",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"value": ' + b"1" * 5_000 + b"}",
    ],
)
def test_what_is_not_json_says_so(body: bytes) -> None:
    with pytest.raises(PartialRead, match="page 1: ") as caught:
        wire.load(body, "page 1")
    assert caught.value.reason == "not_json"
    assert len(caught.value.what) < 250


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_that_scripts_save_is_read(encoding: str) -> None:
    assert wire.load('{"value": ["é"]}'.encode(encoding), "file") == {"value": ["é"]}


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def two_days(**fields: Any) -> list[dict[str, Any]]:
    """A page's documents: the same two controls in both days, with these fields in one of them."""
    rows: list[Any] = [{"controlName": "A", "score": 1.0, "text": ""}, {"controlName": "B", "score": 2.0} | fields]
    return [{"id": 1, "controlScores": rows, "after": [1]}, {"id": 2, "controlScores": rows}]


TRICKY: tuple[Any, ...] = (
    *("},{", "}]", "]", '"controlScores":[{', "\\", '\\"},{"x":1', "Infinity", "é\ud800", "[{", "{}"),
    *([{"a": 1}, {"b": 2}], [[{}]], {"controlScores": [{"x": 1}]}, [], {}, None, math.nan, math.inf, -math.inf, "NaN"),
)


@pytest.mark.parametrize("value", TRICKY)
def test_a_page_read_row_by_row_means_what_it_means_as_a_whole(value: Any) -> None:
    pages = [
        {"value": two_days(text=value)},
        {"value": two_days(), "more": value},
        {"value": [*two_days(), {"id": 3, "controlScores": value}, {"id": 4, "controlScores": [value]}]},
        {"value": [{"controlScores": two_days(text=value)}, *two_days()]},
    ]
    for body in map(compact, pages):
        assert repr(wire.load_days(body, "page")) == repr(wire.load(body, "page"))
        twice = body.replace(b'"id":2,', b'"controlScores":[{"x":1}],"id":2,')
        assert repr(wire.load_days(twice, "page")) == repr(wire.load(twice, "page"))


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
    assert said(wire.load_days, damaged) == said(wire.load, damaged)


def test_rows_that_repeat_are_one_value_in_all_days() -> None:
    page = {"value": [day_document(f"2030-01-{n:02}", {"A": 5, "B": n}) for n in range(1, 10)]}
    days = wire.parse_days(wire.load_days(compact(page), "page")["value"], TENANT, "page", TODAY)
    assert len({id(day.controls["A"]) for day in days}) == 1
    assert [day.controls["B"].score for day in days] == [float(n) for n in range(1, 10)]
    assert days == wire.parse_days(page["value"], TENANT, "page", TODAY)


def test_a_doubtful_row_flags_every_day_it_is_in() -> None:
    page = {"value": [day_document(f"2030-01-{n:02}", {"A": 5}) for n in range(1, 4)]}
    for document in page["value"]:
        document["controlScores"][0]["score"] = "many"
    days = wire.parse_days(wire.load_days(compact(page), "page")["value"], TENANT, "page", TODAY)
    assert [day.flags for day in days] == [("bad_number",)] * 3


def profiles_of(load: Any, body: bytes, tenant_id: str = TENANT) -> str:
    try:
        return repr(wire.parse_profiles(wire.documents(load(body, "page"), "page"), tenant_id, "page"))
    except (PartialRead, WrongTenant) as error:
        return f"{type(error).__name__}: {error}"


def row_by_row(body: bytes, where: str) -> Any:
    return wire.load_profiles(body, where, TENANT)


@given(st.data())
def test_a_catalogue_read_row_by_row_means_what_it_means_as_a_whole(data: st.DataObject) -> None:
    """Twice, so that rows are met before; damaged anywhere."""
    tricky = data.draw(st.sampled_from(TRICKY))
    documents = [profile_document("A", title=tricky), profile_document("B", more=tricky), profile_document("A")]
    body = compact({"value": documents, "count": tricky})
    assert profiles_of(row_by_row, body) == profiles_of(wire.load, body)
    at = data.draw(st.integers(0, len(body)))
    until = data.draw(st.integers(at, min(len(body), at + 60)))
    piece = data.draw(
        st.sampled_from([b"", b"{", b"}", b'"', b",", b'},{"id":', f'"azureTenantId":"{TENANT}"'.encode()])
    )
    damaged = body[:at] + piece + body[until:]
    assert profiles_of(row_by_row, damaged) == profiles_of(wire.load, damaged)


def test_a_row_met_in_one_tenant_is_known_in_the_next_and_still_of_its_own_tenant() -> None:
    mine = compact({"value": [profile_document("A"), profile_document("B", rank="odd")]})
    theirs = mine.replace(TENANT.encode(), OTHER_TENANT.encode())
    first = wire.parse_profiles(wire.load_profiles(mine, "page", TENANT)["value"], TENANT, "page")
    again = wire.parse_profiles(wire.load_profiles(theirs, "page", OTHER_TENANT)["value"], OTHER_TENANT, "page")
    assert again == first
    assert again.profiles["A"] is first.profiles["A"]
    assert again.notes == first.notes == ("page: bad_number",)
    with pytest.raises(WrongTenant):
        wire.parse_profiles(wire.load_profiles(theirs, "page", TENANT)["value"], TENANT, "page")


@pytest.mark.parametrize("data", [{}, {"value": None}, {"value": {}}, {"error": {"code": "x"}}, [], None, 5])
def test_collection_without_list_is_refused(data: Any) -> None:
    with pytest.raises(PartialRead, match="page 1: no `value` list"):
        wire.documents(data, "page 1")


def test_next_link_is_found_at_either_end_and_left_out_of_the_hash() -> None:
    def page(link: str, *, first: bool) -> bytes:
        rows = {"value": [{"text": "x" * 40_000}]}
        pair = {"@odata.nextLink": link}
        return json.dumps(pair | rows if first else rows | pair).encode()

    for first in (True, False):
        one, two = page("https://g/a?$skiptoken=1", first=first), page("https://g/a?$skiptoken=22", first=first)
        links = [wire.next_link(one), wire.next_link(two)]
        assert [link and link.url for link in links] == ["https://g/a?$skiptoken=1", "https://g/a?$skiptoken=22"]
        assert wire.page_hash(one, links[0]) == wire.page_hash(two, links[1])
        assert wire.page_hash(one, links[0]) != wire.page_hash(one + b" ", links[0])


@pytest.mark.parametrize(
    "page",
    [
        {"value": []},
        {"value": [{"text": '"@odata.nextLink": "https://evil.example/"'}]},
        {"controlScores@odata.nextLink": "https://g/"},
        {"@odata.nextLink": None, "value": []},
    ],
)
def test_no_next_link_where_there_is_none(page: dict[str, Any]) -> None:
    assert wire.next_link(json.dumps(page).encode()) is None


def test_next_link_is_unescaped() -> None:
    link = wire.next_link(b'{"@odata.nextLink":"https:\\/\\/g\\/a?x=\\u0026","value":[]}')
    assert link is not None
    assert link.url == "https://g/a?x=&"


# ------------------------------------------------------------------------------------------------- real captures


def test_real_newest_document() -> None:
    data = json.loads(shared_data("heimdall2_secureScore.json").read_bytes())
    (day,) = wire.parse_days(data["value"], HEIMDALL_TENANT, "capture", TODAY)
    assert (day.day, day.score, day.max_score, len(day.controls)) == ("2024-01-01", 128.0, 274.0, 68)
    assert sum(c.score or 0 for c in day.controls.values()) == 128.0
    assert day.detailed
    assert day.flags == ()
    counted = [c for c in day.controls.values() if c.count is not None]
    assert (len(counted), sum(c.total is not None for c in counted)) == (45, 43)
    assert sum(c.on is not None for c in day.controls.values()) == 16


def test_real_hostile_pair() -> None:
    data = json.loads(shared_data("heimdall2_secureScore-multiple.json").read_bytes())
    days = wire.parse_days(data["value"], HEIMDALL_TENANT, "capture", TODAY)
    assert [(d.day, d.flags) for d in days] == [
        ("2024-01-01", ("inconsistent",)),
        ("2024-01-02", ("date_mismatch", "inconsistent")),
    ]


def test_real_catalogue_page() -> None:
    data = json.loads(shared_data("heimdall2_profiles.json").read_bytes())
    read = wire.parse_profiles(data["value"], HEIMDALL_TENANT, "capture")
    assert len(read.profiles) == 200
    assert read.notes == ()
    assert sum(not p.threats for p in read.profiles.values()) == 62
    assert {p.updates for p in read.profiles.values()} == {(StateUpdate("Default"),)}
