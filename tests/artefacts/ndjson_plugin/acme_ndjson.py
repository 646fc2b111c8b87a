"""A sink as a package of its own brings it: one event a line, POSTed as NDJSON; 2xx is delivered, nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from connector.formats.lines import octets, one_line
from connector.model import Receipt, Record
from connector.net.connect import open_client
from connector.net.http import Wire, error_for
from connector.options import LIVE, Init, Option

PORT = 1
OPTIONS: Mapping[str, Option] = {**LIVE, "url": Option("url", required=True, doc="Where to POST.")}
FORMAT = "cloudevents"
INIT = Init(
    key="url",
    example="https://collector.example/bulk",
    question="URL that takes NDJSON",
    entry="name: bulk\nkind: ndjson\nurl: {address}",
)


def build(name: str, options: Mapping[str, Any], network: Any) -> "NdjsonSink":
    return NdjsonSink(name, options["url"], open_client(network, max_connections=1))


class NdjsonSink:
    max_records = 500
    max_bytes = 1_000_000
    replay_window_s = 0.0

    def __init__(self, name: str, url: str, http: Wire) -> None:
        self.name = name
        self._url = url
        self._http = http

    async def send(self, records: Sequence[Record]) -> Receipt:
        lines: dict[str, bytes] = {}
        rejected: dict[str, str] = {}
        for record in records:
            try:
                lines[record.event_id] = octets(one_line(record.payload)) + b"\n"
            except (ValueError, TypeError) as error:
                rejected[record.event_id] = str(error)
        if lines:
            await self._request("POST", b"".join(lines.values()))
        return Receipt(frozenset(lines), rejected)

    async def probe(self) -> None:
        await self._request("POST", b"")

    async def close(self) -> None:
        await self._http.close()

    async def _request(self, method: str, body: bytes) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        response = await self._http.request(method, self._url, headers=headers, body=body)
        if not 200 <= response.status < 300:
            raise error_for(response, f"sink {self.name}", "Look at the collector's log.")
