""" "All good." means that `run` would start and its first poll succeed: every fault, put before both, ends both alike.

`check` may be stricter than `once` in one thing only: a tenant that no sink takes.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from connector.app import open_app
from connector.cli.main import main
from connector.clock import SystemClock
from connector.config.yaml_file import load
from connector.errors import StoreError
from connector.health.state_watch import StateWatch
from connector.loops import App
from connector.observe.evidence import Evidence
from connector.ports import State
from connector.registry import sink_options
from connector.simulator.faults import Fault, Faults
from connector.stores.lock import take_lock
from connector.stores.sqlite import open_store
from tests.fake_graph import TENANT, history, profile_document
from tests.fakes.daemon import Recorder, operate, surroundings

DOWN = "http://127.0.0.1:9"
OTHER = "99999999-9999-4999-8999-999999999999"

Raw = dict[str, Any]


def a_good_one(folder: Path) -> Raw:
    saved = folder / "in"
    saved.mkdir()
    (saved / "scores.json").write_text(json.dumps({"value": history("2026-11-22", 3)}))
    (saved / "profiles.json").write_text(json.dumps({"value": [profile_document("AdminMFAV2")]}))
    return {
        "state": {"path": "s.db"},
        "tenants": [{"name": "contoso", "tenant_id": TENANT, "source": "files", "path": "in"}],
        "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
        "health": {"listen": "off"},
    }


@frozen
class Case:
    """`arrange` breaks a good configuration. `check` and `once` are the exit codes, `words` what `check` says."""

    arrange: Callable[[Path, Raw], Any]
    check: int
    once: int
    words: str


def sink(**keys: Any) -> Callable[[Path, Raw], None]:
    return lambda _, raw: raw["sinks"].append({"name": "own", **keys})


def only_sink(**keys: Any) -> Callable[[Path, Raw], None]:
    return lambda _, raw: raw.update(sinks=[{"name": "own", **keys}])


def state(**keys: Any) -> Callable[[Path, Raw], None]:
    return lambda _, raw: raw.update(state=keys)


def saved(name: str, text: str) -> Callable[[Path, Raw], Any]:
    return lambda folder, _: (folder / "in" / name).write_text(text)


def mapping(text: str) -> Callable[[Path, Raw], None]:
    def arrange(folder: Path, raw: Raw) -> None:
        (folder / "own.yaml").write_text(text)
        sink(kind="file", path="own.jsonl", mapping="./own.yaml")(folder, raw)

    return arrange


def polled_before(folder: Path, raw: Raw) -> Path:
    (folder / "c.yaml").write_text(json.dumps(raw))
    assert main(["once", "-c", str(folder / "c.yaml")]) == 0
    return folder / "s.db"


def newer(folder: Path, raw: Raw) -> None:
    with closing(sqlite3.connect(polled_before(folder, raw))) as file:
        file.execute("PRAGMA user_version = 99")


def damaged(folder: Path, raw: Raw) -> None:
    file = polled_before(folder, raw)
    content = bytearray(file.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 8] = b"\xff" * 8
    file.write_bytes(content)


def foreign(folder: Path, raw: Raw) -> None:
    with closing(sqlite3.connect(folder / "s.db")) as file:
        file.execute("CREATE TABLE theirs (a)")


def full(folder: Path, raw: Raw) -> None:
    raw["state"]["max_bytes"] = 16 * 1024**2

    async def fill() -> None:
        store = await open_store(folder / "s.db", clock=SystemClock())
        await store.commit(OTHER, State(0, {"x": os.urandom(17 * 1024**2)}), [])
        await store.close()

    asyncio.run(fill())


def no_memory(folder: Path, raw: Raw) -> None:
    async def spoil() -> None:
        store = await open_store(folder / "s.db", clock=SystemClock())
        await store.commit(TENANT, State(0, {"head": b"\x00 no head"}), [])
        await store.close()

    asyncio.run(spoil())


def nothing_to_read(folder: Path, raw: Raw) -> None:
    for file in (folder / "in").iterdir():
        file.unlink()


CASES = {
    "nothing": Case(lambda *_: None, 0, 0, "All good."),
    "nothing, polled before": Case(polled_before, 0, 0, "unchanged since the last poll"),
    "nothing, an empty state file": Case(lambda folder, _: (folder / "s.db").touch(), 0, 0, "All good."),
    "nothing, documents": Case(state(directory="s"), 0, 0, "All good."),
    # ----------------------------------------------------------------------------------------------- what stops a start
    "an unknown format": Case(sink(kind="file", path="x", format="ceff"), 2, 2, "did you mean cef"),
    "an unknown kind": Case(sink(kind="fille", path="x"), 2, 2, "did you mean file"),
    "a mapping that is not there": Case(sink(kind="file", path="x", mapping="./no.yaml"), 2, 2, "no.yaml"),
    "a mapping without encode": Case(mapping("fields: {a: id}\n"), 2, 2, "encode is missing"),
    "a mapping with a misspelt expression": Case(mapping("encode: json\nfields: {a: 'id['}\n"), 2, 2, "bad JMESPath"),
    "a secret that is not set": Case(
        sink(kind="webhook", url=DOWN, secret="${env:NOT_SET}"), 2, 2, "next: set NOT_SET"
    ),
    "options that contradict each other": Case(
        sink(kind="syslog", host="h", transport="tcp", tls={"ca_file": "ca.pem"}), 2, 2, "has no effect with"
    ),
    "a missing extra": Case(
        sink(kind="sentinel", endpoint="https://e", rule_id="dcr-1", auth={"kind": "managed_identity"}),
        2,
        2,
        "secure-score-connector[sentinel]",
    ),
    # -------------------------------------------------------------------------------------------------------- the state
    "a state in a folder of a missing folder": Case(state(path="no/no/s.db"), 1, 1, "Create the folder above it"),
    "a state below a file": Case(state(path="c.yaml/s.db"), 1, 1, "Not a directory"),
    "a state that is a folder": Case(state(path="in"), 1, 1, "the state"),
    "a state that is no database": Case(lambda f, _: (f / "s.db").write_text("x" * 9000), 1, 1, "is not a state file"),
    "another program's state": Case(foreign, 1, 1, "is a database of another program"),
    "a state of a newer version": Case(newer, 1, 1, "this program knows versions up to"),
    "a damaged state": Case(damaged, 1, 1, "damaged"),
    "documents where a file is": Case(state(directory="c.yaml"), 1, 1, "Not a directory"),
    "documents in a missing folder": Case(state(directory="no/s"), 1, 1, "Create the folder above it"),
    "a state at its bound": Case(full, 3, 3, "polling pauses"),
    # --------------------------------------------------------------------------------------------------- the first poll
    "no folder to read": Case(
        lambda _, raw: raw["tenants"][0].update(path="out"), 3, 3, "Correct `path` of this tenant"
    ),
    "nothing to read": Case(nothing_to_read, 3, 3, "Save the answers"),
    "a file that is cut": Case(saved("scores-2.json", '{"value": [{"id": "x'), 3, 3, "scores-2.json"),
    "another tenant's file": Case(
        saved("x.json", json.dumps({"value": history("2026-11-22", 1)}).replace(TENANT, OTHER)), 3, 3, "x.json"
    ),
    # ----------------------------------------------------------------------------------------------------------- a sink
    "a folder that is not there": Case(sink(kind="file", path="no/x.jsonl"), 3, 3, "create the folder"),
    "a receiver that is down": Case(sink(kind="webhook", url=DOWN, start="backfill"), 3, 3, "no connection to"),
    "every receiver down": Case(only_sink(kind="webhook", url=DOWN, start="backfill"), 3, 3, "no connection to"),
    "everything": Case(
        lambda f, raw: (only_sink(kind="webhook", url=DOWN)(f, raw), raw["tenants"][0].update(path="out")),
        1,
        1,
        "no connection to",
    ),
    # --------------------------------------------------------------------------------------------------------- a report
    "a report below a file": Case(
        lambda _, raw: raw.update(reports=[{"every": "day", "path": "c.yaml/of/{tenant}-{period}.html"}]),
        3,
        3,
        "c.yaml is no folder",
    ),
    # ------------------------------------------------------------------------------------------ where check is stricter
    "a tenant that no sink takes": Case(
        lambda _, raw: raw["sinks"][0].update(tenants=["fabrikam"]), 3, 0, "no sink takes this tenant's events"
    ),
}


WAITED_FOR = {
    "a state in a folder of a missing folder",
    "a state below a file",
    "a state that is a folder",
    "a damaged state",
    "documents where a file is",
    "documents in a missing folder",
}
"""Faults of the state that a disk, a mount or an operator may mend while the daemon waits; `once` ends with them."""


class Waiting(Exception):
    """`run` would wait now, and try again."""


def waiting(_watch: StateWatch, _loop: str, error: StoreError) -> float:
    raise Waiting from error


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.monitor.ingestion", None)


@pytest.mark.parametrize("fault", CASES)
@pytest.mark.usefixtures("without_extra")
def test_check_ends_as_the_start_does_and_changes_nothing(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[fault]
    monkeypatch.setenv("COLUMNS", "400")
    patience_s = 1.0 if "no connection to" in case.words else 60.0  # nobody waits for a receiver to come back
    monkeypatch.setattr(App.deliver_once, "__defaults__", (patience_s,))
    raw = a_good_one(tmp_path)
    case.arrange(tmp_path, raw)
    (tmp_path / "c.yaml").write_text(json.dumps(raw))
    capsys.readouterr()
    before = tree(tmp_path)
    checked = main(["check", "-c", str(tmp_path / "c.yaml")])
    said = "".join(capsys.readouterr())
    assert tree(tmp_path) == before
    started = main(["once", "-c", str(tmp_path / "c.yaml")])
    assert (checked, started) == (case.check, case.once), said + "".join(capsys.readouterr())
    assert case.words in said
    assert ("All good" in said) == (case.check == 0)
    assert said.count(case.words) == 1 or case.check == 0, "told once"
    if fault in WAITED_FOR:
        monkeypatch.setattr(StateWatch, "failed", waiting)
        with pytest.raises(Waiting):
            main(["run", "-c", str(tmp_path / "c.yaml")])
    elif started in (1, 2) and fault != "everything":
        assert main(["run", "-c", str(tmp_path / "c.yaml")]) == started


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_tenants_damaged_memory_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = a_good_one(tmp_path)
    no_memory(tmp_path, raw)
    (tmp_path / "c.yaml").write_text(json.dumps(raw))
    assert main(["check", "-c", str(tmp_path / "c.yaml"), "--json"]) != 0
    (finding,) = (f for f in json.loads(capsys.readouterr().out) if f["reason"] == "state_damaged")
    assert finding["ok"] is False
    assert "'head'" in finding["detail"]
    assert main(["once", "-c", str(tmp_path / "c.yaml")]) != 0


@pytest.mark.parametrize("home", [{"path": "s.db"}, {"directory": "s"}])
def test_beside_a_daemon_all_may_be_good_and_a_second_one_is_told(
    home: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    raw = a_good_one(tmp_path) | {"state": home}
    polled_before(tmp_path, raw)
    (name,) = home.values()
    lock = take_lock(tmp_path / name, clock=SystemClock())
    lock.hold()
    try:
        capsys.readouterr()
        assert main(["check", "-c", str(tmp_path / "c.yaml")]) == 0
        said = capsys.readouterr().out
        assert f"in use by process {os.getpid()}" in said
        assert "All good; a second `run` on this state would be refused." in said
        assert main(["once", "-c", str(tmp_path / "c.yaml")]) == 1
    finally:
        lock.release()


def test_packages_of_different_folders_stop_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(a_good_one(tmp_path)))
    monkeypatch.setattr("sinks.__file__", "/elsewhere/sinks/__init__.py")
    assert main(["check", "-c", str(tmp_path / "c.yaml")]) == 2
    assert main(["once", "-c", str(tmp_path / "c.yaml")]) == 2


@pytest.mark.parametrize("folder", [0o755, 0o777], ids=["the folder", "the file"])
def test_who_may_not_write_the_state_is_told(folder: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Permissions do not bind root: it becomes nobody for the while."""
    file = polled_before(tmp_path, a_good_one(tmp_path))
    assert main(["check", "-c", str(tmp_path / "c.yaml")]) == 0  # everything is imported by now
    for place in tmp_path.parents:
        if place.name.startswith(("pytest-", "popen-")):
            place.chmod(0o755)
    tmp_path.chmod(folder)
    for place in (file, tmp_path / "s.db.lock", tmp_path / "c.yaml", tmp_path / "events.jsonl"):
        place.chmod(0o444)
    capsys.readouterr()
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        codes = [main([*words, "-c", str(tmp_path / "c.yaml")]) for words in (("check", "--json"), ("once",))]
    finally:
        if root:
            os.seteuid(0)
    assert codes == [1, 1]
    (state,) = (f for f in json.loads(capsys.readouterr().out) if f["what"] == "state")
    assert "Permission denied" in state["detail"]


async def test_a_logo_that_no_report_can_carry_is_a_warning_since_polling_needs_none(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_text("<svg/>")
    async with surroundings(tmp_path, Recorder(), tenants=1, settings={"report": "{logo: logo.png}"}):
        file, found = tmp_path / "securescore.yaml", {}
        for command in ("check", "once"):
            words = (command, "-c", str(file))
            code, found[command], err = await asyncio.to_thread(operate, *words)
            assert code == 0, found[command] + err
    assert "is no PNG" in found["check"]


async def test_an_archive_that_cannot_be_written_spoils_the_first_poll(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file where the folder should be")
    async with surroundings(tmp_path, Recorder(), tenants=1):
        file, found = tmp_path / "securescore.yaml", {}
        file.write_text(file.read_text().replace("raw: {keep_days: 0}", ""))
        for command in ("check", "once"):
            words = (command, "-c", str(file))
            code, found[command], err = await asyncio.to_thread(operate, *words)
            assert code == 3, found[command] + err
    assert "is no folder" in found["check"]
    assert "partial" in found["once"]


@pytest.mark.parametrize(
    ("kind", "path", "code"),
    [
        ("denied", "", 3),
        ("not_found", "secureScores", 3),
        ("wrong_tenant", "", 3),
        ("partial", "ControlProfiles", 3),
        ("bad_request", "skiptoken", 3),
        ("foreign_link", "ControlProfiles", 3),
        ("lost_rows", "ControlProfiles", 0),
        ("odd_types", "", 0),
    ],
)
async def test_what_graph_answers_on_any_page_ends_both_alike(kind: str, path: str, code: int, tmp_path: Path) -> None:
    async with surroundings(tmp_path, Recorder(), tenants=1, faults=Faults([Fault(kind, path)])):
        words = ("-c", str(tmp_path / "securescore.yaml"))
        checked, said, _ = await asyncio.to_thread(operate, "check", *words)
        started, told, _ = await asyncio.to_thread(operate, "once", *words)
    assert (checked, started) == (code, code), said + told


async def test_it_builds_what_the_start_builds(tmp_path: Path) -> None:
    """The archive that `check` looks at is the one that the start writes to."""
    (tmp_path / "c.yaml").write_text(json.dumps(a_good_one(tmp_path)))
    async with open_app(load(str(tmp_path / "c.yaml"), sink_options=sink_options)) as app:
        assert isinstance(app.poller.archive, Evidence)
        assert app.poller.archive.root == tmp_path / "evidence"
