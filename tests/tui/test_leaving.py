"""However the app ends, its terminal is the shell's again and no job goes on without it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest
from tmux import Terminal, lqtui

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

_CURSOR, _LINE_WRAP = 25, 7
"""The private modes that a terminal has without being asked."""
_FAULTY = """
import sys
from lqtui.cli import main
from lqtui.tui.widgets.layer_grid import LayerGrid

def fault(grid):
    raise RuntimeError("a fault in the app")

LayerGrid.action_range = fault
sys.argv[0] = "lqtui"
main()
"""
"""lqtui with a key that brings it down."""


def of_this_test(terminal: Terminal) -> psutil.Process:
    """The app that runs in the terminal."""
    shell = psutil.Process(terminal.shell_pid())
    return next(process for process in shell.children() if "python" in process.name())


@pytest.mark.parametrize(
    "ending, status",
    [("q", 0), ("ctrl+c twice", 0), ("SIGTERM", 143), ("SIGHUP", 129), ("a fault", 1)],
)
def test_the_terminal_is_the_shells_again(
    terminal: Terminal, demo_model: Path, tmp_path: Path, ending: str, status: int
) -> None:
    faulty = tmp_path / "faulty.py"
    faulty.write_text(_FAULTY)
    command = [sys.executable, str(faulty)] if ending == "a fault" else lqtui()
    terminal.start_shell()
    terminal.enter("stty -g > before")
    terminal.enter(" ".join([*command, str(demo_model), "--chunks", "40", "--threads", "1"]))
    terminal.wait_for("block scope")
    terminal.keys("s")
    terminal.wait_for("▶ measure 11 presets")
    app = of_this_test(terminal)
    jobs = app.children()
    assert jobs and terminal.modes()[1049]
    match ending:
        case "q":
            terminal.keys("q")
            terminal.wait_for("Leave (y)")
            terminal.keys("y")
        case "ctrl+c twice":
            terminal.keys("C-c", "C-c")
            terminal.wait_for("Leave (y)")
            terminal.keys("y")
        case "a fault":
            terminal.keys("v")
        case name:
            os.kill(app.pid, signal.Signals[name])
    assert not psutil.wait_procs([app], 10)[1]
    terminal.enter("status=$?; stty -g > after; echo ended with $status")
    screen = terminal.wait_for(f"ended with {status}")
    assert "$ status=" in screen  # what is typed is seen
    if ending == "a fault":
        said = "".join(screen.splitlines())
        assert "stopped at a defect of its own (RuntimeError: a fault in the app)" in said
        assert "Traceback" not in screen
        (log,) = Path(os.environ["LQTUI_HOME"]).glob("logs/*-app.log")
        assert "RuntimeError: a fault in the app" in log.read_text()
    assert (tmp_path / "work/before").read_text() == (tmp_path / "work/after").read_text()
    usual = {mode: on for mode, on in terminal.modes().items() if on}
    assert usual.keys() <= {_CURSOR, _LINE_WRAP} and terminal.modes()[_CURSOR]
    assert not psutil.wait_procs(jobs, 5)[1]


def test_a_terminal_that_is_closed_takes_the_app_and_its_jobs_along(
    terminal: Terminal, demo_model: Path
) -> None:
    terminal.start_shell()
    terminal.enter(" ".join([*lqtui(demo_model), "--chunks", "40", "--threads", "1"]))
    terminal.wait_for("block scope")
    terminal.keys("s")
    terminal.wait_for("▶ measure 11 presets")
    app = of_this_test(terminal)
    gone = [app, *app.children(recursive=True)]
    terminal.stop()
    assert not psutil.wait_procs(gone, 10)[1]


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGHUP"])
def test_what_a_signal_left_unfinished_is_offered_at_the_next_start(
    terminal: Terminal, demo_model: Path, ending: str
) -> None:
    terminal.start_shell()
    terminal.enter(" ".join([*lqtui(demo_model), "--chunks", "40", "--threads", "1"]))
    terminal.wait_for("block scope")
    terminal.keys("s")
    terminal.wait_for("scoring")
    app = of_this_test(terminal)
    os.kill(app.pid, signal.Signals[ending])
    assert not psutil.wait_procs([app], 10)[1]
    terminal.enter("clear")
    terminal.enter(" ".join(lqtui(demo_model)))
    terminal.wait_for("A job was not finished:")
