"""What a baseline asks of a tenant's states, and what would have to be sent for it. Pure.

Only states can be set: points that are missing, and percentages, are somebody's work in the products themselves.
"""

from collections.abc import Mapping

from attrs import frozen

from connector.config.values import BaselineConfig
from connector.model import Day, Profile, Version
from connector.observe.baseline import DECLARED, NOT_DECLARED, Judged, judge, matches
from connector.observe.diff import effective_state
from connector.writeback.plan import Plan, Wanted, plan, wanted


@frozen
class Step:
    """A deviation, and the plan that ends it; None where no state can."""

    deviation: Judged
    plan: Plan | None


def steps(asked: BaselineConfig, catalogue: Mapping[str, Profile], day: Day) -> list[Step]:
    """A tenant's deviations, in the order of events. What is met or excused is none: it stays as it is."""
    found = []
    for one in judge(asked, catalogue, Version(day, "")):
        if one.deviates:
            by_hand = one.kind not in (DECLARED, NOT_DECLARED)
            found.append(Step(one, None if by_hand else _planned(asked, one, catalogue, day)))
    return found


def _planned(asked: BaselineConfig, one: Judged, catalogue: Mapping[str, Profile], day: Day) -> Plan:
    """The plan of a state: as it must be declared, or taken back. Whatever an operator may not write is refused."""
    state, comment, assigned = _words(asked, one)
    profile = catalogue[one.control]
    wish, problems = wanted(one.control, state, comment, assigned)
    if wish is None:
        nothing = Wanted(one.control, state, comment, assigned)
        return Plan(nothing, "refused", effective_state(profile), profile, f"the baseline: {'; '.join(problems)}")
    return plan(wish, profile, day.controls.get(one.control), day.day)


def _words(asked: BaselineConfig, one: Judged) -> tuple[str, str, str | None]:
    if one.kind == DECLARED:
        rule = next(d for d in asked.declared if d.control.casefold() == one.control.casefold())
        return rule.state, rule.comment, rule.assigned_to
    now = one.state.state if one.state else ""
    forbids = next(f for f in asked.forbidden if now in f.states and matches(f.controls, one.control))
    return "Default", forbids.comment, None
