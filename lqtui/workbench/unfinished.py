"""The jobs of a model that were not finished when an lqtui ended, however that was: a file for each lqtui."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from lqtui.store.paths import Paths
from lqtui.store.state_file import read_state, state_name, write_state
from lqtui.workbench.asked import Asked
from lqtui.workbench.values import Settings

_VERSION = 1
"""Raised with every change after which an earlier lqtui would misread a file."""
_CLOCK_SECONDS = 2
"""So much may two processes differ on when a third was started: the clock is trimmed all the time."""


class Unfinished(msgspec.Struct, frozen=True):
    """What was asked for on a model and is not done, in its order, and how it was to be measured."""

    model: Path
    settings: Settings
    jobs: tuple[Asked, ...]


class Left(NamedTuple):
    """What was left of a model by every lqtui that runs no more, the files that say so, and what is odd."""

    found: tuple[Unfinished, ...]
    files: tuple[Path, ...]
    problems: tuple[str, ...]


def own_file(paths: Paths, model: Path) -> Path:
    """Where this process writes down its jobs on a model."""
    return _folder(paths, model) / f"{os.getpid()}-{_started(os.getpid())}.json"


def save_unfinished(file: Path, unfinished: Unfinished) -> None:
    """Write down jobs, or that there are none. Raises StoreError or OSError."""
    if unfinished.jobs:
        write_state(file, _VERSION, unfinished)
    else:
        file.unlink(missing_ok=True)


def left_of(paths: Paths, model: Path) -> Left:
    """What is not finished on a model, that of an lqtui that still runs left out; this one's is told."""
    found, files, problems = [], [], []
    own = own_file(paths, model)
    for file in sorted(_folder(paths, model).glob("*.json")):
        if file != own and _is_of_running(file):
            continue
        read = read_state(file, _VERSION, Unfinished)
        if read.problem:
            problems.append(read.problem)
        if read.state is not None and read.state.model == model:
            found.append(read.state)
            files.append(file)
    return Left(tuple(found), tuple(files), tuple(problems))


def _folder(paths: Paths, model: Path) -> Path:
    return paths.state / "unfinished" / state_name(model)


def _is_of_running(file: Path) -> bool:
    """Whether the process that wrote a file runs: the same one, not another that has its number by now."""
    number, _, then = file.stem.partition("-")
    now = _started(int(number)) if number.isdecimal() and then.isdecimal() else ""
    return bool(now) and abs(int(now) - int(then)) <= _CLOCK_SECONDS


def _started(process: int) -> str:
    """The seconds from the system's start to a process's, which stay when the clock is set; empty if gone."""
    with contextlib.suppress(psutil.Error, OverflowError):
        return str(max(0, int(psutil.Process(process).create_time() - psutil.boot_time())))
    return ""
