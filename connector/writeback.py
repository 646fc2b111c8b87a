"""Changing the state of a control at Microsoft on an operator's word: plan (pure), one PATCH, read back, record.

Nothing that runs by itself may import this module; an import contract and a test see to it. No prompts and no tables
here: those are in cli/controls.py.

Source: Microsoft Graph v1.0 "Update secureScoreControlProfile". Every PATCH appends to the history, even when nothing
changes, and there is no ETag: so compare first, and read back afterwards.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Protocol

from attrs import field, frozen

from connector.backoff import delay_s
from connector.errors import Conflict, Denied, PartialRead, SecureScoreError, StoreError, Unavailable
from connector.ids import digest
from connector.model import PORTAL, Change, Control, Event, Profile, StateUpdate
from connector.net.http import Transport, error_for
from connector.observe import memory, pending_writes
from connector.observe.changes import control_info, state_data
from connector.observe.diff import effective_state, max_of
from connector.observe.events import Origin, stamp
from connector.observe.explain import SeverityRules
from connector.ports import Clock, State, Store
from connector.signin.tokens import TokenProvider, claims_challenge
from connector.sources.graph import Throttled, profile_path

STATES: Mapping[str, str] = {
    "default": "Default",
    "ignored": "Ignored",
    "third-party": "ThirdParty",
    "reviewed": "Reviewed",
}
"""What an operator writes → what the API takes. The portal's "Planned" has no value in the API."""

VENDOR = {"provider": "SecureScore", "vendor": "Microsoft"}
DEVICE = "scid_"
MAX_COMMENT_CHARS = 2_000
MAX_ASSIGNED_CHARS = 256
MAX_NAME_CHARS = 256
MAX_ATTEMPTS = 5
READ_BACK_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""When the change is looked for after a PATCH: the service may show it a little later."""
COMMIT_TRIES = 10

WRITE_HINT = (
    "Writing needs SecurityEvents.ReadWrite.All with the consent of an administrator, or, for a delegated sign-in, the "
    "directory role Security Administrator; give that credential as write_auth to keep reading and writing apart."
)


# -------------------------------------------------------------------------------------------------------------- plan


@frozen
class Wanted:
    """What the operator asks for. `state` is the API's; `assigned_to` None is neither compared nor sent, "" clears."""

    control: str
    state: str
    comment: str
    assigned_to: str | None = None


@frozen
class Plan:
    """What is to be done about one wish: `verdict` is "send", "same" (nothing to do) or "refused" (see `reason`)."""

    wanted: Wanted
    verdict: str
    before: StateUpdate
    profile: Profile | None = None
    reason: str = ""
    hint: str = ""


def state_of(text: str) -> str | None:
    """The API's state for a word of ours, of the API or of the portal, in any spelling; None when it is none."""
    squeezed = _squeezed(text)
    for word, state in STATES.items():
        if squeezed in (_squeezed(word), _squeezed(PORTAL[state])):
            return state
    return None


def _squeezed(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def wanted(control: str, state: str, comment: str, assigned_to: str | None = None) -> tuple[Wanted | None, list[str]]:
    """A wish from an operator's words, or everything that is wrong with them."""
    problems = []
    name = control.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        problems.append("names no control")
    api = state_of(state)
    if api is None:
        problems.append(f"{state[:40]!r} is no state: one of {', '.join(STATES)}")
    said = "\n".join(comment.strip().splitlines())
    if not said:
        problems.append("a comment is mandatory: it is what an auditor will read")
    for label, text, limit in (("comment", said, MAX_COMMENT_CHARS), ("assigned to", assigned_to, MAX_ASSIGNED_CHARS)):
        if text is not None and len(text) > limit:
            problems.append(f"{label}: longer than {limit} characters")
        if text is not None and not text.replace("\n", " ").isprintable():
            problems.append(f"{label}: holds control characters")
    if problems or api is None:
        return None, problems
    return Wanted(name, api, said, None if assigned_to is None else assigned_to.strip()), []


def refusal(wish: Wanted) -> Plan | None:
    """A plan for what is refused before anything is asked; None for everything else."""
    if not wish.control.casefold().startswith(DEVICE):
        return None
    return Plan(
        wish,
        "refused",
        effective_state(None),
        reason="the state of a device control (scid_…) cannot be set through Graph",
        hint="make an exception in Microsoft Defender, under vulnerability management",
    )


def plan(wish: Wanted, profile: Profile | None, control: Control | None = None) -> Plan:
    """Compare a wish with what holds now.

    `profile` None: the tenant has no such control. `control` is its entry of the newest day, where that is known.
    """
    early = refusal(wish)
    if early is not None:
        return early
    before = effective_state(profile)
    if profile is None:
        return Plan(
            wish,
            "refused",
            before,
            reason=f"the tenant has no control named {wish.control}",
            hint="`securescore controls list` shows the names; upper and lower case count",
        )
    if _is_so(wish, before):
        return Plan(wish, "same", before, profile)
    if before.state == "Default" and is_full(control, profile):
        return Plan(
            wish,
            "refused",
            before,
            profile,
            reason="it is completed: it has full points by measurement, and Microsoft locks its state",
            hint="a state can be set once points are missing",
        )
    return Plan(wish, "send", before, profile)


def is_full(control: Control | None, profile: Profile | None) -> bool:
    """Whether a control has all its points; with the state Default the portal calls it Completed."""
    most = max_of(control, profile)
    return control is not None and control.score is not None and most is not None and control.score >= most > 0


def _is_so(wish: Wanted, now: StateUpdate) -> bool:
    if now.state != wish.state:
        return False
    if now.at is None and wish.state == "Default" and not wish.assigned_to:
        return True  # never touched: there is nothing to take back, whatever the comment says
    assigned = wish.assigned_to is None or wish.assigned_to == (now.assigned_to or "")
    return wish.comment == (now.comment or "") and assigned


def body_of(wish: Wanted) -> dict[str, Any]:
    """The body of the PATCH; fields that are left out stay as they are."""
    body: dict[str, Any] = {"state": wish.state, "comment": wish.comment, "vendorInformation": dict(VENDOR)}
    if wish.assigned_to is not None:
        body["assignedTo"] = wish.assigned_to
    return body


# ------------------------------------------------------------------------------------------------------------- apply


class NotTaken(Denied):
    """The service refuses this one change; others may do."""


class Reader(Protocol):
    """Where one control is read: sources/graph.GraphSource, with the credential that writes."""

    async def control(self, name: str) -> Profile | None: ...


@frozen
class Writer:
    """How one tenant is written to. `deadline_s` bounds the time for retries of one PATCH."""

    http: Transport = field(repr=False)
    base_url: str
    token: TokenProvider = field(repr=False)
    clock: Clock = field(repr=False)
    random: Random = field(repr=False)
    deadline_s: float = 45.0

    async def patch(self, wish: Wanted) -> str:
        """Send one change, in words what came of it. Raises Denied when it was refused, Throttled when it was not
        taken for now, and Unavailable when it is not known whether it was taken.
        """
        url = f"{self.base_url.rstrip('/')}/v1.0/security/{profile_path(wish.control)}"
        body = json.dumps(body_of(wish)).encode()
        give_up_at = self.clock.now() + timedelta(seconds=self.deadline_s)
        token = await self.token.token()
        refreshed = False
        attempt = 0
        while True:
            headers = {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
            response = await self.http.request("PATCH", url, headers=headers, body=body)
            if response.status in (200, 204):
                return f"HTTP {response.status}"
            if response.status == 401 and not refreshed:
                refreshed = True
                token = await self.token.token(refresh=True, claims=claims_challenge(response.headers))
                continue
            error = error_for(response, "PATCH")
            if response.status in (401, 403):
                raise Denied(error.what, WRITE_HINT)
            if isinstance(error, Denied):
                raise NotTaken(error.what, "compare with the portal: a completed control keeps its state")
            if response.status != 429:
                raise error
            # 429 alone says that nothing was done, so it alone is sent again.
            wish_s = getattr(error, "retry_after_s", None)
            wait_s = delay_s(attempt, 1.0, 30.0, self.random, wish_s)
            attempt += 1
            if attempt >= MAX_ATTEMPTS or self.clock.now() + timedelta(seconds=wait_s) > give_up_at:
                raise Throttled(error.what, wish_s)
            await self.clock.sleep(wait_s)


@frozen
class Result:
    """What came of one plan.

    `outcome`: "same" and "refused" as planned (nothing was sent); "success" (read back and there); "failure" (refused
    by the service, or never sent); "unconfirmed" (sent, but reading back does not show it). `sent` = a PATCH went out.
    `stops` = every further change would meet the same.
    """

    plan: Plan
    outcome: str
    detail: str = ""
    hint: str = ""
    sent: bool = False
    stops: bool = False
    profile: Profile | None = None


UNKNOWN = "the command ended before it could say what came of this change"
"""What the event says if the process dies between sending and recording."""


def unfinished(planned: Plan) -> Result:
    """What is to be told of a plan of which nothing more is ever heard."""
    hint = "`securescore controls show NAME` shows what holds now"
    return Result(planned, "unconfirmed", UNKNOWN, hint, sent=True, profile=planned.profile)


async def apply(planned: Plan, reader: Reader, writer: Writer) -> Result:
    """Carry out one plan: compare again, send, read back. A foreseeable failure is a result, never an exception."""
    if planned.verdict != "send":
        return Result(planned, planned.verdict, planned.reason, planned.hint, profile=planned.profile)
    try:
        current = plan(planned.wanted, await reader.control(planned.wanted.control))
    except SecureScoreError as error:
        return Result(planned, "failure", error.what, error.hint, stops=_stops(error))
    if current.verdict != "send":
        return Result(current, current.verdict, current.reason, current.hint, profile=current.profile)
    if current.before != planned.before:
        by = f" by {current.before.by}" if current.before.by else ""
        what = f"somebody changed it meanwhile{by}: it is {PORTAL.get(current.before.state, current.before.state)} now"
        return Result(current, "refused", what, "look at it, then run the command again", profile=current.profile)
    try:
        said = await writer.patch(planned.wanted)
    except (Throttled, Denied) as error:
        return Result(current, "failure", error.what, error.hint, sent=True, stops=_stops(error))
    except Unavailable as error:
        said = error.what  # it may have been taken: reading back will tell
    except SecureScoreError as error:
        return Result(current, "failure", error.what, error.hint, stops=_stops(error))
    return await _read_back(current, reader, writer.clock, said)


async def _read_back(planned: Plan, reader: Reader, clock: Clock, said: str) -> Result:
    """Look until the change is there. An entry of its own must have become the effective one."""
    seen = ""
    profile = planned.profile
    for wait_s in READ_BACK_S:
        await clock.sleep(wait_s)
        try:
            profile = await reader.control(planned.wanted.control)
        except (Unavailable, PartialRead) as error:
            seen = f"it could not be read back: {error.what}"
            continue
        except SecureScoreError as error:
            seen = f"it could not be read back: {error.what}"
            break
        now = effective_state(profile)
        if now.state == planned.wanted.state and now != planned.before:
            return Result(planned, "success", said, sent=True, profile=profile)
        seen = f"it reads {PORTAL.get(now.state, now.state)} ({now.state})"
    hint = "run the same command again: it compares first and sends only what is missing"
    return Result(planned, "unconfirmed", f"{said}, but {seen}", hint, sent=True, profile=profile)


def _stops(error: SecureScoreError) -> bool:
    """Whether the fault is not that of one control: no access, no budget, no connection."""
    return not isinstance(error, (NotTaken, PartialRead))


# ------------------------------------------------------------------------------------------------------------ record


@frozen
class Operator:
    """Who did it: the operating system's user and host, and the name given with --operator."""

    os_user: str
    host: str
    name: str | None = None

    def __str__(self) -> str:
        user = f"{self.os_user}@{self.host}"
        return f"{self.name} ({user})" if self.name else user


def change_of(result: Result, operator: Operator, control: Control | None, now: str) -> Change:
    """The connector.write_back of a change that was sent, whatever came of it. `now` is ISO 8601 UTC text."""
    wish, before = result.plan.wanted, result.plan.before
    profile = result.profile or result.plan.profile
    assigned = before.assigned_to if wish.assigned_to is None else wish.assigned_to or None
    after = StateUpdate(wish.state, now, str(operator), wish.comment, assigned)
    data = {
        "summary": f"Write-back: {wish.control} {before.state} → {wish.state} ({result.outcome})",
        "before": state_data(before),
        "after": state_data(after),
        "outcome": result.outcome,
        "detail": result.detail,
        "operator": {"os_user": operator.os_user, "host": operator.host, "name": operator.name},
        "control": control_info(wish.control, control, profile),
    }
    entries = len(result.plan.profile.updates) if result.plan.profile else 0
    return Change(
        "connector.write_back",
        wish.control,
        f"{digest([before.state, before.at, before.by, before.comment, before.assigned_to])}#{entries}",
        f"{digest([wish.state, wish.comment, wish.assigned_to])}#{now}",
        "",
        data,
        occurred_at=now,
    )


async def announce(store: Store, tenant_id: str, change: Change) -> None:
    """Keep what is about to be sent, so that its event is told even if this process dies. Raises StoreError."""
    await _commit(store, tenant_id, lambda head: pending_writes.begun(head, change))


async def withdraw(store: Store, tenant_id: str, change: Change) -> None:
    """Nothing was sent after all. Raises StoreError."""
    await _commit(store, tenant_id, lambda head: pending_writes.ended(head, change))


async def record(
    store: Store, origin: Origin, change: Change, rules: SeverityRules, now: str, announced: Change
) -> Event:
    """Commit the event in place of what was announced. Raises StoreError."""
    assert origin.tenant_id is not None
    event = stamp(change, origin, now, rules)
    await _commit(store, origin.tenant_id, lambda head: pending_writes.ended(head, announced), event)
    return event


async def _commit(
    store: Store, tenant_id: str, values: Callable[[Mapping[str, Any]], Mapping[str, Any]], *events: Event
) -> None:
    """One commit beside whatever else is committing this tenant."""
    for _ in range(COMMIT_TRIES):
        state = await store.load(tenant_id) or State()
        try:
            await store.commit(tenant_id, memory.with_head(state, values(memory.head(state))), events)
        except Conflict:
            continue
        return
    raise StoreError("another process keeps committing this tenant", "stop it, or try again later")
