"""The open controls of a day as actions, and their order. Pure.

Order: quick wins; then everything else that can be done, by points to win per effort; then what needs a licence; then
what somebody declared. Effort is no figure of Microsoft's and is shown nowhere: cost and impact weigh 1 (low), 2
(medium, and where nothing is stated) or 3 (high). Ties: more points, Microsoft's rank, the name.
"""

from collections.abc import Mapping

from connector.advice.values import NOT_STATED, Action, Declared
from connector.model import PORTAL, Control, Profile, Version
from connector.observe import diff, groups

WEIGHTS: Mapping[str, int] = {"low": 1, "none": 1, "medium": 2, "moderate": 2, "high": 3}
"""Words of the API for cost and impact, in any case; every other word states nothing."""
UNSTATED = 2
_STAGES: Mapping[str, int] = {"quick_win": 0, "project": 1, "other": 1, "licence": 2, "asserted": 3}


def is_open(control: Control, profile: Profile | None) -> bool:
    """Whether a control has points to win, or may have: it is not full."""
    units = to_win(control, profile)
    return diff.is_full(control, profile) is not True and (units is None or units > 0)


def to_win(control: Control, profile: Profile | None) -> int | None:
    """Points still to win, in units; None where score or maximum is unknown."""
    most = diff.max_of(control, profile)
    return None if most is None or control.score is None else diff.fixed(most) - diff.fixed(control.score)


def action(
    name: str,
    newest: Version,
    profile: Profile | None,
    licences: tuple[str, ...],
    since: tuple[str, bool],
) -> Action:
    """What is known of one open control."""
    control = newest.day.controls[name]
    state = diff.effective_state(profile)
    units = to_win(control, profile)
    cost, impact = (stated(profile.implementation_cost), stated(profile.user_impact)) if profile else (NOT_STATED,) * 2
    declared = None
    if state.state in diff.DECLARED:
        portal = PORTAL[state.state]
        declared = Declared(state.state, portal, state.by, state.at, state.comment or None, state.assigned_to or None)
    return Action(
        control=name,
        title=(profile.title if profile else "") or name,
        group=group_of(declared, licences, cost, impact),
        points=None if units is None else diff.points(units),
        share_percent=_share(units, newest.day.max_score),
        score=diff.rounded(control.score),
        max_score=diff.max_of(control, profile),
        cost=cost,
        impact=impact,
        tier=groups.group_of("tier", control, profile),
        rank=profile.rank if profile else None,
        service=groups.group_of("service", control, profile),
        category=groups.group_of("category", control, profile),
        threats=profile.threats if profile else (),
        state=state.state,
        declared=declared,
        licences=licences,
        since=since[0],
        since_exact=since[1],
        url=(profile.action_url if profile else "") or None,
    )


def stated(word: str) -> str:
    """Cost or impact as Microsoft states it; NOT_STATED for nothing and for "Unknown"."""
    return word if word.casefold() in WEIGHTS else NOT_STATED


def group_of(declared: Declared | None, licences: tuple[str, ...], cost: str, impact: str) -> str:
    """Where an action belongs; see GROUPS. What is not stated is not taken to be low."""
    weights = [WEIGHTS.get(word.casefold()) for word in (cost, impact)]
    if declared is not None:
        return "asserted"
    if licences:
        return "licence"
    if weights == [1, 1]:
        return "quick_win"
    return "project" if any(weight is not None and weight > 1 for weight in weights) else "other"


def order(one: Action) -> tuple[int, bool, float, float, int, str]:
    """The key that sorts actions, of one unit or of many, best first."""
    effort = sum(WEIGHTS.get(word.casefold(), UNSTATED) for word in (one.cost, one.impact))
    points = one.points or 0.0
    rank = 1_000_000 if one.rank is None else one.rank
    return (_STAGES[one.group], one.points is None, -points / effort, -points, rank, one.control)


def _share(units: int | None, maximum: float | None) -> float | None:
    if units is None or maximum is None or maximum < 0.0001:
        return None
    return diff.rounded(100.0 * diff.points(units) / maximum)
