"""Ids and hashes are a public contract: the literals here may never change within a major version."""

import uuid

from connector.ids import content_hash, digest, event_id, sha256
from connector.model import Control, Day

TENANT = "11111111-1111-1111-1111-111111111111"


def day(*controls: Control, score: float | None = 17.5, top: float | None = 20.0) -> Day:
    return Day(f"{TENANT}_2026-11-22", "2026-11-22", score, top, {c.name: c for c in controls})


MFA = Control("AdminMFAV2", "Identity", 7.5, 75.0)
ONE = Control("OneAdmin", "Identity", 10.0, 100.0)


def test_content_hash_is_pinned() -> None:
    assert content_hash(day(MFA, ONE)) == "6886123361391786d6f5d3377c9fcc9f5bc41418183e8ca2f9a0ff379152b87e"
    assert content_hash(day()) == "3d5b79ccda038cf449f13702d87a4187f36a3c3fd17324675a7a857c13868f91"
    assert (
        content_hash(day(Control("ünï|\n😀\ud800", "", None, None), score=None, top=None))
        == "83a33fdf280ee5683a10b7cea1215da1451c4eaef02a7289f28c163cda42568f"
    )


def test_content_hash_covers_names_scores_percentages_and_totals() -> None:
    base = content_hash(day(MFA, ONE))
    others = [
        day(MFA),
        day(MFA, ONE, score=17.6),
        day(MFA, ONE, top=21.0),
        day(MFA, Control("OneAdmin", "Identity", 9.0, 100.0)),
        day(MFA, Control("OneAdmin", "Identity", 10.0, 99.0)),
        day(MFA, Control("OneAdmin", "Identity", None, 100.0)),
        day(MFA, Control("oneAdmin", "Identity", 10.0, 100.0)),
    ]
    assert len({base, *map(content_hash, others)}) == len(others) + 1


def test_content_hash_ignores_order_detail_category_and_the_fifth_decimal() -> None:
    detailed = Control("AdminMFAV2", "Apps", 7.50001, 75.00004, on=True, count=3, total=4, status="3 of 4")
    other = Day("another", "2026-01-01", 17.500049, 20, {c.name: c for c in (ONE, detailed)}, services=("A",))
    assert content_hash(other) == content_hash(day(MFA, ONE))


def test_content_hash_knows_no_negative_zero() -> None:
    zero, negative, tiny = (Control("a", "", s, 0.0) for s in (0.0, -0.0, -0.00001))
    assert content_hash(day(zero)) == content_hash(day(negative)) == content_hash(day(tiny))


def test_unknown_is_not_zero_in_the_content_hash() -> None:
    assert content_hash(day(Control("a", "", None, 0.0))) != content_hash(day(Control("a", "", 0.0, 0.0)))


def test_a_name_with_separators_cannot_pass_for_two_controls() -> None:
    two = day(Control("a", "", 1.0, 2.0), Control("b", "", 3.0, 4.0))
    for name in ("a|1.0000|2.0000\nb", 'a"|1.0000|2.0000\n"b'):
        assert content_hash(day(Control(name, "", 3.0, 4.0))) != content_hash(two)


def test_event_ids_are_pinned() -> None:
    assert event_id(TENANT, "score.changed", "score", "d1#h1#0", "d2#h2#0") == "3f0d25f1-4291-84eb-94c4-8efd187e6012"
    assert event_id(TENANT, "control.score_changed", "AdminMFAV2", "", "") == "2b12b183-3513-8b93-a5ae-914aaede2b2f"
    assert (
        event_id("urn:secure-score:connector:siem-1", "connector.heartbeat", "", "", "2026-11-22T09")
        == "26694d1d-a8d4-8949-8002-df80652c9ab2"
    )
    assert event_id(TENANT, "profile.changed", 'ünï😀\ud800"\\', "a", "b") == "4e90216f-7f34-8db7-a41f-51f3b38c8be3"


def test_event_id_is_a_uuid_of_version_8() -> None:
    for number in range(64):
        found = uuid.UUID(event_id(TENANT, "score.changed", "score", "", str(number)))
        assert (found.version, found.variant) == (8, uuid.RFC_4122)


def test_event_id_keeps_its_parts_apart() -> None:
    ids = {
        event_id(*parts)
        for parts in [
            ("t", "y", "s", "b", "a"),
            ("ty", "", "s", "b", "a"),
            ("t", "ys", "", "b", "a"),
            ("t", "y", "sb", "", "a"),
            ("t", "y", "s", "ba", ""),
            ("t", "y", "s", "a", "b"),
            ("t", 'y","s', "", "b", "a"),
        ]
    }
    assert len(ids) == 7


def test_digest_is_pinned_and_ignores_key_order() -> None:
    assert (
        digest({"a": 1, "b": [None, "ü"]})
        == digest({"b": [None, "ü"], "a": 1})
        == "82aa650c66b37367e3c45023c155716b221658e4dee4b85837bfb1a8f79a2bd3"
    )
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
