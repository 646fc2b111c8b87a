"""The .rpm holds the same tree as the .deb, and that tree runs."""

import subprocess
from pathlib import Path

from tests.artefacts.host_packages import NAME, PREFIX, Built, machine
from tests.needs import program


def query(host: Built, *words: str) -> list[str]:
    rpm = program("rpm", hint="apt-get install rpm")
    command = [rpm, "--dbpath", str(host.tree.parent / "rpmdb"), "-qp", *words, str(host.rpm)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def unpacked(host: Built, into: Path) -> Path:
    into.mkdir()
    rpm2cpio = program("rpm2cpio", hint="apt-get install rpm2cpio")
    cpio = program("cpio", hint="apt-get install cpio")
    stream = subprocess.run([rpm2cpio, str(host.rpm)], capture_output=True, check=True, timeout=60).stdout
    subprocess.run([cpio, "-idm", "--quiet"], input=stream, cwd=into, check=True, timeout=60)
    return into


def files(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in tree.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_the_tree_is_the_one_of_the_deb_and_it_runs(host: Built, tmp_path: Path) -> None:
    tree = unpacked(host, tmp_path / "rpm")
    subprocess.run(["dpkg-deb", "-x", str(host.deb), str(tmp_path / "deb")], check=True, timeout=60)
    debian = {
        name.replace("zsh/vendor-completions", "zsh/site-functions"): data
        for name, data in files(tmp_path / "deb").items()
    }
    assert files(tree) == debian
    python = tree / PREFIX / "bin/python3"
    words = [str(python), "-I", "-m", "connector.cli.main", "demo", "--days", "5", "--out", str(tmp_path / "demo")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo/events.cef").stat().st_size > 0


def test_it_names_its_files_its_interpreter_and_its_configuration(host: Built) -> None:
    listed = query(host, "-l")
    assert {"/usr/bin/securescore", "/usr/lib/systemd/system/securescore.service"} <= set(listed)
    assert [line for line in listed if line.startswith(("/tmp", "/usr/lib/.build-id"))] == []
    assert f"/etc/{NAME}/config.yaml" in query(host, "--configfiles")
    assert {"python3.11", "ca-certificates"} <= set(query(host, "--requires"))


def test_it_was_built_nowhere_in_particular(host: Built) -> None:
    assert query(host, "--qf", "%{BUILDHOST} %{BUILDTIME}\\n") == ["reproducible 1790000000"]


LIFE = f"""
rpm="rpm --dbpath /tmp/rpmdb"
rpm --version > /dev/null
$rpm -i --nodeps /bench/new.rpm   # nothing that it needs is known to rpm here
getent passwd securescore | cut -d: -f1,6
securescore check > /tmp/out 2>&1 && echo "check passed" || echo "check ended with $?"
echo changed > /etc/{NAME}/config.yaml
$rpm -e {NAME}
cat /etc/{NAME}/config.yaml*
ls -d /opt/{NAME} /usr/bin/securescore 2> /dev/null || echo "program gone"
getent passwd securescore > /dev/null && echo "the account stays"
"""


def test_rpm_installs_it_and_takes_it_away(host: Built, tmp_path: Path) -> None:
    """With its scriptlets, on a Debian machine: RHEL itself is not at hand."""
    program("rpm", hint="apt-get install rpm")
    bench = tmp_path / "bench"
    bench.mkdir()
    command = machine(bench, LIFE)
    (bench / "new.rpm").write_bytes(host.rpm.read_bytes())
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "securescore:/nonexistent",
        "check ended with 2",
        "changed",
        "program gone",
        "the account stays",
    ], done.stderr
