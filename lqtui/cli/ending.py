"""How a command ends when what is around it fails: its streams, its memory, or whoever started it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from lqtui.store.errors import StoreError

_TURNING = re.compile("[\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ENDING = ("SIGTERM", "SIGHUP")


def open_streams() -> None:
    """Give this process the standard streams that it lacks, and let none of them be what ends it.

    Where one was closed, the next file that is opened would take its number, and its place. What is said on
    standard error must never end the work that says it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        said = io.BufferedWriter(_Lasting(2, "w", closefd=False))
        sys.stderr = _Readable(said, encoding=encoding, errors="replace", line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name or a ± that the terminal cannot show is no failure


@contextlib.contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """End this process with a sentence and 1 where the system refuses something; silently if nobody reads."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        _drop_output()
        if error.errno == errno.EPIPE:
            sys.exit(1)
        where = f"{os.fsdecode(error.filename)}:" if error.filename else "the output cannot be written:"
        _fail(f"{where} {error.strerror or error}")
    except StoreError as error:
        _drop_output()
        _fail(str(error))
    except MemoryError:
        _drop_output()
        _fail("the memory does not suffice; close something, or choose a smaller model")
    except KeyboardInterrupt:
        _drop_output()
        sys.exit(128 + signal.SIGINT)


@contextlib.contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """Let what else ends a process stop a command as ctrl-c does; the exit status is 128 + its number."""
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            interrupt(signal.SIGINT, frame)
        else:  # a shell lets its background commands ignore ctrl-c
            raise KeyboardInterrupt

    before: dict[int, Callable[..., Any] | int | None] = {}
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if told:
            sys.exit(128 + told[0])


class _Readable(io.TextIOWrapper):
    """A text file without the marks that turn the writing's direction, which usage errors repeat."""

    def write(self, text: str) -> int:
        """Write a text, such marks as U+FFFD."""
        return super().write(text if text.isascii() else _TURNING.sub("\N{REPLACEMENT CHARACTER}", text))


class _Lasting(io.FileIO):
    """A file that swallows what cannot be written."""

    def write(self, said: Any) -> int:
        """Write as much as goes, and say that all went."""
        with contextlib.suppress(OSError):
            super().write(said)
        return memoryview(said).nbytes


def _fail(sentence: str) -> NoReturn:
    from lqtui.cli import output  # not at the top: `--version` answers without it

    output.fail(sentence, 1)


def _drop_output() -> None:
    """What is still to be written to standard output is of no use, nor what Python would say of it."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
