"""Looks through what the lock files pin: is every pin held by a hash, and does an advisory name its version?

Advisories come from a file, so that a host without a network can ask too. Its format is OSV
(ossf.github.io/osv-schema), which the Python, npm and GitHub advisory databases publish: one record, a list of them,
one a line, the answer of OSV's API (`{"vulns": […]}`), or a zip of such files (the `all.zip` of an ecosystem).

    python packaging/tools/audit.py [--advisories FILE]

Ends with 0: nothing found · 1: a pin without a hash, or a known weakness · 2: the file of advisories is of no use ·
3: nothing found, but part of the question was not asked; it says which.
"""

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
NEVER_CHECKED = "Debian's packages, the base image of the container, Python, Node and Splunk themselves"
ALWAYS = "0"  # of an "introduced" event: from the first version on


class Pin(NamedTuple):
    ecosystem: str
    name: str
    version: str
    lock: str


class Useless(Exception):
    """A file of advisories that cannot be read as such."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the locked dependencies.")
    parser.add_argument("--advisories", type=Path, metavar="FILE", help="known weaknesses, in OSV's format")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args()
    pins, bare = read_locks(args.root)
    unique = {(pin.ecosystem, pin.name, pin.version) for pin in pins}
    print(f"{len(unique)} versions pinned in {len({pin.lock for pin in pins})} lock files; {len(bare)} without a hash")
    for one in bare:
        print(f"  without a hash: {one}")
    print(f"not checked: {NEVER_CHECKED}")
    if args.advisories is None:
        print('not checked: known weaknesses (give a file: make audit ARGS="--advisories FILE")')
        return 1 if bare else 3
    try:
        records = list(read_advisories(args.advisories))
    except (Useless, OSError) as error:
        print(f"error: {args.advisories}: {error}", file=sys.stderr)
        return 2
    found, unknown = compared(pins, records)
    newest = max((str(one.get("modified") or "") for one in records), default="")
    print(f"{len(records)} advisories, the newest of {newest or 'an unknown day'}; {len(found)} findings")
    for line in (*found, *unknown):
        print(f"  {line}")
    unasked = sorted(
        {pin.ecosystem for pin in pins} - {str(each["ecosystem"]) for one in records for each in names(one)}
    )
    for ecosystem in unasked:
        print(f"not checked: {ecosystem}; the file names nothing of it")
    if bare or found:
        return 1
    return 3 if unknown or unasked else 0


# --------------------------------------------------------------------------------------------------------------- locks


def read_locks(root: Path) -> tuple[list[Pin], list[str]]:
    """Everything that a lock pins, and what has no hash there."""
    pins, bare = [], []
    for lock in locks(root):
        place = lock.relative_to(root).as_posix()
        for pin, hashed in (npm if lock.suffix == ".json" else pip)(lock.read_text(), place):
            pins.append(pin)
            if not hashed:
                bare.append(f"{place}: {pin.name} {pin.version}")
    return pins, bare


def locks(root: Path) -> list[Path]:
    """Pip's and npm's lock files of a checkout."""
    folders = (root, root / "packaging", root / "tests")
    found = {path for folder in folders[1:] for name in ("*.lock", "package-lock.json") for path in folder.rglob(name)}
    return sorted(path for path in found.union(root.glob("*.lock")) if "node_modules" not in path.parts)


def pip(text: str, place: str) -> Iterator[tuple[Pin, bool]]:
    for line in text.replace("\\\n", " ").splitlines():
        if match := PIN.match(line):
            yield Pin("PyPI", canonicalize_name(match["name"]), match["version"], place), HASH.search(line) is not None


def npm(text: str, place: str) -> Iterator[tuple[Pin, bool]]:
    for path, entry in json.loads(text)["packages"].items():
        if path:
            name = entry.get("name") or path.rpartition("node_modules/")[2]
            yield Pin("npm", name, entry["version"], place), bool(entry.get("integrity"))


# ---------------------------------------------------------------------------------------------------------- advisories


def read_advisories(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file in any of OSV's shapes, those that were withdrawn left out."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".json")]
    else:
        texts = [path.read_text("utf-8")]
    found = [record for text in texts for record in records_of(text)]
    if not found:
        raise Useless("holds no advisory")
    yield from (record for record in found if not record.get("withdrawn"))


def records_of(text: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError:
        try:
            data = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise Useless(f"is no JSON: {error}") from None
    if isinstance(data, dict):
        data = data["vulns"] if isinstance(data.get("vulns"), list) else [data]
    if not isinstance(data, list) or not all(isinstance(one, dict) and one.get("id") for one in data):
        raise Useless("is not in OSV's format: each record has an id")
    return data


def names(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ecosystem and name of each package that a record is about."""
    for each in record.get("affected") or []:
        if isinstance(each, dict) and isinstance(each.get("package"), dict) and each["package"].get("ecosystem"):
            yield each["package"]


def compared(pins: list[Pin], records: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The pins that an advisory names, and those where it cannot be told, a line each."""
    of: dict[tuple[str, str], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for record in records:
        for each in record.get("affected") or []:
            package = each.get("package") or {}
            name = str(package.get("name"))
            ecosystem = str(package.get("ecosystem"))
            of.setdefault((ecosystem, canonicalize_name(name) if ecosystem == "PyPI" else name), []).append(
                (record, each)
            )
    found, unknown = set(), set()
    for pin in pins:
        for record, each in of.get((pin.ecosystem, pin.name), []):
            also = ", ".join(str(one) for one in record.get("aliases") or [])
            line = f"{pin.name} {pin.version} ({pin.lock}): {record['id']}{f' ({also})' if also else ''}"
            line += f" {' '.join(str(record.get('summary') or '').split())[:120]}".rstrip()
            try:
                if affects(each, pin):
                    found.add(line)
            except (InvalidVersion, ValueError, TypeError, AttributeError, KeyError):
                unknown.add(f"could not be compared: {line}")
    return sorted(found), sorted(unknown)


def affects(each: dict[str, Any], pin: Pin) -> bool:
    """OSV's own rule: the version is listed, or lies in a range; events are in order of version."""
    versions = each.get("versions") or []
    if pin.version in versions:
        return True
    ranges = [one for one in each.get("ranges") or [] if one.get("type") in {"ECOSYSTEM", "SEMVER"}]
    if not ranges and not versions:
        raise ValueError("neither versions nor a range that can be compared")
    return any(within(one["events"], pin) for one in ranges)


def within(events: list[dict[str, str]], pin: Pin) -> bool:
    """Where the version stands after all events up to it: `fixed` closes before its version, `last_affected` behind."""
    ordered = pep440 if pin.ecosystem == "PyPI" else semver
    here, inside = ordered(pin.version), False
    steps = [(ordered(version), kind) for event in events for kind, version in event.items() if version != ALWAYS]
    if any(event.get("introduced") == ALWAYS for event in events):
        inside = True
    for at, kind in sorted(steps, key=lambda step: step[0]):
        if kind == "introduced" and at <= here:
            inside = True
        elif (kind == "fixed" and at <= here) or (kind == "last_affected" and at < here):
            inside = False
    return inside


def pep440(text: str) -> Any:
    return Version(text)


def semver(text: str) -> Any:
    """Semantic versioning's order: a pre-release stands before its release, numbers before words."""
    release, _, pre = text.split("+", maxsplit=1)[0].partition("-")
    numbers = tuple(int(one) for one in release.split("."))
    words = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in pre.split(".")) if pre else ()
    return numbers, not pre, words


if __name__ == "__main__":
    sys.exit(main())
