"""Where bearer tokens come from. A token never reaches a log, an exception text or a repr.

No HTTP client of our own here, and no knowledge of who uses the token.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from connector.errors import Denied

MAX_TOKEN_BYTES = 65_536


class TokenProvider(Protocol):
    """Gives a bearer token that is valid now."""

    async def token(self, *, refresh: bool = False) -> str:
        """The token; `refresh` asks for a new one because the last was refused. Raises Denied or Unavailable."""
        ...


class FileToken:
    """A token that something outside (a broker, a sidecar) keeps fresh in a file; it is read again for every use."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    async def token(self, *, refresh: bool = False) -> str:  # noqa: ARG002  (every read is fresh)
        """The token in the file. Raises Denied when the file is unreadable, empty or not one bare token."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_TOKEN_BYTES + 1)
        except OSError as error:
            raise Denied(
                f"the token file {self._path} cannot be read: {error.strerror}",
                "Correct auth.file, or let the token's supplier write it where this user may read it.",
            ) from None
        if len(raw) > MAX_TOKEN_BYTES:
            raise Denied(f"the token file {self._path} is larger than {MAX_TOKEN_BYTES} bytes", _HOW_TO_WRITE)
        token = raw.strip()
        if not token:
            raise Denied(f"the token file {self._path} is empty", _HOW_TO_WRITE)
        # Anything but visible ASCII could end the Authorization header and begin another.
        if not all(0x21 <= byte <= 0x7E for byte in token):
            raise Denied(f"the token file {self._path} does not hold one bare token on one line", _HOW_TO_WRITE)
        return token.decode("ascii")


_HOW_TO_WRITE = 'Write the access token alone into the file: one line, without the word "Bearer".'
