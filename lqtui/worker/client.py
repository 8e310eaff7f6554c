"""The parent's side: run one task in a child process, hear its events, and survive whatever becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from lqtui.worker.messages import (
    LENGTH_BYTES,
    Event,
    Failed,
    Finished,
    Task,
    body_length,
    packed,
    unpack_event,
)

_GRACE_SECONDS = 1.0
_LOG_TAIL_BYTES = 64 << 10


class JobFailed(Exception):
    """A task that could not be done, or whose child process died; the message is one clear sentence."""


class EngineDied(JobFailed):
    """The child process ended without an answer: it crashed, or something killed it."""


async def run_task(
    task: Task,
    log: Path,
    on_event: Callable[[Event], None] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Finished:
    """Run a task in a child process of its own and return what it finishes with.

    Args:
        task: What to do.
        log: A file for everything that llama.cpp prints; it is made anew.
        on_event: Told of every event before the last.
        on_start: Told the child's process number.

    Raises:
        JobFailed: The child said why the task cannot be done.
        EngineDied: The child crashed or was killed.
        asyncio.CancelledError: The caller was cancelled; the child is gone when this is raised.
    """
    with log.open("wb") as log_file:
        child = await _start(log_file)
        if on_start:
            on_start(child.pid)
        try:
            last = await _converse(child, task, on_event)
            if isinstance(last, Failed):
                raise JobFailed(last.message)
            if last is None:
                raise EngineDied(_death_sentence(await child.wait(), log))
            return last
        finally:
            await _end(child)


def log_tail(log: Path, lines: int = 200) -> str:
    """The last lines of a job's log, empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


async def _start(log_file: IO[bytes]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lqtui.worker.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log_file,
        start_new_session=True,
    )


async def _converse(
    child: asyncio.subprocess.Process, task: Task, on_event: Callable[[Event], None] | None
) -> Finished | Failed | None:
    """Send the task and pass on events until the last one; None where the child stopped talking before it."""
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(ConnectionError):
        child.stdin.write(packed(task))
        await child.stdin.drain()
    while True:
        try:
            prefix = await child.stdout.readexactly(LENGTH_BYTES)
            event = unpack_event(await child.stdout.readexactly(body_length(prefix)))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
            return None
        if isinstance(event, Finished | Failed):
            return event
        if on_event:
            on_event(event)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Let a finished child go, and end one that is still at work, with everything that it started."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _GRACE_SECONDS if child.returncode is None else None)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                child.kill()
            else:
                os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _death_sentence(code: int, log: Path) -> str:
    """Why a child that said nothing more is gone, with the last line of its log that tells something."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        what = f"the engine's process was ended by {name}"
        if name == "SIGKILL":
            what += " (the system does that when memory runs out)"
    else:
        what = f"the engine's process stopped with exit code {code}"
    lines = [line.strip() for line in log_tail(log, 40).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "assert" in line.lower()]
    last = (telling or lines or ["nothing"])[-1]
    return f"{what}; its log ends: {last[:200]}"
