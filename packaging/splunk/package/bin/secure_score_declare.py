"""The alert action on splunk-sdk: a payload → one change of a control's state, compared, sent, read back, told.

Composition only: what may be asked stands in connector/writeback/by_action.py, what is sent in plan.py and apply.py
beside it. The attempt is in the add-on's log before anything is sent, and the event of it in the index afterwards.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from random import Random
from typing import Any, TextIO
from urllib.parse import urlsplit

import secure_score_account
from secure_score_account import APP, REST_ROOT, trust, words
from secure_score_input import own_log
from splunklib import binding, client

from connector.app import graph_source, severity_rules, token_provider, transports_for
from connector.clock import SystemClock, iso
from connector.config import splunk_conf
from connector.config.values import Config, LogConfig
from connector.errors import ConfigError, PartialRead, SecureScoreError, Unavailable
from connector.health.logs import log_as_splunkd
from connector.homes import splunkd
from connector.mapping.load import load_mapping
from connector.model import PORTAL, Control
from connector.net.clouds import cloud_of
from connector.observe.events import Origin, stamp
from connector.writeback.apply import Result, Writer, apply
from connector.writeback.by_action import Asked, asked
from connector.writeback.plan import plan, refusal
from connector.writeback.record import change_of

LIMIT_S = 120.0
DONE = ("success", "same")

log = logging.getLogger("securescore.declare")


def main(arguments: list[str], stdin: TextIO) -> int:
    """Run as splunkd asks (`--execute`, a JSON payload on stdin); 0 when what was asked for is so, or was shown."""
    log_as_splunkd(LogConfig())
    if "--execute" not in arguments:
        log.error("alert actions are started with --execute")
        return 2
    payload = json.load(stdin)
    own_log(f"{REST_ROOT}_declare.log", action="declare")
    wish, problems = asked(payload)
    if wish is None:
        log.error("nothing was sent: %s", "; ".join(problems))
        return 2
    trust()
    try:
        return asyncio.run(_bounded(payload, wish))
    except SecureScoreError as error:
        log.error("nothing was sent: %s", words(error))  # noqa: TRY400 - a fact, no bug
        return 1


async def _bounded(payload: Mapping[str, Any], wish: Asked) -> int:
    async with asyncio.timeout(LIMIT_S):
        return await _declare(_service(payload), wish)


def _service(payload: Mapping[str, Any]) -> Any:
    at = urlsplit(payload["server_uri"])
    return client.Service(
        scheme=at.scheme,
        host=at.hostname,
        port=at.port,
        token=payload["session_key"],
        owner="nobody",
        app=APP,
        autologin=False,
        handler=splunkd.bounded(binding.handler(timeout=splunkd.SOCKET_S)),
    )


def _configured(service: Any, wish: Asked) -> Config:
    accounts, settings = f"{REST_ROOT}_account", f"{REST_ROOT}_settings"
    stanza = splunkd.stanza(service, accounts, wish.account)
    if not stanza:
        raise ConfigError([f"there is no account {wish.account!r}"], "add it on the configuration page, tab Account")
    fault = splunkd.index_fault(service, wish.index)
    if fault:
        raise ConfigError([fault], "the event of the change would be lost")
    proxy = splunkd.stanza(service, settings, "proxy")
    home = splunk_conf.Home(collection="none", app=APP)  # nothing is kept
    given = splunk_conf.Stanzas("declare", {"account": wish.account}, stanza, proxy, {})
    config = splunk_conf.config_of(given, home)
    stored = splunkd.secrets(service, APP, accounts, wish.account)
    secure_score_account.take_secret(wish.account, stanza, stored, splunk_conf.SECRET)
    if proxy.get("proxy_username"):
        kept = splunkd.secrets(service, APP, settings, "proxy")
        os.environ[splunk_conf.PROXY_PASSWORD] = kept.get("proxy_password", "")
    return config


async def _declare(service: Any, wish: Asked) -> int:
    config = _configured(service, wish)
    tenant, clock = config.tenants[0], SystemClock()
    transports = transports_for(config, clock)
    try:
        source = graph_source(tenant, config, transports, clock, write=True)
        profile = None if refusal(wish.wish) else await source.control(wish.wish.control)
        try:
            newest = await source.newest()
        except (Unavailable, PartialRead):  # it only tells completed controls from others
            newest = None
        control = newest.controls.get(wish.wish.control) if newest else None
        planned = plan(wish.wish, profile, control, newest.day if newest else "")
        what = f"{tenant.name}: {wish.wish.control} {planned.before.state} -> {wish.wish.state}, for {wish.operator}"
        if planned.verdict == "send" and not wish.send:
            log.warning("%s: would be sent; mode is look", what)
            return 0
        if planned.verdict == "send":
            log.warning("%s: is being sent, comment %r", what, wish.wish.comment)
        writer = Writer(
            http=transports.budgets.in_front_of(transports.get(config.network), tenant.tenant_id),
            base_url=cloud_of(tenant.graph).graph,
            token=token_provider(tenant, config, transports, write=True),
            clock=clock,
            random=Random(),
        )
        result = await apply(planned, source, writer)
    finally:
        await transports.close()
    now = iso(clock.now())
    told = _tell(service, wish, result, control, Origin(tenant.tenant_id, tenant.name, tenant.labels, "connector"), now)
    say = log.warning if result.outcome in DONE else log.error
    say("%s: %s %s %s", what, result.outcome, result.detail, result.hint)
    return 0 if result.outcome in DONE and told else 1


def _tell(service: Any, wish: Asked, result: Result, control: Control | None, origin: Origin, now: str) -> bool:
    """The event of what was sent, into the index; False when it could not be."""
    if not result.sent:
        return True
    event = stamp(change_of(result, wish.operator, control, now), origin, now, severity_rules())
    envelope: Any = load_mapping("splunk").render(event).payload
    try:
        splunkd.submit(service, wish.index, envelope)
    except SecureScoreError as error:
        state = PORTAL.get(wish.wish.state, wish.wish.state)
        log.error(  # noqa: TRY400 - a fact, no bug
            "the event could not be written: %s. Note it by hand: %s is %s by %s at %s",
            error.what, wish.wish.control, state, wish.operator, now,
        )  # fmt: skip
        return False
    return True
