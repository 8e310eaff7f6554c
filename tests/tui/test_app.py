"""What a person does at the keyboard, and what becomes of the recipe and the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import Q4, Q8, lines, running, toasts, types
from fakes import FakeWorkbench
from model_shapes import llama_shape, moe_shape, qwen_shape
from scripted_results import measured
from textual import events
from textual.widgets import Input, Static, Tab

from lqtui.tui.keys.commands import COMMANDS, GRID_COMMANDS, SCREEN_COMMANDS
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.help import HelpScreen, help_sections
from lqtui.tui.screens.main import MainScreen
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench import JobState

# -- panes and sizes --------------------------------------------------------------------------------


def shown_panes(pilot) -> set[str]:
    ids = ("layers", "budget", "chart", "results", "jobs")
    return {i for i in ids if pilot.app.main.query_one(f"#{i}").is_on_screen}


async def test_all_panes_are_seen_where_they_fit(workbench):
    async with running(workbench, (120, 36)) as pilot:
        assert shown_panes(pilot) == {"layers", "budget", "chart", "results", "jobs"}


async def test_at_80x24_nothing_is_lost_but_waits_behind_a_tab(workbench):
    async with running(workbench, (80, 24)) as pilot:
        seen = [shown_panes(pilot)]
        for _ in range(3):
            await pilot.press("tab")
            await pilot.pause()
            seen.append(shown_panes(pilot))
        assert seen == [{"layers"}, {"budget", "chart"}, {"results"}, {"jobs"}]
        labels = [tab.label_text for tab in pilot.app.main.query(Tab)]
        assert labels == ["layers", "budget+chart", "results", "jobs"]
        assert "cycle" not in pilot.app.main.query_one(KeyBar).said
        await pilot.press("f2")
        await pilot.pause()
        assert shown_panes(pilot) == {"layers"} and pilot.app.focused.id == "grid"
        await pilot.press("4")
        assert "MiB" in pilot.app.main.query_one("#layers").border_subtitle


async def test_a_wide_and_low_terminal_keeps_the_layers_beside_one_pane(workbench):
    async with running(workbench, (120, 24)) as pilot:
        assert shown_panes(pilot) == {"layers", "budget", "chart"}
        await pilot.press("f4")
        await pilot.pause()
        assert shown_panes(pilot) == {"layers", "results"}


async def test_a_terminal_that_is_too_small_says_so_and_quits(workbench):
    async with running(workbench, (50, 15)) as pilot:
        notice = pilot.app.main.query_one("#too-small", Static)
        assert notice.is_on_screen and "60×18" in str(notice.render())
        before = workbench.plan.digest
        await pilot.press("4", "p")
        assert workbench.plan.digest == before and pilot.app.screen is pilot.app.main
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert "chart" in shown_panes(pilot)
        await pilot.resize_terminal(50, 15)
        await pilot.pause()
        await pilot.press("q")
        assert workbench.closed


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light", "nord"])
async def test_every_theme_draws_and_can_be_changed_while_running(workbench, theme):
    async with running(workbench) as pilot:
        before = lines(pilot)
        pilot.app.theme = theme
        await pilot.pause()
        assert lines(pilot) == before


# -- models, results and jobs -----------------------------------------------------------------------


async def test_the_model_of_the_command_line_opens():
    bench = FakeWorkbench(models={"qwen.gguf": qwen_shape()})
    async with running(bench, model_path=Path("/models/qwen.gguf")) as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert len([line for line in lines(pilot) if " F16 " in line]) == 25


async def test_a_file_that_is_no_model_is_a_toast_and_the_old_model_stays():
    bench = FakeWorkbench(llama_shape())
    async with running(bench) as pilot:
        pilot.app.main.open_model(Path("/models/zeros.gguf"))
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert toasts(pilot) == ["zeros.gguf is not a GGUF file: it does not begin with GGUF"]
        await pilot.press("4")
        assert types(bench, 0) == {Q4}


async def test_another_model_replaces_rows_columns_and_cursor():
    bench = FakeWorkbench(llama_shape(), models={"moe.gguf": moe_shape()})
    async with running(bench) as pilot:
        await pilot.press("G", "]")
        pilot.app.main.open_model(Path("moe.gguf"))
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        grid = pilot.app.main.query_one(LayerGrid)
        assert len(grid.rows_and_columns.rows) == 18 and grid.selection.row == 1


async def test_without_a_model_every_command_is_harmless():
    bench = FakeWorkbench()
    async with running(bench) as pilot:
        for command in COMMANDS:
            if command.id in ("app.quit", "app.palette"):
                continue
            for key in command.keys.split(","):
                await pilot.press(key)
                while len(pilot.app.screen_stack) > 1:
                    await pilot.app.pop_screen()
        assert pilot.app.is_running


async def test_what_the_workbench_refuses_is_a_toast(workbench):
    async with running(workbench) as pilot:
        workbench.refuse = "the disk is full: 0.1 GiB free, 0.3 GiB needed"
        await pilot.press("r")
        assert toasts(pilot) == [workbench.refuse]


async def test_even_a_bug_in_the_workbench_leaves_the_app_alive(workbench):
    async with running(workbench) as pilot:

        def broken() -> None:
            raise KeyError("blk.99")

        workbench.measure = broken
        await pilot.press("r")
        assert "KeyError" in toasts(pilot)[0]
        await pilot.press("4")
        assert types(workbench, 0) == {Q4}


async def test_a_job_that_ends_is_told_and_one_that_fails_says_why(workbench):
    async with running(workbench) as pilot:
        await pilot.press("r", "r")
        workbench.advance(1, state=JobState.DONE, message="PPL 18.8351 ± 1.6054")
        workbench.advance(2, state=JobState.FAILED, message="[/x] killed")
        await pilot.pause()
        assert toasts(pilot) == ["PPL 18.8351 ± 1.6054", "[/x] killed"]


async def test_a_jobs_notice_is_told_once_and_the_header_names_the_text_that_is_measured_on(workbench):
    async with running(workbench) as pilot:
        header = pilot.app.main.query_one(HeaderLine)
        assert "corpus wikitext-2 ·" in header.render().plain
        await pilot.press("r")
        workbench.corpus_name = "python-topics"
        workbench.advance(1, notice="WikiText-2 could not be fetched")
        workbench.advance(1, stage="perplexity", done=1)
        workbench.add_result(measured(workbench.plan, 19.5))
        await pilot.pause()
        assert toasts(pilot) == ["WikiText-2 could not be fetched"]
        assert "corpus python-topics ·" in header.render().plain


async def test_x_cancels_the_job_that_runs(workbench):
    async with running(workbench) as pilot:
        await pilot.press("s", "x")
        assert workbench.jobs[0].state is JobState.CANCELLED
        assert workbench.calls == ["cancel 1"]


async def test_keys_act_while_a_job_runs_and_its_result_can_be_put_back(workbench):
    async with running(workbench) as pilot:
        await pilot.press("4", "r", "down", "8")
        result = measured(workbench.plan, 19.5)
        workbench.add_result(result)
        await pilot.press("u", "u", "f4", "enter")
        await pilot.pause()
        assert types(workbench, 0) == {Q4} and types(workbench, 1) == {Q8}
        assert workbench.plan.digest == result.digest


async def test_keys_of_one_instant_act_in_their_order(workbench):
    measured_types = []
    measure = workbench.measure

    def noted():
        measured_types.append(types(workbench, 0))
        return measure()

    workbench.measure = noted
    async with running(workbench) as pilot:
        before = types(workbench, 0)
        for key in ("4", "r", "u", "r", "8", "r", "x"):
            pilot.app.post_message(events.Key(key, key))
        await pilot.pause()
        assert measured_types == [{Q4}, before, {Q8}]
        assert workbench.calls == ["cancel 1"]


# -- leaving ----------------------------------------------------------------------------------------


async def test_q_leaves_at_once_when_nothing_runs(workbench):
    async with running(workbench) as pilot:
        await pilot.press("q")
        assert workbench.closed and not pilot.app.is_running


async def test_q_asks_first_when_a_job_runs(workbench):
    async with running(workbench) as pilot:
        await pilot.press("r", "q")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await pilot.press("escape")
        assert not workbench.closed and pilot.app.screen is pilot.app.main
        await pilot.press("ctrl+q", "ctrl+q", "y")
        assert workbench.closed


# -- keys, help, palette ----------------------------------------------------------------------------


def test_no_two_commands_share_a_key_or_an_id():
    assert len({c.id for c in COMMANDS}) == len(COMMANDS)
    keys = [key for c in COMMANDS for key in c.keys.split(",")]
    assert sorted(keys) == sorted(set(keys))


def test_the_bindings_and_the_help_are_the_registry():
    assert [b.id for b in LayerGrid.BINDINGS] == [c.id for c in GRID_COMMANDS]
    assert [b.id for b in MainScreen.BINDINGS] == [c.id for c in SCREEN_COMMANDS]
    told = {text for _, rows in help_sections() for _, text in rows}
    assert {c.help for c in COMMANDS} <= told


async def test_the_help_opens_and_closes(workbench):
    async with running(workbench) as pilot:
        await pilot.press("?")
        assert isinstance(pilot.app.screen, HelpScreen)
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.main


async def test_a_command_is_found_by_name_in_the_palette(workbench):
    async with running(workbench) as pilot:
        await pilot.press("ctrl+p", *"set q4")
        await pilot.app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        assert types(workbench, 0) == {Q4}


async def test_the_key_bar_can_be_clicked(workbench):
    async with running(workbench) as pilot:
        await pilot.click("#keys", offset=(2, 0))
        await pilot.pause()
        assert types(workbench, 0) == {Q8}


async def test_the_model_is_written_where_the_person_says(workbench, tmp_path):
    async with running(workbench) as pilot:
        await pilot.press("w")
        assert isinstance(pilot.app.screen, PathPrompt)
        (tmp_path / "there.gguf").write_text("old")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "there.gguf")
        await pilot.press("enter")
        assert workbench.calls == []
        await pilot.press("enter")
        assert workbench.calls == [f"quantize {tmp_path / 'there.gguf'}"]


async def test_opening_another_model_asks_before_it_stops_jobs(workbench, tmp_path):
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    async with running(workbench) as pilot:
        await pilot.press("r", "o")
        await pilot.pause()
        pilot.app.screen.dismiss(tmp_path / "other.gguf")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "stops the jobs" in pilot.app.screen.question
        await pilot.press("n")
        await pilot.pause()
        assert workbench.model.path.name != "other.gguf"
        assert any(job.active for job in workbench.jobs)


async def test_a_screenshot_is_saved_here_where_there_is_no_folder_of_downloads(
    workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lqtui.tui.app.user_downloads_path", lambda: tmp_path / "Downloads")
    monkeypatch.chdir(tmp_path)
    async with running(workbench, (120, 36)) as pilot:
        pilot.app.deliver_screenshot("screen.svg")
        await pilot.pause(0.5)
        assert any("Saved screenshot" in toast for toast in toasts(pilot))
    assert "lqtui" in (tmp_path / "screen.svg").read_text()
