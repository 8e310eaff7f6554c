"""What only a real terminal shows: the app in tmux, on the demo model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tmux import Terminal, lqtui

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


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


def test_a_file_that_is_no_model_gets_a_sentence_and_the_app_lives(
    terminal: Terminal, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(bytes(4096))
    terminal.start(*lqtui(bad))
    terminal.wait_for("is not a GGUF file")
    terminal.keys("q")
    terminal.wait_for("ended with 0")
