"""What `/` lets through, and that ranges and "select all" take nothing else."""

from __future__ import annotations

import pytest
from driving import Q4, Q8, lines, running, screen_text, status, types
from model_shapes import llama_shape
from panes import PaneApp, text_of
from scripted_results import measured

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import base_recipe, resolve, with_type
from lqtui.tui.widgets.filters import matches_name, matching_tensors, said_of
from lqtui.tui.widgets.grid_layout import grid_layout
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.results import ResultsTable

SHAPE = llama_shape(12)
LAYOUT = grid_layout(SHAPE)


def plan():
    """Block 3 at Q4_0 but for its attn_v at Q8_0, the others as in the base model."""
    of_block = [tensor.name for tensor in SHAPE.tensors if tensor.block == 3]
    first = resolve(SHAPE, with_type(resolve(SHAPE, base_recipe(SHAPE)), of_block, Q4))
    return resolve(SHAPE, with_type(first, ["blk.3.attn_v.weight"], Q8))


@pytest.mark.parametrize(
    "text, said",
    [
        ("ffn_down", "ffn_down of blocks 0-11"),
        ("FFN_down 3-7", "ffn_down of blocks 3-7"),
        ("3", "block 3"),
        ("blk.1", "block 1"),
        ("blk.1?.attn_*", "attn_q, attn_k, attn_v of blocks 10-11"),
        ("q4_0", "6 tensors"),
        ("q8 blk.3", "attn_v of block 3"),
        ("q", "attn_q of blocks 0-11"),
        ("mixed", "block 3"),
        ("attn_v,ffn_up 0-1", "attn_v, ffn_up of blocks 0-1"),
        ("!3 !0-2 !4-11", "embedding"),
        ("embd", "embedding"),
        ("fallback", "nothing"),
        ("nonsense [", "nothing"),
    ],
)
def test_words_narrow_the_tensors_down_by_name_type_and_block(text, said):
    found = matching_tensors(plan(), LAYOUT, text)
    names = tuple(name for row in LAYOUT.rows for name in row.names if name in found)
    said = said.replace("attn_q, attn_k, attn_v of", "attn_q, attn_k, attn_v, attn_output of")
    assert said_of(LAYOUT, names) in (said, f"{len(names)} tensors") and bool(names) is (said != "nothing")


def test_a_number_longer_than_any_is_no_block():
    assert matching_tensors(plan(), LAYOUT, "9" * 5000) == frozenset()


def test_no_words_let_everything_through():
    assert matching_tensors(plan(), LAYOUT, "  ") is None


@pytest.mark.parametrize(
    "text, is_so",
    [
        ("q8", True),
        ("FIRST q8", True),
        ("first_*_q8", True),
        ("!first", False),
        ("last,first", True),
        ("", True),
    ],
)
def test_a_recipe_is_found_by_parts_and_patterns_of_its_name(text, is_so):
    assert matches_name("first_4_layers_q8", text) is is_so


async def test_what_matches_is_counted_shown_selected_and_set_and_esc_shows_all_again(workbench):
    async with running(workbench, (120, 36)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        title = pilot.app.main.query_one("#layers")
        await pilot.press("slash", *"ffn_down 3-8")
        await pilot.pause()
        assert "/ffn_down 3-8 6 of 30" in title.border_title and "/ ffn_down 3-8" in screen_text(pilot)
        assert lines(pilot)[6].split()[:4] == ["▶", "3", "F", "F16"] and lines(pilot)[4].split()[:2] == [
            "1",
            "F16",
        ]
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        assert grid.has_focus and grid.selection.cursor_row.title == "block 3"
        assert status(pilot) == "6 tensors match: a selects them, esc shows all again."
        await pilot.press("j", "j", "G")
        assert grid.selection.cursor_row.title == "block 8"
        await pilot.press("a", "4")
        await pilot.pause()
        assert workbench.undo_label == "ffn_down of blocks 3-8 → Q4_0"
        changed = {p.name for p in workbench.plan.tensors if p.effective is Q4}
        assert changed == {f"blk.{block}.ffn_down.weight" for block in range(3, 9)}
        await pilot.press("escape")
        assert "6 of 30" in title.border_title
        await pilot.press("escape")
        await pilot.pause()
        assert title.border_title == "layers · block scope" and lines(pilot)[4].split()[1:3] == ["F", "F"]


async def test_what_is_selected_stays_so_while_its_types_no_longer_match(workbench):
    workbench.use(preset("uniform_q4_0", workbench.plan.shape), "preset")
    async with running(workbench, (80, 24)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        await pilot.press("slash", *"q4_0", "enter", "a", "8")
        await pilot.pause()
        assert types(workbench, 5) == {Q8} and grid.filter_said == "/q4_0 30 of 30"
        await pilot.press("4", "8", "escape")
        await pilot.pause()
        assert types(workbench, 5) == {Q8} and grid.filter_said == "/q4_0 0 of 30"


async def test_esc_in_the_line_gives_the_filter_up_and_keys_on_a_block_act_on_what_is_shown_of_it(workbench):
    async with running(workbench, (80, 24)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        await pilot.press("slash", *"attn_v", "escape")
        await pilot.pause()
        assert grid.has_focus and grid.filter == "" and grid.selection.matching is None
        await pilot.press("slash", *"attn_v", "enter", "4")
        await pilot.pause()
        plan = workbench.plan
        assert [planned.tensor.role for planned in plan.tensors if planned.requested is Q4] == ["attn_v"]
        assert workbench.undo_label == "attn_v of block 0 → Q4_0"


async def test_results_are_narrowed_down_by_name_and_counted():
    table = ResultsTable(id="results")
    app = PaneApp(table)
    async with app.run_test(size=(100, 12)) as pilot:
        shape = llama_shape(12)
        table.show(
            [
                measured(resolve(shape, preset(name, shape)), 20.0)
                for name in ("uniform_q4_0", "ffn_q8", "attention_q8")
            ]
        )
        table.show_filter("q8 !ffn")
        await pilot.pause()
        assert "attention_q8" in text_of(table) and "ffn_q8" not in text_of(table)
        assert "/q8 !ffn 1 of 3" in str(table.border_subtitle)
        for text in ("[nothing", "[/", "{no.command}"):
            table.show_filter(text)
            await pilot.pause()
            assert f"no recipe here goes by /{text}" in text_of(table)
            assert f"/{text} 0 of 3" in screen_text(app)
        await pilot.press("escape")
        assert "uniform_q4_0" in text_of(table)
