"""`lqtui` in a terminal begins where it was left, though it was killed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
from tmux import Terminal, lqtui

from lqtui.store.paths import Paths

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


def kill_when_remembered(paths: Paths, text: str) -> None:
    """Kill the lqtui that holds a session, with no chance to say a word, once its file has a text."""
    sessions, deadline = paths.state / "sessions", time.monotonic() + 20
    while not any(text in path.read_text() for path in sessions.glob("mine-*.json")):
        assert time.monotonic() < deadline, f"{text} was not remembered"
        time.sleep(0.1)
    (lock,) = sessions.glob("mine-*.lock")
    killed = lock.read_text()
    os.kill(int(killed), signal.SIGKILL)
    while lock.read_text() in (killed, ""):  # till the next holds it: what the dead one drew still stands
        assert time.monotonic() < deadline, "no other lqtui opened the model"
        time.sleep(0.1)


def test_a_killed_lqtui_begins_where_it_was_and_one_whose_model_is_gone_on_the_demo(
    terminal: Terminal, paths: Paths, demo_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "mine.gguf"
    shutil.copy(demo_model, model)
    runs = [[model, "--chunks", 3, "--ctx", 64], ["--threads", 1], ["--ctx", 128]]
    lines = [f"{shlex.join(lqtui(*run))}; stty sane" for run in runs]
    terminal.start("sh", "-c", "; ".join([*lines, "echo all over"]))
    terminal.wait_for("3×64")
    terminal.wait_for("F  F  F  F    F  F  F")
    terminal.keys("j", "j", "4", "N", "l", "8")
    terminal.wait_for("▶   2  8  4  4  4    4  4  4")
    kill_when_remembered(paths, '"scope":"tensor"')

    screen = terminal.wait_for("│ B custom-2 *")
    assert "▶   2  8  4  4  4    4  4  4" in screen and "3×64" in screen
    model.unlink()
    terminal.keys("q")
    terminal.wait_for("gone;")  # a toast says so
    assert "3×128" in terminal.wait_for("F  F  F  F    F  F  F")
    terminal.wait_for("✓ fingerprint")  # a job, about which leaving would ask
    terminal.keys("q")
    terminal.wait_for("all over")
