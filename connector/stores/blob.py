"""Documents as Azure block blobs: created with `If-None-Match: *`, so that of two writers one wins whole.

Nothing of what the documents mean may live here. azure-storage-blob is imported when a store is opened.
Source: Azure Blob Storage, "Put Blob" (one request is one atomic write) and "Specifying conditional headers".
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from connector.errors import ConfigError, Conflict, SecureScoreError, StoreError
from connector.net.client import tls_context
from connector.ports import Clock
from connector.stores.documents import DocumentsStore

if TYPE_CHECKING:
    from azure.storage.blob.aio import ContainerClient

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
ONE_REQUEST_BYTES = 256 * 1024**2
"""Up to this a blob is put in one request, which alone is safe: of two writers that put the same name in blocks, each
would overwrite the other's blocks (the library names them by offset) before one commits the mixture."""


def open_store(
    *,
    clock: Clock,
    container: str,
    account_url: str = "",
    credential: Any = None,
    connection_string: str = "",
    prefix: str = "",
    max_bytes: int | None = None,
    proxy: str | None = None,
    ca_file: str | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> DocumentsStore:
    """The store in a container that exists.

    `credential` is whatever azure-core takes; `connection_string` replaces it and `account_url`. `proxy` is the one to
    be used, whatever the environment says; `ca_file` adds to the system's authorities. Call it on the event loop.
    `close` ends what the credential holds. Raises ConfigError when the library is missing, Denied for a `ca_file` of no
    use.
    """
    try:
        from azure.storage.blob.aio import ContainerClient  # noqa: PLC0415 - an extra, and only for this home
    except ModuleNotFoundError as error:
        raise ConfigError(
            ["state.blob needs azure-storage-blob"], 'pip install "secure-score-connector[azure]"'
        ) from error
    options: dict[str, Any] = {
        "max_single_put_size": ONE_REQUEST_BYTES,
        "connection_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "transport": _transport(ca_file),
    }
    if proxy:
        options["proxies"] = {"http": proxy, "https": proxy}
    try:
        if connection_string:
            client = ContainerClient.from_connection_string(connection_string, container, **options)
        else:
            client = ContainerClient(account_url, container, credential, **options)
    except ValueError as error:
        raise ConfigError([f"state.blob: {error}"], "Correct `state.blob.account_url`.") from None
    return DocumentsStore(Blobs(client, prefix, close), clock, max_bytes=max_bytes)


def _transport(ca_file: str | None) -> Any:
    """azure-core's own transport over a session with our TLS settings, which heeds no environment.

    One of its own would take proxies from the environment unasked, and passwords from ~/.netrc; and with its option
    `connection_verify` it would make a new TLS context, and so a new connection, for every request.
    """
    from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415

    connector = aiohttp.TCPConnector(ssl=tls_context(ca_file))
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
    return AioHttpTransport(session=session)


class Blobs:
    """Documents below a prefix of a container. Takes the client over: `close` closes it."""

    def __init__(
        self, client: "ContainerClient", prefix: str = "", close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._close = close

    async def list(self, prefix: str) -> Mapping[str, int]:
        found: dict[str, int] = {}
        async with _ours(self._client):
            async for blob in self._client.list_blobs(name_starts_with=self._prefix + prefix):
                found[str(blob.name)[len(self._prefix) :]] = int(blob.size or 0)
        return found

    async def get(self, name: str) -> bytes | None:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        async with _ours(self._client):
            try:
                download = await self._client.download_blob(self._prefix + name)
                if int(download.size or 0) > ONE_REQUEST_BYTES:
                    return b""  # nothing that we wrote: it fails its check, as any other damage
                return bytes(await download.readall())
            except ResourceNotFoundError as error:
                if _code(error) != "BlobNotFound":
                    raise
                return None

    async def create(self, name: str, body: bytes) -> None:
        if len(body) > ONE_REQUEST_BYTES:
            raise StoreError(f"a document of {len(body)} bytes", "Poll with a shorter `poll.backfill` first.")
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415

        async with _ours(self._client):
            try:
                await self._client.upload_blob(self._prefix + name, body, overwrite=False)  # sends If-None-Match: *
            except ResourceExistsError:
                raise Conflict(f"document {name} exists", "Load again and repeat.") from None

    async def delete(self, name: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        async with _ours(self._client):
            try:
                await self._client.delete_blob(self._prefix + name)
            except ResourceNotFoundError as error:
                if _code(error) != "BlobNotFound":
                    raise

    async def close(self) -> None:
        await self._client.close()
        if self._close is not None:
            await self._close()


def _code(error: Any) -> str:
    """The service's own word for what happened ("BlobNotFound"), which tells a missing blob from its container."""
    return str(getattr(error.error_code, "value", error.error_code) or "")


@asynccontextmanager
async def _ours(client: "ContainerClient") -> AsyncIterator[None]:
    """Foreign errors become ours here and nowhere else."""
    from azure.core.exceptions import (  # noqa: PLC0415
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
    )

    where = f"the state cannot be used: container {client.container_name} of {client.account_name}"
    try:
        yield
    except ResourceNotFoundError as error:
        raise StoreError(f"{where}: {_code(error) or 'not found'}", _HINT_MISSING) from error
    except ClientAuthenticationError as error:
        raise StoreError(f"{where}: not signed in or not allowed ({error.status_code})", _HINT_ROLE) from error
    except HttpResponseError as error:
        hint = _HINT_ROLE if error.status_code == 403 else _HINT_LATER
        raise StoreError(f"{where}: {getattr(error, 'error_code', None) or error.reason}", hint) from error
    except AzureError as error:
        raise StoreError(f"{where}: {type(error).__name__}", _HINT_NETWORK) from error
    except SecureScoreError as error:  # from the credential
        if isinstance(error, (Conflict, StoreError)):
            raise
        raise StoreError(f"{where}: {error.what}", error.hint) from error


_HINT_MISSING = "Create the container, or correct `state.blob`."
_HINT_ROLE = "Give the identity the role Storage Blob Data Contributor on the container (and let its firewall pass us)."
_HINT_LATER = "Azure Storage refused or failed; committed documents are whole. Try again, and see the account's health."
_HINT_NETWORK = "See that the account's host can be reached from here (name, firewall, private endpoint, proxy)."
