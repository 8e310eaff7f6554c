"""A newcomer's first minutes on the demo model, in a real terminal, without a dead end.

`LQTUI_TRANSCRIPT=assets/first-five-minutes.txt pytest tests/tui/test_first_minutes.py` keeps the screens.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from tmux import Terminal, lqtui

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


_Q4, _F16 = "4  4  4  4    4  4  4", "F  F  F  F    F  F  F"


class Tour:
    """Presses keys, waits for what they should bring, and keeps each screen under what was done."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.screens: list[str] = []

    def see(self, did: str, *texts: str, seconds: float = 60.0) -> None:
        """Wait until the screen shows some texts."""
        for text in texts:
            screen = self._terminal.wait_for(text, seconds)
        self.screens.append(f"{did}\n{'─' * len(did)}\n{screen.rstrip()}\n")

    def press(self, did: str, *keys: str, shows: tuple[str, ...], seconds: float = 60.0) -> None:
        """Press keys, and wait until the screen shows some texts."""
        self._terminal.keys(*keys)
        self.see(did, *shows, seconds=seconds)


def test_the_first_minutes_have_no_dead_end(terminal: Terminal, tmp_path: Path) -> None:
    tour, kept = Tour(terminal), os.environ.get("LQTUI_TRANSCRIPT")
    terminal.start(*lqtui(*([] if kept else ["--chunks", 1])))  # as much text as it takes to see all of it
    tour.see("$ lqtui", "press 4 on a block, then r", "SHA-256")
    tour.press("4: the block under the cursor goes to Q4_0", "4", shows=(_Q4, "17.1 MiB"))
    tour.press("r: measured in the background", "r", shows=("✓ measure custom",), seconds=180)
    tour.press("j v G 4: a range down to the last row", "j", "v", "G", "4", shows=(f"  23  {_Q4}",))
    tour.press("v u: the range ended, and the change taken back", "v", "u", shows=(f"  23  {_F16}",))
    tour.press("s: the eleven presets, side by side", "s", shows=("▶ measure 11 presets",))
    tour.see("… the chart fills", "12 measured", "alternating_even", seconds=180)
    tour.press("?: help", "?", shows=("Move up a row.", "Take the last edit back."))
    tour.press("esc p: the presets", "Escape", "p", shows=("uniform_q4_0", "ffn_q8"))
    tour.press("j enter: the second of them, in the grid", "j", "Enter", shows=("5.2 MiB ━",))
    tour.press("e: the script that makes this file", "e", shows=("llama-quantize",))
    tour.press("s: saved, ready to run", "s", shows=("Saved",))
    [script] = (tmp_path / "work").glob("*.sh")
    assert "llama-quantize" in script.read_text() and os.access(script, os.X_OK)
    tour.press("o: another model", "o", shows=("open",))
    terminal.keys("Escape", "q")
    time.sleep(1)
    tour.press("esc q y: and out, whether or not speeds are still measured", "y", shows=("ended with 0",))
    if kept:
        Path(kept).write_text("\n".join(tour.screens), encoding="utf-8")
