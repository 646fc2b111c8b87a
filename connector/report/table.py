"""The report as one CSV table (RFC 4180): a row for each day, control, exception and so on; `record` says which."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from connector.formats.spreadsheet import cell
from connector.report.values import Cover, Group, Reference, TenantReport

COLUMNS = (
    "record",
    "tenant",
    "tenant_id",
    "day",
    "name",
    "title",
    "category",
    "service",
    "state",
    "before",
    "after",
    "delta",
    "score",
    "max_score",
    "percent",
    "measured",
    "asserted",
    "cause",
    "confidence",
    "evidence",
    "by",
    "at",
    "age_days",
    "comment",
    "assigned_to",
    "sha256",
    "regrouped",
)
"""`record` is, in this order: tenant (all of them), then for each: day, change, residual, cause, category, service,
tier, regrouped, exception, state_change, reference, class, average, gap, evidence."""

Row = Mapping[str, Any]


def opening(cover: Cover) -> str:
    rows: list[Row] = [
        {
            "record": "tenant",
            "tenant": s.name,
            "tenant_id": s.tenant_id,
            "day": s.newest_day,
            "delta": s.delta,
            "score": s.score,
            "max_score": s.max_score,
            "percent": s.percent,
            "measured": s.measured,
            "asserted": s.asserted,
            "evidence": f"{s.days_observed} of {s.days_in_period} days observed",
            "comment": s.error or ", ".join(s.issues),
        }
        for s in cover.summaries
    ]
    return _lines([dict(zip(COLUMNS, COLUMNS, strict=True)), *rows])


def tenant(report: TenantReport, _number: int) -> str:
    whose = {"tenant": report.summary.name, "tenant_id": report.summary.tenant_id}
    return _lines({**whose, **row} for row in _rows(report))


def closing(_cover: Cover) -> str:
    return ""


def _rows(report: TenantReport) -> Iterable[Row]:
    for day in report.days:
        yield {
            "record": "day",
            "day": day.day,
            "score": day.score,
            "max_score": day.max_score,
            "percent": day.percent,
            "measured": day.measured,
            "asserted": day.asserted,
            "comment": ", ".join(day.flags),
            "sha256": day.sha256,
        }
    bridge = report.bridge
    if bridge is not None:
        for move in bridge.moves:
            yield {
                "record": "change",
                "day": bridge.after_day,
                "name": move.control,
                "title": move.title,
                "category": move.category,
                "service": move.service,
                "state": move.kind,
                "before": move.before,
                "after": move.after,
                "delta": move.delta,
                "max_score": move.max_score,
                "cause": move.cause.label,
                "confidence": move.cause.confidence,
                "evidence": "; ".join(
                    (*move.cause.evidence, *(f"{r.day} {r.label}: {'; '.join(r.evidence)}" for r in move.recorded))
                ),
            }
        yield {"record": "residual", "day": bridge.after_day, "delta": bridge.residual}
        for cause in bridge.causes:
            words = f"gained {cause.gained}, lost {cause.lost}"
            yield {"record": "cause", "name": cause.label, "delta": cause.net, "evidence": words}
    yield from (_group("category", g) for g in report.categories)
    yield from (_group("service", g) for g in report.services)
    yield from (_group("tier", g) for g in report.tiers)
    for flow in report.regrouped:
        yield {
            "record": "regrouped",
            "name": flow.by,
            "before": flow.before,
            "after": flow.after,
            "regrouped": flow.points,
            "cause": "catalogue",
            "evidence": flow.words,
        }
    for one in report.exceptions or ():
        yield {
            "record": "exception",
            "day": report.period.end,
            "name": one.control,
            "title": one.title,
            "category": one.category,
            "service": one.service,
            "state": one.state,
            "score": one.score,
            "max_score": one.max_score,
            "asserted": one.asserted_points,
            "by": one.by,
            "at": one.at,
            "age_days": one.age_days,
            "comment": one.comment,
            "assigned_to": one.assigned_to,
        }
    for change in report.state_changes:
        yield {
            "record": "state_change",
            "day": change.at[:10],
            "name": change.control,
            "title": change.title,
            "state": change.after,
            "before": change.before,
            "after": change.after,
            "by": change.by,
            "at": change.at,
            "comment": change.comment,
        }
    for framework in report.frameworks.frameworks:
        yield from (_reference("reference", framework.title, r) for r in framework.references)
    yield from (_reference("class", "", r) for r in report.frameworks.classes)
    for average in report.comparatives:
        named = f"{average.basis} {average.seats or ''}".strip()
        yield {"record": "average", "day": average.day, "name": named, "percent": average.average}
    for gap in report.quality.gaps:
        yield {"record": "gap", "day": gap.first, "name": f"{gap.first} to {gap.last}", "comment": f"{gap.days} days"}
    for file in report.evidence:
        yield {"record": "evidence", "day": file.day, "name": file.name, "state": file.state, "sha256": file.sha256}


def _group(record: str, group: Group) -> Row:
    return {
        "record": record,
        "name": group.name,
        "before": group.before,
        "after": group.score,
        "delta": group.delta,
        "regrouped": group.regrouped,
        "score": group.score,
        "max_score": group.max_score,
        "percent": group.percent,
    }


def _reference(record: str, framework: str, reference: Reference) -> Row:
    return {
        "record": record,
        "name": reference.id,
        "title": framework,
        "delta": reference.delta,
        "score": reference.score,
        "max_score": reference.max_score,
        "percent": reference.percent,
        "asserted": reference.asserted,
        "evidence": ", ".join(reference.controls),
    }


def _lines(rows: Iterable[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([cell(row.get(column)) for column in COLUMNS] for row in rows)
    return out.getvalue()
