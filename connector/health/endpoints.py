"""/healthz, /readyz and /metrics: what the daemon tells about itself on a port of its own.

Nothing is decided here and nothing counted (counters.py). prometheus-client is imported by the first scrape.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from connector.clock import parse_iso
from connector.health.counters import LATENCY_BUCKETS_S, Counters
from connector.health.overview import Facts, SinkFacts
from connector.health.scores import MAX_CONTROL_FIGURES, MAX_UNIT_FIGURES, UnitScore

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    Gauge = Callable[[str, str, Sequence[str], Mapping[Any, float]], Metric]

MAX_REASON_CHARS = 300


def unready(counters: Counters, facts: Facts) -> list[str]:
    """Why no events can be expected to come in and go out now; [] when they can."""
    reasons = [f"loop {name} makes no progress" for name in facts.stalled]
    if facts.stopping:
        reasons.append("stopping")
    if facts.stats is None:
        reasons.append("the state cannot be read")
    reasons += [f"the state takes nothing: {what}"[:MAX_REASON_CHARS] for what in facts.trouble]
    if facts.full:
        reasons.append("the outbox is full: polling pauses")
    states = counters.states()
    if counters.names and states["pending"] == len(counters.names):
        reasons.append("no tenant was polled yet")
    if counters.names and states["failing"] == len(counters.names):
        why = ", ".join(sorted({seen.reason for seen in counters.tenants.values()}))
        reasons.append(f"no tenant can be read ({why})")
    for name, sink in facts.sinks.items():
        if sink.state in ("unavailable", "denied"):
            reasons.append(f"sink {name} is {sink.state}: {sink.error}"[:MAX_REASON_CHARS])
    return reasons


def warnings(counters: Counters) -> list[str]:
    """What an operator should look at although all is running."""
    return [f"the new configuration was refused: {counters.refused}"[:MAX_REASON_CHARS]] if counters.refused else []


def metrics(counters: Counters, facts: Facts, version: str) -> bytes:
    """The text of /metrics. Names and units follow the conventions of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only a daemon is scraped
    from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)

    class Once:
        def collect(self) -> Iterator["Metric"]:
            return _families(counters, facts, version)

    registry.register(Once())
    return generate_latest(registry)


def _families(counters: Counters, facts: Facts, version: str) -> Iterator["Metric"]:
    from prometheus_client.metrics_core import (  # noqa: PLC0415
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    def gauge(name: str, doc: str, labels: Sequence[str], values: Mapping[Any, float]) -> "Metric":
        family = GaugeMetricFamily(f"securescore_{name}", doc, labels=labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family

    def counter(name: str, doc: str, labels: Sequence[str], values: Mapping[Any, float]) -> "Metric":
        family = CounterMetricFamily(f"securescore_{name}", doc, labels=labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family

    now = facts.now
    yield gauge("build_info", "The version that is running.", ["version"], {(version,): 1})
    yield gauge("ready", "1 when /readyz answers 200.", [], {(): 0 if unready(counters, facts) else 1})
    yield counter("polls", "Polls by outcome.", ["status", "reason"], {k: float(n) for k, n in counters.polls.items()})
    yield counter("events_committed", "Events that tenants gave rise to.", [], {(): counters.committed})
    yield gauge(
        "tenants", "Tenants by state.", ["state"], {(state,): float(n) for state, n in counters.states().items()}
    )
    ages = {
        (name,): (now - parse_iso(seen.newest_day)).total_seconds()
        for name, seen in counters.tenants.items()
        if seen.newest_day
    }
    yield gauge("tenant_data_age_seconds", "Time since the tenant's newest day began.", ["tenant"], ages)
    succeeded = {
        (name,): seen.succeeded_at.timestamp()
        for name, seen in counters.tenants.items()
        if seen.succeeded_at is not None
    }
    yield gauge("tenant_last_success_timestamp_seconds", "The tenant's last complete poll.", ["tenant"], succeeded)
    failing = {(name,): float(seen.status == "failed") for name, seen in counters.tenants.items()}
    yield gauge("tenant_failing", "1 when the tenant's latest poll read nothing.", ["tenant"], failing)
    yield from _score_families(counters, gauge)
    yield counter(
        "http_responses",
        "Answers to reading and signing in, by HTTP status; 429 is throttling.",
        ["status"],
        {(str(status),): float(n) for status, n in counters.answers.items()},
    )
    delivered = {(sink, stream): float(n) for sink, seen in facts.sinks.items() for stream, n in seen.delivered.items()}
    yield counter("sink_delivered_events", "Events a sink has accepted.", ["sink", "stream"], delivered)
    yield counter(
        "sink_sends",
        "Batches offered, by outcome.",
        ["sink", "outcome"],
        {k: float(n) for k, n in counters.sends.items()},
    )
    states = {
        (name, state): float(seen.state == state)
        for name, seen in facts.sinks.items()
        for state in ("ok", "unavailable", "denied", "untried")
    }
    yield gauge("sink_state", "1 for the state the sink is in.", ["sink", "state"], states)
    failures = {(name,): float(seen.failures) for name, seen in facts.sinks.items()}
    yield gauge("sink_consecutive_failures", "Failed tries since the last success.", ["sink"], failures)
    latency = HistogramMetricFamily("securescore_sink_send_seconds", "How long sends took.", labels=["sink"])
    for name, seen_s in counters.latency.items():
        total, buckets = 0, []
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), seen_s.buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        latency.add_metric([name], buckets, seen_s.sum_s)
    yield latency
    yield counter(
        "config_reloads", "Reloads by outcome.", ["outcome"], {(k,): float(n) for k, n in counters.reloads.items()}
    )
    expiry = {(e.place, e.kind): e.at.timestamp() for e in facts.expiries}
    yield gauge("credential_expiry_timestamp_seconds", "When a credential expires.", ["credential", "kind"], expiry)
    yield gauge("store_max_bytes", "The bound at which polling pauses.", [], {(): facts.max_bytes})
    if facts.stats is None:
        return
    yield gauge("store_bytes", "The size of the state.", [], {(): facts.stats.bytes})
    yield gauge("store_events", "Events kept.", [], {(): facts.stats.events})
    found = facts.stats.sinks
    yield gauge("sink_backlog_events", "Events that wait.", ["sink"], {(s.name,): s.backlog for s in found})
    yield gauge("sink_parked_events", "Events a sink refused for good.", ["sink"], {(s.name,): s.parked for s in found})
    oldest = {(s.name,): _waited_s(s.oldest_due, facts.sinks.get(s.name), now) for s in found}
    yield gauge("sink_oldest_due_seconds", "How long the oldest waiting event has waited.", ["sink"], oldest)


def _score_families(counters: Counters, gauge: "Gauge") -> Iterator["Metric"]:
    """The scores themselves. The last revision of the newest day; what is not known is left out."""
    found = counters.scores
    for name, doc, field in (
        ("score_points", "Secure Score: points reached.", "points"),
        ("score_max_points", "Secure Score: points that can be reached.", "max_points"),
        ("score_percent", "Secure Score: points reached of those that can be, 0-100.", "percent"),
        ("score_asserted_points", "Points that were declared, not measured.", "asserted"),
        ("score_points_to_win", "Points not reached.", "to_win"),
        ("exposure_score", "Exposure score of Defender for Endpoint, 0-100: lower is better.", "exposure"),
    ):
        values = {(tenant,): value for tenant, score in found.items() if (value := getattr(score, field)) is not None}
        yield gauge(name, doc, ["tenant"], values)
    yield from _unit_families(counters, gauge)
    of_category = [(t, c, each) for t, score in found.items() for c, each in score.categories.items()]
    points = {(tenant, category): each[0] for tenant, category, each in of_category if each[0] is not None}
    percent = {(tenant, category): each[1] for tenant, category, each in of_category if each[1] is not None}
    yield gauge("category_score_points", "Points reached in a category.", ["tenant", "category"], points)
    yield gauge("category_score_percent", "The same, of those that can be.", ["tenant", "category"], percent)
    of_control: dict[tuple[str, ...], float] = {}
    for tenant, score in found.items():
        if len(of_control) + len(score.controls) <= MAX_CONTROL_FIGURES:
            of_control |= {(tenant, name): value for name, value in score.controls.items()}
    if of_control:
        yield gauge("control_score_points", "Points of a control (opt-in).", ["tenant", "control"], of_control)


def _unit_families(counters: Counters, gauge: "Gauge") -> Iterator["Metric"]:
    """The scores of subscriptions and device groups, in families of their own: no sum over tenants counts one twice."""
    found = {tenant: score for tenant, score in counters.scores.items() if score.units_known is not None}
    known = {(tenant,): float(score.units_known or 0) for tenant, score in found.items()}
    yield gauge("units", "Subscriptions or device groups that have a score.", ["tenant"], known)
    shown: list[tuple[tuple[str, ...], UnitScore]] = []
    for tenant, score in found.items():
        if len(shown) + len(score.units) <= MAX_UNIT_FIGURES:
            shown += [((tenant, unit.kind, unit.id, unit.name), unit) for unit in score.units]
    for name, doc, field in (
        ("unit_score_points", "Points reached by a subscription.", "points"),
        ("unit_score_max_points", "Points that it can reach.", "max_points"),
        ("unit_score_percent", "Points reached of those that can be, 0-100.", "percent"),
        ("unit_exposure_score", "Exposure score of a device group, 0-100: lower is better.", "exposure"),
    ):
        values = {labels: value for labels, unit in shown if (value := getattr(unit, field)) is not None}
        yield gauge(name, doc, ["tenant", "unit_kind", "unit_id", "unit"], values)


def _waited_s(oldest: str | None, sink: SinkFacts | None, now: datetime) -> float:
    """How long an event has waited: for a digest, since that was due."""
    if oldest is None:
        return 0.0
    observed = parse_iso(oldest)
    since = observed if sink is None or sink.digest is None else sink.digest.due(observed, now)
    return max(0.0, (now - since).total_seconds())


def application(gather: Callable[[], Awaitable[tuple[Counters, Facts]]], version: str) -> web.Application:
    """The endpoints: GET only, nothing is read from a request but its path."""

    async def healthz(_: web.Request) -> web.Response:
        facts = (await gather())[1]
        body = {"status": "stalled" if facts.stalled else "ok", "stalled": list(facts.stalled)}
        return _json(body, 503 if facts.stalled else 200)

    async def readyz(_: web.Request) -> web.Response:
        counters, facts = await gather()
        reasons = unready(counters, facts)
        body = {"ready": not reasons, "reasons": reasons, "warnings": warnings(counters)}
        return _json(body, 503 if reasons else 200)

    async def scrape(_: web.Request) -> web.Response:
        text = metrics(*await gather(), version)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape)
    return app


def _json(body: Mapping[str, Any], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")
