"""What was measured, on the main screen: while it arrives, by which metric, and against which recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import running, status, toasts
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import lines_of
from scripted_results import scores_of, seed_results
from textual.widgets._toast import Toast

from lqtui.recipe.presets import preset
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import JobState

SHAPE = llama_shape()
RESULTS = {result.name: result for result in seed_results(SHAPE)}


@pytest.fixture
def measured_bench() -> FakeWorkbench:
    """A workbench with every preset measured."""
    bench = FakeWorkbench(SHAPE)
    bench.results, bench.scores = tuple(RESULTS.values()), scores_of(RESULTS.values())
    return bench


def table(pilot) -> ResultsTable:
    return pilot.app.main.query_one(ResultsTable)


async def settled(pilot) -> None:
    """Until everything is compared and drawn."""
    for _ in range(3):
        await pilot.pause(0.1)


async def test_c_shows_the_next_metric_in_the_chart_and_first_in_the_table(measured_bench):
    async with running(measured_bench) as pilot:
        chart = pilot.app.main.query_one(TradeoffChart)
        seen = []
        for _ in range(5):
            await pilot.pause(0.1)
            seen.append((chart.border_title.split("· ")[1][:3], table(pilot).order[0]))
            await pilot.press("c")
        assert seen == [
            ("KLD", "kld"),
            ("PPL", "ppl"),
            ("gen", "tg"),
            ("sam", "top1"),
            ("KLD", "kld"),
        ]
        assert status(pilot).startswith("Chart and results by PPL")


async def test_the_status_line_explains_the_recipe_under_the_results_cursor(measured_bench):
    async with running(measured_bench) as pilot:
        await settled(pilot)
        assert status(pilot).startswith("Block 0")
        await pilot.press("f4", "G")
        await settled(pilot)
        assert status(pilot).startswith("Worse than attention_q8 (95 % for all rows together")
        await pilot.press("f2")
        await settled(pilot)
        assert status(pilot).startswith("Block 0")


async def test_the_chart_points_out_the_recipe_under_the_results_cursor(measured_bench):
    async with running(measured_bench, (160, 50)) as pilot:
        chart = pilot.app.main.query_one(TradeoffChart)
        await pilot.press("f4", "G")
        await settled(pilot)
        assert any("● uniform_q4_0 · 87.5 MiB · KLD 0.256 ±0.004" in line for line in lines_of(chart._canvas))
        await pilot.press("f2")
        await settled(pilot)
        assert not any("87.5 MiB · KLD" in line for line in lines_of(chart._canvas))


async def test_others_are_compared_with_the_recipe_in_the_grid_once_that_is_measured(measured_bench):
    async with running(measured_bench) as pilot:
        await settled(pilot)
        assert table(pilot).border_title == "results · against attention_q8"
        measured_bench.use(preset("ffn_q8", SHAPE), "ffn_q8")
        await settled(pilot)
        assert table(pilot).border_title == "results · against ffn_q8"
        await pilot.press("4")  # an edited recipe that is not measured
        await settled(pilot)
        assert table(pilot).border_title == "results · against attention_q8"


async def test_a_key_chooses_the_recipe_to_compare_with_and_gives_it_up_again(measured_bench):
    async with running(measured_bench) as pilot:
        await pilot.press("f4", "G", "v")
        await settled(pilot)
        assert table(pilot).border_title == "results · against uniform_q4_0"
        assert status(pilot).startswith("Compared with uniform_q4_0")
        await pilot.press("k", "k")
        await settled(pilot)
        assert "than uniform_q4_0 (95 %, 5 chunks)" in status(pilot)
        await pilot.press("G")
        await pilot.press("v")
        await settled(pilot)
        assert table(pilot).border_title == "results · against attention_q8"


async def test_the_base_alone_can_be_chosen_and_given_up_as_any_other(measured_bench):
    measured_bench.results = (RESULTS["baseline_fp16"],)
    async with running(measured_bench) as pilot:
        await pilot.press("f4", "v")
        await settled(pilot)
        assert table(pilot).border_title == "results · against baseline_fp16"
        await pilot.press("v")
        await settled(pilot)
        assert table(pilot).border_title == "results"
        assert status(pilot).startswith("Compared with nothing")


async def test_rows_fill_together_while_a_sweep_runs(measured_bench):
    measured_bench.results = ()
    async with running(measured_bench, (120, 40)) as pilot:
        await pilot.press("s")
        for chunks in (1, 2):
            for result in RESULTS.values():
                measured_bench.add_result(replace(result, chunks=chunks, partial=True))
        await settled(pilot)
        rows = lines_of(table(pilot))[1:]
        assert sum("2/5 chunks" in row for row in rows) >= 7
        chart = pilot.app.main.query_one(TradeoffChart)
        assert sum(line.count("◐") for line in lines_of(chart._canvas)) >= 7
        for result in RESULTS.values():
            measured_bench.add_result(result)
        await settled(pilot)
        assert not any("◐" in line for line in lines_of(table(pilot)))


async def test_a_toast_covers_neither_results_nor_jobs(measured_bench):
    async with running(measured_bench, notifications=True) as pilot:
        await pilot.press("s")
        measured_bench.advance(1, state=JobState.DONE, message="11 recipes measured")
        await settled(pilot)
        assert toasts(pilot) == ["11 recipes measured"]
        [toast] = pilot.app.main.query(Toast)
        assert toast.region.area
        for pane in ("#results", "#jobs", "#grid"):
            assert not toast.region.overlaps(pilot.app.main.query_one(pane).region)


async def test_a_key_measures_again_what_is_known_of_the_recipe(measured_bench):
    async with running(measured_bench) as pilot:
        await pilot.press("R")
        await settled(pilot)
        assert "measure base fresh" in measured_bench.calls
        assert status(pilot).startswith("Started anew: base")


async def test_x_on_a_job_that_has_ended_says_so(measured_bench):
    async with running(measured_bench) as pilot:
        await pilot.press("r")
        measured_bench.advance(1, state=JobState.DONE)
        await pilot.press("f5")
        await settled(pilot)
        await pilot.press("x")
        await settled(pilot)
        assert status(pilot) == "base has ended: there is nothing to cancel."
        assert not any(call.startswith("cancel") for call in measured_bench.calls)


async def test_the_question_before_leaving_follows_the_jobs(measured_bench):
    async with running(measured_bench) as pilot:
        await pilot.press("r", "r", "q")
        await settled(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ConfirmScreen)
        assert dialog.question == "2 jobs are not finished; they can go on next time. Leave?"
        measured_bench.advance(1, state=JobState.DONE)
        await settled(pilot)
        assert dialog.question == "A job is not finished; it can go on next time. Leave?"
        measured_bench.advance(2, state=JobState.DONE)
        await settled(pilot)
        assert dialog.question == "No job runs any more. Leave?"
        await pilot.press("n")
        assert not measured_bench.closed


async def test_at_80_columns_the_most_important_keys_are_in_the_key_bar(measured_bench):
    async with running(measured_bench, (80, 24)) as pilot:
        shown = pilot.app.main.query_one(KeyBar).said
        for hint in ("space cycle", "8 Q8", "r measure", "e export", "? help"):
            assert hint in shown
