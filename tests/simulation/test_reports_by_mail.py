"""From Graph to a report in somebody's mailbox: polled, written when the month is over, told, mailed."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import ScheduleConfig, SinkConfig
from connector.ports import Query
from tests.fakes.mailbox import Mailbox, html_of, plain_of
from tests.simulation.test_pipeline import NOW, advance, simulated


def mail(box: Mailbox, digest: str) -> SinkConfig:
    options = {"host": "127.0.0.1", "port": box.port, "transport": "plain", "to": ("soc@example.org",)}
    return SinkConfig(digest, "mail", options={**options, "digest": digest}, start="now", exclude=("*.heartbeat",))


def attached(message: EmailMessage) -> list[bytes]:
    found = [part.get_payload(decode=True) for part in message.iter_attachments()]
    assert all(isinstance(body, bytes) for body in found)
    return [body for body in found if isinstance(body, bytes)]


async def test_a_report_is_written_when_the_month_is_over_and_comes_with_the_mails(tmp_path: Path) -> None:
    box = Mailbox()
    await box.start()
    async with simulated(tmp_path, tenants=2) as (sim, polled):
        reports = (ScheduleConfig("month", f"{tmp_path}/reports/{{tenant}}-{{period}}.html"),)
        config = evolve(polled, reports=reports, sinks=(mail(box, "off"), mail(box, "daily")))
        async with open_app(config, clock=sim.clock) as app:
            await app.poll_once()
            written = await app.write_reports()
            assert sorted(w.file.name for w in written) == sorted(f"{t.name}-2026-08.html" for t in config.tenants)
            assert await app.write_reports() == []
            came = {outcome.sink: (outcome.state, outcome.sent > 0) for outcome in await app.deliver_once()}
            assert came == {"off": ("ok", True), "daily": ("ok", False)}, "the digest waits for its time"
        bodies = sorted(w.file.read_bytes() for w in written)
        assert sorted(body for message in box.messages() for body in attached(message)) == bodies
        box.taken.clear()
        await advance(sim, timedelta(days=1).total_seconds())
        async with open_app(config, clock=sim.clock) as app:  # another process: nothing is written or mailed again
            assert await app.write_reports() == []
            sent = {outcome.sink: outcome.sent for outcome in await app.deliver_once()}
            assert (sent["off"], sent["daily"] > 2) == (0, True)
            events = await app.store.history(Query(types=("connector.report_written",)))
        [digest] = box.messages()
        assert sorted(attached(digest)) == bodies
        for said in (plain_of(digest), html_of(digest)):
            assert all(event.id in said and str(event.data["summary"]) in said for event in events)
        assert isinstance(sim.clock, SimulatedClock)
        assert sim.clock.now() == NOW + timedelta(days=1)
    await box.stop()


async def test_the_daemon_writes_by_itself_and_says_what_it_cannot_write(tmp_path: Path) -> None:
    async with simulated(tmp_path, now=datetime(2026, 9, 8, 8, tzinfo=UTC)) as (sim, polled):
        (tmp_path / "reports").write_text("a file where the folder should be")
        config = evolve(polled, reports=(ScheduleConfig("month", f"{tmp_path}/reports/{{tenant}}-{{period}}.html"),))
        async with open_app(config, clock=sim.clock) as app:
            stop = asyncio.Event()
            running = asyncio.ensure_future(app.run(stop))

            async def until(types: str) -> str:
                for _ in range(400):
                    await advance(sim, 60)
                    await asyncio.sleep(0.01)
                    found = await app.store.history(Query(types=(types,), newest_first=True))
                    told = [e for e in found if "report" in f"{e.subject}{e.data.get('reason')}"]
                    if told:
                        return str(told[0].data["summary"])
                raise AssertionError(f"no {types} in time")

            assert await until("connector.problem") == "Problem: a report cannot be written, of 1 tenant"
            (tmp_path / "reports").unlink()
            assert (await until("connector.report_written")).startswith("Report of 2026-08 written")
            assert "report" in await until("connector.recovered")
            stop.set()
            await advance(sim, 60)
            await asyncio.wait_for(running, 30)
