"""Examples of every command, as `--help`, the manual page and docs/commands.md show them. A test parses each.

Words only: nothing is imported here, so that `--help` stays instant.
"""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "demo": ("securescore demo --days 14 --out demo",),
    "init": (
        "securescore init",
        "securescore init --tenant-id 11111111-1111-1111-1111-111111111111 --sink syslog --address siem.example.org",
        "securescore init --sink syslog --address 127.0.0.1 --transport tcp --port 10514 --try",
    ),
    "login": ("securescore login --tenant contoso",),
    "check": ("securescore check", "securescore check --send-test --sink soc"),
    "once": ("securescore once", "securescore once --tenant contoso --no-deliver"),
    "fetch": ("securescore fetch --tenant contoso --out ./exports",),
    "run": ("securescore run -c /etc/secure-score-connector/config.yaml",),
    "status": ("securescore status", "securescore status --json"),
    "events": (
        "securescore events --since 2026-11-22 --type 'control.*' --tenant contoso",
        "securescore events --id 5f0c7d4e-2b6a-8c11-9d3e-0a1b2c3d4e5f --trace",
    ),
    "explain": ("securescore explain --tenant contoso --from 2026-11-15 --to 2026-11-22",),
    "replay": ("securescore replay --sink soc --since 2026-11-20 --until 2026-11-22",),
    "parked": ("securescore parked list --sink soc", "securescore parked retry --sink soc"),
    "sinks": ("securescore sinks list", "securescore sinks release old-siem"),
    "tenants": (
        "securescore tenants list",
        "securescore tenants add contoso --tenant-id 11111111-1111-1111-1111-111111111111 --label tier=gold",
        "securescore tenants forget contoso --export contoso-2026 --yes",
        "securescore tenants forget contoso-azure --unit old-subscription",
    ),
    "controls": (
        "securescore controls list --service AzureAD",
        "securescore controls set AdminMFAV2 --tenant contoso --state reviewed --comment 'access policy' --dry-run",
        "securescore controls apply --baseline baseline.yaml --tenant tier=gold --dry-run",
    ),
    "next": (
        "securescore next --tenant contoso --what-if AdminMFAV2 --what-if OneAdmin",
        "securescore next --tenant tier=gold --limit 50 --csv",
    ),
    "report": (
        "securescore report --tenant contoso --out contoso.html",
        "securescore report --all-tenants --out controls.csv",
        "securescore report --all-tenants --format oscal --out results/",
    ),
    "accept-snapshot": ("securescore accept-snapshot --tenant contoso",),
    "simulate": ("securescore simulate --port 8099 --tenants 5 --out sim",),
    "config": (
        "securescore config explain sinks.syslog.transport",
        "securescore config schema",
        "securescore config schema baseline",
    ),
    "completion": ("source <(securescore completion bash)", "securescore completion fish | source"),
}
