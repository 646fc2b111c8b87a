"""Many changes of controls in one CSV file (`controls set --from-csv`): what is asked for, or all that is wrong."""

import csv
import io
from pathlib import Path

from connector.errors import ConfigError
from connector.writeback.plan import Wanted, wanted

MAX_BYTES = 1024 * 1024
COLUMNS = ("name", "state", "comment", "assigned_to")


def read_csv(path: Path) -> list[tuple[int | None, Wanted]]:
    """What a CSV file (UTF-8, header name,state,comment[,assigned_to]) asks for, with line numbers.

    An empty assigned_to means unchanged. Raises ConfigError with every problem of every line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError([f"{path} is larger than {MAX_BYTES} bytes"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8: byte {error.start}"], "save it as CSV UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int | None, Wanted]] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    try:
        header = [(name or "").strip().casefold() for name in reader.fieldnames or ()]
        if sorted(header) != sorted(set(header)) or not set(COLUMNS[:3]) <= set(header) <= set(COLUMNS):
            what = f"{path} line 1: the columns must be name,state,comment and, if wanted, assigned_to"
            apart = ";" in text[:200] or "\t" in text[:200]
            raise ConfigError([what], "save it with commas between the columns" if apart else "nothing was sent")
        reader.fieldnames = header
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                problems.append(f"{path} line {line}: has another number of columns than the header")
                continue
            asked, wrong = wanted(row["name"], row["state"], row["comment"], row.get("assigned_to") or None)
            problems += [f"{path} line {line}: {what}" for what in wrong]
            if asked is None:
                continue
            first = lines.setdefault(asked.control.casefold(), line)
            if first != line:
                problems.append(f"{path} line {line}: {asked.control} stands on line {first} already")
            found.append((line, asked))
    except csv.Error as error:
        problems.append(f"{path} line {reader.line_num}: {error}")
    if problems:
        raise ConfigError(problems, "nothing was sent; correct the file")
    if not found:
        raise ConfigError([f"{path} holds no change"])
    return found
