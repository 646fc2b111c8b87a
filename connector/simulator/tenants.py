"""Who the simulated tenants are and what happens to them: sizes, licences, controls, and a timeline of events.

Everything follows from (seed, tenant number); moments are minutes since the first midnight of the world. No documents
are made here and no clock is read.
"""

import uuid
from bisect import bisect_right
from collections.abc import Mapping

from attrs import Factory, define, field, frozen

from connector.simulator import texts
from connector.simulator.catalogue import BLOCK_DAYS, Entry, entries
from connector.simulator.chance import rng, share

DAY = 1440
WEEK = 7 * DAY

CORE_IDENTITY = (
    "AdminMFAV2",
    "BlockLegacyAuthentication",
    "MFARegistrationV2",
    "SigninRiskPolicy",
    "UserRiskPolicy",
)
"""What incidents hit, first of all; otherwise kept near full points."""

_NAMES = (
    *("contoso", "fabrikam", "northwind", "adatum", "litware", "tailspin", "wingtip", "woodgrove"),
    *("proseware", "lucerne", "bellows", "alpine", "fourthcoffee", "cohovineyard", "relecloud", "vanarsdel"),
)


@frozen
class Size:
    """A kind of tenant: ranges of users and Windows devices, and which share of each service's controls is scored."""

    users: tuple[int, int]
    windows: tuple[int, int]
    shares: Mapping[str, float]
    services: tuple[str, ...]
    apps: int
    optional: tuple[str, ...]
    seats: tuple[int, int]


_OFFICE = {"MDO": 1.0, "EXO": 1.0, "AzureAD": 1.0, "SPO": 1.0, "MS Teams": 1.0, "MIP": 1.0, "FORMS": 1.0, "SWAY": 1.0}
SIZES: Mapping[str, Size] = {
    "e5": Size(
        users=(400, 2500),
        windows=(150, 600),
        shares=_OFFICE | {"Admincenter": 1.0, "MCAS": 1.0, "AppG": 1.0, "Intune": 0.5, "Azure ATP": 0.5, "MDATP": 0.68},
        services=(
            "HasEXOP2",
            "HasSPOP2",
            "HasAADP1",
            "HasAADP2",
            "HasMDOP1",
            "HasMDOP2",
            "HasCLB",
            "HasDLP",
            "HasM365E5",
        ),
        apps=2,
        optional=("Azure ATP", "AppG"),
        seats=(1001, 5000),
    ),
    "mid": Size(
        users=(40, 150),
        windows=(14, 60),
        shares=_OFFICE | {"MDO": 0.8, "Admincenter": 1.0, "MDATP": 0.42},
        services=("HasEXOP2", "HasSPOP1", "HasAADP1", "HasMDOP1", "HasMDB"),
        apps=0,
        optional=("MIP",),
        seats=(101, 250),
    ),
    "small": Size(
        users=(4, 40),
        windows=(0, 0),
        shares=_OFFICE | {"MDO": 0.7, "AzureAD": 0.9, "MS Teams": 0.8, "MIP": 0.6},
        services=("HasEOP", "HasEXOP2", "HasSPOP1", "HasAADFree"),
        apps=0,
        optional=("MIP",),
        seats=(1, 100),
    ),
    "tiny": Size(
        users=(4, 6),
        windows=(0, 0),
        shares={"AzureAD": 0.5, "EXO": 0.4, "SPO": 0.2, "MS Teams": 0.2, "MIP": 0.2},
        services=("HasEOP", "HasSPOP1", "HasAADFree"),
        apps=0,
        optional=("MIP",),
        seats=(1, 100),
    ),
}
_LICENCES = {"Azure ATP": "HasAATP", "AppG": "HasMCAS", "MIP": "HasAIPP2", "MDATP": "HasMDEP2", "Intune": "HasCASD"}
_APPS = ("MDA_Zoom", "MDA_GitHub", "MDA_Okta", "MDA_Atlassian", "MDA_DocuSign", "MDA_Dropbox")


@frozen
class Tenant:
    """`id` is a GUID; `size` a key of SIZES."""

    number: int
    id: str
    name: str
    size: str


def make_tenant(seed: int, number: int, sizes: tuple[str, ...]) -> Tenant:
    draw = rng(seed, "tenant", number)
    guid = uuid.UUID(int=draw.getrandbits(128), version=4)
    name = _NAMES[number % len(_NAMES)] + (f"-{number // len(_NAMES)}" if number >= len(_NAMES) else "")
    return Tenant(number, str(guid), name, sizes[number % len(sizes)])


# ------------------------------------------------------------------------------------------------- a tenant's make-up


@frozen
class Slot:
    """One control as this tenant has it. `evidence` says how it is measured, `level` is its first compliant share."""

    base_id: str
    index: int
    evidence: str  # device | users | admins | policy | switch | sentence | bare
    level: float
    restless: bool
    platform: str = ""


@frozen
class Update:
    """One entry of a control's state history, as asserted at `minute`."""

    minute: int
    state: str
    by: str
    comment: str
    assigned_to: str


@frozen
class Plan:
    """What never changes of a tenant. Minutes are offsets inside a day, a week or a month."""

    tenant: Tenant
    users: int
    admins: int
    global_admins: int
    devices: Mapping[str, int]
    slots: Mapping[str, Slot] = field(repr=False)
    instances: Mapping[str, int]
    optional: str
    optional_first: bool
    growth: float
    rewrite_minutes: int
    published_minute: int
    weekly_minute: int
    monthly_minute: int


def evidence(entry: Entry) -> str:
    """How a control is measured; of 68 captured ones 45 count something, 16 are on/off and 7 have only a sentence."""
    if entry.device:
        return "device"
    if entry.id == "AdminMFAV2":
        return "admins"
    if entry.id in {"OneAdmin", "RoleOverlap"}:
        return "bare"
    if entry.id in {*CORE_IDENTITY, "SelfServicePasswordReset"}:
        return "users"
    if entry.id in {"PWAgePolicyNew", "mip_search_auditlog"}:
        return "sentence"
    if entry.family == "exo" and entry.id not in {"exo_individualsharing", "exo_transportrulesallowlistdomains"}:
        return "sentence"
    if entry.id in {"mip_sensitivitylabelspolicies", "mip_autosensitivitylabelspolicies"}:
        return "users"
    if entry.family == "mdo" and entry.id not in {"mdo_atpprotection", "mdo_safedocuments", "mdo_connectionfilter"}:
        return "policy"
    return "switch"


def _first_level(entry: Entry, kind: str, draw: float) -> float:
    if entry.id in CORE_IDENTITY:
        return 0.96 if entry.id == "MFARegistrationV2" else 1.0
    if kind == "device":
        return 0.0 if draw < 0.1 else min(1.0, 0.45 + 0.75 * draw)
    if kind == "users":
        return 1.0 if draw < 0.5 else 0.4 + draw / 2
    if kind == "policy":
        return 1.0 if draw < 0.6 else 0.0 if draw < 0.85 else 0.5
    return 1.0 if draw < 0.62 else 0.0


def make_plan(seed: int, who: Tenant) -> Plan:
    """Draw a tenant. The controls it has include those that the catalogue only learns later."""
    size = SIZES[who.size]
    draw = rng(seed, "plan", who.number)
    low, high = size.users
    users = low + int((high - low) * draw.random() ** 2)
    windows = size.windows[0] + int((size.windows[1] - size.windows[0]) * draw.random() ** 2)
    devices = {
        "windows": windows,
        "macos": windows // 8 if who.size == "e5" or draw.random() < 0.3 else 0,
        "linux": windows // 20 + 2 if who.size == "e5" else 0,
    }
    apps = draw.sample(_APPS, size.apps)
    slots: dict[str, Slot] = {}
    for index, entry in enumerate(entries()):
        chosen, level, restless = draw.random(), draw.random(), draw.random()
        if entry.id in CORE_IDENTITY or entry.service in apps or chosen < size.shares.get(entry.service, 0.0):
            kind, platform = evidence(entry), entry.platform
            if platform and not devices[platform]:
                continue
            slots[entry.id] = Slot(entry.id, index, kind, _first_level(entry, kind, level), restless < 0.35, platform)
    return Plan(
        tenant=who,
        users=users,
        admins=min(users, 4 + draw.randrange(5)),
        global_admins=2 + draw.randrange(3),
        devices=devices,
        slots=slots,
        instances={apps[0]: 10000 + draw.randrange(80000)} if apps else {},
        optional=draw.choice(size.optional),
        optional_first=draw.random() < 0.7,
        growth=draw.random() * 0.08,
        rewrite_minutes=draw.choice((180, 240, 360, 480)),
        published_minute=draw.randrange(180),
        weekly_minute=draw.randrange(WEEK),
        monthly_minute=draw.randrange(30 * DAY),
    )


def enabled_services(plan: Plan, has_optional: bool) -> list[str]:
    """The licence flags of `enabledServices`, in no particular order, as in reality."""
    size = SIZES[plan.tenant.size]
    flags = [_LICENCES[s] for s in size.shares if s in _LICENCES and (s != plan.optional or has_optional)]
    return [*size.services, *flags]


# ------------------------------------------------------------------------------------------------- what happens to it


@define
class Timeline:
    """The events of one tenant as far as they were asked for, block by block; later blocks never alter earlier ones."""

    seed: int
    plan: Plan
    levels: dict[str, list[tuple[int, float, int]]] = Factory(dict)  # minute, new level, minutes until it is reached
    incidents: dict[str, list[tuple[int, int, float]]] = Factory(dict)  # from, to, level meanwhile
    states: dict[str, list[Update]] = Factory(dict)
    licence: list[int] = Factory(list)  # minutes at which the optional licence comes or goes
    _blocks: int = 0
    _incident: int = 0
    _knots: dict[int, list[float]] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        draw = rng(self.seed, "before", self.plan.tenant.number)
        count = max(1, len(self.plan.slots) // 40)
        for minute in sorted(-DAY * (5 + draw.randrange(300)) for _ in range(count)):
            self._assert_state(draw.choice(self._assertable()), minute, draw.random(), "before")
        if devices := [name for name, slot in self.plan.slots.items() if slot.evidence == "device"]:
            # Set in the device portal, not through Graph: the only way a device control gets a state.
            self._assert_state(draw.choice(devices), -DAY * 20, 0.5, "portal")

    def extend(self, day: int) -> None:
        """Make sure that everything up to the end of that day is there."""
        while self._blocks * BLOCK_DAYS <= day:
            self._add_block(self._blocks)
            self._blocks += 1
        while self._incident_start(self._incident) < (day + 1) * DAY:
            self._add_incident(self._incident)
            self._incident += 1

    # -- events ------------------------------------------------------------------------------------------------------

    def _assertable(self) -> list[str]:
        return [s for s, slot in self.plan.slots.items() if slot.evidence != "device" and s not in CORE_IDENTITY]

    def _add_block(self, block: int) -> None:
        draw = rng(self.seed, "block", self.plan.tenant.number, block)
        first = block * BLOCK_DAYS * DAY
        quiet = [s for s, slot in self.plan.slots.items() if s not in CORE_IDENTITY]
        changes = 1 + draw.randrange(2 + len(self.plan.slots) // 60)
        for minute in sorted(self._working_minute(first, draw.random()) for _ in range(changes)):
            name, fresh, days = draw.choice(quiet), draw.random(), 2 + draw.randrange(6)
            device = self.plan.slots[name].evidence == "device"
            level = _first_level_again(self.plan.slots[name].evidence, fresh)
            self.levels.setdefault(name, []).append((minute, level, days * DAY if device else 0))
        asserted = draw.randrange(3 if len(self.plan.slots) > 100 else 2)
        for minute in sorted(self._working_minute(first, draw.random()) for _ in range(asserted)):
            again = [name for name in self.states if self.plan.slots[name].evidence != "device"]
            known = again if again and draw.random() < 0.35 else self._assertable()
            self._assert_state(draw.choice(known), minute, draw.random(), f"{block}")
        if draw.random() < 0.35:
            self.licence.append(first + draw.randrange(BLOCK_DAYS) * DAY)

    def _working_minute(self, first: int, where: float) -> int:
        day = int(where * BLOCK_DAYS)
        return first + day * DAY + 8 * 60 + int((where * BLOCK_DAYS - day) * 9 * 60)

    def _assert_state(self, name: str, minute: int, which: float, salt: str) -> None:
        history = self.states.setdefault(name, [])
        draw = rng(self.seed, "state", self.plan.tenant.number, name, minute, salt)
        state = "Ignored" if which < 0.45 else "ThirdParty" if which < 0.9 else "Reviewed"
        if history and history[-1].state != "Default" and draw.random() < 0.7:
            state = "Default"
        by = f"{draw.choice(texts.ROLES)}@{self.plan.tenant.name}.example"
        assigned = f"{draw.choice(texts.ROLES)}@{self.plan.tenant.name}.example" if draw.random() < 0.2 else ""
        history.append(Update(minute, state, by, draw.choice(texts.COMMENTS), assigned))

    def _incident_start(self, number: int) -> int:
        """The first tenant is the showcase: one every 5 or 6 days. Others: one every 20 to 70 days."""
        who = self.plan.tenant.number
        hour = 9 * 60 + int(share(self.seed, "hour", who, number) * 7 * 60)
        if who == 0:
            return (5 * number + 2 + int(share(self.seed, "offset", 0, number) * 2)) * DAY + hour
        period = 20 + int(share(self.seed, "period", who) * 50)
        return (period * number + int(share(self.seed, "offset", who, number) * 10)) * DAY + hour

    def _add_incident(self, number: int) -> None:
        """A core identity control drops and is repaired after 2 or 3 days."""
        who = self.plan.tenant.number
        name = CORE_IDENTITY[int(share(self.seed, "what", who, number) * len(CORE_IDENTITY))]
        start = self._incident_start(number)
        length = int((2 + share(self.seed, "length", who, number)) * DAY)
        level = 0.1 + 0.4 * share(self.seed, "depth", who, number)
        self.incidents.setdefault(name, []).append((start, start + length, level))

    # -- what holds at a minute ----------------------------------------------------------------------------------------

    def level(self, slot: Slot, minute: int) -> float:
        """The compliant share (0-1) of a control, before daily drift."""
        for start, end, low in reversed(self.incidents.get(slot.base_id, ())):
            if start <= minute < end:
                return low
        changes = self.levels.get(slot.base_id, ())
        position = bisect_right(changes, minute, key=lambda change: change[0])
        if not position:
            return slot.level
        began, level, ramp = changes[position - 1]
        if minute >= began + ramp:
            return level
        before = changes[position - 2][1] if position > 1 else slot.level
        return before + (level - before) * (minute - began) / ramp

    def last_trigger(self, slot: Slot, minute: int) -> int:
        """The last moment at which an administrator touched this control; -1 if never."""
        moments = [m for start, end, _ in self.incidents.get(slot.base_id, ()) for m in (start, end)]
        moments += [began for began, _, _ in self.levels.get(slot.base_id, ())]
        return max((m for m in moments if m <= minute), default=-1)

    def updates(self, name: str, minute: int) -> list[Update]:
        return [u for u in self.states.get(name, ()) if u.minute <= minute]

    def has_optional(self, minute: int) -> bool:
        return self.plan.optional_first ^ bool(bisect_right(self.licence, minute) & 1)

    def drift(self, index: int, minute: int) -> float:
        """A smooth walk in [-1, 1]: straight lines between one random knot a week."""
        week, rest = divmod(minute, WEEK)
        low, high = self._week(week)[index], self._week(week + 1)[index]
        return low + (high - low) * rest / WEEK

    def _week(self, week: int) -> list[float]:
        if week not in self._knots:
            if len(self._knots) > 40:
                self._knots.clear()
            draw = rng(self.seed, "drift", self.plan.tenant.number, week)
            self._knots[week] = [2 * draw.random() - 1 for _ in range(len(entries()) + 8)]
        return self._knots[week]

    def incidents_between(self, first: int, last: int) -> list[tuple[int, str]]:
        """(minute, control) of every incident that begins in [first, last), in order."""
        self.extend(last // DAY)
        windows = ((start, name) for name, found in self.incidents.items() for start, _, _ in found)
        return sorted((start, name) for start, name in windows if first <= start < last)


def _first_level_again(kind: str, draw: float) -> float:
    """A new level after an administrator's change; two of three changes are for the better."""
    if kind == "device":
        return 0.3 + 0.7 * draw
    if kind in {"users", "policy"}:
        return 1.0 if draw < 0.6 else draw
    return 1.0 if draw < 0.65 else 0.0
