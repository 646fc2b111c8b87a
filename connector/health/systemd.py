"""Talking to the service manager: the sd_notify protocol, by hand. Nothing is decided here.

Source: sd_notify(3). Datagrams to the AF_UNIX socket named by NOTIFY_SOCKET; a name that begins with "@" is abstract.
"""

import logging
import socket
import time
from collections.abc import Mapping

from attrs import frozen

from connector.foreign.characters import harmless

log = logging.getLogger("securescore.service")


@frozen
class Notifier:
    """`address` is None outside a service manager: then every word is dropped. `watchdog_s` None = none is expected."""

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> "Notifier":
        """The one of this process. A WATCHDOG_PID of somebody else means that the watchdog is not for us."""
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and address[0] not in "/@":
            address = None
        period = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(period) / 1e6 if address and mine and period.isascii() and period.isdigit() else 0.0
        return cls(address, watchdog_s or None)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """Type=notify-reload wants the monotonic moment, to tell this reload from an earlier one."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=stopping: what is under way may end")

    def alive(self, status: str) -> None:
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={_line(status)}")

    def _send(self, text: str) -> None:
        if self.address is None:
            return
        name = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.setblocking(False)
                manager.sendto(text.encode(), name)
        except OSError as error:  # a manager that does not listen must not stop us
            log.warning("service.notify_failed", extra={"error": str(error)})


def _line(text: str) -> str:
    return harmless(text)[:200]
