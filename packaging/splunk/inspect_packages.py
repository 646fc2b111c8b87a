"""Runs Splunk's AppInspect over packages, side by side, and judges its report. Not shipped.

AppInspect itself ends with 0 whatever it found. A package passes with no error, no failure, no failure to come, and
warnings only of the kinds listed here, each with its reason. What is a warning today may be a failure of the next
release: the list was judged with one version of the tool, and holds for no other.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ALLOWED: Mapping[str, str] = {
    "check_for_modular_inputs": "the add-on is one",
    "check_collections_conf": "the state of inputs in a search head cluster",
    "check_for_datamodel_acceleration": "there is a data model; it is not accelerated as it comes",
    "check_for_possible_threading": "msal and splunklib know threads",
    "check_for_python_script_existence": "the add-on has Python",
    "check_hostnames_and_ips": "msal knows the address of Azure's metadata service; the input never asks it",
    "check_python_sdk_version": "states the version and that nothing is to be done",
    "check_for_splunk_dashboard_core": "UCC's pages, a notice for Splunk's own statistics",
    "check_for_splunk_frontend_utility_components": "likewise",
    "check_for_splunk_js": "likewise",
    "check_for_splunk_sui": "likewise",
    "check_for_splunk_js_header_and_footer_view": "UCC's pages",
    "check_for_custom_mako_templates": "UCC's base.html is found by its name; it is plain HTML since UCC 6.3. Should "
    "this become a failure before UCC does without it: `build.py --no-pages` makes the add-on without pages",
    "check_for_indexer_synced_configs": "inputs.conf is for where the input runs; indexers need nothing of it",
    "check_ucc_dependencies": "UCC's pages",
}
JUDGED_WITH = "4.3.1"
TAGS = (
    "aarch64_compatibility",
    "ast",
    "cloud",
    "future",
    "migration_victoria",
    "packaging_standards",
    "private_app",
    "private_classic",
    "private_victoria",
    "self-service",
    "splunk_appinspect",
)
"""All: what no tag selects is in splunk_appinspect."""
BAD = ("error", "failure", "future_failure")


def main() -> int:
    parser = argparse.ArgumentParser(description="Inspect Splunk packages.")
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--tool", default="splunk-appinspect")
    args = parser.parse_args()
    tool = str(Path(shutil.which(args.tool) or args.tool).absolute())
    said = subprocess.run([tool, "list", "version"], capture_output=True, text=True, check=False).stdout
    if JUDGED_WITH not in said.split():
        raise SystemExit(
            f"{tool} is not AppInspect {JUDGED_WITH}: look at each of the warnings in ALLOWED again with this version, "
            "drop what no longer comes, then name the version in JUDGED_WITH"
        )
    with ThreadPoolExecutor() as threads:
        reports = list(threads.map(lambda package: inspect(tool, package.resolve()), args.packages))
    bad = 0
    for package, report in zip(args.packages, reports, strict=True):
        found = problems(report)
        print(f"{package.name}: {report['summary']}")
        print("".join(f"  {line}\n" for line in found), end="")
        bad += bool(found)
    return int(bad > 0)


def inspect(tool: str, package: Path) -> dict[str, Any]:
    """AppInspect's report on a package, all of its checks."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [tool, "inspect", str(package), "--mode", "precert"]
        command += [word for tag in TAGS for word in ("--included-tags", tag)]
        done = subprocess.run(
            [*command, "--output-file", str(report)], capture_output=True, text=True, check=False, cwd=folder
        )
        if not report.exists():
            raise SystemExit(f"{tool} made no report on {package}:\n{done.stdout}{done.stderr}")
        found: dict[str, Any] = json.loads(report.read_text())
        return found


def problems(report: Mapping[str, Any]) -> list[str]:
    """What does not pass, a line each; [] when the package passes."""
    checks = [check for each in report["reports"] for group in each["groups"] for check in group["checks"]]
    lines = []
    for check in checks:
        if check["result"] in BAD or (check["result"] == "warning" and check["name"] not in ALLOWED):
            words = "; ".join(message["message"].strip() for message in check["messages"])
            lines.append(f"{check['result']} {check['name']}: {words}")
    missing = sum(report["summary"].get(kind, 0) for kind in BAD) and not lines
    return lines or (["the summary counts what no check names"] if missing else [])


if __name__ == "__main__":
    sys.exit(main())
