"""Defender for Endpoint's exposure score, of the organization and by device group → Reading.

LOWER IS BETTER: 0..100, up to 29 is low, from 70 on high (`Unit.lower_is_better`). There is no history, so a day is the
UTC day of the read; `time` in an answer is that of the call, so that bytes always differ and contents are compared.
Microsoft is changing how it computes this score and says so in no answer: `model` is unknown, and a step in which no
device changed is no news about devices.
"""

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, kept
from connector.ids import sha256
from connector.model import EXPOSURE, Absent, Day, EvidenceFile, Known, Reading, Snapshot, Unchanged, Unit
from connector.net.http import Response, Transport
from connector.ports import Clock
from connector.signin.tokens import TokenProvider
from connector.sources.pages import documents, load
from connector.sources.requests import Requests, absent, fault_of
from connector.sources.scalars import check_bounded, number, object_of, squeezed, text

WHOLE = "exposureScore"
GROUPS = "exposureScore/ByMachineGroups"
MAX_GROUPS = 5_000
MAX_BYTES = 4 * 1024 * 1024
MOST = 100.0

ACCESS_HINT = (
    "Either the permission Score.Read.All of the API WindowsDefenderATP (not of Microsoft Graph) is missing or nobody "
    "consented to it, or a managed identity was granted it after it first signed in: Azure keeps its token for up to a "
    "day; or the token is for the wrong audience: `securescore check` tries the other one."
)
LATER_HINT = "It is asked for again at every poll; what was read stays."
_ODD = re.compile(r"[^a-z0-9._-]+")


class DefenderEndpointSource:
    """The exposure score of one directory, over the Defender for Endpoint API.

    `base_url` is a root without path; the token goes to its host only. The transport belongs to the caller.
    """

    def __init__(
        self,
        *,
        http: Transport,
        base_url: str,
        tenant_id: str,
        token: TokenProvider,
        clock: Clock,
        random: Random,
        name: str = "defender_endpoint",
        deadline_s: float = 45.0,
        limit_s: float = 120.0,
    ) -> None:
        self.name = name
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._tenant_id = tenant_id.lower()
        self._token = token
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._limit_s = limit_s

    async def read(self, known: Known) -> Reading:
        """Read both scores once; one that failed alone makes the reading partial, and so do two that are no scores.

        Raises Denied or Unavailable when neither could be had, and whatever the token provider raises.
        """
        today = self._clock.now().date().isoformat()
        requests = Requests(
            http=self._http,
            token=self._token,
            clock=self._clock,
            random=self._random,
            fault=_fault,
            deadline_s=self._deadline_s,
            limit_s=self._limit_s,
            max_bytes=MAX_BYTES,
        )
        scores: dict[Unit, float] = {}
        pages: dict[str, str] = {}
        evidence: list[EvidenceFile] = []
        errors: list[SecureScoreError] = []
        for path, scores_of in ((WHOLE, self._whole), (GROUPS, _groups)):
            try:
                body = (await requests.get(f"{self._base_url}/api/{path}", path)).body
                found = scores_of(load(body, path))
            except (PartialRead, Unavailable, Denied) as error:
                errors.append(kept(error))
                continue
            scores |= found
            pages[path] = sha256(repr(sorted((unit.id, unit.name, score) for unit, score in found.items())).encode())
            evidence.append(EvidenceFile(f"{path.replace('/', '-')}-1.json", body))
        if len(errors) == 2:
            for first in errors:
                if not isinstance(first, PartialRead):
                    raise first
            return Reading(self.name, _partial(errors[0]), pages=known.pages)
        if not errors and pages == dict(known.pages) and known.newest_day == today:
            return Reading(self.name, Unchanged(), pages=pages, evidence=tuple(evidence))
        return Reading(
            source=self.name,
            units=tuple(_snapshot(self.name, unit, score, today) for unit, score in scores.items()),
            partial=_partial(errors[0]) if errors else None,
            pages=known.pages if errors else pages,
            evidence=() if errors else tuple(evidence),
        )

    async def close(self) -> None:
        """Nothing to close: the transport is shared."""

    def _whole(self, data: Any) -> dict[Unit, float]:
        score = _score(object_of(data, WHOLE), WHOLE)
        return {Unit("organization", self._tenant_id, "", EXPOSURE): score}


def _groups(data: Any) -> dict[Unit, float]:
    rows = documents(data, GROUPS)
    check_bounded(rows, MAX_GROUPS, GROUPS)
    if data.get("@odata.nextLink"):
        raise PartialRead(f"{GROUPS}: has more pages than the one that is documented", "paging")
    found: dict[Unit, float] = {}
    for index, row in enumerate(rows):
        where = f"{GROUPS}[{index}]"
        group = object_of(row, where)
        name = squeezed(group.get("rbacGroupName"))
        unit = Unit("device_group", _id_of(group.get("rbacGroupId"), name, where), name, EXPOSURE)
        found[unit] = _score(group, where)
    if len({unit.id for unit in found}) < len(rows):
        raise PartialRead(f"{GROUPS}: names a device group twice", "not_json")
    return found


def _id_of(sent: Any, name: str, where: str) -> str:
    """The group's own id, or its name where the far end states none: then a renamed group is another one."""
    own = text(sent, 64).strip().lower()
    if own:
        return _ODD.sub("-", own)
    if not name:
        raise PartialRead(f"{where}: names no device group", "not_json")
    slug = _ODD.sub("-", name.lower())[:48]
    return slug if slug == name.lower() else f"{slug}-{sha256(name.lower().encode())[:8]}"


def _score(data: Mapping[str, Any], where: str) -> float:
    score = number(data.get("score"), set())
    if score is None or score > MOST:
        raise PartialRead(f"{where}: `score` is not a number from 0 to 100", "not_json")
    return score


def _snapshot(source: str, unit: Unit, score: float, today: str) -> Snapshot:
    day = Day(id=f"{unit.id}_{today}", day=today, score=score, max_score=MOST, controls={}, detailed=True)
    return Snapshot(source=source, days=(day,), catalogue={}, unit=unit)


def _partial(error: SecureScoreError) -> Absent:
    found = absent(error)
    return found if found.hint else Absent(found.reason, found.detail, found.retry_after_s, LATER_HINT)


def _fault(response: Response, what: str, max_bytes: int) -> SecureScoreError | None:
    hint = "Check defender_endpoint.base_url, and that this directory has Defender for Endpoint."
    return fault_of(response, what, max_bytes, ACCESS_HINT, hint if response.status in (400, 404) else "")
