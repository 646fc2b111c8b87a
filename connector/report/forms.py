"""The forms a report can have, and which of them a file's name means. No writing and no tenant here.

A form is three functions: what comes first, each tenant (numbered from 0), and what ends it.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Protocol

from attrs import evolve, frozen

from connector.errors import ConfigError
from connector.language.spoken import Language
from connector.report import document, hdf, oscal, page, table
from connector.report.values import Cover, TenantReport


class Writes(Protocol):
    """What a form is made of; a module can be one."""

    def opening(self, cover: Cover) -> str: ...

    def tenant(self, report: TenantReport, number: int) -> str: ...

    def closing(self, cover: Cover) -> str: ...


@frozen
class Form:
    """`suffix` ends its files. `single`: its documents are of one tenant; `every`: it has all tenants in full;
    `last_day`: it needs no day but the last one, so that thousands of tenants take a fraction of the time.
    """

    name: str
    suffix: str
    writes: Writes
    single: bool = False
    every: bool = False
    last_day: bool = False


_FORMS = (
    Form("html", ".html", page.Form()),
    Form("json", ".json", document),
    Form("csv", ".csv", table.Form(), every=True, last_day=True),
    Form("oscal", ".oscal.json", oscal, single=True),
    Form("hdf", ".hdf.json", hdf, single=True),
)
FORMS: Mapping[str, Form] = {form.name: form for form in _FORMS}
_SUFFIXES: Mapping[str, str] = {
    **{form.suffix: form.name for form in sorted(_FORMS, key=lambda form: -len(form.suffix))},
    ".htm": "html",
    ".oscal": "oscal",
    ".hdf": "hdf",
}
"""The longest first: .oscal.json is not .json."""
_DIALECTS = ("oscal", "hdf")
"""Forms that are JSON, so that a name ending in .json does not contradict them."""


def choose(name: str | None, out: str, table_name: str | None = None, speak: Language | None = None) -> Form:
    """The form that `--format`, the name of the file and `--table` ask for; html where nothing does. `speak` is the
    language of what people read.

    Raises ConfigError where they contradict each other, or nothing says what an unusual ending means.
    """
    implied = implied_by(out)
    ending = "" if out == "-" or out.endswith("/") else PurePath(out).suffix
    if name is None and implied is None and ending:
        raise ConfigError([f"--out {out}: no format ends in {ending}"], f"say --format {'|'.join(FORMS)}")
    if name is not None and implied is not None and name != implied and not (implied == "json" and name in _DIALECTS):
        raise ConfigError([f"--format {name} contradicts --out {out}"], "leave one of them out, or let them agree")
    form = FORMS[name or implied or "html"]
    if form.name == "html" and speak is not None:
        form = evolve(form, writes=page.Form(speak))
    if table_name is None:
        return form
    if form.name != "csv":
        raise ConfigError(
            [f"--table is of --format csv, not of {form.name}"], "name the file .csv, or say --format csv"
        )
    suffix = form.suffix if table_name == "controls" else f".{table_name}.csv"
    return Form("csv", suffix, table.Form(table_name), every=True, last_day=table_name in table.OF_ONE_DAY)


def implied_by(out: str) -> str | None:
    """The form that the end of a file's name means; None for a folder, for standard output, and for another ending.

    Raises ConfigError for a PDF.
    """
    if out == "-" or out.endswith("/"):
        return None
    name = PurePath(out).name.lower()
    if name.endswith(".pdf"):
        raise ConfigError([f"--out {out}: a PDF is not written"], "write .html and print it to PDF from any browser")
    return next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), None)
