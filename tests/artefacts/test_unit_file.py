"""The systemd unit: no key that systemd does not know, a command that exists, and little that it may do."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.artefacts.host_packages import HOST, PREFIX
from tests.needs import program

UNIT = HOST / "securescore.service"
HINT = "apt-get install systemd"


@pytest.fixture
def analyze() -> str:
    return program("systemd-analyze", hint=HINT)


def verify(analyze: str, text: str, folder: Path) -> str:
    """What systemd says of a unit. It warns of unknown keys without failing, so the words count, not the status."""
    unit = folder / "securescore.service"
    unit.write_text(text.replace(f"/{PREFIX}/bin/securescore run", "/bin/true run"))  # not installed here
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    return "".join(line for line in (done.stdout + done.stderr).splitlines(keepends=True) if unit.name in line)


def test_systemd_has_nothing_to_say_about_it(analyze: str, tmp_path: Path) -> None:
    assert verify(analyze, UNIT.read_text(), tmp_path) == ""


def test_no_fault_that_time_heals_makes_systemd_give_it_up() -> None:
    """A disk that is full for a night fails any number of starts; only a wrong configuration is left alone."""
    values = dict(re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()))
    assert values["StartLimitIntervalSec"] == "0"
    assert "StartLimitBurst" not in values
    assert (values["Restart"], values["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_a_sighup_before_the_program_runs_ends_nothing(tmp_path: Path) -> None:
    """What the unit puts before the program is there and does that: the program inherits an ignored SIGHUP."""
    (command,) = re.findall(r"(?m)^ExecStart=(.+) /opt/\S+ run -c ", UNIT.read_text())
    shown = subprocess.run([*command.split(), "grep", "SigIgn", "/proc/self/status"], capture_output=True, check=True)
    assert int(shown.stdout.split()[1], 16) & 1 << signal.SIGHUP - 1


def test_there_is_a_thread_for_every_sink_of_a_large_configuration() -> None:
    """One a sink, one for the state, those of the pools for disks, sign-ins and evidence."""
    assert int(dict(re.findall(r"(?m)^(\w+)=(\d+)$", UNIT.read_text()))["TasksMax"]) >= 4 * (28 + 34)


def test_a_misspelt_key_would_be_seen(analyze: str, tmp_path: Path) -> None:
    assert "Unknown key" in verify(analyze, UNIT.read_text().replace("ProtectHome=", "ProtectHomes="), tmp_path)


def test_its_exposure_is_at_most_1_5(analyze: str) -> None:
    words = [analyze, "security", "--offline=true", "--no-pager", "--threshold=15", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


def test_every_secret_of_the_configuration_template_is_a_credential_of_the_unit() -> None:
    """`securescore init` writes these names for the service."""
    text = UNIT.read_text()
    loaded = dict(re.findall(r"(?m)^LoadCredential=(\w+):(.+)$", text))
    assert loaded == {
        name: f"/etc/secure-score-connector/{name}" for name in ("client_secret", "hec_token", "webhook_secret")
    }
    assert set(re.findall(r"(?m)^SetCredential=(\w+):", text)) == set(loaded)
