"""The server behind `watched.py`: forks a process for each call, bounded and listened to, and tells its end.

A fork of a process that has everything imported starts in no time, and so does a child of lqtui's engine
that is forked in place of being executed. Reads a request as a line of JSON, answers with one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import typer.main

import lqtui.cli.commands

_REPORT = 250
"""The descriptor to which paths outside are reported."""
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2,
    "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "os.mkfifo": 1, "os.mknod": 1,
}  # fmt: skip
"""Events that change files, and how many of their first arguments are paths."""
_FOLLOWING = ("os.truncate", "os.chmod", "os.chown", "os.utime")
"""Those of them that change what a link leads to, and not the link."""
_LOOKS = ("os.listdir", "os.scandir", "sqlite3.connect")
_SYSTEM = (
    "/proc",
    "/sys",
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/dev/null",
    "/dev/urandom",
    "/dev/tty",
    "/dev/zero",
    "/dev/full",
)
_ENDS_TOO_SOON = 0.5
"""Seconds before the time is up when it is written down where the process stands."""


def main() -> None:
    """Serve until standard input ends."""
    for module in pkgutil.walk_packages(lqtui.__path__, "lqtui."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("typer._adapters")
    command = typer.main.get_command(lqtui.cli.commands.app)
    typer.main.get_command = lambda _: command  # which takes longer to make than most calls take
    gc.freeze()  # no process writes to what all have
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        _become(request)
    status, used, is_hung = _ended(pid, started + request["seconds"])
    return {
        "code": None if is_hung else os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started,
        "peak": used.ru_maxrss * 1024,
    }


def _ended(pid: int, deadline: float) -> tuple[int, resource.struct_rusage, bool]:
    """The status and the use of a process that ended, or was ended when its time was up."""
    pause = 0.001
    while True:
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            return status, used, False
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            return status, used, True
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _become(request: dict[str, Any]) -> NoReturn:
    """Be the watched process, from the fork on."""
    code = 70
    try:
        os.setsid()
        _redirect(request)
        os.environ.clear()
        os.environ.update(request["variables"])
        os.chdir(request["folder"])
        faulthandler.enable()
        faulthandler.dump_traceback_later(max(0.1, request["seconds"] - _ENDS_TOO_SOON))
        if request["forked_engine"]:
            _fork_the_engine()
        sys.addaudithook(_listener(request["reads"], request["writes"]))
        _limit_memory(request["memory"])
        code = _done(request)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as the interpreter does
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120
        os._exit(code)


def _done(request: dict[str, Any]) -> int:
    """Run the command, or the function, and tell the code that the process ends with."""
    try:
        if request["function"]:
            module, name = request["function"].split(":")
            getattr(importlib.import_module(module), name)(*request["arguments"])
        else:
            sys.argv = ["lqtui", *request["arguments"]]
            lqtui.cli.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    return 0


def _redirect(request: Mapping[str, str]) -> None:
    for number, (path, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (request["stdout"], _APPENDING), (request["stderr"], _APPENDING))
    ):
        _point(number, path, flags)
    _point(_REPORT, request["report"], _APPENDING)
    os.set_inheritable(_REPORT, True)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _point(number: int, path: str, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    os.dup2(descriptor, number)
    if descriptor != number:
        os.close(descriptor)


def _limit_memory(n_bytes: int) -> None:
    """Let the process, and each that it starts, take so much address space more than it has now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        has = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + n_bytes, has + n_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _itself(path: str) -> str:
    """Where a path lies that is itself renamed or removed, be it a link to elsewhere or not."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


def _listener(reads: Sequence[str], writes: Sequence[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that reports what is touched outside these folders."""
    written = tuple(map(os.path.realpath, writes))
    own = (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.dirname(lqtui.__file__)))  # noqa: PTH120
    readable = (*written, *map(os.path.realpath, (*reads, *own, *sys.path)), *_SYSTEM)
    is_listening = True

    def report(what: str, path: object, allowed: Sequence[str], follows: bool = True) -> None:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None
        if text is None or text in ("", ":memory:"):  # a descriptor was judged when it was opened
            return
        real = os.path.realpath(text) if follows else _itself(text)
        if not any(real == each or real.startswith(each + "/") for each in allowed):
            os.write(_REPORT, f"{what} {text!r}\n".encode())

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal is_listening
        if not is_listening:
            return
        is_listening = False
        try:
            if event == "open":
                path, mode, flags = arguments
                writing = bool((flags or 0) & _WRITING) or any(letter in (mode or "") for letter in "wxa+")
                devices = ("/dev/null", "/dev/tty")
                allowed = (*written, *devices) if writing else readable
                report("wrote" if writing else "read", path, allowed, not (flags or 0) & os.O_NOFOLLOW)
            elif event in _CHANGES:
                for path in arguments[event == "os.symlink" : _CHANGES[event]]:
                    report(event, path, written, event in _FOLLOWING)
            elif event in _LOOKS:
                report(event, arguments[0], readable)
            elif event in ("os.system", "os.exec", "pty.spawn"):
                os.write(_REPORT, f"{event} {arguments!r}\n".encode())
            elif event == "socket.connect" and not _is_loopback(arguments[1]):
                os.write(_REPORT, f"connect {arguments[1]!r}\n".encode())
            elif event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1"):
                os.write(_REPORT, f"looked up {arguments[0]!r}\n".encode())
        finally:
            is_listening = True

    return hear


def _is_loopback(address: object) -> bool:
    return not isinstance(address, tuple) or str(address[0]).startswith(("127.", "::1", "localhost"))


def _fork_the_engine() -> None:
    """Let `lqtui.worker.client` fork its child from this process, which has all that it would import.

    It runs where a process that is about to execute another runs its last preparations. For its parent it is
    the same: a process with its own session, pipes, and end.
    """
    start = subprocess.Popen.__init__

    def fork(popen: Any, command: Any, *positional: Any, **options: Any) -> None:
        if isinstance(command, Sequence) and list(command[1:3]) == ["-m", "lqtui.worker.child"]:
            options["preexec_fn"] = lambda: _be_the_engine(options.get("env") or {})
        start(popen, command, *positional, **options)

    subprocess.Popen.__init__ = fork  # type: ignore[method-assign]


def _be_the_engine(variables: Mapping[str, str]) -> NoReturn:
    try:
        os.closerange(
            3, _REPORT
        )  # the pipe, too, at whose end the parent waits for the process to be executed
        os.closerange(_REPORT + 1, 4096)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        asyncio._set_running_loop(None)
        os.environ.update(variables)
        sys.stdin = os.fdopen(0, "r", closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", closefd=False)
        sys.argv = ["child"]
        from lqtui.worker.child.__main__ import main as child

        child()
    finally:
        os._exit(70)


if __name__ == "__main__":
    main()
