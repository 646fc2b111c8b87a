"""A small configuration costs little, whatever stands in it: refused in words, in bounded time and memory."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_MB, MOST_S = 300, 20
"""A process that reads a configuration of a few tenants takes 60 MB and a second."""


def levels(first: str, each: str, count: int) -> str:
    """One line a level, each naming the one before it."""
    return "\n".join([first, *(each.format(n, n - 1) for n in range(1, count))])


MANY = 2**20
BOMBS = {
    "aliases of lists": levels("a0: &a0 [x, x]", "a{0}: &a{0} [" + "*a{1}, " * 9 + "*a{1}]", 40)
    + "\nstate: {path: *a39}",
    "aliases of maps": levels("a0: &a0 {x: 1}", "a{0}: &a{0} {{x: *a{1}, y: *a{1}}}", 60) + "\ntenants: [*a59]",
    "an alias of itself": "state: &a [*a]",
    "merge keys": levels("a0: &a0 {x: 1}", "a{0}: &a{0} {{<<: [*a{1}, *a{1}]}}", 60),
    "deep lists": "state: " + "[" * MANY,
    "deep maps": "state: " + "{a: " * (MANY // 4),
    "deep blocks": "\n".join(" " * n + "a:" for n in range(3000)),
    "a long key": "x" * MANY + ": 1",
    "a long word": "state: {path: " + "x" * MANY + "}",
    "many keys": "\n".join(f"k{n}: 1" for n in range(200_000)),
    "many tenants": "tenants: [" + "a," * (MANY // 2) + "]",
    "many anchors": "\n".join(f"k{n}: &a{n} x" for n in range(100_000)),
    "a number of a million digits": "poll: {interval: " + "9" * MANY + "}",
    "many documents": "---\na: 1\n" * 100_000,
    "a tag that builds something": "state: !!python/object/apply:os.system [id]",
    "a folded text without end": "a: >\n" + " x\n" * (MANY // 3),
    "a name of references": "state: {path: '" + "${env:A" * 50_000 + "'}",
    "two byte order marks": "\ufeff\ufeffstate: {path: x}",
    "zero octets": "\0" * 1000,
}
TABLES = {
    "one cell of ten megabytes": "name,tenant_id\n" + "x" * 10_000_000 + ",y\n",
    "a quote that never ends": 'name,tenant_id\n"' + "x\n" * 1_000_000,
    "a million columns": ",".join(["name"] * MANY),
    "a million empty lines": "name,tenant_id\n" + "\n" * MANY,
    "labels without end": "name,tenant_id,labels\na,b," + "a=b;" * 1_000_000,
    "a byte order mark and nothing": "\ufeff",
}


PROGRAM = """
import contextlib, io, json, sys, time
from connector.cli.main import main
for folder in sys.argv[1:]:
    out, began = io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(["check", "-c", folder + "/securescore.yaml"])
    print(json.dumps([folder, code, out.getvalue(), time.process_time() - began]))
"""
SINK = "{name: a, kind: file, path: x}"


def refused(folders: list[Path]) -> None:
    """`securescore check` refuses each in words, one after another in a process that may take so much memory."""
    limit = f'ulimit -v {(MOST_MB + 700) * 1024}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", limit, "sh", sys.executable, "-c", PROGRAM, *map(str, folders)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True, text=True, errors="replace", check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(folders)
    for folder, code, said, cpu_s in found:
        assert code == 2, f"{folder}: {said[-1000:]}"
        assert "Traceback" not in said, folder
        assert ".yaml" in said or "tenants" in said, f"{folder} is named: {said[-1000:]}"
        assert cpu_s < MOST_S, folder


def folder_of(home: Path, name: str, settings: str, **files: str) -> Path:
    made = home / re.sub(r"\W", "-", name)
    made.mkdir()
    (made / "securescore.yaml").write_text(settings)
    for file, text in files.items():
        (made / file.replace("_", ".")).write_text(text)
    return made


def test_bombs_in_the_configuration(tmp_path: Path) -> None:
    refused([folder_of(tmp_path, name, text) for name, text in BOMBS.items()])


def test_bombs_in_a_file_of_tenants(tmp_path: Path) -> None:
    lists = f"tenants_file: tenants.yaml\nsinks: [{SINK}]\n"
    tables = f"tenants_file: tenants.csv\nsinks: [{SINK}]\n"
    names = ("aliases of lists", "deep maps", "many keys")
    refused(
        [
            *(folder_of(tmp_path, name, lists, tenants_yaml=BOMBS[name]) for name in names),
            *(folder_of(tmp_path, name, tables, tenants_csv=text) for name, text in TABLES.items()),
        ]
    )


def test_bombs_in_a_mapping(tmp_path: Path) -> None:
    tenant = "{name: t, tenant_id: 11111111-1111-1111-1111-111111111111, source: files, path: .}"
    sink = "{name: a, kind: file, path: x, mapping: ./own.yaml}"
    text = f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{sink}]\n"
    names = ("aliases of lists", "an alias of itself", "deep lists", "many keys", "zero octets")
    refused([folder_of(tmp_path, name, text, own_yaml=BOMBS[name]) for name in names])
