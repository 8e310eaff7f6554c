"""The columns beside the layers' cells: which are shown, which have room, and what they say."""

from __future__ import annotations

import re

import pytest
from driving import lines, running, screen_text
from fake_importance import estimated, measured_scores
from fakes import FakeWorkbench
from model_shapes import llama_shape, moe_shape

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.presets import preset
from lqtui.tui.screens.columns import ColumnsScreen
from lqtui.tui.widgets.grid_columns import (
    DEFAULT_FACTS,
    WIDTHS,
    GridFact,
    cells_before,
    fixed_width,
    place_facts,
)
from lqtui.tui.widgets.grid_layout import grid_layout
from lqtui.tui.widgets.importance import ScoreKind, column_of
from lqtui.tui.widgets.layer_grid import LayerGrid

SHAPE = llama_shape()


@pytest.fixture
def scored() -> FakeWorkbench:
    """A workbench with a preset in the grid, and every tensor measured alone."""
    bench = FakeWorkbench(SHAPE)
    tensors, blocks = estimated(SHAPE)
    bench.costs_known = True
    bench.learn(scores=measured_scores(SHAPE, Granularity.TENSOR), tensors=tensors, blocks=blocks)
    bench.use(preset("first_4_layers_q8", SHAPE), "preset")
    return bench


async def test_columns_are_switched_while_the_layers_show_them_and_are_known_by_name(scored) -> None:
    async with running(scored, size=(140, 36)) as pilot:
        main = pilot.app.main
        assert main.columns == ("type", "size", "score", "bar")
        await pilot.press("z", "O", "down", "down", "space", "down", "j", "space")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ColumnsScreen)
        assert main.columns == ("type", "size", "bpw", "score", "predicted", "bar")
        title, first = lines(pilot)[1], lines(pilot)[3]
        assert title.split()[8:] == ["type", "MiB", "bpw", "sum", "◇pred.", "of", "base"]
        share = sum(v for n, v in scored.predicted_by_tensor(scored.plan).items() if n.startswith("blk.0."))
        assert first.split()[9:12] == ["Q8_0", "3.6", "8.51"] and first.split()[14] == f"{share:.5f}"
        await pilot.press("escape", "4")
        await pilot.pause()
        assert float(lines(pilot)[3].split()[14]) > 10 * share, "the prediction follows the types"
        await pilot.press("O", "space", "0", "escape")
        assert set(main.columns) == DEFAULT_FACTS
        main.columns = ("size", "no such column")
        await pilot.pause()
        assert lines(pilot)[1].split()[8:] == ["MiB"]


async def test_a_click_on_the_title_of_the_scores_shows_the_next_ones(scored) -> None:
    async with running(scored, size=(140, 36)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        assert "KLD" in lines(pilot)[0] and "est." not in lines(pilot)[0]
        await pilot.click(grid, offset=(lines(pilot)[0].index("KLD"), 0))
        await pilot.pause()
        assert "est. err" in lines(pilot)[0]
        await pilot.click(grid, offset=(7, 1))
        assert grid.selection.title == "attn_q of blocks 0-29", "on a role's label it selects as before"


async def test_a_column_without_room_says_so_and_a_click_switches_one(scored) -> None:
    async with running(scored, size=(104, 36)) as pilot:
        await pilot.press("O")
        toggles = pilot.app.screen.query("FactToggles").first()
        await pilot.click(toggles, offset=(5, 2))
        await pilot.pause()
        assert "bpw" in pilot.app.main.columns
        assert re.search("bpw +no room for it now", screen_text(pilot))
        assert "z and > give the layers more room" in screen_text(pilot)


@pytest.mark.parametrize("shape", [SHAPE, moe_shape()], ids=["dense", "experts"])
@pytest.mark.parametrize("scores", [False, True])
def test_what_is_shown_never_takes_more_than_there_is_and_sizes_never_go(scored, shape, scores) -> None:
    layout = grid_layout(shape)
    column = column_of(scored.importance, ScoreKind.MEASURED, grid_layout(SHAPE)) if scores else None
    everything = frozenset(GridFact)
    for width in range(20, 200):
        place = place_facts(layout, width, everything, column)
        assert GridFact.SIZE in place.shown
        taken = sum(WIDTHS.get(fact, 0) for fact in place.shown) + (place.score.cells if place.score else 0)
        if width >= fixed_width(layout, everything):
            assert cells_before(layout) + taken + place.bar <= width
        if not column:
            assert place.score is None and GridFact.TYPE in place.shown
    assert place.shown >= everything - ({GridFact.SCORE} if column is None else set())
