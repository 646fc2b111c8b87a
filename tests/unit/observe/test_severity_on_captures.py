"""The severity table against controls of real tenants: what matters most stands out, and most things do not."""

import json
from collections import Counter
from collections.abc import Mapping

from connector.mapping.resources import load_data
from connector.model import Control, Profile
from connector.observe.changes import control_info
from connector.observe.severity import SeverityRules, severity
from connector.sources.days import parse_days
from connector.sources.pages import documents
from connector.sources.profiles import parse_profiles
from tests.shared_data import HEIMDALL_TENANT, shared_data

_table = load_data("severity")
RULES = SeverityRules(tuple(_table["rules"]), int(_table["default"]))


def lost(name: str, share: float, controls: Mapping[str, Control], profiles: Mapping[str, Profile]) -> int:
    """The severity of losing a share of a control's points by configuration."""
    info = control_info(name, controls.get(name), profiles.get(name))
    delta = -(info["max_score"] or 0.0) * share
    data = {"direction": "regressed", "delta": delta, "control": info, "cause": {"label": "configuration"}}
    return severity(RULES, "control.score_changed", data)


def test_severities_of_a_real_tenant() -> None:
    pages = json.loads(shared_data("heimdall2_profiles.json").read_bytes())
    newest = json.loads(shared_data("heimdall2_secureScore.json").read_bytes())
    profiles = parse_profiles(documents(pages, "profiles"), HEIMDALL_TENANT, "profiles").profiles
    docs = newest.get("value", [newest])
    (day,) = parse_days(docs, HEIMDALL_TENANT, "secureScores", "2026-11-22")
    whole = {name: lost(name, 1.0, day.controls, profiles) for name in day.controls}
    assert len(whole) == 68
    assert {n for n, found in whole.items() if found == 8} == {
        "AdminMFAV2",
        "exo_storageproviderrestricted",
        "mdo_blockmailforward",
        "mdo_safeattachmentpolicy",
    }
    assert whole["exo_mailtipsenabled"] == 7
    assert whole["mdo_bulkthreshold"] == 5
    assert min(whole.values()) == 4
    half = Counter(lost(name, 0.5, day.controls, profiles) for name in day.controls)
    assert [name for name in day.controls if lost(name, 0.5, day.controls, profiles) == 7] == ["AdminMFAV2"]
    assert half[4] + half[5] > 0.7 * len(whole)
    assert max(lost(name, 0.15, day.controls, profiles) for name in day.controls) == 6
