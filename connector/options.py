"""How a pluggable part declares its configuration: a table of names and `Option` values beside the code that reads it.

Pure data: no parsing, no I/O. The configuration front end checks types, resolves references and fills defaults from
these tables; documentation and the JSON Schema are generated from them. What loopback means is said here too, because
front end and sinks check the same URLs: one given by reference is known to the sink alone.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from connector.model import STREAMS

TYPES: Mapping[str, str] = {
    "str": "text on one line",
    "int": "whole number",
    "float": "number",
    "bool": "true or false (on, off, yes, no)",
    "duration": '"30s", "15m", "1h", "90d" or a number of seconds → seconds (float)',
    "size": '"900kB", "4GiB" or a number of bytes → bytes (int)',
    "days": '"90d" or a number of days → days (int)',
    "share": '"10%" or 0.1 → fraction 0-1',
    "percent": '70 or "70%" → percentage 0-100',
    "date": "2027-05-01 → the same text, checked",
    "guid": "GUID → lower case",
    "path": 'file or folder, relative to the configuration file → absolute; "-" stays',
    "url": "https URL (plain http for loopback only), without user, password or token in it",
    "origin": "URL without a path, such as https://graph.microsoft.com",
    "https_origin": "https URL without a path, https even on loopback: MSAL signs in nowhere else",
    "proxy": '"env", or an http URL; user and password in it only as references',
    "host": "host name or IP address",
    "port": "1-65535",
    "address": "host:port",
    "language": "language tag such as en-US",
    "cloud": "global, usgov or dod",
    "arm_cloud": "global or usgov",
    "enum": "one of `choices`",
    "list": "list of texts → tuple; `choices` bounds the items",
    "map": "texts by key → dict; `choices` bounds the keys",
    "secret": "a reference ${env:NAME}, ${file:/path} or ${credential:name}; stays a reference until the very end",
    "auth": "a credential {kind: …} → config.AuthConfig",
}
"""Every type: what the operator writes → what the code gets."""


@frozen
class Option:
    """One key of a kind's configuration. `doc` is one sentence for the operator.

    `type` is one of TYPES; durations arrive in seconds, sizes in bytes, paths absolute, secrets resolved. `choices`
    belong to "enum", "list" and "map"; for any other type they are words that mean None ("off", "auto").
    `minimum`/`maximum` are inclusive. `secret` marks a value of another type (a webhook's URL) that may be given by
    reference. A dotted name ("tls.ca_file") is a key inside a map; if `required`, then only where that map is written.
    """

    type: str
    default: Any = None
    required: bool = False
    doc: str = ""
    secret: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


LIVE: Mapping[str, Option] = {
    "streams": Option("list", ("score", "change", "health"), choices=STREAMS, doc="Which streams it gets."),
    "start": Option("enum", "now", choices=("now", "backfill", "all"), doc="now = nothing backfilled."),
}
"""What a kind puts into its OPTIONS whose receivers want news only: no inventory, nothing of the past."""


@frozen
class Init:
    """What `securescore init` asks for a kind of sink, and the entry it writes.

    `key` is the option that says where events go, `example` stands for it until it is known. `settings` are further
    options that are asked (`port`, `transport`), each with its question. `entry` is the YAML of one entry, with
    {address} in it, and for each setting {NAME}, which becomes its whole line; it may have {secret[NAME]} (a reference
    to a secret of that name), {tenant_id} and {client_id}.
    """

    key: str
    example: str
    question: str
    entry: str
    settings: Mapping[str, str] = field(factory=dict)


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1: where plain http shows nothing to anybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")
