"""Every way a person saves an answer is read as the answer itself, or refused by its name with the remedy."""

import json
import re
from pathlib import Path

import pytest

from connector.model import Known, Snapshot
from connector.sources import shapes
from connector.sources.files import FilesSource
from tests.fake_graph import TENANT, JumpClock
from tests.tool_output import DAY, PROFILES, Shape, convert_to_json, sdk
from tests.tool_output import shapes as saved_shapes

SHAPES = saved_shapes()


async def read(folder: Path, shape: Shape) -> Snapshot:
    for name, body in shape.files.items():
        (folder / name).write_bytes(body)
    return await FilesSource(path=folder, tenant_id=TENANT, clock=JumpClock()).read(Known())


@pytest.mark.parametrize("shape", [s for s in SHAPES if not s.refused], ids=lambda s: s.name)
async def test_what_a_tool_prints_is_read_as_the_answer_itself(tmp_path: Path, shape: Shape) -> None:
    (tmp_path / "as sent").mkdir()
    (tmp_path / "saved").mkdir()
    whole = await read(tmp_path / "as sent", SHAPES[0])
    found = await read(tmp_path / "saved", shape)
    assert isinstance(found.days, tuple)
    assert isinstance(whole.days, tuple)
    assert found.days == whole.days[-len(found.days) :]
    assert found.catalogue == whole.catalogue
    assert (found.notes, found.partial) == ((), {})


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.refused], ids=lambda s: s.name)
async def test_what_cannot_be_undone_is_refused_by_its_name(tmp_path: Path, shape: Shape) -> None:
    found = await read(tmp_path, shape)
    told = found.incomplete["days"]
    assert shape.refused in told.detail
    assert next(iter(shape.files)) in told.detail
    assert told.hint
    assert "heals" not in told.hint


def test_a_cut_list_says_which_and_what_stands_there() -> None:
    body = convert_to_json([sdk(DAY, "secureScores")], 2).encode()
    ((error, parts),) = shapes.saved(body, "x.json").cut
    assert re.match("x.json: its .* are the text .*: ConvertTo-Json cut", error.what)
    assert (error.hint, parts) == (shapes.DEPTH_HINT, ("days",))


@pytest.mark.parametrize(
    "cut", ["", "  ", "@{controlName=A; score=10}", "System.Object[]", ["@{a=1}"], ["System.Object[]"]]
)
def test_text_where_a_list_of_objects_belongs_is_a_cut_of_that_document_alone(cut: object) -> None:
    documents = [DAY, DAY | {"controlScores": cut}, PROFILES[0] | {"controlStateUpdates": cut}, PROFILES[1]]
    saved = shapes.saved(json.dumps({"value": documents}).encode(), "x.json")
    assert saved.docs == (DAY, PROFILES[1])
    assert [parts for _, parts in saved.cut] == [("days",), ("catalogue",)]
    assert all("ConvertTo-Json cut" in error.what for error, _ in saved.cut)


def test_a_continuation_is_seen_through_every_wrapping() -> None:
    page = {"value": PROFILES, "@odata.nextLink": "https://g/x"}
    last = {"value": PROFILES}
    for value, more in (
        (page, True),
        (last, False),
        ([page], True),
        ([page, last], False),
        ({"value": page, "Count": 1}, True),
        ({"value": [page, last], "Count": 2}, False),
    ):
        assert shapes.saved(json.dumps(value).encode(), "x").more is more


def test_nesting_without_end_is_no_answer() -> None:
    value: object = PROFILES
    for _ in range(50):
        value = {"value": value}
    assert shapes.saved(json.dumps(value).encode(), "x").docs == ()
