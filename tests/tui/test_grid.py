"""The layer grid at the keyboard and under the mouse, and what becomes of the recipe."""

from __future__ import annotations

import pytest
from driving import F16, Q4, Q8, lines, running, types
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import OptionList

from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.tui.screens.type_picker import TypePicker
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.status_line import StatusLine


async def test_the_grid_shows_every_block_with_its_types_and_size(workbench):
    async with running(workbench) as pilot:
        shown = lines(pilot)
        assert shown[1].split()[:8] == ["blk", "q", "k", "v", "o", "g", "u", "d"]
        assert shown[2].split()[:4] == ["embd", "F", "F16", "54.0"]
        assert shown[3].split()[:11] == ["▶", "0", *"FFFFFFF", "F16", "6.8"]


@pytest.mark.parametrize(("key", "expected"), [("8", Q8), ("4", Q4), ("space", Q8)])
async def test_one_key_quantizes_the_block_under_the_cursor(workbench, key, expected):
    async with running(workbench) as pilot:
        await pilot.press("down", key)
        assert types(workbench, 1) == {expected}
        assert types(workbench, 0) == types(workbench, 2) == {F16}
        assert lines(pilot)[4].split()[9] == str(expected)


async def test_space_goes_round_the_three_types(workbench):
    async with running(workbench) as pilot:
        seen = []
        for _ in range(4):
            await pilot.press("space")
            seen.append(types(workbench, 0))
        assert seen == [{Q8}, {Q4}, {F16}, {Q8}]


async def test_a_range_is_set_by_one_key_and_is_one_edit(workbench):
    async with running(workbench) as pilot:
        await pilot.press("v", "j", "j", "j", "4")
        assert [types(workbench, n) for n in range(5)] == [{Q4}] * 4 + [{F16}]
        assert workbench.undo_label == "blocks 0-3 → Q4_0"
        await pilot.press("u")
        assert types(workbench, 0) == {F16}
        await pilot.press("U")
        assert types(workbench, 3) == {Q4}


async def test_tensor_scope_sets_one_tensor_and_the_row_says_mixed(workbench):
    async with running(workbench) as pilot:
        await pilot.press("enter", "right", "right", "4")
        assert workbench.plan.by_name["blk.0.attn_v.weight"].effective is Q4
        assert workbench.plan.by_name["blk.0.attn_k.weight"].effective is F16
        assert lines(pilot)[3].split()[:10] == ["▶", "0", "F", "F", "4", "F", "F", "F", "F", "mixed"]


async def test_a_role_of_all_blocks_is_two_keys_away(workbench):
    async with running(workbench) as pilot:
        await pilot.press("]", "right", "a", "8")
        assert workbench.undo_label == "attn_k of blocks 0-29 → Q8_0"


async def test_left_of_the_first_tensor_is_the_block_again(workbench):
    async with running(workbench) as pilot:
        await pilot.press("right", "right", "left", "left", "4")
        assert types(workbench, 0) == {Q4}


async def test_a_fallback_has_a_mark_and_a_reason():
    bench = FakeWorkbench(llama_shape())
    async with running(bench) as pilot:
        await pilot.press("]")
        await pilot.press("t")
        picker = pilot.app.screen
        assert isinstance(picker, TypePicker)
        await pilot.press("6", "enter")
        planned = bench.plan.by_name["blk.0.attn_q.weight"]
        assert (planned.requested, planned.effective) == (TensorType.Q6_K, Q8)
        assert "≠8" in lines(pilot)[3]
        assert "rows of 576 fall back to Q8_0" in pilot.app.main.query_one(StatusLine).sentence


async def test_types_that_cannot_be_written_are_offered_as_impossible_with_a_reason(workbench):
    async with running(workbench) as pilot:
        await pilot.press("t")
        outlooks = pilot.app.screen._outlooks
        assert outlooks[TensorType.Q1_0].problem == "rows of 576 do not fit"
        assert not outlooks[TensorType.Q4_K].problem


async def test_the_type_picker_lists_every_type_by_its_family(workbench):
    async with running(workbench) as pilot:
        await pilot.press("]", "t")
        options = pilot.app.screen.query_one(OptionList)
        assert {option.id for option in options.options if option.id} == set(TARGET_TYPES)
        prompts = [str(option.prompt) for option in options.options]
        families = [prompt.split(":")[0] for prompt in prompts if not prompt.startswith((" ", "•"))]
        assert families == ["unquantized", "legacy", "K", "I", "FP4", "ternary"]
        lines = {option.id: str(option.prompt).split() for option in options.options if option.id}
        assert lines["Q4_K"][1:] == ["Q4_K", "4.5", "256", "222.8", "KiB", "≠", "becomes", "Q5_0"]
        assert lines["IQ2_XS"][-3:] == ["≠", "becomes", "IQ4_NL"]
        assert lines["MXFP4"][1:4] == ["MXFP4", "4.25", "32"]


async def test_the_type_picker_says_what_needs_an_importance_matrix():
    bench = FakeWorkbench(llama_shape(4, width=512, heads=8, kv_heads=8))
    async with running(bench) as pilot:
        await pilot.press("t")
        options = pilot.app.screen.query_one(OptionList)
        told = {o.id for o in options.options if "needs an importance matrix" in str(o.prompt)}
        assert told == {t for t in TARGET_TYPES if t.needs_imatrix}
        assert not any(options.get_option(each).disabled for each in told)  # one can be made


async def test_tab_goes_from_family_to_family(workbench):
    async with running(workbench) as pilot:
        await pilot.press("t")
        options = pilot.app.screen.query_one(OptionList)
        seen = []
        for _ in range(6):
            await pilot.press("tab")
            seen.append(options.get_option_at_index(options.highlighted).id)
        assert seen == ["Q8_0", "Q6_K", "IQ4_NL", "NVFP4", "TQ2_0", "F32"]
        await pilot.press("shift+tab", "enter")
        assert types(workbench, 0) == {Q4, TensorType.TQ2_0}, "rows of 576 fall back, those of 1536 do not"


async def test_the_status_line_explains_the_cursor(workbench):
    async with running(workbench) as pilot:
        status = pilot.app.main.query_one(StatusLine)
        assert status.sentence == "Block 0: 7 tensors, all F16, 6.8 MiB."
        await pilot.press("G")
        assert "tied" in status.sentence
        await pilot.press("g", "4")
        assert "token_embd" in status.sentence


async def test_unquantized_means_bf16_where_the_model_is_bf16():
    bench = FakeWorkbench(llama_shape(4, base=TensorType.BF16))
    async with running(bench) as pilot:
        await pilot.press("8", "f")
        assert types(bench, 0) == {TensorType.BF16}


async def test_the_mouse_moves_selects_ranges_and_whole_columns(workbench):
    async with running(workbench) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        await pilot.click(grid, offset=(3, 5))
        assert grid.selection.title == "block 2"
        await pilot.mouse_down(grid, offset=(3, 3))
        await pilot.hover(grid, offset=(3, 6))
        await pilot.mouse_up(grid, offset=(3, 6))
        assert grid.selection.title == "blocks 0-3"
        await pilot.click(grid, offset=(7, 1))
        assert grid.selection.title == "attn_q of blocks 0-29"


async def test_deep_models_scroll_and_the_header_stays():
    async with running(FakeWorkbench(llama_shape(128)), size=(120, 30)) as pilot:
        await pilot.press("G")
        shown = lines(pilot)
        assert shown[1].split()[0] == "blk"
        assert shown[-1].split()[:2] == ["▶", "out"]
        await pilot.press("g", "pagedown", "home")
        assert lines(pilot)[2].startswith("▶embd")


async def test_a_key_repaints_only_the_rows_that_it_changes(workbench):
    async with running(workbench) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        drawn = []
        original = grid._painter.row
        grid._painter.row = lambda y, row, *rest: drawn.append(row.label) or original(y, row, *rest)
        await pilot.press("4")
        assert set(drawn) == {"0"}
