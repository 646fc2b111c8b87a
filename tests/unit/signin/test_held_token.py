"""A held token: single-flight, renewed early, and a refusal that stands. A fake fetch, a simulated clock."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from attrs import Factory, define

from connector.clock import SimulatedClock
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.signin.msal_calls import Token
from connector.signin.refusals import SignInRefused
from connector.signin.tokens import HeldToken

START = datetime(2026, 11, 22, 9, tzinfo=UTC)


@define
class Issuer:
    """Issues t1, t2, … of one hour, or fails with what is in `errors` first."""

    clock: SimulatedClock = Factory(lambda: SimulatedClock(START))
    refresh_s: int | None = None
    errors: list[SecureScoreError] = Factory(list)
    life: timedelta = timedelta(hours=1)
    gate: asyncio.Event | None = None
    asked: list[str] = Factory(list)

    async def fetch(self, claims: str) -> Token:
        self.asked.append(claims)
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        if self.errors:
            raise self.errors.pop(0)
        now = self.clock.now()
        early = now + timedelta(seconds=self.refresh_s) if self.refresh_s else None
        return Token(f"t{len(self.asked)}", now + self.life, early)

    def held(self) -> HeldToken:
        return HeldToken(self.fetch, self.clock)


async def test_token_is_held_until_five_minutes_before_its_end() -> None:
    issuer = Issuer()
    held = issuer.held()
    assert await held.token() == "t1"
    await issuer.clock.advance(54 * 60)
    assert await held.token() == "t1"
    await issuer.clock.advance(61)
    assert await held.token() == "t2"


async def test_many_callers_share_one_request() -> None:
    issuer = Issuer()
    held = issuer.held()
    assert set(await asyncio.gather(*(held.token() for _ in range(10)))) == {"t1"}
    assert set(await asyncio.gather(*(held.token(refused="t1") for _ in range(10)))) == {"t2"}
    assert await held.token(claims="{}") == "t3"
    assert issuer.asked == ["", "", "{}"]


async def test_early_renewal_that_fails_leaves_the_old_token_in_use() -> None:
    issuer = Issuer(refresh_s=1800)
    held = issuer.held()
    await held.token()
    await issuer.clock.advance(1801)
    issuer.errors = [Unavailable("down"), Denied("no", "")]
    assert await held.token() == "t1"
    assert await held.token() == "t1"
    assert len(issuer.asked) == 2, "not asked for every use"
    await issuer.clock.advance(301)
    assert await held.token() == "t1"
    await issuer.clock.advance(301)
    assert await held.token() == "t4"


async def test_servers_wish_to_wait_stands_for_everybody() -> None:
    issuer = Issuer(errors=[Unavailable("throttled", 30, "wait")])
    held = issuer.held()
    for wish in (30, 20):
        with pytest.raises(Unavailable, match="throttled") as caught:
            await held.token()
        assert caught.value.retry_after_s == wish
        await issuer.clock.advance(10)
    await issuer.clock.advance(10)
    assert await held.token() == "t2"


async def test_unavailable_without_a_wish_is_tried_again_at_once() -> None:
    issuer = Issuer(errors=[Unavailable("reset")])
    held = issuer.held()
    with pytest.raises(Unavailable):
        await held.token()
    assert await held.token() == "t2"


@pytest.mark.parametrize("error", [SignInRefused("no", "do this", "secret_wrong"), Denied("no", "do this")])
async def test_refusal_stands_for_a_minute(error: SecureScoreError) -> None:
    issuer = Issuer(errors=[error])
    held = issuer.held()
    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            await held.token()
        assert caught.value.hint == "do this"
    assert len(issuer.asked) == 1
    await issuer.clock.advance(60)
    assert await held.token() == "t2"


async def test_mistake_of_this_machine_is_looked_at_again() -> None:
    issuer = Issuer(errors=[ConfigError(["no such file"])])
    held = issuer.held()
    with pytest.raises(ConfigError):
        await held.token()
    assert await held.token() == "t2"


async def test_refused_token_is_never_given_again() -> None:
    """A token that a resource refused is worth nothing, however long it would have lived."""
    issuer = Issuer()
    held = issuer.held()
    await held.token()
    issuer.errors = [Unavailable("down")]
    with pytest.raises(Unavailable):
        await held.token(refused="t1")


async def test_many_refused_with_one_token_one_after_another_cost_one_sign_in() -> None:
    issuer = Issuer()
    held = issuer.held()
    first = await held.token()
    assert [await held.token(refused=first) for _ in range(4)] == ["t2"] * 4
    assert len(issuer.asked) == 2


async def test_a_refused_token_is_given_to_nobody_while_it_is_renewed() -> None:
    issuer = Issuer()
    held = issuer.held()
    first = await held.token()
    issuer.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(held.token(refused=text)) for text in (first, "", first)]
    await asyncio.sleep(0)
    issuer.gate.set()
    assert await asyncio.gather(*waiting) == ["t2"] * 3


@pytest.mark.parametrize(("life_s", "held_s"), [(299, 149), (600, 299), (3600, 3299)])
async def test_a_token_of_a_short_life_is_held_for_half_of_it(life_s: int, held_s: int) -> None:
    issuer = Issuer(life=timedelta(seconds=life_s))
    held = issuer.held()
    assert [await held.token() for _ in range(5)] == ["t1"] * 5
    await issuer.clock.advance(held_s)
    assert await held.token() == "t1"
    await issuer.clock.advance(2)
    assert await held.token() == "t2"


async def test_a_challenge_that_waits_behind_a_plain_renewal_is_answered_all_the_same() -> None:
    issuer = Issuer()
    held = issuer.held()
    first = await held.token()
    issuer.gate = asyncio.Event()
    plain = asyncio.ensure_future(held.token(refused=first))
    challenged = asyncio.ensure_future(held.token(refused=first, claims='{"nbf": 1}'))
    await asyncio.sleep(0)
    issuer.gate.set()
    assert list(await asyncio.gather(plain, challenged)) == ["t2", "t3"]
    assert issuer.asked == ["", "", '{"nbf": 1}']
    assert await held.token(claims='{"nbf": 1}') == "t3", "what answers it already is not asked for again"


async def test_a_slow_early_renewal_holds_nobody_up() -> None:
    issuer = Issuer(refresh_s=1800)
    held = issuer.held()
    await held.token()
    await issuer.clock.advance(1801)
    issuer.gate = asyncio.Event()
    renewing = asyncio.ensure_future(held.token())
    await asyncio.sleep(0)
    assert await asyncio.wait_for(held.token(), 30) == "t1"
    issuer.gate.set()
    assert await renewing == "t2"


def _reprs(*values: object) -> Sequence[str]:
    return [repr(v) + str(v) for v in values]


async def test_token_is_in_no_repr() -> None:
    issuer = Issuer()
    held = issuer.held()
    await held.token()
    assert not any("t1" in text for text in _reprs(held, await held.get()))
