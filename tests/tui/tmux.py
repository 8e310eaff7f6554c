"""A real terminal for tests: a tmux window that keys go into and screens come from."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

_MODES = re.compile("\x1b\\[\\?([0-9;]+)([hl])")


class Terminal:
    """A tmux window of its own, on a server of its own."""

    def __init__(self, socket: str, folder: Path) -> None:
        self._socket = socket
        self._folder = folder
        self._written = folder / "written"

    def start(self, *command: str, size: tuple[int, int] = (120, 36)) -> None:
        """Run a command, and print how it ended when it has."""
        self._start(f"{shlex.join(command)}; echo ended with $?; sleep 60", size)

    def start_shell(self, size: tuple[int, int] = (120, 36)) -> None:
        """Run a shell, as a person has it before and after a command, and keep all that it is written."""
        self._start("exec env -u PROMPT_COMMAND PS1='$ ' sh", size)
        self.wait_for("$")
        self._tmux("pipe-pane", f"cat > {shlex.quote(str(self._written))}")

    def enter(self, line: str) -> None:
        """Type a line at the shell's prompt."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def shell_pid(self) -> int:
        """The number of the process that the window was started with."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def modes(self) -> dict[int, bool]:
        """The terminal's private modes that were ever set or reset from the shell, as they are now."""
        modes: dict[int, bool] = {}
        for numbers, end in _MODES.findall(self._written.read_bytes().decode("utf-8", "replace")):
            modes |= {int(number): end == "h" for number in numbers.split(";")}
        return modes

    def _start(self, line: str, size: tuple[int, int]) -> None:
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
