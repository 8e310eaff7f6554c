"""How the app feels: first paint, keys to paint, and what it takes while nothing happens.

Run: python tests/benchmarks/feel.py [--blocks 80] [--size 120x36] [--keys 200]

The app runs in a terminal of its own (a pty), on a random model of so many blocks that measures in no time.
A key's first frame is there when the first bytes arrive that follow it, and all of it when they have paused.
Frames that come without a key, such as meters and progress, are counted beforehand; keys are pressed between
them.
Prints a Markdown table; times are of this machine with whatever else runs on it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from gguf_files import tiny_text, write_tiny_llama

MOVES = ("j", "j", "j", "k", "l", "l", "h", "\x1b[B", "\x1b[A", "\x1b[6~", "\x1b[5~")
EDITS = ("4", "8", "f", " ", "u", "U", "4", "j")
QUIET_SECONDS = 0.03
"""A frame has arrived when nothing follows it for so long."""


class App:
    """The app in a terminal, seen through the bytes that it writes."""

    def __init__(self, command: list[str], columns: int, rows: int, home: Path) -> None:
        self.started = time.perf_counter()
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LQTUI_HOME=str(home))
            os.environ.update(HF_HUB_OFFLINE="1")
            os.execvp(command[0], command)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = psutil.Process(pid)
        self.written = b""

    def read(self, seconds: float) -> bytes:
        """What the app writes within some time, as soon as there is something."""
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return b""
        try:
            piece = os.read(self.terminal, 1 << 20)
        except OSError:
            return b""
        self.written += piece
        return piece

    def wait_for(self, text: str, seconds: float = 60) -> float:
        """Seconds from the start until a text has been written."""
        pattern = re.compile(re.escape(text).encode())
        while not pattern.search(self.written):
            if time.perf_counter() - self.started > seconds:
                raise SystemExit(f"{text!r} was never shown")
            self.read(0.2)
        return time.perf_counter() - self.started

    def drain(self, seconds: float) -> int:
        """Let some time pass; how many frames came without a key."""
        until, frames = time.perf_counter() + seconds, 0
        while (left := until - time.perf_counter()) > 0:
            if self.read(left):
                frames += 1
                while self.read(QUIET_SECONDS):
                    pass
        return frames

    def press(self, key: str) -> tuple[float, float] | None:
        """Seconds from a key to the first and the last byte that it painted; None where there are none."""
        while self.read(QUIET_SECONDS):  # never on top of a frame that is still coming
            pass
        pressed = time.perf_counter()
        os.write(self.terminal, key.encode())
        if not self.read(0.25):
            return None
        begun = painted = time.perf_counter()
        while self.read(QUIET_SECONDS):
            painted = time.perf_counter()
        return begun - pressed, painted - pressed

    def idle_share(self, seconds: float) -> float:
        """The share of one core that the app's own process takes while nobody presses a key."""
        self.drain(2)
        before = self.process.cpu_times()
        self.drain(seconds)
        after = self.process.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


def table_lines(name: str, app: App, keys: tuple[str, ...], count: int) -> str:
    """Press so many keys: a line of the table for their first frames, and one for all that they painted."""
    taken = []
    for number in range(count):
        painted = app.press(keys[number % len(keys)])
        if painted is not None:
            taken.append(painted)
        app.drain(0.02)
    first, whole = zip(*taken, strict=True)
    return f"{row(f'{name}: first frame', first)}\n{row(f'{name}: all of it', whole)}"


def row(name: str, taken: Sequence[float]) -> str:
    """A line of the table."""
    ms = sorted(1000 * seconds for seconds in taken)
    within = sum(each <= 16 for each in ms) / len(ms)
    p95 = ms[min(len(ms) - 1, int(0.95 * len(ms)))]
    return f"| {name} | {len(ms)} | {statistics.median(ms):.1f} | {p95:.1f} | {ms[-1]:.1f} | {within:.0%} |"


def main() -> None:
    """Start the app, press keys, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=80)
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--idle", type=float, default=10.0)
    asked = parser.parse_args()
    columns, rows = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_llama(Path(folder) / "deep.gguf", blocks=asked.blocks)
        corpus = Path(folder) / "text.txt"
        corpus.write_text(tiny_text(200_000))
        lqtui = str(Path(sys.executable).parent / "lqtui")
        command = [lqtui, str(model), "--corpus", str(corpus), "--threads", "1", "--chunks", "300"]
        starts = []
        for _ in range(3):
            app = App(command, columns, rows, Path(folder) / "home")
            starts.append(app.wait_for("blk"))
            app.close()
        app = App(command, columns, rows, Path(folder) / "home")
        app.wait_for("blk")
        frames = app.drain(3) / 3
        idle = app.idle_share(asked.idle)
        app.press("]")
        print(f"{asked.blocks} blocks, {columns}×{rows}, tensor scope, {os.cpu_count()} logical cores\n")
        print(f"first painted grid: {', '.join(f'{1000 * s:.0f}' for s in starts)} ms")
        print(f"idle: {idle:.1%} of a core, {frames:.1f} frames a second\n")
        print("| keys | painted | median ms | 95 % below, ms | most, ms | within 16 ms |")
        print("|---|---|---|---|---|---|")
        print(table_lines("move", app, MOVES, asked.keys))
        print(table_lines("edit", app, EDITS, asked.keys))
        app.press("r")
        app.drain(2)
        print(table_lines("move, a job running", app, MOVES, asked.keys))
        print(table_lines("edit, a job running", app, EDITS, asked.keys))
        running = [child for child in app.process.children(recursive=True) if child.is_running()]
        print(f"\n{'the job ran to the end of it' if running else 'the job had ended by then'}")
        app.close()


if __name__ == "__main__":
    main()
