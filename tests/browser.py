"""A headless Chromium that a test tells what to do, by Chrome's own DevTools protocol: no driver and no script in the
page."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

DEADLINE_SECONDS = 90


@dataclass
class Tab:
    """One page. `requested` is every address that it has asked for."""

    socket: aiohttp.ClientWebSocketResponse
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _count: int = 0

    async def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is noted."""
        self._count += 1
        await self.socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            said = await self._next()
            if said.get("id") == self._count:
                assert "error" not in said, said
                answer: dict[str, Any] = said["result"]
                return answer

    async def open(self, page: Path | str, width: int, *, dark: bool = False) -> None:
        """Show a file, or what has that address, in a window of so many CSS pixels."""
        await self.tell("Network.enable")
        await self.tell("Log.enable")
        await self.tell("Page.enable")
        mobile = width < 600
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=mobile
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.tell("Emulation.setEmulatedMedia", features=scheme)
        await self.tell("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression of the test's gives, at once or in time."""
        found = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def press(self, key: str, code: int) -> None:
        """One key, down and up."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    async def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        found = await self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    async def _next(self) -> dict[str, Any]:
        said: dict[str, Any] = await self.socket.receive_json(timeout=DEADLINE_SECONDS)
        if said.get("method") == "Network.requestWillBeSent":
            self.requested.append(said["params"]["request"]["url"])
        if said.get("method") == "Log.entryAdded":
            self.complaints.append(said["params"]["entry"]["text"])
        return said


@asynccontextmanager
async def tab(program: str, profile: Path) -> AsyncIterator[Tab]:
    """A page of a browser that is ended with the block."""
    profile.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = await _port(process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                pages = [it for it in await response.json() if it["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        process.wait(30)


async def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError(f"Chromium did not start (exit code {process.poll()})")


# Containers seldom allow the browser a sandbox of its own, and what is opened here is ours.
_OPTIONS: Sequence[str] = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
)
