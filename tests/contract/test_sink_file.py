"""The file sink: the contract, and its own: torn lines, rotation, full and failing disks, permissions, kill -9."""

import contextlib
import fcntl
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import Denied, Unavailable
from connector.options import TYPES
from connector.testing.sink_contract import FarEnd, SinkContract, accepted, cef, json_object, json_text, record
from sinks.file import OPTIONS, FileSink, build

ROOT = Path(__file__).parents[2]


class Disk:
    """A file on a disk that can run full (RLIMIT_FSIZE: the kernel writes short, then refuses)."""

    breaks_midway = True
    probe_sees_down = False  # a limit is no full disk; that has its own test

    def __init__(self, path: Path, *, text: bool) -> None:
        self.path = path
        self._text = text
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def sink(self) -> FileSink:
        return FileSink("archive", str(self.path))

    def payload(self, event_id: str, text: str) -> Any:
        return cef(event_id, text) if self._text else json_object(event_id, text)

    def unacceptable(self) -> Any:
        return {"number": float("nan")}

    async def received(self, count: int) -> list[str]:
        return lines(self.path)

    async def down(self) -> None:
        if self.path.exists():
            self._limit(self.path.stat().st_size)
        self._limit(0)

    async def up(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)

    async def break_after_first(self) -> None:
        first = self.payload("id-0000", "text 0")
        size = self.path.stat().st_size if self.path.exists() else 0
        self._limit(size + len(first if isinstance(first, str) else json.dumps(first)) + 20)

    def _limit(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._limits[1]))


def lines(path: Path) -> list[str]:
    """The lines of a file, which must all be complete."""
    data = path.read_bytes() if path.exists() else b""
    assert data == b"" or data.endswith(b"\n"), "the last line is torn"
    return data.decode().split("\n")[:-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture(params=["json", "text"])
def disk(request: pytest.FixtureRequest, path: Path) -> Iterator[Disk]:
    disk = Disk(path, text=request.param == "text")
    yield disk
    resource.setrlimit(resource.RLIMIT_FSIZE, disk._limits)


class TestFileSink(SinkContract):
    @pytest.fixture
    def far_end(self, disk: Disk) -> FarEnd:
        return disk


# ------------------------------------------------------------------------------------------------------ what is written


async def test_a_mapping_becomes_compact_ascii_json_in_its_own_order(path: Path) -> None:
    await FileSink("archive", str(path)).send([record(1, {"b": "ü", "a": [1, None, 2.5]})])
    assert path.read_bytes() == b'{"b":"\\u00fc","a":[1,null,2.5]}\n'


async def test_text_is_written_as_it_is(path: Path) -> None:
    await FileSink("archive", str(path)).send([record(1, "CEF:0|ü|\U0001f469 \U0001f4bb\ttab")])
    assert path.read_bytes() == "CEF:0|ü|\U0001f469 \U0001f4bb\ttab\n".encode()


async def test_appends_to_what_is_there(path: Path) -> None:
    path.write_text("older\n")
    await FileSink("archive", str(path)).send([record(1, "newer")])
    assert lines(path) == ["older", "newer"]


async def test_a_new_file_is_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        await FileSink("archive", str(path)).send([record(1, "x")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_mode_can_be_chosen_and_an_existing_file_keeps_its_own(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        new, old = tmp_path / "new", tmp_path / "old"
        old.touch(0o644)
        old.chmod(0o644)
        for target in (new, old):
            await build("archive", {"path": str(target), "mode": "0640"}, None).send([record(1, "x")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(old.stat().st_mode) == 0o644


def test_declares_options_of_known_types() -> None:
    assert all(option.type in TYPES and option.doc for option in OPTIONS.values())
    assert OPTIONS["path"].required
    assert OPTIONS["mode"].default in OPTIONS["mode"].choices


# ----------------------------------------------------------------------------------------------------------- torn lines


@pytest.mark.parametrize("torn", ["C", "CEF:0|Vendor|Pro", "CEF:0|" + "x" * 200_000], ids=["1", "16", "200k"])
async def test_a_torn_last_line_is_cut_and_complete_lines_stay(path: Path, torn: str) -> None:
    path.write_text(cef("id-0001", "kept") + "\n" + torn)
    await FileSink("archive", str(path)).send([record(2, cef("id-0002", "new"))])
    assert lines(path) == [cef("id-0001", "kept"), cef("id-0002", "new")]


async def test_a_torn_json_line_is_cut(path: Path) -> None:
    path.write_text(json_text("id-0001", "kept") + "\n" + json_text("id-0002", "torn")[:-3])
    await FileSink("archive", str(path)).send([record(2, json_object("id-0002", "whole"))])
    assert [json.loads(line)["text"] for line in lines(path)] == ["kept", "whole"]


async def test_complete_json_that_only_lacks_its_line_feed_is_kept(path: Path) -> None:
    path.write_text('{"id":"id-0001"}')
    await FileSink("archive", str(path)).send([record(2, json_object("id-0002", "new"))])
    assert [json.loads(line)["id"] for line in lines(path)] == ["id-0001", "id-0002"]


async def test_foreign_text_without_line_feed_is_never_cut(path: Path) -> None:
    """Somebody may name a file that was not ours."""
    path.write_bytes(b"\x00SQLite format 3")
    await FileSink("archive", str(path)).send([record(2, json_object("id-0002", "new"))])
    assert path.read_bytes().startswith(b"\x00SQLite format 3\n{")


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_any_cut_of_a_batch_leaves_whole_lines_after_the_next_one(path: Path, cut: int) -> None:
    """As a power cut would leave it: the unsettled batch comes again, and every line can be read."""
    records = [record(n, json_object(f"id-{n:04}", "ab" * n)) for n in range(4)]
    sink = FileSink("archive", str(path))
    await sink.send(records)
    whole = path.read_bytes()
    path.write_bytes(whole[: -min(cut, len(whole))])
    await sink.send(records)
    seen = [json.loads(line)["id"] for line in lines(path)]
    assert seen[-4:] == ["id-0000", "id-0001", "id-0002", "id-0003"]


@pytest.mark.parametrize("seed", range(30))
async def test_holes_that_a_power_cut_left_in_a_batch_are_cut_when_it_comes_again(path: Path, seed: int) -> None:
    """Lengths reach the disk before data does, and sectors in any order: what is not there reads as NULs."""
    draw = random.Random(seed)
    sink = FileSink("archive", str(path))
    if seed % 3:
        await sink.send([record(100, json_object("id-0100", "settled"))])
    settled = path.read_bytes() if path.exists() else b""
    batch = [record(n, json_object(f"id-{n:04}", "ab" * draw.randrange(200))) for n in range(20)]
    await sink.send(batch)
    torn = bytearray(path.read_bytes()[: draw.randrange(len(settled) + 1, path.stat().st_size + 1)])
    lost = range(len(settled) // 512, len(torn) // 512 + 1) if seed % 5 == 0 else range(draw.randrange(20))
    for sector in lost:
        begin, end = max(len(settled), sector * 512), min(len(torn), (sector + 1) * 512)
        torn[begin:end] = bytes(max(0, end - begin))
    path.write_bytes(torn)
    await sink.send([*batch, record(101, json_object("id-0101", "new"))])
    assert b"\0" not in path.read_bytes()
    seen = [json.loads(line)["id"] for line in lines(path)]
    assert seen[-21:] == [*(f"id-{n:04}" for n in range(20)), "id-0101"]
    assert path.read_bytes().startswith(settled)


async def test_settled_lines_behind_a_damaged_one_are_never_cut(path: Path) -> None:
    sink = FileSink("archive", str(path))
    for n in range(3):
        await sink.send([record(n, json_object(f"id-{n:04}", "x" * 300))])
    rotten = bytearray(path.read_bytes())
    rotten[100:200] = bytes(100)
    path.write_bytes(rotten)
    await sink.send([record(n, json_object(f"id-{n:04}", "x" * 300)) for n in range(1, 9) if n != 2])
    assert path.read_bytes().startswith(rotten)


# ------------------------------------------------------------------------------------------------------------- rotation


async def test_a_file_renamed_away_is_left_alone_and_a_new_one_begun(path: Path) -> None:
    sink = FileSink("archive", str(path))
    await sink.send([record(1, "one")])
    path.rename(path.with_suffix(".1"))
    await sink.send([record(2, "two")])
    assert (lines(path.with_suffix(".1")), lines(path)) == (["one"], ["two"])


async def test_a_deleted_file_is_begun_anew(path: Path) -> None:
    sink = FileSink("archive", str(path))
    await sink.send([record(1, "one")])
    path.unlink()
    await sink.send([record(2, "two")])
    assert lines(path) == ["two"]


async def test_a_file_deleted_while_it_is_written_accepts_nothing(path: Path) -> None:
    """/proc gives a name to a file that has lost its own, in a folder that cannot be synced."""
    with path.open("w") as open_file:
        path.unlink()
        with pytest.raises(Unavailable, match="deleted"):
            await FileSink("archive", f"/proc/self/fd/{open_file.fileno()}").send([record(1, "x")])


async def test_rotation_under_load_loses_and_repeats_nothing(path: Path) -> None:
    stop = threading.Event()
    parts: list[Path] = []

    def rotate() -> None:
        while not stop.wait(0.002):
            part = path.with_suffix(f".{len(parts)}")
            with contextlib.suppress(FileNotFoundError):
                path.rename(part)
                parts.append(part)

    rotator = threading.Thread(target=rotate)
    rotator.start()
    sink = FileSink("archive", str(path))
    try:
        for n in range(0, 600, 3):
            batch = [record(i, f"event {i}") for i in range(n, n + 3)]
            assert await sink.send(batch) == accepted(batch)
    finally:
        stop.set()
        rotator.join()
    assert len(parts) > 3, "the test did not rotate"
    assert [line for part in [*parts, path] for line in lines(part)] == [f"event {n}" for n in range(600)]


# ------------------------------------------------------------------------------------------------------------- failures


async def test_a_batch_that_failed_half_way_leaves_no_half_line(path: Path, disk: Disk) -> None:
    sink = disk.sink()
    before = [record(1, disk.payload("id-0001", "before"))]
    await sink.send(before)
    size = path.stat().st_size
    await disk.break_after_first()
    with pytest.raises(Unavailable, match="too large") as caught:
        await sink.send([record(n, disk.payload(f"id-{n:04}", "x" * 50)) for n in range(2, 6)])
    assert "rotate" in caught.value.hint
    assert path.stat().st_size == size


async def test_no_folder_is_denied_and_heals(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "events.jsonl"
    sink = FileSink("archive", str(path))
    for attempt in (sink.send([record(1, "x")]), sink.probe()):
        with pytest.raises(Denied) as caught:
            await attempt
        assert "create the folder" in caught.value.hint
    path.parent.mkdir()
    await sink.send([record(1, "x")])
    assert lines(path) == ["x"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
async def test_what_is_no_file_is_denied_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    sink = FileSink("archive", str(path))
    for attempt in (sink.send([record(1, "x")]), sink.probe()):
        with pytest.raises(Denied) as caught:
            await attempt
        assert caught.value.hint


async def test_only_a_link_that_this_account_or_root_made_is_followed(tmp_path: Path) -> None:
    """Whoever may write in the folder must not choose which file is appended to."""
    target, link = tmp_path / "of-root", tmp_path / "events.jsonl"
    target.write_text("")
    link.symlink_to(target)
    sink = FileSink("archive", str(link))
    await sink.send([record(1, "one")])
    assert lines(target) == ["one"]
    if os.geteuid() != 0:
        pytest.skip("only root can make another account's link")
    os.chown(link, 65534, 65534, follow_symlinks=False)
    for attempt in (sink.send([record(2, "two")]), sink.probe()):
        with pytest.raises(Denied) as caught:
            await attempt
        assert "name the file itself" in caught.value.hint
    assert lines(target) == ["one"]


async def test_a_lost_permission_is_denied_and_heals(path: Path) -> None:
    sink = FileSink("archive", str(path))
    await sink.send([record(1, "one")])
    with unprivileged(path):
        for attempt in (sink.send([record(2, "two")]), sink.probe()):
            with pytest.raises(Denied, match="Permission denied") as caught:
                await attempt
            assert "user" in caught.value.hint
    await sink.send([record(2, "two")])
    assert lines(path) == ["one", "two"]


@contextlib.contextmanager
def unprivileged(path: Path) -> Iterator[None]:
    """Take the permission to write `path` away; root becomes nobody for the while, permissions do not bind it."""
    path.chmod(0o400)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield
    path.chmod(0o600)


async def test_a_second_writer_is_kept_out(path: Path) -> None:
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another") as caught:
            await FileSink("archive", str(path)).send([record(1, "x")])
        assert "of its own" in caught.value.hint
    assert lines(path) == []


FAILING_FSYNC = """
import asyncio, ctypes, errno, os, platform, struct, sys
from connector.errors import Unavailable
from sinks.file import FileSink
from connector.model import Record

def rec(n): return Record(f"id-{n}", "change", "t", "2026-01-01T00:00:00Z", 1, {"n": n})

def fail_fsync(fd):
    '''A seccomp filter: the system call fsync(fd) returns EIO from now on.'''
    number = {"x86_64": 74, "aarch64": 82}[platform.machine()]
    code = b"".join(struct.pack("HBBI", *line) for line in [
        (0x20, 0, 0, 0),                       # load the number of the system call
        (0x15, 0, 3, number),                  # is it fsync?
        (0x20, 0, 0, 16),                      # load its first argument
        (0x15, 0, 1, fd),                      # is it this descriptor?
        (0x06, 0, 0, 0x00050000 | errno.EIO),  # then fail with EIO
        (0x06, 0, 0, 0x7FFF0000),              # else let it pass
    ])
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 6, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0, ctypes.get_errno()

async def main(path, which):
    sink = FileSink("archive", path)
    if which == "file":
        await sink.send([rec(1)])
        await sink.close()
    free = os.dup(0)  # the sink opens the file here, and then the folder
    os.close(free)
    fail_fsync(free if which == "file" else free + 1)  # for threads that start from now on
    try:
        await sink.send([rec(2), rec(3)])
    except Unavailable as error:
        print("unavailable:", error.what, "|", error.hint)
    else:
        print("accepted")
    await sink.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("which", "left"), [("file", ['{"n":1}']), ("folder", [])])
def test_a_failed_fsync_accepts_nothing_and_takes_the_batch_back(path: Path, which: str, left: list[str]) -> None:
    """The kernel reports a lost write once, at fsync; the process is a child with a filter that makes fsync fail."""
    done = python(FAILING_FSYNC, str(path), which)
    assert done.stderr == ""
    assert done.stdout.startswith("unavailable:")
    assert done.stdout.rstrip().endswith("check the disk")
    assert lines(path) == left


FULL_DISK = """
import asyncio, sys
from connector.errors import Unavailable
from connector.model import Record
from sinks.file import FileSink

async def main():
    sink = FileSink("archive", "/mnt/events.jsonl")
    taken = 0
    for n in range(1000):
        try:
            await sink.send([Record(f"id-{n}", "change", "t", "2026-01-01T00:00:00Z", 1, f"{n:06} " + "x" * 1000)])
            taken += 1
        except Unavailable as error:
            said = f"{error.what} | {error.hint}"
            break
    data = open("/mnt/events.jsonl", "rb").read()
    assert data.endswith(b"\\n") and data.count(b"\\n") == taken > 20, (taken, data[-20:])
    try:
        await sink.probe()
    except Unavailable:
        print("probe", end=" ")
    open("/mnt/ballast", "wb").close()
    await sink.send([Record("id", "change", "t", "2026-01-01T00:00:00Z", 1, "after")])
    assert open("/mnt/events.jsonl", "rb").read() == data + b"after\\n"
    await sink.close()
    print(said)

open("/mnt/ballast", "wb").write(b"x" * 60_000)
asyncio.run(main())
"""


def test_a_full_disk_is_unavailable_and_resumes_when_space_returns() -> None:
    """A real file system of 256 KiB, in a namespace of its own."""
    mount = "mount -t tmpfs -o size=256k none /mnt && exec "
    enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*enter, "sh", "-c", mount + "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting in a namespace is not permitted here")
    command = [*enter, "sh", "-c", mount + '"$0" -c "$1"', sys.executable, textwrap.dedent(FULL_DISK)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.stderr == ""
    assert "No space left on device | free space" in done.stdout
    assert done.stdout.startswith("probe ")


KILLED = """
import asyncio, sys
from connector.model import Record
from sinks.file import FileSink

def rec(n): return Record(str(n), "change", "t", "2026-01-01T00:00:00Z", 1, {"n": n, "x": "y" * 3000})

async def main():
    sink, n = FileSink("archive", sys.argv[1]), int(sys.argv[2])
    while True:
        await sink.send([rec(i) for i in range(n, n + 50)])
        n += 50
        print(n, flush=True)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_accepted(path: Path) -> None:
    """Killed again and again while writing; each start goes on behind what was reported as accepted."""
    done = 0
    for _ in range(4):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), str(done)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
            assert child.stdout is not None
            for _ in range(5):
                done = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            done = max([done, *(int(line) for line in child.stdout.read().split())])
    seen = {json.loads(line)["n"] for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")}
    assert seen >= set(range(done))


# ------------------------------------------------------------------------------------------------------ standard output


STDOUT = """
import asyncio
from connector.model import Record
from sinks.file import FileSink

def rec(n, payload): return Record(str(n), "change", "t", "2026-01-01T00:00:00Z", 1, payload)

async def main():
    sink = FileSink("screen", "-")
    await sink.probe()
    print("before")  # still in the buffer when the sink writes
    receipt = await sink.send([rec(1, "one\\ntwo"), rec(2, {"a": 1})])
    print(*sorted(receipt.accepted))
    await sink.close()

asyncio.run(main())
"""


def test_a_dash_is_standard_output_in_order_with_what_else_is_printed() -> None:
    done = python(STDOUT)
    assert (done.stderr, done.stdout) == ("", 'before\none\\ntwo\n{"a":1}\n1 2\n')


STDOUT_GONE = """
import asyncio, os, sys
from connector.errors import Unavailable
from connector.model import Record
from sinks.file import FileSink

async def main():
    sink = FileSink("screen", "-")
    try:
        await sink.send([Record("1", "change", "t", "2026-01-01T00:00:00Z", 1, "x")])
    except Unavailable as error:
        print(error.what, file=sys.stderr)
    await sink.close()

reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
asyncio.run(main())
"""


def test_a_closed_standard_output_is_unavailable() -> None:
    assert python(STDOUT_GONE).stderr == "-: Broken pipe\n"


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=buffered, timeout=60, check=False)
