"""What the simulated vendor scores: 411 controls of today and 18 of the past, and how that catalogue changes over time.

Ids, families and figures are facts read from public captures (controls.csv names them); every word is our own. Nothing
here knows tenants.
"""

import csv
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from attrs import evolve, field, frozen

from connector.simulator import texts
from connector.simulator.chance import rng, share
from connector.simulator.habits import Habits


@frozen
class Entry:
    """One control of the catalogue. `max_score` in points; `retired` = known from the older capture only."""

    id: str
    category: str
    service: str
    tier: str
    max_score: int
    rank: int
    user_impact: str | None
    implementation_cost: str | None
    threats: tuple[str, ...]
    title: str
    retired: bool = False

    @property
    def base_id(self) -> str:
        """The id without the prefix that names one connected instance of an app ("11770.MDA_…")."""
        return re.sub(r"^\d+\.", "", self.id)

    @property
    def family(self) -> str:
        """The text before the first underscore, "" for a bare name."""
        return self.base_id.partition("_")[0] if "_" in self.base_id else ""

    @property
    def device(self) -> bool:
        return self.id.startswith("scid_")

    @property
    def platform(self) -> str:
        """What a device control applies to, after the ranges of its number; "" for all other controls."""
        if not self.device:
            return ""
        number = int(self.id.partition("_")[2])
        return "linux" if number >= 6000 else "macos" if number >= 5000 else "windows"


@cache
def entries() -> tuple[Entry, ...]:
    """All controls ever known, in file order."""
    text = resources.files("connector.simulator").joinpath("controls.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Entry(
            id=row["id"],
            category=row["category"],
            service=row["service"],
            tier=row["tier"],
            max_score=int(row["max_score"]),
            rank=int(row["rank"]),
            user_impact=row["user_impact"] or None,
            implementation_cost=row["implementation_cost"] or None,
            threats=tuple(filter(None, row["threats"].split("|"))),
            title=row["title"] or texts.title(row["id"]),
            retired=row["life"] == "retired",
        )
        for row in rows
    )


# --------------------------------------------------------------------------------------------------- change over time

BLOCK_DAYS = 28
"""One batch of catalogue changes falls into each block of this many days."""

NEWCOMERS = frozenset(
    {
        "aad_phishing_MFA_strength",
        "exo_SPF_records_for_all_domains",
        "mdo_blockmailforward",
        "mdo_safeattachmentpolicy",
        "mdo_spam_notifications_only_for_admins",
        "meeting_restrictanonymousjoin_v1",
        "mip_DLP_policies_Teams",
        "spo_block_onedrive_sync_unmanaged_devices",
        "scid_100",
        "scid_101",
        "scid_2514",
        "scid_2515",
        "scid_5094",
        "scid_6094",
        "MDA_Zoom_MFA",
        "MDA_Google_EnableTwoFactorAuth",
    }
)
"""Ids that join later, besides the connector families of Defender for Identity; they may also leave and come back."""


@frozen
class Version:
    """The catalogue between two batches. `since_day` counts days from the start of the world."""

    number: int
    since_day: int
    entries: Mapping[str, Entry] = field(repr=False)
    absent: tuple[Entry, ...] = field(default=(), repr=False)


def _churns(entry: Entry) -> bool:
    late_families = ("AATP_CyberArk_", "AATP_Okta_", "AATP_EntraConnect")
    return entry.retired or entry.id in NEWCOMERS or entry.id.startswith(late_families)


def _first(known: float) -> Version:
    ours = [entry for entry in entries() if known >= 1 or share("cloud", entry.id) < known]
    absent = tuple(entry for entry in ours if _churns(entry) and not entry.retired)
    return Version(0, 0, {e.id: e for e in ours if e not in absent}, absent)


class Churn:
    """The catalogue of every day of one world: a fold over its batches, remembered as far as it was asked for.

    `big_batches` is the share of months in which more than twenty controls join, `known` that of all controls.
    """

    def __init__(self, seed: int, *, big_batches: float = 0.0, known: float = 1.0) -> None:
        self._seed = seed
        self._big_batches = big_batches
        self._versions = [_first(known)]

    def version(self, day: int) -> Version:
        """The catalogue of that day (0 = first day of the world)."""
        while self._versions[-1].since_day <= day:
            self._versions.append(_next(self._seed, self._versions[-1], self._big_batches))
        low = max(0, day // BLOCK_DAYS - 1)  # version n begins inside block n - 1
        return next(v for v in reversed(self._versions[low : low + 4]) if v.since_day <= day)


def _next(seed: int, before: Version, big_batches: float) -> Version:
    """Apply one monthly batch: some ids join, few vanish without notice, now and then one entry is edited."""
    number = before.number + 1
    draw = rng(seed, "batch", number)
    now = dict(before.entries)
    absent = list(before.absent)
    draw.shuffle(absent)
    wanted = 8 if draw.random() < 0.1 else 1 + draw.randrange(4)
    if share("big batch", seed, number) < big_batches:
        wanted = 24
    joining, absent = absent[:wanted], absent[wanted:]
    leaving = sorted(entry_id for entry_id, entry in now.items() if _churns(entry) and not entry.device)
    for entry_id in draw.sample(leaving, min(len(leaving), draw.randrange(4) + (2 if len(absent) < 20 else 0))):
        absent.append(now.pop(entry_id))
    now |= {entry.id: entry for entry in joining}
    if draw.random() < 0.6:
        edited = _edit(draw.choice(sorted(now)), now, draw.random())
        now[edited.id] = edited
    day = (number - 1) * BLOCK_DAYS + 3 + draw.randrange(BLOCK_DAYS - 6)
    return Version(number, day, now, tuple(absent))


def _edit(entry_id: str, now: Mapping[str, Entry], which: float) -> Entry:
    entry = now[entry_id]
    if which < 0.4:
        return evolve(entry, max_score=entry.max_score - 1 if entry.max_score > 5 else entry.max_score + 1)
    if which < 0.7:
        return evolve(entry, title=f"{entry.title} (revised)"[:125].replace("(revised) (revised)", "(revised)"))
    if which < 0.85:
        moved = next((e for e in now.values() if e.family == "aad" and e.category == "Apps"), entry)
        return evolve(moved, category="Identity")
    return evolve(entry, rank=1 + entry.rank % 128)


# -------------------------------------------------------------------------------------------- what does not stand still

_MONTH_MINUTES = 30 * 1440
_NEXT_CATEGORY = {"Apps": "Identity", "Identity": "Apps", "Data": "Apps", "Device": "Apps"}
_NEXT_SERVICE = {"MDO": "EXO", "EXO": "MDO", "FORMS": "SWAY", "SWAY": "FORMS"}
_NEXT_TIER = {"Core": "Advanced", "Advanced": "Core", "Defense In Depth": "Core"}


def as_of(entry: Entry, habits: Habits, minute: int) -> Entry:
    """An entry at a minute: now and then in another category, service and tier, or with another maximum."""
    if habits.recategorised and share("moves", entry.id) < habits.recategorised:
        offset = int(share("moved at", entry.id) * _MONTH_MINUTES)
        if (minute - offset) // _MONTH_MINUTES % 2:
            entry = evolve(
                entry,
                category=_NEXT_CATEGORY.get(entry.category, entry.category),
                service=_NEXT_SERVICE.get(entry.service, entry.service),
                tier=_NEXT_TIER.get(entry.tier, entry.tier),
            )
    if habits.swinging and share("swings", entry.id) < habits.swinging and minute // 360 % 2:
        entry = evolve(entry, max_score=entry.max_score - 1 if entry.max_score > 1 else 2)
    return entry


def hidden(entry: Entry, habits: Habits, minute: int, where: str) -> bool:
    """Whether an entry is missing from the catalogue or the document at a minute: for one hour of each day.

    Never in the last hours: what a day was closed without stays missing in history.
    """
    if not habits.flickering or share("flickers", entry.id) >= habits.flickering:
        return False
    day, within = divmod(minute, 1440)
    return within // 60 == int(share("hour", where, entry.id, day) * 21)
