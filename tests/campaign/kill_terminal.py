"""The app on a terminal, killed while it measures: the next start asks whether to go on, and goes on."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.terminal_app import TerminalApp
from tests.campaign.kill_scenes import Stage

CHUNKS = 60
_PATIENCE = 120.0


def killed(stage: Stage, home: Path, chance: random.Random, measured: Callable[[], int]) -> None:
    """Open the app, have it measure, and kill it when some chunks are measured; `measured` counts them."""
    app = _opened(stage, home)
    try:
        app.wait_for("SHA-256", _PATIENCE)
        app.write("r")
        wanted = chance.randint(1, CHUNKS // 2)
        _until(app, lambda: measured() >= wanted)
    finally:
        app.close()  # by SIGKILL


def gone_on(stage: Stage, home: Path, measured: Callable[[], int]) -> bool:
    """Open the app again, and say yes to what it asks; whether it asked and measured the rest."""
    app = _opened(stage, home)
    try:
        app.wait_for("not finished", _PATIENCE)
        app.write("y")
        _until(app, lambda: measured() == CHUNKS)
    except SystemExit:
        return False
    finally:
        app.close()
    return True


def _opened(stage: Stage, home: Path) -> TerminalApp:
    options = ["--corpus", str(stage.corpus), "--ctx", "128", "--chunks", str(CHUNKS), "--threads", "1"]
    os.environ["HF_HOME"] = str(home / "huggingface")
    return TerminalApp([sys.executable, "-m", "lqtui", str(stage.model), *options], 120, 36, home)


def _until(app: TerminalApp, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("it was not measured in time:\n" + "\n".join(app.screen.display))
        app.frames(0.05)
