"""Defender for Endpoint's exposure score: what is read, what a failure of one of the two means, and who is meant."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import Factory, define

from connector.errors import Denied, Unavailable
from connector.model import Absent, Known, Reading, Unchanged, Unit
from connector.net.http import Response
from connector.sources.defender_endpoint import MAX_GROUPS, DefenderEndpointSource
from tests.contract.source_contract import check_source_of_units
from tests.fake_graph import TENANT, JumpClock

WHOLE, GROUPS = "/api/exposureScore", "/api/exposureScore/ByMachineGroups"


@define
class FakeEndpoint:
    """Answers as documented; `time` is that of the call. `canned[path]` is (status, body) instead."""

    score: float = 33.5
    groups: list[dict[str, Any]] = Factory(
        lambda: [
            {"score": 41.25, "rbacGroupName": "Servers", "rbacGroupId": 7},
            {"score": 12, "rbacGroupName": "Labs EU"},
        ]
    )
    canned: dict[str, tuple[int, bytes]] = Factory(dict)
    asked: list[tuple[str, str, Mapping[str, str]]] = Factory(list)

    async def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **_: Any) -> Response:
        self.asked.append((method, url, headers or {}))
        time = f"2030-01-10T12:00:00.{len(self.asked):07d}Z"
        path = url.removeprefix("https://mde.invalid")
        body: Any = {"@odata.context": f"{url}/$metadata", "time": time, "score": self.score}
        if path == GROUPS:
            body = {"@odata.context": f"{url}/$metadata", "value": [{"time": time, **group} for group in self.groups]}
        status, raw = self.canned.get(path, (200, json.dumps(body).encode()))
        return Response(status, {}, raw, datetime(2030, 1, 10, 12, tzinfo=UTC))


class Tokens:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return "secret"


def source(far: FakeEndpoint) -> DefenderEndpointSource:
    return DefenderEndpointSource(
        http=far,
        base_url="https://mde.invalid",
        tenant_id=TENANT,
        token=Tokens(),
        clock=JumpClock(),
        random=random.Random(1),
    )


async def read(far: FakeEndpoint, known: Known | None = None) -> Reading:
    return await source(far).read(known or Known())


def scores(reading: Reading) -> dict[tuple[str, str], float]:
    assert isinstance(reading.units, tuple)
    found = {}
    for snapshot in reading.units:
        assert snapshot.unit is not None
        assert isinstance(snapshot.days, tuple)
        assert snapshot.days[0].score is not None
        found[snapshot.unit.kind, snapshot.unit.id] = snapshot.days[0].score
    return found


async def test_contract() -> None:
    await check_source_of_units(source(FakeEndpoint()), "2030-01-10")


async def test_the_organization_and_each_device_group_are_units() -> None:
    reading = await read(FakeEndpoint())
    assert isinstance(reading.units, tuple)
    units = [snapshot.unit for snapshot in reading.units]
    assert units[:2] == [
        Unit("organization", TENANT, "", "exposureScore", "unknown"),
        Unit("device_group", "7", "Servers", "exposureScore", "unknown"),
    ]
    assert units[2] is not None
    assert (units[2].name, units[2].id.startswith("labs-eu-")) == ("Labs EU", True)
    assert list(scores(reading).values()) == [33.5, 41.25, 12]
    assert all(unit is not None and unit.lower_is_better for unit in units)
    assert not Unit("subscription", "x", "", "ascScore", "classic").lower_is_better
    for snapshot in reading.units:
        assert isinstance(snapshot.days, tuple)
        assert (snapshot.days[0].max_score, snapshot.days[0].controls, snapshot.catalogue) == (100, {}, {})


async def test_the_token_goes_to_the_configured_host_only() -> None:
    far = FakeEndpoint()
    await read(far)
    assert [(method, url) for method, url, _ in far.asked] == [
        ("GET", f"https://mde.invalid{WHOLE}"),
        ("GET", f"https://mde.invalid{GROUPS}"),
    ]
    assert {headers["Authorization"] for _, _, headers in far.asked} == {"Bearer secret"}


async def test_the_moment_of_the_call_is_no_change() -> None:
    far = FakeEndpoint()
    first = await read(far)
    known = Known("2030-01-10", had_days=True, pages=first.pages)
    assert (await read(far, known)).units == Unchanged()
    far.score = 34
    assert scores(await read(far, known))["organization", TENANT] == 34


async def test_a_group_id_that_is_stated_survives_a_new_name() -> None:
    far = FakeEndpoint()
    before = scores(await read(far))
    far.groups[0]["rbacGroupName"] = "All servers"
    assert scores(await read(far)).keys() == before.keys()


@pytest.mark.parametrize(("path", "kept"), [(GROUPS, 1), (WHOLE, 2)])
async def test_one_that_fails_alone_makes_the_reading_partial(path: str, kept: int) -> None:
    far = FakeEndpoint(canned={path: (403, b"{}")})
    reading = await read(far, Known("2030-01-10", had_days=True, pages={"x": "y"}))
    assert len(scores(reading)) == kept
    assert isinstance(reading.partial, Absent)
    assert reading.partial.reason == "denied"
    assert (reading.pages, reading.evidence) == ({"x": "y"}, ())


async def test_both_refused_name_the_permission_and_the_audience() -> None:
    far = FakeEndpoint(canned={WHOLE: (403, b"{}"), GROUPS: (403, b"{}")})
    with pytest.raises(Denied) as caught:
        await read(far)
    assert "WindowsDefenderATP" in caught.value.hint
    assert "audience" in caught.value.hint


async def test_both_unavailable_are_tried_again_and_then_told() -> None:
    far = FakeEndpoint(canned={WHOLE: (503, b""), GROUPS: (503, b"")})
    with pytest.raises(Unavailable):
        await read(far)
    assert len(far.asked) > 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"score": null}',
        b'{"score": -1}',
        b'{"score": 101}',
        b'{"score": NaN}',
        b'{"score": true}',
        b'{"score": [1]}',
        b"<html></html>",
        b'{"score": 1',
    ],
)
async def test_what_is_no_score_is_none(body: bytes) -> None:
    reading = await read(FakeEndpoint(canned={WHOLE: (200, body)}))
    assert ("organization", TENANT) not in scores(reading)
    assert reading.partial is not None


@pytest.mark.parametrize(
    "value",
    [
        7,
        [7],
        [{}],
        [{"score": 1}],
        [{"score": 1, "rbacGroupName": ""}],
        [{"score": 1, "rbacGroupName": "a"}, {"score": 2, "rbacGroupName": "A"}],
        [{"score": 1, "rbacGroupName": f"g{n}"} for n in range(MAX_GROUPS + 1)],
    ],
)
async def test_groups_that_cannot_be_told_apart_do_not_count(value: Any) -> None:
    reading = await read(FakeEndpoint(canned={GROUPS: (200, json.dumps({"value": value}).encode())}))
    assert list(scores(reading)) == [("organization", TENANT)]
    assert reading.partial is not None


async def test_neither_readable_is_a_partial_read() -> None:
    """A portal's page instead of an answer is no bug of ours: it is told as any other read that was not whole."""
    page = (200, b"<html>Sign in</html>")
    reading = await read(FakeEndpoint(canned={WHOLE: page, GROUPS: page}), Known(had_days=True, pages={"x": "y"}))
    assert isinstance(reading.units, Absent)
    assert (reading.units.reason, "HTML" in reading.units.detail, bool(reading.units.hint)) == ("not_json", True, True)
    assert (reading.pages, reading.evidence) == ({"x": "y"}, ())


@pytest.mark.parametrize("refused", [WHOLE, GROUPS])
async def test_a_refusal_is_told_before_an_answer_that_is_none(refused: str) -> None:
    with pytest.raises(Denied):
        await read(FakeEndpoint(canned={WHOLE: (200, b"{}"), GROUPS: (200, b"{}"), refused: (403, b"{}")}))
