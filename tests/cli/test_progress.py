"""The line that follows a job: which stage it is in, and how far that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lqtui.cli import output
from lqtui.workbench import Job, JobState

RUNNING = Job(1, "measure", "measure ffn_q8", Path("job.log"), JobState.RUNNING, stage_count=7)
LOADING = replace(RUNNING, stage="loading", total=1, unit="model", stage_number=2)
SCORING = replace(RUNNING, stage="scoring", total=40, unit="chunks", stage_number=3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test moves it."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    monkeypatch.setattr(output, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace) -> list[str]:
    """The lines drawn on a terminal, one after the other."""
    lines: list[str] = []
    write = SimpleNamespace(isatty=lambda: True, flush=lambda: None, write=lines.append)
    monkeypatch.setattr(output, "sys", SimpleNamespace(stderr=write))
    return lines


def test_the_bar_is_how_much_of_its_stage_is_done(terminal: list[str]) -> None:
    line = output.ProgressLine()
    line.show(SCORING)
    assert "█" not in terminal[-1] and terminal[-1].endswith("scoring 0/40 chunks")
    line.show(replace(LOADING, done=1))
    line.show(replace(SCORING, done=20, eta=8.0))
    assert terminal[-1].count("█") == terminal[-1].count("░")
    assert terminal[-1].endswith("scoring 20/40 chunks  8 s left")
    line.show(replace(SCORING, done=40, share=1.0))
    assert "░" not in terminal[-1]


def test_what_it_will_take_is_not_told_before_it_is_known(terminal: list[str]) -> None:
    output.ProgressLine().show(replace(SCORING, done=3, total=0))
    assert "█" not in terminal[-1] and terminal[-1].endswith(" scoring 3 chunks")


def test_a_new_stage_is_drawn_at_once_and_else_ten_lines_a_second(
    terminal: list[str], clock: SimpleNamespace
) -> None:
    line = output.ProgressLine()
    line.show(SCORING)
    for done in (1, 2):
        line.show(replace(SCORING, done=done))
    assert len(terminal) == 1
    line.show(LOADING)
    line.show(replace(SCORING, done=3))
    assert len(terminal) == 3 and "loading 0/1 model" in terminal[1]
    clock.now += 0.2
    line.show(replace(SCORING, done=4))
    assert len(terminal) == 4 and "4/40" in terminal[-1]


def test_a_file_gets_a_line_for_each_new_stage(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    line = output.ProgressLine()
    for job in (LOADING, SCORING, replace(SCORING, done=1), replace(SCORING, notice="no network")):
        line.show(job)
    assert capsys.readouterr().err.splitlines() == [
        "measure ffn_q8: loading",
        "measure ffn_q8: scoring",
        "measure ffn_q8: no network",
    ]
