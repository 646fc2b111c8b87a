"""Page one in words: every answer it can give, and that there is a text for each of them."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.advice.values import TargetStanding
from connector.language.choice import language
from connector.observe.causes import UNKNOWN, Cause
from connector.report import build, front
from connector.report.figures import Pen
from connector.report.values import Brief, Comparative, Course, Decisions, Happening, TenantReport
from tests.fakes.posture import simulated, whole

PEN = Pen(language())
SEEN = Cause("configuration", "high", ("compliant users 7/7 → 2/7",))
MOVED = Happening(
    event_id="id",
    type="control.score_changed",
    day="2026-06-20",
    severity=7,
    control="AdminMFAV2",
    title="A second factor",
    before=10.0,
    after=2.86,
    delta=-7.14,
    state_before=None,
    state_after=None,
    by=None,
    cause=SEEN,
    back_on="2026-06-22",
    times=4,
)
DECLARED = evolve(
    MOVED, type="control.state_changed", delta=None, state_before="Default", state_after="Ignored", by="alice"
)


@pytest.fixture(scope="module")
def report() -> TenantReport:
    made = simulated(7)
    return build.build(made, whole(made))


def told(report: TenantReport, **brief: Any) -> str:
    return text(front.front(evolve(report, brief=evolve(report.brief, **brief)), PEN, "t1"))


class Words(HTMLParser):
    """The text between the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = ""

    def handle_data(self, data: str) -> None:
        self.found += data


def text(markup: str) -> str:
    parser = Words()
    parser.feed(markup)
    return parser.found


def course(delta: float | None, direction: str, swing: float | None = 5.0) -> Course:
    return Course(100.0, None if delta is None else 100.0 + delta, delta, swing, 5.0, direction)


@pytest.mark.parametrize(
    ("score", "percent", "words"),
    [
        (course(0.18, "unchanged"), course(0.02, "unchanged"), "Unchanged since 1 Jun 2026 (+0.18 points)."),
        (course(0.18, "unchanged"), course(0.02, "unchanged"), "In a usual week it moves by 5.0 points up and down."),
        (course(9.5, "rose"), course(0.8, "rose"), "Since 1 Jun 2026 it rose by 9.5 points (+0.8 pp)."),
        (course(-9.5, "fell"), course(-0.8, "fell"), "it fell by 9.5 points (−0.8 pp)."),
        (course(None, "unknown"), course(None, "unknown"), "A change takes two observed days."),
        (course(0.1, "unchanged"), course(-3.0, "fell"), "The percentage moved by −3.0 pp, since the maximum moved by"),
    ],
)
def test_how_it_moved(report: TenantReport, score: Course, percent: Course, words: str) -> None:
    said = told(report, score=score, percent=percent)
    assert words in said
    assert ("The percentage moved" in said) == (score.direction != percent.direction)


def test_a_swing_that_is_not_known_is_not_told(report: TenantReport) -> None:
    assert "usual week" not in told(report, score=course(9.0, "rose", None), percent=course(1.0, "rose", None))


@pytest.mark.parametrize(
    ("kind", "value", "met", "words"),
    [
        ("percent_min", 73.23, False, "The target of 75.00% is missed by 1.77 pp."),
        ("percent_min", 80.0, True, "The target of 75.00% is met, by 5.0 pp."),
        ("percent_min", None, None, "Whether the target of 75.00% is met cannot be said."),
        ("measured_percent_min", 70.0, False, "The target of 75.00% without asserted points is missed by 5.0 pp."),
        ("measured_percent_min", 76.0, True, "without asserted points is met, by 1.0 pp."),
        ("measured_percent_min", None, None, "Whether the target of 75.00% without asserted points is met cannot"),
        (None, None, None, "No target is set."),
    ],
)
def test_the_target(report: TenantReport, kind: str | None, value: float | None, met: bool | None, words: str) -> None:
    target = None if kind is None else TargetStanding(kind, None, 75.0, value, met)
    assert words in told(report, target=target)


def test_controls_that_must_be_full_and_are_not_are_named(report: TenantReport) -> None:
    one = report.scored[0]
    targets = tuple(
        TargetStanding("control", name, 5.0, 1.0, met)
        for name, met in ((one.control, False), ("Other", True), ("Third", None))
    )
    found = evolve(report, advice=evolve(report.advice, targets=targets))
    assert f"Below target: {one.title}." in told(found)
    assert "Below target" not in told(report)


def test_an_entry_of_several_units_has_no_states_and_no_average(report: TenantReport) -> None:
    said = told(evolve(report, source="defender_cloud"), comparable=None)
    assert "What happened" in said
    assert "What needs a decision" not in said
    assert "no average" not in said


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (22.62, "Tenants of 1 to 50 seats: 50.00% on average. This tenant is 22.62 pp above."),
        (-3.0, "This tenant is 3.0 pp below."),
        (0.0, "This tenant is level with them."),
    ],
)
def test_comparable_tenants(report: TenantReport, difference: float, words: str) -> None:
    peers = Comparative("TotalSeats", "1 to 50", "2026-06-30", 50.0, 50.0 + difference, difference)
    assert words in told(report, comparable=peers)
    assert "All tenants: 50.00%" in told(report, comparable=evolve(peers, basis="AllTenants", seats=None))
    assert "Microsoft sent no average" in told(report, comparable=None)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            MOVED,
            "20 Jun 2026: A second factor fell from 10.0 to 2.86 points. Cause: Configuration or compliance changed: ",
        ),
        (MOVED, "compliant users 7/7 → 2/7. Since 22 Jun 2026 it has them again. It happened 4 times in the period."),
        (
            evolve(MOVED, back_on=None, times=1, cause=UNKNOWN),
            "Nothing in the data proves a cause. It has not had them again.",
        ),
        (evolve(MOVED, delta=7.0, before=3.0, after=10.0, back_on=None), "rose from 3.0 to 10.0 points."),
        (DECLARED, "20 Jun 2026: alice declared A second factor as “Risk accepted”."),
        (evolve(DECLARED, by=None), "somebody declared"),
        (
            evolve(DECLARED, state_before="ThirdParty", state_after="Default"),
            "alice took back “Third party” for A second factor.",
        ),
    ],
)
def test_what_happened(report: TenantReport, one: Happening, words: str) -> None:
    assert words in told(report, happened=(one,))


def test_that_nothing_happened(report: TenantReport) -> None:
    assert "Nothing that weighs more than the usual up and down." in told(report, happened=())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "The catalogue has not been read yet: states are unknown."),
        (Decisions(True, 0, 0, 0, 0, None, None), "Nothing: no control is declared accepted or solved elsewhere."),
        (Decisions(True, 3, 0, 0, 0, 9, "2026-09-01"), "Nothing: none of the 3 exceptions in force is due."),
        (Decisions(True, 3, 0, 0, 0, 9, "2026-09-01"), "The next review is due on 1 Sept 2026."),
        (
            Decisions(False, 3, 0, 0, 1, 334, None),
            "3 exceptions are in force, and the configuration asks for no review of them.",
        ),
        (Decisions(False, 3, 0, 0, 1, 334, None), "The oldest is 334 days old. 1 has no comment."),
        (Decisions(False, 1, 0, 0, 0, None, None), "1 exception is in force"),
    ],
)
def test_decisions(report: TenantReport, found: Decisions | None, words: str) -> None:
    assert words in told(report, decisions=found)


def test_what_is_due_is_named_with_its_person_and_why(report: TenantReport) -> None:
    one = evolve((report.exceptions or ())[0], title="Mail", by="alice", state="Ignored", review_on="2026-06-01")
    many = tuple(evolve(one, control=f"c{n}", due=("review_overdue", "comment_missing")) for n in range(5))
    found = evolve(report, exceptions=many)
    said = told(found, decisions=Decisions(True, 5, 5, 5, 5, 400, None))
    assert "5 exceptions are due." in said
    assert "Risk accepted, by alice: the review was due on 1 Jun 2026 and a comment is missing." in said
    assert "2 more are in the register." in said


def test_what_to_do_next_with_the_score_if_it_were_done(report: TenantReport) -> None:
    then = report.brief.then
    assert then is not None
    said = told(report)
    count = len(report.brief.actions)
    after = f"{PEN.percent(report.summary.percent)} → {PEN.percent(then.percent)} ({PEN.points(then.score)} points)"
    assert f"If these {count} were done: {after}" in said
    for name in report.brief.actions:
        assert next(a.title for a in report.advice.actions if a.control == name) in said
    assert "Nothing that is open can be done" in told(report, actions=(), then=None)
    target = TargetStanding("percent_min", None, 75.0, 70.0, met=False)
    for met, words in ((True, "That would meet the target."), (False, "The target would still be missed.")):
        reached = evolve(then, targets=(evolve(target, met=met),))
        assert words in told(report, target=target, then=reached)


def test_titles_in_another_language_are_marked_and_told() -> None:
    made = evolve(simulated(7), language="de-DE")
    found = build.build(made, whole(made))
    markup = front.front(found, evolve(PEN, titles=found.language), "t1")
    assert "Titles and texts of controls are Microsoft's own, in German." in text(markup)
    assert 'lang="de-DE"' in markup


def test_every_text_that_the_report_names_is_there() -> None:
    """Also those of branches that no report here takes."""
    folder = Path(front.__file__).parent
    code = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    named = set(re.findall(r'(?:pen|self)(?:\.p|\.text|\.nothing)?\(\s*"([a-z_]+(?:\.\w+)?)"', code))
    named |= set(re.findall(r'"((?:column|quality|evidence)\.\w+)"', code))
    assert len(named) > 150
    assert named - set(PEN.say.texts) == set()


def test_a_brief_of_nothing_has_a_page(report: TenantReport) -> None:
    empty = Brief(course(None, "unknown"), course(None, "unknown"), None, None, (), None, (), None)
    assert "What to do next" in text(front.front(evolve(report, brief=empty, exceptions=None, days=()), PEN, "t1"))
