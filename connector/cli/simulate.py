"""`securescore simulate`: the simulated Graph and Azure as a server, to try the connector without a tenant.

Prose for people and the wiring of world, clock and server; what the simulator says is decided in connector/simulator.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import ssl
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from connector.cli.terminal import plural, say
from connector.cli.times import day_of
from connector.clock import SystemClock, iso
from connector.durable import replacing
from connector.errors import SecureScoreError
from connector.simulator import endpoint
from connector.simulator.authority import Authority, Registration, serve_authority
from connector.simulator.certificates import server_context, write_private
from connector.simulator.facts import lines
from connector.simulator.faults import KINDS, Fault, Faults, Weather
from connector.simulator.habits import switched
from connector.simulator.pace import PacedClock
from connector.simulator.server import READ, Budget, Caller, Simulation, plain_tokens, serve, token_for
from connector.simulator.tenants import Tenant
from connector.simulator.world import HISTORY_DAYS, World

SHOWN_TENANTS = 20
CLIENT_ID = "5c0e5c0e-0000-4000-8000-000000000001"


def _number(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return convert


def _date(text: str) -> date:
    try:
        return day_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-11-22") from None


def _fault(text: str) -> Fault:
    """`KIND[,path=TEXT][,tenant=ID][,times=N][,after=N]`."""
    kind, *settings = text.split(",")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind!r} is no kind of fault; --facts lists them")
    found: dict[str, str | int] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name in ("path", "tenant") and value:
            found[name] = value
        elif name in ("times", "after") and value.isdecimal():
            found[name] = int(value)
        else:
            raise argparse.ArgumentTypeError(f"{setting!r} is none of path=TEXT, tenant=ID, times=N, after=N")
    return Fault(kind, **found)  # type: ignore[arg-type]


def _habit(text: str) -> str:
    try:
        switched([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_number(0, 65535, int), default=8099, help="0 takes any free port (8099)")
    parser.add_argument("--tenants", type=_number(1, 100_000, int), default=3, help="how many tenants (3)")
    azure_help = "how many Azure subscriptions each tenant has (by its size)"
    parser.add_argument("--subscriptions", type=_number(1, 20_000, int), metavar="N", help=azure_help)
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same tenants (7)")
    tls_help = "serve https, and a sign-in host on the next port; writes ca.pem for `network: {ca_file: …}`"
    parser.add_argument("--tls", action="store_true", help=tls_help)
    parser.add_argument("--out", type=Path, help="write a configuration and token files into this folder")
    speed_help = "simulated seconds per second; 1440 lets a day pass each minute (1)"
    parser.add_argument("--speed", type=_number(0.001, 1e6, float), default=1.0, help=speed_help)
    parser.add_argument("--start", type=_date, help="the day to begin with (now; with --speed 60 days ago)")
    weather_help = "share of bad answers: outages, 206, 429, 503, cut bodies (0)"
    parser.add_argument(
        "--fault", type=_fault, action="append", default=[], metavar="KIND[,…]", help="let something go wrong (repeat)"
    )
    parser.add_argument(
        "--habit", type=_habit, action="append", default=[], metavar="NAME[=SHARE]", help="be less kind (repeat)"
    )
    facts_help = "print what is known of the real service, how it is played here, all faults and habits; serve nothing"
    parser.add_argument("--facts", action="store_true", help=facts_help)
    parser.add_argument("--weather", type=_number(0, 1, float), default=0.0, help=weather_help)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; then 0. Raises SecureScoreError when the port or the folder cannot be had."""
    if args.facts:
        say("\n".join(lines()))
        return 0
    try:
        asyncio.run(_serve(args))
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        raise SecureScoreError(f"cannot serve: {what}", "choose another --port or --out") from error
    return 0


async def _serve(args: argparse.Namespace) -> None:
    system = SystemClock()
    start = _start(args, system.now())
    clock = PacedClock(system, start, args.speed)
    first_day = (start - timedelta(days=HISTORY_DAYS)).date()
    world = World(args.seed, args.tenants, first_day, habits=switched(args.habit))
    faults = Faults(args.fault, Weather(args.weather, args.seed) if args.weather else None)
    async with contextlib.AsyncExitStack() as running:
        context, ca_file, authority = None, None, None
        if args.tls:
            context, ca_file = _tls(args, system.now())
            tenants = [who.id for who in world.tenants]
            port = args.port + 1 if args.port else 0
            # Whoever signs in lives in real time, whatever day it is in the simulation.
            authority = await running.enter_async_context(
                serve_authority(system, tenants, [_application()], ssl=context, port=port)
            )
        sim = await running.enter_async_context(
            serve(
                world,
                clock,
                faults=faults,
                port=args.port,
                ssl=context,
                authenticate=_accept(authority),
                budget=Budget(),
                subscriptions=args.subscriptions,
            )
        )
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        _describe(sim, authority, args.out, ca_file, args.speed)  # whoever reads it may end it at once
        await stopped.wait()


def _start(args: argparse.Namespace, now: datetime) -> datetime:
    if args.start:
        return datetime(args.start.year, args.start.month, args.start.day, 9, tzinfo=UTC)
    return now if args.speed == 1 else now - timedelta(days=60)


def _tls(args: argparse.Namespace, now: datetime) -> tuple[ssl.SSLContext, Path]:
    return server_context(args.out or Path("securescore-simulator"), now)


def _application() -> Registration:
    """The application that every simulated tenant has consented to; it may do what reading needs."""
    roles = frozenset({READ, endpoint.ROLE})
    return Registration(CLIENT_ID, secrets={secrets.token_urlsafe(24): True}, roles={None: roles})


def _accept(authority: Authority | None) -> Callable[[str], Caller | None]:
    """Plain tokens, and those of the sign-in host."""
    if authority is None:
        return plain_tokens
    return lambda token: authority.caller(token) or plain_tokens(token)


def _days_behind(sim: Simulation) -> int:
    """Days that simulated time is behind the time of whoever reads."""
    return max(0, round((SystemClock().now() - sim.clock.now()).total_seconds() / 86400))


def _soon(days: int, speed: float) -> str:
    minutes = days * 24 * 60 / (speed - 1)
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


def _describe(
    sim: Simulation, authority: Authority | None, out: Path | None, ca_file: Path | None, speed: float
) -> None:
    """Say what is served and how to use it; with a folder, write it there ready to run."""
    now = sim.clock.now()
    say(f"Simulated Graph, Azure and Defender for Endpoint: {sim.base_url}")
    say(f"Simulated time: {iso(now)}   seed {sim.world.seed}")
    if behind := _days_behind(sim):
        reached = f" and reaches today after {_soon(behind, speed)}" if speed > 1 else ""
        say(f"It is {plural(behind, 'day')} behind{reached}; until then `status` shows that age.")
    say(f"{len(sim.world.tenants)} tenants; a token is accepted for its own tenant only:\n")
    for who in sim.world.tenants[:SHOWN_TENANTS]:
        say(f"  {who.name:<16} {who.size:<6} {who.id}   {token_for(who.id)}")
    if len(sim.world.tenants) > SHOWN_TENANTS:
        say(f"  … and {len(sim.world.tenants) - SHOWN_TENANTS} more (--out DIR writes them all)")
    first = sim.world.tenants[0]
    say(f"\nComing up at {first.name}:")
    for moment, control in sim.world.incidents(first.id, now, now + timedelta(days=14)):
        say(f"  {iso(moment)}  {control} drops")
    trust = f" --cacert {ca_file}" if ca_file else ""
    url = f"{sim.base_url}/v1.0/security/secureScores?$top=1"
    say(f"\nTry:\n  curl -s{trust} -H 'Authorization: Bearer {token_for(first.id)}' '{url}'")
    if authority:
        say(f"\nSign-in host: {authority.base_url}   application {CLIENT_ID}   client secret {_secret(authority)}")
        say(f"A person signs in by device code (`securescore login`) under {authority.base_url}/device?code=…")
    if out:
        say(f"\nConfiguration written: securescore once -c {_write(sim, authority, out, ca_file)}")
    else:
        say("\nConfiguration (put each token and secret into its file, mode 0600; --out DIR does that):\n")
        say(_configuration(sim, authority, Path(), ca_file, SHOWN_TENANTS))
    say("Stop with Ctrl-C.")


def _secret(authority: Authority) -> str:
    return next(iter(authority.registrations[CLIENT_ID].secrets))


def _write(sim: Simulation, authority: Authority | None, out: Path, ca_file: Path | None) -> Path:
    tokens = out / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    for who in sim.world.tenants:
        write_private(tokens / f"{who.name}.token", token_for(who.id).encode())
    if authority:
        write_private(out / "client.secret", _secret(authority).encode())
    path = out / "securescore.yaml"
    with replacing(path) as file:
        file.write(_configuration(sim, authority, out.resolve(), ca_file, len(sim.world.tenants)).encode())
    return path


def _configuration(sim: Simulation, authority: Authority | None, home: Path, ca_file: Path | None, limit: int) -> str:
    """A complete configuration: signs in where there is a sign-in host, else with a token file for each tenant.

    Paths are quoted as JSON strings, which YAML reads alike.
    """

    def quoted(name: str) -> str:
        return json.dumps(str(home / name))

    def auth(tenant: str) -> str:
        return "" if authority else f", auth: {{kind: token, file: {quoted(f'tokens/{tenant}.token')}}}"

    def entries(who: Tenant) -> list[str]:
        """Its Microsoft 365, its Azure, and its devices: three entries of one directory."""
        same = f"tenant_id: {who.id}{auth(who.name)}"
        return [
            f"  - {{name: {who.name}, {same}}}",
            f"  - {{name: {who.name}-azure, source: defender_cloud, compliance: on, {same}}}",
            f"  - {{name: {who.name}-devices, source: defender_endpoint, {same}}}",
        ]

    behind = _days_behind(sim)
    login = f", authority: {json.dumps(authority.base_url)}" if authority else ""
    secret = json.dumps(f"${{file:{(home / 'client.secret').absolute()}}}")
    common = f"defaults: {{auth: {{kind: client_secret, client_id: {CLIENT_ID}, client_secret: {secret}}}}}"
    lines = [
        f"graph: {{base_url: {json.dumps(sim.base_url)}{login}}}",
        f"arm: {{base_url: {json.dumps(sim.base_url)}}}",
        f"defender_endpoint: {{base_url: {json.dumps(sim.base_url)}}}",
        *([f"network: {{ca_file: {json.dumps(str(ca_file.resolve()))}}}"] if ca_file else []),
        f"state: {{path: {quoted('state.db')}}}",
        *([f"changes: {{stale_after: {behind + 3}d}}   # its days begin in the past"] if behind else []),
        *([common] if authority else []),
        "tenants:",
        *(entry for who in sim.world.tenants[:limit] for entry in entries(who)),
        "sinks:",
        f"  - {{name: events, kind: file, path: {quoted('events.jsonl')}}}",
    ]
    return "\n".join(lines) + "\n"
