"""`securescore config`: what a key of the configuration or of a baseline file means, and their JSON Schemas."""

import argparse

from connector.cli.terminal import dump, say, write_document
from connector.config import reference, schema
from connector.config.reference import Key
from connector.errors import ConfigError
from connector.registry import SINKS, sink_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("explain", "schema"))
    key_help = "explain: such as state.path or transport; none = all keys. schema: baseline = that of a baseline file"
    parser.add_argument("key", nargs="?", metavar="KEY", help=key_help)
    parser.add_argument("--json", action="store_true", help="explain: the same as one JSON document")


def run(args: argparse.Namespace) -> int:
    kinds = {kind: table for kind in SINKS if (table := sink_options(kind)) is not None}
    if args.action == "schema":
        if args.key not in (None, "baseline"):
            raise ConfigError([f"there is no schema {args.key!r}"], "name none, or baseline")
        write_document(schema.text(kinds) if args.key is None else schema.baseline_text())
        return 0
    known = reference.keys(kinds)
    found = reference.named(args.key, known) if args.key is not None else known
    if not found:
        near = reference.near(args.key, known)
        hint = f"did you mean {' or '.join(near)}?" if near else "`securescore config explain` lists every key"
        raise ConfigError([f"there is no key {args.key!r}"], hint)
    if args.json:
        dump([reference.as_json(key) for key in found])
    elif args.key is None or len(found) > len(_SHORT):
        for key in found:
            say(f"{key.path}  {key.option.doc}")
    else:
        say("\n\n".join(map(_told, found)))
    return 0


_SHORT = range(8)
"""With more keys than this, each gets a line."""


def _told(key: Key) -> str:
    default = key.default or "none"
    lines = [key.path, f"  {key.option.doc}", f"  value    {key.kind}", f"  default  {default}"]
    example = key.example.replace("\n", "\n           ")
    return "\n".join([*lines, f"  example  {example}"])
