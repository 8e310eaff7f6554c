"""An app in a terminal of its own: keys go in, and each frame that it paints is read back as a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyte

_ASKS_FOR_FRAMES, _HAS_FRAMES = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""The app asks whether the terminal shows frames whole, and is told that it does."""
_FRAME_ENDS = b"\x1b[?2026l"

Cells = tuple[tuple[object, ...], ...]
"""Characters with their colours, row by row."""


@dataclass(frozen=True)
class Frame:
    """What the screen showed from some moment on, in seconds since the key."""

    seconds: float
    cells: Cells

    @property
    def filled(self) -> float:
        """The share of the cells that are not blank."""
        cells = [cell.data for row in self.cells for cell in row]  # type: ignore[attr-defined]
        return sum(data != " " for data in cells) / max(1, len(cells))


class TerminalApp:
    """A command in a pseudo-terminal, and a terminal emulator that reads what it writes."""

    def __init__(self, command: list[str], columns: int, rows: int, home: Path) -> None:
        self.started = time.perf_counter()
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LQTUI_HOME=str(home))
            os.environ.update(HF_HUB_OFFLINE="1")
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed lqtui is compiled once
            os.execvp(command[0], command)
        self._set_size(columns, rows)
        self.process = psutil.Process(pid)
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self._tells_frames = False

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; the app is told."""
        self._set_size(columns, rows)
        self.screen.resize(rows, columns)

    def write(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    def read(self, seconds: float) -> list[tuple[float, bytes]]:
        """All that the app writes within some time, with the moments when it came."""
        until, pieces = time.perf_counter() + seconds, []
        while (left := until - time.perf_counter()) > 0:
            ready, _, _ = select.select([self._terminal], [], [], left)
            if not ready:
                break
            try:
                piece = os.read(self._terminal, 1 << 20)
            except OSError:
                break
            if _ASKS_FOR_FRAMES in piece:
                os.write(self._terminal, _HAS_FRAMES)
                self._tells_frames = True
            pieces.append((time.perf_counter(), piece))
        return pieces

    def frames(self, seconds: float, *, width: int = 0) -> list[Frame]:
        """The frames of some time from now, of the leftmost `width` columns (0: all).

        What does not tell where its frames end, as tmux, has one in every piece that it writes.
        """
        began, shown = time.perf_counter(), []
        for moment, piece in self.read(seconds):
            if not self._tells_frames:
                piece += _FRAME_ENDS
            *whole, self._rest = (self._rest + piece).split(_FRAME_ENDS)
            for frame in whole:
                self._stream.feed(frame)
                shown.append(Frame(moment - began, self.cells(width)))
        return shown

    def cells(self, width: int = 0) -> Cells:
        """The screen as it is."""
        columns = range(width or self.screen.columns)
        buffer = self.screen.buffer
        return tuple(tuple(buffer[y][x] for x in columns) for y in range(self.screen.lines))

    def wait_for(self, text: str, seconds: float = 60) -> float:
        """Seconds from the start until a text stands on the screen."""
        while not any(re.search(text, line) for line in self.screen.display):
            if time.perf_counter() - self.started > seconds:
                raise SystemExit(f"{text!r} was never shown:\n" + "\n".join(self.screen.display))
            for _, piece in self.read(0.02):
                self._stream.feed(piece)
        return time.perf_counter() - self.started

    def idle_share(self, seconds: float) -> tuple[float, float]:
        """While nobody presses a key: the share of one core that the app takes, and its frames a second."""
        self.read(2)
        before = self.process.cpu_times()
        frames = sum(piece.count(_FRAME_ENDS) for _, piece in self.read(seconds))
        after = self.process.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds, frames / seconds

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)
