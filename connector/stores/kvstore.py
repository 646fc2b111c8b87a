"""Documents in a Splunk KV store collection: `insert` with a `_key` of ours, which answers 409 when it is taken.

Nothing of what the documents mean may live here. A record stays below 1 MB: what is longer goes ahead in records of its
own, named by content, and the document's record, the last one written, makes it one. All calls run in threads, since
splunk-sdk blocks; it is imported when something goes wrong, and by whoever gives us the collection.
Source: Splunk "KV store endpoint descriptions" (storage/collections/data) and splunk-sdk's KVStoreCollectionData.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from connector.clock import Threads
from connector.errors import Conflict, StoreError
from connector.ids import sha256
from connector.ports import Clock
from connector.stores.documents import DocumentsStore

_T = TypeVar("_T")

CHUNK_BYTES = 600_000
"""Of a document; base64 and JSON around it stay below 1 MB."""
MAX_CHUNKS = 2_000
PAGE = 500
LIMIT_S = 120.0
"""How long one document may take, beyond what the session's own time limit ends."""
_THREADS = Threads("kvstore", 8)
MAX_DAYS_A_COMMIT = 30
"""A first contact's history comes in commits of this size: one record or two each, not dozens."""
_END = "~"  # sorts behind every character of a name


class Collection(Protocol):
    """What splunklib.client.KVStoreCollectionData offers of it."""

    def query(self, **query: Any) -> Any: ...

    def query_by_id(self, id: str) -> Any: ...  # noqa: A002 - its name there

    def insert(self, data: str) -> Any: ...

    def delete(self, query: str | None = None) -> Any: ...


def open_store(
    collection: Collection, *, clock: Clock, max_bytes: int | None = None, prefix: str = ""
) -> DocumentsStore:
    """The store in a collection: `KVStoreCollectionData(service.kvstore[name])`, with the session of the caller.

    Stores with different prefixes (ending in "/") share a collection.
    """
    return DocumentsStore(KvStore(collection, prefix), clock, max_bytes=max_bytes, max_days_a_commit=MAX_DAYS_A_COMMIT)


class KvStore:
    """Documents of a collection. Records: {_key, of, kind: document|chunk, size, chunks, digest, body (base64)}."""

    def __init__(self, collection: Collection, prefix: str = "") -> None:
        self._collection = collection
        self._prefix = prefix

    async def list(self, prefix: str) -> Mapping[str, int]:
        found = await in_thread(lambda: self._list(_key(self._prefix + prefix)))
        return {name.removeprefix(self._prefix): size for name, size in found.items()}

    async def get(self, name: str) -> bytes | None:
        return await in_thread(lambda: self._get(_key(self._prefix + name)))

    async def create(self, name: str, body: bytes) -> None:
        await in_thread(lambda: self._create(_key(self._prefix + name), body))

    async def delete(self, name: str) -> None:
        query = json.dumps({"of": _key(self._prefix + name)})  # never empty: without a query all would be deleted
        await in_thread(lambda: self._collection.delete(query))

    async def close(self) -> None:
        """The session is the caller's."""

    def _list(self, prefix: str) -> dict[str, int]:
        """Page by page behind the last key: with `skip` a delete in between would hide a record."""
        found: dict[str, int] = {}
        last = prefix
        while True:
            wanted = [{"kind": "document"}, {"_key": {"$gt": last}}, {"_key": {"$lt": prefix + _END}}]
            page = self._collection.query(
                query=json.dumps({"$and": wanted}), fields="_key,size", sort="_key", limit=PAGE
            )
            for record in page:
                found[_name(str(record["_key"]))] = int(record.get("size") or 0)
            if not page:
                return found
            last = str(page[-1]["_key"])

    def _record(self, key: str) -> Mapping[str, Any] | None:
        try:
            record = self._collection.query_by_id(key)
        except Exception as error:
            if status_of(error) == 404:
                return None
            raise
        return record if isinstance(record, dict) else None

    def _get(self, key: str) -> bytes | None:
        record = self._record(key)
        if record is None:
            return None
        body = b""
        for n in range(min(int(record.get("chunks") or 0), MAX_CHUNKS)):
            chunk = self._record(_chunk_key(key, str(record.get("digest")), n))
            if chunk is None:  # deleted while we read, or lost: then what there is will fail its check
                return body if self._record(key) is not None else None
            body += _bytes(chunk)
        return body + _bytes(record)

    def _create(self, key: str, body: bytes) -> None:
        if self._record(key) is not None:
            raise Conflict(f"document {_name(key)} exists", "Load again and repeat.")
        digest = sha256(body)[:24]
        pieces = [body[n : n + CHUNK_BYTES] for n in range(0, len(body), CHUNK_BYTES)] or [b""]
        for n, piece in enumerate(pieces[:-1]):  # a chunk of this name has this content, whoever wrote it
            self._insert({"_key": _chunk_key(key, digest, n), "of": key, "kind": "chunk", "body": _text(piece)})
        document = {
            "_key": key,
            "of": key,
            "kind": "document",
            "size": len(body),
            "chunks": len(pieces) - 1,
            "digest": digest,
            "body": _text(pieces[-1]),
        }
        if not self._insert(document):
            raise Conflict(f"document {_name(key)} exists", "Load again and repeat.")

    def _insert(self, record: Mapping[str, Any]) -> bool:
        try:
            self._collection.insert(json.dumps(record))
        except Exception as error:
            if status_of(error) == 409:
                return False
            raise
        return True


def _key(name: str) -> str:
    return name.replace("/", ":")  # a slash would end the path of the request


def _name(key: str) -> str:
    return key.replace(":", "/")


def _chunk_key(key: str, digest: str, n: int) -> str:
    return f"{key}~{digest}~{n:06d}"


def _text(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")


def _bytes(record: Mapping[str, Any]) -> bytes:
    """The body of a record; nothing where it is none, which then fails the document's check."""
    try:
        return base64.b64decode(str(record.get("body") or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def status_of(error: Exception) -> int | None:
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


_HINTS = {
    401: "The session has ended: let splunkd start the input again.",
    403: "Give the input's role read and write on the collection, and see that `state.kvstore.app` owns it.",
    404: "Define the collection in collections.conf, or correct `state.kvstore`.",
    503: "The KV store is starting or down: `splunk show kvstore-status`. The next run goes on where this one ended.",
}
_DOWN = "See that splunkd and its KV store run: `splunk show kvstore-status`. Committed documents are whole."


async def in_thread(work: Callable[[], _T]) -> _T:
    """A blocking call off the event loop; foreign errors become ours here and nowhere else."""
    from splunklib.binding import (  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, only for this home
        AuthenticationError,
        HTTPError,
    )

    try:
        return await _THREADS.run(work, LIMIT_S)
    except (HTTPError, AuthenticationError) as error:
        status = status_of(error) or 401
        raise StoreError(
            f"the state cannot be used: the KV store answers {status}", _HINTS.get(status, _DOWN)
        ) from error
    except TimeoutError as error:
        raise StoreError(f"the state cannot be used: the KV store does not answer: {error}", _DOWN) from error
    except OSError as error:
        raise StoreError(
            f"the state cannot be used: the KV store cannot be reached: {error.strerror or error}", _DOWN
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the state cannot be used: the KV store answers nonsense: {error}", _DOWN) from error
