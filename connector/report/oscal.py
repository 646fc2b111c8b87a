"""The report of one tenant as OSCAL assessment results: what was observed of each scored control, and what follows.

A control is an objective of our own; it is satisfied only by full points that were measured. What somebody declared is
not, whatever Microsoft awards for it: its finding says so. Ids are made from what they name, so the same data has the
same ids; OSCAL takes UUIDs of version 4 and 5 only, so they look like version 5, made with SHA-256. Texts of tenants
stand as text: nothing in them is markup.

https://pages.nist.gov/OSCAL-Reference/models/v1.2.1/assessment-results/json-outline/
"""

import json
import re
import uuid
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from connector.foreign.characters import harmless
from connector.observe.diff import DECLARED
from connector.observe.explain import number
from connector.report.values import Cover, EvidenceFile, Scored, TenantReport
from connector.report.words import METHOD

VERSION = "1.2.1"
NAMESPACE = "urn:secure-score:oscal"
_TOKEN = re.compile(r"[^\W\d][\w.-]*")
_MARKUP = re.compile(r"([\\`\[\]<>*_])")


def opening(_cover: Cover) -> str:
    return ""


def tenant(report: TenantReport, _number: int) -> str:
    """The whole document: it is of one tenant."""
    return json.dumps({"assessment-results": _results(report)}, ensure_ascii=True, allow_nan=False, indent=1)


def closing(_cover: Cover) -> str:
    return "\n"


def _results(report: TenantReport) -> dict[str, Any]:
    day, who = str(report.summary.newest_day), report.summary
    moment = f"{day}T00:00:00Z"
    scored = report.scored
    reviewed = [{"control-id": _token(one.control)} for one in scored]
    plan, subject = _id(report, "plan"), _id(report, "tenant")
    proof = [{"href": f"#{_id(report, 'file', e.day, e.name)}"} for e in report.evidence if e.day == day]
    return {
        "uuid": _id(report, "document", report.period.start, report.period.end, report.fingerprint),
        "metadata": {
            "title": _line(f"Microsoft Secure Score of {who.name}, {report.period.start} to {report.period.end}"),
            "last-modified": moment,
            "version": f"{day} {report.fingerprint[:16]}",
            "oscal-version": VERSION,
            "remarks": f"{METHOD['score']} {METHOD['asserted']}",
        },
        "import-ap": {"href": f"#{plan}", "remarks": "Microsoft assesses every day; there is no plan of its own."},
        "results": [
            {
                "uuid": _id(report, "result", report.fingerprint),
                "title": _line(f"Secure Score of {who.name}"),
                "description": f"The scored controls as Microsoft told them for {day}, the last observed day.",
                "start": f"{report.period.start}T00:00:00Z",
                "end": f"{day}T23:59:59Z",
                "props": _props(
                    score=who.score,
                    max_score=who.max_score,
                    percent=who.percent,
                    measured_points=who.measured,
                    asserted_points=who.asserted,
                    content_sha256=report.insurance.sha256,
                    fingerprint_sha256=report.fingerprint,
                ),
                "local-definitions": {
                    "components": [
                        {
                            "uuid": subject,
                            "type": "service",
                            "title": _line(who.name),
                            "description": f"Microsoft Entra tenant {who.tenant_id}",
                            "status": {"state": "operational"},
                        }
                    ]
                },
                "reviewed-controls": {
                    "control-selections": [
                        {
                            "description": "The controls that Microsoft scores for this tenant.",
                            **({"include-controls": reviewed} if reviewed else {"include-all": {}}),
                        }
                    ]
                },
                **(
                    {
                        "observations": [_observation(report, one, moment, subject, proof) for one in scored],
                        "findings": [_finding(report, one) for one in scored],
                    }
                    if scored
                    else {}
                ),
            }
        ],
        "back-matter": {
            "resources": [
                {
                    "uuid": plan,
                    "title": "Microsoft Secure Score",
                    "description": "What is assessed, and how, is Microsoft's: the catalogue of Secure Score controls.",
                    "rlinks": [{"href": "https://learn.microsoft.com/en-us/defender-xdr/microsoft-secure-score"}],
                },
                *(_resource(report, file) for file in report.evidence),
            ]
        },
    }


def _observation(
    report: TenantReport, one: Scored, moment: str, subject: str, proof: list[dict[str, str]]
) -> dict[str, Any]:
    counted = None if one.count is None or one.total is None else f"{one.count} of {one.total}"
    return {
        "uuid": _id(report, "observation", str(report.summary.newest_day), one.control),
        "title": _line(one.title),
        "description": _words(one),
        "props": _props(
            control=one.control,
            score=one.score,
            max_score=one.max_score,
            percent=one.percent,
            points_to_win=one.points,
            state=one.state,
            service=one.service,
            category=one.category,
            tier=one.tier,
            counted=counted,
        ),
        "methods": ["TEST" if one.standing in ("full", "part", "none") else "UNKNOWN"],
        "types": ["control-objective"],
        "subjects": [{"subject-uuid": subject, "type": "component"}],
        **(
            {"relevant-evidence": [{**e, "description": "Microsoft's answer as archived"} for e in proof]}
            if proof
            else {}
        ),
        "collected": moment,
    }


def _finding(report: TenantReport, one: Scored) -> dict[str, Any]:
    state, reason, why = _status(one)
    return {
        "uuid": _id(report, "finding", str(report.summary.newest_day), one.control),
        "title": _line(one.title),
        "description": why,
        "props": _props(
            standing=one.standing,
            state=one.state,
            declared_by=one.by,
            declared_at=one.at,
            comment=one.comment,
            assigned_to=one.assigned_to,
            **{framework: " ".join(ids) for framework, ids in one.references.items()},
        ),
        "target": {
            "type": "objective-id",
            "target-id": _token(one.control),
            "status": {"state": state, "reason": reason, "remarks": why},
        },
        "related-observations": [
            {"observation-uuid": _id(report, "observation", str(report.summary.newest_day), one.control)}
        ],
    }


def _status(one: Scored) -> tuple[str, str, str]:
    """State, reason and why: only full points that were measured satisfy."""
    declared = f"Declared in the portal: {one.portal}. " if one.state in DECLARED else ""
    return {
        "full": ("satisfied", "pass", "Full points, measured."),
        "asserted": ("not-satisfied", "other", f"{declared}Full points, which nobody measured."),
        "unknown": ("not-satisfied", "other", "Whether the control has full, measured points is not known."),
    }.get(one.standing, ("not-satisfied", "fail", f"{declared}The control lacks points."))


def _words(one: Scored) -> str:
    return f"{number(one.score)} of {number(one.max_score)} points; state {_line(one.state)}."


def _resource(report: TenantReport, file: EvidenceFile) -> dict[str, Any]:
    hashes = {"hashes": [{"algorithm": "SHA-256", "value": file.sha256}]} if file.sha256 else {}
    return {
        "uuid": _id(report, "file", file.day, file.name),
        "title": _line(f"{file.name} of {file.day}"),
        "description": f"A response of Microsoft as archived; its file is {file.state}.",
        "props": _props(state=file.state, day=file.day),
        "rlinks": [{"href": quote(f"{file.day}/{file.name}"), **hashes}],
    }


# ---------------------------------------------------------------------------------------------------------------- parts


def _id(report: TenantReport, *parts: str) -> str:
    """The id of something of this tenant, by what it is."""
    named = json.dumps([NAMESPACE, report.summary.tenant_id, *parts], ensure_ascii=True)
    raw = bytearray(sha256(named.encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def _props(**values: object) -> list[dict[str, str]]:
    """Properties in our namespace; those without a value are left out."""
    found: Mapping[str, str] = {name: _text(value) for name, value in values.items() if value is not None}
    return [{"name": name.replace("_", "-"), "ns": NAMESPACE, "value": value} for name, value in found.items() if value]


def _text(value: object) -> str:
    """One line without spaces around it, as a property's value must be."""
    return " ".join(harmless(number(value) if isinstance(value, float) else str(value)).split())


def _line(text: str) -> str:
    """Text on one line in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", _text(text)) or "-"


def _token(name: str) -> str:
    """A control's id as OSCAL takes it: beginning with a letter, and without what no id of Microsoft's has."""
    plain = re.sub(r"[^\w.-]", "_", name)
    return plain if _TOKEN.fullmatch(plain) else f"_{plain}"
