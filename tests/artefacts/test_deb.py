"""The .deb on a Debian machine: installed, run by the unit's own command, upgraded, removed, purged."""

import asyncio
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.clock import SystemClock
from connector.simulator.server import serve, token_for
from connector.simulator.world import World
from connector.stores.sqlite_layout import MIGRATIONS
from tests.artefacts.host_packages import HOST, NAME, PREFIX, Built, build, machine, repacked
from tests.real.receivers import rsyslog


def words(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_two_builds_give_the_same_bytes(host: Built, tmp_path: Path) -> None:
    again = build(tmp_path)
    for one in ("deb", "rpm", "bundle"):
        assert getattr(again, one).read_bytes() == getattr(host, one).read_bytes(), one


def test_it_names_the_one_interpreter_it_works_with(host: Built) -> None:
    assert words("dpkg-deb", "-f", str(host.deb), "Depends") == (
        "python3 (>= 3.11), python3 (<< 3.12), ca-certificates, passwd\n"
    )


def test_everything_belongs_to_root_and_only_commands_are_executable(host: Built) -> None:
    lines = [line.split(maxsplit=5) for line in words("dpkg-deb", "-c", str(host.deb)).splitlines()]
    assert {line[1] for line in lines} == {"root/root"}
    commands = {line[5] for line in lines if line[0].startswith("-") and "x" in line[0]}
    assert commands == {"./usr/bin/securescore", f"./{PREFIX}/bin/securescore"}
    assert [line[5] for line in lines if line[0][8] == "w" and line[0][0] != "l"] == []


def test_it_carries_no_installer_no_foreign_command_and_no_path_of_the_builder(host: Built) -> None:
    site = host.tree / PREFIX / "lib/python3.11/site-packages"
    names = {path.name for path in site.iterdir()}
    assert {"connector", "sinks", "mappings", "aiohttp"} <= names
    assert names.isdisjoint({"pip", "setuptools", "bin", "tests"})
    assert {path.name for path in (host.tree / PREFIX / "bin").iterdir()} == {"python3", "securescore"}
    told = [
        path for path in host.tree.rglob("*") if path.is_file() and b"securescore-build-" in path.read_bytes()
    ]  # fmt: skip
    assert told == []


def test_byte_code_is_there_and_is_not_compared_with_time_stamps(host: Built) -> None:
    compiled = sorted((host.tree / PREFIX).rglob("connector/__pycache__/*.pyc"))
    assert compiled
    assert {path.read_bytes()[4] for path in compiled} == {0b01}  # PEP 552: hash-based, unchecked


def test_every_bundled_package_states_its_licence(host: Built) -> None:
    lines = (host.tree / "usr/share/doc" / NAME / "dependencies.txt").read_text().splitlines()
    locked = re.findall(r"^([\w.-]+)==", (HOST.parents[1] / "requirements.lock").read_text(), re.MULTILINE)
    assert len(lines) == len(locked) + 1
    assert [line for line in lines if "not stated" in line] == []


LIFE = f"""
unit=/usr/lib/systemd/system/securescore.service
echo "== install"
dpkg -i /bench/older.deb
stat -c '%a %U' /etc/{NAME}/config.yaml
getent passwd securescore | cut -d: -f1,6,7
securescore --help > /dev/null
securescore check > /tmp/out 2>&1 && echo "check passed" || echo "check ended with $?"
useradd --no-create-home --groups securescore analyst
useradd --no-create-home stranger
cp /bench/config.yaml /etc/{NAME}/config.yaml
chmod 600 /etc/{NAME}/config.yaml   # as `securescore init` leaves it
# What systemd does for the service, by the unit's own words.
install -d -m $(sed -n 's/^StateDirectoryMode=//p' $unit) -o securescore -g securescore /var/lib/{NAME}
install -d -m 700 -o securescore /run/credentials/securescore.service
install -m 400 -o securescore /bench/token /run/credentials/securescore.service/graph.token
sed -n 's/^ExecStartPre=-+//p' $unit > /tmp/before-start
command=$(sed -n 's/^ExecStart=//p' $unit)
umask $(sed -n 's/^UMask=//p' $unit)
start() {{
    sh -e /tmp/before-start
    env -i PATH=/usr/bin:/bin STATE_DIRECTORY=/var/lib/{NAME} \\
        CREDENTIALS_DIRECTORY=/run/credentials/securescore.service \\
        setpriv --reuid securescore --regid securescore --clear-groups --no-new-privs --bounding-set=-all \\
        $command > /tmp/service.log 2>&1 &
    pid=$!
    for try in $(seq 300); do
        if ! kill -0 $pid 2> /dev/null; then cat /tmp/service.log; return 1; fi
        # a state that was there before has its day already: only the log tells that signals are heeded
        grep -q run.started /tmp/service.log \\
            && securescore status --json 2> /dev/null | grep -q '"newest_day": "2' && break
        sleep 0.2
    done
}}
stop() {{  # what is due is offered before the end
    kill -TERM $pid
    wait $pid && echo "stopped with 0" || {{ echo "stopped with $?"; cat /tmp/service.log; }}
}}
as() {{
    who=$1; shift
    setpriv --reuid $who --regid $who --init-groups --bounding-set=-all "$@" 2>&1
}}
told() {{
    securescore events --limit 0 --format json > /bench/$1
    cmp /bench/before /bench/$1 && echo "state kept"
}}
echo "== first run"
start
as analyst securescore status && echo "a member reads beside it"
as stranger securescore status || echo "a stranger is refused"
stop
as analyst securescore events --limit 3 > /tmp/out && echo "a member reads without it"
as analyst securescore replay --sink soc || echo "a member changes nothing"
as analyst cat /etc/{NAME}/config.yaml > /tmp/out && echo "a member sees the configuration"
securescore events --limit 0 --format json > /bench/before
wc -l < /bench/before
echo "== upgrade"
dpkg -i /bench/new.deb
dpkg-query -W -f '${{Version}}\\n' {NAME}
cmp /bench/config.yaml /etc/{NAME}/config.yaml && echo "configuration kept"
start
stop
told after
stat -c '%a %U %G' /var/lib/{NAME}/state.db
ls /var/lib/{NAME} | grep bak || echo "same layout"
echo "== newer layout"
dpkg -i /bench/newer.deb
start
stop
told newer
ls /var/lib/{NAME} | grep bak
echo "== downgrade"
dpkg -i --force-downgrade /bench/new.deb
start || echo "the older program refuses the newer layout"
cp --preserve=ownership /var/lib/{NAME}/state.db.v{len(MIGRATIONS)}.bak /var/lib/{NAME}/state.db
start
stop
told downgraded
echo "== remove"
dpkg -r {NAME}
ls -d /opt/{NAME} /usr/bin/securescore 2> /dev/null || echo "program gone"
ls /etc/{NAME}/config.yaml /var/lib/{NAME}/state.db
echo "== purge"
dpkg -P {NAME}
ls -d /etc/{NAME} /var/lib/{NAME} 2> /dev/null || echo "nothing left"
"""


async def test_a_life_on_a_machine_install_run_upgrade_remove_purge(host: Built, tmp_path: Path) -> None:
    """The unit's command runs as an unprivileged user against the simulator; its events arrive in a real rsyslog."""
    bench = tmp_path / "bench"
    bench.mkdir()
    command = machine(bench, LIFE)
    repacked(host.deb, bench / "older.deb", "0.0.1")
    repacked(host.deb, bench / "newer.deb", "9.0.0", migration="ALTER TABLE chunk ADD COLUMN colour TEXT")
    (bench / "new.deb").write_bytes(host.deb.read_bytes())
    world = World(7, 1, (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    with rsyslog(tmp_path / "rsyslog") as server:
        async with serve(world, SystemClock()) as sim:
            (bench / "token").write_text(token_for(world.tenants[0].id))
            (bench / "config.yaml").write_text(f"""
                state: {{path: /var/lib/{NAME}/state.db, mode: "0640"}}
                graph: {{base_url: "{sim.base_url}"}}
                tenants:
                  - name: lab
                    tenant_id: {world.tenants[0].id}
                    auth: {{kind: token, file: /run/credentials/securescore.service/graph.token}}
                sinks:
                  - {{name: soc, kind: syslog, host: 127.0.0.1, port: {server.plain}, transport: tcp, start: backfill}}
                health: {{listen: "off"}}
                """)
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            out = (await asyncio.wait_for(process.communicate(), 240))[0].decode()
        assert process.returncode == 0, out
        arrived = server.plain_file.read_text().splitlines()
    parts = dict(re.findall(r"(?ms)^== ([a-z ]+)\n(.*?)(?=^== |\Z)", out))
    assert "644 root" in parts["install"]
    assert "securescore:/nonexistent:/usr/sbin/nologin" in parts["install"]
    assert "check ended with" in parts["install"], "the template is not filled in"
    first = parts["first run"]
    assert "stopped with 0" in first
    assert [line for line in first.splitlines() if line.startswith("a ")] == [
        "a member reads beside it",
        "a stranger is refused",
        "a member reads without it",
        "a member changes nothing",
        "a member sees the configuration",
    ], first
    assert re.search(r"^ *lab +20", first, re.MULTILINE)
    assert "Permission denied" in first
    assert "next: " in first
    for part in ("upgrade", "newer layout", "downgrade"):
        assert "stopped with 0" in parts[part], parts[part]
        assert "state kept" in parts[part], parts[part]
    assert "configuration kept" in parts["upgrade"]
    assert "640 securescore securescore" in parts["upgrade"]
    assert "same layout" in parts["upgrade"]
    newest = len(MIGRATIONS)
    assert f"state.db.v{newest}.bak" in parts["newer layout"]
    assert f"has state version {newest + 1}, this program knows versions up to {newest}" in parts["downgrade"]
    assert "the older program refuses the newer layout" in parts["downgrade"]
    assert "program gone" in parts["remove"]
    assert f"/var/lib/{NAME}/state.db" in parts["remove"]
    assert "nothing left" in parts["purge"]
    assert len(arrived) > 50
    assert all("CEF:0|" in line for line in arrived)
