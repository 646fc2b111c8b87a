"""Defender for Cloud's secure score of every subscription → Reading: which questions, and what counts as complete.

Rows are read in cloud_rows.py, pages asked for in resource_graph.py. Nothing is kept between reads: what is known comes
in with `Known`.

There is no history: the far end says "now" only, so a day is the UTC day of the read. An answer that lacks something
may mean three things, and only one of them is news: no role (nothing is visible at all), never started (a subscription
without a score) or disabled. So the subscriptions are always asked for first.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from attrs import define, evolve

from connector.config.values import ScopeConfig
from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, WrongTenant, kept
from connector.model import Absent, Known, Listed, Note, Reading, Snapshot, Unchanged
from connector.net.http import MAX_BODY_BYTES, Transport
from connector.ports import Clock
from connector.signin.tokens import TokenProvider
from connector.sources.cloud_rows import ROLES_HINT, Foreign, Scores, Standards, Subscriptions
from connector.sources.requests import Requests, Throttled, absent
from connector.sources.resource_graph import PATH, ROLE_HINT, Answer, Question, ask, fault, rows_of
from connector.sources.scalars import some

SUBSCRIPTIONS = Question(
    "subscriptions",
    "resourcecontainers | where type =~ 'microsoft.resources/subscriptions' "
    "| project id, subscriptionId, tenantId, name, state=tostring(properties.state) | order by id asc",
)
SCORES = Question(
    "scores",
    "securityresources | where type in~ ('microsoft.security/securescores',"
    "'microsoft.security/securescores/securescorecontrols') "
    "| project id, name, type, subscriptionId, tenantId, properties | order by id asc",
)
COMPLIANCE = Question(
    "compliance",
    "securityresources | where type =~ 'microsoft.security/regulatorycompliancestandards' "
    "| project id, name, type, subscriptionId, tenantId, properties | order by id asc",
)

DELEGATION_HINT = (
    "That directory must delegate its subscriptions to the one in auth.tenant_id by Azure Lighthouse, with the role "
    "Reader or Security Reader for this principal; a consent in Entra does not help here."
)
LIMIT_HINT = "Name management groups or subscriptions in `scope`, so that each entry has at most 10,000 subscriptions."
EMPTY_HINT = (
    "It is asked again at every poll; if it stays so, see in the portal whether Defender for Cloud is still on."
)
REPEATED_HINT = "It is read anew at the next poll; nothing counts as removed meanwhile."


@define
class _Whole:
    """What a question came to: `broken` says why its rows are not all there are."""

    answer: Answer
    broken: SecureScoreError | None


class DefenderCloudSource:
    """The secure scores of all subscriptions in a scope of one directory, over Azure Resource Graph.

    `base_url` is the root of Azure Resource Manager, without path; the token goes to its host only. `scope` is what a
    request is limited to: {} (all that the principal sees), {"managementGroups": […]} or {"subscriptions": […]}. With
    `compliance`, regulatory compliance standards are read as well. `delegated`: the principal is of another directory,
    to which this one delegates subscriptions (Azure Lighthouse), so that only what is of this one is asked for.
    `deadline_s`, `limit_s` and `max_page_bytes` as for Graph. The transport belongs to the caller, who keeps it within
    the principal's budget.
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
        scope: Mapping[str, Sequence[str]] | None = None,
        compliance: bool = False,
        delegated: bool = False,
        name: str = "defender_cloud",
        deadline_s: float = 45.0,
        limit_s: float = 600.0,
        max_page_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.name = name
        self._http = http
        self._url = base_url.rstrip("/") + PATH
        self._tenant_id = tenant_id.casefold()
        self._token = token
        self._clock = clock
        self._random = random
        self._scope = {key: list(ids) for key, ids in (scope or {}).items()}
        self._questions = (SUBSCRIPTIONS, SCORES, *((COMPLIANCE,) if compliance else ()))
        if delegated:
            self._questions = tuple(_of_directory(question, self._tenant_id) for question in self._questions)
        self._role_hint = DELEGATION_HINT if delegated else ROLE_HINT
        self._deadline_s = deadline_s
        self._limit_s = limit_s
        self._max_page_bytes = max_page_bytes

    async def read(self, known: Known) -> Reading:
        """Read everything once. What failed alone is Absent or makes the reading partial; nothing is ever guessed.

        Raises Denied when no subscription is visible or nothing may be read, Unavailable when nothing could be had,
        WrongTenant when all there is belongs to other directories, and whatever the token provider raises.
        """
        today = self._clock.now().date().isoformat()
        requests = Requests(
            http=self._http,
            token=self._token,
            clock=self._clock,
            random=self._random,
            fault=fault,
            deadline_s=self._deadline_s,
            limit_s=self._limit_s,
            max_bytes=self._max_page_bytes,
        )
        answers: list[Answer] = []
        for question in self._questions:
            if any(isinstance(answer.error, Throttled) for answer in answers):
                error = Throttled(f"{question.name}: not asked for after 429", _wish_s(answers))
                answers.append(Answer(question, error=error))
            else:
                answers.append(await ask(requests, self._url, question, self._scope))
        _raise_if_nothing_was_had(answers[:2])
        complete = all(answer.error is None and not answer.limited for answer in answers)
        hashes = {name: sha for answer in answers for name, sha in answer.hashes.items()}
        evidence = tuple(file for answer in answers for file in answer.evidence)
        if complete and hashes == dict(known.pages) and known.newest_day == today:
            return Reading(self.name, Unchanged(), Unchanged(), pages=hashes, evidence=evidence)
        reading = await self._parsed(answers, known, today)
        whole = reading.partial is None and not isinstance(reading.units, Absent)
        return Reading(
            source=self.name,
            units=reading.units,
            listed=reading.listed,
            partial=reading.partial,
            pages=hashes if whole else known.pages,
            evidence=evidence if whole else (),
            notes=reading.notes,
        )

    async def close(self) -> None:
        """Nothing to close: the transport is shared."""

    async def _parsed(self, answers: Sequence[Answer], known: Known, today: str) -> Reading:
        foreign = Foreign(self._tenant_id)
        subscriptions, scores = Subscriptions(foreign), Scores(foreign, today)
        standards = Standards(foreign)
        listing = await _taken(answers[0], subscriptions.add)
        scored = await _taken(answers[1], scores.add)
        ruled = await _taken(answers[2], standards.add) if len(answers) > 2 else None
        if foreign.seen and not foreign.mine:
            raise WrongTenant(
                f"{foreign.note}; none belongs to {self._tenant_id}",
                "Correct tenant_id, or use a principal of that directory.",
            )
        _raise_if_nothing_was_had([listing.answer, scored.answer], [listing.broken, scored.broken])
        if listing.broken is None and not subscriptions.of and not scores.units and scored.broken is None:
            more = " any more" if known.had_days else ""
            raise Denied(f"no subscription is visible{more} to this principal", self._role_hint)

        listed: Mapping[str, Listed] | Absent = subscriptions.of if listing.broken is None else absent(listing.broken)
        notes = [*filter(None, (foreign.note,)), *scores.notes]
        if listing.broken is None and not subscriptions.of:
            listed = Absent("denied", "no subscription is listed, although some have a score", hint=ROLES_HINT)
        compliance = None if ruled is None else standards if ruled.broken is None else absent(ruled.broken)
        if isinstance(compliance, Absent):
            notes.append(f"regulatory compliance could not be read: {compliance.detail}")
        found, left_out = scores.snapshots(
            self.name, subscriptions.of, compliance, broken_off=scored.broken is not None
        )
        units: tuple[Snapshot, ...] | Absent = found
        if scored.broken is not None and (not found or not _mere_end(scored.broken)):
            units = absent(scored.broken)
        elif scored.broken is None and not scores.units and known.had_days:
            units = Absent("empty_after_full", "no subscription has a score any more", hint=EMPTY_HINT)
        partial = _partial(listed, scored, ruled, answers, left_out)
        return Reading(self.name, units, listed, partial, notes=tuple(Note("days", text) for text in notes))


def scope_of(scope: ScopeConfig) -> dict[str, list[str]]:
    """The scope of an entry as a request states it; all of the tenant is stated by nothing."""
    lists = {"managementGroups": scope.management_groups, "subscriptions": scope.subscriptions}
    return {key: list(ids) for key, ids in lists.items() if ids}


def _of_directory(question: Question, tenant_id: str) -> Question:
    """The question about one directory alone, of all that a service provider's principal sees."""
    table, further = question.query.split(" | ", 1)
    return evolve(question, query=f"{table} | where tenantId =~ '{tenant_id}' | {further}")


def _wish_s(answers: Sequence[Answer]) -> float | None:
    return next((a.error.retry_after_s for a in answers if isinstance(a.error, Throttled)), None)


def _mere_end(error: SecureScoreError) -> bool:
    """Whether the pages before it are good: it befell a later page, and says nothing against the rows of these."""
    return not (isinstance(error, PartialRead) and error.reason == "paging")


async def _taken(answer: Answer, add: Callable[[list[Any], str], None]) -> _Whole:
    """Take in the rows of an answer, page by page, and see that they are as many as it says there are."""
    count, total = 0, None
    for page in answer.pages:
        try:
            rows, totals = rows_of(page)
            total = totals if total is None else total
            add(rows, page.name.replace("/", " page "))
        except PartialRead as error:
            return _Whole(answer, kept(error))
        count += len(rows)
        del rows
        await asyncio.sleep(0)  # a page takes some 50 ms: others may go on in between
    if answer.error is not None:
        return _Whole(answer, answer.error)
    if total is None or count != total:
        what = f"{answer.question.name}: {count} rows came, but there are {total}"
        return _Whole(answer, PartialRead(what, "paging", REPEATED_HINT))
    return _Whole(answer, None)


def _raise_if_nothing_was_had(answers: Sequence[Answer], errors: Sequence[SecureScoreError | None] = ()) -> None:
    found = list(errors) or [None if answer.pages else answer.error for answer in answers]
    for kind in (Denied, Unavailable):
        if all(isinstance(error, kind) for error in found) and found[-1] is not None:
            raise found[-1]


def _partial(
    listed: Mapping[str, Listed] | Absent,
    scored: _Whole,
    ruled: _Whole | None,
    answers: Sequence[Answer],
    left_out: Sequence[str],
) -> Absent | None:
    """Why what is missing proves nothing; None when everything is there."""
    if scored.broken is not None:
        return absent(scored.broken)
    if any(answer.limited for answer in answers):
        return Absent("partial", "more than 10,000 subscriptions are in scope, and not all were answered for", None,
                      LIMIT_HINT)  # fmt: skip
    if left_out:
        detail = f"the rows of {len(left_out)} subscriptions are not whole: {some(left_out)}"
        return Absent("partial", detail, hint=REPEATED_HINT)
    if isinstance(listed, Absent):
        return listed
    return absent(ruled.broken) if ruled is not None and ruled.broken is not None else None
