"""The trade-off chart: what is solid, what is hollow, and when it is drawn at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import SEED_PERPLEXITY, llama_shape, measured, seed_results
from hypothesis import given
from hypothesis import strategies as st
from panes import PaneApp, lines_of, text_of
from textual_plotext.plot import Plot

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.tui.widgets.chart_layout import Axis, Labels, frontier
from lqtui.tui.widgets.chart_scene import scene_of
from lqtui.tui.widgets.tradeoff import TradeoffChart

SHAPE = llama_shape()
RESULTS = seed_results(SHAPE)


def plan(name: str, *, as_published: bool = False) -> Plan:
    return resolve(SHAPE, preset(name, SHAPE, as_published=as_published))


def replace_name(recipe: Recipe, name: str) -> Recipe:
    return Recipe(name, recipe.base, recipe.overrides)


def drawn(chart: TradeoffChart) -> str:
    return text_of(chart._canvas)


async def test_measured_recipes_are_solid_points_with_names_and_units() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(140, 40)):
        chart.show(RESULTS, plan("attention_q8"))
        text = drawn(chart)
        assert text.count("●") + text.count("◆") >= len(RESULTS) - 3
        for part in ("file size, MiB", "PPL, lower is better", "uniform_q4_0", "attention_q8"):
            assert part in text


async def test_the_current_recipe_is_solid_once_it_is_measured() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("attention_q8"))
        assert "◆ attention_q8" in drawn(chart)
        assert "◇" not in drawn(chart)
        assert "◆ this recipe" in chart.border_subtitle


async def test_a_recipe_that_is_not_measured_is_a_hollow_mark_at_its_size() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("first_4_layers_q8", as_published=True))
        text = drawn(chart)
        assert "◆" not in text
        assert "first_4_layers_q8_as_published not measured ◇" in text
        assert text.count("┊") >= 15
        assert "◇ this recipe, not measured" in chart.border_subtitle


async def test_an_edited_recipe_is_not_taken_for_the_measured_one_of_its_name() -> None:
    chart = TradeoffChart()
    edited = resolve(SHAPE, replace_name(preset("ffn_q8", SHAPE), "attention_q8"))
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show([r for r in RESULTS if r.name != "ffn_q8"], edited)
        assert "this recipe, not measured" in drawn(chart)
        assert drawn(chart).count("attention_q8") == 1


async def test_a_measurement_that_still_runs_is_half_a_point() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show([replace(RESULTS[-1], partial=True)], plan("attention_q8"))
        assert "◐" in drawn(chart)
        assert "◐ not all chunks yet" in chart.border_subtitle


async def test_half_a_point_has_no_place_beside_whole_ones_because_it_is_of_less_text() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show([*RESULTS[:-1], replace(RESULTS[-1], partial=True)], plan("attention_q8"))
        assert "◐" not in drawn(chart)


async def test_a_much_larger_base_is_a_level_so_that_the_others_have_room() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("attention_q8"))
        assert "baseline_fp16 18.84 at 258.3 MiB →" in drawn(chart)
        assert "200" not in drawn(chart).splitlines()[-2]


async def test_without_measurements_the_chart_says_which_keys_make_them() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(80, 24)):
        chart.show([], plan("uniform_q4_0"))
        assert "No measurement yet." in drawn(chart)
        assert "uniform_q4_0 will be 87.5 MiB." in drawn(chart)
        assert "measure this recipe" in drawn(chart)


async def test_one_result_is_enough_for_a_chart() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(80, 24)):
        chart.show(RESULTS[1:2], None)
        assert "● uniform_q4_0" in drawn(chart)
        chart.show([measured(plan("baseline_fp16"), 18.8, se=0.0)], plan("baseline_fp16"))
        assert "◆ baseline_fp16" in drawn(chart)


async def test_the_chart_is_drawn_only_when_it_would_look_different(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[int] = []
    build = Plot.build

    def counted(plot: Plot) -> str:
        builds.append(1)
        return str(build(plot))

    monkeypatch.setattr(Plot, "build", counted)
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)) as pilot:
        for _ in range(3):
            chart.show(seed_results(SHAPE), plan("attention_q8"))
            chart._canvas.refresh()
            await pilot.pause()
        assert len(builds) == 1
        chart.show(RESULTS[:-1], plan("attention_q8"))
        await pilot.pause()
        assert len(builds) == 2


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
async def test_the_chart_takes_its_colours_from_the_theme(theme: str) -> None:
    chart = TradeoffChart()
    app = PaneApp(chart)
    async with app.run_test(size=(100, 30)) as pilot:
        chart.show(RESULTS, plan("attention_q8"))
        app.theme = theme
        await pilot.pause()
        await pilot.pause()
        color = chart.color_of("tradeoff--frontier")
        assert isinstance(color, int) is theme.startswith("ansi")
        assert "●" in drawn(chart)
        styles = [s.style for y in range(chart._canvas.size.height) for s in chart._canvas.render_line(y)]
        if theme.startswith("ansi"):
            assert not any(style and style.color and style.color.triplet for style in styles)


async def test_every_size_draws_something_that_fits() -> None:
    for size in ((30, 8), (50, 12), (200, 50), (24, 5)):
        chart = TradeoffChart()
        async with PaneApp(chart).run_test(size=size):
            chart.show(RESULTS, plan("attention_q8"))
            lines = lines_of(chart._canvas)
            assert len(lines) == max(0, size[1] - 2)
            assert all(len(line) <= size[0] - 4 for line in lines)
            assert any(lines)


def test_errors_are_those_of_the_paired_difference_where_there_are_any() -> None:
    scene = scene_of(RESULTS, None, None)
    assert scene.paired
    base = SEED_PERPLEXITY["baseline_fp16"]
    uniform = next(point for point in scene.points if point.name == "uniform_q4_0")
    assert uniform.error == pytest.approx(base * 0.3 / 100)
    alone = scene_of([replace(r, delta_percent=None, delta_percent_se=None) for r in RESULTS], None, None)
    assert not alone.paired
    assert alone.points[0].error == 1.6


def test_the_frontier_holds_what_no_other_beats() -> None:
    assert frontier([(3, 1.0), (1, 3.0), (2, 3.5), (2, 2.0), (4, 1.0)]) == [(1, 3.0), (2, 2.0), (3, 1.0)]


@given(st.floats(0.001, 1e5), st.floats(0.001, 1e5), st.integers(8, 200))
def test_ticks_are_round_distinct_and_on_the_axis(low: float, span: float, cells: int) -> None:
    axis = Axis(low, low + span, cells)
    ticks = axis.ticks(4)
    assert len({label for _, label in ticks}) == len(ticks) <= cells
    assert all(0 <= axis.cell(value) < cells for value, _ in ticks)


@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 11)), min_size=1, max_size=20, unique=True),
    st.integers(3, 20),
)
def test_labels_overlap_neither_points_nor_each_other(cells: list[tuple[int, int]], length: int) -> None:
    labels = Labels(60, 12)
    labels.block(cells)
    labels.points.update(cells)
    taken = set(cells)
    for cell in cells:
        placed = labels.place(["x" * length], *cell)
        if placed is not None:
            text, start, row = placed
            mine = {(start + offset, row) for offset in range(len(text))}
            assert not mine & taken
            assert all(0 <= column < 60 and 0 <= line < 12 for column, line in mine)
            taken |= mine


async def test_a_recipe_that_breaks_the_model_has_no_place_in_the_chart() -> None:
    chart = TradeoffChart()
    broken = replace(RESULTS[0], name="broken_one", digest="b", perplexity=math.nan, perplexity_se=math.nan)
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show([broken, *RESULTS], plan("attention_q8"))
        assert "attention_q8" in drawn(chart) and "broken_one" not in drawn(chart)
