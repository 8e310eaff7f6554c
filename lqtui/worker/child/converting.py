"""Run llama.cpp's own converter on a model in safetensors; lqtui itself converts nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lqtui.llama.errors import EngineError
from lqtui.store.checkpoint import Checkpoint, read_checkpoint
from lqtui.store.files import atomic_write, require_space
from lqtui.worker.child.converter import find_converter
from lqtui.worker.child.tasks import Send
from lqtui.worker.convert_messages import Convert
from lqtui.worker.messages import Progress

_MAGIC = b"GGUF"
_WRITTEN = re.compile(rb"Writing: +(\d+)%")
_LINE_END = re.compile(rb"[\r\n]")
_TELLING = re.compile(r"^(?:ERROR:[^:]*:|(?:\w+\.)*\w*(?:Error|Exception|Exit)\b:?)")
_DISK_FULL = "No space left on device"
_LINES_KEPT = 60
_PR_SET_PDEATHSIG = 1
_END_SECONDS = 0.7
"""How long the converter may take to end; less than the grace that this process itself is given."""


def convert(task: Convert, send: Send) -> int:
    """Do a Convert task, and return the size of the file in bytes.

    Raises EngineError or StoreError; `out` is then untouched.
    """
    checkpoint = read_checkpoint(task.folder)
    if checkpoint.code and not task.trust_code:
        raise EngineError(
            f"{task.folder} brings Python of its own ({checkpoint.code}), which the converter would run; "
            "if you trust it, say so with --trust-code"
        )
    if {"{", "}"} & set(task.out.name):
        raise EngineError(
            f"{task.out.name}: the converter does not take braces in a name; choose another one"
        )
    require_space(task.out, checkpoint.gguf_bytes(task.out_type))
    send(Progress("looking for", 0, 1, "llama.cpp's converter"))
    converter = find_converter(task.converter)
    with atomic_write(task.out) as temporary:
        command = [converter.python, str(converter.script), "--outtype", task.out_type]
        command += ["--outfile", str(temporary)]
        if checkpoint.name != task.folder.name:  # else the converter finds a name of its own accord
            command += ["--model-name", checkpoint.name]
        command += ["--", str(task.folder.absolute())]
        send(Progress("reading", 0, 1, "model"))
        _run(command, checkpoint, task, send)
        with temporary.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise EngineError(
                    f"{converter.script} ended well but wrote no GGUF file; the job's log shows why"
                )
        return temporary.stat().st_size


def _run(command: list[str], checkpoint: Checkpoint, task: Convert, send: Send) -> None:
    """Run the converter to its end, its output in the log; EngineError where it fails."""
    variables = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}
    if not checkpoint.code:
        variables["HF_HUB_OFFLINE"] = "1"  # all that it needs is in the folder
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,  # this process's own is the parent's pipe
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            preexec_fn=_end_with_parent,
        )
    except OSError as error:
        raise EngineError(f"{command[0]} cannot be started: {error.strerror}") from None
    last: list[str] = []
    percent = -1
    try:
        for line in _lines(process):
            if found := _WRITTEN.search(line):
                if int(found[1]) != percent:
                    percent = int(found[1])
                    send(Progress("writing", percent, 100, "%"))
            else:
                last = [*last, line.decode("utf-8", "replace").rstrip()][-_LINES_KEPT:]
        code = process.wait()
    finally:
        _end(process)
    if code:
        raise EngineError(_failure(code, last, task.out))


def _tie() -> Callable[[], None] | None:
    """What ties a new process to the one that starts it, on systems that know how."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # found here, as little may be done between fork and exec
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_end_with_parent = _tie()
"""The app ends a converter whose parent was killed, unless it was killed as well."""


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What the converter prints, line by line and bar by bar, as it comes; the log gets all of it too."""
    assert process.stdout is not None
    rest = b""
    while piece := os.read(process.stdout.fileno(), 1 << 16):
        sys.stderr.buffer.write(piece)
        sys.stderr.buffer.flush()
        *lines, rest = _LINE_END.split(rest + piece)
        yield from filter(None, lines)
        if _WRITTEN.search(rest):  # a bar ends where the next one begins, which may be much later
            yield rest
    if rest:
        yield rest


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no converter behind, whatever this process is ended by."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def _failure(code: int, last: list[str], out: Path) -> str:
    """Why the converter failed: its last line that tells."""
    if any(_DISK_FULL in line for line in last):
        return f"the disk became full while {out} was written; nothing of it was kept"
    if code < 0:
        memory = " (the system does that when memory runs out)" if code == -9 else ""
        return (
            f"llama.cpp's converter was ended by signal {-code}{memory}; the job's log shows how far it came"
        )
    told = next((line for line in reversed(last) if _TELLING.match(line)), last[-1] if last else "")
    return f"llama.cpp's converter failed with exit code {code}: {told[:300] or 'it did not say why'}"
