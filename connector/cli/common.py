"""What commands share: the configuration, the store for reading, tables. No command logic."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from connector.app import Transports, graph_source, open_store, transports_for
from connector.clock import SystemClock, iso, parse_iso
from connector.config.trust import untrusted
from connector.config.values import Config, TenantConfig
from connector.config.yaml_file import find, load
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError
from connector.registry import sink_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from connector.sources.graph import GraphSource

NARROW = 60
"""Terminals with fewer cells get cards instead of tables."""


def config_of(args: Any) -> Config:
    """The configuration named on the command line or found in the usual places; which one was found is said on stderr.

    Raises ConfigError, as root also for files of the configuration that somebody else could change.
    """
    path = find(args.config, os.environ)
    if args.config is None and "SECURESCORE_CONFIG" not in os.environ:
        print(f"configuration: {path}", file=sys.stderr)
    config = load(path, sink_options=sink_options)
    if problems := untrusted(config):
        raise ConfigError(problems, "chown root and chmod go-w these files and their folders, or run as their owner")
    return config


@asynccontextmanager
async def store_beside(config: Config) -> AsyncIterator[DurableStore]:
    """The store beside a running daemon: for reading, and for an operator's short transactions."""
    store = await open_store(config, clock=SystemClock(), writer=False)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def graph_of(
    config: Config, tenant: TenantConfig, *, write: bool = False
) -> AsyncIterator[tuple["GraphSource", Transports]]:
    """The tenant's Graph, to be asked now; with `write`, as whoever may change it."""
    clock = SystemClock()
    transports = transports_for(config, clock)
    try:
        yield graph_source(tenant, config, transports, clock, write=write), transports
    finally:
        await transports.close()


def tenant_id(config: Config, name: str | None) -> str | None:
    """The id of a configured tenant by name or id; None for None. A GUID that is not configured is taken as it is."""
    if name is None:
        return None
    for tenant in config.tenants:
        if name in (tenant.name, tenant.tenant_id):
            return tenant.tenant_id
    if len(name) == 36:
        return name.lower()
    raise ConfigError([f"no tenant named {name!r} is configured"], "see `securescore tenants list`")


def moment(text: str | None) -> str | None:
    """A --since/--until value (a day or an ISO 8601 moment) as UTC text. Raises ConfigError."""
    if text is None:
        return None
    try:
        found = parse_iso(text)
        day_of(found.date().isoformat())
        return iso(found)
    except (ValueError, OverflowError) as error:
        raise ConfigError([f"{text!r} is not a day (2026-11-22) or a moment (2026-11-22T09:00:00Z)"], YEARS) from error


YEARS = "years from 1970 to 9000 are understood"


def day_of(text: str) -> date:
    """The day of a text like 2026-11-22, in years that leave room to count back and forth. Raises ValueError."""
    found = date.fromisoformat(text)
    if not 1970 <= found.year <= 9000:
        raise ValueError(YEARS)
    return found


def console(stderr: bool = False) -> "Console":
    """A terminal of the right width; plain text when it is none."""
    from rich.console import Console  # noqa: PLC0415 - not every command draws

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def table(*columns: str, title: str | None = None) -> "Table":
    """A light table; a column named "…>" is right-aligned. Long texts are folded, never cut."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    return made


def draw(made: "Table", out: "Console | None" = None) -> None:
    """Print a table; on a terminal too narrow for columns, each row as a card with its labels."""
    out = out or console()
    if out.width >= NARROW:
        out.print(made)
        return
    from rich.padding import Padding  # noqa: PLC0415

    labels = [str(column.header) for column in made.columns]
    first = next(place for place, label in enumerate(labels) if label) + 1
    for row, *cells in zip(made.rows, *(column.cells for column in made.columns), strict=True):
        words = [str(cell) for cell in cells]
        out.print(" ".join(filter(None, words[:first])), style=row.style, overflow="fold")
        for label, word in zip(labels[first:], words[first:], strict=True):
            if word:
                out.print(Padding(f"{label}: {word}", (0, 0, 0, 2)), style=row.style, overflow="fold")


def draw_notes(rows: Iterable[tuple[str, Sequence[str]]], out: "Console") -> None:
    """What is odd about the input of each tenant, a line a note."""
    for tenant, notes in rows:
        for note in notes:
            out.print(f"note: {clean(tenant)}: {clean(note)}", overflow="fold")


@contextmanager
def progress(words: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while it is a terminal, nothing elsewhere; call what is yielded with how much is done by now.

    One thing alone, or an unknown number (None), has a bar that only shows that something is going on.
    """
    if total == 0 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    several = total is not None and total > 1
    count = (MofNCompleteColumn(),) if several else ()
    columns = (TextColumn("{task.description}"), BarColumn(), *count, TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(clean(words), total=total if several else None)
        yield lambda done: bar.update(task, completed=done)


def dump(value: Any) -> None:
    """One JSON document on stdout, for scripts."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=True)
    sys.stdout.write("\n")


def plain(text: object) -> str:
    """Text from outside, harmless on a terminal: nothing that moves the cursor, starts a sequence or turns the line."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def clean(text: object) -> str:
    """`plain` text for a console: what looks like its markup stays text."""
    from rich.markup import escape  # noqa: PLC0415

    return escape(plain(text))


def cell_len(text: str) -> int:
    """How many cells of a terminal a text takes: wide characters take two, combining ones none."""
    from rich.cells import cell_len as cells  # noqa: PLC0415

    return cells(text)


def fit(text: str, cells: int) -> str:
    """Text in exactly so many cells of a terminal: cut with an ellipsis or padded."""
    from rich.cells import set_cell_size  # noqa: PLC0415

    if cell_len(text) <= cells:
        return text + " " * (cells - cell_len(text))
    return set_cell_size(text, cells - 1) + "…"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 event, 2 events."""
    return f"{count} {one if count == 1 else many or one + 's'}"
