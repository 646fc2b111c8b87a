"""`securescore check --send-test`: one event for each alert rule that ships, through every sink's mapping and delivery.

The events go through a state of their own, in a temporary folder that is deleted afterwards: nothing is committed to
the history, and a daemon beside it notices nothing. A sink's own filters hold, except that each takes tenant TEST.
"""

import asyncio
import tempfile
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from attrs import evolve, frozen

from connector.app import open_app, severity_rules
from connector.cli.alert_samples import TENANT, TENANT_ID, Alert, alerts
from connector.cli.terminal import console, draw, plain, table
from connector.clock import SystemClock
from connector.config.secrets import has_reference
from connector.config.values import Config, HealthConfig, RawConfig, SinkConfig, StateConfig
from connector.deliver.delivery import Outcome
from connector.deliver.loop import drain
from connector.errors import ConfigError, SecureScoreError
from connector.loops import App
from connector.model import Event
from connector.ports import State
from connector.registry import sink_options

DEADLINE_S = 15.0
"""How long a sink's transient faults are retried."""
WIDE = 110
"""From so many columns on there is room for an event's id."""
_ADDRESS = ("host", "url", "endpoint", "path")
"""The keys of a sink that say where it goes; the first that it has."""


@frozen
class Sent:
    """What became of the test at one sink. `left_out` names the alerts whose events its filters keep back."""

    sink: str
    to: str
    taken: int = 0
    left_out: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def words(self) -> str:
        """For people, in one sentence."""
        said = f"{self.taken} test events taken by {self.to}"
        if self.left_out:
            said += f"; left out by this sink's filters: {', '.join(self.left_out)}"
        return f"{self.error} ({said})" if self.error else said


@frozen
class SendTest:
    """One run: what was meant to fire, and what each sink took."""

    alerts: tuple[Alert, ...]
    sinks: tuple[Sent, ...]


def chosen(config: Config, names: Sequence[str]) -> list[SinkConfig]:
    """The named sinks, all when none is named. Raises ConfigError for one that is not configured."""
    known = {s.name: s for s in config.sinks}
    if unknown := [n for n in names if n not in known]:
        raise ConfigError(
            [f"no sink named {n!r} is configured" for n in unknown], f"sinks: {', '.join(known) or 'none'}"
        )
    return [known[n] for n in names] if names else list(config.sinks)


async def send_test(config: Config, sinks: Sequence[SinkConfig], hopeless: Collection[str] = ()) -> SendTest:
    """Send every test event to these sinks, each on its own: one that cannot be built or reached stops no other.

    `hopeless` sinks, which a probe could not reach just now, are tried once.
    """
    now = SystemClock().now()
    told = alerts(now, severity_rules(), [s.name for s in sinks])
    sent = await asyncio.gather(*(_to_one(config, s, told, 0 if s.name in hopeless else DEADLINE_S) for s in sinks))
    return SendTest(tuple(told), tuple(sent))


def address_of(sink: SinkConfig) -> str:
    """Where a sink sends to, in words. Of an address that may itself be the key, as a webhook's, the host alone."""
    key = next((key for key in _ADDRESS if sink.options.get(key)), None)
    if key is None:
        return sink.kind
    address, table = str(sink.options[key]), sink_options(sink.kind) or {}
    if key in table and table[key].secret and not has_reference(address):
        parts = urlsplit(address)
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"{sink.kind} {address}"


async def _to_one(config: Config, sink: SinkConfig, told: Sequence[Alert], deadline_s: float) -> Sent:
    to = address_of(sink)
    with tempfile.TemporaryDirectory(prefix="securescore-test-") as folder:
        apart = evolve(
            config,
            state=StateConfig(path=f"{folder}/state.db"),
            raw=RawConfig(keep_days=0),
            health=HealthConfig(listen=None),
            sinks=(evolve(sink, tenants=()),),
        )
        try:
            async with open_app(apart) as app:
                return await _deliver(app, Sent(sink.name, to), told, deadline_s)
        except ConfigError as error:
            return Sent(sink.name, to, error="; ".join(error.problems), hint=error.hint)
        except SecureScoreError as error:
            return Sent(sink.name, to, error=error.what, hint=error.hint)


async def _deliver(app: App, sent: Sent, told: Sequence[Alert], deadline_s: float) -> Sent:
    delivery = app.deliveries[sent.sink]
    delivery.digest = None  # a test waits for no digest
    events = list({event.id: event for alert in told for event in alert.events}.values())
    await app.store.commit(TENANT_ID, State(), events)
    outcome = await drain(delivery, deadline_s)
    refused = await app.store.parked(sent.sink)
    error, hint = _fault(outcome, len(refused), refused[0].reason if refused else "")
    return evolve(
        sent,
        taken=sum(delivery.delivered.values()),
        left_out=tuple(a.name for a in told if a.events and sum(map(delivery.wants.wants, a.events)) < a.least),
        error=error,
        hint=hint,
    )


def _fault(outcome: Outcome, refused: int, reason: str) -> tuple[str, str]:
    """What went wrong, and what to do; two empty texts when all that concerns the sink was taken."""
    if refused:
        return f"{refused} test events were refused for good: {reason}", "correct what the sink names, then test again"
    return outcome.error or "", outcome.hint


def rule_names(alert: Alert) -> list[str]:
    """The shipped rules that an alert's events should fire."""
    return [*(f"Splunk: {name}" for name in alert.splunk), *(f"Sentinel: {name}" for name in alert.sentinel)]


def words(alert: Alert) -> str:
    """What was sent for an alert, in one line: for --json."""
    if not alert.events:
        return f"no event: {alert.absence}"
    ids = ", ".join(e.id for e in alert.events)
    return f"{len(alert.events)} events ({ids}) should fire {'; '.join(rule_names(alert)) or 'rules of your own'}"


def show(test: SendTest) -> None:
    """Each alert, the event that fires it, and the shipped rules that should."""
    out = console()
    wide = out.width >= WIDE
    made = table("alert", "events>", "first of them", "rule that should fire")
    for alert in test.alerts:
        first = f"no event: {alert.absence}"
        if alert.events:
            first = _summary(alert.events[0]) + (f"\n{alert.events[0].id}" if wide else "")
        made.add_row(plain(alert.name), str(len(alert.events)), _lines(first), _lines("\n".join(rule_names(alert))))
    draw(made, out)
    out.print(f"Look for tenant or host {TENANT}; every one is marked as simulated. Nothing of it is in the history.")


def _summary(event: Event) -> str:
    return f"[{event.severity}] {event.data['summary']}"


def _lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.split("\n"))
