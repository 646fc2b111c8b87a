"""Writes the reports that are due: one file a tenant and period, told by one event, and never twice.

A report is due when a period is over and its last day has closed, or LATE after its end whatever is known by then. The
latest period that is due is written, and none before it: what ended while nothing ran is caught up once. First comes
the file, whole and durable; then one transaction notes in the tenant's state that it was written, together with the
event that says where it lies and what its SHA-256 is. A crash in between writes the same file once more and tells it
once. Whoever moves or deletes a file does not make it be written again.

The event goes to every sink like any other. So a report reaches people by the same durable way: the mail sink attaches
the file that the event names, if it still has these bytes.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from connector.clock import Threads, iso, parse_iso
from connector.config.values import Config, ScheduleConfig, TenantConfig, selects
from connector.errors import Conflict, SecureScoreError, StoreError, TenantDamaged
from connector.language.choice import language
from connector.model import Change, Event
from connector.observe import memory, units
from connector.observe.events import stamp
from connector.observe.evidence import Evidence
from connector.observe.severity import SeverityRules
from connector.ports import Clock, State, Store
from connector.problems import Fault
from connector.report import build
from connector.report.forms import Form, choose
from connector.report.values import Cover, Material
from connector.scheduled.material import EXPOSURE, brand, whole
from connector.scheduled.periods import Span, back_from, last_over
from connector.scheduled.places import expire, place, write

log = logging.getLogger("securescore.reports")

LATE = timedelta(days=2)
"""So long after the end of a period its report waits for the last day to close."""
WRITE_LIMIT_S = 300.0
COMMIT_TRIES = 5
SHOWN = 3
"""So many tenants without a report are named in a problem."""
TYPE = "connector.report_written"
SUBJECT = "reports"
"""With the number of the entry, what a problem is about."""


@frozen
class Written:
    """A report on disk."""

    file: Path
    bytes: int
    sha256: str


@define
class Writer:
    """Writes what `reports` asks for. What it remembers is in the tenants' states; the rest may be forgotten."""

    reports: Sequence[ScheduleConfig]
    store: Store
    clock: Clock
    severity: SeverityRules
    version: str
    archive: Evidence | None = None
    _threads: Threads = field(factory=lambda: Threads("reports", 1), init=False)
    # What is known to be written: (path, tenant) → key of the period.
    _done: dict[tuple[str, str], str] = field(factory=dict, init=False)
    # What could not be written when somebody looked last: path → tenant → (why, what to do).
    _failed: dict[str, dict[str, tuple[str, str]]] = field(factory=dict, init=False)
    _expired: dict[str, date] = field(factory=dict, init=False)
    _looked: bool = field(default=False, init=False)

    async def write_due(self, config: Config, tenants: Sequence[TenantConfig]) -> list[Written]:
        """Write what is due of these tenants of a configuration, and delete what is past its time. Raises StoreError.

        What cannot be written is a fault, and is tried again next time.
        """
        written: list[Written] = []
        for report in self.reports:
            chosen = [t for t in tenants if t.source != EXPOSURE and selects(report.tenants, t.name, t.labels)]
            failed: dict[str, tuple[str, str]] = {}
            for tenant in chosen:
                try:
                    found = await self._write_one(config, report, tenant)
                except TenantDamaged as error:
                    failed[tenant.name] = (error.what, error.hint)
                except StoreError:
                    raise
                except (SecureScoreError, OSError, TimeoutError, ValueError) as error:
                    failed[tenant.name] = _words(error)
                else:
                    written += [] if found is None else [found]
            self._failed[report.path] = failed
            await self._expire(report)
        self._looked = True
        return written

    def faults(self, known: Mapping[str, Any]) -> list[Fault]:
        """What cannot be written now; before the first look what was open before."""
        if not self._looked:
            was = [known[key] for key in known if key.startswith(f"connector.problem:{SUBJECT}")]
            words = "Problem: a report could not be written, not tried again since the start"
            return [Fault("connector.problem", str(w["reason"]), str(w["subject"]), words) for w in was]
        return [fault for n, report in enumerate(self.reports) if (fault := self._fault(n, report)) is not None]

    def _fault(self, number: int, report: ScheduleConfig) -> Fault | None:
        failed = self._failed.get(report.path)
        if not failed:
            return None
        why, hint = next(iter(failed.values()))
        names = ", ".join(list(failed)[:SHOWN]) + (f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else "")
        summary = f"Problem: a report cannot be written, of {len(failed)} tenant{'' if len(failed) == 1 else 's'}"
        return Fault(
            "connector.problem",
            "report_failed",
            f"{SUBJECT}[{number}]",
            summary,
            detail=f"{names}: {why}",
            hint=hint,
            data={"report": {"path": report.path, "tenants": len(failed)}},
        )

    # ------------------------------------------------------------------------------------------------- one report

    async def _write_one(self, config: Config, report: ScheduleConfig, tenant: TenantConfig) -> Written | None:
        """Write one report if it is due. None when it is not, or was written before."""
        now = self.clock.now()
        if self._done.get((report.path, tenant.key), "") >= last_over(report.every, now.date()).key:
            return None
        head = memory.head((await self.store.heads([tenant.key]))[tenant.key])
        newest = str(head.get("newest") or "")
        if not newest:
            return None  # nothing was ever read: that is told of the tenant itself
        span = next(s for s in back_from(report.every, now.date()) if newest > s.end or now >= _late(s))
        if str(head.get("reports", {}).get(report.path, "")) >= span.key:
            self._done[report.path, tenant.key] = span.key
            return None
        form = choose(None, report.path, None, language(report.language))
        when = build.period(span.start, span.end)
        found = await whole(config, self.store, tenant, when, self.archive)
        written = await self._threads.run(
            lambda: self._render_and_write(report, tenant, span, form, found), WRITE_LIMIT_S, (report.path, tenant.key)
        )
        await self._note(report, tenant, span, form, written)
        self._done[report.path, tenant.key] = span.key
        log.info("report.written", extra={"tenant": tenant.name, "period": span.key, "path": str(written.file)})
        return written

    def _render_and_write(
        self, report: ScheduleConfig, tenant: TenantConfig, span: Span, form: Form, found: Material
    ) -> Written:
        """In a thread: a report takes a while."""
        when = build.period(span.start, span.end)
        summary = build.summarise(found, when)
        if summary.error is not None:
            raise SecureScoreError(summary.error, "see `securescore status`; it is written as soon as a day is known")
        cover = Cover(self.version, iso(self.clock.now()), when, (summary,), (tenant.name,), brand(tenant.report))
        last = summary.newest_day
        of = build.period(last, last) if form.last_day and last is not None else when
        parts = (form.writes.opening(cover), form.writes.tenant(build.build(found, of), 0), form.writes.closing(cover))
        body = "".join(parts).encode("utf-8")
        file = place(report.path, tenant.name, span.key)
        write(file, body)
        return Written(file, len(body), hashlib.sha256(body).hexdigest())

    async def _note(
        self, report: ScheduleConfig, tenant: TenantConfig, span: Span, form: Form, written: Written
    ) -> None:
        """Note and tell it, in one transaction; a poll that commits at the same moment goes first."""
        for attempt in range(COMMIT_TRIES):
            state = (await self.store.heads([tenant.key]))[tenant.key] or State()
            head = memory.head(state)
            values = {**head, "reports": {**head.get("reports", {}), report.path: span.key}}
            event = self._event(report, tenant, span, form, written)
            try:
                await self.store.commit(tenant.key, memory.with_head(state, values), [event])
            except Conflict:
                if attempt + 1 == COMMIT_TRIES:
                    raise
                await asyncio.sleep(0)
                continue
            return

    def _event(self, report: ScheduleConfig, tenant: TenantConfig, span: Span, form: Form, written: Written) -> Event:
        told = {
            "every": report.every,
            "period": span.key,
            "start": span.start,
            "end": span.end,
            "format": form.name,
            "language": report.language,
            "name": written.file.name,
            "path": str(written.file),
            "bytes": written.bytes,
            "sha256": written.sha256,
        }
        place_id = hashlib.sha256(report.path.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        change = Change(
            TYPE,
            "report",
            "",
            f"{report.every}#{span.key}#{place_id}",
            "",
            {"summary": f"Report of {span.key} written: {written.file.name}", "report": told},
        )
        return stamp(change, units.ours(tenant), iso(self.clock.now()), self.severity)

    async def _expire(self, report: ScheduleConfig) -> None:
        """Once a day. A clock that runs ahead deletes what a right one would keep, but never the latest period."""
        today = self.clock.now().date()
        if self._expired.get(report.path) == today:
            return
        try:
            gone = await self._threads.run(
                lambda: expire(report.path, report.every, today, report.keep_days), WRITE_LIMIT_S, report.path
            )
        except (OSError, TimeoutError) as error:
            log.warning("report.not_expired", extra={"path": report.path, "error": str(error)})
            return
        self._expired[report.path] = today
        for file in gone:
            log.info("report.expired", extra={"path": str(file)})


def _late(span: Span) -> datetime:
    """From when on a report waits for nothing more."""
    return parse_iso(f"{span.end}T00:00:00Z") + timedelta(days=1) + LATE


def _words(error: Exception) -> tuple[str, str]:
    if isinstance(error, SecureScoreError):
        return error.what, error.hint
    hint = "free space, or correct `reports`; it is tried again by itself"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror, hint
    return str(error) or type(error).__name__, hint
