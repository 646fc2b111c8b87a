"""The Sentinel sink against the endpoint in memory, with Microsoft's real client: every answer and what follows."""

import asyncio
import sys
from typing import Any

import pytest
from attrs import evolve

from connector.config.parse import parse
from connector.config.values import AuthConfig, NetworkConfig
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.model import Receipt, Record
from connector.net.http import Response
from connector.options import TYPES
from sinks import sentinel
from sinks.sentinel import ENDPOINTS_AT_ONCE, OPTIONS, Rule, Rules, SentinelSink, build, judge, root, scope
from tests.config_example import minimal
from tests.fake_graph import JumpClock
from tests.fakes.ingestion import RULE, TOKEN, Credential, Fault, Service, Wire, declared
from tests.fakes.virtual_time import virtually

ENDPOINT = "https://dce.westeurope-1.ingest.monitor.azure.com"
STREAMS = {"change": "Custom-Change_CL", "health": "Custom-Health_CL"}
COLUMNS = declared({"TimeGenerated": "datetime", "EventId": "string", "Number": "int", "Text": "string"})
OTHER = "dcr-00000000000000000000000000000002"


class Bench:
    """A sink, the endpoint it sends to, and what it signs in with."""

    def __init__(self, rules: Rules | None = None, credential: Credential | None = None) -> None:
        tables = dict.fromkeys(STREAMS.values(), COLUMNS)
        self.service = Service(JumpClock(), {RULE: dict(tables), OTHER: dict(tables)})
        self.wire = Wire(self.service)
        self.credential = credential or Credential()
        self.sink = SentinelSink("s", rules or Rules(Rule(ENDPOINT, RULE), STREAMS), self.wire, self.credential)

    async def send(self, *records: Record) -> Receipt:
        return await self.sink.send(records)

    async def fails(self, *records: Record) -> SecureScoreError:
        with pytest.raises(SecureScoreError) as caught:
            await self.sink.send(records)
        return caught.value


def rec(n: int, stream: str = "change", tenant: str = "contoso", **columns: Any) -> Record:
    row = {"TimeGenerated": "2026-11-22T09:12:03Z", "EventId": f"id-{n}", **columns}
    return Record(f"id-{n}", stream, tenant, "2026-11-22T09:12:03Z", 1, row)


def bad(n: int, **options: Any) -> Record:
    return rec(n, Number="many", **options)


def taken(*numbers: int) -> Receipt:
    return Receipt(accepted=frozenset(f"id-{n}" for n in numbers))


# ------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, Unavailable),
        (202, Unavailable),
        (307, Denied),
        (400, Unavailable),
        (401, Denied),
        (403, Denied),
        (404, Denied),
        (405, Denied),
        (407, Denied),
        (408, Unavailable),
        (410, Denied),
        (413, Unavailable),
        (415, Denied),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
@pytest.mark.parametrize("kind", ["status", "html"])
async def test_every_answer_but_204_is_no_success_and_tells_what_to_do(
    status: int, error: type[SecureScoreError], kind: str
) -> None:
    bench = Bench()
    bench.service.next.extend([Fault(kind, status)] * (2 if status == 401 else 1))
    caught = await bench.fails(rec(1))
    assert isinstance(caught, error)
    assert f"HTTP {status}" in caught.what
    assert caught.hint
    assert await bench.send(rec(1)) == taken(1)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Monitoring Metrics Publisher"),
        (404, "rule_id"),
        (400, "sentinel.yaml"),
        (200, "proxies that inspect TLS"),
    ],
)
async def test_the_hint_names_the_usual_cause(status: int, words: str) -> None:
    bench = Bench()
    bench.service.next.append(Fault("status", status))
    assert words in (await bench.fails(rec(1))).hint


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "Thu, 10 Jan 2030 12:01:00 GMT"}, 60.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"Retry-After": "3", "retry-after-ms": "1500"}, 3.0),
        ({"retry-after-ms": "-5"}, None),
        ({"retry-after-ms": "soon", "Retry-After": "soon"}, None),
        ({"retry-after-ms": "999999999999"}, 86_400.0),
    ],
)
async def test_the_services_wish_to_wait_is_passed_on(headers: dict[str, str], wish: float | None) -> None:
    bench = Bench()
    bench.service.next.append(Fault("status", 429, tuple(headers.items())))
    caught = await bench.fails(rec(1))
    assert isinstance(caught, Unavailable)
    assert caught.retry_after_s == wish


async def test_the_services_words_are_told_with_its_request_id() -> None:
    bench = Bench()
    bench.service.next.append(Fault("status", 503))
    what = (await bench.fails(rec(1))).what
    assert what == "Logs Ingestion: HTTP 503 (Code503: an answer of the test) [x-ms-request-id request-503]"


def test_a_hostile_answer_makes_one_bounded_line() -> None:
    body = b'{"error": {"code": "a\\nb", "message": "' + b"x" * 9000 + b'"}}'
    fact = judge(Response(500, {"x-ms-request-id": "r\n" * 900}, body, JumpClock().now())).fact
    assert fact.isprintable()
    assert len(fact) < 600


# --------------------------------------------------------------------------------------------------------------- tokens


async def test_a_refused_token_is_replaced_once() -> None:
    bench = Bench(credential=Credential(["expired", TOKEN]))
    assert await bench.send(rec(1)) == taken(1)
    assert bench.credential.forgotten == 1
    assert len(bench.service.asked) == 2


async def test_a_token_that_stays_refused_is_the_operators() -> None:
    bench = Bench(credential=Credential(["expired", "expired too", TOKEN]))
    caught = await bench.fails(rec(1))
    assert isinstance(caught, Denied)
    assert "credential" in caught.hint
    assert len(bench.service.asked) == 2


@pytest.mark.parametrize("error", [Denied("the secret expired", "renew it"), Unavailable("no sign-in", 30.0, "wait")])
async def test_a_sign_in_that_fails_says_why_in_its_own_words(error: SecureScoreError) -> None:
    bench = Bench(credential=Credential(error=error))
    assert await bench.fails(rec(1)) is error


async def test_another_libraries_credential_may_fail_too() -> None:
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError  # noqa: PLC0415

    refused = Bench(credential=Credential(error=ClientAuthenticationError("secret words")))
    caught = await refused.fails(rec(1))
    assert isinstance(caught, Denied)
    assert "secret words" not in str(caught)
    absent = Bench(credential=Credential(error=ServiceRequestError("no route")))
    assert isinstance(await absent.fails(rec(1)), Unavailable)


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        (ENDPOINT, "https://monitor.azure.com/.default"),
        ("https://x.usgovvirginia-1.ingest.monitor.azure.us", "https://monitor.azure.us/.default"),
        ("https://x.chinanorth-1.ingest.monitor.azure.cn", "https://monitor.azure.cn/.default"),
        ("https://localhost:1", "https://monitor.azure.com/.default"),
        ("https://azure.us.example", "https://monitor.azure.com/.default"),
    ],
)
async def test_the_token_is_for_the_endpoints_cloud(endpoint: str, audience: str) -> None:
    assert scope(endpoint) == audience
    bench = Bench(Rules(Rule(endpoint, RULE), STREAMS))
    await bench.send(rec(1))
    assert bench.credential.scopes == [audience]


# ------------------------------------------------------------------------------------------------------ parts and sizes


async def test_each_stream_of_ours_has_a_stream_of_the_rule() -> None:
    bench = Bench()
    await bench.send(rec(1), rec(2, "health"), rec(3))
    assert [(s.stream, s.row["EventId"]) for s in bench.service.stored] == [
        ("Custom-Change_CL", "id-1"),
        ("Custom-Change_CL", "id-3"),
        ("Custom-Health_CL", "id-2"),
    ]


async def test_a_stream_without_one_is_rejected_with_the_reason() -> None:
    receipt = await Bench().send(rec(1), rec(2, "score"))
    assert receipt.accepted == {"id-1"}
    assert receipt.rejected == {"id-2": "`streams` names no stream of the rule for score"}


async def test_bodies_stay_below_a_million_bytes() -> None:
    bench = Bench()
    records = [rec(n, Text="x" * 60_000) for n in range(40)]
    assert await bench.send(*records) == taken(*range(40))
    assert [asked.size <= 1_000_000 for asked in bench.service.asked] == [True] * 3
    assert bench.service.ids() == [f"id-{n}" for n in range(40)]


async def test_nothing_is_cut_by_the_service_unseen() -> None:
    bench = Bench()
    assert await bench.send(rec(1, Text="é" * 500_000), rec(2, Text="x" * 2_000_000)) == taken(1, 2)
    assert bench.service.truncated == 0
    assert all(str(stored.row["Text"]).endswith("...[cut]") for stored in bench.service.stored)


async def test_too_large_is_halved_until_it_fits() -> None:
    bench = Bench()
    bench.service.max_plain_bytes = 20_000
    assert await bench.send(*(rec(n, Text="x" * 900) for n in range(40))) == taken(*range(40))
    assert bench.service.ids() == [f"id-{n}" for n in range(40)]
    assert len(bench.service.asked) <= 7


async def test_one_record_too_large_for_a_gateway_is_rejected() -> None:
    bench = Bench()
    bench.service.max_plain_bytes = 12_000
    receipt = await bench.send(rec(1), rec(2, Text="x" * 15_000), rec(3))
    assert receipt.accepted == {"id-1", "id-3"}
    assert "HTTP 413 (ContentLengthLimitExceeded" in receipt.rejected["id-2"]


async def test_what_calls_a_small_record_too_large_is_broken_and_no_record_at_fault() -> None:
    bench = Bench()
    await bench.send(rec(1))
    bench.service.max_plain_bytes = 0
    assert isinstance(await bench.fails(rec(2), rec(3)), Unavailable)


# ---------------------------------------------------------------------------------------------------------- bad records


async def test_bad_records_are_isolated_with_the_services_words() -> None:
    bench = Bench()
    receipt = await bench.send(*(bad(n) if n in (0, 7, 8, 31) else rec(n) for n in range(32)))
    assert receipt.accepted == {f"id-{n}" for n in range(32) if n not in (0, 7, 8, 31)}
    assert set(receipt.rejected) == {"id-0", "id-7", "id-8", "id-31"}
    assert "HTTP 400 (InvalidRecord: record 0: column 'Number' is no int)" in receipt.rejected["id-7"]
    assert bench.service.ids() == [f"id-{n}" for n in range(32) if n not in (0, 7, 8, 31)]


async def test_a_stream_that_never_took_a_row_is_held_instead() -> None:
    """Then it may be the schema that is wrong, and nothing may be parked for it."""
    bench = Bench()
    caught = await bench.fails(bad(1))
    assert isinstance(caught, Unavailable)
    assert "sentinel.yaml" in caught.hint
    assert "Custom-Change_CL took no row yet and refuses: Logs Ingestion: HTTP 400 (InvalidRecord" in caught.what
    assert await bench.send(rec(2)) == taken(2)
    assert set((await bench.send(bad(1))).rejected) == {"id-1"}, "it took one earlier"


async def test_the_proof_of_one_stream_is_none_for_another() -> None:
    bench = Bench()
    receipt = await bench.send(rec(1), bad(2, stream="health"))
    assert receipt == taken(1), "the other one waits"


async def test_a_wrong_schema_costs_few_requests() -> None:
    bench = Bench()
    assert isinstance(await bench.fails(*(bad(n) for n in range(1000))), Unavailable)
    assert len(bench.service.asked) < 80


async def test_a_stream_that_takes_no_row_any_more_is_what_is_wrong() -> None:
    """Somebody changed the rule: that parks no thousand rows, nor asks for each of them."""
    bench = Bench()
    assert await bench.send(rec(1)) == taken(1)
    caught = await bench.fails(*(bad(n) for n in range(1000)))
    assert isinstance(caught, Unavailable)
    assert "takes no row any more" in caught.what
    assert len(bench.service.asked) < 80


async def test_many_bad_records_in_front_do_not_block_good_ones() -> None:
    bench = Bench()
    receipt = await bench.send(*(bad(n) for n in range(100)), *(rec(n) for n in range(100, 110)))
    assert receipt.accepted == {f"id-{n}" for n in range(100, 110)}
    assert len(receipt.rejected) == 100
    assert sorted(bench.service.ids()) == [f"id-{n}" for n in range(100, 110)]


async def test_what_was_taken_before_a_fault_is_in_the_receipt() -> None:
    bench = Bench()
    records = [rec(n, Text="x" * 60_000) for n in range(40)]
    bench.service.requests_per_minute = 1
    assert await bench.sink.send(records) == evolve(taken(*range(16)), retry_after_s=61.0)
    caught = await bench.fails(*records[16:])
    assert isinstance(caught, Unavailable)
    assert caught.retry_after_s == 61.0


async def test_a_wish_of_one_customers_rule_does_not_slow_the_others() -> None:
    """A rule's limits are its own, even behind one endpoint; its other streams share them."""
    bench = Bench(Rules(Rule(ENDPOINT, RULE), STREAMS, {"fabrikam": Rule(ENDPOINT, OTHER)}))
    bench.service.next.append(Fault("status", 429, (("Retry-After", "600"),)))
    assert await bench.send(rec(1), rec(2, "health"), rec(3, tenant="fabrikam")) == taken(3)
    assert bench.service.ids() == ["id-3"]


# --------------------------------------------------------------------------------------------------------------- faults


async def test_a_wrong_stream_holds_back_its_own_events_only() -> None:
    bench = Bench()
    del bench.service.rules[RULE]["Custom-Change_CL"]
    assert await bench.send(rec(1), rec(2, "health"), rec(3)) == taken(2)
    caught = await bench.fails(rec(1), rec(3))
    assert isinstance(caught, Denied)
    assert "not configured for stream" in caught.what


async def test_an_endpoint_that_is_away_is_asked_once_a_batch() -> None:
    bench = Bench()
    bench.service.load = 503
    assert isinstance(await bench.fails(rec(1), rec(2, "health")), Unavailable)
    assert len(bench.service.asked) == 1


def test_endpoints_that_hang_delay_a_batch_by_one_of_them_not_by_all() -> None:
    async def scenario() -> None:
        own = {f"t{n}": Rule(f"https://hung{n}.ingest.monitor.azure.com", OTHER) for n in range(ENDPOINTS_AT_ONCE - 1)}
        bench = Bench()

        class Slow(Wire):
            async def request(self, method: str, url: str, **more: Any) -> Response:
                if "hung" in url:
                    await asyncio.sleep(30)
                    raise Unavailable("no answer within 30 s")
                return await Wire.request(self, method, url, **more)

        sink = SentinelSink("s", Rules(Rule(ENDPOINT, RULE), STREAMS, own), Slow(bench.service), bench.credential)
        records = [rec(n, tenant=f"t{n}") for n in range(len(own))]
        assert await sink.send([*records, rec(100)]) == taken(100)
        assert asyncio.get_running_loop().time() <= 31
        await sink.close()

    virtually(scenario())


async def test_after_closing_nothing_is_sent() -> None:
    """The credential ends its threads with the sink."""
    bench = Bench()
    await bench.sink.close()
    assert isinstance(await bench.fails(rec(1)), Unavailable)
    assert bench.service.asked == []
    assert (bench.wire.closed, bench.credential.closed) == (1, 1)


async def test_one_record_is_an_array_too() -> None:
    """A bare object is taken with 204 and never appears."""
    bench = Bench()
    await bench.send(rec(1))
    assert bench.service.vanished == 0
    assert bench.service.ids() == ["id-1"]


# -------------------------------------------------------------------------------------------------------------- routing

ROUTED = Rules(
    Rule(ENDPOINT, RULE),
    STREAMS,
    {"fabrikam": Rule("https://fabrikam.ingest.monitor.azure.com", OTHER)},
)


async def test_each_customers_events_reach_that_customers_rule_only() -> None:
    bench = Bench(ROUTED)
    tenants = {n: ("fabrikam", "contoso", "")[n % 3] for n in range(60)}
    records = [rec(n, ("change", "health")[n % 2], tenant, Text=tenant) for n, tenant in tenants.items()]
    assert await bench.send(*records) == taken(*range(60))
    found = {rule: {s.row["Text"] for s in bench.service.stored if s.rule_id == rule} for rule in (RULE, OTHER)}
    assert found == {RULE: {"contoso", ""}, OTHER: {"fabrikam"}}


@pytest.mark.parametrize("fault", [Fault("status", 403), Fault("reset_before"), Fault("status", 500)])
async def test_a_customers_broken_rule_neither_blocks_nor_diverts(fault: Fault) -> None:
    bench = Bench(ROUTED)
    bench.service.next.append(evolve(fault, path=OTHER))  # whichever of the two rules is asked first
    assert await bench.send(rec(1, tenant="fabrikam"), rec(2), rec(3, tenant="fabrikam")) == taken(2)
    assert {(s.rule_id, s.row["EventId"]) for s in bench.service.stored} == {(RULE, "id-2")}


async def test_a_customers_rule_may_lie_in_the_customers_directory() -> None:
    """The same app signs in there: each rule sees its own directory's token only; a refused one is renewed there."""
    theirs = Credential(tokens=["theirs-old", "theirs"])
    rules = Rules(ROUTED.own, STREAMS, {"fabrikam": Rule(ENDPOINT, OTHER, "dir-fabrikam")})
    bench = Bench(rules, Credential(others={"dir-fabrikam": theirs}))
    bench.service.grants = {TOKEN: {RULE}, "theirs": {OTHER}}
    assert await bench.send(rec(1), rec(2, tenant="fabrikam"), rec(3, "health")) == taken(1, 2, 3)
    assert {(s.rule_id, s.row["EventId"]) for s in bench.service.stored} == {
        (RULE, "id-1"), (OTHER, "id-2"), (RULE, "id-3"),
    }  # fmt: skip
    assert (bench.credential.forgotten, theirs.forgotten) == (0, 1)


async def test_a_payload_cannot_choose_its_rule() -> None:
    """What an event says of itself, names and labels included, moves nothing: only the record's tenant counts."""
    bench = Bench(ROUTED)
    hostile = rec(1, TenantName="fabrikam", rule_id=OTHER, Labels={"rule_id": OTHER})
    assert await bench.send(hostile) == taken(1)
    assert bench.service.stored[0].rule_id == RULE


async def test_a_tenant_without_a_rule_of_its_own_may_be_refused() -> None:
    rules = Rules(ROUTED.own, STREAMS, ROUTED.routes, "reject")
    receipt = await Bench(rules).send(rec(1), rec(2, tenant="fabrikam"), rec(3, tenant=""))
    assert receipt.accepted == {"id-2", "id-3"}, "the connector's own events are nobody's"
    assert "contoso has no rule of its own" in receipt.rejected["id-1"]


# ---------------------------------------------------------------------------------------------------------------- probe


async def test_probe_asks_every_stream_of_every_rule_and_stores_nothing() -> None:
    bench = Bench(ROUTED)
    await bench.sink.probe()
    assert len(bench.service.asked) == 4
    assert bench.service.stored == []


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (404, Denied), (503, Unavailable), (200, Unavailable)])
async def test_probe_tells_what_is_wrong(status: int, error: type[SecureScoreError]) -> None:
    bench = Bench()
    bench.service.next.append(Fault("status", status))
    with pytest.raises(error):
        await bench.sink.probe()


async def test_probe_takes_a_refused_empty_array_for_an_answer() -> None:
    bench = Bench()
    bench.service.next.append(Fault("status", 400))
    await bench.sink.probe()


async def test_probe_sees_a_missing_stream() -> None:
    bench = Bench()
    del bench.service.rules[RULE]["Custom-Health_CL"]
    with pytest.raises(Denied, match="Custom-Health_CL"):
        await bench.sink.probe()


# -------------------------------------------------------------------------------------------------------- configuration

GIVEN = {"endpoint": ENDPOINT, "rule_id": RULE}


def test_declares_options_of_known_types() -> None:
    assert all(option.type in TYPES and option.doc for option in OPTIONS.values())
    assert [name for name, option in OPTIONS.items() if option.required] == ["endpoint", "rule_id", "auth"]


def test_a_configuration_brings_its_streams_along() -> None:
    raw = minimal(sinks=[{"name": "s", "kind": "sentinel", **GIVEN, "auth": {"kind": "managed_identity"}}])
    (sink,) = parse(raw, sink_options={"sentinel": OPTIONS}.get).sinks
    assert sink.stream_targets["health"] == "Custom-SecureScoreHealth_CL"
    assert sink.streams == ("score", "inventory", "change", "health")
    raw["sinks"][0]["streams"] = {"change": "Custom-Own_CL"}
    (sink,) = parse(raw, sink_options={"sentinel": OPTIONS}.get).sinks
    assert sink.stream_targets == {"change": "Custom-Own_CL"}
    assert sink.streams == ("change",)


async def test_builds_from_options_alone() -> None:
    raw = minimal(sinks=[{"name": "s", "kind": "sentinel", **GIVEN, "auth": {"kind": "managed_identity"}}])
    (config,) = parse(raw, sink_options={"sentinel": OPTIONS}.get).sinks
    sink = build("s", config.options, config.network)
    assert sink.name == "s"
    await sink.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://dce.ingest.monitor.azure.com",
        "http://localhost:1",
        "https://user:pa55word@dce.ingest.monitor.azure.com",
        "https://dce.ingest.monitor.azure.com/dataCollectionRules/dcr-1",
        "https://dce.ingest.monitor.azure.com?x=1",
        "https://",
        "dce.ingest.monitor.azure.com",
    ],
)
def test_an_unfit_endpoint_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build("s", {**GIVEN, "endpoint": endpoint}, NetworkConfig(), credential=Credential())
    assert str(caught.value).startswith("sinks.s.endpoint: ")
    assert "pa55word" not in str(caught.value)


def test_a_trailing_slash_is_no_path() -> None:
    assert root(ENDPOINT + "/") == ENDPOINT


@pytest.mark.parametrize("rule_id", ["", "my-rule", "dcr-../../x", "dcr-a b", "/subscriptions/1/x", "dcr-1?x=1"])
def test_only_an_immutable_id_is_a_rule(rule_id: str) -> None:
    with pytest.raises(ConfigError, match="immutable id"):
        build("s", {**GIVEN, "rule_id": rule_id}, NetworkConfig(), credential=Credential())


def test_all_problems_are_told_at_once() -> None:
    options = {"endpoint": "http://x", "rule_id": "x", "streams": {"change": "../other"}}
    routes = {
        "contoso": {"endpoint": "https://other.example"},
        "fabrikam": {"rule_id": "x", "endpoint": "https://h/p"},
        "tailspin": {"rule_tenant_id": OTHER},
        "wingtip": {"endpoint": ENDPOINT, "rule_id": RULE, "rule_tenant_id": OTHER},
    }
    with pytest.raises(ConfigError) as caught:
        build("s", {**options, "auth": AuthConfig("managed_identity")}, NetworkConfig(), routes, Credential())
    places = [problem.split(": ")[0] for problem in caught.value.problems]
    assert places == [
        "sinks.s.endpoint",
        "sinks.s.rule_id",
        "tenants.contoso.endpoint",
        "tenants.fabrikam.endpoint",
        "tenants.fabrikam.rule_id",
        "tenants.tailspin.rule_tenant_id",
        "tenants.wingtip.rule_tenant_id",
        "sinks.s.streams.change",
    ]


def test_a_route_may_share_the_sinks_endpoint() -> None:
    sink = build("s", GIVEN, NetworkConfig(), {"fabrikam": {"rule_id": OTHER}, "contoso": {}}, Credential())
    assert sink._rules.routes == {"fabrikam": Rule(ENDPOINT, OTHER)}


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("azure.monitor")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "azure.monitor", None)
    with pytest.raises(ConfigError, match="azure-monitor-ingestion") as caught:
        build("s", GIVEN, NetworkConfig(), credential=Credential())
    assert caught.value.hint == "pip install 'secure-score-connector[sentinel]'"


def test_importing_the_sink_brings_no_azure_library() -> None:
    import subprocess  # noqa: PLC0415

    code = "import sys, sinks.sentinel; sys.exit(any(name.startswith('azure') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert sentinel.__doc__
