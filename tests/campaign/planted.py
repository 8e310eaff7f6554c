"""Faults that a watched process is given on purpose: the campaign must see each of them."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path


def read(path: str) -> None:
    Path(path).read_bytes()


def write(path: str) -> None:
    Path(path).write_text("x")


def list_folder(path: str) -> None:
    os.listdir(path)  # noqa: PTH208 - the event of that name


def rename(here: str, there: str) -> None:
    Path(here).rename(there)


def connect(host: str) -> None:
    with socket.socket() as made:
        made.settimeout(0.1)
        made.connect((host, 9))


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def end(code: int) -> None:
    sys.exit(code)


def raise_error() -> None:
    raise ValueError("planted")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def say(text: str) -> None:
    print(text)


def take(n_bytes: int) -> None:
    bytearray(n_bytes)


def refuse(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(2)
