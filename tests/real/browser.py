"""Chromium without a window, driven over its debugging protocol: what a page says, asks for and complains about.

No assertions live here.
"""

import asyncio
import base64
import itertools
import json
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse
from attrs import define, field

from tests.needs import program

LIMIT_S = 120.0
"""For a whole session: a busy machine may take long to start a browser."""


@define
class Tab:
    """One tab. `said` collects console messages, violations and exceptions, `requests` every address asked for."""

    _socket: ClientWebSocketResponse
    _session: str
    said: list[str] = field(factory=list)
    requests: list[str] = field(factory=list)
    visited: list[str] = field(factory=list)
    _number: Any = field(factory=lambda: itertools.count(1000))

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer; what happens meanwhile is kept."""
        number = next(self._number)
        await self._socket.send_json({"id": number, "method": method, "params": params, "sessionId": self._session})
        while True:
            message = await self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])

    async def open(self, path: Path) -> None:
        """Load a file and wait until it has loaded."""
        await self.send("Page.navigate", url=path.as_uri())
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass
        await asyncio.sleep(0.1)  # reports about what the policy blocked come a moment later
        await self.value("0")

    async def value(self, expression: str) -> Any:
        """The value of an expression in the page, though its own scripts are off."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def hears(self, words: Sequence[str], limit_s: float = 20.0) -> list[str]:
        """Wait until each of these was said or asked about; returns those that were not within the limit."""
        end = asyncio.get_running_loop().time() + limit_s
        while missing := [w for w in words if not any(w in said for said in self.said)]:
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.1)
            await self.value("0")  # takes in what has come meanwhile
        return missing

    async def size(self, width: int, *, dark: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def scripts(self, *, allowed: bool) -> None:
        """From the next page on; without them it is a reader who allows none."""
        await self.send("Emulation.setScriptExecutionDisabled", value=not allowed)

    async def pdf(self) -> bytes:
        found = await self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self._socket.receive(LIMIT_S)).data)
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.said.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Page.javascriptDialogOpening":
                self.said.append(json.dumps(params))
            case "Audits.issueAdded":
                self.said.append(params["issue"]["code"])
            case "Page.frameNavigated":
                self.visited.append(params["frame"]["url"])
        return message


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A fresh browser with one tab; needs Debian's package chromium."""
    binary = program("chromium", hint="apt-get install chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"]
    command = [binary, *options, *quiet, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(LIMIT_S), ClientSession() as http:
            address = await _address(process)
            async with http.ws_connect(address, max_msg_size=0) as socket:
                target = await _call(socket, 1, "Target.createTarget", url="about:blank")
                session = await _call(socket, 2, "Target.attachToTarget", targetId=target["targetId"], flatten=True)
                tab = Tab(socket, session["sessionId"])
                for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
                    await tab.send(f"{domain}.enable")
                yield tab
                await socket.send_json({"id": 3, "method": "Browser.close"})
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode("utf-8", "replace"):
        if found := re.search(r"DevTools listening on (ws://\S+)", line):
            return found[1]
    raise RuntimeError("chromium ended before it listened")


async def _call(socket: ClientWebSocketResponse, number: int, method: str, **params: Any) -> dict[str, Any]:
    await socket.send_json({"id": number, "method": method, "params": params})
    while True:
        message = json.loads((await socket.receive(LIMIT_S)).data)
        if message.get("id") == number:
            return dict(message["result"])
