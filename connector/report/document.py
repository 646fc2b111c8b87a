"""The report as one JSON document, as report.schema.json describes it: the fields of values.py, nothing computed.

A form is three functions: what comes first, each tenant (numbered from 0), and what ends it. So a report over thousands
of tenants is written tenant by tenant.
"""

import json
from typing import Any

from attrs import asdict

from connector.report.values import Cover, TenantReport
from connector.report.words import METHOD

SCHEMA = "urn:secure-score:report:1"
PICTURE = ("logo", "logo_width", "logo_height")
"""Fields of the brand that are for the eye."""


def opening(cover: Cover) -> str:
    told = asdict(cover, filter=lambda field, _: field.name not in PICTURE)
    head = _dumps({"schema": SCHEMA, **told, "method": METHOD})
    return head[:-1] + ',\n"tenants": ['


def tenant(report: TenantReport, number: int) -> str:
    return (",\n" if number else "\n") + _dumps(asdict(report))


def closing(_cover: Cover) -> str:
    return "\n]}\n"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
