"""The health port for as long as a process lasts, over whatever is running behind it, and also while nothing is.

A port that is taken, or an address that is not there yet, is weather: it is tried again until it can be had, and
`fault` says so meanwhile. What is answered is said in endpoints.py, how few callers may cost what in listener.py.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from random import Random

from aiohttp import web
from attrs import define, field

from connector import backoff
from connector.health import listener
from connector.options import is_loopback

log = logging.getLogger("securescore.health")

RETRY_BASE_S, RETRY_CAP_S = 1.0, 30.0


@define
class Window:
    """Listens at one address at a time. `answers` makes what is served there; `fault` is "" when all is well."""

    answers: Callable[[], web.Application]
    fault: str = ""
    _address: str | None = None
    _serving: asyncio.Task[None] | None = None
    _dice: Random = field(factory=Random, repr=False)

    async def show(self, address: str | None) -> None:
        """Listen here from now on (None: nowhere). Returns after the first try, whatever came of it."""
        if address == self._address and (address is None) == (self._serving is None):
            return
        await self.close()
        self._address = address
        if address is None:
            return
        host = address.rpartition(":")[0].strip("[]")
        if not is_loopback(host):
            hint = "there is no sign-in; keep it behind a firewall"
            log.warning("health.exposed", extra={"listen": address, "hint": hint})
        tried = asyncio.Event()
        self._serving = asyncio.ensure_future(self._serve(host, int(address.rpartition(":")[2]), tried))
        await tried.wait()

    async def close(self) -> None:
        """Listen no more."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._serving, self._address, self.fault = None, None, ""

    async def _serve(self, host: str, port: int, tried: asyncio.Event) -> None:
        attempt = 0
        while True:
            try:
                async with listener.listening(self.answers(), host, port):
                    if self.fault:
                        log.info("health.listening", extra={"listen": self._address})
                    self.fault = ""
                    tried.set()
                    await asyncio.Event().wait()
            except OSError as error:
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
                self.fault = f"health.listen: {self._address}: {why}"
            tried.set()
            wait_s = RETRY_BASE_S / 2 + backoff.delay_s(attempt, RETRY_BASE_S, RETRY_CAP_S, self._dice)
            attempt += 1
            hint = "free the port, or choose another; it is tried again"
            log.error("health.not_listening", extra={"error": self.fault, "hint": hint, "wait_s": round(wait_s, 1)})
            await asyncio.sleep(wait_s)
