"""The one way to a terminal: whatever a command says, shows, draws, asks or fails with passes through here.

Foreign words (names, comments, answers of far ends) stand in almost all of it, and a terminal obeys some characters. So
no other module of the command line writes to stdout or stderr, reads an answer, or touches the library that draws; a
test looks for any that does. Files and pipes get a document's exact bytes.
"""

import codecs
import errno
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from connector.foreign.characters import harmless, harmless_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

LINE_S = 30.0
"""How often work that goes on is told where there is no terminal."""
NARROW = 60
"""Terminals with fewer cells get cards instead of tables."""
UNWRAPPED = 10_000
"""Cells of a line where no terminal is: rows are for `grep` and for files, and nothing is folded."""
WHOLE = (20, 16, 8)
"""Lines of so many cells are not broken between words where there is room: "2026-11-30 09:39", then "10 h"."""
PIECES = 10_000
"""How many pieces of a JSON document are written at a time."""
LAST_STREAM = 2
"""The number of stderr."""

_lost: dict[bool, OSError] = {}
"""Why stdout (False) or stderr (True) takes nothing any more: a command goes on to its end, and `settle` tells it."""


# --------------------------------------------------------------------------------------------------------------- words


def plain(text: object) -> str:
    """Text from outside on one line, harmless on a terminal. For a part of a line: a foreign line feed is a space."""
    return harmless(str(text))


def say(text: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Words on stdout or stderr. Line feeds are taken for ours: foreign parts of the text are `plain` already."""
    _write(harmless_lines(text) + end, err)
    _flush(err)


def complain(problems: Iterable[str], hint: str = "") -> None:
    """What went wrong and what to do next, on stderr. A line within a problem is indented: none passes for another."""
    for kind, text in (*(("error", problem) for problem in problems), *([("next", hint)] if hint else [])):
        say(f"{kind}: " + text.replace("\n", "\n  "), err=True)


def ask(question: str, *, err: bool = False) -> str:
    """One line of an operator's answer to a question; "" at the end of input."""
    say(question, end="", err=err)
    return sys.stdin.readline().rstrip("\n") if sys.stdin else ""


def dump(value: Any) -> None:
    """One JSON document on stdout, for scripts: ASCII, so nothing in it moves a cursor. Written while it is encoded:
    that of many tenants is large.
    """
    pieces = json.JSONEncoder(indent=2, ensure_ascii=True).iterencode(value)
    while block := "".join(islice(pieces, PIECES)):
        say(block, end="")
    say()


def write_document(text: str) -> None:
    """Part of a document on stdout: exact for a file or a pipe, harmless on a terminal."""
    if _shows(sys.stdout):
        text = "\n".join("\t".join(map(harmless, line.removesuffix("\r").split("\t"))) for line in text.split("\n"))
    _write(text)


def somebody_answers() -> bool:
    """Whether a person is at the other end of the input."""
    return _shows(sys.stdin)


def somebody_is_there() -> bool:
    """Whether questions can be asked and seen."""
    return _shows(sys.stdin) and _shows(sys.stdout)


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 event, 2 events."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _shows(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _unless_lost(err: bool, act: Callable[[TextIO], object]) -> None:
    """Do it to stdout or stderr. After the first fault nothing more: no result has a hole in its middle."""
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if err in _lost:
        return
    if stream is None:  # closed from the start
        _lost[err] = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return
    try:
        act(stream)
    except OSError as error:
        _lost[err] = error


def _write(text: str, err: bool = False) -> None:
    _unless_lost(err, lambda stream: stream.write(text))


def _flush(err: bool = False) -> None:
    _unless_lost(err, lambda stream: stream.flush())


# -------------------------------------------------------------------------------------------------------------- drawing


def console(stderr: bool = False) -> "Console":
    """A terminal of the right width; plain text when it is none, unwrapped unless COLUMNS says how wide it is to be.
    No text is taken for markup or emoji codes.
    """
    from rich.console import Console  # noqa: PLC0415 - not every command draws
    from rich.text import Text  # noqa: PLC0415

    class Harmless(Console):
        """Every string that is printed or stands in a table becomes text here."""

        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(harmless_lines(text), **settings)

    out = cast("IO[str]", _Out(stderr))
    rest = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # those are ours
    plain_text: dict[str, Any] = {"highlight": False, "soft_wrap": False, "markup": False, "emoji": False}
    return Harmless(file=out, stderr=stderr, width=_width(out), _environ=rest, **plain_text)


def _width(out: "IO[str]") -> int | None:
    """What COLUMNS says, where that is a width at all: 0, as where a terminal has no size, would show nothing. None for
    that of the terminal.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal() and int(said) > 0:
        return min(int(said), UNWRAPPED)
    if not out.isatty():
        return UNWRAPPED
    return shutil.get_terminal_size().columns if said else None


class _Out(io.TextIOBase):
    """stdout or stderr for the library that draws, which ends a process with a code of its own when they fail."""

    def __init__(self, err: bool) -> None:
        self._err = err

    @property
    def encoding(self) -> str:  # type: ignore[override] # read only
        return getattr(sys.stderr if self._err else sys.stdout, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return _shows(sys.stderr if self._err else sys.stdout)

    def write(self, text: str) -> int:
        _unless_lost(self._err, lambda stream: _behind_a_bar(stream).write(text))
        return len(text)

    def flush(self) -> None:
        _unless_lost(self._err, lambda stream: _behind_a_bar(stream).flush())


def _behind_a_bar(stream: TextIO) -> TextIO:
    """The stream itself: while a bar is drawn, the library that draws stands in its place."""
    real: TextIO = getattr(stream, "rich_proxied_file", stream)
    return real


def styled(text: str, style: str) -> "Text":
    """Words in a style of their own, as a cell or a line."""
    from rich.text import Text  # noqa: PLC0415

    return Text(harmless_lines(text), style)


def table(*columns: str, title: str | None = None) -> "Table":
    """A light table; a column named "…>" is right-aligned. Long texts are folded, never cut."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    return made


def draw(made: "Table", out: "Console | None" = None) -> None:
    """Print a table; on a terminal too narrow for columns, each row as a card with its labels; where no terminal is,
    each row on one line.
    """
    out = out or console()
    if out.width >= UNWRAPPED:
        for line in _lines(made):
            out.print(line, soft_wrap=True)
        return
    if out.width >= NARROW and _share_out(made, out.width):
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


def _lines(made: "Table") -> Iterator[str]:
    """The title, the heads and the rows of a table, a line each: columns at least two spaces apart, none at the end."""
    if made.title:
        yield str(made.title)
    padded = []
    for column in made.columns:
        texts = ["  ".join(str(cell).split("\n")) for cell in (column.header, *column.cells)]
        cells = max(map(cell_len, texts))
        right = column.justify == "right"
        padded.append([" " * (cells - cell_len(t)) + t if right else t + " " * (cells - cell_len(t)) for t in texts])
    for row in zip(*padded, strict=True):
        yield "  ".join(row).rstrip()


def _share_out(made: "Table", room: int) -> bool:
    """Gives columns their widths, so that words are not broken; False where there is no room for that.

    What gives way first are the gaps, then lines between their words, then the longest words: ids and paths. A width
    that a column has already stays.
    """
    heads = [str(column.header) for column in made.columns]
    cells = [[line for cell in column.cells for line in str(cell).split("\n")] for column in made.columns]
    fixed = [column.width for column in made.columns]
    natural = [max(map(cell_len, (head, *lines))) for head, lines in zip(heads, cells, strict=True)]
    gaps = len(natural) - 1
    if sum(own or cells for own, cells in zip(fixed, natural, strict=True)) + 3 * gaps <= room:
        return True
    for share, whole, gap in product((3, 4, 5), WHOLE, (3, 2)):
        parts = [[*head.split(), *_unbroken(lines, whole)] for head, lines in zip(heads, cells, strict=True)]
        least = [min(max(map(cell_len, each), default=0), room // share) for each in parts]
        widths = [own or cells for own, cells in zip(fixed, least, strict=True)]
        spare = room - gap * gaps - sum(widths)
        if spare < 0:
            continue
        for _ in range(spare):
            wanting = [n for n, width in enumerate(widths) if width < natural[n] and not fixed[n]]
            if not wanting:
                break
            widths[max(wanting, key=lambda n: natural[n] / widths[n])] += 1
        made.padding = (0, 1) if gap == 3 else (0, 1, 0, 0)
        for column, width in zip(made.columns, widths, strict=True):
            column.width = width
        return True
    return False


def _unbroken(lines: Sequence[str], whole: int) -> list[str]:
    """What stays together: lines of at most so many cells, else their words."""
    return [part for line in lines for part in ([line] if cell_len(line) <= whole else line.split())]


def draw_notes(rows: Iterable[tuple[str, Sequence[str]]], out: "Console") -> None:
    """What is odd about the input of each tenant, a line a note."""
    for tenant, notes in rows:
        for note in notes:
            out.print(f"note: {plain(tenant)}: {plain(note)}", overflow="fold")


@contextmanager
def progress(words: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while it is a terminal, else a line now and then; call what is yielded with how much is done.

    One thing alone, or an unknown number (None), has a bar that only shows that something is going on.
    """
    if total == 0 or not sys.stderr.isatty():
        yield _now_and_then(words, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    several = total is not None and total > 1
    count = (MofNCompleteColumn(),) if several else ()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *count, TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(plain(words), total=total if several else None)
        yield lambda done: bar.update(task, completed=done)


def _now_and_then(words: str, total: int | None) -> Callable[[int], None]:
    """A line on stderr every LINE_S, for whoever reads a log: work that is over sooner says nothing."""
    began = last = time.monotonic()

    def told(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_S:
            last = now
            of = "" if total is None else f" of {total}"
            say(f"{words}: {done}{of} after {now - began:.0f} s", err=True)

    return told


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


# ---------------------------------------------------------------------------------------------------- whole process


def write_utf8() -> None:
    """What goes to a file or a pipe is UTF-8, whatever the locale; a terminal that knows less shows "?" instead.

    Events, reports and tables hold texts from all over the world: half a report and a traceback help nobody.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and codecs.lookup(out.encoding).name != "utf-8":
        if out.isatty():
            out.reconfigure(errors="replace")
        else:
            out.reconfigure(encoding="utf-8")


def hold_closed_streams() -> None:
    """A stream that was closed from the start leaves its number to nobody: the state must not be opened as stderr."""
    _lost.clear()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= LAST_STREAM:
            pass
        os.close(number)


def settle(code: int) -> int:
    """The exit code of a command that ended with `code`, once all it said is out.

    A reader who has gone (head, less) has read what it wanted. A result that is not whole for any other reason is a
    failure, told in one line; what cannot be said on stderr can be told nowhere.
    """
    if sys.stdout is not None:
        _flush()
    lost = _lost.get(False)
    if lost is not None:
        sys.stdout = _nowhere()
        if not isinstance(lost, BrokenPipeError):
            why = f"the result could not be written whole to standard output: {lost.strerror or lost}"
            complain([why], "send it to a file or a pipe that takes it; what the command did besides is done")
            code = code or 1
    if sys.stderr is not None:
        _flush(err=True)
    if True in _lost:
        sys.stderr = _nowhere()
    return code


def _nowhere() -> TextIO:
    """In the place of a stream that takes nothing: the interpreter's last flush must not complain of it."""
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open until the process ends


def tell_bugs_harmlessly() -> None:
    """An exception that nobody expected may quote a far end, and so may what a library warns of: no raw traceback."""
    import logging  # noqa: PLC0415 - `--help` loads no library

    from connector.health.logs import Words, redact, trace_of  # noqa: PLC0415

    def tell(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        say(redact(trace_of(error)), err=True)

    sys.excepthook = tell
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Words())
