"""Schema and parser are of one mind: every key is walked with every kind of value, by both.

Whatever the parser takes, the schema takes: an editor never paints what works. The other way round the schema may take
what no editor can know (`only_the_parser_knows`).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.config import schema
from connector.config.baseline import read_baseline
from connector.config.keys import (
    AUTH,
    DECLARED,
    EXCUSE,
    LISTS,
    NOT_DECLARED,
    PROVIDER,
    REPORT,
    SINK,
    SINK_TENANT,
    STANDARD,
    TENANT,
    TOP,
)
from connector.config.parse import parse
from connector.config.read import MAX_ITEMS, MAX_TEXT, PLACEHOLDER, Reader
from connector.errors import ConfigError
from connector.options import Option
from connector.registry import SINKS, sink_options
from tests.config_example import TENANT_ID

KINDS: Mapping[str, Mapping[str, Option]] = {kind: table for kind in SINKS if (table := sink_options(kind)) is not None}
TABLES: Mapping[str, Mapping[str, Option]] = {
    "": {name: option for name, option in TOP.items() if name not in LISTS},
    "tenants": TENANT,
    "reports": REPORT,
    "sinks": SINK,
    **{
        f"sinks of kind {kind}": {name: o for name, o in own.items() if o.type != "auth"} for kind, own in KINDS.items()
    },
    **{f"auth of kind {kind}": {**own, "tenant_id": PROVIDER} for kind, own in AUTH.items()},
    "auth of a sink": {"tenant_id": SINK_TENANT},
}
IN_A_BASELINE = {"standards": STANDARD, "declared": DECLARED, "not_declared": NOT_DECLARED, "exceptions": EXCUSE}
LISTS_OF_MAPS = ("declared", "not_declared")

GUID = "8d3b8a1e-5c7f-4f7a-9c55-0a6d5e2f1b3c"
TEXTS = [
    *("", " ", "x", "a b", " x ", "x\n", "a\nb", "x\x7f", "größe", "x" * MAX_TEXT, "x" * (MAX_TEXT + 1)),
    *("on", "off", "ON", " Off ", "yes", "no", "true", "TRUE", "0", "1", "auto", "null", "~", "~/x", "./x", "-"),
    *("5", " 5 ", "+5", "-5", "1.5", "5.", ".5", "1e3", "5%", "150%", "0.5", "100", "100.0 %", "101", "007", "70000"),
    *("1h", "90d", "1.5d", "15 m", "30S", "250ms", "2w", "5 parsecs", "64MiB", "4gb", "10 TB", "1.5 kB", "5b", "1 i"),
    *(
        "2027-05-01",
        " 2027-05-01 ",
        "2027-02-29",
        "2027-02-30",
        "2027-13-01",
        "27-05-01",
        "2027-04-31",
        "2027-05-01T00:00:00Z",
    ),
    *(GUID, GUID.upper(), f"{{{GUID}}}", f" {GUID} ", f"{{{GUID}", GUID[:-1], PLACEHOLDER),
    *("https://h", "https://h/", "https://h:8088/p?q=1", "HTTPS://h", " https://h ", "http://h", "ftp://h", "https://"),
    *("http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:1/x", "https://u:p@h", "https://h#f", "https://h/a b"),
    *("https://h?token=x", "https:/h", "//h"),
    *("env", "http://p:3128", "http://p.example:3128/", "https://p:1", "http://p", "http://u@p:1", "http://u:p@p:1"),
    *("http://[::1]:3128", "http://p:1/x"),
    *(
        "${file:/x}",
        "${credential:x}",
        "${env:1}",
        "${file:x}",
        "${credential:../x}",
        "${vault:x}",
        "${",
        "a ${file:/x}",
    ),
    *("localhost:9464", "[::1]:1", "::1", "h:", ":1", "h:99999", "h.example", "a..b", "1.2.3", "fe80::1%eth0", "[::1]"),
    *("en", "en-US", "de-DE", "xx", "EN-us", "en_US", "en-", "global", "usgov", "dod", "gcc", "china"),
    "@Microsoft.KeyVault(SecretUri=https://v/s)",
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 5, 100, 101, 70_000, 10**12, 0.1, 1.5, -0.5, 99.9),
    *([], ["a"], ["a", "a"], ["a", 5], [True], [None], [[]], [""], ["x"] * (MAX_ITEMS + 1), ["*"]),
    *({}, {"a": "b"}, {"a": 5}, {"a": None}, {"a": True}, {"a": {}}, {"": "b"}, {" ": "b"}),
    *({str(n): "x" for n in range(MAX_ITEMS + 1)},),
    *TEXTS,
]
"""No number as large as 10^18 and no 5.0 for a 5 are among them: JSON cannot tell those apart."""


def values(option: Option) -> Iterator[Any]:
    yield from VALUES
    yield from option.choices
    if option.type == "proxy" or option.secret:
        yield from ("http://u:${env:P}@p:1", "http://${env:U}@p:1", "https://h/${file:/x}", "https://h/${env:1}")
    for words in (list(option.choices), dict.fromkeys(option.choices, "x")):
        if words:
            yield words


def takes(option: Option, raw: Any, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the parser takes a value where this option stands."""
    if raw is None:
        return not option.required
    reader = Reader(lambda _: None, environ or {})
    reader.value(option, raw, ("key",))
    return not reader.problems


NUMBERS = ("int", "float", "duration", "days", "size", "port")
BEYOND = {
    "date": {"2027-02-29"},
    "url": {"https://h?token=x"},
    "host": {"a..b"},
    "address": {"h:99999"},
}


def only_the_parser_knows(option: Option, raw: Any) -> bool:
    """Bounds of a number in a text, whether a quantity is whole in its unit, and what makes a host's name one."""
    return isinstance(raw, str) and (option.type in NUMBERS or raw in BEYOND.get(option.type, ()))


def options(tables: Mapping[str, Mapping[str, Option]]) -> list[tuple[str, Option]]:
    """Each that differs from those before in what it takes, with its place."""
    seen: dict[Any, str] = {}
    found = []
    for place, table in tables.items():
        for name, option in table.items():
            key = (option.type, option.required, option.secret, option.choices, option.minimum, option.maximum)
            if option.type != "auth" and name not in LISTS_OF_MAPS and key not in seen:
                seen[key] = name
                found.append((f"{place}.{name}", option))
    return found


@pytest.mark.parametrize("expands", [True, False], ids=["configuration", "baseline"])
def test_every_kind_of_value_is_judged_alike(expands: bool) -> None:
    differ = []
    for place, option in options(TABLES if expands else IN_A_BASELINE):
        judge = Draft202012Validator(schema._value(option, "auth", expands=expands))
        for raw in values(option):
            ours, theirs = takes(option, raw), judge.is_valid(raw)
            if ours != theirs and not (theirs and only_the_parser_knows(option, raw)):
                word = "taken" if ours else "refused"
                differ.append(f"{place} ({option.type}): {str(raw)[:60]!r} is {word} by the parser alone")
    assert differ == []


def test_a_variable_may_stand_where_its_value_may() -> None:
    """In the configuration; in a baseline it would be a text, and is refused."""
    judged = 0
    for place, option in options(TABLES):
        judge = Draft202012Validator(schema._value(option, "auth", expands=True))
        fitting = next((text for text in [*option.choices, *TEXTS] if "${" not in text and takes(option, text)), None)
        item = next((text for text in option.choices), "x") if option.type == "list" else None
        for raw, value in (("${env:SET}", fitting), (["${env:SET}"], item)):
            if value is not None and takes(option, raw, {"SET": value}):
                judged += 1
                assert judge.is_valid(raw), place
    assert judged > 40
    for place, option in options(IN_A_BASELINE):
        judge = Draft202012Validator(schema._value(option, "auth", expands=False))
        for raw in ("${env:SET}", ["${env:SET}"]):
            assert judge.is_valid(raw) is takes(option, raw) is False, place


# ------------------------------------------------------------------------------------------------------ which key where

WHOLE = Draft202012Validator(schema.schema(KINDS))


def of_one_mind(raw: Mapping[str, Any]) -> bool:
    """Whether both take it, or both refuse it."""
    try:
        parse(raw, sink_options=KINDS.get)
        taken = True
    except ConfigError:
        taken = False
    return taken is WHOLE.is_valid(raw)


def fitting(name: str, option: Option) -> Any:
    """A value that the key takes."""
    if option.type == "auth":
        return {"kind": "managed_identity", **({"tenant_id": GUID} if option.required else {})}
    special = {"path": "./{tenant}-{period}.html"} if name == "path" and option in REPORT.values() else {}
    return special.get(name) or next(
        raw for raw in [*option.choices, *VALUES] if raw is not None and takes(option, raw)
    )


def nested(name: str, value: Any) -> dict[str, Any]:
    """{"a.b": 1} as it is written."""
    head, _, rest = name.partition(".")
    return {head: nested(rest, value) if rest else value}


def sink(**keys: Any) -> dict[str, Any]:
    return {"name": "archive", "kind": "file", "path": "e.jsonl", **keys}


def config(tenant: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A whole one, in which every source has what it needs from `defaults`."""
    whole = {"name": "contoso", "tenant_id": TENANT_ID, **(tenant or {})}
    defaults = {"auth": {"kind": "managed_identity"}, "path": "in"}
    return {"tenants": [whole], "defaults": defaults, "sinks": [sink()], **sections}


def test_what_is_walked_is_a_configuration() -> None:
    parse(config(), sink_options=KINDS.get)
    assert WHOLE.is_valid(config())


SOURCES = (None, *TENANT["source"].choices)


@pytest.mark.parametrize("source", SOURCES)
def test_every_key_of_a_tenant_is_for_the_same_sources(source: str | None) -> None:
    own = {} if source is None else {"source": source}
    differ = []
    for name, option in TENANT.items():
        if name in ("name", "tenant_id", "source"):
            continue
        value = {} if name == "options" else fitting(name, option)
        for given in (value, None):
            written = nested(name, given)
            if not of_one_mind(config({**own, **written})):
                differ.append(json.dumps(written))
    for key in ("auth", "write_auth"):
        provider = {key: {"kind": "managed_identity", "tenant_id": GUID}}
        differ += [json.dumps(provider)] if not of_one_mind(config({**own, **provider})) else []
    for name in TENANT:
        empty: dict[str, Any] = {name.partition(".")[0]: {}}
        if "." in name and not of_one_mind(config({**own, **empty})):
            differ.append(json.dumps(empty))
    assert differ == []


def test_every_key_of_the_defaults_is_judged_alike() -> None:
    differ = []
    for name, option in TENANT.items():
        value = {} if name == "options" else fitting(name, option)
        for given in (value, None):
            common = {"auth": {"kind": "managed_identity"}, **nested(name, given)}
            if not of_one_mind(config({"auth": {"kind": "managed_identity"}}, defaults=common)):
                differ.append(json.dumps(common))
    for key in ("auth", "write_auth"):
        common = {key: {"kind": "managed_identity", "tenant_id": GUID}}
        if not of_one_mind(config({"auth": {"kind": "managed_identity"}}, defaults=common)):
            differ.append(json.dumps(common))
    assert differ == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_sink_is_judged_alike(kind: str) -> None:
    table = {**SINK, **KINDS[kind]}
    whole: dict[str, Any] = {"name": "s", "kind": kind}
    for name, option in KINDS[kind].items():
        if option.required and "." not in name:
            whole[name] = fitting(name, option)
    assert of_one_mind(config(sinks=[whole]))
    assert WHOLE.is_valid(config(sinks=[whole]))
    differ = []
    for name, option in table.items():
        if name in ("name", "kind", "format", "include", "exclude"):
            continue
        for given in (fitting(name, option), None):
            changed = {**whole, **nested(name, given)}
            if not of_one_mind(config(sinks=[changed])):
                differ.append(json.dumps(changed))
    for name in ("nonsense", *(key for other in KINDS.values() for key in other)):
        changed = {**whole, **nested(name, "x")}
        if name not in table and not any(key.startswith(f"{name}.") for key in table) and "." not in name:
            differ += [json.dumps(changed)] if not of_one_mind(config(sinks=[changed])) else []
    assert differ == []


@pytest.mark.parametrize(
    "sections",
    [
        *({key: None} for key in ("poll", "state", "changes", "targets", "reports", "defaults", "health", "network")),
        {"tenants": None},
        {"tenants": []},
        {"tenants": {}},
        {"tenants": [None]},
        {"defaults": []},
        {"defaults": {"source": "files", "path": "in"}},
        {"sinks": None},
        {"sinks": []},
        {"sinks": [None]},
        {"sinks": [{**sink(), "kind": None}]},
        {"reports": [None]},
        {"reports": [{"every": "month", "path": "./{tenant}-{period}.html"}]},
        {"reports": [{"every": "month"}]},
        {"state": {"blob": {}}},
        {"state": {"blob": None}},
        {"state": {"blob": {"account_url": "https://a.blob.core.windows.net", "container": "c"}}},
        {"unknown": 1},
    ],
    ids=json.dumps,
)
def test_every_shape_is_judged_alike(sections: dict[str, Any]) -> None:
    changed = config(**sections)
    if "defaults" in sections and not isinstance(sections["defaults"], dict):
        changed["tenants"][0]["auth"] = {"kind": "managed_identity"}
    assert of_one_mind(changed)


# ------------------------------------------------------------------------------------------------------------ baseline

STANDARDS = Draft202012Validator(schema.baseline_schema())
GOLD = {"name": "gold", "full": ["A"]}
DECLARES = {"control": "A", "state": "ignored", "comment": "c"}
EXCUSED = {"tenants": ["a"], "until": "2027-03-31", "reason": "r"}


@pytest.mark.parametrize(
    "raw",
    [
        {"standards": [GOLD]},
        {"standards": None},
        {"standards": []},
        {"standards": [None]},
        {"standards": [GOLD], "exceptions": None},
        {"standards": [GOLD], "exceptions": []},
        {"standards": [GOLD], "exceptions": [None]},
        {"standards": [GOLD], "exceptions": [EXCUSED]},
        {"standards": [GOLD], "exceptions": [{**EXCUSED, "tenants": []}]},
        {"standards": [{"name": "gold"}]},
        {"standards": [{"name": "gold", "full": []}]},
        {"standards": [{"name": "gold", "full": None}]},
        {"standards": [{"name": "gold", "percent_min": None}]},
        {"standards": [{**GOLD, "declared": None}]},
        {"standards": [{**GOLD, "declared": [DECLARES]}]},
        {"standards": [{**GOLD, "declared": [None]}]},
        {"standards": [{"name": "gold", "declared": []}]},
        {"standards": [{**GOLD, "not_declared": [{}]}]},
        {"standards": [{**GOLD, "not_declared": [None]}]},
        *({"standards": [{**GOLD, "declared": [{**DECLARES, key: None}]}]} for key in DECLARES),
        *({"standards": [GOLD], "exceptions": [{**EXCUSED, key: None}]} for key in EXCUSED),
    ],
    ids=json.dumps,
)
def test_every_shape_of_a_baseline_is_judged_alike(raw: dict[str, Any]) -> None:
    _, problems = read_baseline(raw, "baseline.yaml", lambda _: None)
    assert (problems == []) is STANDARDS.is_valid(raw), problems
