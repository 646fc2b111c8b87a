"""What a `secureScoreControlProfile` document becomes; a catalogue that is read row by row."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import PartialRead, WrongTenant
from connector.ids import sha256
from connector.model import Profile, StateUpdate
from connector.observe.diff import effective_state
from connector.sources.pages import documents, load
from connector.sources.profiles import load_profiles, parse_profiles
from connector.sources.scalars import MAX_TEXT
from tests.fake_graph import OTHER_TENANT, TENANT, profile_document
from tests.shared_data import HEIMDALL_TENANT, shared_data
from tests.tricky_pages import TRICKY, compact


def parse_profile(document: Any) -> Profile:
    (profile,) = parse_profiles([document], TENANT, "page").profiles.values()
    return profile


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
        (3, "3"),
        (None, "unknown"),
        ("  ", "unknown"),
        ({"x": 1}, "unknown"),
    ],
)
def test_state_has_one_spelling_and_unknown_ones_stay_raw(sent: Any, kept: str) -> None:
    assert parse_profile(profile_document("A", controlStateUpdates=[{"state": sent}])).updates[0].state == kept


def test_a_state_history_comes_in_the_order_of_its_moments() -> None:
    updates = [
        {"state": "ignored", "updatedDateTime": "2030-01-02T00:00:00Z", "updatedBy": "a@b.example", "comment": "c"},
        {"state": "Default", "updatedDateTime": None, "assignedTo": "x"},
        {"state": "ThirdParty", "updatedDateTime": "2030-01-01T00:00:00.1234567Z"},
    ]
    assert parse_profile(profile_document("A", controlStateUpdates=updates)).updates == (
        StateUpdate("Default", assigned_to="x"),
        StateUpdate("ThirdParty", "2030-01-01T00:00:00Z"),
        StateUpdate("Ignored", "2030-01-02T00:00:00Z", "a@b.example", "c"),
    )


def test_entries_of_one_second_keep_the_order_of_their_fractions() -> None:
    """The moments we keep have whole seconds; which decision was the last must not depend on the document."""
    updates = [
        {"state": "ThirdParty", "updatedDateTime": "2026-11-22T10:00:00.9Z"},
        {"state": "Ignored", "updatedDateTime": "2026-11-22T10:00:00.1000001Z"},
        {"state": "Reviewed", "updatedDateTime": "2026-11-22T10:00:00.1Z"},
        {"state": "Default"},
    ]
    profile = parse_profile(profile_document("A", controlStateUpdates=updates))
    assert [update.state for update in profile.updates] == ["Default", "Reviewed", "Ignored", "ThirdParty"]
    assert effective_state(profile).at == "2026-11-22T10:00:00Z"
    assert effective_state(profile).state == "ThirdParty"


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
    read = parse_profiles([profile_document("A"), profile_document("A", title="other")], TENANT, "page 3")
    assert read.profiles["A"].title == "Title of A"
    assert read.notes == ("page 3: the entry comes twice; the first one counts (A)",)


def test_odd_numbers_of_profiles_are_noted() -> None:
    read = parse_profiles([profile_document("A", maxScore=-1, rank="many")], TENANT, "page 3")
    assert (read.profiles["A"].max_score, read.profiles["A"].rank) == (None, None)
    assert read.notes == (
        "page 3: a number cannot be read and counts as unknown (A)",
        "page 3: a number is -1, which counts as unknown (A)",
    )


def test_an_entry_that_cannot_be_read_leaves_the_others() -> None:
    faults: list[PartialRead] = []
    documents = [profile_document("A"), profile_document("x", id=None), profile_document("C")]
    assert list(parse_profiles(documents, TENANT, "page 3", faults).profiles) == ["A", "C"]
    assert [fault.what for fault in faults] == ["page 3, profile 2: id is not a text of 1 to 256 characters"]


@pytest.mark.parametrize(
    ("sent", "at", "unusable"),
    [
        ("2030-01-05T10:00:00Z", "2030-01-05T10:00:00Z", False),
        ("/Date(1893456000000)/", "2030-01-01T00:00:00Z", False),
        ("/Date(1893456000000+0100)/", "2030-01-01T00:00:00Z", False),
        ({"value": "/Date(1893456000000)/", "DisplayHint": 2}, "2030-01-01T00:00:00Z", False),
        (None, None, False),
        ("", None, False),
        ("0001-01-01T00:00:00Z", None, False),
        ("yesterday", None, True),
        ("/Date(many)/", None, True),
        (1893456000, None, True),
        ({"x": 1}, None, True),
    ],
)
def test_a_date_that_cannot_be_read_is_not_taken_for_none(sent: Any, at: str | None, unusable: bool) -> None:
    entry = {"state": "ThirdParty", "updatedDateTime": sent}
    read = parse_profiles([profile_document("A", controlStateUpdates=[entry])], TENANT, "page")
    assert read.profiles["A"].updates == (StateUpdate("ThirdParty", at, at_unusable=unusable),)
    assert read.notes == (("page: a date cannot be read and counts as unknown (A)",) if unusable else ())


def test_foreign_profile_is_refused() -> None:
    with pytest.raises(WrongTenant, match="page, profile 2 belongs to tenant"):
        parse_profiles([profile_document("A"), profile_document("B", azureTenantId=OTHER_TENANT)], TENANT, "page")


def test_changed_remediation_changes_only_its_hash() -> None:
    one, two = parse_profile(profile_document("A")), parse_profile(profile_document("A", remediation="new"))
    assert one.remediation_sha256 != two.remediation_sha256
    assert one.title == two.title


def test_over_long_texts_are_cut() -> None:
    assert len(parse_profile(profile_document("A", title="x" * 100_000)).title) == MAX_TEXT


# ---------------------------------------------------------------------------------------------------- row by row


def profiles_of(load: Any, body: bytes, tenant_id: str = TENANT) -> str:
    try:
        return repr(parse_profiles(documents(load(body, "page"), "page"), tenant_id, "page"))
    except (PartialRead, WrongTenant) as error:
        return f"{type(error).__name__}: {error}"


def row_by_row(body: bytes, where: str) -> Any:
    return load_profiles(body, where, TENANT)


@given(st.data())
def test_a_catalogue_read_row_by_row_means_what_it_means_as_a_whole(data: st.DataObject) -> None:
    """Twice, so that rows are met before; damaged anywhere."""
    tricky = data.draw(st.sampled_from(TRICKY))
    documents = [profile_document("A", title=tricky), profile_document("B", more=tricky), profile_document("A")]
    body = compact({"value": documents, "count": tricky})
    assert profiles_of(row_by_row, body) == profiles_of(load, body)
    at = data.draw(st.integers(0, len(body)))
    until = data.draw(st.integers(at, min(len(body), at + 60)))
    piece = data.draw(
        st.sampled_from([b"", b"{", b"}", b'"', b",", b'},{"id":', f'"azureTenantId":"{TENANT}"'.encode()])
    )
    damaged = body[:at] + piece + body[until:]
    assert profiles_of(row_by_row, damaged) == profiles_of(load, damaged)


def test_a_row_met_in_one_tenant_is_known_in_the_next_and_still_of_its_own_tenant() -> None:
    mine = compact({"value": [profile_document("A"), profile_document("B", rank="odd")]})
    theirs = mine.replace(TENANT.encode(), OTHER_TENANT.encode())
    first = parse_profiles(load_profiles(mine, "page", TENANT)["value"], TENANT, "page")
    again = parse_profiles(load_profiles(theirs, "page", OTHER_TENANT)["value"], OTHER_TENANT, "page")
    assert again == first
    assert again.profiles["A"] is first.profiles["A"]
    assert again.notes == first.notes == ("page: a number cannot be read and counts as unknown (B)",)
    with pytest.raises(WrongTenant):
        parse_profiles(load_profiles(theirs, "page", TENANT)["value"], TENANT, "page")


# ------------------------------------------------------------------------------------------------- real captures


def test_real_catalogue_page() -> None:
    data = json.loads(shared_data("heimdall2_profiles.json").read_bytes())
    read = parse_profiles(data["value"], HEIMDALL_TENANT, "capture")
    assert len(read.profiles) == 200
    assert read.notes == ()
    assert sum(not p.threats for p in read.profiles.values()) == 62
    assert {p.updates for p in read.profiles.values()} == {(StateUpdate("Default"),)}


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ms-settings:x", "//host/x", "https:// x", "https://x/\u202ey", 7, None]
)
def test_a_link_that_does_not_lead_to_the_web_is_none(url: object) -> None:
    assert parse_profile(profile_document("A", actionUrl=url)).action_url == ""
