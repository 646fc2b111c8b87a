"""What `check` finds of a tenant: its token, its first poll without the commit, and whether consent is lacking.

The poll is the poller's own, against what the state remembers; nothing of it is committed.
"""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from attrs import define, evolve

from connector.app import (
    READ,
    WRITE,
    Transports,
    target_of,
    token_provider,
)
from connector.cli import check_units
from connector.cli.check_selected import controls_of
from connector.cli.check_state import flawed
from connector.cli.check_units import grant_hint
from connector.cli.check_units import token_fault as units_token_fault
from connector.cli.findings import Finding, failed
from connector.clock import iso
from connector.config.values import Config, TenantConfig
from connector.durable import replacing
from connector.errors import Denied, SecureScoreError
from connector.formats.spreadsheet import cell
from connector.model import OF_UNITS, Known, Reading, Snapshot
from connector.net.clouds import cloud_of, consent_url
from connector.observe import memory, units
from connector.observe.poller import Poller, PollOutcome
from connector.ports import Source, State, Store
from connector.signin.claims import READERS, Claims, read_claims
from connector.signin.refusals import CONSENT_REASONS, SignInRefused
from connector.stores.trial import TrialStore

GRAPH_APP = "00000003-0000-0000-c000-000000000000"
CONSENT_HEALS = CONSENT_REASONS | {"permission_missing"}


async def check_tenant(
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
    if not tenant.saved and (tenant.source == "graph" or tenant.source in OF_UNITS):
        now = transports.clock.now()
        try:
            claims = read_claims(await token_provider(tenant, config, transports).token())
        except SecureScoreError as error:
            return [failed("tenant", name, error)]
        graph = tenant.source == "graph"
        wrong = token_fault(claims, tenant, {READ, WRITE}, now) if graph else units_token_fault(claims, tenant, now)
        if wrong is not None:
            return [Finding("tenant", name, False, *wrong)]
    look = Look(poller.open_source, anew=tenant.source in OF_UNITS)
    try:
        kept = TrialStore(poller.store)  # of this tenant alone: what it keeps ends with it
        trial = cast("Store", kept)
        outcome = await evolve(poller, open_source=look.open, store=trial).poll(tenant)
    except SecureScoreError as error:  # the memory of this tenant
        return [failed("tenant", name, error)]
    notes = [Finding("input", name, None, note) for note in outcome.notes]
    polled = _polled(tenant, outcome, look, claims)
    if tenant.source == "defender_endpoint" and not tenant.saved and isinstance(look.error, Denied):
        audience = await check_units.other_audience(tenant, config, transports)
        words = f"write `defender_endpoint: {{audience: {audience}}}`: with that it is answered"
        polled = evolve(polled, hint=words) if audience else polled
    return [
        polled,
        *(check_units.findings(tenant, look.snapshot) if isinstance(look.snapshot, Reading) else ()),
        *notes,
        *flawed(config, kept.flaws),
        *_remembered(tenant, await trial.load(tenant.key)),
    ]


def _polled(tenant: TenantConfig, outcome: PollOutcome, look: "Look", claims: Claims | None) -> Finding:
    name, error, snapshot = tenant.name, look.error, look.snapshot
    if isinstance(error, Denied) and tenant.source == "graph" and not isinstance(error, SignInRefused):
        return Finding("tenant", name, False, error.what, *denied_although(claims, error.hint))
    if error is not None:
        return failed("tenant", name, error)
    if outcome.status not in ("ok", "unchanged") or snapshot is None:
        hint = outcome.hint or "usually heals by itself: try again in some minutes"
        return Finding("tenant", name, False, outcome.error or "", hint, partly=outcome.status == "partial")
    who = f"; {_who(claims)}" if tenant.source == "graph" else ""
    if outcome.newest_day is None:
        seen = f"; {check_units.seen(tenant, snapshot)}" if isinstance(snapshot, Reading) else ""
        return Finding("tenant", name, None, f"readable, but Microsoft has published no score yet{who}{seen}")
    detail = f"newest day {outcome.newest_day}"
    if outcome.status == "unchanged":
        detail += ", unchanged since the last poll"
    if isinstance(snapshot, Reading):
        return Finding("tenant", name, True, f"{detail}; {check_units.seen(tenant, snapshot)}")
    if isinstance(snapshot.days, tuple) and snapshot.days:
        newest = next((day for day in snapshot.days if day.day == outcome.newest_day), None)
        detail += f", {len(newest.controls)} controls scored" if newest else ""
    if isinstance(snapshot.catalogue, Mapping):
        detail += f", {len(snapshot.catalogue)} in the catalogue"
    return Finding("tenant", name, True, f"{detail}{who}")


@define
class Look:
    """Looks at what a poll reads: the snapshot, or the error in its own type, which the outcome has in words only.

    `anew`: also what was read before, for what is said of all of it.
    """

    opener: Callable[[TenantConfig], Awaitable[Source]]
    anew: bool = False
    snapshot: Snapshot | Reading | None = None
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

    async def read(self, known: Known) -> Snapshot | Reading:
        known = evolve(known, pages={}) if self.look.anew else known
        try:
            found = self.look.snapshot = await self.source.read(known)
        except SecureScoreError as error:
            self.look.error = error
            raise
        return found

    async def close(self) -> None:
        await self.source.close()


def _remembered(tenant: TenantConfig, state: State | None) -> list[Finding]:
    """What is being refused after that poll, and targets that name no control of this tenant."""
    found = []
    for row in units.refused(memory.head(state)):
        of_unit = f" of {row['unit']}" if "unit" in row else ""
        words = f"{row['part']}{of_unit} is refused since {row['since']}: {row['reason']}"
        which = f" --unit {row['unit']}" if "unit" in row else ""
        hint = f"`securescore accept-snapshot --tenant {tenant.name}{which}` believes it at the next poll"
        if row["part"] not in ("newest day", "catalogue"):
            hint = "our own copy stands; it ends when the feed no longer holds that document"
        found.append(Finding("refused", tenant.name, None, words, hint))
    asked = tenant.targets.baseline
    named = [("target", control) for control in tenant.targets.controls]
    if asked is not None:
        named += [("baseline's control", c) for c in (*asked.full, *(wish.control for wish in asked.declared))]
    if not named:
        return found
    names = controls_of(tenant, state)
    known = {name.casefold(): name for name in names}
    for what, control in named if known else ():
        there = control in names if what == "target" else control.casefold() in known  # a baseline's in any case
        if not there:
            near = get_close_matches(control.casefold(), known, 1)
            hint = f"did you mean {known[near[0]]}?" if near else "`securescore controls list` shows them"
            words = f"the {what} {control} names no control of this tenant"
            found.append(Finding("target", tenant.name, None, words, hint))
    return found


async def _writable(tenant: TenantConfig, config: Config, transports: Transports) -> Finding:
    try:
        claims = read_claims(await token_provider(tenant, config, transports, write=True).token())
    except SecureScoreError as error:
        return failed("write_auth", tenant.name, error)
    if (wrong := token_fault(claims, tenant, {WRITE}, transports.clock.now())) is not None:
        return Finding("write_auth", tenant.name, False, *wrong)
    return Finding("write_auth", tenant.name, True if claims else None, _who(claims))


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
        grant_hint(tenant, f"the permission {least} of Microsoft Graph", _GRANT.format(kind=kind, least=least)),
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


def client_of(tenant: TenantConfig) -> str:
    """The application that signs in for a tenant; "" where there is none of ours."""
    return str((tenant.auth.options.get("client_id") if tenant.auth is not None else None) or "")


def consent_address(tenant: TenantConfig) -> str:
    """Where an administrator consents, in the directory and the cloud in which the application signs in; "" where none
    does.
    """
    client_id = client_of(tenant)
    return consent_url(target_of(tenant).cloud, tenant.directory, client_id) if client_id else ""


def write_consents(path: Path, config: Config, findings: Sequence[Finding]) -> int:
    """Write the tenants that an administrator's consent would heal; returns how many. Raises SecureScoreError."""
    lacking = {f.subject for f in findings if f.ok is False and f.reason in CONSENT_HEALS}
    rows = [
        (t.name, t.tenant_id, client_of(t), address)
        for t in config.tenants
        if t.name in lacking and (address := consent_address(t))
    ]
    try:
        with replacing(path) as file:
            writer = csv.writer(text := io.StringIO(newline=""))
            writer.writerow(("name", "tenant_id", "client_id", "consent_url"))
            writer.writerows([cell(value) for value in row] for row in rows)
            file.write(text.getvalue().encode("utf-8"))
    except OSError as error:
        raise SecureScoreError(f"cannot write {path}: {error.strerror}", "choose another --consent-csv") from error
    return len(rows)
