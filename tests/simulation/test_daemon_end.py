"""How the process of `run` begins and ends: no signal harms its start, and when it has stopped it is gone."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from tests.fakes.daemon import ROOT, Recorder, ask, surroundings
from tests.fakes.service import daemon


async def test_a_sighup_at_any_moment_of_the_start_is_a_reload_or_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path) as run:
        await run.until(lambda: Path(f"/proc/{run.process.pid}/status").exists(), "the process")
        await run.until(lambda: handles_hup(run.process.pid), "a handler")
        for _ in range(20):
            run.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        await run.until(lambda: run.manager.count("READY=1") >= 1, "READY")
        await run.until(lambda: len(run.entries("poll.done")) >= 2, "polls")
        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
        assert run.entries("reload.refused") == []
        assert run.entries("run.started"), "what came before there was a loop is heeded once"


def handles_hup(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGHUP - 1)


async def test_a_process_whose_output_nobody_reads_is_gone_when_it_has_stopped(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        async with daemon(tmp_path, stdout=writer) as run:
            await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
            run.rewrite("kind: file, path: events.jsonl", 'kind: file, path: "-", start: all')
            run.process.send_signal(signal.SIGHUP)
            await run.until(lambda: len(run.entries("run.started")) == 2, "the rebuild")
            await run.until(lambda: len(run.entries("poll.done")) >= 4, "polls")
            await asyncio.sleep(1)
            run.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert await asyncio.wait_for(run.process.wait(), 60) == 0
            assert len(run.entries("run.stopped")) == 1
            assert time.monotonic() - began < 40, "the stop has 20 s"
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_configuration_that_does_not_answer_delays_no_stop(tmp_path: Path) -> None:
    """A reload reads a file on a disk that hangs: SIGTERM is heard all the same."""
    async with daemon(tmp_path) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        (tmp_path / "securescore.yaml").unlink()
        os.mkfifo(tmp_path / "securescore.yaml")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("RELOADING=1") == 1, "RELOADING")
        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
        assert len(run.entries("run.stopped")) == 1


async def test_a_refused_reload_leaves_no_sink_behind(tmp_path: Path) -> None:
    """The new configuration names a state that is not there: it is found out after its sinks were made."""
    async with daemon(tmp_path) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        text = (tmp_path / "securescore.yaml").read_text()
        more = "sinks:\n              - {name: more, kind: file, path: more.jsonl, start: all}"
        changed = text.replace("path: state.db", "path: nowhere/deep/state.db").replace("sinks:", more)
        (tmp_path / "securescore.yaml").write_text(changed)
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: len(run.entries("reload.refused")) == 1, "the refusal")
        await run.until(lambda: len(run.entries("run.started")) == 2, "the old one again")
        (tmp_path / "securescore.yaml").write_text(text)
        assert "more" not in await ask(tmp_path, "sinks", "list")
        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0


async def test_a_reload_to_a_port_that_is_taken_goes_through_and_every_sink_is_configured(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with daemon(tmp_path) as run:
            await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
            run.rewrite(f"127.0.0.1:{run.port}", f"127.0.0.1:{taken.getsockname()[1]}")
            run.rewrite("sinks:", "sinks:\n              - {name: more, kind: file, path: more.jsonl, start: all}")
            run.process.send_signal(signal.SIGHUP)
            await run.until(lambda: len(run.entries("run.started")) == 2, "the rebuild")
            assert run.entries("health.not_listening")
            assert "abandoned" not in await ask(tmp_path, "sinks", "list")
            run.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.process.wait(), 30) == 0


async def test_few_descriptors_are_enough_and_too_few_are_waited_for(tmp_path: Path) -> None:
    """With 14 descriptors connections fail, and at times the state: it is the operator's matter, and no end."""
    async with surroundings(tmp_path, Recorder(), tenants=2):
        command = f'ulimit -n 14 && exec "{sys.executable}" -m connector.cli.main run'
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdout=DEVNULL, stderr=PIPE,
        )  # fmt: skip
        await asyncio.sleep(8)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 40)
        assert process.returncode == 0, err.decode()
        assert b"this is a bug" not in err, err.decode()
