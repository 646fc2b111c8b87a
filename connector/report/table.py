"""The report as CSV tables for spreadsheets, one table a file: every control with its points, or another of TABLES.

A form is three functions, as in document.py; here they belong to a value, since it depends on the table. Cells are made
by formats/spreadsheet.py.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from connector.formats import spreadsheet
from connector.report.values import Cover, Question, Reference, Scored, Summary, TenantReport

Row = Mapping[str, Any]
WHOSE = ("tenant", "tenant_id")
"""What every row of every table begins with."""


@frozen
class Table:
    """Columns behind WHOSE, and the rows of one tenant. A table of tenants has its rows in the cover."""

    columns: tuple[str, ...]
    rows: Callable[[TenantReport], Iterable[Row]]


@frozen
class Form:
    """One of TABLES as a form of the report."""

    name: str = "controls"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*WHOSE, *TABLES[self.name].columns)

    def opening(self, cover: Cover) -> str:
        found = [_summary(s) for s in cover.summaries] if self.name == "tenants" else []
        return spreadsheet.document([self.columns]) + self._lines(found)

    def tenant(self, report: TenantReport, _number: int) -> str:
        whose = {"tenant": report.summary.name, "tenant_id": report.summary.tenant_id}
        return self._lines({**whose, **row} for row in TABLES[self.name].rows(report))

    def closing(self, _cover: Cover) -> str:
        return ""

    def _lines(self, rows: Iterable[Row]) -> str:
        return spreadsheet.lines([row.get(column) for column in self.columns] for row in rows)


# ---------------------------------------------------------------------------------------------------------------- rows


def _summary(s: Summary) -> Row:
    told = {name: getattr(s, name) for name in _TENANTS if hasattr(s, name)}
    labels = "; ".join(f"{key}={value}" for key, value in sorted(s.labels.items()))
    return {**told, "tenant": s.name, "tenant_id": s.tenant_id, "labels": labels, "issues": "; ".join(s.issues)}


def _values(value: Any, columns: Iterable[str]) -> dict[str, Any]:
    """The fields of a value that have a column of their name; lists as one text, truths as words."""
    found = {}
    for name in columns:
        cell = getattr(value, name, None)
        if isinstance(cell, bool):
            cell = "yes" if cell else "no"
        elif isinstance(cell, tuple):
            cell = "; ".join(map(str, cell))
        found[name] = cell
    return found


def _control(report: TenantReport, one: Scored) -> Row:
    own = {f"references_{name}": " ".join(ids) for name, ids in one.references.items()}
    return {**_values(one, _CONTROLS), **own, "day": report.summary.newest_day}


def _changes(report: TenantReport) -> Iterable[Row]:
    bridge = report.bridge
    if bridge is None:
        return
    ends = {"before_day": bridge.before_day, "after_day": bridge.after_day}
    for move in bridge.moves:
        recorded = (f"{r.day} {r.label}: {'; '.join(r.evidence)}" for r in move.recorded)
        yield {
            **ends,
            **_values(move, _CHANGES),
            "cause": move.cause.label,
            "confidence": move.cause.confidence,
            "evidence": "; ".join((*move.cause.evidence, *recorded)),
        }
    yield {**ends, "kind": "residual", "delta": bridge.residual}


def _causes(report: TenantReport) -> Iterable[Row]:
    if report.bridge is not None:
        for cause in report.bridge.causes:
            yield {**_values(cause, _CAUSES), "cause": cause.label}
        yield {"cause": "residual", "net": report.bridge.causes_residual}


def _groups(report: TenantReport) -> Iterable[Row]:
    for kind, found in (("category", report.categories), ("service", report.services), ("tier", report.tiers)):
        for group in found:
            yield {**_values(group, _GROUPS), "kind": kind}


def _references(report: TenantReport) -> Iterable[Row]:
    def row(framework: str, reference: Reference) -> Row:
        return {**_values(reference, _REFERENCES), "framework": framework, "reference": reference.id}

    for framework in report.frameworks.frameworks:
        yield from (row(framework.title, r) for r in framework.references)
    yield from (row("subject", r) for r in report.frameworks.classes)


def _question(report: TenantReport, one: Question) -> Row:
    return {
        **_values(one, ("question", "answer", "limits", "missing")),
        "id": one.id,
        "deciding": "; ".join(f"{b.control}: {b.standing}" for b in one.deciding),
        "beside": "; ".join(f"{b.control}: {b.standing}" for b in one.beside),
        "day": report.insurance.day,
        "sha256": report.insurance.sha256,
    }


_TENANTS = (
    *("labels", "newest_day", "days_observed", "days_in_period", "score", "max_score", "percent", "delta"),
    *("percent_delta", "measured", "asserted", "measured_percent", "exceptions", "improved", "regressed", "worst"),
    *("worst_delta", "issues", "error"),
)
_CONTROLS = (
    *("day", "control", "title", "category", "service", "tier", "score", "max_score", "percent", "standing", "points"),
    *("asserted_points", "state", "portal", "by", "at", "comment", "assigned_to", "on", "count", "total", "cost"),
    *("impact", "rank", "threats", "url", "subject", "references_attack", "references_nist_csf"),
)
_DAYS = (
    "day",
    "score",
    "max_score",
    "percent",
    "measured",
    "asserted",
    "controls",
    "revision",
    "detailed",
    "flags",
    "sha256",
)
_CHANGES = (
    *("before_day", "after_day", "control", "title", "category", "service", "kind", "before", "after", "max_score"),
    *("delta", "cause", "confidence", "evidence"),
)
_CAUSES = ("cause", "gained", "lost", "net", "moves")
_GROUPS = ("kind", "name", "controls", "before", "score", "delta", "moved", "regrouped", "max_score", "percent")
_REGROUPED = ("by", "before", "after", "controls", "points", "names", "words")
_EXCEPTIONS = (
    *("control", "title", "category", "service", "tier", "state", "portal", "by", "at", "age_days", "review_on", "due"),
    *("comment", "assigned_to", "new_in_period", "score", "max_score", "asserted_points", "forgone_points"),
)
_STATE_CHANGES = ("at", "control", "title", "before", "after", "by", "comment")
_REFERENCES = (
    "framework",
    "reference",
    "controls",
    "full",
    "score",
    "asserted",
    "max_score",
    "percent",
    "delta",
    "title",
)
_QUESTIONS = ("id", "question", "answer", "deciding", "beside", "missing", "limits", "day", "sha256")
_AVERAGES = ("basis", "seats", "day", "average", "ours", "difference")
_GAPS = ("first", "last", "days")
_EVIDENCE = ("day", "name", "state", "sha256")


def _plain(columns: tuple[str, ...], values: Callable[[TenantReport], Iterable[Any]]) -> Table:
    """A table whose columns are the fields of values."""
    return Table(columns, lambda report: (_values(value, columns) for value in values(report)))


TABLES: Mapping[str, Table] = {
    "controls": Table(_CONTROLS, lambda report: (_control(report, one) for one in report.scored)),
    "tenants": Table(_TENANTS, lambda _: ()),
    "days": _plain(_DAYS, lambda report: report.days),
    "changes": Table(_CHANGES, _changes),
    "causes": Table(_CAUSES, _causes),
    "groups": Table(_GROUPS, _groups),
    "regrouped": _plain(_REGROUPED, lambda report: report.regrouped),
    "exceptions": _plain(_EXCEPTIONS, lambda report: report.exceptions or ()),
    "state_changes": _plain(_STATE_CHANGES, lambda report: report.state_changes),
    "references": Table(_REFERENCES, _references),
    "questions": Table(_QUESTIONS, lambda report: (_question(report, one) for one in report.insurance.questions)),
    "averages": _plain(_AVERAGES, lambda report: report.comparatives),
    "gaps": _plain(_GAPS, lambda report: report.quality.gaps),
    "evidence": _plain(_EVIDENCE, lambda report: report.evidence),
}
"""Every table by its name; `controls` comes where none is named."""
OF_ONE_DAY = ("controls", "questions")
"""Those that tell of the last observed day alone."""
