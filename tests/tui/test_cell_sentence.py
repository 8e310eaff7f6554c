"""What the status line says of the cell under the cursor, from long to short."""

from __future__ import annotations

import msgspec
import pytest
from driving import Q4, Q8, running, status
from fakes import FakeWorkbench
from model_shapes import llama_shape

from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.presets import preset
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Plan, base_recipe, resolve, with_imatrix, with_type
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.cell_sentence import sentences
from lqtui.tui.widgets.grid_layout import grid_layout
from lqtui.tui.widgets.grid_selection import GridSelection, Scope

SHAPE = llama_shape()
NAME = "blk.0.attn_q.weight"
BASE = resolve(SHAPE, base_recipe(SHAPE))


def said(plan: Plan, *, scope: Scope = Scope.TENSOR) -> tuple[str, ...]:
    return sentences(plan, GridSelection(grid_layout(SHAPE), scope, row=1, column=0))


def changed(tensor_type: TensorType, *, plan: Plan = BASE) -> Plan:
    return resolve(SHAPE, with_type(plan, [NAME], tensor_type))


def test_a_tensor_is_told_with_its_name_its_shape_its_types_and_its_bytes() -> None:
    assert said(BASE)[0] == "blk.0.attn_q, 576×576: F16 as in the base model, 0.63 MiB."
    assert said(changed(Q4))[0] == "blk.0.attn_q, 576×576: Q4_0 in place of F16, 0.18 of 0.63 MiB."


def test_a_fallback_is_told_with_the_type_that_was_asked_for_and_the_reason() -> None:
    wordings = said(changed(TensorType.Q6_K))
    assert wordings[0] == (
        "blk.0.attn_q, 576×576: Q6_K needs rows divisible by 256; rows of 576 fall back to Q8_0; "
        "0.34 of 0.63 MiB."
    )
    assert wordings[1] == "blk.0.attn_q: Q6_K asked, rows of 576 fall back to Q8_0; 0.34 MiB."


def test_weights_that_come_from_a_file_or_by_a_matrix_say_so() -> None:
    file = QuantizedFile("/models/of-others.gguf", "a" * 64, {t.name: Q8 for t in SHAPE.tensors})
    recipe = preset("uniform_q4_0", SHAPE)
    copied = resolve(SHAPE, msgspec.structs.replace(recipe, overrides={NAME: Q8}, file=file))
    assert "Q8_0, copied from of-others.gguf, 0.34 of 0.63 MiB" in said(copied)[0]
    sizes = {tensor.name: tensor.columns for tensor in quantizable_tensors(SHAPE)}
    matrix = with_imatrix(recipe, Imatrix("/m.gguf", "b" * 64, sizes, "text", 100))
    assert "Q4_0 by the importance matrix, 0.18" in said(changed(Q4, plan=resolve(SHAPE, matrix)))[0]


def test_a_block_tells_its_types_and_how_many_of_its_tensors_fell_back() -> None:
    assert said(changed(TensorType.Q6_K), scope=Scope.BLOCK)[-1] == (
        "Block 0: 6 F16, 1 Q8_0, 6.5 MiB of 6.8; 1 fell back (≠)."
    )


@pytest.mark.parametrize("plan", [BASE, changed(Q4), changed(TensorType.Q6_K)], ids=["base", "Q4_0", "Q6_K"])
def test_each_wording_is_shorter_than_the_one_before_and_the_last_fits_the_smallest_screen(plan) -> None:
    lengths = [len(wording) for wording in said(plan)]
    assert lengths == sorted(lengths, reverse=True) and lengths[-1] <= 58


async def test_the_status_line_takes_the_longest_wording_that_fits() -> None:
    async with running(FakeWorkbench(SHAPE)) as pilot:
        pilot.app.workbench.assign([NAME], TensorType.Q6_K, "edit")
        await pilot.press("]")
        for width, part in ((120, "needs rows divisible by 256"), (80, "Q6_K asked"), (60, "Q8_0 for Q6_K")):
            await pilot.resize_terminal(width, 36)
            await pilot.pause()
            assert part in status(pilot) and "…" not in status(pilot)
