"""`securescore check`: whether `run` would start and its first poll succeed; one line a fault, with its remedy.

It asks what a start asks: the same sinks and mappings are made ready, the state is judged as its writer would judge it,
and every tenant is polled against what the state remembers, except that nothing is committed. No event is sent unless
`--send-test` asks for it (send_test.py).
"""

import argparse
import asyncio
import csv
import io
import logging
import os
import re
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast

from attrs import Factory, asdict, define, evolve, frozen

from connector.app import (
    READ,
    WRITE,
    Transports,
    build_poller,
    check_one_folder,
    evidence,
    open_store,
    token_provider,
    transports_for,
    try_state,
)
from connector.cli import send_test
from connector.cli.common import clean, config_of, console, draw, dump, plural, table
from connector.cli.rule_columns import declared, differences, resource_id_problem
from connector.clock import SystemClock, iso
from connector.config.keys import TENANT
from connector.config.values import Config, SinkConfig, TenantConfig, unmatched_tenants
from connector.deliver.delivery import DurableStore
from connector.deliver.prepare import Prepared, prepare
from connector.durable import replacing
from connector.errors import ConfigError, Denied, SecureScoreError
from connector.health.upkeep import CONNECTOR, disk_faults
from connector.mapping.load import load_mapping
from connector.mapping.resources import mapping_names
from connector.model import Known, Snapshot
from connector.net.clouds import cloud_of, cloud_of_ingestion, consent_url
from connector.net.http import MAX_BODY_BYTES, Response, Transport
from connector.observe import memory
from connector.observe.poller import Poller, PollOutcome
from connector.observe.schedule import concurrency
from connector.plugins.installed import plugins
from connector.ports import Clock, Source, State, Store
from connector.registry import SINKS
from connector.signin.claims import READERS, Claims, read_claims
from connector.signin.credentials import expiries, fault
from connector.signin.refusals import CONSENT_REASONS, SignInRefused
from connector.signin.tokens import azure_credential
from connector.stores.trial import TrialStore, writable

HELP = "configuration, clock, access, Graph and every sink; what to do about each fault"
SHOWN_TENANTS = 20
SKEW_NOTED_S, SKEW_FAULT_S = 60, 300
"""Microsoft Entra accepts signed requests up to five minutes off."""
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
CONSENT_HEALS = CONSENT_REASONS | {"permission_missing"}


@frozen
class Finding:
    """What one check came to. `what` is its name, `subject` whom it concerns; `ok` None means a warning.

    `reason` is a stable word for the fault, where it has one: the same for every tenant. `stops` is the exit code that
    `run` would end with at its start because of this, 0 when it would start; `partly` = something is done all the same.
    """

    what: str
    subject: str
    ok: bool | None
    detail: str
    hint: str = ""
    reason: str = ""
    stops: int = 0
    partly: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")
    csv_help = "write the tenants that lack consent, each with the address where its administrator grants it"
    parser.add_argument("--consent-csv", metavar="FILE", type=Path, help=csv_help)
    test_help = "also send one event for each shipped alert rule, of tenant TEST, marked as simulated, never history"
    parser.add_argument("--send-test", action="store_true", help=test_help)
    parser.add_argument("--sink", metavar="S", action="append", default=[], help="with --send-test: only this sink")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.sink and not args.send_test:
        raise ConfigError(["--sink needs --send-test"], "without it every sink is checked")
    sinks = send_test.chosen(config, args.sink)
    logging.getLogger("securescore").addHandler(logging.NullHandler())  # the findings say it better
    findings = asyncio.run(collect(config))
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
            console().print(f"{plural(lacking, 'tenant lacks', 'tenants lack')} consent: {clean(args.consent_csv)}")
    return exit_code(findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """What `once` would end with, as far as it can be known: a start that is refused counts before anything else."""
    if stops := max(f.stops for f in findings):
        return stops
    if not any(f.ok is False for f in findings):
        return 0
    done = [f for f in findings if f.what in ("tenant", "sink", "send_test") and (f.ok is not False or f.partly)]
    return 3 if done else 1


async def collect(config: Config) -> list[Finding]:
    """Every check, tenants and sinks side by side."""
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
    found, store = await _state(config, clock)
    findings += [*found, *await asyncio.to_thread(_evidence, config)]
    findings += await asyncio.to_thread(_expiring, config)
    gate = asyncio.Semaphore(concurrency(config.poll, len(config.tenants)))
    skew = Skew()
    transports = transports_for(config, clock)
    transports.wrap = skew.in_front_of
    try:
        poller = build_poller(config, cast("Store", TrialStore(store)), transports)
        read = await asyncio.gather(*(_tenant(t, config, poller, transports, gate) for t in config.tenants))
    finally:
        await transports.close()
        if store is not None:
            await store.close()
    findings += skew.finding()
    findings += [finding for of_tenant in read for finding in of_tenant]
    findings += [finding for of_sink in await asyncio.gather(*map(_sink, prepared)) for finding in of_sink]
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


async def _state(config: Config, clock: Clock) -> tuple[list[Finding], DurableStore | None]:
    """Whether the state can be opened and has room; and the state, for reading, where there is one."""
    where = config.state.path or config.state.directory or "state"
    try:
        trial = await try_state(config, clock)
        if not trial.exists:
            return [Finding("state", where, None, "does not exist yet: the first `once` or `run` makes it")], None
        if trial.older:
            words = "is of an older version: the next `once` or `run` migrates it, with a backup beside it"
            return [Finding("state", where, None, words)], None
        store = await open_store(config, clock=clock, writer=False)
    except SecureScoreError as error:
        return [Finding("state", where, False, error.what, error.hint, stops=1)], None
    try:
        stats = await store.stats()
        known = memory.head(await store.load(CONNECTOR)).get("problems", {})
    except SecureScoreError as error:
        await store.close()
        return [Finding("state", where, False, error.what, error.hint, stops=1)], None
    findings = [Finding("state", where, True, f"{stats.events} events, {stats.bytes / 1e6:.1f} MB")]
    if trial.holder:
        findings = [evolve(findings[0], detail=f"{findings[0].detail}; in use by {trial.holder}", reason="in_use")]
    findings += [
        Finding("state", where, False if f.reason == "outbox_full" else None, f"{f.summary} ({f.detail})", f.hint)
        for f in disk_faults(known, stats, config.state.max_bytes)
    ]
    return findings, store


def _evidence(config: Config) -> list[Finding]:
    """Whether the archive can be written, where a start would write one."""
    archive = evidence(config)
    if archive is None or all(tenant.source == "files" for tenant in config.tenants):  # files are evidence already
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


# --------------------------------------------------------------------------------------------------------------- clock


@define
class Skew:
    """How far this machine's clock is ahead of the servers' that answer, in seconds."""

    seen: list[float] = Factory(list)

    def in_front_of(self, http: Transport) -> Transport:
        """A transport that looks at the date of every answer."""
        return _Watched(http, self)

    def look(self, response: Response) -> None:
        try:
            moment = parsedate_to_datetime(response.headers.get("date", ""))
            self.seen.append((response.at - moment).total_seconds())
        except (ValueError, TypeError):
            return  # no date, or none with a zone

    def finding(self) -> list[Finding]:
        """One finding when anybody answered: the median, since one server may be wrong itself."""
        if not self.seen:
            return []
        skew_s = statistics.median(self.seen)
        if abs(skew_s) <= SKEW_NOTED_S:
            return [Finding("clock", "", True, "agrees with the servers' clocks")]
        words = f"this machine's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the servers'"
        ok = False if abs(skew_s) > SKEW_FAULT_S else None
        return [Finding("clock", "", ok, words, "set it by NTP: sign-ins fail beyond five minutes", "clock")]


@frozen
class _Watched:
    http: Transport
    skew: Skew

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        response = await self.http.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s, max_bytes=max_bytes
        )
        self.skew.look(response)
        return response


# ------------------------------------------------------------------------------------------------------------- tenants


async def _tenant(
    tenant: TenantConfig, config: Config, poller: Poller, transports: Transports, gate: asyncio.Semaphore
) -> list[Finding]:
    """Poll as a start would, but for the commit; and sign in with `write_auth`."""
    async with gate:
        findings = await _pollable(tenant, config, poller, transports)
        if tenant.write_auth is not None:
            findings.append(await _writable(tenant, config, transports))
    return findings


async def _pollable(tenant: TenantConfig, config: Config, poller: Poller, transports: Transports) -> list[Finding]:
    """What the first poll would come to, and what is odd about the input."""
    name, claims = tenant.name, None
    if tenant.source == "graph":
        try:
            claims = read_claims(await token_provider(tenant, config, transports).token())
            wrong = token_fault(claims, tenant, {READ, WRITE}, transports.clock.now())
        except SecureScoreError as error:
            return [_failed("tenant", name, error)]
        if wrong is not None:
            return [Finding("tenant", name, False, *wrong)]
    look = Look(poller.open_source)
    try:
        trial = cast("Store", TrialStore(poller.store))  # of this tenant alone: what it keeps ends with it
        outcome = await evolve(poller, open_source=look.open, store=trial).poll(tenant)
    except SecureScoreError as error:  # the memory of this tenant
        return [_failed("tenant", name, error)]
    notes = [Finding("input", name, None, note) for note in outcome.notes]
    return [
        _polled(tenant, outcome, look, claims),
        *notes,
        *_remembered(tenant, await trial.load(tenant.tenant_id)),
    ]


def _polled(tenant: TenantConfig, outcome: PollOutcome, look: "Look", claims: Claims | None) -> Finding:
    name, error, snapshot = tenant.name, look.error, look.snapshot
    if isinstance(error, Denied) and tenant.source == "graph" and not isinstance(error, SignInRefused):
        return Finding("tenant", name, False, error.what, *denied_although(claims, error.hint))
    if error is not None:
        return _failed("tenant", name, error)
    if outcome.status not in ("ok", "unchanged") or snapshot is None:
        hint = outcome.hint or "usually heals by itself: try again in some minutes"
        return Finding("tenant", name, False, outcome.error or "", hint, partly=outcome.status == "partial")
    who = f"; {_who(claims)}" if tenant.source == "graph" else ""
    if outcome.newest_day is None:
        return Finding("tenant", name, None, f"readable, but Microsoft has published no score yet{who}")
    detail = f"newest day {outcome.newest_day}"
    if outcome.status == "unchanged":
        detail += ", unchanged since the last poll"
    if isinstance(snapshot.days, tuple) and snapshot.days:
        newest = next((day for day in snapshot.days if day.day == outcome.newest_day), None)
        detail += f", {len(newest.controls)} controls scored" if newest else ""
    if isinstance(snapshot.catalogue, Mapping):
        detail += f", {len(snapshot.catalogue)} in the catalogue"
    return Finding("tenant", name, True, f"{detail}{who}")


@define
class Look:
    """Looks at what a poll reads: the snapshot, or the error in its own type, which the outcome has in words only."""

    opener: Callable[[TenantConfig], Awaitable[Source]]
    snapshot: Snapshot | None = None
    error: SecureScoreError | None = None

    async def open(self, tenant: TenantConfig) -> Source:
        try:
            source = await self.opener(tenant)
        except SecureScoreError as error:
            self.error = error
            raise
        return _Looked(source.name, source, self)


@define
class _Looked:
    name: str
    source: Source
    look: Look

    async def read(self, known: Known) -> Snapshot:
        try:
            self.look.snapshot = await self.source.read(known)
        except SecureScoreError as error:
            self.look.error = error
            raise
        return self.look.snapshot

    async def close(self) -> None:
        await self.source.close()


def _remembered(tenant: TenantConfig, state: State | None) -> list[Finding]:
    """What is being refused after that poll, and targets that name no control of this tenant."""
    found = []
    for row in memory.refused(memory.head(state)):
        words = f"{row['part']} is refused since {row['since']}: {row['reason']}"
        hint = f"`securescore accept-snapshot --tenant {tenant.name}` believes it at the next poll"
        if row["part"] not in ("newest day", "catalogue"):
            hint = "our own copy stands; it ends when the feed no longer holds that document"
        found.append(Finding("refused", tenant.name, None, words, hint))
    if not tenant.targets.controls:
        return found
    seen = memory.decode(state)
    names = (*(seen.profiles or ()), *(seen.newest.day.controls if seen.newest else ()))
    known = {name.casefold(): name for name in names}
    for control in tenant.targets.controls if known else ():
        if control not in names:
            near = get_close_matches(control.casefold(), known, 1)
            hint = f"did you mean {known[near[0]]}?" if near else "`securescore controls list` shows them"
            words = f"the target {control} names no control of this tenant"
            found.append(Finding("target", tenant.name, None, words, hint))
    return found


async def _writable(tenant: TenantConfig, config: Config, transports: Transports) -> Finding:
    try:
        claims = read_claims(await token_provider(tenant, config, transports, write=True).token())
    except SecureScoreError as error:
        return _failed("write_auth", tenant.name, error)
    if (wrong := token_fault(claims, tenant, {WRITE}, transports.clock.now())) is not None:
        return Finding("write_auth", tenant.name, False, *wrong)
    return Finding("write_auth", tenant.name, True if claims else None, _who(claims))


def _failed(what: str, subject: str, error: SecureScoreError) -> Finding:
    words = "; ".join(error.problems) if isinstance(error, ConfigError) else error.what
    return Finding(what, subject, False, words, error.hint, error.reason if isinstance(error, SignInRefused) else "")


def token_fault(
    claims: Claims | None, tenant: TenantConfig, wanted: set[str], now: datetime
) -> tuple[str, str, str] | None:
    """What is wrong with a token before anybody is asked: (fact, remedy, reason). None for a good or an opaque one."""
    if claims is None:
        return None
    if claims.tenant_id and claims.tenant_id != tenant.tenant_id:
        return (
            f"the token is for directory {claims.tenant_id}, not for {tenant.tenant_id}",
            "correct tenant_id, or sign in to the right directory",
            "wrong_directory",
        )
    if claims.audience.rstrip("/") not in (cloud_of(tenant.graph).graph_audience, GRAPH_APP, ""):
        return (
            f"the token is for {claims.audience}, not for Microsoft Graph in this cloud",
            "let its supplier ask for the scope of Microsoft Graph; check the tenant's cloud",
            "wrong_audience",
        )
    if claims.expires_at is not None and claims.expires_at <= now:
        return (
            f"the token expired at {iso(claims.expires_at)}",
            "let its supplier renew it; check this machine's clock",
            "token_expired",
        )
    if claims.permissions & wanted:
        return None
    least = READ if READ in wanted else WRITE
    kind = "delegated" if claims.delegated else "application"
    has = ", ".join(sorted(claims.permissions)) or "none"
    return (
        f"the {kind} permission {least} is missing (granted: {has})",
        _GRANT.format(kind=kind, least=least),
        "permission_missing",
    )


_GRANT = (
    "add the {kind} permission {least} of Microsoft Graph to the app registration; then an administrator of the tenant "
    "must consent (again): --consent-csv FILE writes the address"
)


def denied_although(claims: Claims | None, hint: str) -> tuple[str, str]:
    """Why Graph denies a token that looked good: (remedy, reason)."""
    if claims is None:
        return f"{hint} (The token is opaque: its roles are unknown.)", "denied"
    licence = "the tenant probably has no licence for a product that Secure Score rates"
    roles = claims.directory_roles
    if claims.delegated and roles is not None and not roles & READERS.keys():
        return "give the signed-in user the directory role Security Reader", "directory_role_missing"
    if claims.delegated and roles is None:
        return f"give the signed-in user the directory role Security Reader; if it is there, {licence}", "denied"
    return f"the permission is there: {licence}", "unlicensed"


def _who(claims: Claims | None) -> str:
    """Who reads, in words."""
    if claims is None:
        return "roles unknown: the token is opaque"
    held = claims.permissions & {READ, WRITE}
    return f"signed in as {'user' if claims.delegated else 'application'} with {', '.join(sorted(held))}"


def write_consents(path: Path, config: Config, findings: Sequence[Finding]) -> int:
    """Write the tenants that an administrator's consent would heal; returns how many. Raises SecureScoreError."""
    lacking = {f.subject for f in findings if f.ok is False and f.reason in CONSENT_HEALS}
    rows = [
        (t.name, t.tenant_id, client_id, consent_url(cloud_of(t.graph), t.tenant_id, client_id))
        for t in config.tenants
        if t.name in lacking and t.auth is not None and (client_id := str(t.auth.options.get("client_id") or ""))
    ]
    try:
        with replacing(path) as file:
            writer = csv.writer(text := io.StringIO(newline=""))
            writer.writerow(("name", "tenant_id", "client_id", "consent_url"))
            writer.writerows(rows)
            file.write(text.getvalue().encode("utf-8"))
    except OSError as error:
        raise SecureScoreError(f"cannot write {path}: {error.strerror}", "choose another --consent-csv") from error
    return len(rows)


# --------------------------------------------------------------------------------------------------------------- sinks


async def _sink(prepared: Prepared) -> list[Finding]:
    name, sink = prepared.config.name, prepared.sink
    try:
        if prepared.problems:
            return [Finding("sink", name, False, p, prepared.hint, stops=2) for p in prepared.problems]
        assert sink is not None
        await sink.probe()
    except SecureScoreError as error:
        return [_failed("sink", name, error)]
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
        return [_failed("columns", sink.name, error)]
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


# ---------------------------------------------------------------------------------------------------------------- show

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def show(findings: Sequence[Finding]) -> None:
    """One line a finding; thousands of tenants are grouped by fault."""
    made = table("", "check", "about", "found")
    readable = 0
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for f in findings:
        if f.what in ("tenant", "write_auth") and f.ok is False:
            same = f.reason or _GUID.sub("…", f.detail.replace(f.subject, "…"))
            groups.setdefault((f.what, same, f.hint), []).append(f)
            continue
        if f.what == "tenant" and f.ok:
            readable += 1
            if readable > SHOWN_TENANTS:
                continue
        made.add_row(_mark(f.ok), f.what, clean(f.subject), _words(f.detail, f.hint))
    if readable > SHOWN_TENANTS:
        made.add_row(_mark(True), "tenant", f"{readable - SHOWN_TENANTS} more", "readable")
    for (what, _, hint), members in groups.items():
        names = ", ".join(f.subject for f in members[:SHOWN_TENANTS])
        if len(members) > SHOWN_TENANTS:
            names += f" and {len(members) - SHOWN_TENANTS} more"
        detail = (
            members[0].detail if len(members) == 1 else f"{len(members)} tenants: {_GUID.sub('…', members[0].detail)}"
        )
        made.add_row(_mark(False), what, clean(names), _words(detail, hint))
    out = console()
    draw(made, out)
    bad = sum(f.ok is False for f in findings)
    out.print()
    if bad:
        out.print(f"{bad} of {len(findings)} checks failed.")
    elif any(f.reason == "in_use" for f in findings):
        out.print("All good; a second `run` on this state would be refused.")
    else:
        out.print("All good.")


def _mark(ok: bool | None) -> str:
    return "[green]ok[/green]" if ok else "[yellow]--[/yellow]" if ok is None else "[red]no[/red]"


def _words(detail: str, hint: str) -> str:
    return clean(detail) + (f"\nnext: {clean(hint)}" if hint else "")
