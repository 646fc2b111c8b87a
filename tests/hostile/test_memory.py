"""A cap on bytes is none on memory: what a far end sends in 16 MB must not become a gigabyte here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANY = 16 * 1024 * 1024
ROW = '"controlScores":[{'
OTHERS = "]},{" + ROW + '"b":1}]},{' + ROW + '"c":1}]}]}'
"""Two more days, so that rows are worth parsing apart."""

SHAPES = {
    "empty objects": '{"value":[' + ",".join(['{"":0}'] * (MANY // 7)) + "]}",
    "empty lists": '{"value":[' + ",".join(["[]"] * (MANY // 3)) + "]}",
    "deep and wide": '{"value":[' + ",".join(["[" * 900 + "]" * 900] * (MANY // 1801)) + "]}",
    "keys": "{" + ",".join(f'"{n:x}":[]' for n in range(1_000_000)) + "}",
    "short texts": '{"value":[' + ",".join(f'"{n:x}"' for n in range(1_700_000)) + "]}",
    "a row of rows": '{"value":[{' + ROW + '"a":[' + ",".join(["{}"] * (MANY // 3)) + "]}" + OTHERS,
    "very many rows": '{"value":[{' + ROW + "},{".join(f'"":{n}' for n in range(1_000_000)) + "}" + OTHERS,
    "very many days": '{"value":[' + ",".join(["{" + ROW + '"":0}]}'] * (MANY // 28)) + "]}",
}

PROGRAM = """
import resource, sys
from connector.errors import PartialRead
from connector.sources.days import load_days
from connector.sources.pages import load
from connector.sources.profiles import load_profiles
body = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {"days": load_days, "page": load, "profiles": lambda b, w: load_profiles(b, w, "t")}[sys.argv[2]](body, "page 1")
    print("taken", end=" ")
except PartialRead as error:
    print(error.what, end=" ")
print(";", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("way", ["days", "page", "profiles"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_of_sixteen_megabytes_costs_less_than_a_hundred_more(tmp_path: Path, shape: str, way: str) -> None:
    file = tmp_path / "page.json"
    file.write_text(SHAPES[shape][:MANY])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    said, more_mb = done.stdout.rsplit(";", 1)
    assert int(more_mb) < 100, done.stdout
    assert said.strip() == "page 1: holds more values than any answer of this kind"
