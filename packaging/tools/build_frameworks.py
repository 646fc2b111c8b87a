"""Derives mappings/attack.yaml from the published ATT&CK mapping of Microsoft 365 capabilities; for maintainers.

    python packaging/tools/build_frameworks.py m365-07.18.2025_attack-16.1-enterprise.json > mappings/attack.yaml

Source: center-for-threat-informed-defense/mappings-explorer, mappings/m365 (Apache-2.0, see NOTICE). Kept are ids
and the names of techniques: which of them a capability protects from, detects or responds to. Scores of "minimal" are
left out, and so are the capabilities that rate Secure Score as a product. The same input gives the same bytes.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

EFFECTS = ("protect", "detect", "respond")
WORTH = ("partial", "significant")
NOT_PER_CONTROL = ("DEF-SSCO-E3", "EID-IDSS-E3")
CAPABILITY = re.compile(r"[A-Z]+-[A-Z]+-E[35]")
TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?")

HEAD = """\
# Which ATT&CK techniques a Microsoft 365 capability protects from, detects or responds to. GENERATED: do not edit, run
# packaging/tools/build_frameworks.py.
#
# Derived from "mappings/m365" of Mappings Explorer, Copyright The MITRE Corporation, Center for Threat-Informed
# Defense, Apache License 2.0 (NOTICE). Changed against the origin: "minimal" scores, all texts but the names of
# techniques, and the two capabilities that rate Secure Score itself left out.
"""


def derive(source: Any) -> str:
    """The YAML text of the table. `source` is the parsed mapping; ValueError where it is not what we know."""
    about = source["metadata"]
    titles: dict[str, str] = {}
    table: dict[str, dict[str, set[str]]] = defaultdict(lambda: {effect: set() for effect in EFFECTS})
    for row in source["mapping_objects"]:
        capability, technique = row["capability_id"], row["attack_object_id"]
        if not CAPABILITY.fullmatch(capability) or not TECHNIQUE.fullmatch(technique):
            raise ValueError(f"unknown form of id: {capability!r}, {technique!r}")
        if row["score_category"] not in EFFECTS:
            raise ValueError(f"unknown effect: {row['score_category']!r}")
        if row["score_value"] in WORTH and capability not in NOT_PER_CONTROL:
            table[capability][row["score_category"]].add(technique)
            titles[technique] = row["attack_object_name"]
    lines = [
        HEAD + "version: 1",
        f'attack: "{about["attack_version"]}"',
        f'mapping: "{about["mapping_framework_version"]}"',
    ]
    lines.append("capabilities:")
    for capability, effects in sorted(table.items()):
        lines.append(f"  {capability}:")
        lines += [f"    {effect}: [{', '.join(sorted(ids))}]" for effect, ids in effects.items() if ids]
    lines.append("titles:")
    lines += [f"  {technique}: {json.dumps(title)}" for technique, title in sorted(titles.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(derive(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
