"""Write-back: what is compared, what is sent, what is believed; and that nothing that runs by itself can do it."""

import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import Factory, define, evolve

from connector.errors import Denied, SecureScoreError, Unavailable
from connector.model import PORTAL, STATES, Control, Profile, StateUpdate
from connector.net.client import Http
from connector.sources.requests import Throttled
from connector.writeback.apply import Result, Writer, apply
from connector.writeback.plan import Wanted, body_of, plan, refusal, state_of, wanted
from connector.writeback.record import Operator, change_of
from tests.fake_graph import JumpClock, root

ROOT = Path(__file__).parents[3]
NOW = "2026-11-22T12:30:00Z"
NEVER = StateUpdate("Default")
ASSERTED = StateUpdate("ThirdParty", "2026-11-10T08:00:00Z", "alice@contoso.example", "gateway")
ACCEPTED = StateUpdate("Ignored", "2026-11-01T08:00:00Z", "alice@contoso.example", "ticket 1", "bob@contoso.example")


def profile(*updates: StateUpdate, name: str = "AdminMFAV2") -> Profile:
    return Profile(name, "A title", max_score=10.0, updates=updates)


# -------------------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize(
    ("text", "state"),
    [
        *STATES.items(),
        *((portal, state) for state, portal in PORTAL.items()),
        ("ThirdParty", "ThirdParty"),
        ("thirdParty", "ThirdParty"),
        (" THIRD_PARTY ", "ThirdParty"),
        ("risk  accepted", "Ignored"),
        ("Planned", None),
        ("Completed", None),
        ("ignore", None),
        ("", None),
        ("-", None),
    ],
)
def test_states_are_understood_in_every_spelling(text: str, state: str | None) -> None:
    assert state_of(text) == state


@pytest.mark.parametrize(
    ("control", "state", "comment", "assigned", "words"),
    [
        ("", "ignored", "x", None, "control"),
        ("A\nB", "ignored", "x", None, "control"),
        ("A" * 300, "ignored", "x", None, "control"),
        ("A", "solved", "x", None, "solved"),
        ("A", "ignored", "", None, "comment is mandatory"),
        ("A", "ignored", " \t ", None, "comment is mandatory"),
        ("A", "ignored", "x" * 2001, None, "longer than 2000"),
        ("A", "ignored", "x\x1b[2J", None, "control characters"),
        ("A", "ignored", "x", "a\x00b", "control characters"),
        ("A", "ignored", "x", "a" * 300, "longer than 256"),
    ],
)
def test_useless_wishes_are_named(control: str, state: str, comment: str, assigned: str | None, words: str) -> None:
    wish, problems = wanted(control, state, comment, assigned)
    assert wish is None
    assert any(words in p for p in problems)


def test_all_that_is_wrong_with_a_wish_is_said_at_once() -> None:
    assert len(wanted("", "?", "")[1]) == 3


@pytest.mark.parametrize(
    ("now", "wish", "verdict"),
    [
        (ACCEPTED, Wanted("AdminMFAV2", "Ignored", "ticket 1"), "same"),
        (ACCEPTED, Wanted("AdminMFAV2", "Ignored", "ticket 1", "bob@contoso.example"), "same"),
        (ACCEPTED, Wanted("AdminMFAV2", "Ignored", "ticket 1", "eve@contoso.example"), "send"),
        (ACCEPTED, Wanted("AdminMFAV2", "Ignored", "ticket 1", ""), "send"),
        (ACCEPTED, Wanted("AdminMFAV2", "Ignored", "ticket 2"), "send"),
        (ACCEPTED, Wanted("AdminMFAV2", "Default", "ticket 1"), "send"),
        (NEVER, Wanted("AdminMFAV2", "Default", "whatever"), "same"),
        (NEVER, Wanted("AdminMFAV2", "Default", "whatever", "bob"), "send"),
        (evolve(NEVER, at=NOW), Wanted("AdminMFAV2", "Default", "whatever"), "send"),
        (None, Wanted("AdminMFAV2", "Default", "whatever"), "same"),
        (None, Wanted("AdminMFAV2", "Reviewed", "whatever"), "send"),
    ],
)
def test_only_a_difference_is_sent(now: StateUpdate | None, wish: Wanted, verdict: str) -> None:
    assert plan(wish, profile(*([now] if now else []))).verdict == verdict


def test_the_effective_state_is_compared_not_the_last_entry() -> None:
    older = StateUpdate("ThirdParty", "2026-10-01T00:00:00Z", "x", "y")
    assert plan(Wanted("AdminMFAV2", "Ignored", "ticket 1"), profile(ACCEPTED, older)).verdict == "same"


@pytest.mark.parametrize("name", ["scid_2010", "SCID_1"])
def test_device_controls_are_refused_before_anything_is_asked(name: str) -> None:
    early = refusal(Wanted(name, "Ignored", "x"))
    assert early is not None
    assert early.verdict == plan(Wanted(name, "Ignored", "x"), profile(name=name)).verdict == "refused"
    assert early.hint


@pytest.mark.parametrize(
    ("score", "updates", "state", "verdict"),
    [
        (10.0, (), "ThirdParty", "refused"),
        (10.0, (), "Default", "same"),
        (9.5, (), "ThirdParty", "send"),
        (None, (), "ThirdParty", "send"),
        (10.0, (ACCEPTED,), "Default", "send"),  # asserted, not measured: it may be taken back
        # Reset by mistake: what the newest day shows may be what was asserted, and may be asserted again.
        (10.0, (ASSERTED, evolve(NEVER, at="2026-11-22T08:00:00Z")), "ThirdParty", "send"),
        (10.0, (ASSERTED, evolve(NEVER, at="2026-11-23T08:00:00Z")), "ThirdParty", "send"),
        (10.0, (ASSERTED, evolve(NEVER, at="2026-11-21T23:59:59Z")), "ThirdParty", "refused"),
    ],
)
def test_a_completed_control_keeps_its_state(
    score: float | None, updates: tuple[StateUpdate, ...], state: str, verdict: str
) -> None:
    control = Control("AdminMFAV2", "Identity", score, None)
    planned = plan(Wanted("AdminMFAV2", state, "x"), profile(*updates), control, "2026-11-22")
    assert planned.verdict == verdict
    assert planned.hint or verdict != "refused"


def test_a_control_that_is_not_there_is_refused() -> None:
    assert plan(Wanted("Nothing", "Ignored", "x"), None).verdict == "refused"


def test_body_names_the_vendor_and_leaves_out_what_is_not_given() -> None:
    assert body_of(Wanted("A", "ThirdParty", "ticket")) == {
        "state": "ThirdParty",
        "comment": "ticket",
        "vendorInformation": {"provider": "SecureScore", "vendor": "Microsoft"},
    }
    assert body_of(Wanted("A", "ThirdParty", "ticket", ""))["assignedTo"] == ""


# ------------------------------------------------------------------------------------------------------------- apply


@define
class Tokens:
    refreshed: int = 0

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        self.refreshed += bool(refused)
        return f"write-token-{self.refreshed}"


@define
class Service:
    """A Graph that answers PATCH with the queued statuses, then 204; a 2xx takes effect unless `forgets`."""

    statuses: list[int] = Factory(list)
    forgets: bool = False
    lag: int = 0
    history: list[StateUpdate] = Factory(list)
    requests: list[tuple[str, dict[str, str], Any]] = Factory(list)
    reads: int = 0
    read_errors: dict[int, SecureScoreError] = Factory(dict)
    headers: dict[str, str] = Factory(dict)
    before_patch: Callable[["Service"], None] = lambda _: None
    _pending: list[tuple[int, StateUpdate]] = Factory(list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.raw_path, dict(request.headers), body))
        status = self.statuses.pop(0) if self.statuses else 204
        if (status < 300 or status == 503) and not self.forgets:
            update = StateUpdate(body["state"], NOW, "app", body["comment"], body.get("assignedTo"))
            self._pending.append((self.reads + self.lag, update))
        if status == 204:
            return web.Response(status=204)
        return web.json_response({"error": {"code": "", "message": "words"}}, status=status, headers=self.headers)

    async def control(self, name: str) -> Profile | None:
        self.reads += 1
        if self.reads in self.read_errors:
            raise self.read_errors[self.reads]
        self.history += [u for due, u in self._pending if due < self.reads]
        self._pending = [(due, u) for due, u in self._pending if due >= self.reads]
        shown = profile(*self.history, name=name)
        if self.reads == 1:
            self.before_patch(self)
        return shown


@asynccontextmanager
async def writing(service: Service, tokens: Tokens | None = None) -> AsyncIterator[Writer]:
    app = web.Application()
    app.router.add_route("PATCH", "/{path:.*}", service.handle)
    clock = JumpClock()
    http = Http(clock=clock, timeout_s=5)
    async with TestServer(app) as server:
        yield Writer(http, root(server), tokens or Tokens(), clock, random.Random(1))
    await http.close()


WISH = Wanted("AdminMFAV2", "Ignored", "ticket 7")


async def applied(service: Service, wish: Wanted = WISH) -> Result:
    planned = plan(wish, profile(*service.history, name=wish.control))
    async with writing(service) as writer:
        return await apply(planned, service, writer)


@pytest.mark.parametrize("status", [204, 200])
async def test_a_change_is_sent_once_and_read_back(status: int) -> None:
    service = Service(statuses=[status])
    result = await applied(service)
    assert (result.outcome, result.sent, result.detail) == ("success", True, f"HTTP {status}")
    ((path, headers, body),) = service.requests
    assert path == "/v1.0/security/secureScoreControlProfiles/AdminMFAV2"
    assert headers["Authorization"] == "Bearer write-token-0"
    assert headers["Content-Type"] == "application/json"
    assert body == body_of(WISH)
    assert service.reads == 2
    assert result.profile is not None
    assert result.profile.updates[-1].comment == "ticket 7"


async def test_names_are_encoded() -> None:
    service = Service()
    await applied(service, Wanted("62242.MDA_X/y", "Ignored", "x"))
    assert service.requests[0][0].endswith("/62242%2EMDA_X%2Fy")


async def test_nothing_is_sent_when_it_is_so_already() -> None:
    service = Service(history=[StateUpdate("Ignored", NOW, "x", "ticket 7")])
    result = await applied(service)
    assert (result.outcome, result.sent, service.requests, service.reads) == ("same", False, [], 0)


async def test_what_changed_since_the_plan_is_not_overwritten() -> None:
    service = Service(history=[ACCEPTED])
    planned = plan(WISH, profile(NEVER))
    async with writing(service) as writer:
        result = await apply(planned, service, writer)
    assert (result.outcome, service.requests) == ("refused", [])
    assert "alice@contoso.example" in result.detail


async def test_a_change_that_shows_late_is_waited_for() -> None:
    result = await applied(Service(lag=2))
    assert result.outcome == "success"


async def test_accepted_but_not_there_is_unconfirmed() -> None:
    """What the API did to "reviewed" in 2018: taken, and then it was Default."""
    service = Service(forgets=True)
    result = await applied(service)
    assert (result.outcome, result.sent, len(service.requests)) == ("unconfirmed", True, 1)
    assert "To address" in result.detail
    assert result.hint


async def test_an_answer_that_says_nothing_is_settled_by_reading_and_never_sent_twice() -> None:
    service = Service(statuses=[503])
    result = await applied(service)
    assert (result.outcome, len(service.requests)) == ("success", 1)
    lost = Service(statuses=[503], forgets=True)
    result = await applied(lost)
    assert (result.outcome, len(lost.requests)) == ("unconfirmed", 1)


def _somebody_else(service: Service) -> None:
    """Sets the same state just when our PATCH is lost."""
    service.history.append(StateUpdate("Ignored", NOW, "mallory@contoso.example", "my own reasons"))


async def test_the_same_state_set_by_somebody_else_confirms_nothing() -> None:
    service = Service(statuses=[503], forgets=True, before_patch=_somebody_else)
    result = await applied(service)
    assert (result.outcome, len(service.requests)) == ("unconfirmed", 1)
    assert "mallory@contoso.example" in result.detail


@pytest.mark.parametrize(
    ("kept", "outcome"),
    [
        (StateUpdate("Ignored", NOW, "app", "ticket 7", "bob"), "success"),
        (StateUpdate("Ignored", NOW, "app", " ticket\r\n7 ", "bob"), "success"),
        (StateUpdate("Ignored", NOW, "app", "ticket 8", "bob"), "unconfirmed"),
        (StateUpdate("Ignored", NOW, "app", "ticket 7", "eve"), "unconfirmed"),
        (StateUpdate("Ignored", NOW, "app", "ticket 7", None), "unconfirmed"),
        (StateUpdate("Ignored", NOW, "app", None, "bob"), "unconfirmed"),
    ],
)
async def test_only_what_was_asked_for_confirms(kept: StateUpdate, outcome: str) -> None:
    service = Service(forgets=True, before_patch=lambda s: s.history.append(kept))
    assert (await applied(service, Wanted("AdminMFAV2", "Ignored", "ticket 7", "bob"))).outcome == outcome


async def test_unreadable_afterwards_is_unconfirmed() -> None:
    service = Service(read_errors={n: Unavailable("gone") for n in range(2, 20)})
    assert (await applied(service)).outcome == "unconfirmed"
    denied = Service(read_errors={2: Denied("no longer")})
    assert (await applied(denied)).outcome == "unconfirmed"
    assert denied.reads == 2


@pytest.mark.parametrize(("status", "stops"), [(400, False), (404, False), (409, False), (403, True)])
async def test_a_refusal_is_a_failure_with_the_services_words(status: int, stops: bool) -> None:
    service = Service(statuses=[status])
    result = await applied(service)
    assert (result.outcome, result.sent, result.stops) == ("failure", True, stops)
    assert "words" in result.detail
    assert result.hint
    assert len(service.requests) == 1


async def test_401_is_answered_with_one_new_token() -> None:
    service, tokens = Service(statuses=[401]), Tokens()
    async with writing(service, tokens) as writer:
        assert (await apply(plan(WISH, profile()), service, writer)).outcome == "success"
    assert [headers["Authorization"][-1] for _, headers, _ in service.requests] == ["0", "1"]
    service = Service(statuses=[401, 401])
    result = await applied(service)
    assert (result.outcome, result.stops, len(service.requests)) == ("failure", True, 2)
    assert "ReadWrite" in result.hint


async def test_429_is_sent_again_after_the_servers_wish_and_given_up_when_it_is_too_long() -> None:
    service = Service(statuses=[429, 429], headers={"Retry-After": "7"})
    async with writing(service) as writer:
        result = await apply(plan(WISH, profile()), service, writer)
        assert isinstance(writer.clock, JumpClock)
        assert [s for s in writer.clock.slept if s >= 7] == [7.0, 7.0]
    assert (result.outcome, len(service.requests)) == ("success", 3)
    service = Service(statuses=[429], headers={"Retry-After": "315"})
    result = await applied(service)
    assert (result.outcome, result.stops, len(service.requests)) == ("failure", True, 1)


@pytest.mark.parametrize("error", [Denied("no"), Unavailable("later"), Throttled("busy", 60.0)])
async def test_without_a_comparison_nothing_is_sent(error: SecureScoreError) -> None:
    service = Service(read_errors={1: error})
    result = await applied(service)
    assert (result.outcome, result.sent, result.stops, service.requests) == ("failure", False, True, [])


async def test_no_token_in_results() -> None:
    for status in (204, 403, 503):
        assert "write-token" not in repr(await applied(Service(statuses=[status])))
    async with writing(Service()) as writer:
        assert "write-token" not in repr(writer)


# ------------------------------------------------------------------------------------------------------------- event


def test_the_event_names_operator_states_and_outcome() -> None:
    result = Result(plan(WISH, profile(ACCEPTED)), "success", "HTTP 204", sent=True)
    change = change_of(result, Operator("svc", "host-1", "Alice Example"), None, NOW)
    assert (change.type, change.subject, change.occurred_at) == ("connector.write_back", "AdminMFAV2", NOW)
    data = change.data
    assert data["before"]["comment"] == "ticket 1"
    assert data["after"] == {
        "state": "Ignored",
        "comment": "ticket 7",
        "assigned_to": "bob@contoso.example",
        "updated_by": "Alice Example (svc@host-1)",
    }
    assert data["operator"] == {"os_user": "svc", "host": "host-1", "name": "Alice Example"}
    assert (data["outcome"], data["detail"]) == ("success", "HTTP 204")
    json.dumps(data)


def test_the_same_change_at_another_time_is_another_event() -> None:
    result = Result(plan(WISH, profile(ACCEPTED)), "success", sent=True)
    who = Operator("svc", "host-1")
    first, second = change_of(result, who, None, NOW), change_of(result, who, None, "2026-11-22T12:31:00Z")
    assert (first.before, first.after) != (second.before, second.after)
    assert change_of(result, who, None, NOW) == first


# -------------------------------------------------------------------------------------------- who cannot do any of it


def test_the_daemon_never_loads_what_writes() -> None:
    code = """
import sys
import connector.app, connector.observe.poller, connector.deliver.delivery
import connector.cli.run, connector.cli.once, connector.cli.main
import connector.sources.graph, connector.sources.files
import connector.registry
for kind in connector.registry.SINKS: connector.registry.sink_module(kind)
print([name for name in sys.modules if name.startswith("connector.writeback")])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_only_one_module_knows_the_word_that_changes_anything() -> None:
    """Every request names its method as a word: PATCH stands in one module outside of the simulator."""
    sources = [p for p in (ROOT / "connector").rglob("*.py") if "simulator" not in p.parts]
    sources += (ROOT / "sinks").glob("*.py")
    assert [p.name for p in sources if '"PATCH"' in p.read_text()] == ["apply.py"]
