"""Runs KQL over rows with duckdb-kql, which must be on the path: one JSON document in on stdin, one out on stdout.

in:  {"tables": {name: {column: type}}, "functions": [[name, parameters, body]],
      "scenarios": [{"now": ISO, "rows": {table: [row]}, "queries": {id: text}}]}
out: [{id: [row] or {"error": text}}], one for each scenario

A row's key `ingested` is when the workspace stored it; `ingestion_time()` has no place in DuckDB, so that it is read
from a column of ours instead. Everything else runs as it is shipped. No assertions, nothing of the project is imported.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import duckdb  # type: ignore[import-not-found, unused-ignore]
import duckdb_kql  # type: ignore[import-not-found, unused-ignore]
from duckdb_kql import engine  # type: ignore[import-not-found, unused-ignore]

TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "boolean": "BOOLEAN",
    "dynamic": "JSON",
    "datetime": "TIMESTAMP",
}
INGESTED = "IngestionTime__"


def main() -> None:
    given = json.load(sys.stdin)
    con = duckdb_kql.connect()
    con.execute("SET threads = 1")  # a handful of rows
    for name, columns in given["tables"].items():
        declared = ", ".join(f'"{column}" {TYPES[kind]}' for column, kind in {**columns, INGESTED: "datetime"}.items())
        con.execute(f'CREATE TABLE "{name}" ({declared})')
    functions = {
        name: f"function {name}{parameters} {{ {ours(body)}\n}}" for name, parameters, body in given["functions"]
    }

    @cache
    def prepared(text: str, now: str) -> str:
        """The statement that runs a query: planning it costs more than a run over a handful of rows."""
        sql = duckdb_kql.to_sql(
            ours(text),
            engine.schema(con),
            query_now=datetime.fromisoformat(now),
            functions=called(text, functions),
        )
        name = f"query{prepared.cache_info().misses}"
        con.execute(f"PREPARE {name} AS {sql}")
        values = ", ".join(f"{key} := TIMESTAMP '{value}'" for key, value in sql.parameters.items())  # the clock only
        return f"EXECUTE {name}({values})" if values else f"EXECUTE {name}"

    json.dump([run(con, given["tables"], prepared, one) for one in given["scenarios"]], sys.stdout, default=str)


def called(text: str, functions: dict[str, str]) -> list[str]:
    """The functions a text needs, and those that they need: reading one costs a fifth of a second."""
    names: set[str] = set()
    todo = [text]
    while todo:
        at = todo.pop()
        found = {name for name in functions if f"{name}(" in at} - names
        names |= found
        todo += [functions[name].partition("{")[2] for name in found]
    return [functions[name] for name in sorted(names)]


def ours(text: str) -> str:
    return text.replace("ingestion_time()", INGESTED)


def run(
    con: Any, tables: dict[str, dict[str, str]], prepared: Callable[[str, str], str], scenario: dict[str, Any]
) -> dict[str, Any]:
    for name, columns in tables.items():
        con.execute(f'DELETE FROM "{name}"')
        for row in scenario["rows"].get(name, []):
            values = [stored(row.get(column), kind) for column, kind in columns.items()]
            marks = ", ".join("?" * (len(values) + 1))
            con.execute(f'INSERT INTO "{name}" VALUES ({marks})', [*values, stored(row["ingested"], "datetime")])
    return {key: answer(con, prepared, text, scenario["now"]) for key, text in scenario["queries"].items()}


def stored(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "dynamic":
        return json.dumps(value)
    return datetime.fromisoformat(value).replace(tzinfo=None) if kind == "datetime" else value


def answer(con: Any, prepared: Callable[[str, str], str], text: str, now: str) -> Any:
    try:
        found = con.execute(prepared(text, now))
        names, kinds = [one[0] for one in found.description], [one[1] for one in found.description]
        return [dict(zip(names, map(plain, row, kinds), strict=True)) for row in found.fetchall()]
    except (duckdb.Error, duckdb_kql.KqlError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def plain(value: Any, kind: Any) -> Any:
    return json.loads(value) if str(kind) == "JSON" and value is not None else value


if __name__ == "__main__":
    main()
