"""Which index the shipped searches read, and how the macro comes to name another."""

import pytest

from connector.homes.index_macro import names, reads, widened


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        ("index=main", ["main"]),
        ("(index=a OR index=b-2)", ["a", "b-2"]),
        (' index = "sec_*" ', ["sec_*"]),
        ("index IN (a, b)", None),
        ("index=a sourcetype=x", None),
        ("index=a NOT host=b", None),
        ("`other`", None),
        ("", None),
    ],
)
def test_only_a_plain_list_of_indexes_is_understood(definition: str, found: list[str] | None) -> None:
    assert names(definition) == found
    assert reads(definition, "a") is (None if found is None else "a" in found)


def test_a_glob_reads_what_it_matches() -> None:
    assert reads("index=sec*", "security") is True
    assert reads("index=sec*", "main") is False


def test_as_shipped_it_becomes_the_one_index_and_then_a_list() -> None:
    one = widened("index=main", "security")
    assert one == "index=security"
    two = widened(one, "other")
    assert two == "(index=security OR index=other)"
    assert reads(two, "security")
    assert reads(two, "other")
    assert widened(two, "third") == "(index=security OR index=other OR index=third)"
