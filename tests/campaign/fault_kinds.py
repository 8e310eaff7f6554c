"""The kinds of faults, each made from a random generator alone."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gguf_files import write_tiny_llama

from tests.campaign.fault_lane import Lane

_ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE)
_DAY = 86400


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Injection:
    """One fault.

    Attributes:
        begin: Sets the scene; what it puts on the stack takes the fault away after the command.
        variables: Of the process; None takes one away.
        wrapped_in: A command that the command is run by.
        arguments: Other arguments than the lane's own.
        before_exec: Called in the process before it becomes lqtui.
        meanwhile: Called beside the running process.
        may_end_by: Signals that may end the process.
        tells: Whether what it says can be seen.
        changes_results: Whether the fault takes the results themselves away.
        at: The folder to start in.
    """

    begin: Callable[[contextlib.ExitStack], None] = _nothing
    variables: Mapping[str, str | None] = field(default_factory=dict)
    wrapped_in: Sequence[str] = ()
    arguments: Sequence[str] = ()
    before_exec: Callable[[], None] | None = None
    meanwhile: Callable[[subprocess.Popen[bytes]], None] = _nothing
    may_end_by: frozenset[int] = frozenset()
    tells: bool = True
    changes_results: bool = False
    at: Path | None = None


def _calls(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """A call that changes a file fails, once or from then on: a full disk, a broken one, a limit."""
    if shim is None:
        return _sizes(rng, lane, shim)
    who = rng.choice(["app", "child"])
    call = int(2 ** rng.uniform(0, 7 if who == "app" else 8.4))
    told = f"{who} {call} {rng.choice(_ERRORS)} {rng.randrange(2)}"
    return Injection(
        variables={"LD_PRELOAD": str(shim), "LQTUI_FAILS": told, "LQTUI_FAILS_UNDER": str(lane.folder)}
    )


def _sizes(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """No file may become larger than so many bytes."""
    size = int(2 ** rng.uniform(0, 20))
    return Injection(before_exec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def _disks(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """A small disk becomes full, though it said that it has room; then somebody makes room."""
    place = rng.choice([lane.home, lane.out.parent])
    room = int(2 ** rng.uniform(12, 20))

    def begin(stack: contextlib.ExitStack) -> None:
        place.mkdir(exist_ok=True)
        held = sum(4096 + path.stat().st_size for path in place.rglob("*"))
        aside = place.with_name("aside")
        place.rename(aside)
        place.mkdir()
        size = f"size={held + room + 65536}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True)
        shutil.copytree(aside, place, dirs_exist_ok=True)
        shutil.rmtree(aside)

        def end() -> None:
            shutil.copytree(place, aside, ignore_dangling_symlinks=True)
            subprocess.run(["umount", "-l", place], check=True)
            place.rmdir()
            aside.rename(place)

        if done.returncode == 0:
            stack.callback(end)

    room_told = {"LD_PRELOAD": str(shim), "LQTUI_ROOM": "1"} if shim else {}
    return Injection(begin=begin, variables=room_told)


def _memory(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """The engine's process gets no more memory than so much, or its buffers none at all."""
    if shim is None:
        size = rng.randrange(300 << 20, 3 << 30)
        return Injection(before_exec=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    if rng.random() < 0.5:
        return Injection(
            variables={"LD_PRELOAD": str(shim), "LQTUI_ALLOCATES": str(int(2 ** rng.uniform(0, 6)))}
        )
    size = int(2 ** rng.uniform(24, 31))
    return Injection(variables={"LD_PRELOAD": str(shim), "LQTUI_LIMITS": str(size)})


def _handles(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """So few files may be open at once."""
    most = rng.randrange(14, 65)
    return Injection(before_exec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))


def _vanished(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """A folder or file is taken away, sometimes for another, while or before the command runs."""
    places = ["home", *(f"home/{name}" for name in ("cache", "data", "state", "logs", "cache/pool"))]
    places += ["out", "tiny.gguf", "text.txt"]
    place = lane.folder / rng.choice(places)
    delay = rng.choice([0.0, rng.uniform(0, 1.5)])
    instead = rng.choice(["", "", "file", "other", "cut"])

    def take(*_: object) -> None:
        time.sleep(delay)
        with contextlib.suppress(OSError):
            aside = place.with_name(place.name + ".aside")
            if instead == "cut" and place.is_file():
                shutil.copy2(place, aside)
                os.truncate(place, place.stat().st_size // 2)
            elif place.exists():
                place.rename(aside)
            if instead == "file":
                place.write_text("not what was here")
            if instead == "other" and place.name == "tiny.gguf":
                write_tiny_llama(place, seed=9)

    def begin(stack: contextlib.ExitStack) -> None:
        stack.callback(give_back)

    def give_back() -> None:
        aside = place.with_name(place.name + ".aside")
        if aside.exists():
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
            aside.rename(place)

    return Injection(begin=begin, meanwhile=take, tells=instead == "" and delay == 0)


def _read_only(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """A folder that cannot be written to."""
    names = ("home", "home/cache", "home/data", "home/state", "home/logs", "out")
    place = lane.folder / rng.choice(names)

    def begin(stack: contextlib.ExitStack) -> None:
        place.mkdir(parents=True, exist_ok=True)
        bound = subprocess.run(["mount", "--bind", place, place], capture_output=True)
        if bound.returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", place], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)

    return Injection(begin=begin)


def _clocks(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """The clock is set, by seconds or by decades, before the command or while it runs; and files are odd."""
    jump = rng.choice([-1, 1]) * rng.choice([3, 3600, _DAY, 400 * _DAY, 20000 * _DAY, 70000 * _DAY])
    begins = time.time() + rng.choice([-1, rng.uniform(0, 1.5)])
    stamp = rng.choice([None, 0, -_DAY, time.time() + 4000 * _DAY, 2**40])
    jump = max(jump, -int(begins) + _DAY)

    def begin(stack: contextlib.ExitStack) -> None:
        for path in lane.home.rglob("*") if stamp is not None else ():
            with contextlib.suppress(OSError):
                os.utime(path, (stamp, stamp))

    told = {"LD_PRELOAD": str(shim), "LQTUI_CLOCK": f"{begins} {jump}"} if shim else {}
    return Injection(begin=begin, variables=told)


def _signals(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """Somebody ends the command, perhaps twice."""
    numbers = [
        rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]) for _ in range(rng.choice([1, 1, 2]))
    ]
    delays = [rng.uniform(0, 1.2), rng.uniform(0, 0.3)]
    logs = lane.home / "logs"
    before = set(logs.glob("*"))

    def tell(process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and set(logs.glob("*")) == before and lane.command != "export":
            time.sleep(0.01)  # till it runs: the interpreter's own start is not lqtui's
        for number, delay in zip(numbers, delays, strict=False):
            time.sleep(delay if lane.command != "export" else delay + 0.3)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    return Injection(meanwhile=tell, may_end_by=frozenset(numbers), tells=len(numbers) == 1)


def _streams(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """Standard streams are closed, full, or read by nobody."""
    shape = rng.choice(
        ['"$@" <&-', '"$@" >&-', '"$@" 2>&-', '"$@" <&- >&- 2>&-', '"$@" >/dev/full', '"$@" 2>/dev/full',
         '"$@" | head -c 1', '"$@" 2> >(head -c 1)', '"$@" 2>&1 | true']
    )  # fmt: skip
    return Injection(wrapped_in=["bash", "-c", shape, "bash"], tells=False)


def _surroundings(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """Variables and folders that a process can usually rely on."""
    gone = lane.folder / "gone"
    variables: dict[str, str | None] = rng.choice(
        [
            {"HOME": None},
            {"HOME": ""},
            {"HOME": "/proc/nobody"},
            {"HOME": "/dev/null", "LQTUI_HOME": None, "XDG_DATA_HOME": None},
            {"HOME": "/proc/nobody", "LQTUI_HOME": None},
            {"HOME": str(lane.folder / "else"), "LQTUI_HOME": None, "XDG_CACHE_HOME": "relative"},
            {"LQTUI_HOME": "/dev/null"},
            {"LQTUI_HOME": "/proc/nothing"},
            {"LQTUI_HOME": str(lane.model)},
            {"LQTUI_HOME": "x" * 5000},
            {"LQTUI_HOME": "relative/home"},
            {"LQTUI_HOME": "~nobody/home"},
            {"TMPDIR": "/nonexistent", "TEMP": "/nonexistent"},
            {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"LANG": "xx_YY.bogus", "LC_ALL": "xx_YY.bogus"},
            {"PYTHONIOENCODING": "ascii:strict"},
            {"COLUMNS": "many", "LINES": "-1", "TERM": None},
            {"PATH": None},
            {"HF_HOME": "/dev/null"},
            {"TZ": "Nowhere/Ever"},
            {"PWD": str(gone)},
        ]
    )
    at = None
    before_exec = None
    if variables == {"PWD": str(gone)} or rng.random() < 0.1:
        gone.mkdir()
        at, before_exec = gone, gone.rmdir
    if "LQTUI_HOME" in variables and variables["LQTUI_HOME"] is None and not variables["HOME"]:
        variables = {**variables, "HOME": str(lane.folder)}
    return Injection(variables=variables, at=at, before_exec=before_exec)


def _twins(rng: random.Random, lane: Lane, shim: Path | None) -> Injection:
    """Others do the same, or clear the cache, at the same time."""
    others = [rng.choice([lane.arguments(), ["cache", "--prune"]]) for _ in range(rng.choice([1, 2]))]
    delays = [rng.choice([0.0, rng.uniform(0, 1.2)]) for _ in others]

    def start(*_: object) -> None:
        begun = []
        for arguments, delay in zip(others, delays, strict=True):
            time.sleep(delay)
            command = [sys.executable, "-m", "lqtui", *arguments]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            begun.append(subprocess.Popen(command, env=lane.environment(), cwd=lane.folder, **quiet))
        for process in begun:
            process.wait(60)

    return Injection(meanwhile=start)


KINDS: dict[str, Callable[[random.Random, Lane, Path | None], Injection]] = {
    "failing calls": _calls,
    "file sizes": _sizes,
    "small disks": _disks,
    "little memory": _memory,
    "few handles": _handles,
    "vanished places": _vanished,
    "read-only places": _read_only,
    "clocks set": _clocks,
    "signals": _signals,
    "streams": _streams,
    "surroundings": _surroundings,
    "twins": _twins,
}
