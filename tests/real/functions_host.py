"""The Functions host, emulated: queue triggers and outputs on Azurite as host.json says, around real worker processes.

What a host does for a queue trigger is a handful of rules (Microsoft Learn, "Azure Queue storage trigger"): a message
is hidden while its function runs, deleted when that succeeds, shown again after `visibilityTimeout` when it fails or
its worker dies, and moved to `<queue>-poison` after `maxDequeueCount` tries. Timers are fired by
the test.
"""

import asyncio
import base64
import json
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import Factory, define

from connector.net.client import tls_context
from tests.needs import python313
from tests.real.azurite import Account

WORKER = Path(__file__).parent / "functions_worker.py"
QUEUE = "securescore-tenants"


class Crashed(Exception):
    """The worker process ended in the middle of an invocation."""


@define
class Message:
    """`text` as the app sees it; the rest is the queue's."""

    id: str
    text: str
    receipt: str
    tries: int


@define
class Queues:
    """The queue service of an account, by its REST interface (2021-12-02)."""

    account: Account
    http: aiohttp.ClientSession

    async def create(self, queue: str) -> None:
        await self._ask("PUT", queue)

    async def clear(self, queue: str) -> None:
        await self._ask("DELETE", f"{queue}/messages")

    async def put(self, queue: str, text: str) -> None:
        await self._ask("POST", f"{queue}/messages", body=_xml(text))

    async def get(self, queue: str, count: int, hidden_s: float) -> list[Message]:
        query = f"numofmessages={count}&visibilitytimeout={max(1, round(hidden_s))}"
        tree = ET.fromstring(await self._ask("GET", f"{queue}/messages", query))
        return [
            Message(
                str(one.findtext("MessageId")),
                base64.b64decode(one.findtext("MessageText") or "").decode(),
                str(one.findtext("PopReceipt")),
                int(one.findtext("DequeueCount") or 0),
            )
            for one in tree
        ]

    async def show_after(self, queue: str, message: Message, seconds: float) -> None:
        query = f"popreceipt={_quoted(message.receipt)}&visibilitytimeout={round(seconds)}"
        await self._ask("PUT", f"{queue}/messages/{message.id}", query, _xml(message.text))

    async def delete(self, queue: str, message: Message) -> None:
        await self._ask("DELETE", f"{queue}/messages/{message.id}", f"popreceipt={_quoted(message.receipt)}")

    async def waiting(self, queue: str) -> list[str]:
        """What can be seen now, without taking it."""
        tree = ET.fromstring(await self._ask("GET", f"{queue}/messages", "peekonly=true&numofmessages=32"))
        return [base64.b64decode(one.findtext("MessageText") or "").decode() for one in tree]

    async def count(self, queue: str) -> int:
        """All messages, hidden ones too, as the service knows."""
        _, headers = await self._answer("GET", queue, "comp=metadata")
        return int(headers["x-ms-approximate-messages-count"])

    async def _ask(self, method: str, path: str, query: str = "", body: str | None = None) -> str:
        return (await self._answer(method, path, query, body))[0]

    async def _answer(
        self, method: str, path: str, query: str = "", body: str | None = None
    ) -> tuple[str, Mapping[str, str]]:
        """As every client of the service: a broken connection is no answer, and is tried again."""
        url = f"{self.account.queue}/{path}?{query}&{self.account.sas}"
        for left in (2, 1, 0):
            try:
                async with self.http.request(method, url, data=body, headers={"x-ms-version": "2021-12-02"}) as answer:
                    text = await answer.text()
            except aiohttp.ClientConnectionError:
                if not left:
                    raise
                await asyncio.sleep(0.1)
                continue
            if answer.status >= 300 and not (answer.status == 404 and method == "DELETE" and left < 2):
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
            return text.removeprefix("\ufeff"), answer.headers
        raise AssertionError


def _xml(text: str) -> str:
    """A message as the host writes it: `messageEncoding` base64."""
    return f"<QueueMessage><MessageText>{base64.b64encode(text.encode()).decode()}</MessageText></QueueMessage>"


def _quoted(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


@define
class Worker:
    """One worker process. `found` is what it said when it had loaded the app."""

    process: asyncio.subprocess.Process
    found: dict[str, Any]
    _waiting: dict[int, "asyncio.Future[dict[str, Any]]"] = Factory(dict)
    _count: int = 0
    _reading: "asyncio.Task[None] | None" = None

    async def invoke(self, function: str, metadata: Mapping[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
        """One invocation: {ok, outputs, returned} or {ok: False, error}. Raises Crashed."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        self._count += 1
        asked = {"id": self._count, "function": function, "metadata": dict(metadata or {}), "inputs": inputs}
        answer = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        if self.process.returncode is not None:
            raise Crashed
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        done: dict[str, Any] = await answer
        return done

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)
        await self.process.wait()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Crashed())

    async def kill(self) -> None:
        """As when the machine is gone."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self._reading is not None:
            await self._reading


async def start(app: Path, settings: Mapping[str, str], log: Path) -> Worker:
    """A worker that has loaded the app; `found` holds `fault` when it could not."""
    python = python313()
    environ = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "LANG": "C.UTF-8", **settings}
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            python, "-I", "-S", "-X", "faulthandler", str(WORKER), str(app),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
            env=environ, cwd=app, limit=2**24,
        )  # fmt: skip
    assert process.stdout is not None
    first = await process.stdout.readline()
    return Worker(process, json.loads(first) if first else {"fault": log.read_text()[-2000:]})


@define
class Host:
    """Queue triggers over some workers. `settings` are host.json's, with a shorter time until a message comes back.

    `again_s` replaces visibilityTimeout. `ended` lists what became of each try: (message, ok, error), `seconds` how
    long it took.
    """

    queues: Queues
    workers: list[Worker]
    batch: int = 8
    threshold: int = 7
    max_tries: int = 5
    again_s: float = 0
    ended: list[tuple[str, bool, str]] = Factory(list)
    seconds: list[float] = Factory(list)
    _turn: int = 0

    async def timer(self, function: str) -> list[str]:
        """Fire a timer on one worker, and put what it hands out into the queue."""
        worker = self._next()
        answer = await worker.invoke(function, timer={"json": '{"IsPastDue": false}'})
        if not answer["ok"]:
            raise AssertionError(answer["error"])
        messages = json.loads(answer["outputs"]["messages"] or "[]")
        for message in messages:
            await self.queues.put(QUEUE, message)
        return list(messages)

    async def status(self) -> tuple[int, Any]:
        sent = {"method": "GET", "url": "https://app/api/status"}
        request: dict[str, Any] = {**sent, "headers": {}, "params": {}, "query": {}}
        answer = await self._next().invoke("status", request={"http": request})
        if not answer["ok"]:
            raise AssertionError(answer["error"])
        returned = answer["returned"]
        return int(returned["status"]), json.loads(returned["body"])

    async def until_empty(self, *, most_s: float = 60) -> None:
        """Run the triggers of both queues until nothing is left in either."""
        async with asyncio.timeout(most_s):
            await asyncio.gather(*(self._pump(worker) for worker in self.workers))

    def _next(self) -> Worker:
        self._turn += 1
        return self.workers[self._turn % len(self.workers)]

    async def _pump(self, worker: Worker) -> None:
        """One instance: fetches when no more than `threshold` messages are being worked on."""
        running: set[asyncio.Task[None]] = set()
        while worker.process.returncode is None:
            if len(running) > self.threshold:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                continue
            got = 0
            for queue, function in ((QUEUE, "turn"), (f"{QUEUE}-poison", "given_up")):
                for message in await self.queues.get(queue, self.batch, 120):
                    got += 1
                    running.add(asyncio.create_task(self._one(worker, queue, function, message)))
            if running:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=0.2)
            elif not got:
                if not await self.queues.count(QUEUE) and not await self.queues.count(f"{QUEUE}-poison"):
                    return
                await asyncio.sleep(0.05)

    async def _one(self, worker: Worker, queue: str, function: str, message: Message) -> None:
        began = time.monotonic()
        try:
            answer = await worker.invoke(function, {"DequeueCount": message.tries}, message={"string": message.text})
        except Crashed:
            answer = {"ok": False, "error": "the worker died"}
        self.ended.append((message.text, answer["ok"], answer.get("error", "")))
        self.seconds.append(time.monotonic() - began)
        if answer["ok"]:
            await self.queues.delete(queue, message)
        elif message.tries < self.max_tries:
            await self.queues.show_after(queue, message, self.again_s)
        else:
            if queue == QUEUE:
                await self.queues.put(f"{QUEUE}-poison", message.text)
            await self.queues.delete(queue, message)


@asynccontextmanager
async def queues(account: Account, ca_file: Path) -> AsyncIterator[Queues]:
    """The two queues of the app, empty."""
    # Azurite ends a connection that was idle for 5 s, and cannot say so in time.
    connector = aiohttp.TCPConnector(ssl=tls_context(str(ca_file)), keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector) as http:
        made = Queues(account, http)
        for queue in (QUEUE, f"{QUEUE}-poison"):
            await made.create(queue)
            await made.clear(queue)
        yield made
