"""The bytes of a page: cut, damaged, of every encoding; where the next page is."""

import json
from typing import Any

import pytest

from connector.errors import PartialRead
from connector.sources.pages import documents, load, next_link, page_hash
from tests.fake_graph import day_document

PAGE = json.dumps({"value": [day_document("2030-01-10", {"A": 5})]}).encode()


@pytest.mark.parametrize("cut", [*range(1, len(PAGE), 37), len(PAGE) - 1])
def test_page_cut_anywhere_is_truncated(cut: int) -> None:
    with pytest.raises(PartialRead) as caught:
        load(PAGE[:cut], "page 1")
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
        load(body, "page 1")
    assert caught.value.reason == "not_json"
    assert len(caught.value.what) < 250


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_that_scripts_save_is_read(encoding: str) -> None:
    assert load('{"value": ["é"]}'.encode(encoding), "file") == {"value": ["é"]}


@pytest.mark.parametrize("data", [{}, {"value": None}, {"value": {}}, {"error": {"code": "x"}}, [], None, 5])
def test_collection_without_list_is_refused(data: Any) -> None:
    with pytest.raises(PartialRead, match="page 1: no `value` list"):
        documents(data, "page 1")


def test_next_link_is_found_at_either_end_and_left_out_of_the_hash() -> None:
    def page(link: str, *, first: bool) -> bytes:
        rows = {"value": [{"text": "x" * 40_000}]}
        pair = {"@odata.nextLink": link}
        return json.dumps(pair | rows if first else rows | pair).encode()

    for first in (True, False):
        one, two = page("https://g/a?$skiptoken=1", first=first), page("https://g/a?$skiptoken=22", first=first)
        links = [next_link(one), next_link(two)]
        assert [link and link.url for link in links] == ["https://g/a?$skiptoken=1", "https://g/a?$skiptoken=22"]
        assert page_hash(one, links[0]) == page_hash(two, links[1])
        assert page_hash(one, links[0]) != page_hash(one + b" ", links[0])


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
    assert next_link(json.dumps(page).encode()) is None


def test_next_link_is_unescaped() -> None:
    link = next_link(b'{"@odata.nextLink":"https:\\/\\/g\\/a?x=\\u0026","value":[]}')
    assert link is not None
    assert link.url == "https://g/a?x=&"
