"""RELP, the Reliable Event Logging Protocol, version 0: frames to octets and back. No socket, no clock.

A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`; every command of ours is answered by `rsp` under its number. The
receiver may end the session by `serverclose` under number 0. Source: librelp, "RELP - The Reliable Event Logging
Protocol" (doc/relp.html).
"""

import re

from attrs import define, frozen

MAX_NUMBER = 999_999_999
MAX_ANSWER_BYTES = 64 * 1024
"""What an answer may hold: a status, words, and at `open` a list of offers."""
OFFERS = b"relp_version=0\nrelp_software=secure-score-connector\ncommands=syslog"

_HEAD = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})")
_MAX_HEAD_BYTES = 64
_STATUS = re.compile(rb"([0-9]{3})(?: ([^\n]*))?")


@frozen
class Frame:
    """`number` is the transaction's, 0 for what the receiver says unasked."""

    number: int
    command: str
    data: bytes = b""


@frozen
class Answer:
    """What a `rsp` says: its status (200 is good), its words, and the lines behind them (`open`: the offers)."""

    status: int
    words: str
    rest: bytes = b""


def encode(number: int, command: str, data: bytes = b"") -> bytes:
    """One frame as octets."""
    head = b"%d %s %d" % (number, command.encode("ascii"), len(data))
    return head + (b" " + data if data else b"") + b"\n"


def following(number: int) -> int:
    """The number of the next transaction; 0 is never one."""
    return number % MAX_NUMBER + 1


def answer(frame: Frame) -> Answer:
    """The meaning of a `rsp`. Raises ValueError when it is none."""
    head, _, rest = frame.data.partition(b"\n")
    found = _STATUS.fullmatch(head)
    if frame.command != "rsp" or found is None:
        raise ValueError(f"no answer: {frame.command} {head[:80]!r}")
    return Answer(int(found[1]), (found[2] or b"").decode("utf-8", "replace"), rest)


def offered_commands(rest: bytes) -> frozenset[str]:
    """The commands that a receiver's offers name."""
    for line in rest.split(b"\n"):
        name, _, value = line.partition(b"=")
        if name == b"commands":
            return frozenset(value.decode("ascii", "replace").replace(" ", "").split(","))
    return frozenset()


@define
class Reader:
    """Octets as they come → whole frames. What is half there waits for the rest, within bounds."""

    _waiting: bytes = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises ValueError for octets that can never become one."""
        self._waiting += data
        frames = []
        while self._waiting:
            found = _one(self._waiting)
            if found is None:
                break
            frame, size = found
            frames.append(frame)
            self._waiting = self._waiting[size:]
        return frames


def _one(data: bytes) -> tuple[Frame, int] | None:
    """The frame at the beginning and its size; None when it is not whole yet."""
    head = _HEAD.match(data)
    behind = data[head.end() : head.end() + 1] if head else b""
    if head is None or not behind:
        # Half a head: a length may go on, a word may not have come yet.
        if len(data) > _MAX_HEAD_BYTES or re.fullmatch(rb"[0-9]{0,9}( [A-Za-z]{0,32}( [0-9]{0,9})?)?", data) is None:
            raise ValueError(f"no RELP frame: {data[:80]!r}")
        return None
    size = int(head[3])
    if size > MAX_ANSWER_BYTES:
        raise ValueError(f"a frame of {size} octets; {MAX_ANSWER_BYTES} are the most that is read")
    start = head.end() + (1 if size else 0)
    if size and behind != b" ":
        raise ValueError(f"no RELP frame: {data[:80]!r}")
    if len(data) <= start + size:
        return None
    if data[start + size : start + size + 1] != b"\n":
        raise ValueError(f"a frame does not end after its {size} octets: {data[:80]!r}")
    return Frame(int(head[1]), head[2].decode("ascii"), data[start : start + size]), start + size + 1
