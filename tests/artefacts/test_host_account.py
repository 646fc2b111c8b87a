"""The account of the host packages: made as it should be, and never taken over from somebody else."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.artefacts.host_packages import HOST
from tests.needs import program

OURS = "securescore:x:998:997::/nonexistent:/usr/sbin/nologin"
GROUP = "securescore:x:997:"
LOCKED = "securescore:!:20000::::::"


def run(root: Path, passwd: str, group: str, shadow: str = LOCKED) -> "subprocess.CompletedProcess[str]":
    (root / "etc").mkdir()
    files = {"passwd": passwd, "group": group, "shadow": shadow if passwd else "", "gshadow": "", "login.defs": ""}
    for name, line in files.items():
        (root / "etc" / name).write_text(f"{line}\n" if line else "")
    script = f'. "{HOST}/account.sh"; set -e; securescore_account "$1"; echo installed'
    return subprocess.run(
        ["sh", "-c", script, "sh", str(root)], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"])
@pytest.mark.parametrize("members", ["", "alice,bob"])
def test_our_own_of_an_earlier_version_is_kept(shell: str, members: str, tmp_path: Path) -> None:
    done = run(tmp_path, OURS.replace("/usr/sbin/nologin", shell), GROUP + members)
    assert (done.returncode, done.stdout, done.stderr) == (0, "installed\n", "")


@pytest.mark.parametrize(
    ("passwd", "group", "shadow", "words"),
    [
        (OURS.replace("/usr/sbin/nologin", "/bin/bash"), GROUP, LOCKED, "user securescore" ),
        (OURS.replace("/usr/sbin/nologin", ""), GROUP, LOCKED, "it has a shell"),
        (OURS.replace("/nonexistent", "/home/securescore"), GROUP, LOCKED, "it has a home"),
        (OURS.replace(":998:", ":1001:"), GROUP, LOCKED, "its number is not that of a system account"),
        (OURS.replace(":998:", ":0:"), GROUP, LOCKED, "its number is not that of a system account"),
        (OURS.replace(":997:", ":100:"), GROUP, LOCKED, "its group is another"),
        (OURS, "", LOCKED, "its group is another"),
        (OURS, GROUP, LOCKED.replace("!", "$y$j9T$x"), "its password is not locked"),
        (OURS, GROUP, LOCKED.replace("!", ""), "its password is not locked"),
        ("", "securescore:x:997:alice", "", "it has members"),
        ("", "securescore:x:1001:", "", "its number is not that of a system group"),
        ("", "securescore:x:0:", "", "its number is not that of a system group"),
    ],
)  # fmt: skip
def test_a_foreign_one_is_refused_with_words(passwd: str, group: str, shadow: str, words: str, tmp_path: Path) -> None:
    done = run(tmp_path, passwd, group, shadow)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert "securescore is there already" in done.stderr
    assert done.stderr.endswith("Rename or remove it, then install again.\n")


def test_where_there_is_none_it_is_made_as_it_is_looked_for(tmp_path: Path) -> None:
    program("useradd", "apt-get install passwd")
    if os.geteuid() != 0:
        pytest.skip("for root alone")
    assert run(tmp_path, "", "").returncode == 0
    made = (tmp_path / "etc/passwd").read_text()
    assert re.fullmatch(r"securescore:x:\d{1,3}:\d{1,3}::/nonexistent:/(usr/)?sbin/nologin\n", made)
    assert (tmp_path / "etc/shadow").read_text().startswith("securescore:!")
    again = f'. "{HOST}/account.sh"; securescore_account "$1"'
    subprocess.run(["sh", "-ec", again, "sh", str(tmp_path)], check=True, timeout=30)
    assert (tmp_path / "etc/passwd").read_text() == made


def test_both_packages_carry_it() -> None:
    assert "@account.sh@\n" in (HOST / "deb/postinst").read_text()
    spec = (HOST / "securescore.spec").read_text()
    assert '%include %{account}\nsecurescore_account "" || exit 1\n' in spec
    script = (HOST / "account.sh").read_text()
    assert "%" not in script, "rpm would expand it"
    assert "useradd" not in spec
