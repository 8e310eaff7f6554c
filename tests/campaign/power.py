"""A power cut, pretended: of a folder is left what was flushed, and of the rest whatever chance leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.campaign import power_recorder

_LOG_HEADER = 32
_PAGE = 4096


def recording(journal: Path, root: Path) -> dict[str, str]:
    """The environment in which every process of Python notes in `journal` what it does below `root`."""
    site = journal / "site"
    site.mkdir(parents=True)
    shutil.copyfile(power_recorder.__file__, site / "sitecustomize.py")
    others = os.environ.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(site), others))),
        power_recorder.FOLDER: str(journal),
        power_recorder.ROOT: str(root.resolve()),
    }


def cut(journal: Path, root: Path, chance: random.Random) -> None:
    """Leave below `root` what a power cut would now; all processes that wrote there are gone.

    A name that was made, changed or removed since its folder was flushed may be as it was before, and so may
    those after it. What was written into a file since that was flushed may be missing, or zeros.
    """
    events = list(_events(journal / "journal"))
    _lose_names([event for event in events if event[0] != "file"], chance)
    flushed = {event[1]: Path(event[2]) for event in events if event[0] == "file"}
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        if ".sqlite3" in path.name:
            _lose_of_database(path, flushed)
        else:
            _lose_content(path, flushed.get(path.stat().st_ino), chance)


def _events(journal: Path) -> Iterator[list[Any]]:
    if journal.exists():
        for line in journal.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # its writer was killed
                yield json.loads(line)


def _lose_names(events: list[list[Any]], chance: random.Random) -> None:
    """Undo what was done to the names of each folder since that was flushed, from some moment on."""
    pending: dict[Path, list[int]] = {}
    for number, event in enumerate(events):
        if event[0] == "folder":
            pending.pop(Path(event[1]), None)
        else:
            pending.setdefault(Path(event[2 if event[0] == "rename" else 1]).parent, []).append(number)
    lost = set()
    for numbers in pending.values():
        lost.update(numbers[chance.choice((0, chance.randint(0, len(numbers)))) :])
    for number in sorted(lost, reverse=True):
        with contextlib.suppress(OSError):
            _undo(*events[number])


def _undo(what: str, path: str, *more: str) -> None:
    match what:
        case "create":
            Path(path).unlink(missing_ok=True)
        case "mkdir":
            shutil.rmtree(path)
        case "unlink":
            os.link(more[0], path, follow_symlinks=False)
        case "rename":
            target, saved = more
            Path(target).replace(path)
            if saved:
                os.link(saved, target, follow_symlinks=False)


def _lose_content(path: Path, flushed: Path | None, chance: random.Random) -> None:
    now = path.read_bytes()
    safe = flushed.read_bytes() if flushed is not None else b""
    if now == safe:
        return
    size = chance.randint(0, len(now))
    left = (safe, now, now[:size], now[:size] + bytes(len(now) - size), bytes(len(now)))
    path.write_bytes(chance.choice(left))


def _lose_of_database(path: Path, flushed: dict[int, Path]) -> None:
    """Cut the log to what lqtui flushed of it: SQLite flushes it before it writes the database itself."""
    if path.name.endswith("-shm"):
        path.unlink()
    elif path.name.endswith("-wal"):
        now = path.read_bytes()
        saved = flushed.get(path.stat().st_ino)
        safe = saved.read_bytes() if saved is not None else b""
        database = path.with_name(path.name.removesuffix("-wal"))
        if now[:_LOG_HEADER] == safe[:_LOG_HEADER] or database.stat().st_size <= _PAGE:
            path.write_bytes(safe)
