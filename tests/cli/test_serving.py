"""`lqtui serve`: the app in a browser, for the one who knows the address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psutil
import pytest

from tests.cli.browser import CHROMIUM, browsing
from tests.cli.running import lqtui, refused

_CLIPBOARD = ["clipboardReadWrite", "clipboardSanitizedWrite"]


class Served:
    """A server, and where it said that it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "lqtui is at http" in first, first
        self.address = first.rpartition(" ")[2].strip()
        parts = urlsplit(self.address)
        self.page = f"{parts.scheme}://{parts.netloc}"
        self.token = parse_qs(parts.query)["token"][0]
        self.socket = f"ws://{parts.netloc}/ws?width=100&height=30"

    def apps(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@pytest.fixture
def served(home: Path, demo_model: Path) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "lqtui", "serve", str(demo_model), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    served = Served(process)
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            break
        time.sleep(0.05)
    yield served
    process.send_signal(signal.SIGINT)
    process.wait(10)


async def gone(processes: list[psutil.Process]) -> bool:
    for _ in range(100):
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        await asyncio.sleep(0.1)
    return False


async def bytes_until(ws: aiohttp.ClientWebSocketResponse, wanted: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(30):
        while wanted not in found:
            message = await ws.receive()
            found += message.data if message.type is aiohttp.WSMsgType.BINARY else b""
    return found


async def test_only_who_has_the_token_gets_a_page_or_an_app_and_no_other_sites_page_does(
    served: Served,
) -> None:
    cookie = {f"lqtui-{urlsplit(served.page).port}": served.token}
    async with aiohttp.ClientSession() as stranger:
        for where in ("/", "/?token=guess", "/static/js/textual.js", "/ws"):
            assert (await stranger.get(served.page + where)).status == 403, where
    async with aiohttp.ClientSession(cookies=cookie) as mine:
        elsewhere = {"Origin": "http://evil.example"}
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await mine.ws_connect(served.socket, headers=elsewhere)
        assert served.apps() == []
        page = await mine.get(served.address)
        assert page.status == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_an_app_takes_keys_ends_with_its_page_or_the_server_and_there_are_four_at_most(
    served: Served,
) -> None:
    headers = {"Origin": served.page, "Cookie": f"lqtui-{urlsplit(served.page).port}={served.token}"}
    async with aiohttp.ClientSession(headers=headers) as mine:
        first = await mine.ws_connect(served.socket)
        await bytes_until(first, b"block scope")
        await first.send_json(["stdin", "]"])
        await bytes_until(first, b"tensor scope")
        others = [await mine.ws_connect(served.socket) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await mine.ws_connect(served.socket)
        apps = served.apps()
        assert len(apps) == 4
        for page in others:
            await page.close()
        assert await gone(apps[1:])
        os.kill(served.process.pid, signal.SIGKILL)
        assert await gone(apps)


def test_a_port_that_is_taken_and_a_model_that_is_not_there_are_sentences(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(lqtui("serve", "--port", str(port)), "choose another with --port", 1)
    refused(lqtui("serve", tmp_path / "no.gguf"), "does not exist")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_in_chromium_the_app_is_seen_takes_keys_and_clicks_copies_and_asks_no_other_host(
    served: Served,
) -> None:
    async with browsing(served.address) as page:
        await page.wait_for("block scope")
        await page.wait_for("In the browser, files are")
        await page.click(90, 104)
        await page.wait_for("tensor scope")
        await page.key("4")
        await page.wait_for("→ Q4_0")
        await page.call("Browser.grantPermissions", permissions=_CLIPBOARD, origin=served.page)
        await page.key("e")
        await page.wait_for("export script")
        await page.key("c")
        await page.wait_for("Copied")
        copied = ""
        async with asyncio.timeout(10):
            while "llama-quantize" not in copied:
                await asyncio.sleep(0.1)
                copied = await page.evaluate("navigator.clipboard.readText()")
        assert "-first-byte" in await page.evaluate("document.body.className")
        other_hosts = [url for url in page.requested if not url.startswith(served.page)]
        assert len(other_hosts) == len(page.refused)
