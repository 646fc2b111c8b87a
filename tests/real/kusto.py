"""KQL judged by Microsoft's language service and run by duckdb-kql, each in a process of its own. No assertions.

Both come from get_kusto.sh, which says what they are; without them tests skip or fail (needs.py).
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import sentinel_content
from tests.needs import missing, program

HERE = Path(__file__).parent
TIMEOUT_S = 120


def home() -> Path:
    folder = Path(os.environ.get("SECURESCORE_KUSTO") or "/nowhere")
    if not (folder / "complete").is_file():
        missing("Kusto is missing: sh tests/real/get_kusto.sh FOLDER PYTHON, then set SECURESCORE_KUSTO=FOLDER")
    return folder


def analysed(queries: Mapping[str, str], transforms: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the language service says of each: {"queries": {id: {problems, columns}}, "transforms": likewise}."""
    node = program("node", hint="apt-get install npm")
    columns = {name: {**own, **sentinel_content.ADDED_COLUMNS} for name, own in sentinel_content.tables().items()}
    given = {
        "package": str(home() / "node_modules/@kusto/language-service-next"),
        "tables": columns,
        "functions": [
            {"name": name, "parameters": parameters, "body": body}
            for name, parameters, body in sentinel_content.functions()
        ],
        "queries": queries,
        "transforms": transforms or {},
    }
    found: dict[str, Any] = _answer([node, str(HERE / "kusto.js")], given, {})
    return found


def rows(scenarios: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows each query of each scenario gives; the form is described in kql_rows.py."""
    given = {
        "tables": sentinel_content.tables(),
        "functions": sentinel_content.functions(),
        "scenarios": scenarios,
    }
    folder = home()
    found: list[dict[str, Any]] = _answer(
        [sys.executable, str(HERE / "kql_rows.py")], given, {"PYTHONPATH": str(folder / "python")}
    )
    return found


def _answer(command: list[str], given: Any, environment: dict[str, str]) -> Any:
    done = subprocess.run(
        command,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
