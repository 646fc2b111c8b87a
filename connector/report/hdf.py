"""The report of one tenant in the Heimdall Data Format (InSpec's exec JSON), as Heimdall and the SAF tools read it.

A control has passed only with full points that were measured; what somebody declared is skipped (Heimdall: not
reviewed), and an accepted risk carries its waiver. NIST SP 800-53 tags follow from the NIST CSF category that a control
has by our own assignment: indicative, as the profile says.

https://saf.mitre.org/framework/normalize · https://github.com/mitre/heimdall2 (libs/inspecjs)
"""

import json
from collections.abc import Mapping
from typing import Any

from connector.foreign.characters import harmless
from connector.observe.diff import DECLARED
from connector.observe.explain import number
from connector.report.values import Cover, Scored, TenantReport

NIST_800_53: Mapping[str, tuple[str, ...]] = {
    "DE.AE-02": ("AU-6", "SI-4"),
    "DE.AE-06": ("IR-5", "SI-4"),
    "DE.CM-01": ("SI-4", "SC-7"),
    "DE.CM-03": ("AU-12", "SI-4"),
    "DE.CM-06": ("SA-9", "SI-4"),
    "DE.CM-09": ("SI-3", "SI-4"),
    "ID.AM-02": ("CM-8",),
    "ID.AM-04": ("SA-9", "AC-20"),
    "ID.AM-07": ("CM-12", "RA-2"),
    "PR.AA-01": ("AC-2", "IA-5"),
    "PR.AA-03": ("IA-2",),
    "PR.AA-05": ("AC-3", "AC-6"),
    "PR.AT-01": ("AT-2",),
    "PR.DS-01": ("SC-28",),
    "PR.DS-02": ("SC-8",),
    "PR.IR-01": ("SC-7",),
    "PR.PS-01": ("CM-6",),
    "PR.PS-02": ("SI-2",),
    "PR.PS-04": ("AU-2", "AU-12"),
    "PR.PS-05": ("CM-7",),
    "RS.MI-01": ("IR-4",),
}
"""NIST CSF 2.0 → NIST SP 800-53 r5: for each category that mappings/frameworks.yaml uses, what stands nearest."""
UNMAPPED = ("UM-1",)
"""Heimdall's tag for what has no reference."""


def opening(cover: Cover) -> str:
    head = {
        "platform": {"name": "Secure Score Connector", "release": cover.version, "target_id": cover.summaries[0].name},
        "version": cover.version,
        "statistics": {},
    }
    return json.dumps(head)[:-1] + ",\n"


def tenant(report: TenantReport, _number: int) -> str:
    """The rest of the document: it is of one tenant."""
    return json.dumps(_profile(report), ensure_ascii=True, allow_nan=False, indent=1)[1:]


def closing(_cover: Cover) -> str:
    return "\n"


def _profile(report: TenantReport) -> dict[str, Any]:
    who, day = report.summary, str(report.summary.newest_day)
    services: dict[str, list[str]] = {}
    for one in report.scored:
        services.setdefault(one.service, []).append(one.control)
    return {
        "profiles": [
            {
                "name": "microsoft-secure-score",
                "version": day,
                "title": harmless(f"Microsoft Secure Score of {who.name}, {day}"),
                "summary": f"{number(who.score)} of {number(who.max_score)} points. Tags of NIST and ATT&CK are "
                "indicative: an assignment of ours.",
                "sha256": report.fingerprint,
                "status": "loaded",
                "supports": [],
                "attributes": [],
                "groups": [
                    {"id": name, "title": name, "controls": controls} for name, controls in sorted(services.items())
                ],
                "controls": [_control(one, day) for one in report.scored],
            }
        ],
        "passthrough": {
            "auxiliary_data": [
                {
                    "name": "Microsoft Secure Score",
                    "data": {
                        "tenant": {"id": who.tenant_id, "name": harmless(who.name)},
                        "day": day,
                        "content_sha256": report.insurance.sha256,
                        "score": who.score,
                        "max_score": who.max_score,
                        "percent": who.percent,
                        "measured": who.measured,
                        "asserted": who.asserted,
                        "evidence": [
                            {"day": e.day, "name": e.name, "state": e.state, "sha256": e.sha256}
                            for e in report.evidence
                        ],
                    },
                }
            ]
        },
    }


def _control(one: Scored, day: str) -> dict[str, Any]:
    csf = one.references.get("nist_csf", ())
    nist = list(dict.fromkeys(ref for category in csf for ref in NIST_800_53.get(category, ())))
    tags = {
        "nist": nist or list(UNMAPPED),
        "nist_csf": list(csf),
        "attack": list(one.references.get("attack", ())),
        "category": one.category,
        "service": one.service,
        "tier": one.tier,
        "rank": one.rank,
        "score": one.score,
        "max_score": one.max_score,
        "percent": one.percent,
        "state": one.portal,
        "implementation_cost": one.cost,
        "user_impact": one.impact,
        "threats": list(one.threats),
    }
    found = {
        "id": one.control,
        "title": harmless(one.title),
        "desc": f"Secure Score control of {harmless(one.service)}, worth {number(one.max_score)} points.",
        "descriptions": [{"label": "fix", "data": f"At Microsoft: {harmless(one.url)}"}] if one.url else [],
        "impact": 0.5 if one.max_score is None else min(max(one.max_score / 10, 0.0), 1.0),
        "refs": [{"url": harmless(one.url)}] if one.url else [],
        "tags": tags,
        "source_location": {},
        "code": None,
        "results": [_result(one, day)],
    }
    if one.state == "Ignored":
        found["waiver_data"] = {
            "justification": harmless(one.comment or "no comment"),
            "message": harmless(f"Risk accepted by {one.by or 'somebody'}, {one.at or 'on an unknown day'}"),
            "run": True,
            "skipped_due_to_waiver": False,
        }
    return found


def _result(one: Scored, day: str) -> dict[str, Any]:
    counted = "" if one.count is None or one.total is None else f"; Microsoft counts {one.count} of {one.total}"
    told = {
        "status": {"full": "passed", "asserted": "skipped", "unknown": "skipped"}.get(one.standing, "failed"),
        "code_desc": f"{number(one.score)} of {number(one.max_score)} points{counted}",
        "start_time": f"{day}T00:00:00Z",
    }
    declared = harmless(f"{one.portal}, declared by {one.by or 'somebody'}: {one.comment or 'no comment'}")
    if one.standing == "asserted":
        return {**told, "skip_message": f"{declared}. Nobody measured these points."}
    if one.standing == "unknown":
        return {**told, "skip_message": "Whether the control has full, measured points is not known."}
    return {**told, "message": declared} if one.state in DECLARED else told
