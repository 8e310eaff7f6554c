"""Walking the points of a chart with keys and mouse, and coming closer to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import running, status
from fake_importance import frontier_of
from fakes import FakeWorkbench
from hypothesis import given
from hypothesis import strategies as st
from model_shapes import llama_shape
from panes import PaneApp, lines_of, text_of
from scripted_results import scores_of, seed_results

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.tui.widgets.chart_scene import Other
from lqtui.tui.widgets.chart_spots import Spot, above, beside, spot_of
from lqtui.tui.widgets.chart_view import View
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.tradeoff import TradeoffChart

SHAPE = llama_shape()
RESULTS = seed_results(SHAPE)
BY_DIGEST = {result.digest: result for result in RESULTS}


def plan(name: str) -> Plan:
    return resolve(SHAPE, preset(name, SHAPE))


def here(chart: TradeoffChart) -> str:
    """The name of the recipe at hand."""
    return BY_DIGEST[chart.at_hand.key].name if chart.at_hand else ""


@pytest.mark.parametrize("metric", Metric)
async def test_every_point_lies_where_it_is_drawn(metric: Metric) -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("attention_q8"), metric=metric)
        await pilot.pause()
        lines = lines_of(chart._canvas)
        seen = [spot for spot in chart.spots if spot.cell and spot.mark != "→"]
        assert len(seen) == len(RESULTS) - 1  # the base model is far away
        for spot in seen:
            assert spot.cell is not None
            column, line = spot.cell
            assert lines[line][column] in "●◆"


async def test_arrows_walk_all_points_by_size_and_by_quality() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("attention_q8"))
        await pilot.pause()
        await pilot.press("right")
        assert here(chart) == "attention_q8"  # a walk begins at the recipe in the grid
        await pilot.press("home")
        walked = [here(chart)]
        for _ in RESULTS[1:]:
            await pilot.press("right")
            walked.append(here(chart))
        sizes = [r.file_bytes for name in walked for r in RESULTS if r.name == name]
        assert sizes == sorted(sizes) and set(walked) == {result.name for result in RESULTS}
        await pilot.press("right")
        assert here(chart) == "baseline_fp16"  # the walk ends at the last
        upwards = [here(chart)]
        for _ in RESULTS[1:]:
            await pilot.press("up")
            upwards.append(here(chart))
        klds = [r.kld for name in upwards for r in RESULTS if r.name == name]
        assert klds == sorted(klds, key=lambda kld: kld or 0.0) and len(set(upwards)) == len(RESULTS)


async def test_the_point_at_hand_is_told_of_beside_it_and_a_theme_marks_it() -> None:
    chart = TradeoffChart()
    app = PaneApp(chart)
    async with app.run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("attention_q8"))
        await pilot.pause()
        await pilot.press("right")
        assert any(
            "◆ attention_q8 · 100.1 MiB · KLD 0.1411 ±0.0024" in line for line in lines_of(chart._canvas)
        )
        for theme in ("textual-dark", "textual-light", "ansi-dark"):
            app.theme = theme
            await pilot.pause()
            row = chart.at_hand.cell[1]
            told = [s for s in chart._canvas.render_line(row) if "attention_q8 ·" in s.text]
            assert told and (told[0].style.bgcolor is not None or told[0].style.reverse)


async def test_zooming_keeps_the_point_at_hand_and_walking_takes_the_view_along() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("attention_q8"))
        await pilot.pause()
        whole = lines_of(chart._canvas)
        await pilot.press("right", "+", "+", "+", "+")
        await pilot.pause()
        assert here(chart) == "attention_q8" and chart.at_hand.cell is not None
        in_sight = [spot for spot in chart.spots if spot.cell]
        assert 0 < len(in_sight) < len(RESULTS) and "0 whole" in chart.border_subtitle
        for _ in RESULTS:
            await pilot.press("right")
            await pilot.pause()
            column, line = chart.at_hand.cell
            assert lines_of(chart._canvas)[line][column] in "●◆"
        assert here(chart) == "baseline_fp16"  # not at the edge now, but at its place
        await pilot.press("0")
        await pilot.pause()
        await pilot.press("home", "left")
        chart.screen.set_focus(None)
        await pilot.pause()
        assert lines_of(chart._canvas) == whole and "0 whole" not in chart.border_subtitle


@pytest.mark.parametrize("size", [(30, 9), (300, 80)])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
async def test_any_zoom_draws_axes_and_points(size: tuple[int, int], spread: float) -> None:
    chart = TradeoffChart()
    results = [*RESULTS[1:], replace(RESULTS[2], digest="x", kld=0.2 * spread)]
    async with PaneApp(chart).run_test(size=size) as pilot:
        chart.show(results, plan("attention_q8"))
        await pilot.pause()
        await pilot.press("right")
        for key in ["+"] * 9 + ["-", "0"]:
            await pilot.press(key)
            lines = lines_of(chart._canvas)
            assert len(lines) == size[1] - 2 and any("┤" in line for line in lines)
            assert chart.at_hand.cell is not None
        assert chart._view is None


async def test_zooming_at_a_file_beyond_the_edge_comes_closer_to_what_is_in_sight() -> None:
    chart = TradeoffChart()
    async with PaneApp(chart).run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("baseline_fp16"))
        await pilot.pause()
        await pilot.press("right")
        assert here(chart) == "baseline_fp16"
        for _ in range(6):
            await pilot.press("+")
            await pilot.pause()
            assert "●" in text_of(chart._canvas)


async def test_the_mouse_tells_of_points_and_walks_to_them_and_its_wheel_zooms() -> None:
    chart = TradeoffChart()
    app = PaneApp(chart)
    async with app.run_test(size=(110, 34)) as pilot:
        chart.show(RESULTS, plan("attention_q8"))
        await pilot.pause()
        spot = next(s for s in chart.spots if s.key == next(r.digest for r in RESULTS if r.name == "ffn_q8"))
        assert spot.cell is not None
        await pilot.hover(chart._canvas, offset=spot.cell)
        assert here(chart) == "ffn_q8" and chart.is_hovered
        await pilot.hover(chart._canvas, offset=(90, 1))
        assert not chart.is_hovered
        await pilot.click(chart._canvas, offset=spot.cell)
        assert here(chart) == "ffn_q8" and chart.has_focus
        chart.scrolled(1, *spot.cell)
        await pilot.pause()
        assert chart._view is not None
        moved = spot_of(chart.spots, spot.key).cell
        assert abs(moved[0] - spot.cell[0]) <= 1 and abs(moved[1] - spot.cell[1]) <= 1
        chart.scrolled(-1, *spot.cell)
        assert chart._view is None


async def test_recipes_of_other_slots_are_letters_measured_or_not() -> None:
    chart = TradeoffChart()
    measured, unknown = plan("ffn_q8"), plan("first_8_layers_q8")
    slots = {"B": measured, "C": unknown}
    others = [Other(letter, p.recipe.name, p.digest, p.file_bytes / MIB) for letter, p in slots.items()]
    async with PaneApp(chart).run_test(size=(110, 34)) as pilot:
        chart.show([r for r in RESULTS if r.digest != unknown.digest], plan("attention_q8"), others=others)
        await pilot.pause()
        lines = lines_of(chart._canvas)
        assert any(" B ffn_q8" in line or "ffn_q8 B" in line for line in lines)
        assert "C" in lines[-3] and "B C other slots" in chart.border_subtitle


# -- on the main screen


async def test_a_walk_explains_each_point_and_enter_puts_its_recipe_in_the_grid() -> None:
    bench = FakeWorkbench(SHAPE)
    bench.results, bench.scores = RESULTS, scores_of(RESULTS)
    bench.frontier = frontier_of(SHAPE)
    async with running(bench, (160, 50)) as pilot:
        chart, table = pilot.app.main.query_one(TradeoffChart), pilot.app.main.query_one(ResultsTable)
        for _ in range(3):
            await pilot.pause(0.1)
        await pilot.press("f3", "home")
        await pilot.pause()
        assert chart.has_focus and pilot.app.main.has_class("-pane-budget")
        seen = {status(pilot)}
        for _ in range(len(RESULTS) + len(bench.frontier)):
            await pilot.press("right")
            await pilot.pause()
            seen.add(status(pilot))
            if chart.at_hand.key in BY_DIGEST:
                assert table.row is not None and table.row.result.digest == chart.at_hand.key
        assert any(
            said.startswith("uniform_q4_0: 87.5 MiB, 2.95× smaller, KLD 0.256 ±0.004") for said in seen
        )
        assert any("worse than attention_q8 (95 %)" in said for said in seen)
        assert any(said.startswith("The best recipe of ") and "predicted KLD" in said for said in seen)
        while chart.at_hand.key not in BY_DIGEST or here(chart) != "ffn_q8":
            await pilot.press("left")
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert bench.plan.recipe.name == "ffn_q8" and bench.plan.digest == chart.at_hand.key
        assert status(pilot).startswith("ffn_q8 is in the grid; u takes it back.")
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert status(pilot).startswith("ffn_q8 is in the grid already.")
        await pilot.press("plus")
        assert chart._view is not None  # and no longer context
        await pilot.press("f2")
        await pilot.pause()
        assert status(pilot).startswith("Block 0")


# -- the way from point to point


def test_several_lines_are_walked_along_and_changed_between_at_the_nearest_point() -> None:
    spots = [
        Spot((line, x), (x, y), (int(x), 0), "●", ("",), line)
        for line, y, xs in (("a", 1.0, (0.0, 1.0, 2.0)), ("b", 2.0, (0.0, 2.0)))
        for x in xs
    ]
    start = spots[1]
    assert beside(spots, start, 1).key == ("a", 2.0) and beside(spots, spots[2], 1).key == ("a", 2.0)
    assert above(spots, spots[2], 1).key == ("b", 2.0) and above(spots, spots[2], -1).key == ("a", 2.0)
    assert above(spots, above(spots, start, 1), -1).line == "a"


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 20))
def test_what_is_zoomed_in_and_out_again_is_the_whole(x: float, y: float, steps: int) -> None:
    whole = View((80.0, 140.0), (-3.0, 0.0))
    at = 80 + 60 * x, -3 + 3 * y
    view: View | None = whole
    for _ in range(steps):
        assert view is not None
        view = view.zoomed(1.5, at, whole)
        assert view is not None and view.x[0] <= at[0] + 1e-6 and at[0] <= view.x[1] + 1e-6
    for _ in range(steps):
        if view is not None:
            view = view.zoomed(1 / 1.5, at, whole)
    assert view is None
