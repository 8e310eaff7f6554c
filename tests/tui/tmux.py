"""A real terminal for tests: a tmux window that keys go into and screens come from."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path


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
            time.sleep(
                0.7 if key == "Escape" else 0.03
            )  # a key right behind escape would be alt and that key

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


def lqtui(*arguments: object) -> list[str]:
    """The command that starts lqtui."""
    return [sys.executable, "-m", "lqtui", *map(str, arguments)]
