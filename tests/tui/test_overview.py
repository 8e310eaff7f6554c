"""The overview of a deep model: what each line stands for, where the cursor is, and the mouse on it."""

from __future__ import annotations

from driving import Q4, Q8, running
from fake_importance import estimated, measured_scores
from fakes import FakeWorkbench
from model_shapes import llama_shape

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import base_recipe, resolve, with_type
from lqtui.tui.widgets.grid_layout import grid_layout
from lqtui.tui.widgets.grid_mouse import HEADER_LINES
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.overview import OverviewStrip, overview_lines

SHAPE = llama_shape(128)


def strip_text(pilot) -> list[str]:
    strip = pilot.app.main.query_one(OverviewStrip)
    return [strip.render_line(y).text for y in range(strip.size.height)]


async def rested(pilot) -> None:
    await pilot.pause(0.15)


def test_every_row_is_in_one_line_and_a_line_tells_the_type_of_most_of_its_tensors() -> None:
    rows = grid_layout(SHAPE).rows
    plan = resolve(SHAPE, base_recipe(SHAPE))
    plan = resolve(SHAPE, with_type(plan, [n for row in rows[1:61] for n in row.names], Q8))
    plan = resolve(SHAPE, with_type(plan, rows[50].names[:3], Q4))
    lines = overview_lines(plan, rows, 20)
    assert [row for line in lines for row in line.rows] == list(range(130))
    assert [str(line.type) for line in lines] == ["Q8_0"] * 9 + ["F16"] * 11
    assert [line.is_mixed for line in lines].count(True) == 3, (
        "with embd, with the Q4_0 ones, and at the border"
    )


def test_where_most_rows_are_in_sight_there_is_nothing_to_overlook() -> None:
    plan = resolve(SHAPE, base_recipe(SHAPE))
    for height in (98, 130, 131, 0):
        assert overview_lines(plan, grid_layout(SHAPE).rows, height) == ()
    assert len(overview_lines(plan, grid_layout(SHAPE).rows, 97)) == 97


async def test_the_strip_follows_edits_and_the_cursor_and_a_click_goes_there() -> None:
    bench = FakeWorkbench(SHAPE)
    async with running(bench, size=(120, 36)) as pilot:
        await rested(pilot)
        strip, grid = pilot.app.main.query_one(OverviewStrip), pilot.app.main.query_one(LayerGrid)
        lines = grid.size.height - HEADER_LINES
        assert strip.region.right == grid.region.right + 1 and strip.size.width == 1
        assert strip_text(pilot) == [" ", " ", "▶", *"F" * (lines - 1)]
        await pilot.press("G")
        await rested(pilot)
        assert strip_text(pilot)[HEADER_LINES:] == [*"F" * (lines - 1), "▶"]
        await pilot.click(strip, offset=(0, HEADER_LINES + lines // 2))
        await rested(pilot)
        middle = 130 * (lines // 2) // lines
        assert grid.selection.row == middle and grid.has_focus
        assert grid.scroll_offset.y <= middle < grid.scroll_offset.y + lines
        await pilot.press("a", "4")
        await rested(pilot)
        assert set(strip_text(pilot)[HEADER_LINES:]) == {"4", "▶"}
        await pilot.mouse_down(strip, offset=(0, HEADER_LINES))
        await pilot.hover(strip, offset=(0, HEADER_LINES + 5))
        await pilot.mouse_up(strip, offset=(0, HEADER_LINES + 5))
        assert grid.selection.row == 130 * 5 // lines


async def test_scores_stand_beside_the_types_and_estimates_look_unlike_measurements() -> None:
    bench = FakeWorkbench(SHAPE)
    tensors, blocks = estimated(SHAPE)
    bench.learn(scores=measured_scores(SHAPE, Granularity.TENSOR), tensors=tensors, blocks=blocks)
    async with running(bench) as pilot:
        await rested(pilot)
        assert {line[1] for line in strip_text(pilot)[HEADER_LINES:]} <= set("▁▂▃▄▅▆▇█")
        await pilot.press("I")
        await rested(pilot)
        assert {line[1] for line in strip_text(pilot)[HEADER_LINES:]} <= set("⡀⣀⣄⣤⣦⣶⣷⣿")


async def test_a_model_that_fits_has_no_strip_until_the_terminal_is_too_low(workbench) -> None:
    async with running(workbench, size=(120, 40)) as pilot:
        await rested(pilot)
        assert pilot.app.main.query_one(OverviewStrip).region.area == 0
        await pilot.resize_terminal(80, 24)
        await rested(pilot)
        assert pilot.app.main.query_one(OverviewStrip).region.area
