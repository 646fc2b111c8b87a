"""Weeks of a dozen tenants, some days of them without the SIEM: nothing grows that should not (weeks.py, in small)."""

import json
import subprocess
import sys

from connector.stores.sqlite_file import WAL_CHECKPOINT_PAGES
from tests.fakes.daemon import ROOT

PAGE_BYTES = 4096


def test_weeks_with_an_outage_leave_no_file_thread_task_or_log_behind() -> None:
    options = {"tenants": 12, "days": 21, "polls_a_day": 1}
    words = [sys.executable, "-m", "tests.crash.weeks", json.dumps(options)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *days, end = (json.loads(line) for line in done.stdout.splitlines())
    assert len(days) == options["days"]
    before, away = days[: options["days"] // 3], [day for day in days if day["siem"] == "away"]
    assert len(away) == 3
    assert away[-1]["backlog"] > away[0]["backlog"] > 0, "what the SIEM did not take waits"
    assert end["committed"] == end["written"] == end["heard"], "all of it arrives"
    last = days[-1]
    for grown, more in (("files", 2), ("threads", 1), ("tasks", 4)):  # a poll or a turn may be under way
        assert last[grown] <= max(day[grown] for day in before) + more, (grown, days)
    assert max(day["wal_mb"] for day in days) * 1e6 < 1.2 * WAL_CHECKPOINT_PAGES * PAGE_BYTES
    assert all(day["polls"] >= options["tenants"] and not day["failed"] for day in days)
