"""Memory ↔ State: nothing is lost, little is rewritten, damage is named."""

import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest
from attrs import evolve, fields, has
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import StoreError
from connector.ids import content_hash
from connector.model import Absent, Average, Control, Day, Profile, Snapshot, StateUpdate, Version
from connector.observe.fold import Rules, observe
from connector.observe.memory import (
    FORMAT,
    Baseline,
    Memory,
    Refusal,
    approve,
    decode,
    encode,
    forget_before,
    head,
    shown,
    slim,
    stands,
    stood,
    with_head,
)
from connector.observe.months import Days
from connector.ports import State


def version(date: str, revision: int = 0, status: str | None = None) -> Version:
    controls = {
        "Admin\ud800\n|": Control("Admin\ud800\n|", "Identity", 7.5, 75.0, on=False, count=3, total=4, status=status),
        "bare": Control("bare", "", None, None),
        "on": Control("on", "Apps", 0.0, 0.0, on=True),
        "cloud": Control("cloud", "", 2.0, 50.0, count=1, total=2, not_applicable=3, max_score=4.0),
    }
    day = Day(
        f"t_{date}", date, 300.5, 700.0, controls, ("A", "B"), 85, 90,
        (Average("AllTenants", 40.5, {"low": 1.0, "word": "x", "none": None}), Average("x", None)),
        ("future_dated",), detailed=status is not None, weight=67.0,
    )  # fmt: skip
    return Version(day, content_hash(day), revision, seen=f"{date}T09:00:00Z")


PROFILE = Profile(
    "Admin\ud800\n|", "Ask", "Identity", "AzureAD", "Core", 10.0, 3, "Config", "https://x", "Low", "High",
    ("Account Breach",), False, "aa", "bb",
    (StateUpdate("Default", at_unusable=True), StateUpdate("Ignored", "2026-11-01T00:00:00Z", "a", "b", "c")),
    ("/providers/microsoft.security/assessmentmetadata/x",),
)  # fmt: skip
REFUSAL = Refusal("2026-11-22T09:00:00Z", "p1", ("a", "b"), approved=True)


def full() -> Memory:
    newest = version("2026-11-22", 3, "You have 3 of 4")
    return Memory(
        first_newest="2026-11-01",
        newest=newest,
        observed="ref",
        days={d: version(d) for d in ("2026-09-30", "2026-10-01", "2026-10-31", "2026-11-21")},
        baselines={
            "bare": Baseline(newest.day.controls["bare"], "2026-11-20", "r1"),
            "on": Baseline(newest.day.controls["on"], "2026-11-21", "r2"),
            "cloud": Baseline(newest.day.controls["cloud"], "2026-11-21", "r2"),
        },
        profiles={PROFILE.id: PROFILE, "b": Profile("b", "B")},
        language="en-US",
        refusal=REFUSAL,
        catalogue_refusal=evolve(REFUSAL, problem_id="p2", approved=False),
        refused=("2026-11-20#t#h",),
        targets={"percent_min:": 71.5},
        due={"b": "identity of its entry"},
    )


def stored(memory: Memory, state: State | None = None, old: Memory | None = None, **values: Any) -> State:
    return encode(state, old or Memory(), memory, values)


@pytest.mark.parametrize("kind", [Average, Control, Day, Profile, StateUpdate, Version])
def test_the_memory_that_is_tested_has_every_field(kind: Any) -> None:
    """One that is left at its default everywhere could be lost in storage, unseen."""
    found = [value for value in values_in(full()) if type(value) is kind]
    defaults = (
        {f.name: f.default for f in fields(kind) if f.eq}  # what is not compared is told once and never kept
        if has(kind)
        else dict.fromkeys(kind._fields)
    )
    said = {name for name, usual in defaults.items() for v in found if getattr(v, name) not in (usual, None, "")}
    assert defaults.keys() - said == set(), f"give {kind.__name__} these in `full`"


def values_in(value: Any) -> Iterator[Any]:
    """Every value of ours in a value, itself first."""
    if has(type(value)) or isinstance(value, Control):
        yield value
    if has(type(value)):
        value = [getattr(value, f.name) for f in fields(type(value))]
    elif isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from values_in(inner)


def test_memory_survives_storage() -> None:
    assert decode(stored(full())) == full()


def test_a_new_tenant_remembers_nothing() -> None:
    assert decode(None) == decode(State()) == Memory()
    assert head(None) == {}
    assert decode(stored(Memory())) == Memory()


def test_an_unknown_catalogue_is_not_an_empty_one() -> None:
    assert decode(stored(Memory(profiles={}))).profiles == {}
    assert decode(stored(Memory(profiles=None))).profiles is None


def test_the_head_is_small_plain_json() -> None:
    state = stored(full(), tenant="contoso", problems={})
    assert json.loads(state.parts["head"]) == head(state)
    found = head(state)
    assert (found["format"], found["tenant"], found["newest"], found["first_newest"]) == (
        FORMAT, "contoso", "2026-11-22", "2026-11-01",
    )  # fmt: skip
    assert found["refusal"]["lost"] == ["a", "b"]


def test_only_what_changed_is_rewritten() -> None:
    memory = full()
    state = stored(memory)
    same = encode(state, memory, memory, {})
    assert {k for k in state.parts if same.parts[k] is not state.parts[k]} <= {"head"}
    late = evolve(memory, days={**memory.days, "2026-10-15": version("2026-10-15")})
    after = encode(state, memory, late, {})
    assert {k for k in after.parts if after.parts[k] is not state.parts.get(k)} == {"head", "days/2026-10"}
    moved = encode(state, memory, evolve(memory, targets={}), {})
    assert {k for k in moved.parts if moved.parts[k] is not state.parts[k]} == {"head", "newest"}
    catalogue = encode(state, memory, evolve(memory, profiles={"b": Profile("b", "C")}), {})
    assert {k for k in catalogue.parts if catalogue.parts[k] is not state.parts[k]} == {"head", "catalogue"}


def test_closed_months_are_decoded_only_when_asked_for() -> None:
    state = stored(full())
    part = decode(state, "2026-10-31")
    assert sorted(part.days) == ["2026-10-01", "2026-10-31", "2026-11-21"]
    late = evolve(part, days={**part.days, "2026-10-15": version("2026-10-15")})
    assert sorted(decode(encode(state, part, late, {})).days) == [
        "2026-09-30", "2026-10-01", "2026-10-15", "2026-10-31", "2026-11-21",
    ]  # fmt: skip


def test_a_day_asked_for_is_decoded_with_its_month_alone() -> None:
    state = stored(full())
    for name in ("days/2026-09", "days/2026-11"):
        state = evolve(state, parts={**state.parts, name: b"damaged"})
    memory = decode(state)
    days = Days.of(memory.days)
    assert days["2026-10-31"] == version("2026-10-31")
    assert [v.day.day for v in islice(days.before("2026-10-31"), 1)] == ["2026-10-01"]
    assert [v.day.day for v in islice(days.after("2026-10-01"), 1)] == ["2026-10-31"]
    days["2026-10-15"] = version("2026-10-15")
    after = encode(state, memory, evolve(memory, days=days), {})
    assert {k for k in after.parts if after.parts[k] is not state.parts.get(k)} == {"head", "days/2026-10"}


def test_days_before_and_after_cross_the_turn_of_a_month() -> None:
    days = Days.of(full().days)
    assert [v.day.day for v in days.before("2026-10-31")] == ["2026-10-01", "2026-09-30"]
    assert [v.day.day for v in days.after("2026-09-30")] == ["2026-10-01", "2026-10-31", "2026-11-21"]
    assert list(days.before("2026-09-30")) == list(days.after("2026-11-21")) == []
    copy = Days.of(days)
    del copy["2026-09-30"]
    assert ("2026-09-30" in days, "2026-09-30" in copy, len(copy)) == (True, False, 3)
    state = stored(full())
    assert "days/2026-09" not in encode(state, full(), evolve(full(), days=copy), {}).parts


def test_who_only_shows_a_tenant_needs_none_of_what_the_next_poll_compares_with() -> None:
    state, memory = stored(full()), full()
    for wanted, days in ((stands, {}), (stood, memory.days)):
        parts = {name: body for name, body in state.parts.items() if wanted(name)}
        assert "past" not in parts
        found = shown(evolve(state, parts=parts, whole=False))
        assert found == evolve(memory, days=days, baselines={}, tellings=None, due={})
    assert not stood("u/a.b/newest"), "what is another unit's"


def test_what_is_only_shown_is_never_stored() -> None:
    some = evolve(stored(full()), whole=False)
    with pytest.raises(AssertionError):
        encode(some, Memory(), shown(some), {})


def test_the_first_known_day_is_found_in_the_earliest_month_alone() -> None:
    state = stored(full())
    assert decode(evolve(state, parts={**state.parts, "days/2026-10": b"damaged"})).first_day() == "2026-09-30"
    assert decode(stored(Memory(newest=version("2026-11-22")))).first_day() == "2026-11-22"
    assert Memory().first_day() is None


def test_months_are_forgotten_whole() -> None:
    state = stored(full())
    assert forget_before(state, "2026-10-01") is not state
    assert sorted(decode(forget_before(state, "2026-10-31")).days) == ["2026-10-01", "2026-10-31", "2026-11-21"]
    assert forget_before(state, "2026-09-01") is state


def test_a_refused_part_is_read_anew_even_if_its_bytes_stay() -> None:
    plain = evolve(full(), refusal=None, catalogue_refusal=None)
    assert head(stored(plain, pages={"p": "h"}))["pages"] == {"p": "h"}
    assert head(stored(evolve(plain, refusal=REFUSAL), pages={"p": "h"}))["pages"] == {}
    assert head(stored(evolve(plain, catalogue_refusal=REFUSAL), pages={"p": "h"}))["pages"] == {}


def test_the_operator_approves_every_waiting_refusal() -> None:
    waiting = evolve(REFUSAL, approved=False)
    for refusal, catalogue in ((waiting, None), (None, waiting), (waiting, waiting)):
        memory = evolve(full(), refusal=refusal, catalogue_refusal=catalogue)
        approved = approve(stored(memory))
        assert approved is not None
        found = decode(approved)
        assert [r.approved for r in (found.refusal, found.catalogue_refusal) if r] == [True] * (
            2 - [refusal, catalogue].count(None)
        )
        assert found == evolve(memory, refusal=found.refusal, catalogue_refusal=found.catalogue_refusal)
    assert approve(stored(Memory())) is None


def test_status_texts_are_kept_for_the_newest_day_alone() -> None:
    newest = version("2026-11-22", 0, "You have 3 of 4 users of contoso")
    control = newest.day.controls["Admin\ud800\n|"]
    state = stored(Memory(newest=newest, baselines={control.name: Baseline(control, "2026-11-22", "r")}))
    found = decode(state)
    assert found.newest == newest
    assert found.baselines[control.name].control == control._replace(status=None)
    assert slim(newest).day.controls[control.name] == control._replace(status=None)
    assert slim(slim(newest)) == slim(newest)


@pytest.mark.parametrize("part", ["head", "newest", "catalogue", "days/2026-10"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-3],
        lambda b: b"",
        lambda b: b"\x00" + b[1:],
        lambda b: zlib.compress(b"[1, 2"),
        lambda b: zlib.compress(b'[{"day": 1}]'),
        lambda b: b"[]",
    ],
    ids=["cut", "empty", "flipped", "not_json", "misshapen", "other"],
)
def test_damage_is_named_with_the_way_out(part: str, damage: Any) -> None:
    state = stored(full())
    broken = evolve(state, parts={**state.parts, part: damage(state.parts[part])})
    with pytest.raises(StoreError, match="damaged") as caught:
        dict(decode(broken).days)  # a closed month is decoded when it is asked for
    assert "restore the backup" in caught.value.hint


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(StoreError, match="format 2, this version reads 1"):
        decode(with_head(stored(full()), {"format": 2}))


def test_states_are_values() -> None:
    state = stored(full())
    before = dict(state.parts)
    with_head(state, {"x": 1})
    encode(state, full(), Memory(), {})
    forget_before(state, "2027-01-01")
    assert dict(state.parts) == before


def test_a_state_of_before_knows_neither_services_of_references_nor_when_days_were_seen() -> None:
    one = Control("a", "Identity", 9.5, 95.0)
    newest = Version(Day("t_2026-11-22", "2026-11-22", 9.5, 10.0, {"a": one}, services=("E3",)), "h", 0, "x")
    memory = Memory(newest=newest, baselines={"a": Baseline(one, "2026-11-02", "r", ("E3", "E5"))})
    state = stored(memory)
    assert decode(state) == memory
    part = json.loads(zlib.decompress(state.parts["newest"]))
    part["refs"] = [row[:2] for row in part["refs"]]
    del part["services"], part["version"]["seen"]
    old = decode(evolve(state, parts={**state.parts, "newest": zlib.compress(json.dumps(part).encode())}))
    assert old.baselines == {"a": Baseline(one, "2026-11-02", "r")}
    assert old.newest == evolve(newest, seen="")
    read = Snapshot("graph", (newest.day,), Absent("paging"))
    known = evolve(old, newest=evolve(newest, seen="", hash=content_hash(newest.day)), first_newest="2026-11-22")
    assert observe(known, read, Rules("t"), "2026-11-23T09:00:00Z").changes == ()


def test_a_link_of_another_scheme_that_was_remembered_is_no_change() -> None:
    """Version 0.1.0 remembered any; read anew the profile has none, and nothing is told."""
    state = stored(Memory(profiles={"a": Profile("a", "A", action_url="javascript:alert(1)")}))
    assert decode(state).profiles == {"a": Profile("a", "A")}


def test_the_days_between_two_are_known_without_decoding_other_months() -> None:
    memory = decode(stored(full()))
    assert [v.day.day for v in memory.between("2026-10-01", "2026-11-21")] == ["2026-10-01", "2026-10-31", "2026-11-21"]
    assert [v.day.day for v in memory.between("2026-11-21", "2026-12-31")] == ["2026-11-21", "2026-11-22"]
    assert memory.between("2026-10-02", "2026-10-30") == []
    days = Days.of(decode(stored(full())).days)
    assert [v.day.day for v in evolve(memory, days=days).between("2026-11-01", "2026-11-30")] == [
        "2026-11-21",
        "2026-11-22",
    ]
    assert days.months["2026-09"].versions is None
    assert [v.day.day for v in memory.before("2026-10-31")] == ["2026-10-01", "2026-09-30"]


_WORDS = st.one_of(st.text(max_size=12), st.sampled_from(['},{"id":', '}]},{"id":"x"', "\x7f\ud800", '[{"id":']))
_UPDATES = st.builds(
    StateUpdate, _WORDS, st.none() | _WORDS, st.none() | _WORDS, comment=st.none() | _WORDS, at_unusable=st.booleans()
)
_PROFILES = st.builds(
    Profile,
    _WORDS,
    _WORDS,
    max_score=st.none() | st.floats(0, 1e9),
    action_url=st.sampled_from(["", "https://example.org/a", "javascript:alert(1)"]),
    threats=st.lists(_WORDS, max_size=2).map(tuple),
    updates=st.lists(_UPDATES, max_size=2).map(tuple),
    assessments=st.lists(_WORDS, max_size=2).map(tuple),
)


@given(st.lists(_PROFILES, max_size=5, unique_by=lambda profile: profile.id))
def test_a_catalogue_is_decoded_as_its_json_says_whether_or_not_its_rows_were_met_before(found: list[Profile]) -> None:
    memory = Memory(profiles={profile.id: profile for profile in found})
    state = encode(None, Memory(), memory, {})
    as_remembered = [
        evolve(profile, action_url=profile.action_url if profile.action_url.startswith("https:") else "")
        for profile in found
    ]
    for _ in ("new", "met before"):
        decoded = decode(state).profiles
        assert decoded is not None
        assert list(decoded.values()) == as_remembered
        assert list(decoded) == [profile.id for profile in found]


@pytest.mark.parametrize(
    "catalogue",
    [
        '[{"id":"a"},{"id":"b"}]',
        '[{"id":"a","updates":[{"id":"b"},{"id":"c"}]}]',
        '[{"id":1,',
        '[{"id":}]',
        '[{"id":"a"},]',
        "[]]",
    ],
)
def test_a_catalogue_whose_rows_are_none_is_damage(catalogue: str) -> None:
    good = encode(None, Memory(), Memory(profiles={}), {})
    assert decode(good).profiles == {}
    bad = evolve(good, parts={**good.parts, "catalogue": zlib.compress(catalogue.encode())})
    with pytest.raises(StoreError):
        decode(bad)


def test_what_is_stored_as_it_was_is_not_decoded_again() -> None:
    state = stored(full())
    first, again = (
        decode(state),
        decode(State(state.generation, {k: bytes(bytearray(v)) for k, v in state.parts.items()})),
    )
    assert first.profiles is again.profiles
    assert first.days["2026-10-31"] is again.days["2026-10-31"]
    other = decode(stored(evolve(full(), days={"2026-10-31": version("2026-10-31", 1)})))
    assert other.days["2026-10-31"].revision == 1
