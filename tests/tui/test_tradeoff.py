"""The trade-off chart: what is solid, what is hollow, and when it is drawn at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_shapes import llama_shape
from panes import PaneApp, lines_of, text_of
from scripted_results import SEEDS, measured, seed_results
from textual_plotext.plot import Plot

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.tui.widgets.chart_drawing import Drawing
from lqtui.tui.widgets.chart_layout import Axis, Labels, LogAxis, frontier
from lqtui.tui.widgets.chart_scene import scene_of
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import Speed

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
        for part in (" MiB", "uniform_q4_0", "attention_q8"):
            assert part in text
        assert chart.border_title == "size / quality · KLD in nats, lower is better · c PPL"


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


def test_a_perplexity_of_fewer_chunks_is_drawn_as_its_change_against_the_base() -> None:
    other_text = replace(RESULTS[-1], perplexity=40.0, chunks=2, partial=True)
    scene = scene_of([*RESULTS[:-1], other_text], None, metric=Metric.PPL)
    drawn_at = {point.name: point.y for point in scene.points}
    assert drawn_at["ffn_q8"] == pytest.approx(SEEDS["ffn_q8"][0])
    assert drawn_at["uniform_q4_0"] == pytest.approx(SEEDS["uniform_q4_0"][0])


def test_without_the_base_a_perplexity_of_fewer_chunks_has_no_place_beside_whole_ones() -> None:
    alone = [replace(r, delta_percent=None, delta_percent_se=None) for r in RESULTS]
    partial = replace(alone[-1], chunks=2, partial=True)
    assert "ffn_q8" not in {p.name for p in scene_of([*alone[:-1], partial], None, metric=Metric.PPL).points}
    assert len(scene_of([partial], None, metric=Metric.PPL).points) == 1


async def test_a_much_larger_base_is_a_level_so_that_the_others_have_room() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("attention_q8"))
        assert "baseline_fp16 KLD 0 at 258.3 MiB →" in drawn(chart)
        assert "200" not in drawn(chart).splitlines()[-1]
        chart.show(RESULTS, plan("attention_q8"), metric=Metric.PPL)
        assert "baseline_fp16 PPL 18.8 at 258.3 MiB →" in drawn(chart)


async def test_no_recipe_is_lost_among_files_that_are_much_larger() -> None:
    chart = TradeoffChart()
    base, close = RESULTS[0], replace(RESULTS[0], name="all_but_one", digest="close")
    others = [replace(close, name=f"custom_{i}", digest=f"c{i}") for i in range(6)]
    async with PaneApp(chart).run_test(size=(140, 30)) as pilot:
        chart.show([base, close, *RESULTS[1:4]], plan("baseline_fp16"))
        assert "baseline_fp16 KLD 0 at 258.3 MiB, all_but_one KLD 0 at 258.3 MiB →" in drawn(chart)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        chart.show([*others, base, *RESULTS[1:4]], plan("baseline_fp16"))
        assert "baseline_fp16 KLD 0 at 258.3 MiB +6 →" in drawn(chart)
        await pilot.resize_terminal(40, 20)
        await pilot.pause()
        assert "baseline_fp16" in drawn(chart)


async def test_the_base_alone_has_no_numbers_on_its_axis_but_zero() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS[:1], plan("baseline_fp16"))
        labels = [line.split("┤")[0].strip() for line in lines_of(chart._canvas) if "┤" in line]
        assert labels == ["0"]
        assert "◆ baseline_fp16" in drawn(chart)


async def test_a_recipe_without_a_speed_is_not_said_to_be_not_measured() -> None:
    chart = TradeoffChart()
    untimed = [replace(r, generation=None) if r.name == "attention_q8" else r for r in RESULTS]
    broken = [replace(r, perplexity=math.nan) if r.name == "attention_q8" else r for r in RESULTS]
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(untimed, plan("attention_q8"), metric=Metric.SPEED)
        assert "attention_q8 no speed yet" in drawn(chart) and "not measured" not in drawn(chart)
        assert "◇ this recipe, no speed yet" in chart.border_subtitle
        chart.show(broken, plan("attention_q8"))
        assert "attention_q8 breaks the model" in drawn(chart)


async def test_the_axis_of_kld_begins_at_the_base_which_is_zero() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("attention_q8"))
        *_, lowest, _, _ = lines_of(chart._canvas)
        assert lowest.split()[0].startswith("0┤") and "baseline_fp16" in lowest


async def test_klds_of_several_magnitudes_are_drawn_on_a_logarithmic_axis() -> None:
    chart = TradeoffChart()
    close = replace(RESULTS[3], name="q8", digest="q8", kld=0.0009, kld_se=0.00001)
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show([*RESULTS, close], plan("attention_q8"))
        labels = [line.split("┤")[0].strip() for line in lines_of(chart._canvas) if "┤" in line]
        assert {"0.1", "0.01", "0.001"} <= set(labels)
        assert "in nats, log, lower is better" in chart.border_title
        rows = {
            name: next(i for i, line in enumerate(lines_of(chart._canvas)) if name in line)
            for name in ("uniform_q4_0", "q8 ", "baseline_fp16")
        }
        assert rows["uniform_q4_0"] < rows["baseline_fp16"]


@pytest.mark.parametrize("spread", ["a magnitude", "several magnitudes"])
def test_a_file_beyond_the_edge_takes_no_room_from_the_others(spread: str) -> None:
    klds = {"uniform_q4_0": 0.09, "ffn_q8": 0.03, "attention_q8": 0.02 if spread == "a magnitude" else 0.001}
    near = [replace(r, kld=klds[r.name], kld_se=1e-5) for r in RESULTS if r.name in klds]
    beside_base = replace(near[0], name="beside_base", digest="beside", kld=6e-5, file_bytes=250 * 2**20)
    alone, together = (
        Drawing(Plot(), scene_of(results, None), 96, 28, {})
        for results in ([RESULTS[0], *near], [RESULTS[0], *near, beside_base])
    )
    assert {point.name for point in together.far} == {"baseline_fp16", "beside_base"}
    assert together.whole.y == alone.whole.y


@pytest.mark.parametrize("metric", Metric)
async def test_every_metric_has_its_own_axis_and_says_which_way_is_better(metric: Metric) -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(100, 30)):
        chart.show(RESULTS, plan("attention_q8"), metric=metric)
        assert "◆" in drawn(chart)
        assert metric.described in chart.border_title and f"c {metric.next}" in chart.border_title


def test_the_frontier_of_speed_holds_what_is_fast() -> None:
    speeds = {"uniform_q4_0": 60.0, "ffn_q8": 50.0, "attention_q8": 70.0}
    results = [replace(r, generation=Speed(speeds[r.name], 0.5, 5)) for r in RESULTS if r.name in speeds]
    drawing = Drawing(Plot(), scene_of(results, None, metric=Metric.SPEED), 80, 20, {})
    assert [point.name for point in drawing._best] == ["uniform_q4_0", "attention_q8"]


def test_error_bars_are_drawn_where_they_are_larger_than_a_cell() -> None:
    results = [replace(r, kld_se=0.03 if r.name == "ffn_q8" else 1e-5) for r in RESULTS]
    drawing = Drawing(Plot(), scene_of(results, None), 96, 28, {})
    [bar] = drawing.bars
    [column] = {column for column, _ in bar}
    rows = [row for _, row in bar]
    ffn = next(point for point in drawing.near if point.name == "ffn_q8")
    assert column == drawing.x.cell(ffn.x)
    assert len(rows) >= 5 and drawing.y.cell(ffn.y) == rows[len(rows) // 2]
    assert "│ ±1 SE" in drawing.legend(96)
    small = Drawing(Plot(), scene_of([replace(r, kld_se=1e-5) for r in RESULTS], None), 96, 28, {})
    assert not small.bars and "±" not in small.legend(96)


def test_error_bars_that_would_hide_the_differences_are_left_out() -> None:
    results = [replace(r, kld_se=0.9) for r in RESULTS]
    drawing = Drawing(Plot(), scene_of(results, None), 96, 28, {})
    assert not drawing.bars and "± too wide to draw" in drawing.legend(96)


async def test_without_measurements_the_chart_says_which_keys_make_them() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(80, 24)):
        chart.show([], plan("uniform_q4_0"))
        assert "No KLD measured yet." in drawn(chart)
        assert "uniform_q4_0 will be 87.5 MiB." in drawn(chart)
        assert "measure this recipe" in drawn(chart)


async def test_one_result_is_enough_for_a_chart() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(80, 24)):
        chart.show(RESULTS[1:2], None)
        assert "● uniform_q4_0" in drawn(chart)
        chart.show([measured(plan("baseline_fp16"), 18.8, delta=0.0, kld=0.0)], plan("baseline_fp16"))
        assert "◆ baseline_fp16" in drawn(chart)
        chart.show([measured(plan("baseline_fp16"), 18.8, se=0.0)], None, metric=Metric.PPL)
        assert "● baseline_fp16" in drawn(chart)


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


def test_errors_of_perplexity_are_those_of_the_paired_difference_where_there_are_any() -> None:
    scene = scene_of(RESULTS, None, metric=Metric.PPL)
    assert scene.errors_are == "paired SE"
    base, _ = SEEDS["baseline_fp16"]
    uniform = next(point for point in scene.points if point.name == "uniform_q4_0")
    assert uniform.error == pytest.approx(base * 0.3 / 100)
    unpaired = [replace(r, delta_percent=None, delta_percent_se=None) for r in RESULTS]
    alone = scene_of(unpaired, None, metric=Metric.PPL)
    assert alone.errors_are == "SE"
    assert alone.points[0].error == 1.6


def test_the_frontier_holds_what_no_other_beats() -> None:
    assert frontier([(3, 1.0), (1, 3.0), (2, 3.5), (2, 2.0), (4, 1.0)]) == [(1, 3.0), (2, 2.0), (3, 1.0)]


@given(st.floats(0.001, 1e5), st.floats(0.001, 1e5), st.integers(8, 200))
@example(low=19717.357901720028, span=0.04045, cells=8)  # between two fifths of a hundredth
def test_ticks_are_round_distinct_and_on_the_axis(low: float, span: float, cells: int) -> None:
    axis = Axis(low, low + span, cells)
    ticks = axis.ticks(4)
    assert len({label for _, label in ticks}) == len(ticks) <= cells
    assert all(0 <= axis.cell(value) < cells for value, _ in ticks)


@given(st.floats(1e-6, 10), st.floats(20, 1e4), st.integers(8, 60))
def test_ticks_of_a_logarithmic_axis_are_at_their_values(low: float, factor: float, cells: int) -> None:
    axis = LogAxis.of(low, low * factor, cells)
    ticks = axis.ticks(2)
    assert ticks and len({label for _, label in ticks}) == len(ticks)
    for place, label in ticks:
        assert axis.place(float(label)) == pytest.approx(place)
        assert 0 <= axis.cell(float(label)) < cells
    assert axis.cell(0.0) == 0


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


async def test_a_recipe_that_breaks_the_model_is_named_but_has_no_place_on_the_axis() -> None:
    chart = TradeoffChart()
    nan = math.nan
    broken = replace(
        RESULTS[1], name="bad", digest="b", perplexity=nan, perplexity_se=nan, kld=nan, kld_se=nan
    )
    async with PaneApp(chart).run_test(size=(100, 30)):
        for metric in Metric:
            chart.show([broken, *RESULTS], plan("attention_q8"), metric=metric)
            assert lines_of(chart._canvas)[0].endswith("✗ bad: broken")
            assert drawn(chart).count("bad") == 1 and "attention_q8" in drawn(chart)
        chart.show([broken], plan("attention_q8"))
        assert "✗ bad: broken" in drawn(chart)
