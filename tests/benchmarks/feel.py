"""How the app feels: first paint, keys to paint, flicker, and what it takes while nothing happens.

Run: python tests/benchmarks/feel.py [--blocks 80] [--size 120x36] [--keys 200] [--tmux] [--pilot]

The app runs in a terminal of its own, on a random model of so many blocks that measures in no time, and a
terminal emulator reads every frame. A key is painted with the frame from which the layers, with the sentence
on what is under the cursor, stand as they stay; meters, progress and the chart are left out. A frame flickers
where it shows less than half of what is shown before and after it. With `--tmux` there is a tmux between the
two, and with `--pilot` no terminal at all: the app alone, driven by Textual's Pilot.
Prints Markdown; times are of this machine with whatever else runs on it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from textual import events

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from gguf_files import tiny_text, write_tiny_llama
from terminal_app import Frame, TerminalApp

MOVES = ("j", "j", "j", "k", "l", "l", "h", "\x1b[B", "\x1b[A", "\x1b[6~", "\x1b[5~")
EDITS = ("4", "8", "f", " ", "u", "U", "4", "j")
LAYERS_WIDTH = 58
"""Columns from the left that the layers have at least, in every terminal that is wide enough."""
SETTLED = 0.12
"""Seconds after a key in which all that it does is painted."""


def painted(app: TerminalApp, key: str) -> float | None:
    """Seconds from a key until what it did is on the screen; None where it did nothing."""
    app.frames(0.02)
    before = app.cells(LAYERS_WIDTH)
    app.write(key)
    frames = app.frames(SETTLED, width=LAYERS_WIDTH)
    if not frames or frames[-1].cells == before:
        return None
    last = frames[-1].cells
    changing = [at for at, frame in enumerate(frames) if frame.cells != last]
    return frames[changing[-1] + 1 if changing else 0].seconds


def first_paint(name: str, command: list[str], size: tuple[int, int], home: Path) -> str:
    """How long an app takes to show its panes, and the layers of its model."""
    screens, grids = [], []
    for _ in range(5):
        app = TerminalApp(command, *size, home)
        screens.append(app.wait_for("jobs"))
        grids.append(app.wait_for("embd  "))
        app.close()
    return f"first paint, {name}: {_each(screens)} ms; the grid of the model: {_each(grids)} ms"


def keys_line(name: str, app: TerminalApp, keys: tuple[str, ...], count: int) -> str:
    """A line of the table: so many keys pressed, and what they took."""
    return table_line(name, [painted(app, keys[number % len(keys)]) for number in range(count)])


def table_line(name: str, taken: Sequence[float | None]) -> str:
    """A line of the table, of seconds; keys that did nothing have none."""
    ms = sorted(1000 * seconds for seconds in taken if seconds is not None)
    within = sum(each <= 16 for each in ms) / len(ms)
    p95 = ms[min(len(ms) - 1, int(0.95 * len(ms)))]
    return f"| {name} | {len(ms)} | {statistics.median(ms):.1f} | {p95:.1f} | {ms[-1]:.1f} | {within:.0%} |"


def flicker_line(name: str, before: Frame, frames: Sequence[Frame]) -> str:
    """A line on a change of the whole screen: its frames, those that flicker, and when the last one came."""
    least = min(before.filled, frames[-1].filled) / 2
    blank = sum(frame.filled < least for frame in frames)
    settled = next(frame.seconds for frame in frames if frame.cells == frames[-1].cells)
    return f"| {name} | {len(frames)} | {blank} | {1000 * settled:.0f} |"


def flicker(app: TerminalApp, columns: int, rows: int) -> list[str]:
    """Resize the terminal and switch the theme, and look at each frame."""
    lines = []
    for width, height in ((80, 24), (200, 50), (columns, rows)):
        before = Frame(0, app.cells())
        app.resize(width, height)
        lines.append(flicker_line(f"resize to {width}×{height}", before, app.frames(0.8)))
    for theme in ("textual-light", "textual-dark"):
        for keys in ("\x10", "theme", "\r", theme):
            app.write(keys)
            app.frames(0.6)
        before = Frame(0, app.cells())
        app.write("\r")
        lines.append(flicker_line(f"theme {theme}", before, app.frames(1.0)))
    return lines


def main() -> None:
    """Start the app, press keys, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=80)
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--idle", type=float, default=10.0)
    parser.add_argument("--tmux", action="store_true")
    parser.add_argument("--pilot", action="store_true")
    asked = parser.parse_args()
    columns, rows = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_llama(Path(folder) / "deep.gguf", blocks=asked.blocks)
        corpus = Path(folder) / "text.txt"
        corpus.write_text(tiny_text(200_000))
        lqtui = str(Path(sys.executable).parent / "lqtui")
        command = [lqtui, str(model), "--corpus", str(corpus), "--threads", "1", "--chunks", "300"]
        home = Path(folder) / "home"
        if asked.pilot:
            asyncio.run(pilot(model, home, (columns, rows), asked.keys))
            return
        if asked.tmux:
            server = ["tmux", "-L", f"lqtui-feel-{os.getpid()}", "-f", "/dev/null"]
            command = [*server, "new-session", *command]
        print(f"{asked.blocks} blocks, {columns}×{rows}, tensor scope, {os.cpu_count()} logical cores\n")
        plain = command[: command.index("--corpus")]
        for name, started in (("`lqtui model.gguf`", plain), ("with options", command)):
            print(first_paint(name, started, (columns, rows), home))
        app = TerminalApp(command, columns, rows, home)
        app.wait_for("embd  ")
        if not asked.tmux:  # whose client the process is then
            idle, frames = app.idle_share(asked.idle)
            print(f"idle: {idle:.1%} of a core, {frames:.1f} frames a second")
        print()
        app.write("]")
        print("| keys | painted | median ms | 95 % below, ms | most, ms | within 16 ms |")
        print("|---|---|---|---|---|---|")
        print(keys_line("move", app, MOVES, asked.keys))
        app.write("gjj")
        print(keys_line("edit", app, EDITS, asked.keys))
        app.write("r")
        time.sleep(2)
        app.frames(0.1)
        print(keys_line("move, a job running", app, MOVES, asked.keys))
        app.write("gjj")
        print(keys_line("edit, a job running", app, EDITS, asked.keys))
        running = any(child.is_running() for child in app.process.children(recursive=True))
        print(f"\n{'the job ran to the end of it' if running else 'the job had ended by then'}\n")
        print("| change | frames | that flicker | settled after, ms |\n|---|---|---|---|")
        print("\n".join(flicker(app, columns, rows)))
        app.close()
        if asked.tmux:
            subprocess.run([*server, "kill-server"], check=False)


async def pilot(model: Path, home: Path, size: tuple[int, int], count: int) -> None:
    """Print what the app alone takes from a key to the last frame that follows from it."""
    from lqtui.store.paths import Paths
    from lqtui.tui.app import LqtuiApp
    from lqtui.workbench import Workbench

    app = LqtuiApp(Workbench(Paths.under(home)), model, read_meters=None)
    displayed = [0.0]
    app.post_display_hook = lambda: displayed.append(time.perf_counter())  # type: ignore[method-assign]
    print("| keys | painted | median ms | 95 % below, ms | most, ms | within 16 ms |")
    print("|---|---|---|---|---|---|")
    async with app.run_test(size=size) as driver:
        while app.workbench.plan is None:
            await driver.pause(0.1)
        await driver.press("right_square_bracket")
        moves = ("j", "j", "j", "k", "l", "l", "h", "down", "up", "pagedown", "pageup")
        edits = ("4", "8", "f", "space", "u", "U", "4", "j")
        for name, keys in (("move, Pilot", moves), ("edit, Pilot", edits)):
            await driver.press("g", "j", "j")
            taken: list[float | None] = []
            for number in range(count):
                await driver.pause(0.15)  # the chart follows an edit later
                pressed = time.perf_counter()
                app.post_message(events.Key(keys[number % len(keys)], None))
                await asyncio.sleep(0.06)
                taken.append(displayed[-1] - pressed if displayed[-1] > pressed else None)
            print(table_line(name, taken))


def _each(seconds: list[float]) -> str:
    return ", ".join(f"{1000 * each:.0f}" for each in sorted(seconds))


if __name__ == "__main__":
    main()
