"""Pictures of the dashboards without a Splunk: the demonstration's events, our interpreter, Splunk's own renderer.

Not a test: for whoever changes a dashboard. It also says whether Splunk's schema takes the definition.

    cd tests/artefacts/splunk_preview && npm install --legacy-peer-deps && npx esbuild page.jsx --bundle \
      --outfile=page.js --define:process.env.NODE_ENV='"production"' --define:global=window
    securescore demo --out /some/folder
    python -m tests.artefacts.splunk_preview.preview /some/folder --control AdminMFAV2

writes NAME.html and NAME.png beside the events (needs chromium). The time picker says that it misses a Splunk.
"""

import argparse
import json
import runpy
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connector.formats import cloudevents
from tests.artefacts.spl import Row, World, text
from tests.artefacts.splunk_knowledge import KNOWLEDGE, dashboards, world
from tests.golden import samples

HERE = Path(__file__).parent
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0"><div id="root"></div>
<script>window.SHIPPED={shipped};window.SHOWN={shown};</script><script>{script}</script>"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="where `securescore demo` wrote events.jsonl")
    parser.add_argument("--control", default="none", help="the control that is looked at")
    args = parser.parse_args()
    where = index(args.folder)
    for name, shipped in dashboards().items():
        shown = json.loads(json.dumps(shipped))
        given = {key: each["value"] for key, each in shipped["defaults"].get("tokens", {}).get("default", {}).items()}
        for each in shown["inputs"].values():
            if each["options"]["token"] == "control":
                each["options"]["defaultValue"] = args.control
            given[each["options"]["token"]] = each["options"]["defaultValue"]
        for key, source in shown["dataSources"].items():
            rows = where.run(source["options"]["query"], given)
            shown["dataSources"][key] = {"type": "ds.test", "options": {"data": columns(rows)}}
        page = args.folder / f"{name}.html"
        script = (HERE / "page.js").read_text().replace("</script", "<\\/script")
        page.write_text(PAGE.format(shipped=json.dumps(shipped), shown=json.dumps(shown), script=script))
        print(f"{page.with_suffix('.png')}: {picture(page)}")  # noqa: T201 - a tool


def index(folder: Path) -> World:
    """The demonstration's events, and heartbeats and problems that it has not."""
    found = [cloudevents.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    now = max(datetime.fromisoformat(event.data["observed_at"]) for event in found)
    for hours in range(72):
        at = f"{now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        said = {"id": f"beat-{hours}", "time": at, "data.observed_at": at, "data.delivered": {"splunk": 3 + hours % 7}}
        found.append(samples.event("connector.heartbeat", said))
    found += [samples.event(name) for name in ("feed.suspicious", "feed.partial", "connector.problem/connector")]
    lookups = folder / "lookups"
    shutil.copytree(KNOWLEDGE / "lookups", lookups, dirs_exist_ok=True)
    for name, content in runpy.run_path(str(KNOWLEDGE.parent / "build.py"))["control_lookups"]().items():
        (lookups / name).write_text(content)
    return world(found, lookups, now)


def columns(rows: list[Row]) -> dict[str, Any]:
    """Rows as splunkd sends results: by column, everything text, moments in ISO."""
    names = sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name != "_time")

    def cell(row: Row, name: str) -> Any:
        value = row.get(name)
        if name == "_time" and value is not None:
            return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds")
        return value if value is None or isinstance(value, list) else text(value)

    found = [[cell(row, name) for row in rows] for name in names]
    if "_time" in names:
        names, found = [*names, "_span"], [*found, ["86400"] * len(rows)]
    return {"fields": [{"name": name} for name in names], "columns": found}


def picture(page: Path) -> str:
    """Make it; what Splunk's schema says of the definition."""
    chromium = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
    ]
    size, out = "--window-size=1480,2200", f"--screenshot={page.with_suffix('.png')}"
    subprocess.run([*chromium, size, out, page.as_uri()], check=True, capture_output=True)
    dom = subprocess.run([*chromium, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True).stdout
    return dom.rpartition('<pre id="report">')[2].partition("</pre>")[0]


if __name__ == "__main__":
    main()
