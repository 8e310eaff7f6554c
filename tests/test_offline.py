"""No test reaches another machine, in whatever process: what lqtui asks of a network, a person asked for.

Each test of the suite runs under this, and one that is refused something fails.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from local_hub import LocalHub

from lqtui.store.paths import Paths
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.hub_messages import ListRepository, SearchHub
from tests.cli.running import lqtui, refused

ELSEWHERE = "http://hub.example"
_ASKING = f"import urllib.request; urllib.request.urlopen('{ELSEWHERE}', timeout=5)"


def noted(refusals: Path) -> list[str]:
    """Which calls were refused, by now; the test is not to fail by them."""
    lines = refusals.read_text().splitlines()
    refusals.unlink()
    return [" ".join(line.split()[:2]) for line in lines]


def test_neither_a_name_nor_an_address_of_another_machine_is_reached(refusals: Path) -> None:
    with pytest.raises(socket.gaierror):
        socket.create_connection(("hub.example", 80))
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mail, pytest.raises(OSError):
        mail.sendto(b"counted", ("2001:db8::1", 53))
    with socket.socket() as listener, pytest.raises(OSError):
        listener.bind(("0.0.0.0", 0))
    assert noted(refusals) == [
        "socket.getaddrinfo hub.example",
        "socket.connect 192.0.2.1",
        "socket.sendto 2001:db8::1",
        "socket.bind 0.0.0.0",
    ]


async def test_asyncio_reaches_none_either(refusals: Path) -> None:
    with pytest.raises(OSError):
        await asyncio.open_connection("192.0.2.1", 80)
    with pytest.raises(OSError):
        await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("hub.example", 53)
        )
    assert noted(refusals) == ["socket.connect 192.0.2.1", "socket.getaddrinfo hub.example"]


def test_nor_does_a_process_that_a_test_starts_or_one_that_this_starts(refusals: Path) -> None:
    nested = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {_ASKING!r}]))"
    for code in (_ASKING, nested):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1 and "Name or service not known" in done.stderr
    assert noted(refusals) == ["socket.getaddrinfo hub.example"] * 2


def test_this_machine_is_reached_as_ever(hub: LocalHub) -> None:
    hub.add_repository("a/Tiny-GGUF")
    with urllib.request.urlopen(f"{hub.endpoint}/api/models/a/Tiny-GGUF") as answer:
        assert answer.status == 200


async def test_a_job_of_lqtui_is_refused_too_and_says_so(
    paths: Paths, tmp_path: Path, refusals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", ELSEWHERE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for task in (SearchHub("tiny", 5), ListRepository("someone/Tiny-GGUF")):
        with pytest.raises(JobFailed, match=r"hub\.example"):
            await run_task(task, tmp_path / "job.log")
    assert set(noted(refusals)) == {"socket.getaddrinfo hub.example"}


def test_so_is_the_command_and_what_it_says_is_one_sentence(
    refusals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", ELSEWHERE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    refused(lqtui("models", "search", "tiny"), "hub.example", 1)
    assert set(noted(refusals)) == {"socket.getaddrinfo hub.example"}


def test_asking_the_hub_asks_for_what_was_wanted_alone(hub: LocalHub) -> None:
    """No telemetry, no look for a newer version: one command, and the requests of the server's log."""
    hub.add_repository("a/Tiny-GGUF")
    assert lqtui("models", "search", "tiny").returncode == 0
    assert {request.path.partition("?")[0] for request in hub.requests} == {"/api/models"}
    hub.requests.clear()
    assert lqtui("models", "list", "a/Tiny-GGUF", "--json").returncode == 0
    assert {request.path.partition("?")[0] for request in hub.requests} == {"/api/models/a/Tiny-GGUF"}
