"""Markup comes from functions that cannot be talked into harm: texts stay texts, harmful attributes do not exist."""

from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.foreign.characters import harmless
from connector.report.charts import spread
from connector.report.markup import Markup, el, html, open_tag, soft


class Read(HTMLParser):
    """What a parser makes of it: tags and the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Read:
    parser = Read()
    parser.feed(markup)
    parser.close()
    return parser


@given(st.text(), st.text())
def test_any_text_comes_back_as_text_and_makes_no_tag(text: str, label: str) -> None:
    found = read(el("td", text, data_label=label))
    assert found.tags == [("td", {"data-label": harmless(label)})]
    assert found.text == harmless(text)


@given(st.text(alphabet=st.sampled_from("a@_.&<;1\u202e")))
def test_a_name_that_may_be_broken_reads_the_same(text: str) -> None:
    found = read(soft(text))
    assert found.text == harmless(text)
    assert {tag for tag, _ in found.tags} <= {"wbr"}


@given(st.text())
def test_plain_text_is_one_line_that_reads_in_one_direction(text: str) -> None:
    found = harmless(text)
    assert not set(found) & set("\x00\x07\t\n\r\x1b\x7f\x9b\u2028\u202a\u202e\u2066\u2069\u200f\ud800")
    assert harmless(found) == found


def test_markup_is_not_escaped_twice_and_none_is_nothing() -> None:
    assert el("p", Markup("<b>&amp;</b>"), None, ["a<", 3]) == "<p><b>&amp;</b>a&lt;3</p>"
    assert html(None) == ""


@pytest.mark.parametrize(
    "attributes",
    [
        {"onclick": "x()"},
        {"style": "color:red"},
        {"src": "#a"},
        {"src": "https://evil.invalid/x.png"},
        {"src": "data:image/svg+xml;base64,PHN2Zz4="},
        {"src": "data:text/html;base64,PHA+"},
        {"src": 'data:image/png;base64,AAAA" onerror="x()'},
        {"href": "https://evil.invalid"},
        {"href": "javascript:alert(1)"},
        {"xlink_href": "#a"},
        {"action": "#"},
    ],
)
def test_attributes_that_could_load_or_run_do_not_exist(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no place in a report"):
        open_tag("a", **attributes)


@given(st.lists(st.floats(0, 1000), max_size=12))
def test_marks_keep_their_order_and_their_distance(wanted: list[float]) -> None:
    places = spread(sorted(wanted), 20.0, 0.0, 1000.0)
    assert all(b - a >= 20.0 - 1e-6 for a, b in pairwise(places))
    assert all(place <= 1000.0 for place in places)
    if len(wanted) * 20 <= 1000:
        assert all(place >= -1e-6 for place in places)
