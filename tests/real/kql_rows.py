"""Runs KQL over rows with duckdb-kql, which must be on the path: one JSON document in on stdin, one out on stdout.

in:  {"tables": {name: {column: type}}, "functions": [[name, parameters, body]],
      "scenarios": [{"now": ISO, "rows": {table: [row]}, "queries": {id: text}}]}
out: [{id: [row] or {"error": text}}], one for each scenario

Two things are not as in a workspace. A row's key `ingested` is when the workspace stored it; `ingestion_time()` has no
place in DuckDB, so that it is read from a column of ours. And what a function without parameters gives is worked out
once for each scenario, into a table of its name, since planning it anew for every query is most of the time.
No assertions, nothing of the project is imported.
"""

import json
import sys
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


class Workspace:
    """Tables, and functions over them. `plain` are those without parameters, callees before callers."""

    def __init__(self, tables: dict[str, dict[str, str]], functions: list[tuple[str, str, str]]) -> None:
        self.con = duckdb_kql.connect()
        self.con.execute("SET threads = 1; PRAGMA disable_optimizer")  # for a handful of rows, planning is all it costs
        self.tables = tables
        self.filled: set[str] = set()
        for name, columns in tables.items():
            declared = ", ".join(f'"{c}" {TYPES[kind]}' for c, kind in {**columns, INGESTED: "datetime"}.items())
            self.con.execute(f'CREATE TABLE "{name}" ({declared})')
        self.functions = {name: f"function {name}{given} {{ {body}\n}}" for name, given, body in functions}
        self.plain: dict[str, str] = {}
        todo = [(name, body) for name, given, body in functions if given == "()"]
        while todo:
            name, body = todo.pop(0)
            if any(f"{other}(" in body for other, _ in todo):
                todo.append((name, body))
                continue
            sql = duckdb_kql.to_sql(self.local(body), engine.schema(self.con))
            self.con.execute(f'CREATE TABLE "{name}" AS {sql}')
            self.con.execute(f'PREPARE "fill {name}" AS INSERT INTO "{name}" {sql}')
            self.plain[name] = body
        self.schema = engine.schema(self.con)

    def local(self, text: str) -> str:
        """A text as it is run here."""
        for name in self.plain:
            text = text.replace(f"{name}()", name)
        return text.replace("ingestion_time()", INGESTED)

    def hold(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """These rows and no others."""
        for name in self.filled:
            self.con.execute(f'DELETE FROM "{name}"')
        self.filled = set(rows)
        for name, of_table in rows.items():
            columns = self.tables[name]
            marks = ", ".join("?" * (len(columns) + 1))
            for row in of_table:
                values = [stored(row.get(column), kind) for column, kind in columns.items()]
                self.con.execute(
                    f'INSERT INTO "{name}" VALUES ({marks})', [*values, stored(row["ingested"], "datetime")]
                )

    def fill(self, texts: list[str]) -> None:
        """The tables of the functions that these texts need."""
        needed: set[str] = set()
        todo = list(texts)
        while todo:
            at = todo.pop()
            found = {name for name in self.functions if f"{name}(" in at} - needed
            needed |= found
            todo += [self.functions[name].partition("{")[2] for name in found]
        for name in self.plain:  # in the order of their calls
            if name in needed:
                self.con.execute(f'EXECUTE "fill {name}"')
                self.filled.add(name)

    @cache  # noqa: B019 - one workspace, one process
    def prepared(self, text: str, now: str) -> str:
        """The statement that runs a query."""
        called = [self.local(f) for name, f in self.functions.items() if name not in self.plain and f"{name}(" in text]
        moment = datetime.fromisoformat(now)
        sql = duckdb_kql.to_sql(self.local(text), self.schema, query_now=moment, functions=called)
        name = f"query{Workspace.prepared.cache_info().misses}"
        self.con.execute(f"PREPARE {name} AS {sql}")
        values = ", ".join(f"{key} := TIMESTAMP '{value}'" for key, value in sql.parameters.items())  # the clock only
        return f"EXECUTE {name}({values})" if values else f"EXECUTE {name}"

    def answer(self, text: str, now: str) -> Any:
        try:
            found = self.con.execute(self.prepared(text, now))
            names, kinds = [one[0] for one in found.description], [one[1] for one in found.description]
            return [dict(zip(names, map(plain, row, kinds), strict=True)) for row in found.fetchall()]
        except (duckdb.Error, duckdb_kql.KqlError) as error:
            return {"error": f"{type(error).__name__}: {error}"}


def stored(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "dynamic":
        return json.dumps(value)
    return datetime.fromisoformat(value).replace(tzinfo=None) if kind == "datetime" else value


def plain(value: Any, kind: Any) -> Any:
    return json.loads(value) if str(kind) == "JSON" and value is not None else value


def main() -> None:
    given = json.load(sys.stdin)
    workspace = Workspace(given["tables"], [(name, parameters, body) for name, parameters, body in given["functions"]])
    answers = []
    for scenario in given["scenarios"]:
        workspace.hold(scenario["rows"])
        workspace.fill(list(scenario["queries"].values()))
        answers.append({key: workspace.answer(text, scenario["now"]) for key, text in scenario["queries"].items()})
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
