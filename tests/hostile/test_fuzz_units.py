"""Whatever Resource Graph or Defender for Endpoint answers, or was saved of it: a reading, or one of the errors that a
source may raise; never anything else.
"""

import gzip
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connector.errors import Denied, Unavailable, WrongTenant
from connector.foreign.characters import is_harmless
from connector.model import Absent, Known, Reading
from connector.net.http import Response
from connector.sources.defender_cloud import DefenderCloudSource
from connector.sources.defender_endpoint import DefenderEndpointSource
from connector.sources.saved_units import SavedUnits
from tests.fake_graph import TENANT, JumpClock
from tests.fake_resource_graph import scored, standard_row, subscription
from tests.fakes.folder import quick_folder
from tests.hostile.matter import TEXTS, altered, budget, dumps, harmed, names_of, only, values

SUBSCRIPTIONS = {"totalRecords": 1, "count": 1, "data": [subscription(1)], "resultTruncated": "false"}
SCORES = {"totalRecords": 3, "count": 3, "data": scored(1, 4, 2), "resultTruncated": "false"}
STANDARDS = {"totalRecords": 1, "count": 1, "data": [standard_row(1, "CIS", 3, 4)], "resultTruncated": "false"}
EXPOSURE = {"time": "2030-01-10T12:00:00.1234567Z", "score": 33.5}
GROUPS = {"value": [{"time": "x", "score": 41.25, "rbacGroupName": "Servers", "rbacGroupId": 7}]}
NAMES = st.sampled_from(
    sorted({*names_of(SCORES), *names_of(SUBSCRIPTIONS), *names_of(STANDARDS), "$skipToken", "totalRecords"})
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["x-ms-user-quota-remaining", "x-ms-user-quota-resets-after", "x-ms-tenant-subscription-limit-hit"]
    ),
    TEXTS,
    max_size=3,
)


class Far:
    """Gives each question its body."""

    def __init__(self, bodies: Mapping[str, bytes], headers: Mapping[str, str]) -> None:
        self._bodies, self._headers = bodies, headers

    async def request(self, _method: str, url: str, *, body: bytes | None = None, **_: Any) -> Response:
        query = json.loads(body)["query"] if body else url
        name = next(name for name in self._bodies if name in query)
        return Response(200, self._headers, self._bodies[name], datetime(2030, 1, 10, tzinfo=UTC))


class Token:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return "t"


async def read(source: type[Any], bodies: Mapping[str, bytes], headers: Mapping[str, str], **more: Any) -> Any:
    given_ = {"base_url": "https://x", "tenant_id": TENANT, "token": Token(), "clock": JumpClock(), **more}
    with only(Denied, Unavailable, WrongTenant):
        return await source(http=Far(bodies, headers), random=random.Random(1), **given_).read(Known())


def sound(reading: Reading | None) -> None:
    """What was made of it can be stored and told."""
    if reading is None:
        return
    said = [part for part in (reading.units, reading.listed, reading.partial) if isinstance(part, Absent)]
    for text in (*(absent.detail for absent in said), *(note.text for note in reading.notes)):
        assert is_harmless(text), repr(text)
        assert len(text) < 3000
    for snapshot in reading.units if isinstance(reading.units, tuple) else ():
        assert snapshot.unit is not None
        assert isinstance(snapshot.days, tuple)
        assert [day.day for day in snapshot.days] == sorted({day.day for day in snapshot.days})
        for day in snapshot.days:
            numbers = [day.score, day.max_score, day.weight]
            for control in day.controls.values():
                numbers += [control.score, control.percent, control.max_score, control.count, control.total]
            json.dumps(numbers, allow_nan=False)
            assert all(number is None or 0 <= number <= 2e9 for number in numbers)
            assert isinstance(snapshot.catalogue, dict)
            json.dumps([snapshot.unit.key, *day.controls, *snapshot.catalogue]).encode()
        snapshot.unit.name.encode()


@budget(75)
@given(
    altered(SUBSCRIPTIONS),
    altered(SCORES) | st.builds(lambda row: {"totalRecords": 1, "count": 1, "data": [row]}, values(NAMES)),
    altered(STANDARDS),
    HEADERS,
)
async def test_any_document_of_resource_graph(listed: Any, scores: Any, rules: Any, headers: dict[str, str]) -> None:
    bodies = {"resourcecontainers": dumps(listed), "regulatory": dumps(rules), "securescores": dumps(scores)}
    sound(await read(DefenderCloudSource, bodies, headers, compliance=True))


@budget(75)
@given(harmed(json.dumps(SCORES).encode()) | st.binary(max_size=60))
async def test_any_octets_of_resource_graph(scores: bytes) -> None:
    bodies = {"resourcecontainers": json.dumps(SUBSCRIPTIONS).encode(), "securescores": scores}
    sound(await read(DefenderCloudSource, bodies, {}))


@budget(75)
@given(altered(EXPOSURE).map(dumps) | harmed(json.dumps(EXPOSURE).encode()), altered(GROUPS).map(dumps))
async def test_any_answer_of_defender_for_endpoint(whole: bytes, groups: bytes) -> None:
    sound(await read(DefenderEndpointSource, {"ByMachineGroups": groups, "exposureScore": whole}, {}))


WHOLE = {
    "resourceGraph-subscriptions-1.json": json.dumps(SUBSCRIPTIONS).encode(),
    "resourceGraph-scores-1.json.gz": gzip.compress(json.dumps(SCORES).encode()),
}
NAMED = [f"resourceGraph-{name}-{number}.json" for name in ("subscriptions", "scores") for number in (1, 2)]
DAYS = st.sampled_from(["2030-01-09", "2030-01-10", "2030-02-30", "9999-12-31", "0001-01-01", "..day", "x\udcffy"])
FILES = st.dictionaries(
    st.tuples(DAYS, st.sampled_from([*NAMED, "resourceGraph-scores-01.json", "SHA256SUMS", "x\udcff.json"])),
    harmed(json.dumps(SCORES).encode()) | altered(SUBSCRIPTIONS).map(dumps) | harmed(gzip.compress(b"{}", mtime=0)),
    max_size=8,
)


@budget(50)
@given(FILES)
async def test_any_files_among_saved_answers(files: Mapping[tuple[str, str], bytes]) -> None:
    def opened(http: Any, token: Any, clock: Any) -> DefenderCloudSource:
        given_: dict[str, Any] = {"http": http, "token": token, "clock": clock, "base_url": "https://x"}
        return DefenderCloudSource(**given_, tenant_id=TENANT, random=random.Random(1))

    with quick_folder() as folder:
        for (day, name), body in ({("2030-01-08", n): body for n, body in WHOLE.items()} | {**files}).items():
            (folder / day).mkdir(exist_ok=True)
            (folder / day / name).write_bytes(body)
        with only(Denied, Unavailable, WrongTenant):
            sound(await SavedUnits(name="x", path=folder, most_days=3, opened=opened).read(Known()))
