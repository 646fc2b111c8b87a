"""What the configuration says of tenants and controls that nobody has: warnings, as it may be meant for later.

Who is selected is said by `selects`, which controls a tenant has by what the state remembers; nothing is polled for it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import define, field

from connector.cli.findings import Finding
from connector.cli.names import did_you_mean, near
from connector.config.baseline import Baseline
from connector.config.read import Path as Place
from connector.config.read import placed
from connector.config.values import Config, TenantConfig, selects
from connector.config.yaml_file import located_baseline
from connector.errors import SecureScoreError
from connector.model import OF_UNITS
from connector.observe import memory, units
from connector.observe.baseline import matches
from connector.ports import State, Store

Where = Callable[[Place], int | None]
"""The line of a place in a file; None where no lines are known."""
_NONE_LIKE_IT = "`securescore tenants list` shows them"


def controls_of(tenant: TenantConfig, state: State | None) -> set[str]:
    """The controls that are remembered of a tenant: those it scores, and those of its catalogue."""
    names: set[str] = set()
    own, others = units.split(state)
    for view in others.values() if units.whole(tenant) else (own,):
        seen = memory.shown(view)
        names.update(seen.profiles or (), seen.newest.day.controls if seen.newest else ())
    return names


async def selected(config: Config, store: Store | None) -> list[Finding]:
    """Every pattern that selects no tenant, and what a baseline says of controls that none of its tenants has."""
    found = list(_of_nobody("sink", "sinks", [(s.name, s.tenants) for s in config.sinks], config.tenants))
    every = [(report.path, report.tenants) for report in config.reports]
    found += _of_nobody("report", "reports", every, config.tenants)
    if config.baseline is None:
        return found
    file = Path(config.baseline).name
    try:
        baseline, within = located_baseline(config.baseline)
    except SecureScoreError:  # it was read a moment ago, and is being written anew: the next start tells it
        return found
    found += _tenants_of(baseline, file, config.tenants, within)
    return found if store is None else [*found, *await _controls_of(baseline, file, config.tenants, store, within)]


def _of_nobody(
    what: str,
    key: str,
    lists: Iterable[tuple[str, Sequence[str]]],
    tenants: Sequence[TenantConfig],
    where: Where = lambda _: None,
) -> Iterator[Finding]:
    """A finding for each pattern of these lists that selects nobody."""
    for n, (name, patterns) in enumerate(lists):
        for pattern in dict.fromkeys(patterns):
            if not any(selects([pattern], t.name, t.labels) for t in tenants):
                words = f"{placed((key, n, 'tenants'), where)}: {pattern} selects no tenant"
                yield Finding(what, name, None, words, _meant(pattern, tenants))


def _meant(pattern: str, tenants: Sequence[TenantConfig]) -> str:
    names = [t.name for t in tenants]
    if "=" in pattern:
        names = [f"{label}={value}" for t in tenants for label, value in t.labels.items()]
    return did_you_mean(near(pattern, names), _NONE_LIKE_IT)


def _tenants_of(baseline: Baseline, file: str, tenants: Sequence[TenantConfig], where: Where) -> Iterator[Finding]:
    standards = [(f"{file}: {standard.name}", standard.tenants) for standard in baseline.standards]
    yield from _of_nobody("baseline", "standards", standards, tenants, where)
    excuses = [(f"{file}: exception", patterns) for patterns, _ in baseline.excuses]
    yield from _of_nobody("baseline", "exceptions", excuses, tenants, where)
    for n, (name, patterns) in enumerate(standards):
        mine = [t for t in tenants if selects(patterns, t.name, t.labels)]
        if mine and all(t.source in OF_UNITS for t in mine):
            place = placed(("standards", n, "tenants"), where)
            words = f"{place} selects only entries of several units, which have no baseline"
            yield Finding("baseline", name, None, words, "select the entries whose source is graph or files")


@define
class _Controls:
    """The controls of tenants, read when they are asked for and once."""

    store: Store
    read: dict[str, set[str]] = field(factory=dict)

    async def of(self, tenant: TenantConfig) -> set[str]:
        if tenant.name not in self.read:
            try:
                self.read[tenant.name] = controls_of(
                    tenant, await self.store.load(tenant.key, units.of_all(memory.stands))
                )
            except SecureScoreError:  # the memory of this tenant: its own finding says it
                self.read[tenant.name] = set()
        return self.read[tenant.name]


async def _controls_of(
    baseline: Baseline, file: str, tenants: Sequence[TenantConfig], store: Store, where: Where
) -> list[Finding]:
    """Globs of controls that fit none of the tenants they are for; nothing where no such tenant is known yet."""
    rules: list[tuple[str, Place, Sequence[str], Sequence[str]]] = [
        (f"{file}: {standard.name}", ("standards", n, "not_declared", m), standard.tenants, rule.controls)
        for n, standard in enumerate(baseline.standards)
        for m, rule in enumerate(standard.asks.forbidden)
    ]
    rules += [
        (f"{file}: exception", ("exceptions", n), patterns, excuse.controls)
        for n, (patterns, excuse) in enumerate(baseline.excuses)
    ]
    controls, found = _Controls(store), []
    for subject, key, patterns, globs in rules:
        mine = [t for t in tenants if t.source not in OF_UNITS and selects(patterns, t.name, t.labels)]
        for glob in dict.fromkeys(globs):
            seen = await _none_fits(controls, mine, glob)
            if seen:
                words = f"{placed((*key, 'controls'), where)}: {glob} names no control of the tenants it is for"
                hint = did_you_mean(near(glob, seen), "`securescore controls list` shows them")
                found.append(Finding("baseline", subject, None, words, hint))
    return found


async def _none_fits(controls: _Controls, tenants: Sequence[TenantConfig], glob: str) -> set[str]:
    """The controls of all these tenants where none fits; empty as soon as one does."""
    seen: set[str] = set()
    for tenant in tenants:
        own = await controls.of(tenant)
        if any(matches((glob,), name) for name in own):
            return set()
        seen |= own
    return seen
