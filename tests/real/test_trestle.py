"""OSCAL as compliance-trestle takes it: imported into a workspace, and valid by every validator it has.

compliance-trestle is large (65 MB) and brings releases of its own of what we use, so it runs in a process of its own,
from the folder that SECURESCORE_TRESTLE names.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from connector.report import build, oscal
from connector.report.values import Cover, EvidenceFile, TenantReport
from connector.sources.days import parse_days
from connector.sources.profiles import parse_profiles
from tests.fakes.posture import hostile, simulated, whole
from tests.needs import missing
from tests.shared_data import HEIMDALL_TENANT, shared_data


def trestle(workspace: Path, *words: str) -> str:
    folder = os.environ.get("SECURESCORE_TRESTLE", "")
    if not folder:
        missing(
            "compliance-trestle is not here: pip install --target DIR --require-hashes "
            "-r tests/real/requirements-trestle.lock, then SECURESCORE_TRESTLE=DIR"
        )
    done = subprocess.run(
        [sys.executable, "-m", "trestle", *words],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def written(report: TenantReport, path: Path) -> Path:
    cover = Cover("1.2.3", "2026-07-11T08:00:00Z", report.period, (report.summary,), (report.summary.name,))
    path.write_text(oscal.opening(cover) + oscal.tenant(report, 0) + oscal.closing(cover), "utf-8")
    return path


def of_simulated(*, harmed: bool) -> TenantReport:
    made = hostile(simulated(7)) if harmed else simulated(7)
    found = build.build(made, whole(made))
    proof = EvidenceFile(found.days[-1].day, "secureScores 1.json.gz", "ab" * 32, "verified")
    return evolve(found, evidence=(proof,))


def of_a_capture() -> TenantReport:
    days = json.loads(shared_data("heimdall2_secureScore.json").read_text("utf-8"))["value"]
    page = json.loads(shared_data("heimdall2_profiles.json").read_text("utf-8"))["value"]
    (day,) = parse_days(days, HEIMDALL_TENANT, "days", "2024-01-02")
    profiles = parse_profiles(page, HEIMDALL_TENANT, "profiles").profiles
    known = simulated(7)
    newest = known.memory.newest
    assert newest is not None
    memory = evolve(known.memory, newest=evolve(newest, day=day), days={}, profiles=profiles)
    return build.build(evolve(known, memory=memory, events=()), build.period(day.day, day.day))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    trestle(folder, "init", "--local")
    return folder


def test_all_kinds_are_imported_and_valid(workspace: Path, tmp_path: Path) -> None:
    simple = of_simulated(harmed=False)
    kinds = {
        "simulated": simple,
        "hostile": of_simulated(harmed=True),
        "capture": of_a_capture(),
        "empty": evolve(simple, scored=(), evidence=()),
    }
    for name, report in kinds.items():
        trestle(workspace, "import", "-f", str(written(report, tmp_path / f"{name}.json")), "-o", name)
    said = trestle(workspace, "validate", "-a")
    assert said.count("VALID: ") - said.count("INVALID: ") == len(kinds)


def test_what_is_wrong_is_refused(workspace: Path, tmp_path: Path) -> None:
    """A judge that takes everything would judge nothing."""
    file = written(of_simulated(harmed=False), tmp_path / "results.json")
    file.write_text(file.read_text().replace('"satisfied"', '"quite satisfied"', 1))
    with pytest.raises(AssertionError, match="quite satisfied"):
        trestle(workspace, "import", "-f", str(file), "-o", "wrong")
