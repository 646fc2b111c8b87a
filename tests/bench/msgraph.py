"""Microsoft's own client as a further rival of the read path: what it costs to read the same documents into its models.

msgraph-sdk is large (240 MB), so it takes part only where it is installed, or where SECURESCORE_MSGRAPH names a folder
that holds it. It reads over its own HTTP library; it compares nothing, keeps nothing and tells nothing.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.servers import Server

Read = Callable[[], Awaitable[int]]
"""Reads every day and the whole catalogue; says how many documents that were."""


def installed() -> bool:
    """Whether it is there; a folder named by SECURESCORE_MSGRAPH is looked into from now on."""
    folder = os.environ.get("SECURESCORE_MSGRAPH")
    if folder and folder not in sys.path:
        sys.path.append(folder)
    return importlib.util.find_spec("msgraph") is not None


def reader(server: Server, token: str) -> Read:
    """A ready client of the simulated Graph."""
    msgraph, httpx = importlib.import_module("msgraph"), importlib.import_module("httpx")
    queries = importlib.import_module("msgraph.generated.security.secure_scores.secure_scores_request_builder")

    class Token:
        """Whom requests are from, as the library asks it."""

        async def authenticate_request(self, request: Any, _context: Any = None) -> None:
            request.headers.add("Authorization", f"Bearer {token}")

    http = httpx.AsyncClient(verify=server.at["ca"], timeout=60)
    adapter = msgraph.GraphRequestAdapter(Token(), client=http)
    adapter.base_url = server.at["graph"] + "/v1.0"
    security = msgraph.GraphServiceClient(request_adapter=adapter).security
    builder = queries.SecureScoresRequestBuilder
    query = builder.SecureScoresRequestBuilderGetQueryParameters(top=90)
    configuration = importlib.import_module("kiota_abstractions.base_request_configuration").RequestConfiguration(
        query_parameters=query
    )

    async def read() -> int:
        documents = len((await security.secure_scores.get(request_configuration=configuration)).value)
        at = security.secure_score_control_profiles
        while True:
            page = await at.get()
            documents += len(page.value)
            if not page.odata_next_link:
                return documents
            at = at.with_url(page.odata_next_link)

    return read
