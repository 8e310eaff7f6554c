"""Which layers deserve the bits, on the main screen: the column, the sentences, and the prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import lines, running, status
from fake_importance import estimated, measured_scores, single_cost
from fakes import FakeWorkbench
from model_shapes import llama_shape, moe_shape
from panes import lines_of
from scripted_results import measured

from lqtui.measure.rounding import small
from lqtui.recipe.granularity import Granularity
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench import Change

SHAPE = llama_shape()
SOLID, DOTTED, HEIGHTS = set("▏▎▍▌▋▊▉█"), set("⡇⣿"), set("▁▂▃▄▅▆▇█")


def knowing(*, by: Granularity | None = Granularity.TENSOR, estimates: bool = True) -> FakeWorkbench:
    """A workbench that knows scores and estimates of its model."""
    bench = FakeWorkbench(SHAPE)
    tensors, blocks = estimated(SHAPE) if estimates else ({}, {})
    bench.learn(scores=measured_scores(SHAPE, by) if by else (), tensors=tensors, blocks=blocks)
    return bench


# -- the column


async def test_nothing_is_shown_where_nothing_is_known(workbench):
    async with running(workbench) as pilot:
        before = lines(pilot)
        await pilot.press("I")
        await pilot.pause()
        assert status(pilot).startswith("Nothing is known yet of what matters: m ")
        assert lines(pilot) == before


async def test_what_was_measured_is_shown_as_soon_as_it_is_known(workbench):
    async with running(workbench) as pilot:
        workbench.learn(scores=measured_scores(SHAPE, Granularity.BLOCK))
        await pilot.pause()
        shown = lines(pilot)
        assert shown[0].endswith("KLD Q4_0") and shown[1].endswith("alone")
        assert all(set(row.split()[-1]) <= SOLID for row in shown[2:12])


async def test_bars_order_blocks_as_their_scores_do():
    async with running(knowing(by=Granularity.BLOCK)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        marks = dict(zip(grid.rows_and_columns.rows, grid.importance.rows, strict=True))
        known = [mark for mark in marks.values() if mark]
        by_value = sorted(known, key=lambda mark: mark.value)
        assert [m.share for m in by_value] == sorted(m.share for m in known)
        assert by_value[-1].level == 8 and by_value[-1].share == 1.0


async def test_a_sum_of_singles_says_so_in_the_title_and_with_each_number():
    async with running(knowing(), size=(80, 24)) as pilot:
        shown = lines(pilot)
        assert "KLD at Q4_0" in shown[0]
        assert " sum" in shown[1]
        assert "Σ" in shown[3]
        assert "Σ" not in shown[2]  # the embedding is one tensor, measured alone


async def test_one_key_goes_through_all_that_is_known_and_estimates_are_named_and_dotted():
    async with running(knowing()) as pilot:
        seen = []
        for _ in range(6):
            shown = lines(pilot)
            glyphs = {c for row in shown[2:] for c in row if c in SOLID | DOTTED}
            kind = "solid" if glyphs & SOLID else "dotted" if glyphs else "none"
            seen.append((" ".join(shown[0].split()[4:]), kind))
            await pilot.press("I")
            await pilot.pause()
        assert seen == [
            ("KLD Q4_0", "solid"),
            ("est. err", "dotted"),
            ("est. LIM", "dotted"),
            ("est. ZD", "dotted"),
            ("", "none"),
            ("KLD Q4_0", "solid"),
        ]


async def test_bars_of_estimates_go_by_rank_and_less_zd_is_more():
    bench = knowing()
    async with running(bench, size=(80, 36)) as pilot:
        await pilot.press("I", "I", "I")
        await pilot.pause()
        marks = [mark for mark in pilot.app.main.query_one(LayerGrid).importance.rows if mark]
        zds = [bench.importance.blocks[block].zd for block in range(30)]
        assert [mark.share for mark in marks] == [(30 - block) / 30 for block in range(30)]
        assert zds == sorted(zds)
        assert lines(pilot)[3].split()[-2] == "0.150"


async def test_a_choice_stays_when_more_becomes_known():
    async with running(knowing(by=None)) as pilot:
        assert "est. err" in lines(pilot)[0]
        await pilot.press("I")
        pilot.app.main.workbench.learn(scores=measured_scores(SHAPE, Granularity.BLOCK))
        await pilot.pause()
        assert "est. LIM" in lines(pilot)[0]


async def test_tensor_scope_shows_a_height_for_each_tensor():
    async with running(knowing()) as pilot:
        await pilot.press("]")
        await pilot.pause()
        shown = lines(pilot)
        assert shown[1].endswith("qkvo gud")
        attention, ffn = shown[3].split()[-2:]
        assert (len(attention), len(ffn)) == (4, 3)
        assert set(attention + ffn) <= HEIGHTS
        await pilot.press("[")
        assert "qkvo gud" not in lines(pilot)[1]


async def test_tensors_without_a_score_of_their_own_leave_their_block_its_bar():
    async with running(knowing(by=Granularity.BLOCK, estimates=False)) as pilot:
        await pilot.press("]")
        await pilot.pause()
        assert set(lines(pilot)[3].split()[-1]) <= SOLID


@pytest.mark.parametrize("width", [60, 80, 120, 200])
async def test_the_column_fits_at_every_width_and_nothing_else_is_cut(width: int):
    for shape in (SHAPE, moe_shape()):
        bench = FakeWorkbench(shape)
        async with running(bench, size=(width, 40)) as pilot:
            without = lines(pilot)
            bench.learn(scores=measured_scores(shape, Granularity.BLOCK))
            await pilot.pause()
            grid = pilot.app.main.query_one(LayerGrid)
            assert set(lines(pilot)[3]) & SOLID
            assert all(len(line) <= grid.size.width for line in lines(pilot))
            for before, after in zip(without[2:], lines(pilot)[2:], strict=True):
                assert after.startswith(before.rstrip("━─ ")[: 6 + grid.rows_and_columns.cells_width])


async def test_another_model_is_not_shown_with_the_scores_of_the_one_before():
    bench = knowing()
    bench.models["moe.gguf"] = moe_shape()
    async with running(bench) as pilot:
        bench.importance = type(bench.importance)()
        await bench.open(pilot.app.main.workbench.model.path.with_name("moe.gguf"))
        await pilot.pause()
        assert pilot.app.main.query_one(LayerGrid).importance is None


# -- sentences


async def test_the_status_line_says_the_number_with_its_error():
    async with running(knowing()) as pilot:
        await pilot.press("]")
        await pilot.pause()
        kld = single_cost("blk.0.attn_q.weight")
        number, error = small(kld, kld / 20)
        assert f"Alone at Q4_0: KLD {number} ±{error}, measured on 1 chunk." in status(pilot)


async def test_a_sum_has_no_error_and_says_that_it_is_one():
    async with running(knowing()) as pilot:
        assert "the sum of 7 tensors measured alone" in status(pilot)
        assert "±" not in status(pilot)


async def test_an_estimate_says_how_far_it_ranks_as_the_measurements_do():
    bench = knowing(by=Granularity.BLOCK)
    async with running(bench) as pilot:
        await pilot.press("I", "I")
        await pilot.pause()
        rho = f"{bench.importance.correlations['LIM']:.2f}".replace("-", "−")
        assert f"LIM ranks blocks with ρ = {rho} to what was measured." in status(pilot)
        await pilot.press("down")
        await pilot.pause()
        assert "Estimated LIM" in status(pilot)
        assert f"ρ = {rho}" in status(pilot)


async def test_nothing_is_claimed_of_estimates_while_nothing_is_measured():
    async with running(knowing(by=None)) as pilot:
        await pilot.press("I", "down")
        await pilot.pause()
        assert "Estimated LIM" in status(pilot)
        assert "ρ" not in status(pilot)


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_the_score_is_told_whatever_the_width(width: int):
    async with running(knowing(), size=(width, 36)) as pilot:
        await pilot.press("]", "down")
        await pilot.pause()
        assert "KLD" in status(pilot)
        assert "…" not in status(pilot)


# -- the prediction


async def test_the_predicted_kld_follows_every_edit_at_once(workbench):
    async with running(workbench) as pilot:
        pane = pilot.app.main.query_one(BudgetPane)
        await pilot.press("4")
        assert not any("predicted" in line for line in lines_of(pane))
        workbench.costs_known = True
        said = []
        for key in ("down", "4", "8", "u"):
            await pilot.press(key)
            await pilot.pause()
            said.append(next((line for line in lines_of(pane) if "predicted" in line), ""))
        kld = small(workbench.prediction(workbench.plan))[0]
        assert f"predicted KLD {kld} (from singles)" in said[-1]
        assert said[1] == said[3] != said[2]
        assert "measured" not in "".join(said)


async def test_what_was_measured_stands_beside_the_prediction_under_its_own_name(workbench):
    workbench.costs_known = True
    async with running(workbench, size=(200, 50)) as pilot:
        pane = pilot.app.main.query_one(BudgetPane)
        await pilot.press("4")
        workbench.add_result(measured(workbench.plan, 19.5, kld=0.043))
        await pilot.pause()
        [line] = [line for line in lines_of(pane) if "predicted" in line]
        assert "◆ measured 0.0430 ±0.0007" in line and "◇" in line
        await pilot.press("down", "4")
        await pilot.pause()
        assert not any("measured" in line for line in lines_of(pane))


async def test_at_80_columns_the_prediction_is_under_the_layers(workbench):
    workbench.costs_known = True
    async with running(workbench, size=(80, 24)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        assert pilot.app.main.query_one("#layers").border_subtitle.startswith("predicted KLD ")
        await pilot.press("u")
        await pilot.pause()
        assert "KLD" not in pilot.app.main.query_one("#layers").border_subtitle


async def test_what_is_remembered_is_asked_for_when_results_come_and_shown_when_it_is_there():
    bench = FakeWorkbench(SHAPE)
    async with running(bench) as pilot:
        before = bench.recalls
        bench.tell(Change.RESULTS)  # as soon as a model's book is open, and for every other text
        await pilot.pause()
        assert bench.recalls > before
        bench.learn(scores=measured_scores(SHAPE, Granularity.BLOCK))
        await pilot.pause()
        assert lines(pilot)[0].endswith("KLD Q4_0")


async def test_scores_of_another_text_are_not_shown_for_long():
    bench = knowing()
    async with running(bench) as pilot:
        assert "KLD" in lines(pilot)[0]
        bench.importance = type(bench.importance)()
        bench.settings = replace(bench.settings, n_ctx=256)
        bench.add_result(measured(bench.plan, 19.0))
        await pilot.pause()
        assert "KLD" not in lines(pilot)[0]
