"""A headless Chromium for tests, driven by its DevTools protocol, and what it is sent of an app."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pyte

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A page that shows a served app: its screen is what the WebSocket brought, in a terminal."""

    def __init__(self, tools: aiohttp.ClientWebSocketResponse) -> None:
        self._tools = tools
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.requested: list[str] = []
        self.refused: list[str] = []

    async def listen(self) -> None:
        """Hear the browser until it is gone."""
        async for message in self._tools:
            told = json.loads(message.data)
            if "id" in told:
                self._calls.pop(told["id"]).set_result(told.get("result", told))
                continue
            params = told["params"]
            match told["method"]:
                case "Network.requestWillBeSent":
                    self.requested.append(params["request"]["url"])
                case "Network.loadingFailed" if params.get("blockedReason") == "csp":
                    self.refused.append(params["requestId"])
                case "Network.webSocketCreated":
                    asked = parse_qs(urlsplit(params["url"]).query)
                    self._screen.resize(int(asked["height"][0]), int(asked["width"][0]))
                case "Network.webSocketFrameReceived" if params["response"]["opcode"] == 2:
                    self._stream.feed(base64.b64decode(params["response"]["payloadData"]))

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Have the browser do something."""
        number = next(self._numbers)
        self._calls[number] = asyncio.get_running_loop().create_future()
        await self._tools.send_json({"id": number, "method": method, "params": params})
        return await asyncio.wait_for(self._calls[number], 20)

    async def key(self, letter: str) -> None:
        """Press a key."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)

    async def click(self, x: int, y: int) -> None:
        """Click at a place of the window, in pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def evaluate(self, script: str) -> Any:
        """What a script on the page comes to."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True)
        return told["result"].get("value")

    @property
    def text(self) -> str:
        """What the terminal on the page shows."""
        return "\n".join(self._screen.display)

    async def wait_for(self, text: str, seconds: float = 30) -> None:
        """Until the terminal shows a text."""
        for _ in range(int(seconds / 0.1)):
            if text in self.text:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{text!r} did not come within {seconds} s:\n{self.text}")


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Page]:
    """A page at an address, in a browser of its own."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1200,800"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # else Chromium does not start for root
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"]
        chromium = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert chromium.stderr is not None
            line = next(line for line in chromium.stderr if "DevTools listening on" in line)
            port = urlsplit(line.rpartition(" ")[2].strip()).port
            async with aiohttp.ClientSession() as session:
                tabs = await (await session.get(f"http://127.0.0.1:{port}/json")).json()
                address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                async with session.ws_connect(address, max_msg_size=1 << 28) as tools:
                    page = Page(tools)
                    listening = asyncio.create_task(page.listen())
                    await page.call("Network.enable")
                    await page.call("Page.navigate", url=url)
                    yield page
                    listening.cancel()
        finally:
            chromium.kill()
            chromium.wait()
