"""The parent's side: run one task in a child process, hear its events, and survive whatever becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from lqtui.store.files import remove_partials
from lqtui.worker.chat_messages import Chat
from lqtui.worker.convert_messages import Convert
from lqtui.worker.messages import (
    LENGTH_BYTES,
    ComputeImatrix,
    Event,
    Failed,
    FetchWikitext,
    Finished,
    Measure,
    Task,
    WriteModel,
    body_length,
    packed,
    unpack_event,
)

_GRACE_SECONDS = 1.0
"""How long a child may take to remove what it has half-written, once it is told to stop."""
_LOG_TAIL_BYTES = 64 << 10
_LOG_MOST_BYTES = 8 << 20
"""A log that grows beyond this while its job runs loses all but its last part."""
_LOG_KEPT_BYTES = 1 << 20
_LOG_SECONDS = 0.5
"""How often a running job's log is looked at."""
_living: set[int] = set()
"""The children that are there: the number of one that is gone may be another program's."""
_TELLING = re.compile(r"error|assert|fatal|abort|failed", re.IGNORECASE)


class JobFailed(Exception):
    """A task that could not be done, or whose child process died; the message is one clear sentence.

    `bad_input` tells what was asked for from a network, a disk or an engine that failed.
    """

    bad_input = False


class TaskRefused(JobFailed):
    """A task that cannot be done with what it was given."""

    bad_input = True


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
        TaskRefused: The child said why the task cannot be done with what it was given.
        JobFailed: Something else failed.
        EngineDied: The child crashed or was killed.
        asyncio.CancelledError: The caller was cancelled.

    However it ends, the child is gone then, and so is what it had half-written.
    """
    try:
        message = packed(task)
    except UnicodeEncodeError:
        raise TaskRefused("a file name in this job is not valid Unicode; rename the file") from None
    try:
        log.write_bytes(b"")
        log_file = log.open("ab")  # so that the child goes on at the end of what is left of it
    except OSError as error:
        raise JobFailed(f"the job's log {log} cannot be written: {error.strerror}") from None
    with log_file:
        try:
            child = await _start(log_file)
        except OSError as error:
            raise JobFailed(f"no process can be started for the engine: {error.strerror}") from None
        answered = False
        shortening = asyncio.create_task(_keep_short(log))
        _living.add(child.pid)
        try:
            if on_start:
                on_start(child.pid)
            last = await _converse(child, message, on_event)
            answered = last is not None
            if not answered:
                await _exited(child)
        finally:
            shortening.cancel()
            try:
                await _end(child, answered)
            finally:
                _living.discard(child.pid)
            if not answered:
                _remove_partials(task, child.pid)
    if isinstance(last, Finished):
        return last
    if isinstance(last, Failed):
        raise TaskRefused(last.message) if last.bad_input else JobFailed(last.message)
    assert child.returncode is not None
    raise EngineDied(_death_sentence(child.returncode, log))


def rest(pid: int) -> bool:
    """Ask a child to do nothing from the next step of its work on; False where the system has no such way."""
    return sys.platform != "win32" and _tell(pid, signal.SIGUSR2)


def wake(pid: int) -> None:
    """Ask a child that rests to go on."""
    if sys.platform != "win32":
        _tell(pid, signal.SIGUSR1)


def log_tail(log: Path, lines: int = 200) -> str:
    """The last lines of a job's log, empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


async def _keep_short(log: Path) -> None:
    """Let no log fill the disk, however long a job runs and whatever its process says."""
    while True:
        await asyncio.sleep(_LOG_SECONDS)
        with contextlib.suppress(OSError), log.open("ab+") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LOG_MOST_BYTES:
                file.seek(size - _LOG_KEPT_BYTES)
                last = file.read(_LOG_KEPT_BYTES).partition(b"\n")[2]
                file.truncate(0)
                file.write(b"(what the log said before is left out)\n" + last)


async def _start(log_file: IO[bytes]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lqtui.worker.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log_file,
        # ggml starts a debugger to print where it aborted; threads that abort together can deadlock in that.
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        start_new_session=True,
    )


async def _converse(
    child: asyncio.subprocess.Process, message: bytes, on_event: Callable[[Event], None] | None
) -> Finished | Failed | None:
    """Send the task and pass on events until the last one; None where the child stopped talking before it."""
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(ConnectionError):
        child.stdin.write(message)
        await child.stdin.drain()
    while True:
        try:
            prefix = await child.stdout.readexactly(LENGTH_BYTES)
            event = unpack_event(await child.stdout.readexactly(body_length(prefix)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except msgspec.DecodeError as error:
            raise EngineDied(f"the engine's process sent what is no message of lqtui's: {error}") from None
        if isinstance(event, Finished | Failed):
            return event
        if on_event:
            on_event(event)


async def _end(child: asyncio.subprocess.Process, answered: bool) -> None:
    """Let a child that has answered go, and end any other, with everything that it started."""
    assert child.stdin is not None
    child.stdin.close()  # which also tells the child to stop
    try:
        if not answered and child.returncode is None:
            _signal_group(child, signal.SIGTERM)
        await _exited(child)
    finally:  # reached at once when the caller is cancelled a second time
        if not answered or child.returncode is None:
            _signal_group(child, signal.SIGKILL)
        if child.returncode is None:
            await child.wait()


async def _exited(child: asyncio.subprocess.Process) -> None:
    """Wait until a child is gone, but no longer than the grace."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(child.wait(), _GRACE_SECONDS)


def _tell(pid: int, number: int) -> bool:
    if pid in _living:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            return True
    return False


def _signal_group(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, number)


def _remove_partials(task: Task, writer: int) -> None:
    """Remove what a dead child may have left half-written: beside the file that it wrote, or in the pool."""
    match task:
        case WriteModel() | Convert() | FetchWikitext():
            remove_partials(task.out, writer)
        case ComputeImatrix():
            remove_partials(task.out.parent, writer)
        case Measure() | Chat():
            remove_partials(task.pool, writer)
        case _:
            pass


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
    telling = [line for line in lines if _TELLING.search(line)]
    return (
        f"{what}; its log says: {telling[-1][:200]}"
        if telling
        else f"{what}; the job's log shows what it did"
    )
