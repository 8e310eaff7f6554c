"""The best recipe of every size: the list, and its hollow marks in the chart."""

from __future__ import annotations

from dataclasses import replace

from driving import running, screen_text
from fake_importance import frontier_of
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import PaneApp, lines_of, text_of
from scripted_results import measured

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.tui.screens.frontier import FrontierList, FrontierScreen
from lqtui.tui.widgets.chart_scene import scene_of
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import DEFAULT_CANDIDATES, Change, JobState

SHAPE = llama_shape()
FRONTIER = frontier_of(SHAPE)
KNEE = FRONTIER[2]


def found() -> FakeWorkbench:
    """A workbench that has found a frontier."""
    bench = FakeWorkbench(SHAPE)
    bench.frontier, bench.costs_known = FRONTIER, True
    return bench


def drawn(chart: TradeoffChart) -> str:
    return text_of(chart._canvas)


# -- the list


async def test_each_recipe_has_its_size_its_prediction_and_what_was_measured() -> None:
    async with running(found()) as pilot:
        await pilot.press("F")
        await pilot.pause()
        rows = lines_of(pilot.app.screen.query_one(FrontierList))
        assert rows[0].split() == ["MiB", "bpw", "predicted", "measured", "KLD"]
        assert len(rows[1:]) >= len(FRONTIER)
        first, second, third = rows[1].split(), rows[2].split(), rows[3].split()
        assert first[0] == "◉" and len(first) == 6 and first[5].startswith("±")
        assert second[0] == "○" and len(second) == 4
        assert third[-1] == "knee"
        assert "measured too (3 of 11)" in screen_text(pilot)


async def test_the_cursor_starts_on_the_knee_and_enter_puts_it_in_the_grid() -> None:
    bench = found()
    async with running(bench) as pilot:
        await pilot.press("F")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert bench.plan.digest == KNEE.plan.digest
        assert bench.undo_label == KNEE.plan.recipe.name
        await pilot.press("u")
        assert bench.plan.unchanged


async def test_the_recipe_in_the_grid_is_marked_and_under_the_cursor() -> None:
    bench = found()
    bench.use(FRONTIER[4].plan.recipe, "frontier")
    async with running(bench) as pilot:
        await pilot.press("F")
        await pilot.pause()
        listed = pilot.app.screen.query_one(FrontierList)
        assert listed.cursor == FRONTIER[4].plan.digest
        assert [row[0] for row in lines_of(listed)[1:12]].count("▸") <= 1
        assert any(row.lstrip().startswith("▸") for row in lines_of(listed))


async def test_where_none_is_known_f_finds_it_and_it_comes_to_the_open_list(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("F")
        await pilot.pause()
        assert "No frontier is known yet." in screen_text(pilot)
        await pilot.press("f")
        await pilot.pause()
        types, by = workbench.asked
        assert set(types) == set(DEFAULT_CANDIDATES) and by is Granularity.TENSOR
        workbench.tell(Change.IMPORTANCE)  # as it does whenever the job has measured more
        await pilot.pause()
        assert "▶ find the frontier" in screen_text(pilot)
        workbench.frontier = FRONTIER
        workbench.tell(Change.IMPORTANCE)
        await pilot.pause()
        assert "knee" in screen_text(pilot)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, FrontierScreen)


async def test_one_search_runs_at_a_time_and_x_stops_it(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("F", "f", "f")
        await pilot.pause()
        assert len(workbench.jobs) == 1
        await pilot.press("x")
        assert workbench.calls == [f"cancel {workbench.jobs[0].id}"]


async def test_a_search_that_failed_says_why(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("F", "f")
        workbench.advance(1, state=JobState.FAILED, message="the text is too short")
        await pilot.pause()
        assert "Failed: the text is too short" in screen_text(pilot)


async def test_the_frontier_is_sought_among_the_types_of_the_last_budget(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", "down", "space", "escape", "F", "f")
        await pilot.pause()
        assert len(workbench.asked[0]) == len(DEFAULT_CANDIDATES) - 1


# -- the chart


async def test_a_frontier_alone_is_a_chart_of_hollow_marks_with_the_knee_named() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show((), None, frontier=FRONTIER)
        text = drawn(chart)
        assert text.count("○") >= 7
        assert "knee" in text
        assert "○ predicted" in chart.border_subtitle


async def test_what_was_measured_on_the_frontier_is_marked_as_of_the_text_that_was_fitted_on() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show((), None, frontier=FRONTIER)
        assert drawn(chart).count("◉") == 3 and "◉ where fitted" in chart.border_subtitle
        assert "●" not in drawn(chart)
        chart.show((), None, frontier=[replace(p, measured_kld=None) for p in FRONTIER])
        assert "◉" not in drawn(chart) and "◉" not in chart.border_subtitle


async def test_a_recipe_with_a_prediction_is_a_hollow_mark_at_it_until_it_is_measured() -> None:
    chart = TradeoffChart()
    plan = resolve(SHAPE, preset("attention_q8", SHAPE))
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show((), plan, frontier=FRONTIER, predicted=0.5)
        assert "◇" in drawn(chart) and "attention_q8 predicted" in drawn(chart)
        assert "┊" not in drawn(chart)
        chart.show((measured(plan, 19.0, kld=0.5),), plan, frontier=FRONTIER, predicted=0.5)
        assert "◇" not in drawn(chart) and "◆" in drawn(chart)
        assert "predicted" not in drawn(chart)


def test_predictions_have_no_place_among_perplexities_and_speeds() -> None:
    plan = resolve(SHAPE, preset("attention_q8", SHAPE))
    for metric in (Metric.PPL, Metric.SPEED):
        scene = scene_of((), plan, metric, FRONTIER, 0.5)
        assert scene.forecasts == () and scene.current_forecast is None


def test_what_nobody_would_notice_does_not_stretch_the_axis() -> None:
    tiny, without = replace(FRONTIER[-1], predicted_kld=1e-9), FRONTIER[:-1]
    assert scene_of((), None, frontier=(*without, tiny)) == scene_of((), None, frontier=without)


async def test_the_charts_mark_follows_the_edits() -> None:
    bench = found()
    async with running(bench, size=(160, 50)) as pilot:
        chart = pilot.app.main.query_one(TradeoffChart)
        await pilot.press("a", "4")
        await pilot.pause(0.3)
        before = chart.scene.current_forecast
        assert before == bench.prediction(bench.plan)
        await pilot.press("8")
        await pilot.pause(0.3)
        assert chart.scene.current_forecast == bench.prediction(bench.plan) != before


async def test_the_bases_level_hides_no_point_of_the_smallest_kld() -> None:
    chart = TradeoffChart()
    klds = {"baseline_fp16": 0.0, "uniform_q4_0": 0.25, "attention_q8": 0.01, "ffn_q8": 0.0002}
    results = [measured(resolve(SHAPE, preset(name, SHAPE)), 19.0, kld=kld) for name, kld in klds.items()]
    async with PaneApp(chart).run_test(size=(70, 14)):
        chart.show(results, None)
        level = next(line for line in drawn(chart).splitlines() if "╌" in line)
        assert "baseline_fp16" in level and "●" not in level
        assert drawn(chart).count("●") == 3 and "ffn_q8" in drawn(chart)
