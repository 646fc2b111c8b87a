"""Pictures of the dashboards without a Splunk: a hybrid month, our interpreter, Splunk's own renderer, dark and light.

Not a test: for whoever changes a dashboard. It also says whether Splunk's schema takes the definition.

    cd tests/artefacts/splunk_preview && npm install --legacy-peer-deps && npx esbuild page.jsx --bundle \
      --outfile=page.js --define:process.env.NODE_ENV='"production"' --define:global=window
    python -m tests.artefacts.splunk_preview.preview /some/folder [NAME …]

writes NAME-light.png and NAME-dark.png there (needs chromium). The time picker says that it misses a Splunk.
"""

import argparse
import json
import runpy
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.artefacts.spl import Row, World, text
from tests.artefacts.splunk_knowledge import KNOWLEDGE, dashboards, query, world
from tests.artefacts.splunk_month import NOW, month

HERE = Path(__file__).parent
CONTROL = "BlockLegacyAuthentication"
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0"><div id="root"></div>
<script>window.SHIPPED={shipped};window.SHOWN={shown};window.SCHEME="{scheme}";</script><script>{script}</script>"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="which dashboards; all by default")
    parser.add_argument("--script", type=Path, default=HERE / "page.js", help="page.jsx, bundled")
    args = parser.parse_args()
    where = index(args.folder)
    script = args.script.read_text().replace("</script", "<\\/script")
    for name, shipped in dashboards().items():
        if args.names and name not in args.names:
            continue
        shown = json.loads(json.dumps(shipped))
        given = {key: each["value"] for key, each in shipped["defaults"].get("tokens", {}).get("default", {}).items()}
        for each in shown["inputs"].values():
            if each["options"]["token"] == "control":
                each["options"]["defaultValue"] = CONTROL
            given[each["options"]["token"]] = each["options"]["defaultValue"]
        for key in shipped["dataSources"]:
            rows = where.run(query(name, key), given)
            shown["dataSources"][key] = {"type": "ds.test", "options": {"data": columns(rows)}}
        for scheme in ("light", "dark"):
            page = args.folder / f"{name}-{scheme}.html"
            filled = {"shipped": json.dumps(shipped), "shown": json.dumps(shown), "scheme": scheme, "script": script}
            page.write_text(PAGE.format(**filled))
            said = picture(page, shipped["layout"]["options"]["height"] + 140)
            print(f"{page.with_suffix('.png')}: {said}")  # noqa: T201 - a tool


def index(folder: Path) -> World:
    lookups = folder / "lookups"
    shutil.copytree(KNOWLEDGE / "lookups", lookups, dirs_exist_ok=True)
    for name, content in runpy.run_path(str(KNOWLEDGE.parent / "build.py"))["control_lookups"]().items():
        (lookups / name).write_text(content)
    found = world(month().events, lookups, NOW)
    found.tables = {"ms_securescore_instances": [{"instance": "sh1-shop", "host": "sh1", "interval_s": 3600}]}
    return found


def columns(rows: list[Row]) -> dict[str, Any]:
    """Rows as splunkd sends results: by column, everything text, moments in ISO."""
    names = list(dict.fromkeys(name for row in rows for name in row))

    def cell(row: Row, name: str) -> Any:
        value = row.get(name)
        if name == "_time" and value is not None:
            return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds")
        return value if value is None or isinstance(value, list) else text(value)

    found = [[cell(row, name) for row in rows] for name in names]
    if names and names[0] == "_time" and "summary" not in names:  # timechart says its span; a list of marks has none
        names, found = [*names, "_span"], [*found, ["86400"] * len(rows)]
    return {"fields": [{"name": name} for name in names], "columns": found}


def picture(page: Path, height: int) -> str:
    """Make it; what Splunk's schema says of the definition."""
    chromium = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
    ]
    size, out = f"--window-size=1480,{height}", f"--screenshot={page.with_suffix('.png')}"
    subprocess.run([*chromium, size, out, page.as_uri()], check=True, capture_output=True)
    dom = subprocess.run([*chromium, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True).stdout
    return dom.rpartition('<pre id="report">')[2].partition("</pre>")[0]


if __name__ == "__main__":
    main()
