"""What the add-on asks of splunkd: conf stanzas, secrets from storage/passwords, and where it runs.

The session is the caller's: a splunklib Service for our app and owner nobody. No meaning of a stanza is known here;
nothing is written but a macro's definition, an input's row and the event of an alert action. Secrets leave by return
value only. Layout of encrypted fields: solnlib 8, `credentials.py`.
"""

import io
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from attrs import frozen

from connector.errors import ConfigError, Denied, Unavailable
from connector.sources.pages import check_amount

SOCKET_S = 30.0
"""How long splunkd may be silent; splunk-sdk itself waits for ever."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer: a record of the KV store stays below 1 MB, the stored secrets of all apps may be some thousand."""
_SEP = "``splunk_cred_sep``"
_END = f"{_SEP}S{_SEP}P{_SEP}L{_SEP}U{_SEP}N{_SEP}K{_SEP}"
_CLUSTER = ("shc_member", "shc_captain", "shc_deployer")


class Service(Protocol):
    """What splunklib.client.Service offers of it."""

    def get(self, path_segment: str, **query: Any) -> Any: ...

    def post(self, path_segment: str, **query: Any) -> Any: ...


class Rows(Protocol):
    """What splunklib's KVStoreCollectionData offers of it."""

    def query(self, **query: Any) -> Any: ...

    def batch_save(self, *documents: Any) -> Any: ...

    def delete(self, query: str | None = None) -> Any: ...


def bounded(handler: Callable[..., dict[str, Any]], max_bytes: int = MAX_ANSWER_BYTES) -> Callable[..., dict[str, Any]]:
    """A handler of splunklib as this one, whose answers become no more than they may in bytes and in memory.

    It raises OSError and ValueError, as for an answer that broke off.
    """
    from splunklib.binding import ResponseReader  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    def request(url: str, message: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        answer = handler(url, message, **options)
        body = answer["body"].read(max_bytes + 1)
        answer["body"].close()
        if len(body) > max_bytes:
            raise OSError(f"its answer is larger than {max_bytes} bytes")
        check_amount(body)
        return {**answer, "body": ResponseReader(io.BytesIO(body))}

    return request


@frozen
class Server:
    """The splunkd that runs us. `clustered`: the input may move between the members of a search head cluster."""

    name: str
    guid: str
    clustered: bool


def server(service: Service) -> Server:
    """Raises Denied and Unavailable."""
    content = _content(_entries(service, "/services/server/info"))
    roles = content.get("server_roles") or ()
    name = str(content.get("serverName") or "splunk")
    return Server(name, str(content.get("guid") or name), any(role in _CLUSTER for role in roles))


def stanza(service: Service, conf: str, name: str) -> dict[str, str]:
    """One stanza of a conf file, as text; {} when there is none. Raises Denied and Unavailable."""
    if "/" in name:
        return {}  # splunklib would take it for a part of the path
    try:
        content = _content(_entries(service, f"configs/conf-{conf}/{name}"))
    except _Missing:
        return {}
    return {key: "" if value is None else str(value) for key, value in content.items()}


def secrets(service: Service, app: str, conf: str, name: str) -> dict[str, str]:
    """The encrypted fields of a stanza; {} when none are stored. Raises ConfigError, Denied and Unavailable.

    A long value is cut into numbered chunks. What follows the end mark is the rest of an older, longer one.
    """
    realm = f"__REST_CREDENTIAL__#{app}#configs/conf-{conf}"
    chunks: dict[int, str] = {}
    for entry in _entries(service, "storage/passwords", count=-1):
        content = entry.get("content") or {}
        user, _, number = str(content.get("username") or "").partition(_SEP)
        if content.get("realm") == realm and user == name and (number or "1").isdigit():
            chunks[int(number or 1)] = str(content.get("clear_password") or "")
    text = "".join(itertools.takewhile(lambda chunk: chunk != _END, (chunks[n] for n in sorted(chunks))))
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError([f"the stored secret of {name} is damaged"], "enter it again on the configuration page")
    return {key: str(value) for key, value in found.items()}


def index_fault(service: Service, index: str) -> str | None:
    """What is wrong with an index as a place for events, None when nothing is or it cannot be told.

    Events for an index that the indexers do not have are dropped by them, and nobody who sends is told. A splunkd that
    forwards to others does not know theirs.
    """
    if index in ("", "default"):
        return None
    if not index.replace("-", "").replace("_", "").isalnum():
        return f"index: {index[:80]!r} cannot be the name of one"
    try:
        found = _content(_entries(service, f"/services/data/indexes/{index}"))
    except _Missing:
        return None if forwards(service) else f"index: there is no index {index!r}, and events for it would be lost"
    except (Denied, Unavailable):
        return None
    return f"index: {index!r} is switched off" if str(found.get("disabled")).lower() in ("1", "true") else None


def forwards(service: Service) -> bool:
    """Whether this splunkd sends its events to others. False also when it does not say."""
    try:
        servers = _entries(service, "/services/data/outputs/tcp/server", count=-1)
    except (Denied, Unavailable, _Missing):
        return False
    return any(str(_content([each]).get("disabled")).lower() not in ("1", "true") for each in servers)


def submit(service: Service, index: str, envelope: Mapping[str, Any]) -> None:
    """Write one event, in the envelope of the HTTP Event Collector, into an index. Raises Denied and Unavailable.

    Its time is that of its arrival: an event that is submitted is told when it happens.
    """
    where = {key: envelope[key] for key in ("host", "source", "sourcetype") if envelope.get(key)}
    with _ours("receivers/simple"):
        service.post("/services/receivers/simple", body=json.dumps(envelope["event"]), index=index, **where)


def set_definition(service: Service, macro: str, definition: str) -> None:
    """Write the definition of a macro of ours. Raises Denied and Unavailable."""
    with _ours("configs/conf-macros"):
        service.post(f"configs/conf-macros/{macro}", definition=definition)


def running(service: Service, kind: str) -> set[str]:
    """The names of the inputs of a kind that are switched on here. Raises Denied and Unavailable."""
    try:
        found = _entries(service, f"data/inputs/{kind}", count=-1)
    except _Missing:
        return set()
    return {
        str(each.get("name")) for each in found if str(_content([each]).get("disabled")).lower() not in ("1", "true")
    }


def announce(rows: Rows, row: Mapping[str, Any], running_here: Collection[str]) -> None:
    """Keep an input's row among those that are expected, and take those of inputs of this host that are no more.

    Its key is the input's name: in a cluster it says who polled last. Raises what splunklib raises.
    """
    rows.batch_save({"_key": row["input"], **row})
    for other in rows.query(query=json.dumps({"host": row["host"]})):
        if (name := other.get("input")) and name != row["input"] and name not in running_here:
            rows.delete(json.dumps({"_key": other.get("_key")}))


class _Missing(Exception):
    """There is nothing under that path."""


def _entries(service: Service, path: str, **query: Any) -> list[Mapping[str, Any]]:
    """The entries of an answer."""
    with _ours(path):
        found = json.loads(service.get(path, output_mode="json", **query).body.read())
        return [entry for entry in found["entry"] if isinstance(entry, dict)]


@contextmanager
def _ours(path: str) -> Iterator[None]:
    """Foreign errors become ours here and nowhere else."""
    from splunklib.binding import (  # noqa: PLC0415 - an extra
        AuthenticationError,
        HTTPError,
    )

    try:
        yield
    except AuthenticationError as error:
        raise Denied("splunkd refuses our session", "let splunkd start the input again") from error
    except HTTPError as error:
        if error.status == 404:
            raise _Missing from error
        if error.status in (401, 403):
            hint = "run the input as a user that may read storage/passwords (capability list_storage_passwords)"
            raise Denied(f"splunkd answers {error.status} for {path}", hint) from error
        raise Unavailable(f"splunkd answers {error.status} for {path}") from error
    except OSError as error:
        raise Unavailable(f"splunkd cannot be reached: {error}", hint="see that splunkd runs on this host") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"splunkd answers nonsense for {path}: {error}") from error


def _content(entries: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    found = entries[0].get("content") if entries else None
    return found if isinstance(found, dict) else {}
