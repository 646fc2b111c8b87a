"""The requests of one read: one token, one renewal of it, and what time heals tried again until the time is up.

What an address is, and what a status means there, say the sources (`fault`); what a body says is none of this.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any

from connector.backoff import delay_s
from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, kept
from connector.model import Absent
from connector.net.http import Response, Transport, error_for
from connector.ports import Clock
from connector.signin.tokens import TokenProvider, claims_challenge

MAX_ATTEMPTS = 8  # a second bound beside the deadline, for clocks that stand still
BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 30.0

Fault = Callable[[Response, str, int], SecureScoreError | None]
"""What is wrong with an answer to what was asked for, at most so large; None if nothing is."""


class Missing(Denied):
    """404: there is nothing at this address."""


class Throttled(Unavailable):
    """429 to the end: the limit is shared by all that is asked for, so asking for the rest would only prolong it."""


class Requests:
    """The requests of one read: they share a token, one renewal of it, and the time for retries.

    `deadline_s` after it was made nothing is tried again, and after `limit_s` nothing new is asked. Who has much to ask
    says when something of it is done (`progressed`): then only the time that went into trying again counts.
    """

    def __init__(
        self,
        *,
        http: Transport,
        token: TokenProvider,
        clock: Clock,
        random: Random,
        fault: Fault,
        deadline_s: float,
        limit_s: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http = http
        self._provider = token
        self._clock = clock
        self._random = random
        self._fault = fault
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._max_bytes = max_bytes
        self._limit_s = limit_s
        self._patience_s = deadline_s
        self._give_up_at = clock.now() + timedelta(seconds=deadline_s)
        self._end_at = clock.now() + timedelta(seconds=limit_s)
        self._token: str | None = None
        self._renewed = False

    async def get(self, url: str, what: str) -> Response:
        """A complete 200. Retries what time heals within the deadline, and 401 once with a new token.

        Raises Unavailable, Denied or PartialRead.
        """
        return await self._ask("GET", url, None, what)

    async def post(self, url: str, question: Mapping[str, Any], what: str) -> Response:
        """As `get`, for a question that is asked in a body and changes nothing."""
        return await self._ask("POST", url, json.dumps(question).encode(), what)

    def progressed(self) -> None:
        """Something is done: what is asked next may be tried again for as long as is left of the patience."""
        self._give_up_at = self._clock.now() + timedelta(seconds=self._patience_s)

    async def _ask(self, method: str, url: str, body: bytes | None, what: str) -> Response:
        attempt, failed_at = 0, None
        while True:
            if self._clock.now() > self._end_at:
                raise Unavailable(f"{what}: not asked for, as this read has taken {self._limit_s:g} s already")
            error = await self._try(method, url, body, what)
            if isinstance(error, Response):
                if failed_at is not None:
                    self._patience_s -= (self._clock.now() - failed_at).total_seconds()
                return error
            failed_at = failed_at or self._clock.now()
            if not _heals(error):
                raise error
            wait_s = delay_s(
                attempt, BACKOFF_BASE_S, BACKOFF_CAP_S, self._random, getattr(error, "retry_after_s", None)
            )
            attempt += 1
            if attempt >= MAX_ATTEMPTS or self._clock.now() + timedelta(seconds=wait_s) > self._give_up_at:
                raise error
            await self._clock.sleep(wait_s)

    async def _try(self, method: str, url: str, body: bytes | None, what: str) -> Response | SecureScoreError:
        try:
            token = self._token = self._token or await self._provider.token()
            response = await self._send(method, url, body, token)
            if response.status == 401 and not self._renewed:
                self._renewed = True
                token = await self._provider.token(refused=token, claims=claims_challenge(response.headers))
                self._token = token
                response = await self._send(method, url, body, token)
        except Unavailable as error:
            return kept(error)
        return self._fault(response, what, self._max_bytes) or response

    async def _send(self, method: str, url: str, body: bytes | None, token: str) -> Response:
        about_body = {} if body is None else {"Content-Type": "application/json"}
        return await self._http.request(
            method,
            url,
            headers={"Authorization": f"Bearer {token}", **self._headers, **about_body},
            body=body,
            max_bytes=self._max_bytes,
        )


def _heals(error: SecureScoreError) -> bool:
    return isinstance(error, Unavailable) or (isinstance(error, PartialRead) and error.reason == "truncated")


def fault_of(
    response: Response, what: str, max_bytes: int, denied_hint: str, hint: str = ""
) -> SecureScoreError | None:
    """What is wrong with an answer, decided on its status (error codes may be empty); None if nothing is.

    `denied_hint` is the next step where access is refused, `hint` elsewhere.
    """
    status = response.status
    if status == 200:
        if response.cut == "too_large":
            return PartialRead(f"{what}: larger than {max_bytes} bytes", "too_large")
        if response.cut:
            return PartialRead(f"{what}: the answer broke off after {len(response.body)} bytes", "truncated")
        return None
    error = error_for(response, what, hint)
    if status == 429:
        assert isinstance(error, Unavailable)
        return Throttled(error.what, error.retry_after_s)
    if status in (401, 403):
        return Denied(error.what, denied_hint)
    if status == 404:
        return Missing(error.what, error.hint)
    return error


def absent(error: SecureScoreError) -> Absent:
    """Why a part is not there, of the error that it ended with."""
    if isinstance(error, PartialRead):
        return Absent(error.reason, error.what, hint=error.hint)
    if isinstance(error, Unavailable):
        reason = "throttled" if isinstance(error, Throttled) else "unavailable"
        return Absent(reason, error.what, error.retry_after_s, error.hint)
    return Absent("denied", error.what, hint=error.hint)
