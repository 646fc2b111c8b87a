"""Builds the Splunk packages: the add-on (input and knowledge) and the knowledge alone. Build tool, not shipped.

Everything happens in a scratch copy, so that the checkout stays clean. The same commit gives the same bytes: every
time stamp is SOURCE_DATE_EPOCH, and so is the build number that ucc-gen takes from the clock. lib/ holds pure Python
only, each wheel by hash, and the project's own wheel with its mappings compiled to JSON.

    python packaging/splunk/build.py addon knowledge --out dist --ucc build/.splunk/bin/ucc-gen

runs where pip, hatchling and the project are (the project's environment). ucc-gen has an environment of its own.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from connector.mapping.load import compile_mapping
from connector.mapping.resources import load_data
from connector.observe.frameworks import shipped

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADDON = "TA_ms_secure_score"
KNOWLEDGE = "ms_secure_score_knowledge"
PAGES = ("inputs", "configuration", "dashboard")
"""Made by ucc-gen; the last one shows what its inputs sent, and their errors."""
KINDS = ("addon", "knowledge", "lock")
LIB = HERE / "requirements-lib.lock"
PURE = ("--no-deps", "--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none")
PURE += ("--python-version=3.13", "--ignore-requires-python")  # an older pip asks its own interpreter for the latter
FALLBACK_EPOCH = "1790000000"  # outside a git checkout, when SOURCE_DATE_EPOCH does not say better

MAPPINGS = ("splunk", "graphsecurity")
DATA = ("severity", "frameworks", "attack")
LEFT_OUT = (
    "connector/cli",
    "connector/simulator",
    "connector/report",
    "connector/language",
    "connector/scheduled",
    "connector/testing",
    "connector/config/environment.py",
    "connector/config/yaml_file.py",
    "connector/health/endpoints.py",
    "connector/homes/azure.py",
    "connector/homes/circuit.py",
    "connector/homes/functions.py",
    "connector/homes/tenant_turn.py",
    "connector/mapping/compile.py",
    "connector/config/config.schema.json",
    "connector/config/baseline.schema.json",
    "connector/stores/sqlite.py",
    "connector/stores/sqlite_events.py",
    "connector/stores/sqlite_file.py",
    "connector/stores/sqlite_layout.py",
    "connector/stores/sqlite_sinks.py",
    "connector/stores/blob.py",
    "connector/stores/trial.py",
    "connector/net/smtp.py",
    "connector/formats/letter.py",
    "sinks/mail.py",
    "sinks/sentinel.py",
)
"""What of the wheel needs packages that lib/ has not, and is never reached inside Splunk (the driven tests show it)."""

UNMET = {
    "splunktaucclib wants urllib3<2": "1.26 is no longer maintained and has known weaknesses; what is used of it "
    "(solnlib: Retry) is the same in 2, and the driven handlers show it",
    "solnlib wants grpcio": "compiled, and reached from solnlib.observability alone, which nothing here imports",
    "solnlib wants opentelemetry-api": "likewise",
    "solnlib wants opentelemetry-exporter-otlp-proto-grpc": "likewise",
    "solnlib wants opentelemetry-sdk": "likewise",
    "msal wants cryptography": "compiled; only certificates need it, and where Splunk's Python brings it they work",
    "secure-score-connector wants babel": "for reports, which the add-on makes none of",
    "secure-score-connector wants prometheus-client": "for the service's endpoint",
    "secure-score-connector wants pyyaml": "for configuration files and mappings, which come compiled",
    "secure-score-connector wants rich": "for the command line",
}
"""Requirements of what is in lib/ that lib/ does not meet, each with the reason; a test finds all others."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Splunk packages.")
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--ucc", default="ucc-gen", help="splunk-add-on-ucc-framework's command")
    parser.add_argument("--no-pages", action="store_true", help="the add-on is set up by conf files alone")
    args = parser.parse_args()
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="securescore-splunk-") as name:
        work = Path(name)
        if "lock" in args.kinds:
            lock(work)
        args.out.mkdir(parents=True, exist_ok=True)
        if "addon" in args.kinds:
            tree = addon(work, str(Path(shutil.which(args.ucc) or args.ucc).absolute()))
            if args.no_pages:
                without_pages(tree)
            print(pack(tree, args.out))
        if "knowledge" in args.kinds:
            print(pack(knowledge_only(work), args.out))
    return 0


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command. Ends the build with the command's own words when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def pip(*words: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *words)


def epoch() -> int:
    """Seconds since 1970 that every file is stamped with: SOURCE_DATE_EPOCH, else the time of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or FALLBACK_EPOCH)
    except (OSError, subprocess.CalledProcessError):
        return int(FALLBACK_EPOCH)


def version() -> str:
    text = (ROOT / "connector/__init__.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found is not None
    return found[1]


# ------------------------------------------------------------------------------------------------------------- add-on


def addon(work: Path, ucc: str) -> Path:
    """The unpacked add-on: what ucc-gen makes of globalConfig.json, then lib/, then the knowledge."""
    source = work / "source"
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__"))
    fill_source(source / "package")
    # ucc-gen ends with 0 whatever went wrong inside it, so its words are kept for the case that something is missing.
    said = run(
        ucc, "build", "--source", source / "package", "--config", source / "globalConfig.json", "-o", work / "output",
        "--ta-version", version(), cwd=source,
    )  # fmt: skip
    tree = work / "output" / ADDON
    for made in ("default/inputs.conf", "default/restmap.conf", "bin/secure_score.py", "app.manifest"):
        if not (tree / made).is_file():
            raise SystemExit(f"ucc-gen made no {made}:\n{said}")
    guard_pages(tree / "bin/import_declare_test.py")
    (tree / "README/inputs.conf.spec").write_text(spec(json.loads((HERE / "globalConfig.json").read_text())))
    action_icon(tree)
    install_lib(work, tree / "lib")
    put_knowledge(tree, ADDON)
    app_conf = tree / "default/app.conf"
    app_conf.write_text(re.sub(r"(?m)^build = .*$", f"build = {epoch()}", app_conf.read_text()))
    base_html = tree / "appserver/templates/base.html"
    if base_html.exists():
        base_html.write_text(re.sub(r"\b1[0-9]{9}\b", str(epoch()), base_html.read_text()))
    (tree / "lib/bom.json").write_text(bill(tree / "lib"))
    return tree


def without_pages(tree: Path) -> None:
    """Take UCC's pages and what serves only them: for a Splunk, or an AppInspect, that takes no templates any more."""
    shutil.rmtree(tree / "appserver")
    action_icon(tree)
    (tree / "default/web.conf").unlink()
    navigation = tree / "default/data/ui/nav/default.xml"
    for name in PAGES:
        (tree / f"default/data/ui/views/{name}.xml").unlink(missing_ok=True)
        navigation.write_text(navigation.read_text().replace(f'  <view name="{name}"/>\n', ""))
    page = tree / f"default/data/ui/views/{START}.xml"
    page.write_text(re.sub(rf'<a href="(?:{"|".join(PAGES)})">[^<]*</a> · *', "", page.read_text()))


def action_icon(tree: Path) -> None:
    """The icon of the alert action, where default/alert_actions.conf names it."""
    folder = tree / "appserver/static"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package/static/appIcon.png", folder / "ms_securescore_declare.png")


def guard_pages(declare: Path) -> None:
    """Let the file that every handler imports first ask for the Python before it looks for packages."""
    made = declare.read_text()
    declare.write_text(f"import secure_score_python\n\nsecure_score_python.refuse_pages()\n{made}")


def spec(pages: Mapping[str, Any]) -> str:
    """README/inputs.conf.spec with types and defaults, which ucc-gen's own has not."""
    (service,) = pages["pages"]["inputs"]["services"]
    lines = [
        f"[{service['name']}://<name>]",
        "python.required = 3.13",
        "* Splunk's newer Python: set by the add-on.",
        "",
    ]
    for entity in service["entity"]:
        if entity["field"] == "name":
            continue
        kind = "boolean" if entity["type"] == "checkbox" else "string"
        checks = {check["type"]: check for check in entity.get("validators", ())}
        if "number" in checks:
            kind = "integer" if checks["number"].get("isInteger") else "number"
        options = entity.get("options", {})
        choices = [each["value"] for each in (*options.get("autoCompleteFields", ()), *options.get("items", ()))]
        lines.append(f"{entity['field']} = <{kind}>")
        lines += [f"* {sentence}" for sentence in (entity.get("help", entity["label"]),) if sentence]
        lines += [f"* One of: {', '.join(choices)}"] if choices and entity["type"] == "singleSelect" else []
        lines += [f"* Any of, separated by |: {', '.join(choices)}"] if entity["type"] == "multipleSelect" else []
        lines += [f"* Default: {entity['defaultValue']}" if "defaultValue" in entity else "* Default: not set", ""]
    return "\n".join(lines)


def fill_source(package: Path) -> None:
    """What ucc-gen wants to find in its source and this repository keeps elsewhere."""
    licences = package / "LICENSES"
    licences.mkdir(exist_ok=True)
    shutil.copy(ROOT / "LICENSE", licences / "Apache-2.0.txt")
    paths = re.sub(r"(?m)^!\[.*\n\n", "", (ROOT / "docs/splunk.md").read_text())  # without pictures
    (package / "README.txt").write_text((HERE / "README.md").read_text() + "\n\n" + paths)
    shutil.copy(ROOT / "NOTICE", package / "NOTICE")


def install_lib(work: Path, lib: Path) -> None:
    """Pinned wheels by hash, and the project's own without what is not used inside Splunk."""
    pip("install", *PURE, "--no-compile", "--require-hashes", "-r", LIB, "--target", lib)
    shutil.rmtree(lib / "bin", ignore_errors=True)  # other projects' commands name this machine's interpreter
    wheels = work / "wheel"
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(lib)
    for name in LEFT_OUT:
        path = lib / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for text_form in (lib / "mappings").glob("*.yaml"):
        text_form.unlink()
    for name in MAPPINGS:
        (lib / "mappings" / f"{name}.json").write_text(dumps(compile_mapping(name)))
    for name in DATA:
        (lib / "mappings" / f"{name}.json").write_text(dumps(load_data(name)))
    for record in lib.glob("*.dist-info/RECORD"):  # no longer true, and pip is not what removes them here
        record.unlink()


def dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=1) + "\n"


def bill(lib: Path) -> str:
    """A bill of materials (CycloneDX 1.6) from the lock: what lib/ holds is exactly that."""
    parts = []
    for name, number, digest in pins():
        parts.append(
            {
                "type": "library",
                "name": name,
                "version": number,
                "purl": f"pkg:pypi/{name}@{number}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        )
    assert len(parts) + 1 == len(list(lib.glob("*.dist-info"))), "lib/ holds something the lock does not name"
    top = {"type": "application", "name": "secure-score-connector", "version": version()}
    return dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": top},
            "components": parts,
        }
    )


def pins() -> Iterator[tuple[str, str, str]]:
    """Name, version and hash of every line of the lock."""
    for line in LIB.read_text().splitlines():
        if found := re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line):
            yield found[1], found[2], found[3]


def lock(work: Path) -> None:
    """Write requirements-lib.lock again: versions from requirements.lock where it has them, else as they stand."""
    common = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text()))
    wanted = [f"{name}=={common.get(name, number)}" for name, number, _ in pins()]
    pip("download", *PURE, "-d", work / "lock", *wanted)
    head = [line for line in LIB.read_text().splitlines() if line.startswith("#")]
    lines = []
    for wheel in (work / "lock").iterdir():
        name, number = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name.lower().replace('_', '-')}=={number} --hash=sha256:{digest}")
    LIB.write_text("\n".join([*head, *sorted(lines)]) + "\n")


# ---------------------------------------------------------------------------------------------------------- knowledge


def put_knowledge(tree: Path, app: str) -> None:
    """Props, searches, lookups and dashboards, the same in both packages."""
    for conf in (HERE / "knowledge/default").glob("*.conf"):
        to = tree / "default" / conf.name
        beside = to.read_text() + "\n" if to.exists() else ""  # the input's own stanzas stay
        to.write_text(beside + conf.read_text().replace("@APP@", app))
    lookups = tree / "lookups"
    shutil.copytree(HERE / "knowledge/lookups", lookups, dirs_exist_ok=True)
    for name, text in control_lookups().items():
        (lookups / name).write_text(text)
    shutil.copytree(HERE / "knowledge/data/models", tree / "default/data/models")
    views = tree / "default/data/ui/views"
    views.mkdir(parents=True, exist_ok=True)
    for file in sorted((HERE / "knowledge/dashboards").glob("*.json")):
        (views / f"{file.stem}.xml").write_text(view(file.read_text().replace("@APP@", app)))
    (views / f"{START}.xml").write_text(start(app))
    navigation = tree / "default/data/ui/nav/default.xml"
    navigation.parent.mkdir(parents=True, exist_ok=True)
    navigation.write_text(nav(app))
    (tree / "metadata").mkdir(exist_ok=True)
    (tree / "metadata/default.meta").write_text((HERE / "knowledge/default.meta").read_text())


def control_lookups() -> dict[str, str]:
    """What a control is about, by id or glob; ids stand before globs, since the first match decides."""
    table = shipped()
    lines: dict[str, list[str]] = {"frameworks": ["control_id,attack,nist_csf"], "controls": ["control_id,class"]}
    for pattern, place in (*table.rows.ids.items(), *table.rows.globs):
        of = {name: [ref.id for ref in table.refs[place] if ref.framework == name] for name in ("attack", "nist_csf")}
        cells = f"{' '.join(dict.fromkeys(of['attack']))},{' '.join(of['nist_csf'])}"
        lines["frameworks"].append(f"{pattern},{cells}")
        if pattern.startswith("MDA_"):  # an app's instance number may stand before it
            lines["frameworks"].append(f"*.{pattern},{cells}")
    for pattern, place in (*table.class_rows.ids.items(), *table.class_rows.globs):
        lines["controls"].append(f"{pattern},{table.classes[place]}")
    return {f"ms_securescore_{name}.csv": "\n".join(rows) + "\n" for name, rows in lines.items()}


def view(definition: str) -> str:
    """A Dashboard Studio definition as the view that Splunk stores."""
    found = json.loads(definition)
    assert "]]>" not in definition
    return (
        f'<dashboard version="2" theme="light">\n  <label>{escape(found["title"])}</label>\n'
        f"  <description>{escape(found['description'])}</description>\n"
        f"  <definition><![CDATA[\n{json.dumps(found, indent=2)}\n  ]]></definition>\n</dashboard>\n"
    )


START = "securescore_start"


def start(app: str) -> str:
    """The page that says what is set up, what arrived and what is next: with or without what only the input has."""
    text = (HERE / "knowledge/start.xml").read_text().replace("@APP@", app)
    for name, wanted in (("add-on", app == ADDON), ("knowledge alone", app != ADDON)):
        text = re.sub(rf"<!-- {name} -->(.*?)<!-- /{name} -->", r"\1" if wanted else "", text, flags=re.DOTALL)
    return text


def dashboards() -> list[str]:
    return json.loads((HERE / "knowledge/dashboards.json").read_text())


def nav(app: str) -> str:
    """The app's menu: dashboards first; the add-on's own pages behind them."""
    pages = [
        f'  <view name="{name}"{" default=" + chr(34) + "true" + chr(34) if n == 0 else ""}/>'
        for n, name in enumerate(dashboards())
    ]
    pages.append(f'  <view name="{START}"/>')
    if app == ADDON:
        pages += [f'  <view name="{name}"/>' for name in PAGES]
    pages += ['  <view name="search"/>', '  <view name="alerts"/>']
    return "\n".join(["<nav>", *pages, "</nav>", ""])


def knowledge_only(work: Path) -> Path:
    """The unpacked package for sites whose events come by HTTP Event Collector: nothing runs, no version floor."""
    tree = work / "knowledge" / KNOWLEDGE
    (tree / "default").mkdir(parents=True)
    put_knowledge(tree, KNOWLEDGE)
    for name in ("app.conf", "app.manifest"):
        text = (HERE / "knowledge" / f"{name}.in").read_text()
        to = tree / "default" / name if name.endswith(".conf") else tree / name
        to.write_text(text.replace("@VERSION@", version()).replace("@BUILD@", str(epoch())))
    shutil.copytree(HERE / "package/static", tree / "static")
    fill_source(tree)
    return tree


# ------------------------------------------------------------------------------------------------------------ archives


def pack(tree: Path, out: Path) -> Path:
    """out/NAME-VERSION.tar.gz, every file readable, none executable, all of one time."""
    made = out / f"{tree.name}-{version()}.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted((tree, *tree.rglob("*"))):
            if "__pycache__" not in path.parts:
                archive.add(path, str(path.relative_to(tree.parent)), recursive=False, filter=plain)
    made.write_bytes(gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0))
    return made


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    entry.mtime = epoch()
    return entry


if __name__ == "__main__":
    sys.exit(main())
