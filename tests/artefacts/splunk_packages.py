"""Builds the Splunk packages once for all tests of a run, unpacks them, and drives the add-on as splunkd does.

Around the driven add-on: a simulated Graph, a sign-in host behind a private CA, and a splunkd that is a fake. No
assertions.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from attrs import define, field, frozen

from connector.clock import SimulatedClock, SystemClock
from connector.simulator.authority import Authority, Registration, serve_authority
from connector.simulator.certificates import server_context
from connector.simulator.server import READ, Simulation, serve
from connector.simulator.world import World
from tests.fakes.kvstore import SESSION, Splunkd, splunkd, stored_secret
from tests.needs import missing

ROOT = Path(__file__).parents[2]
SPLUNK = ROOT / "packaging" / "splunk"
ADDON = "TA_ms_secure_score"
KNOWLEDGE = "ms_secure_score_knowledge"
EPOCH = "1790000000"
CLIENT_ID = "5c0e5c0e-0000-4000-8000-000000000001"
SECRET = "a secret/of+more~than 255 characters " * 10
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
"""What splunkd gives its inputs, more or less. Tests add where byte code may go: not into the installed folder."""


@frozen
class Packages:
    """The two archives, and where each is unpacked."""

    addon: Path
    knowledge: Path
    addon_tree: Path
    knowledge_tree: Path


# ------------------------------------------------------------------------------------------------------------- building


def tool(name: str) -> str:
    """A program of packaging/splunk's own environments, as `make` names it: relative to the checkout."""
    path = Path("build", f".{name}", "bin", name)
    if not (ROOT / path).exists():
        missing(f"{name} is not installed: make build/.{name}")
    return str(path)


def python313() -> str:
    """Splunk's interpreter."""
    path = os.environ.get("SECURESCORE_PYTHON313") or shutil.which("python3.13")
    if path is None or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        missing("Python 3.13 is not installed; name it in SECURESCORE_PYTHON313")
    assert path is not None
    return path


def older_python() -> str:
    """The interpreter of a Splunk that is too old: 3.9 where this machine has it, else one that is merely too old."""
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.9*/bin/python3.9"))
    for path in (os.environ.get("SECURESCORE_PYTHON39"), *pyenv, shutil.which("python3.9"), "/usr/bin/python3"):
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return str(path)
    missing("neither Python 3.9 nor /usr/bin/python3 is installed; name one in SECURESCORE_PYTHON39")
    raise AssertionError


def build(into: Path, *kinds: str) -> None:
    command = [
        sys.executable,
        str(SPLUNK / "build.py"),
        *kinds,
        "--out",
        str(into),
        "--ucc",
        tool("ucc-gen"),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"build.py failed:\n{done.stdout}{done.stderr}")


def found(folder: Path) -> Packages:
    def one(name: str) -> Path:
        return next(iter(folder.glob(f"{name}-*.tar.gz")), folder / name)

    return Packages(one(ADDON), one(KNOWLEDGE), folder / ADDON, folder / KNOWLEDGE)


def shared(folder: Path) -> Packages:
    """Both packages, built and unpacked once for all test processes that name the same folder."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            build(folder, "addon", "knowledge")
            for archive in folder.glob("*.tar.gz"):
                with tarfile.open(archive) as packed:
                    packed.extractall(folder, filter="data")
            (folder / ".done").touch()
    return found(folder)


# -------------------------------------------------------------------------------------------------------------- driving


@frozen
class Ended:
    """What a process said until it ended."""

    code: int | None
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, str]]:
        return events_of(self.out)


def events_of(text: str) -> list[dict[str, str]]:
    """The complete events of a stream, which may have been cut: stanza, time, source, …, data."""
    whole = text[: text.rfind("</event>") + len("</event>")] if "</event>" in text else "<stream>"
    root = ET.fromstring(f"{whole}</stream>")
    return [
        {"stanza": each.get("stanza", ""), **{part.tag: part.text or "" for part in each if part.tag != "done"}}
        for each in root.iter("event")
    ]


@define
class Bench:
    """A splunkd with the add-on installed, a tenant whose time the test moves, and somewhere to sign in."""

    tree: Path
    folder: Path
    python: str
    splunkd: Splunkd
    sim: Simulation
    clock: SimulatedClock
    authority: Authority
    params: dict[str, str] = field(factory=dict)
    more_env: dict[str, str] = field(factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {**BARE, "PYTHONPYCACHEPREFIX": str(self.tree.parent / "bytecode"), **self.more_env}

    def tenants(self) -> list[Any]:
        return list(self.sim.world.tenants)

    def account(self, name: str, tenant_id: str, secret: str = SECRET, **more: str) -> None:
        conf = f"{ADDON.lower()}_account"
        self.splunkd.confs.setdefault(conf, {})[name] = {
            "tenant_id": tenant_id,
            "client_id": CLIENT_ID,
            "client_secret": "******",
            "cloud": "global",
            "ca_file": str(self.folder / "ca.pem"),
            "graph_url": self.sim.base_url,
            "login_url": self.authority.base_url,
            "expires_on": "",
            **more,
        }
        self.splunkd.secrets += stored_secret(ADDON, conf, name, {"client_secret": secret})

    def stdin(self, name: str, member: Splunkd | None = None, /, **params: str) -> str:
        """What splunkd writes to an input's process."""
        given = {**DEFAULTS, **self.params, **params}
        each = "".join(f'<param name="{key}">{escape(value)}</param>' for key, value in given.items())
        configuration = (
            f'<configuration><stanza name="secure_score://{name}" app="{ADDON}">{each}</stanza></configuration>'
        )
        return f"<input>{self._head(member)}{configuration}</input>"

    def proposal(self, name: str, **params: str) -> str:
        """What splunkd writes to `--validate-arguments`."""
        each = "".join(f'<param name="{key}">{escape(value)}</param>' for key, value in {**DEFAULTS, **params}.items())
        return f'<items>{self._head(None)}<item name="{name}">{each}</item></items>'

    def _head(self, member: Splunkd | None) -> str:
        port = (member or self.splunkd).port
        return (
            f"<server_host>sh1</server_host><server_uri>http://127.0.0.1:{port}</server_uri>"
            f"<session_key>{SESSION}</session_key><checkpoint_dir>{self.folder / 'checkpoints'}</checkpoint_dir>"
        )

    async def start(self, *words: str, stdin: str = "", python: str | None = None) -> Process:
        process = await asyncio.create_subprocess_exec(
            python or self.python, str(self.tree / "bin/secure_score.py"), *words,
            stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/", env=self.env, limit=2**26,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        return process

    async def run(self, *words: str, stdin: str = "", python: str | None = None) -> Ended:
        return await ended(await self.start(*words, stdin=stdin, python=python))

    async def poll(self, name: str = "prod", member: Splunkd | None = None, **params: str) -> Ended:
        return await self.run(stdin=self.stdin(name, member, **params))


DEFAULTS: Mapping[str, str] = {
    "account": "contoso",
    "interval": "3600",
    "index": "security",
    "streams": "score|inventory|change|health",
    "backfill_days": "90",
    "min_points": "0.5",
    "inventory": "daily",
    "language": "en-US",
    "state_store": "auto",
    "resend_since": "",
    "accept_suspicious": "0",
    "disabled": "0",
    "host": "sh1",
    "python.version": "python3",
}


async def ended(process: Process) -> Ended:
    """Wait, not for ever; whoever does not end is killed."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def bench(tree: Path, folder: Path) -> AsyncIterator[Bench]:
    """The surroundings; two small tenants, the first with an account called contoso."""
    while (now := datetime.now(UTC)).minute == 59:
        await asyncio.sleep(1)  # the add-on beats at each full hour of the machine's clock: in no test's midst
    clock = SimulatedClock((now - timedelta(days=4)).replace(hour=9, minute=0))
    world = World(7, 2, (clock.now() - timedelta(days=12)).date(), sizes=("small",))
    context, _ = server_context(folder, now)
    registration = Registration(CLIENT_ID, secrets={SECRET: True}, roles={None: frozenset({READ})})
    ids = [who.id for who in world.tenants]
    (folder / "checkpoints").mkdir()
    async with (
        serve_authority(SystemClock(), ids, [registration], ssl=context) as authority,
        serve(world, clock, authenticate=authority.caller) as sim,
    ):
        with splunkd("ms_secure_score_state", "ms_secure_score_lease", "ms_securescore_instances", app=ADDON) as fake:
            made = Bench(tree, folder, python313(), fake, sim, clock, authority)
            fake.confs["macros"] = {"ms_securescore_index": {"definition": "index=main"}}
            made.account("contoso", ids[0])
            made.account("fabrikam", ids[1])
            yield made
