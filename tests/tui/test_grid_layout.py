"""The grid's rows and columns come from the model; a selection names exactly the tensors that it covers."""

from __future__ import annotations

from itertools import pairwise

from model_shapes import llama_shape, moe_shape

from lqtui.recipe.rules import quantizable_tensors
from lqtui.tui.widgets.grid_layout import grid_layout
from lqtui.tui.widgets.grid_selection import GridSelection, Scope


def labels(layout) -> list[tuple[str, str]]:
    return [(column.group, column.label) for column in layout.columns]


def test_llama_has_attention_and_ffn_columns_in_the_order_people_know():
    layout = grid_layout(llama_shape())
    assert labels(layout) == [
        *(("attn", label) for label in "qkvo"),
        *(("ffn", label) for label in "gud"),
    ]
    assert [row.label for row in layout.rows] == ["embd", *map(str, range(30)), "out"]
    assert layout.rows[-1].note == "= embd" and not layout.rows[-1].names


def test_experts_are_a_group_and_the_router_which_is_never_quantized_is_not_shown():
    layout = grid_layout(moe_shape())
    assert [name for name, _, _ in layout.groups] == ["attn", "experts"]
    assert layout.rows[-1].names == ("output.weight",)


def test_roles_that_lqtui_has_never_heard_of_still_get_columns():
    shape = llama_shape(2, roles={"attn_qkv": (576, 960), "wizardry": (576, 576), "ssm_in": (576, 576)})
    assert labels(grid_layout(shape)) == [("attn", "qkv"), ("ssm", "in"), ("other", "wizard")]


def test_every_quantizable_tensor_is_in_exactly_one_cell():
    for shape in (llama_shape(), moe_shape(), llama_shape(4, tied=False)):
        cells = [name for row in grid_layout(shape).rows for name in row.cells if name]
        assert sorted(cells) == sorted(t.name for t in quantizable_tensors(shape))


def test_columns_do_not_overlap():
    for shape in (llama_shape(), moe_shape()):
        columns = grid_layout(shape).columns
        for left, right in pairwise(columns):
            assert left.x + left.width <= right.x


def test_a_block_range_names_all_its_tensors():
    selection = GridSelection(grid_layout(llama_shape()), row=5).with_range_toggled().moved(2, 0)
    assert len(selection.tensors) == 3 * 7
    assert selection.title == "blocks 4-6"


def test_a_tensor_range_is_a_rectangle():
    layout = grid_layout(llama_shape())
    selection = GridSelection(layout, Scope.TENSOR, row=1, column=0).with_range_toggled().moved(1, 1)
    assert selection.tensors == (
        "blk.0.attn_q.weight",
        "blk.0.attn_k.weight",
        "blk.1.attn_q.weight",
        "blk.1.attn_k.weight",
    )
    assert selection.title == "attn_q, attn_k of blocks 0-1"


def test_select_all_widens_from_a_role_to_everything_and_comes_back():
    layout = grid_layout(llama_shape())
    cursor = GridSelection(layout, Scope.TENSOR, row=3, column=2)
    role = cursor.with_more_selected()
    assert role.tensors == tuple(f"blk.{n}.attn_v.weight" for n in range(30))
    everything = role.with_more_selected()
    assert len(everything.tensors) == 30 * 7 + 1
    assert everything.with_more_selected().tensors == cursor.tensors


def test_the_cursor_stays_in_the_grid():
    selection = GridSelection(grid_layout(llama_shape()))
    assert selection.moved(-5, -5) == selection
    assert selection.moved(99, 0).row == 31


def test_the_tied_output_has_nothing_to_set():
    selection = GridSelection(grid_layout(llama_shape()), row=31)
    assert selection.tensors == ()
