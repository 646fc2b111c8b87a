"""One PATCH, and the change read back: whether the service shows what was asked for.

Nothing that runs by itself may import this wing; an import contract and a test see to it. No prompts and no tables
here: those are in cli/controls_send.py and beside it.
"""

import json
from datetime import timedelta
from random import Random
from typing import Protocol

from attrs import field, frozen

from connector.backoff import delay_s
from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable
from connector.model import PORTAL, Profile
from connector.net.http import Transport, error_for
from connector.observe.diff import effective_state
from connector.ports import Clock
from connector.signin.tokens import TokenProvider, claims_challenge
from connector.sources.graph import profile_path
from connector.sources.requests import Throttled
from connector.writeback.plan import Plan, Wanted, body_of, plan, shows

MAX_ATTEMPTS = 5
READ_BACK_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""When the change is looked for after a PATCH: the service may show it a little later."""

WRITE_HINT = (
    "Writing needs SecurityEvents.ReadWrite.All with the consent of an administrator, or, for a delegated sign-in, the "
    "directory role Security Administrator; give that credential as write_auth to keep reading and writing apart."
)


class NotTaken(Denied):
    """The service refuses this one change; others may do."""


class Reader(Protocol):
    """Where one control is read: sources/graph.GraphSource, with the credential that writes."""

    async def control(self, name: str) -> Profile | None: ...


@frozen
class Writer:
    """How one tenant is written to. `deadline_s` bounds the time for retries of one PATCH."""

    http: Transport = field(repr=False)
    base_url: str
    token: TokenProvider = field(repr=False)
    clock: Clock = field(repr=False)
    random: Random = field(repr=False)
    deadline_s: float = 45.0

    async def patch(self, wish: Wanted) -> str:
        """Send one change, in words what came of it. Raises Denied when it was refused, Throttled when it was not
        taken for now, and Unavailable when it is not known whether it was taken.
        """
        url = f"{self.base_url.rstrip('/')}/v1.0/security/{profile_path(wish.control)}"
        body = json.dumps(body_of(wish)).encode()
        give_up_at = self.clock.now() + timedelta(seconds=self.deadline_s)
        token = await self.token.token()
        refreshed = False
        attempt = 0
        while True:
            headers = {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
            response = await self.http.request("PATCH", url, headers=headers, body=body)
            if response.status in (200, 204):
                return f"HTTP {response.status}"
            if response.status == 401 and not refreshed:
                refreshed = True
                token = await self.token.token(refused=token, claims=claims_challenge(response.headers))
                continue
            error = error_for(response, "PATCH")
            if response.status in (401, 403):
                raise Denied(error.what, WRITE_HINT)
            if isinstance(error, Denied):
                raise NotTaken(error.what, "compare with the portal: a completed control keeps its state")
            if response.status != 429:
                raise error
            # 429 alone says that nothing was done, so it alone is sent again.
            wish_s = getattr(error, "retry_after_s", None)
            wait_s = delay_s(attempt, 1.0, 30.0, self.random, wish_s)
            attempt += 1
            if attempt >= MAX_ATTEMPTS or self.clock.now() + timedelta(seconds=wait_s) > give_up_at:
                raise Throttled(error.what, wish_s)
            await self.clock.sleep(wait_s)


@frozen
class Result:
    """What came of one plan.

    `outcome`: "same" and "refused" as planned (nothing was sent); "success" (read back and there); "failure" (refused
    by the service, or never sent); "unconfirmed" (sent, but reading back does not show it). `sent` = a PATCH went out.
    `stops` = every further change would meet the same.
    """

    plan: Plan
    outcome: str
    detail: str = ""
    hint: str = ""
    sent: bool = False
    stops: bool = False
    profile: Profile | None = None


UNKNOWN = "the command ended before it could say what came of this change"
"""What the event says if the process dies between sending and recording."""


def unfinished(planned: Plan) -> Result:
    """What is to be told of a plan of which nothing more is ever heard."""
    hint = "`securescore controls show NAME` shows what holds now"
    return Result(planned, "unconfirmed", UNKNOWN, hint, sent=True, profile=planned.profile)


async def apply(planned: Plan, reader: Reader, writer: Writer) -> Result:
    """Carry out one plan: compare again, send, read back. A foreseeable failure is a result, never an exception."""
    if planned.verdict != "send":
        return Result(planned, planned.verdict, planned.reason, planned.hint, profile=planned.profile)
    try:
        current = plan(planned.wanted, await reader.control(planned.wanted.control))
    except SecureScoreError as error:
        return Result(planned, "failure", error.what, error.hint, stops=_stops(error))
    if current.verdict != "send":
        return Result(current, current.verdict, current.reason, current.hint, profile=current.profile)
    if current.before != planned.before:
        by = f" by {current.before.by}" if current.before.by else ""
        what = f"somebody changed it meanwhile{by}: it is {PORTAL.get(current.before.state, current.before.state)} now"
        return Result(current, "refused", what, "look at it, then run the command again", profile=current.profile)
    try:
        said = await writer.patch(planned.wanted)
    except (Throttled, Denied) as error:
        return Result(current, "failure", error.what, error.hint, sent=True, stops=_stops(error))
    except Unavailable as error:
        said = error.what  # it may have been taken: reading back will tell
    except SecureScoreError as error:
        return Result(current, "failure", error.what, error.hint, stops=_stops(error))
    return await _read_back(current, reader, writer.clock, said)


async def _read_back(planned: Plan, reader: Reader, clock: Clock, said: str) -> Result:
    """Look until the change is there. An entry of its own must have become the effective one."""
    seen = ""
    profile = planned.profile
    for wait_s in READ_BACK_S:
        await clock.sleep(wait_s)
        try:
            profile = await reader.control(planned.wanted.control)
        except (Unavailable, PartialRead) as error:
            seen = f"it could not be read back: {error.what}"
            continue
        except SecureScoreError as error:
            seen = f"it could not be read back: {error.what}"
            break
        now = effective_state(profile)
        if shows(planned.wanted, now) and now != planned.before:
            return Result(planned, "success", said, sent=True, profile=profile)
        seen = f"it reads {PORTAL.get(now.state, now.state)} ({now.state})"
        if now.state == planned.wanted.state and now != planned.before:
            seen += f" with other words{f', by {now.by}' if now.by else ''}: somebody else may have set it"
    hint = "run the same command again: it compares first and sends only what is missing"
    return Result(planned, "unconfirmed", f"{said}, but {seen}", hint, sent=True, profile=profile)


def _stops(error: SecureScoreError) -> bool:
    """Whether the fault is not that of one control: no access, no budget, no connection."""
    return not isinstance(error, (NotTaken, PartialRead))
