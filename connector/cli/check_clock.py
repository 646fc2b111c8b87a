"""This machine's clock against those of the servers that answer: the cause behind sign-ins that fail for no reason."""

import statistics
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from attrs import Factory, define, frozen

from connector.cli.findings import Finding
from connector.net.http import MAX_BODY_BYTES, Response, Transport

SKEW_NOTED_S, SKEW_FAULT_S = 60, 300
"""Microsoft Entra accepts signed requests up to five minutes off."""


@define
class Skew:
    """How far this machine's clock is ahead of the servers' that answer, in seconds."""

    seen: list[float] = Factory(list)

    def in_front_of(self, http: Transport) -> Transport:
        """A transport that looks at the date of every answer."""
        return _Watched(http, self)

    def look(self, response: Response) -> None:
        try:
            moment = parsedate_to_datetime(response.headers.get("date", ""))
            self.seen.append((response.at - moment).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return  # no date, none with a zone, or none of any calendar

    def finding(self) -> list[Finding]:
        """One finding when anybody answered: the median, since one server may be wrong itself."""
        if not self.seen:
            return []
        skew_s = statistics.median(self.seen)
        if abs(skew_s) <= SKEW_NOTED_S:
            return [Finding("clock", "", True, "agrees with the servers' clocks")]
        words = f"this machine's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the servers'"
        ok = False if abs(skew_s) > SKEW_FAULT_S else None
        return [Finding("clock", "", ok, words, "set it by NTP: sign-ins fail beyond five minutes", "clock")]


@frozen
class _Watched:
    http: Transport
    skew: Skew

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        response = await self.http.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s, max_bytes=max_bytes
        )
        self.skew.look(response)
        return response
