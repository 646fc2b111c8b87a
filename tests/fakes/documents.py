"""Documents in memory, and a wrapper in which any call may crash, fail or be held up."""

import asyncio
from collections.abc import Mapping

from attrs import define, field

from connector.errors import Conflict, StoreError


class Crash(BaseException):
    """The process dies here: nothing after this call happens."""


@define
class Memory:
    """What survives the process: name → content."""

    kept: dict[str, bytes] = field(factory=dict)

    async def list(self, prefix: str) -> Mapping[str, int]:
        return {name: len(body) for name, body in self.kept.items() if name.startswith(prefix)}

    async def get(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def create(self, name: str, body: bytes) -> None:
        if name in self.kept:
            raise Conflict(f"document {name} exists", "Load again and repeat.")
        self.kept[name] = body

    async def delete(self, name: str) -> None:
        self.kept.pop(name, None)

    async def close(self) -> None:
        """Nothing is held open."""


@define
class Perilous:
    """The same documents, dangerous to use.

    At call number `crash_at` the process dies, before the call has its effect or (`after`) behind it. At create number
    `full_at` there is no space. While `gate` is set a create waits for it before it is done.
    """

    inner: Memory
    crash_at: int | None = None
    after: bool = False
    full_at: int | None = None
    gate: asyncio.Event | None = None
    calls: int = 0
    creates: int = 0

    async def list(self, prefix: str) -> Mapping[str, int]:
        self._step()
        found = await self.inner.list(prefix)
        self._behind()
        return found

    async def get(self, name: str) -> bytes | None:
        self._step()
        body = await self.inner.get(name)
        self._behind()
        return body

    async def create(self, name: str, body: bytes) -> None:
        self._step()
        self.creates += 1
        if self.full_at is not None and self.creates == self.full_at:
            raise StoreError("no space left", "Free space.")
        if self.gate is not None:
            await self.gate.wait()
        await self.inner.create(name, body)
        self._behind()

    async def delete(self, name: str) -> None:
        self._step()
        await self.inner.delete(name)
        self._behind()

    async def close(self) -> None:
        await self.inner.close()

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self.crash_at and not self.after:
            raise Crash

    def _behind(self) -> None:
        if self.calls == self.crash_at and self.after:
            raise Crash
