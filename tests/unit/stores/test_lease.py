"""One member polls: who takes a turn, who waits, who follows a holder that died."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.errors import StoreError
from connector.stores.lease import take
from tests.fakes.kvstore import Splunkd, collection, splunkd

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def fake() -> Iterator[Splunkd]:
    with splunkd("turns") as state:
        yield state


async def turn(fake: Splunkd, holder: str, now: datetime, *, name: str = "prod", lasts: timedelta = HOUR) -> str | None:
    return await take(collection(fake, "turns"), name, holder, now, now + lasts)


async def test_one_of_many_gets_it(fake: Splunkd) -> None:
    got = await asyncio.gather(*(turn(fake, f"member {n}", NOW) for n in range(6)))
    assert got.count(None) == 1
    winner = got.index(None)
    assert {who for who in got if who is not None} <= {f"member {winner}", "another member"}


async def test_others_wait_until_the_time_is_over(fake: Splunkd) -> None:
    assert await turn(fake, "a", NOW) is None
    assert await turn(fake, "b", NOW + HOUR - timedelta(seconds=1)) == "a"
    assert await turn(fake, "b", NOW + HOUR) is None
    assert await turn(fake, "a", NOW + HOUR) == "b"


async def test_its_holder_may_come_back_at_once(fake: Splunkd) -> None:
    assert await turn(fake, "a", NOW) is None
    assert await turn(fake, "a", NOW + timedelta(minutes=1)) is None
    assert len(fake.collections["turns"]) == 1, "old turns go"


async def test_inputs_have_turns_of_their_own(fake: Splunkd) -> None:
    assert await turn(fake, "a", NOW, name="prod") is None
    assert await turn(fake, "b", NOW, name="prod2") is None


async def test_a_turn_written_under_a_wrong_clock_binds_nobody(fake: Splunkd) -> None:
    assert await turn(fake, "a", NOW + timedelta(days=400)) is None
    assert await turn(fake, "b", NOW) is None


@pytest.mark.parametrize("rubbish", [{"until": "never"}, {"n": "7"}, {"holder": 3}])
async def test_rubbish_in_the_collection_stops_nobody(fake: Splunkd, rubbish: dict[str, Any]) -> None:
    record = {"_key": "prod:000000000001", "of": "prod", "n": 1, "holder": "x", "until": "2026-11-22T09:30:00Z"}
    fake.collections["turns"]["prod:000000000001"] = {**record, **rubbish}
    assert await turn(fake, "b", NOW + HOUR) is None


async def test_without_the_collection_it_says_so(fake: Splunkd) -> None:
    broken = collection(fake, "turns")
    fake.fail = 503
    with pytest.raises(StoreError, match="503"):
        await take(broken, "prod", "a", NOW, NOW + HOUR)
