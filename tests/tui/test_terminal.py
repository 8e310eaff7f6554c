"""What only a real terminal shows: the app in tmux, on the demo model."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


class Terminal:
    """A tmux window of its own, on a server of its own."""

    def __init__(self, socket: str, folder: Path) -> None:
        self._socket = socket
        self._folder = folder

    def start(self, *command: str, size: tuple[int, int] = (120, 36)) -> None:
        """Run a command, and print how it ended when it has."""
        line = f"{shlex.join(command)}; echo ended with $?; sleep 60"
        columns, rows = map(str, size)
        environment = [f"-eLQTUI_HOME={os.environ['LQTUI_HOME']}", "-eCOLORTERM=truecolor"]
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "-c", str(self._folder)),
            *environment,
            line,
        )

    def keys(self, *keys: str) -> None:
        """Press keys, one at a time as a person does."""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(0.03)

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What the window shows."""
        return self._tmux("capture-pane", "-p")

    def wait_for(self, text: str, seconds: float = 30.0) -> str:
        """The screen as soon as it shows a text; fails with the screen where it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if text in (screen := self.screen()):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{text!r} did not come within {seconds} s:\n{self.screen()}")

    def stop(self) -> None:
        """End the server and all that runs in it."""
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, *arguments]
        # A size in the environment would win over the window's own.
        outside = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        return subprocess.run(command, env=outside, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    made = Terminal(f"lqtui-test-{uuid.uuid4().hex[:12]}", folder)  # the one before may still be leaving
    yield made
    made.stop()


def lqtui(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lqtui", *map(str, arguments)]


def test_open_toggle_measure_and_export(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start(*lqtui("--chunks", 1, "--threads", 1))
    terminal.wait_for("This is the bundled demo model")
    terminal.wait_for("F  F  F  F    F  F  F")
    terminal.keys("v", "j", "4", "v")
    terminal.wait_for("4  4  4  4    4  4  4")
    terminal.keys("r")
    terminal.keys("j", "8")  # keys stay live while the job runs
    terminal.wait_for("8  8  8  8    8  8  8")
    terminal.wait_for("✓ measure custom", 60)
    terminal.wait_for("against custom")  # what the base, scored with it, and others are compared with
    terminal.keys("e")
    terminal.wait_for("export script")
    terminal.keys("s")
    terminal.wait_for("Saved")
    script = tmp_path / "work" / "lqtui-demo-custom.sh"
    assert "llama-quantize" in script.read_text() and os.access(script, os.X_OK)
    terminal.keys("q")
    terminal.wait_for("ended with 0")


def test_a_small_terminal_shows_tabs_and_a_tiny_one_what_it_needs(
    terminal: Terminal, demo_model: Path
) -> None:
    terminal.start(*lqtui(demo_model), size=(80, 24))
    assert "results" in terminal.wait_for("block scope")
    terminal.resize(50, 12)
    terminal.wait_for("60")
    terminal.resize(120, 36)
    terminal.wait_for("size / quality")
    terminal.wait_for("✓ fingerprint")  # a job, about which leaving would ask
    terminal.keys("q")
    terminal.wait_for("ended with 0")


def test_leaving_in_the_middle_of_a_job_asks_and_leaves_a_clean_terminal(
    terminal: Terminal, demo_model: Path
) -> None:
    terminal.start(*lqtui(demo_model, "--chunks", 40, "--threads", 1))
    terminal.wait_for("block scope")
    terminal.keys("s")
    terminal.wait_for("running")
    terminal.keys("q")
    terminal.wait_for("Leave and cancel")
    terminal.keys("y")
    screen = terminal.wait_for("ended with 0")
    assert "Traceback" not in screen


def test_a_file_that_is_no_model_gets_a_sentence_and_the_app_lives(
    terminal: Terminal, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(bytes(4096))
    terminal.start(*lqtui(bad))
    terminal.wait_for("is not a GGUF file")
    terminal.keys("q")
    terminal.wait_for("ended with 0")
