"""What an operator wants changed → what will be sent, or why nothing is. Pure.

Source: Microsoft Graph v1.0 "Update secureScoreControlProfile". Every PATCH appends to the history, even when nothing
changes, and there is no ETag: so compare first.
"""

from typing import Any

from attrs import frozen

from connector.model import PORTAL, STATES, Control, Profile, StateUpdate
from connector.observe.diff import effective_state, max_of

VENDOR = {"provider": "SecureScore", "vendor": "Microsoft"}
DEVICE = "scid_"
MAX_COMMENT_CHARS = 2_000
MAX_ASSIGNED_CHARS = 256
MAX_NAME_CHARS = 256


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


def plan(wish: Wanted, profile: Profile | None, control: Control | None = None, day: str = "") -> Plan:
    """Compare a wish with what holds now.

    `profile` None: the tenant has no such control. `control` is its entry of the newest day, `day`, where one is known.
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
            hint="`securescore controls list` shows the names",
        )
    if _is_so(wish, before):
        return Plan(wish, "same", before, profile)
    if is_completed(profile, control, day):
        return Plan(
            wish,
            "refused",
            before,
            profile,
            reason="it is completed: it has full points by measurement, and Microsoft locks its state",
            hint="a state can be set once points are missing",
        )
    return Plan(wish, "send", before, profile)


def is_completed(profile: Profile | None, control: Control | None, day: str) -> bool:
    """Whether a control has all its points by measurement: the portal calls it Completed and locks its state.

    A day that is not younger than the last state entry may show points that were asserted before it.
    """
    now, most = effective_state(profile), max_of(control, profile)
    full = control is not None and control.score is not None and most is not None and control.score >= most > 0
    return full and now.state == "Default" and (now.at is None or now.at[:10] < day)


def _is_so(wish: Wanted, now: StateUpdate) -> bool:
    if now.state != wish.state:
        return False
    if now.at is None and wish.state == "Default" and not wish.assigned_to:
        return True  # never touched: there is nothing to take back, whatever the comment says
    assigned = wish.assigned_to is None or wish.assigned_to == (now.assigned_to or "")
    return wish.comment == (now.comment or "") and assigned


def shows(wish: Wanted, now: StateUpdate) -> bool:
    """Whether what is read back is what was asked for: state, comment and, where given, the person assigned.

    The state alone proves nothing: somebody else may have set the same. White space is the service's to change.
    """
    said = (wish.comment or "").split() == (now.comment or "").split()
    assigned = wish.assigned_to is None or wish.assigned_to.split() == (now.assigned_to or "").split()
    return now.state == wish.state and said and assigned


def body_of(wish: Wanted) -> dict[str, Any]:
    """The body of the PATCH; fields that are left out stay as they are."""
    body: dict[str, Any] = {"state": wish.state, "comment": wish.comment, "vendorInformation": dict(VENDOR)}
    if wish.assigned_to is not None:
        body["assignedTo"] = wish.assigned_to
    return body
