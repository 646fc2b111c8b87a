"""`securescore check`: whether `run` would start and its first poll succeed; one line a fault, with its remedy.

It asks what a start asks: the same sinks and mappings are made ready, the state is judged as its writer would judge it,
and every tenant is polled against what the state remembers, except that nothing is committed. No event is sent unless
`--send-test` asks for it (send_test.py).
"""

import argparse
import asyncio
import itertools
import logging
import os
from pathlib import Path
from typing import cast

from attrs import asdict

from connector.app import (
    Transports,
    build_poller,
    check_one_folder,
    evidence,
    transports_for,
)
from connector.cli import send_test
from connector.cli.check_clock import Skew
from connector.cli.check_selected import selected
from connector.cli.check_state import soundness, state
from connector.cli.check_tenants import check_tenant, write_consents
from connector.cli.common import config_of
from connector.cli.findings import SHOWN_TENANTS, Finding, exit_code, failed, show
from connector.cli.rule_columns import declared, differences, resource_id_problem
from connector.cli.terminal import console, dump, plain, plural, progress
from connector.clock import SystemClock
from connector.config.keys import TENANT
from connector.config.values import Config, SinkConfig, TenantConfig, unmatched_tenants
from connector.deliver.prepare import Prepared, prepare
from connector.errors import ConfigError, SecureScoreError
from connector.mapping.load import load_mapping
from connector.mapping.resources import mapping_names
from connector.net.clouds import cloud_of_ingestion
from connector.observe.schedule import concurrency
from connector.plugins.installed import plugins
from connector.ports import Clock, Store
from connector.registry import SINKS
from connector.scheduled.material import brand
from connector.signin.credentials import expiries, fault
from connector.signin.tokens import azure_credential
from connector.stores.trial import TrialStore, writable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")
    csv_help = "write the tenants that lack consent, each with the address where its administrator grants it"
    parser.add_argument("--consent-csv", metavar="FILE", type=Path, help=csv_help)
    state_help = "also read all that the state holds, and say of each fault what is lost and what to do"
    parser.add_argument("--state", action="store_true", help=state_help)
    test_help = "also send one event for each shipped alert rule, of tenant TEST, marked as simulated, never history"
    parser.add_argument("--send-test", action="store_true", help=test_help)
    parser.add_argument("--sink", metavar="S", action="append", default=[], help="with --send-test: only this sink")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.sink and not args.send_test:
        raise ConfigError(["--sink needs --send-test"], "without it every sink is checked")
    sinks = send_test.chosen(config, args.sink)
    logging.getLogger("securescore").addHandler(logging.NullHandler())  # the findings say it better
    findings = asyncio.run(collect(config, whole=args.state))
    hopeless = {f.subject for f in findings if f.what == "sink" and f.ok is False}
    test = asyncio.run(send_test.send_test(config, sinks, hopeless)) if args.send_test else None
    if test is not None:
        findings += [Finding("send_test", s.sink, not s.error, s.words, s.hint) for s in test.sinks]
    if args.json:
        told = [] if test is None else [Finding("alert", a.name, True, send_test.words(a)) for a in test.alerts]
        dump([asdict(f, filter=lambda key, _: key.name not in ("stops", "partly")) for f in [*findings, *told]])
    else:
        if test is not None:
            send_test.show(test)
        show(findings)
    if args.consent_csv is not None:
        lacking = write_consents(args.consent_csv, config, findings)
        if not args.json:
            console().print(f"{plural(lacking, 'tenant lacks', 'tenants lack')} consent: {plain(args.consent_csv)}")
    return exit_code(findings)


async def collect(config: Config, *, whole: bool = False) -> list[Finding]:
    """Every check, tenants and sinks side by side; `whole` reads all that is stored."""
    clock = SystemClock()
    findings = [
        Finding("config", "", True, f"{plural(len(config.tenants), 'tenant')}, {plural(len(config.sinks), 'sink')}")
    ]
    findings += [
        Finding("config", name, False, "no sink takes this tenant's events", "add a sink, or widen a sink's `tenants`")
        for name in unmatched_tenants(config)
    ]
    findings += _installation()
    findings += await asyncio.to_thread(_plugins, config)
    prepared = [prepare(sink, config) for sink in config.sinks]
    found, store = await state(config, clock)
    findings += [*found, *await asyncio.to_thread(_evidence, config), *await asyncio.to_thread(_logos, config)]
    findings += await asyncio.to_thread(_reports, config)
    findings += [*await selected(config, store), *await asyncio.to_thread(_expiring, config)]
    gate = asyncio.Semaphore(concurrency(config.poll, len(config.tenants)))
    skew = Skew()
    transports = transports_for(config, clock)
    transports.wrap = skew.in_front_of
    try:
        poller = build_poller(config, cast("Store", TrialStore(store)), transports)
        with progress("Polling without committing", len(config.tenants)) as done:
            count = itertools.count(1)

            async def check(tenant: TenantConfig) -> list[Finding]:
                found = await check_tenant(tenant, config, poller, transports, gate)
                done(next(count))
                return found

            read = await asyncio.gather(*map(check, config.tenants))
        if store is not None:  # now that the polls have met what is wrong with it
            findings += await soundness(config, store, whole=whole)
    finally:
        await transports.close()
        if store is not None:
            await store.close()
    findings += skew.finding()
    findings += [finding for of_tenant in read for finding in of_tenant]
    findings += [finding for of_sink in await asyncio.gather(*map(probed, prepared)) for finding in of_sink]
    for sink in prepared:
        if sink.config.options.get("rule_resource_id") and not (sink.problems or sink.fault):
            findings += await rule_findings(sink.config, config.base_dir, clock)
    return findings


def _installation() -> list[Finding]:
    try:
        check_one_folder()
    except ConfigError as error:
        return [Finding("installation", "", False, error.what, error.hint, stops=2)]
    return []


def _plugins(config: Config) -> list[Finding]:
    """What installed packages bring, and who uses it; a fault of one is told where it is used."""
    users = [("sink", s.kind, f"sink {s.name}") for s in config.sinks]
    users += [("mapping", s.format, f"sink {s.name}") for s in config.sinks if s.format and not s.mapping]
    users += [("source", t.source, f"tenant {t.name}") for t in config.tenants]
    shipped = {("sink", kind) for kind in SINKS} | {("source", name) for name in TENANT["source"].choices}
    shipped |= {("mapping", name) for name in mapping_names()}
    found = []
    for one in plugins():
        detail, subject = f"{one.package} {one.version}", f"{one.kind} {one.name}"
        if (one.kind, one.name) in shipped:
            hint = "its author must choose another name"
            found.append(Finding("plug-in", subject, None, f"{detail}, never used: {one.name} ships", hint))
            continue
        by = [user for kind, name, user in users if (kind, name) == (one.kind, one.name)]
        more = f" and {len(by) - SHOWN_TENANTS} more" if len(by) > SHOWN_TENANTS else ""
        used = f"used by {', '.join(by[:SHOWN_TENANTS])}{more}" if by else "not used"
        found.append(Finding("plug-in", subject, True, f"{detail}, {used}"))
    return found


def _evidence(config: Config) -> list[Finding]:
    """Whether the archive can be written, where a start would write one."""
    archive = evidence(config)
    if archive is None or all(tenant.saved for tenant in config.tenants):  # files are evidence already
        return []
    place = archive.root if os.path.lexists(archive.root) else archive.root.parent
    if not os.path.lexists(place):
        home = config.state.path or config.state.directory
        if home is not None and place == Path(config.base_dir, home).parent:
            return []  # the start makes it, and the state says whether it can
        words = "there is no such folder"
    elif not place.is_dir():
        words = "is no folder"
    elif not writable(place):
        words = "may not be written by this user"
    else:
        return []
    return [
        Finding("evidence", str(place), False, words, "correct `raw.path`, or give this user the folder", partly=True)
    ]


def _reports(config: Config) -> list[Finding]:
    """Places of reports that cannot be written; folders that are not there yet are made."""
    found = []
    for number, report in enumerate(config.reports):
        folder = Path(config.base_dir, report.path.partition("{")[0] + "x").parent  # the last without a placeholder
        there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        words = "is no folder" if not there.is_dir() else "" if writable(there) else "may not be written by this user"
        if words:
            hint = f"correct `reports[{number}].path`, or give this user the folder"
            found.append(Finding("report", report.path, False, f"{there} {words}", hint, partly=True))
    return found


def _logos(config: Config) -> list[Finding]:
    """Logos that no report can carry: polling does without, and so only a warning."""
    found = []
    for head in {one.logo: one for one in (config.report, *(t.report for t in config.tenants)) if one.logo}.values():
        try:
            brand(head)
        except ConfigError as error:
            found.append(Finding("report", str(head.logo), None, "; ".join(error.problems), error.hint))
    return found


def _expiring(config: Config) -> list[Finding]:
    """Secrets and certificates that have expired, or will within 30 days."""
    now = SystemClock().now()
    found = []
    for expiry in expiries(config):
        if (problem := fault(expiry, now)) is not None:
            users = f", used by {len(expiry.tenants)} tenants" if len(expiry.tenants) > 1 else ""
            expired = problem.reason == "secret_expired"
            left = "" if expired else f", in {expiry.days_left(now)} days"
            detail = f"{problem.detail}{left}{users}"
            ok = False if expired else None
            found.append(Finding("expiry", expiry.place, ok, detail, problem.hint, problem.reason))
    return found


# --------------------------------------------------------------------------------------------------------------- sinks


async def probed(prepared: Prepared) -> list[Finding]:
    """Whether a sink answers; it is closed then."""
    name, sink = prepared.config.name, prepared.sink
    try:
        if prepared.problems:
            return [Finding("sink", name, False, p, prepared.hint, stops=2) for p in prepared.problems]
        assert sink is not None
        await sink.probe()
    except SecureScoreError as error:
        return [failed("sink", name, error)]
    finally:
        if sink is not None:
            await sink.close()
    return [Finding("sink", name, True, f"{prepared.config.kind} answers")]


async def rule_findings(sink: SinkConfig, base_dir: str, clock: Clock, root: str | None = None) -> list[Finding]:
    """Whether the rule of a sentinel sink declares every column we send; `root` overrides the cloud's own address."""
    options = sink.options
    cloud = cloud_of_ingestion(options["endpoint"])
    root = root or cloud.resource_manager
    credential = azure_credential(options["auth"], cloud, sink.network, clock)
    transports = Transports(clock)
    try:
        if problem := resource_id_problem(options["rule_resource_id"]):
            raise problem
        token = await credential.get_token(f"{cloud.resource_manager}/.default")
        streams = await declared(transports.get(sink.network), root, options["rule_resource_id"], token.token)
    except SecureScoreError as error:
        return [failed("columns", sink.name, error)]
    finally:
        await credential.close()
        await transports.close()
    mapping = load_mapping(sink.mapping or sink.format or "sentinel", base_dir)
    findings = []
    for stream, target in sink.stream_targets.items():
        ours = mapping.columns(stream)
        found = differences(ours, streams.get(target))
        hint = "add the columns to the rule's stream, its transformation and the table" if found else ""
        detail = "; ".join(found) or f"all {len(ours)} columns of {target} are declared"
        findings.append(Finding("columns", f"{sink.name}: {stream}", not found, detail, hint))
    return findings
