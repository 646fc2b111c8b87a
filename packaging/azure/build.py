"""Builds the zip of the function app: code, and every package for the platform's Python. Build tool, never shipped.

The packages are taken from `requirements.lock` beside this file by hash, for Linux on x86-64 and Python 3.13, whatever
builds them; nothing of them is run. Two builds from one commit give identical files.

    python packaging/azure/build.py --out dist

runs where pip and hatchling are (the project's environment).
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "secure-score-connector"
ZIP = f"{NAME}-azure.zip"  # without the version: the template's output deployPackage names it
SITE = ".python_packages/lib/site-packages"
MAX_BYTES = 30 * 1024**2
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
FOR_TARGET = (
    *(
        "--only-binary",
        ":all:",
        "--implementation",
        "cp",
        "--python-version",
        "3.13",
        "--abi",
        "cp313",
        "--abi",
        "abi3",
    ),
    *("--ignore-requires-python", "--abi", "none", *(word for name in PLATFORMS for word in ("--platform", name))),
)
EPOCH = "1790000000"  # outside a git checkout, when SOURCE_DATE_EPOCH does not say better


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the zip of the function app.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--wheels", type=Path, help="keep the wheels here, and take them from here the next time")
    args = parser.parse_args()
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="securescore-build-") as name:
        work = Path(name)
        wheels = args.wheels or work / "wheels"
        if not wheels.exists():
            collect(wheels)
        tree = make_tree(wheels, work / "tree")
        made = pack(tree, out / ZIP)
    if made.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{made} has {made.stat().st_size} bytes, more than {MAX_BYTES}: what came in?")
    print(made)
    return 0


def collect(into: Path) -> None:
    """Every locked package for the platform, hashes checked, and the project's own wheel."""
    into.mkdir()
    pip("download", "--no-deps", *FOR_TARGET, "--require-hashes", "-r", HERE / "requirements.lock", "-d", into)
    os.environ["SOURCE_DATE_EPOCH"] = str(moment())
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", into, ROOT)


def own_wheel(wheels: Path) -> Path:
    (wheel,) = wheels.glob(f"{NAME.replace('-', '_')}-*.whl")
    return wheel


def make_tree(wheels: Path, tree: Path) -> Path:
    """What the platform finds at the root of the app."""
    site = tree / SITE
    site.mkdir(parents=True)
    wheel = own_wheel(wheels)
    lock = tree.parent / "own.lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    own = f"{NAME}=={wheel.name.split('-')[1]} --hash=sha256:{digest}\n"
    lock.write_text((HERE / "requirements.lock").read_text() + own)
    offline = ("--no-index", "--find-links", wheels, "--require-hashes", "-r", lock)
    pip("install", "--no-compile", "--no-deps", *FOR_TARGET, *offline, "--target", site)
    shutil.rmtree(site / "bin", ignore_errors=True)  # commands of others, with the builder's interpreter in line one
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(("../", "bin/"))))
    for file in ("function_app.py", "host.json"):
        shutil.copy(HERE / file, tree / file)
    # A local build needs no requirements.txt; the platform reads from it which worker the app is pinned to.
    pins = [line.split(" ")[0] for line in (HERE / "requirements.lock").read_text().splitlines() if "==" in line]
    (tree / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins))
    return tree


def pack(tree: Path, made: Path) -> Path:
    """The zip, entries in order and stamped alike."""
    stamp = time.gmtime(moment())[:6]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(tree).as_posix(), stamp)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return made


def moment() -> int:
    """Seconds since 1970 that every file is stamped with: SOURCE_DATE_EPOCH, else the time of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return int(done.stdout.strip() or EPOCH)


def pip(*words: str | Path) -> None:
    """This environment's pip. Ends the build with its own words when it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pip failed ({done.returncode}):\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
