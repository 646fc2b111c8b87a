"""The simulated Graph as a transport: the same answers without a socket, so that thousands of reads take seconds."""

from collections.abc import Mapping

from attrs import frozen
from yarl import URL

from connector.errors import Unavailable
from connector.net.http import MAX_BODY_BYTES, Response
from connector.simulator.server import Ask, Simulation, answered, token_for


@frozen
class Socketless:
    """Fits `Transport`. Bodies are cut and connections reset as the faults of the simulation say."""

    sim: Simulation

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
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        reply, _ = await answered(self.sim, Ask(method, URL(url, encoded=True), lower, body or b""))
        if reply.ending == "reset":
            raise Unavailable("the connection was reset")
        at, content, cut = self.sim.clock.now(), reply.body, ""
        if reply.ending == "flood":
            content, cut = b'{"value":["'.ljust(max_bytes), "too_large"
        elif reply.ending == "cut":
            content, cut = content[: len(content) // 2], "truncated"
        answer = {name.lower(): value for name, value in reply.headers.items()}
        return Response(reply.status, answer, content, at, cut)

    async def close(self) -> None:
        """Nothing is open."""


class PlainToken:
    """A credential that always has the simulator's token of one tenant."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return token_for(self._tenant_id)
