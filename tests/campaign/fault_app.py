"""The app while calls fail that change files: somebody presses keys without reading, and jobs really run."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

_KEYS = 80
_PATIENCE = 240.0
_TESTS = Path(__file__).parents[1]
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)


def app_fault(work: Path, seed: int, number: int, shim: Path) -> list[str]:
    """Let a disk fail the app in a folder of its own, from some call on or once; how it died of that."""
    folder = work / f"app-{number}"
    folder.mkdir()
    rng = random.Random(f"{seed}:app:{number}")
    call, lasting = rng.randrange(120, 700), rng.randrange(2)
    variables = {
        **os.environ,
        "TMPDIR": str(folder),
        "LD_PRELOAD": str(shim),
        "LQTUI_FAILS": f"app {call} {rng.choice(_ERRORS)} {lasting}",
        "LQTUI_FAILS_UNDER": str(folder),
        "PYTHONPATH": os.pathsep.join([str(_TESTS.parent), str(_TESTS), str(_TESTS / "tui")]),
    }
    monkey = [sys.executable, str(_TESTS / "tui" / "monkey.py"), "--keys", str(_KEYS), "--seed", str(number)]
    try:
        done = subprocess.run(
            monkey, env=variables, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return ["the app hung"]
    found = [] if done.returncode == 0 else [f"the app ended with {done.returncode}: {done.stderr[-800:]}"]
    return found + [
        f"{database}: {sound}"
        for database in folder.rglob("*.sqlite3")
        if (sound := _soundness(database)) != "ok"
    ]


def _soundness(database: Path) -> str:
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
