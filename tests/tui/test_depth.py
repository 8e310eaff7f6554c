"""Sensitivity by depth: what is measured is never taken for an estimate, and every block can be walked to."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
from driving import running, screen_text
from fake_importance import estimated, measured_scores
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import PaneApp, lines_of

from lqtui.recipe.granularity import Granularity
from lqtui.tui.screens.depth import DepthScreen
from lqtui.tui.widgets.depth import DepthChart
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench import ImportanceView, depth_scores
from lqtui.workbench.depth import WHOLE

SHAPE = llama_shape()
SOLID, DOTTED = set("▁▂▃▄▅▆▇█"), set("⡀⣀⣄⣤⣦⣶⣷⣿")


def view(*, by: Granularity | None = Granularity.TENSOR) -> ImportanceView:
    tensors, blocks = estimated(SHAPE)
    return ImportanceView(measured_scores(SHAPE, by) if by else (), tensors, blocks)


def knowing(**known: Granularity | None) -> FakeWorkbench:
    bench = FakeWorkbench(SHAPE)
    known_view = view(**known)
    bench.learn(scores=known_view.scores, tensors=known_view.tensors, blocks=known_view.blocks)
    return bench


def test_blocks_are_sums_of_their_tensors_or_measured_as_one_and_roles_stand_alone() -> None:
    by_tensor, by_block = depth_scores(view(), SHAPE), depth_scores(view(by=Granularity.BLOCK), SHAPE)
    assert by_tensor[0].name == by_block[0].name == "KLD" and not by_tensor[0].is_estimate
    assert by_tensor[0].is_sum and not by_block[0].is_sum
    assert [s.value for s in by_tensor[0].blocks] == pytest.approx([s.value for s in by_block[0].blocks])
    roles = [each for each in by_tensor if each.name == "KLD" and each.part != "whole blocks"]
    assert {each.part for each in roles} == {
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
    }
    summed = [sum(each.blocks[3].value for each in roles)]
    assert summed == pytest.approx([by_tensor[0].blocks[3].value])
    errors = [each.blocks[3].se or 0.0 for each in roles]
    assert by_tensor[0].blocks[3].se == pytest.approx(math.hypot(*errors))
    assert all(each.is_estimate for each in depth_scores(view(by=None), SHAPE))


def test_what_is_no_number_is_left_out() -> None:
    known = view(by=Granularity.BLOCK)
    wrong = {3: {"kld": math.nan}, 4: {"kld_se": math.inf}}
    scores = tuple(replace(score, **wrong.get(score.unit.block, {})) for score in known.scores)
    blocks = {**known.blocks, 3: msgspec.structs.replace(known.blocks[3], lim=-math.inf)}
    found = depth_scores(replace(known, scores=scores, blocks=blocks), SHAPE)
    assert all(math.isfinite(block.value + (block.se or 0.0)) for each in found for block in each.blocks)
    lost = {each.name: SHAPE.block_count - len(each.blocks) for each in found if each.part == WHOLE}
    assert lost["KLD"] == lost["LIM"] == 1 and lost["−ZD"] == 0


@pytest.mark.parametrize("size", [(60, 14), (76, 18), (296, 70)])
@pytest.mark.parametrize("blocks", [2, 30, 128])
async def test_bars_of_any_model_fit_any_size_and_lie_where_they_can_be_walked_to(size, blocks) -> None:
    shape = llama_shape(blocks)
    tensors, of_blocks = estimated(shape)
    scores = depth_scores(
        ImportanceView(measured_scores(shape, Granularity.BLOCK), tensors, of_blocks), shape
    )
    chart = DepthChart()
    async with PaneApp(chart).run_test(size=size) as pilot:
        for each in scores:
            chart.show(each, blocks)
            chart.screen.set_focus(None)
            await pilot.pause()
            lines = lines_of(chart._canvas)
            assert len(lines) == size[1] and all(len(line) <= size[0] for line in lines)
            drawn = set("".join(line.split("│", 1)[-1].split("┤", 1)[-1] for line in lines[:-2])) - set(" │")
            assert drawn <= (DOTTED if each.is_estimate else SOLID)
            assert len(chart.spots) == blocks
            for spot in chart.spots:
                column, line = spot.cell
                assert lines[line][column] in SOLID | DOTTED, (each.name, spot)


async def test_m_then_c_shows_it_and_arrows_c_and_enter_walk_it_and_go_to_a_block() -> None:
    bench = knowing()
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("m", "c")
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, DepthScreen)
        said = screen_text(pilot)
        assert "KLD measured at Q4_0, nats, each tensor alone, summed · whole blocks" in said
        assert "█ measured" in said and "estimated" not in said
        assert "blk.0: KLD" in said and "its tensors at Q4_0 one by one" in said
        await pilot.press("right", "right", "down")
        await pilot.pause()
        said = screen_text(pilot)
        assert "each alone · attn_" in said and "blk.2.attn_" in said and "of 30" in said
        for name in ("weighted error", "LIM", "ZD"):
            await pilot.press("c")
            await pilot.pause()
            said = screen_text(pilot)
            assert f"estimate: {'−' if name == 'ZD' else ''}{name}" in said
            assert (
                "estimated, not measured" in said and "█ measured" not in said and "by this estimate" in said
            )
        await pilot.press("enter")
        await pilot.pause(0.1)
        grid = pilot.app.main.query_one(LayerGrid)
        assert grid.selection.cursor_row.block == 2 and grid.has_focus


async def test_with_nothing_known_it_says_what_to_do_and_fills_as_scores_come() -> None:
    bench = FakeWorkbench(SHAPE)
    async with running(bench) as pilot:
        pilot.app.main.action_depth()
        await pilot.pause()
        assert "Nothing is known along the depth yet." in screen_text(pilot)
        bench.learn(scores=measured_scores(SHAPE, Granularity.BLOCK))
        await pilot.pause()
        await pilot.press("right")
        await pilot.pause()
        assert "nats with it alone at Q4_0" in screen_text(pilot)
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.main
