"""One tenant's changes, sent one after the other: each is announced, sent, read back and recorded as an event.

What `controls set` and `controls apply` share. Which changes, and the question before, are theirs.
"""

import asyncio
import os
import pwd
import socket
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from attrs import evolve, frozen

from connector.app import Transports, severity_rules, token_provider
from connector.cli.terminal import plain, progress
from connector.clock import SystemClock, iso
from connector.config.account import came_as
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.errors import SecureScoreError
from connector.model import PORTAL, Control
from connector.net.clouds import cloud_of
from connector.observe.events import Origin
from connector.sources.graph import GraphSource
from connector.writeback.apply import Result, Writer, apply, unfinished
from connector.writeback.plan import Plan
from connector.writeback.record import Operator, announce, change_of, record, withdraw


@frozen
class Done:
    """One line of the report."""

    line: int | None
    result: Result
    event_id: str | None = None

    def as_data(self) -> dict[str, Any]:
        asked, before = self.result.plan.wanted, self.result.plan.before
        return {
            "line": self.line,
            "control": asked.control,
            "before": before.state,
            "after": asked.state,
            "outcome": self.result.outcome,
            "detail": self.result.detail,
            "hint": self.result.hint,
            "event": self.event_id,
        }


GOOD = ("same", "success", "would be sent")


@frozen
class Sender:
    """What one change needs: it is applied and recorded as one step."""

    source: GraphSource
    writer: Writer
    store: DurableStore
    tenant: TenantConfig
    operator: Operator
    scored: Mapping[str, Control]

    async def __call__(self, line: int | None, planned: Plan) -> Done:
        tenant, control = self.tenant, self.scored.get(planned.wanted.control)
        began = iso(self.writer.clock.now())
        announced = change_of(unfinished(planned), self.operator, control, began)
        if planned.verdict == "send":
            try:
                await announce(self.store, tenant.key, announced)
            except SecureScoreError as error:
                what = f"nothing was sent, as it could not be recorded: {error.what}"
                return Done(line, Result(planned, "failure", what, error.hint, stops=True))
        result = await apply(planned, self.source, self.writer)
        now = iso(self.writer.clock.now())
        change = change_of(result, self.operator, control, now)
        try:
            if not result.sent:
                if planned.verdict == "send":
                    await withdraw(self.store, tenant.key, announced)
                return Done(line, result)
            origin = Origin(tenant.tenant_id, tenant.name, tenant.labels, "connector")
            event = await record(self.store, origin, change, severity_rules(), now, announced)
        except SecureScoreError as error:
            said = f"{result.detail}; the event could not be recorded: {error.what}".lstrip("; ")
            hint = f"note it by hand: {change.data['summary']} by {self.operator} at {now}"
            return Done(line, evolve(result, outcome="unrecorded", detail=said, hint=hint, stops=True))
        return Done(line, result, event.id)


async def carry_out(send: Sender, plans: Sequence[tuple[int | None, Plan]]) -> list[Done]:
    """One after the other; what no further change could pass ends it, and the rest is reported as not tried."""
    done: list[Done] = []
    why = ""
    with progress("Setting states", len(plans) if len(plans) > 1 else 0) as so_far:
        for line, planned in plans:
            so_far(len(done))
            if why and planned.verdict == "send":
                done.append(Done(line, Result(planned, "not tried", why, "repair that, then run the command again")))
                continue
            step = asyncio.ensure_future(send(line, planned))
            try:
                done.append(await asyncio.shield(step))
            except asyncio.CancelledError:
                await step  # a change that is under way is finished and recorded even when the operator interrupts
                raise
            if done[-1].result.stops:
                why = done[-1].result.detail
    return done


def dry(planned: Plan) -> Result:
    """What is said of a plan that is not carried out."""
    if planned.verdict == "send":
        return Result(planned, "would be sent")
    return Result(planned, planned.verdict, planned.reason, planned.hint)


def words(state: str) -> str:
    return plain(f"{PORTAL.get(state, 'unknown')} ({state})")


def os_user() -> str:
    """The user of the process, and who became it through sudo: shared service accounts are common here."""
    uid = came_as()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"uid {uid}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{user} (sudo by {behind[:64]})" if behind.isprintable() and behind not in ("", user) else user


def operator_of(name: str | None) -> Operator:
    """Who changes something: the operating system's user on this host, and the name given with --operator."""
    return Operator(os_user(), socket.gethostname(), name)


def writer_of(config: Config, tenant: TenantConfig, transports: Transports) -> Writer:
    """How a tenant is written to, with the credential for it."""
    return Writer(
        http=transports.budgets.in_front_of(transports.get(config.network), tenant.tenant_id),
        base_url=cloud_of(tenant.graph).graph,
        token=token_provider(tenant, config, transports, write=True),
        clock=SystemClock(),
        random=Random(),  # noqa: S311 - spreads retries, guards nothing
    )
