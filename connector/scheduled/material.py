"""What a report is made of, whoever asks for it: the stored days, events and evidence of a tenant, the scores beside,
and what its head carries. Nothing is decided here.
"""

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from connector.config.values import Config, ReportConfig, TenantConfig
from connector.errors import ConfigError
from connector.model import OF_UNITS
from connector.observe import estate, memory, units
from connector.observe.evidence import Evidence
from connector.ports import Query, Store
from connector.report import build
from connector.report.logo import MAX_BYTES, logo
from connector.report.values import Brand, CloudMaterial, EvidenceFile, Material, Period

EXPOSURE = "defender_endpoint"
"""The source whose score has no report of its own: it stands beside another."""


async def whole(config: Config, store: Store, tenant: TenantConfig, when: Period, archive: Evidence | None) -> Material:
    """What a report in full is made of: with the archived responses, and the scores beside."""
    clouds = [
        await _cloud(store, entry, when)
        for entry in config.tenants
        if entry.tenant_id == tenant.tenant_id and entry.source in OF_UNITS
    ]
    return evolve(await material(config, store, tenant, when, archive), clouds=tuple(clouds))


async def _cloud(store: Store, entry: TenantConfig, when: Period) -> CloudMaterial:
    """What is remembered of an entry of several units, and of each of them."""
    state = await store.load(entry.key, units.of_all(memory.stood))
    head, stands = memory.head(state), units.whole(entry)
    assert stands is not None
    own, apart = units.split(state)
    found = [
        (estate.of_row(row), memory.shown(apart[units.step(key)], when.start))
        for key, row in units.roster(head).items()
        if units.step(key) in apart
    ]
    no_data = int((head.get("no_data") or {}).get("count", 0))
    return CloudMaterial(entry.name, entry.source, stands, memory.shown(own, when.start), tuple(found), no_data)


async def material(
    config: Config,
    store: Store,
    tenant: TenantConfig,
    when: Period,
    archive: Evidence | None = None,
    types: Sequence[str] = build.EVENT_TYPES,
) -> Material:
    """What is stored of a tenant, with events of these types; the archived responses only when an archive is given."""
    state = await store.load(tenant.key, memory.stood)
    known = memory.shown(state)
    stands = units.whole(tenant)
    of_unit = () if stands is None else (stands.key,)
    events = await store.history(Query(tenant_id=tenant.key, types=tuple(types), units=of_unit, since=when.start))
    files: list[EvidenceFile] = []
    if archive is not None:
        days = {v.day.day for v in known.between(when.start, when.end)} | {known.first_newest or ""}
        files = [EvidenceFile(*row) for row in await archive.verified(tenant.key, sorted(days))]
    problems = sorted({str(p["reason"]) for p in memory.head(state).get("problems", {}).values()})
    return Material(
        name=tenant.name,
        tenant_id=tenant.tenant_id,
        labels=tenant.labels,
        source=tenant.source,
        memory=known,
        events=tuple(events),
        evidence=tuple(files),
        problems=tuple(problems),
        targets=tenant.targets,
        exceptions=tenant.exceptions,
        changes=config.changes,
        language=known.language or tenant.language,
    )


def brand(wanted: ReportConfig) -> Brand:
    """What the head of a report carries. Raises ConfigError where the logo cannot be read, or is none."""
    words = Brand(wanted.customer or "", wanted.author or "", wanted.classification or "")
    if wanted.logo is None:
        return words
    try:
        with Path(wanted.logo).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"report.logo: cannot read {wanted.logo}: {error.strerror}"], "name a picture") from error
    picture = logo(wanted.logo, data)
    return evolve(words, logo=picture.uri, logo_width=picture.width, logo_height=picture.height)
