"""The benchmark without the extra `[fast]`: a process of its own in which these libraries cannot be imported.

    python -m tests.bench.pure '{"keys": ["hec_path_vs_json_dumps"], "quick": true}'

The last line on stdout is a JSON list of figures. The far ends stay as they are: their work is not counted.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence

from attrs import asdict

from tests.bench.measure import Figure

EXTRA = ("isal", "orjson")


def figures(keys: Sequence[str], *, quick: bool) -> list[Figure]:
    """What is measured without the extra."""
    if not keys:
        return []
    options = json.dumps({"keys": list(keys), "quick": quick})
    command = [sys.executable, "-m", "tests.bench.pure", options]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [Figure(**each) for each in json.loads(ended.stdout.splitlines()[-1])]


def main() -> None:
    sys.modules.update(dict.fromkeys(EXTRA))  # type: ignore[arg-type]  # what `import` takes for missing
    from tests.bench.__main__ import FULL, QUICK, measured  # noqa: PLC0415 - not before they are out of the way

    options = json.loads(sys.argv[1])
    found = asyncio.run(measured(options["keys"], QUICK if options["quick"] else FULL, ", without [fast]"))
    print(json.dumps([asdict(each) for each in found]))


if __name__ == "__main__":
    main()
