"""splunkd over HTTP, as far as the add-on uses it: its KV store with its limits, conf stanzas, secrets; over loopback.

Keeps the real contract: 409 for a `_key` that is there, 400 for a record of 1 MB or more, 404, 401 without the session,
queries ($and, $or, $gt, $gte, $lt, $lte, $ne), `fields`, `sort`, `limit` (at most 50,000 rows), `skip`, batch_save.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from attrs import define, field

MAX_RECORD_BYTES = 1_000_000
MAX_ROWS = 50_000
SESSION = "session-key"
APP = "TA_test"
_ATOM = (
    '<entry xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://dev.splunk.com/ns/rest"><title>{name}</title>'
    "<id>/servicesNS/nobody/{app}/storage/collections/config/{name}</id>"
    '<link href="/servicesNS/nobody/{app}/storage/collections/config/{name}" rel="alternate"/>'
    '<author><name>nobody</name></author><content type="text/xml"><s:dict>'
    '<s:key name="eai:acl"><s:dict><s:key name="app">{app}</s:key><s:key name="owner">nobody</s:key>'
    '<s:key name="sharing">app</s:key></s:dict></s:key></s:dict></content></entry>'
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: type(a) is type(b) and a > b,  # as in MongoDB, kinds do not compare
    "$gte": lambda a, b: type(a) is type(b) and a >= b,
    "$lt": lambda a, b: type(a) is type(b) and a < b,
    "$lte": lambda a, b: type(a) is type(b) and a <= b,
    "$ne": lambda a, b: a != b,
}


@define
class Splunkd:
    """What the server holds. `fail` answers every data request with this status instead.

    `confs` are by file and stanza; `secrets` are entries of storage/passwords; `roles` and `guid` its own; `indexes`
    are those it has, `outputs` where it forwards to, `inputs` its inputs, each True when it is switched on; `received`
    are the events submitted to it, each with where it belongs.
    """

    port: int = 0
    app: str = APP
    session: str = SESSION
    confs: dict[str, dict[str, dict[str, str]]] = field(factory=dict)
    secrets: list[dict[str, str]] = field(factory=list)
    roles: tuple[str, ...] = ("indexer",)
    guid: str = "11111111-AAAA-4BBB-8CCC-000000000001"
    indexes: set[str] = field(factory=lambda: {"main", "security", "other"})
    outputs: tuple[str, ...] = ()
    inputs: dict[str, bool] = field(factory=dict)
    collections: dict[str, dict[str, dict[str, Any]]] = field(factory=dict)
    received: list[tuple[dict[str, str], dict[str, Any]]] = field(factory=list)
    requests: list[str] = field(factory=list)
    largest_bytes: int = 0
    fail: int | None = None
    hangs: threading.Event | None = None
    lock: Any = field(factory=threading.Lock)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The KV store takes requests and does not answer them."""
        held = self.hangs = threading.Event()
        try:
            yield
        finally:
            self.hangs = None
            held.set()


def matches(record: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    for name, wanted in query.items():
        if name == "$and":
            if not all(matches(record, q) for q in wanted):
                return False
        elif name == "$or":
            if not any(matches(record, q) for q in wanted):
                return False
        elif isinstance(wanted, dict):
            if not all(_COMPARE[op](record.get(name), value) for op, value in wanted.items()):
                return False
        elif record.get(name) != wanted:
            return False
    return True


def _handler(state: Splunkd) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Silence."""

        def answer(self, status: int, body: Any, *, xml: bool = False) -> None:
            data = body.encode() if xml else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml" if xml else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status: int, words: str) -> None:
            text = f'<response><messages><msg type="ERROR">{words}</msg></messages></response>'
            self.answer(status, text, xml=True)

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            url = urlsplit(self.path)
            if state.hangs is not None and "/storage/collections/data/" in url.path:
                state.hangs.wait(60)
            with state.lock:
                state.requests.append(f"{self.command} {url.path}")
                if self.headers.get("Authorization") != f"Splunk {state.session}":
                    self.refuse(401, "call not properly authenticated")
                    return
                if url.path == "/services/receivers/simple":
                    where = {key: values[0] for key, values in parse_qs(url.query).items()}
                    state.received.append((where, json.loads(body)))
                    self.answer(200, "<response/>", xml=True)
                    return
                if self.about_itself(url.path, parse_qs(body.decode("utf-8", "replace"))):
                    return
                marker = f"/servicesNS/nobody/{state.app}/storage/collections/"
                kind, _, rest = url.path.removeprefix(marker).partition("/")
                name, _, key = rest.partition("/")
                if name not in state.collections or not url.path.startswith(marker):
                    self.refuse(404, "Could not find object")
                elif kind == "config":
                    feed = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://dev.splunk.com/ns/rest">'
                    self.answer(200, feed + _ATOM.format(name=name, app=state.app) + "</feed>", xml=True)
                elif state.fail:
                    self.refuse(state.fail, "KV Store is not ready")
                else:
                    options = {k: v[0] for k, v in parse_qs(url.query).items()}
                    self.data(state.collections[name], unquote_plus(key), options, body)

        def about_itself(self, path: str, form: Mapping[str, list[str]]) -> bool:
            """Answer what is not the KV store; whether it was that."""
            own = f"/servicesNS/nobody/{state.app}/"
            if path == "/services/server/info":
                content: Any = {"serverName": "sh1", "guid": state.guid, "server_roles": list(state.roles)}
                self.answer(200, {"entry": [{"name": "server-info", "content": content}]})
            elif path == f"{own}storage/passwords":
                self.answer(200, {"entry": [{"name": str(n), "content": s} for n, s in enumerate(state.secrets)]})
            elif path.startswith("/services/data/indexes/"):
                name = path.removeprefix("/services/data/indexes/")
                if name in state.indexes:
                    self.answer(200, {"entry": [{"name": name, "content": {"disabled": False}}]})
                else:
                    self.refuse(404, f"Could not find object id={name}")
            elif path == "/services/data/outputs/tcp/server":
                self.answer(200, {"entry": [{"name": n, "content": {"disabled": False}} for n in state.outputs]})
            elif path.startswith(f"{own}data/inputs/"):
                each = [{"name": name, "content": {"disabled": not on}} for name, on in state.inputs.items()]
                self.answer(200, {"entry": each})
            elif path.startswith(f"{own}configs/conf-"):
                conf, _, stanza = path.removeprefix(f"{own}configs/conf-").partition("/")
                found = state.confs.get(conf, {}).get(unquote_plus(stanza))
                if found is not None and self.command == "POST":
                    found.update((key, values[0]) for key, values in form.items())
                if found is None:
                    self.refuse(404, f"{stanza} does not exist")
                else:
                    self.answer(200, {"entry": [{"name": stanza, "content": {**found, "eai:acl": None}}]})
            else:
                return False
            return True

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names http.server looks for

        def data(self, records: dict[str, dict[str, Any]], key: str, options: Mapping[str, str], body: bytes) -> None:
            query = json.loads(options.get("query") or "{}")
            if self.command == "POST":
                batch = key == "batch_save"
                new = json.loads(body)
                sizes = [len(json.dumps(r)) for r in (new if batch else [new])]
                state.largest_bytes = max(state.largest_bytes, *sizes)
                if max(sizes) >= MAX_RECORD_BYTES:
                    self.refuse(400, "Document too large")
                elif batch:
                    records.update((str(r["_key"]), r) for r in new)
                    self.answer(200, [r["_key"] for r in new])
                elif new["_key"] in records:
                    self.refuse(409, "A document with the same key already exists")
                else:
                    records[str(new["_key"])] = {**new, "_user": "nobody"}
                    self.answer(201, {"_key": new["_key"]})
            elif self.command == "DELETE":
                gone = [k for k, r in records.items() if (k == key if key else matches(r, query))]
                if key and not gone:
                    self.refuse(404, "Could not find object")
                    return
                for k in gone:
                    del records[k]
                self.answer(200, {})
            elif key:
                if key in records:
                    self.answer(200, records[key])
                else:
                    self.refuse(404, "Could not find object")
            else:
                found = [r for r in records.values() if matches(r, query)]
                if "sort" in options:
                    found.sort(key=lambda r: str(r.get(options["sort"])))
                skip = int(options.get("skip") or 0)
                limit = min(int(options.get("limit") or MAX_ROWS), MAX_ROWS)
                names = options["fields"].split(",") if "fields" in options else None
                self.answer(
                    200,
                    [{k: v for k, v in r.items() if names is None or k in names} for r in found[skip : skip + limit]],
                )

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = False  # joined when it closes


@contextmanager
def splunkd(*collections: str, app: str = APP) -> Iterator[Splunkd]:
    """A running splunkd with these collections, empty."""
    state = Splunkd(collections={name: {} for name in collections}, app=app)
    server = _Server(("127.0.0.1", 0), _handler(state))
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def service(state: Splunkd, session: str = SESSION) -> Any:
    """The service as the add-on makes it with splunk-sdk."""
    from splunklib import client  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    return client.Service(
        scheme="http", host="127.0.0.1", port=state.port, token=session, owner="nobody", app=state.app, autologin=False
    )


def collection(state: Splunkd, name: str, session: str = SESSION) -> Any:
    """The collection as the add-on gets it from splunk-sdk."""
    from splunklib import client  # noqa: PLC0415 - an extra

    return client.KVStoreCollectionData(service(state, session).kvstore[name])


def stored_secret(app: str, conf: str, stanza: str, fields: Mapping[str, str]) -> list[dict[str, str]]:
    """Encrypted fields as solnlib stores them: JSON in chunks of 255 characters, then an end mark, then old rubbish."""
    sep = "``splunk_cred_sep``"
    text = json.dumps(fields)
    chunks = [text[n : n + 255] for n in range(0, len(text), 255)]
    chunks += [f"{sep}S{sep}P{sep}L{sep}U{sep}N{sep}K{sep}", "left over of a longer one"]
    realm = f"__REST_CREDENTIAL__#{app}#configs/conf-{conf}"
    return [
        {"realm": realm, "username": f"{stanza}{sep}{n}", "clear_password": chunk} for n, chunk in enumerate(chunks, 1)
    ]
