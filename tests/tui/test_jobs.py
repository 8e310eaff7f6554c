"""The jobs pane: how each state looks, and what can be asked of a job."""

from __future__ import annotations

from dataclasses import replace

import pytest
from panes import PaneApp, job, lines_of, text_of

from lqtui.tui.widgets.job_sentence import sentences
from lqtui.tui.widgets.jobs import JobsPane
from lqtui.workbench import Job, JobState

RUNNING = job(3, "attention_q8", JobState.RUNNING)
QUEUED = job(4, "ffn_q8", JobState.QUEUED)
DONE = job(1, "uniform_q4_0", JobState.DONE, message="PPL 20.8235")
FAILED = job(2, "first_4_layers_q8", JobState.FAILED, message="The engine stopped (signal 11).")
CANCELLED = job(5, "last_8_layers_q8", JobState.CANCELLED)
PAUSED = job(6, "middle_8_layers_q8", JobState.PAUSED)
KEPT = "What is measured is kept, however it ends."
ALL = (DONE, FAILED, RUNNING, QUEUED, CANCELLED, PAUSED)


async def test_a_running_job_shows_stage_bar_count_and_time_left() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)):
        pane.show([RUNNING])
        line = lines_of(pane)[0]
        for part in ("▶", "attention_q8", "scoring", "━", "─", "3/5 chunks", "0:02 left"):
            assert part in line


async def test_a_narrow_pane_says_it_all_on_two_lines() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(62, 12)):
        pane.show([replace(RUNNING, title="measure 11 presets", stage_number=3, stage_count=37)])
        first, second, *_ = lines_of(pane)
        assert first == "▶ measure 11 presets  scoring 3/5 chunks · stage 4/37"
        assert "━" in second and second.endswith(" 60%  0:02 left")


async def test_of_many_stages_it_says_which_one_is_at_hand() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)):
        timing = replace(RUNNING, stage="generation speed", unit="runs", stage_number=11, stage_count=37)
        pane.show([timing])
        assert "3/5 runs  stage 12/37  0:02 left" in lines_of(pane)[0]


@pytest.mark.parametrize("width", [24, 32, 44])
async def test_a_very_narrow_pane_keeps_the_name_and_how_much_is_done(width: int) -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(width, 12)):
        pane.show([RUNNING])
        first, second, *_ = lines_of(pane)
        assert first.startswith("▶ attention_q8")
        assert "60%" in second
        assert all(len(line) <= width - 4 for line in (first, second))


async def test_every_state_has_its_glyph_and_its_word() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)) as pilot:
        pane.show(ALL)
        lines = lines_of(pane)
        for glyph, word in (
            ("▶", "3/5"),
            ("◌", "queued"),
            ("✓", "PPL 20.8235"),
            ("✗", "failed"),
            ("⊘", "cancelled"),
            ("‖", "paused at 60% of scoring"),
        ):
            assert any(line.startswith(glyph) and word in line for line in lines)
        assert pane.border_subtitle == (
            "space pause · x cancel · enter log · 1 running · 1 queued · 1 paused · 1 failed"
        )
        pane.screen.set_focus(None)
        await pilot.pause()
        assert pane.border_subtitle == "1 running · 1 queued · 1 paused · 1 failed"


async def test_what_runs_comes_first_then_what_waits_in_its_order_then_the_newest_that_ended() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)):
        pane.show((*ALL, replace(QUEUED, id=7, place=1), replace(QUEUED, id=8, place=2)))
        assert pane.item_keys == [3, 4, 7, 8, 6, 5, 2, 1]
        assert "queued · next" in lines_of(pane)[2] and "queued · 2." in lines_of(pane)[3]


async def test_of_several_recipes_it_says_which_one_is_at_hand() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(120, 12)):
        pane.show([replace(RUNNING, title="measure 11 presets", subject="ffn_q8")])
        assert "measure 11 presets  scoring ffn_q8  " in lines_of(pane)[0]
        pane.show([replace(RUNNING, pausing=True)])
        assert "pauses after this step" in lines_of(pane)[0]


async def test_each_key_asks_for_its_own_thing_and_the_border_names_those_that_help() -> None:
    pane = JobsPane()
    app = PaneApp(pane)
    async with app.run_test(size=(100, 12)) as pilot:
        pane.show(ALL)
        await pilot.press("space", "down", "J", "K", "down", "down", "R")
        asked = [(type(message), message.job_id) for message in app.heard]
        assert asked == [
            (JobsPane.PauseRequested, 3),
            (JobsPane.MoveRequested, 4),
            (JobsPane.MoveRequested, 4),
            (JobsPane.RetryRequested, 5),
        ]
        moves = [message.step for message in app.heard if isinstance(message, JobsPane.MoveRequested)]
        assert moves == [1, -1]
        assert pane.border_subtitle.startswith("R again · enter log")
        await pilot.press("up", "up")
        assert pane.border_subtitle.startswith("K J move · space pause · x cancel")


async def test_a_failure_is_told_in_full_over_several_lines() -> None:
    pane = JobsPane()
    sentence = "The engine stopped (signal 11) while it quantized blk.3.ffn_down.weight; the log has more."
    async with PaneApp(pane).run_test(size=(60, 12)):
        pane.show([replace(FAILED, message=sentence)])
        said = " ".join(text_of(pane).replace("first_4_layers_q8", "").split())
        assert sentence in said


async def test_x_asks_to_cancel_the_job_under_the_cursor() -> None:
    pane = JobsPane()
    app = PaneApp(pane)
    async with app.run_test(size=(100, 12)) as pilot:
        pane.show(ALL)
        await pilot.press("down", "x")
        [asked] = app.heard
        assert isinstance(asked, JobsPane.CancelRequested)
        assert asked.job_id == QUEUED.id


async def test_enter_asks_for_the_log() -> None:
    pane = JobsPane()
    app = PaneApp(pane)
    async with app.run_test(size=(100, 12)) as pilot:
        pane.show(ALL)
        await pilot.press("G", "enter", "l")
        assert [message.job_id for message in app.heard if isinstance(message, JobsPane.LogRequested)] == [
            1,
            1,
        ]


async def test_the_cursor_stays_with_its_job_when_that_ends() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)) as pilot:
        pane.show(ALL)
        await pilot.press("down")
        assert pane.cursor == QUEUED.id
        pane.show(
            (DONE, FAILED, replace(RUNNING, state=JobState.DONE), replace(QUEUED, state=JobState.RUNNING))
        )
        assert pane.cursor == QUEUED.id


async def test_without_jobs_the_pane_says_so() -> None:
    pane = JobsPane()
    async with PaneApp(pane).run_test(size=(100, 12)):
        pane.show([])
        assert "no jobs" in text_of(pane)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (RUNNING, f"attention_q8 runs for 0:12, about 0:02 left: scoring. {KEPT}"),
        (replace(QUEUED, place=3), "ffn_q8 waits for the job that runs and 2 more that wait."),
        (PAUSED, "middle_8_layers_q8 is paused: the others go on, and nothing of it is lost."),
        (FAILED, "first_4_layers_q8 failed: The engine stopped (signal 11)."),
        (CANCELLED, "last_8_layers_q8: cancelled. What it had measured by then is kept."),
        (DONE, "uniform_q4_0 took 0:12: PPL 20.8235"),
        (None, ""),
    ],
)
def test_a_sentence_tells_how_the_job_at_the_cursor_is(told: Job | None, sentence: str) -> None:
    assert sentences(told)[0] == sentence
