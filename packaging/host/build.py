"""Builds the host packages: wheels → tree → .deb and .rpm, and wheels → offline bundle. Build tool, never shipped.

One set of wheels, taken from the lock by hash, feeds every artefact, so that all of them carry the same bytes. The tree
is made without running anything of it as root and without touching /opt of the building machine. Two builds from one
commit give identical files: every time stamp is SOURCE_DATE_EPOCH, byte code is checked by hash, owners are root.

    python packaging/host/build.py deb rpm bundle --out dist

runs where pip and hatchling are (the project's environment); the packages are for the interpreter `--python`.
"""

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from email.parser import HeaderParser
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "secure-score-connector"
PREFIX = f"/opt/{NAME}"
CONFIG = f"/etc/{NAME}/config.yaml"
KINDS = ("deb", "rpm", "bundle")
FALLBACK_EPOCH = "1790000000"  # outside a git checkout, when SOURCE_DATE_EPOCH does not say better

LAUNCHER = f"""#!{PREFIX}/bin/python3 -I
import sys

from connector.cli.main import main

sys.exit(main())
"""

# Prints the template that `securescore init` would write for the service: one text, kept in one place.
TEMPLATE = f"""
from connector.cli.init import Answers, configuration
print(configuration(Answers("syslog", None, None, None, None, None), {CONFIG!r}), end="")
"""

MANUAL = """
import os, time
from connector import __version__
from connector.cli import describe, manual
day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0"))))
print(manual.page(describe.commands(), __version__, day), end="")
"""
COMPLETION = {
    "bash": "bash-completion/completions/securescore",
    "zsh": "zsh/vendor-completions/_securescore",
    "fish": "fish/vendor_completions.d/securescore.fish",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the host packages.")
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", default="/usr/bin/python3", help="interpreter of the target, by its path there")
    parser.add_argument("--tree", type=Path, help="also leave the unpacked tree here (for the SBOM and for tests)")
    args = parser.parse_args()
    if args.tree is not None and args.tree.exists():
        parser.error(f"--tree: {args.tree} exists already")
    os.environ["SOURCE_DATE_EPOCH"] = epoch()
    os.environ["PYTHONHASHSEED"] = "0"  # order of sets inside byte code
    os.umask(0o022)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="securescore-build-") as name:
        work = Path(name)
        wheels = collect_wheels(work / "wheels", args.python)
        if "bundle" in args.kinds:
            print(bundle(wheels, work, args.out, args.python))
        if {"deb", "rpm"} & set(args.kinds) or args.tree is not None:
            tree = make_tree(wheels, work / "tree", args.python)
            if "deb" in args.kinds:
                print(deb(tree, work, args.out, args.python))
            if "rpm" in args.kinds:
                print(rpm(tree, work, args.out, args.python))
            if args.tree is not None:
                shutil.copytree(tree, args.tree, symlinks=True)
    return 0


def epoch() -> str:
    """Seconds since 1970 that every file is stamped with: SOURCE_DATE_EPOCH, else the time of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or FALLBACK_EPOCH
    except (OSError, subprocess.CalledProcessError):
        return FALLBACK_EPOCH


def run(*command: str | Path, **options: object) -> str:
    """Output of a command. Ends the build with the command's own words when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def pip(*words: str | Path, python: str | None = None) -> None:
    """This environment's pip, working for another interpreter when one is given."""
    target = ("--python", python) if python else ()
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *target, *words)


# ------------------------------------------------------------------------------------------------------ wheels and tree


def collect_wheels(into: Path, python: str) -> Path:
    """Every locked dependency for the target's interpreter, hashes checked, and the project's own wheel."""
    into.mkdir()
    pip(
        "download",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "-r",
        ROOT / "requirements.lock",
        "-d",
        into,
        python=python,
    )
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", into, ROOT)
    return into


def own_wheel(wheels: Path) -> Path:
    (wheel,) = wheels.glob(f"{NAME.replace('-', '_')}-*.whl")
    return wheel


def version(wheels: Path) -> str:
    return own_wheel(wheels).name.split("-")[1]


def minor(python: str) -> tuple[int, int]:
    major, number = run(python, "-I", "-c", "import sys; print(*sys.version_info[:2])").split()
    return int(major), int(number)


def own_lock(wheels: Path) -> str:
    """The lock with the project's own wheel added, by hash like the rest."""
    digest = hashlib.sha256(own_wheel(wheels).read_bytes()).hexdigest()
    lock = (ROOT / "requirements.lock").read_text()
    return f"{lock}{NAME}=={version(wheels)} --hash=sha256:{digest}\n"


def make_tree(wheels: Path, tree: Path, python: str) -> Path:
    """Everything below / that both packages install.

    The environment is written by hand instead of by `python -m venv`: no path of the building machine gets in, and
    neither pip nor setuptools has to be taken out again.
    """
    major, small = minor(python)
    home = tree / PREFIX.lstrip("/")
    site = home / "lib" / f"python{major}.{small}" / "site-packages"
    site.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(f"/usr/bin/python{major}.{small}")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {major}.{small}\n"
    )
    lock = tree.parent / "own.lock"
    lock.write_text(own_lock(wheels))
    offline = ("--no-index", "--find-links", wheels, "--require-hashes", "-r", lock)
    pip("install", "--no-compile", *offline, "--target", site, python=python)
    drop_scripts(site)
    run(python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/", site)
    put(home / "bin" / "securescore", LAUNCHER, 0o755)
    put(tree / "usr/bin/securescore", (HERE / "securescore").read_text(), 0o755)
    put(tree / "usr/lib/systemd/system/securescore.service", (HERE / "securescore.service").read_text())
    put(tree / CONFIG.lstrip("/"), printed(site, python, TEMPLATE))
    put_documents(tree, site)
    put_help(tree, site, python)
    stamp(tree)
    return tree


def drop_scripts(site: Path) -> None:
    """Other projects' commands go: their first lines would name the building machine's interpreter."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(("../", "bin/"))))


def printed(site: Path, python: str, code: str) -> str:
    """What a program prints that runs with the packages of the tree, as it would after installation."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    env["SOURCE_DATE_EPOCH"] = os.environ["SOURCE_DATE_EPOCH"]
    text = run(python, "-c", code, env=env, cwd="/")
    return text.replace(str(site), f"{PREFIX}/lib/{site.parent.name}/site-packages")


def put_documents(tree: Path, site: Path) -> None:
    place = tree / "usr/share/doc" / NAME
    for source in ("README.md", "SECURITY.md", "CHANGELOG.md", "NOTICE"):
        put(place / source, (ROOT / source).read_text())
    for page in sorted((ROOT / "docs").glob("*.md")):  # the README leads there
        put(place / "docs" / page.name, page.read_text())
    put(place / "README.host.md", (HERE / "README.md").read_text())
    put(place / "copyright", (ROOT / "LICENSE").read_text())
    put(place / "dependencies.txt", dependencies(site))


def put_help(tree: Path, site: Path, python: str) -> None:
    """The manual page and what the shells complete by, where each of them looks."""
    share = tree / "usr/share"
    manual = gzip.compress(printed(site, python, MANUAL).encode(), mtime=0)
    (share / "man/man1").mkdir(parents=True)
    (share / "man/man1/securescore.1.gz").write_bytes(manual)
    for shell, place in COMPLETION.items():
        put(
            share / place,
            printed(site, python, f"from connector.cli.main import main; main(['completion', {shell!r}])"),
        )


def dependencies(site: Path) -> str:
    """Name, version and licence of everything bundled, a line each. The licence texts are in the .dist-info folders."""
    lines = []
    for file in sorted(site.glob("*.dist-info/METADATA")):
        about = HeaderParser().parsestr(file.read_text("utf-8"))
        stated = about.get("License-Expression") or ", ".join(
            one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith("License ::")
        )
        licence = stated or (about.get("License") or "not stated").splitlines()[0]
        lines.append(f"{about['Name']} {about['Version']}: {licence}\n")
    return "".join(lines)


def put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def stamp(tree: Path) -> None:
    """One time for everything, and modes that do not depend on the building machine."""
    moment = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            command = path.stat().st_mode & 0o100 and "site-packages" not in path.parts
            path.chmod(0o755 if path.is_dir() or command else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)


# ----------------------------------------------------------------------------------------------------------- artefacts


def deb(tree: Path, work: Path, out: Path, python: str) -> Path:
    """dist/NAME_VERSION_ARCH.deb."""
    root = work / "deb"
    shutil.copytree(tree, root, symlinks=True)
    major, small = minor(python)
    arch = run("dpkg", "--print-architecture").strip()
    number = version(work / "wheels")
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    control = (HERE / "deb/control.in").read_text().format(
        version=number, arch=arch, size_kib=-(-size // 1024), least=f"{major}.{small}", below=f"{major}.{small + 1}"
    )  # fmt: skip
    put(root / "DEBIAN/control", control)
    put(root / "DEBIAN/conffiles", f"{CONFIG}\n")
    for script in ("postinst", "prerm", "postrm"):
        text = (HERE / "deb" / script).read_text().replace("@account.sh@\n", (HERE / "account.sh").read_text())
        put(root / "DEBIAN" / script, text, 0o755)
    stamp(root)
    made = out / f"{NAME}_{number}_{arch}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "-b", root, made)  # xz: 7 % smaller, five times the work
    return made


def rpm(tree: Path, work: Path, out: Path, python: str) -> Path:
    """dist/NAME-VERSION-1.ARCH.rpm."""
    major, small = minor(python)
    number = version(work / "wheels")
    defines = {
        "tree": tree,
        "account": HERE / "account.sh",
        "upstream_version": number,
        "interpreter": f"python{major}.{small}",
        "_topdir": work / "rpm",
        "_rpmdir": work / "rpm/out",
        "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_buildhost": "reproducible",
        "use_source_date_epoch_as_buildtime": 1,
        "clamp_mtime_to_source_date_epoch": 1,
        "_binary_payload": "w6.zstdio",
        "_dbpath": work / "rpm/db",
    }
    words = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    run("rpmbuild", "-bb", "--quiet", *words, HERE / "securescore.spec")
    (built,) = (work / "rpm/out").rglob("*.rpm")
    return Path(shutil.copy(built, out / built.name))


def bundle(wheels: Path, work: Path, out: Path, python: str) -> Path:
    """dist/NAME-VERSION-offline-pyXY-ARCH.tar.gz: wheels, the lock that names each by hash, the installer."""
    major, small = minor(python)
    stem = f"{NAME}-{version(wheels)}-offline-py{major}{small}-{os.uname().machine}"
    folder = work / stem
    shutil.copytree(wheels, folder / "wheels")
    put(folder / "requirements.lock", own_lock(wheels))
    put(folder / "install.sh", (HERE / "install.sh").read_text(), 0o755)
    put(folder / "securescore.service", (HERE / "securescore.service").read_text())
    put(folder / "README.md", (HERE / "README.md").read_text())
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    put(folder / "SHA256SUMS", "".join(sums))
    stamp(folder)
    made = out / f"{stem}.tar.gz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, f"{stem}/{path.relative_to(folder)}", recursive=False, filter=of_root)
    made.write_bytes(gzip.compress(packed.getvalue(), compresslevel=1, mtime=0))  # wheels are compressed already
    return made


def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


if __name__ == "__main__":
    sys.exit(main())
