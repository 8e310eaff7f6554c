"""Changing a recipe: what was asked for stays asked for, whatever base the shortest form needs."""

from __future__ import annotations

import pytest
from header_zoo import ZOO_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Plan, Recipe, base_recipe, resolve, with_type, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType

SMALL = [name for name in ZOO_NAMES if name not in ("70B", "65B", "qwen2 of 80 blocks")]
SAFE = [t for t in TARGET_TYPES if t not in (TensorType.Q1_0, TensorType.NVFP4)]


def requested(plan: Plan) -> dict[str, TensorType]:
    return {planned.name: planned.requested for planned in plan.tensors if planned.quantizable}


def test_an_unquantized_base_gives_every_tensor_its_type_or_leaves_it(tiny_shape: ModelShape) -> None:
    plan = resolve(tiny_shape, Recipe("half", FileType.F16))
    assert plan.unchanged
    assert plan.digest == resolve(tiny_shape, base_recipe(tiny_shape)).digest


def test_types_on_an_unquantized_base_are_refused_because_llama_quantize_ignores_them(
    tiny_shape: ModelShape,
) -> None:
    recipe = Recipe("mixed", FileType.F16, {"blk.0.attn_q.weight": TensorType.Q8_0})
    with pytest.raises(RecipeError, match="ignores tensor types on an unquantized base"):
        resolve(tiny_shape, recipe)


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        ("blk.4.attn_q.weight", "it has blocks 0 to 3"),
        ("blk.0.attn_norm.weight", "never changes that tensor"),
    ],
)
def test_an_override_that_cannot_be_is_refused(tensor: str, sentence: str, tiny_shape: ModelShape) -> None:
    with pytest.raises(RecipeError, match=sentence):
        resolve(tiny_shape, Recipe("bad", FileType.Q4_0, {tensor: TensorType.Q8_0}))


def test_a_type_without_fallback_is_refused_where_rows_do_not_fit(tiny_shape: ModelShape) -> None:
    with pytest.raises(RecipeError, match=r"token_embd\.weight cannot be Q1_0: its rows of 64"):
        resolve(tiny_shape, Recipe("bad", FileType.Q8_0, {"token_embd.weight": TensorType.Q1_0}))


def test_each_departure_has_a_reason(tiny_shape: ModelShape) -> None:
    plan = resolve(tiny_shape, Recipe("k", FileType.Q4_K_S))
    assert plan.by_name["blk.0.attn_norm.weight"].reason.startswith("llama-quantize never changes")
    fallback = plan.by_name["blk.3.ffn_up.weight"]
    assert fallback.reason == "Q4_K needs rows divisible by 256; rows of 64 fall back to Q5_0"
    assert resolve(tiny_shape, Recipe("l", FileType.Q8_0)).by_name["blk.3.ffn_up.weight"].reason == ""


def test_all_f16_is_base_f16_without_overrides(tiny_shape: ModelShape) -> None:
    plan = resolve(tiny_shape, Recipe("u", FileType.Q4_0))
    names = [tensor.name for tensor in quantizable_tensors(tiny_shape)]
    recipe = with_type(plan, names, TensorType.F16)
    assert (recipe.base, dict(recipe.overrides)) == (FileType.F16, {})


@pytest.mark.parametrize("base", [f for f in FileType if f.is_quantized])
def test_a_uniform_recipe_is_named_by_its_type_and_needs_few_overrides(
    base: FileType, zoo_shapes: dict[str, ModelShape]
) -> None:
    shape = zoo_shapes["own heads"]
    plan = resolve(shape, Recipe("u", base))
    again = with_types(shape, "again", requested(plan))
    assert requested(resolve(shape, again)) == requested(plan)


@settings(max_examples=80)
@given(data=st.data())
def test_rebasing_changes_no_requested_and_no_effective_type(
    data: st.DataObject, zoo_shapes: dict[str, ModelShape]
) -> None:
    shape = zoo_shapes[data.draw(st.sampled_from(SMALL))]
    names = [tensor.name for tensor in quantizable_tensors(shape)]
    few = data.draw(st.lists(st.sampled_from(TARGET_TYPES), min_size=1, max_size=4))
    # One type for each role, with exceptions: how people choose.
    by_role = {t.role: data.draw(st.sampled_from(few)) for t in quantizable_tensors(shape)}
    types = {t.name: by_role[t.role] for t in quantizable_tensors(shape)}
    types |= data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(TARGET_TYPES), max_size=5))
    recipe = with_types(shape, "any", types)
    try:
        plan = resolve(shape, recipe)
    except RecipeError:
        assert any(t in types.values() for t in (TensorType.Q1_0, TensorType.NVFP4))
        return
    assert requested(plan) == types


@settings(max_examples=60)
@given(data=st.data())
def test_setting_tensors_sets_these_and_no_others(
    data: st.DataObject, zoo_shapes: dict[str, ModelShape]
) -> None:
    shape = zoo_shapes[data.draw(st.sampled_from(SMALL))]
    plan = resolve(
        shape, Recipe("start", data.draw(st.sampled_from([f for f in FileType if "1_0" not in f])))
    )
    for _ in range(4):
        chosen = data.draw(st.lists(st.sampled_from([t.name for t in shape.tensors]), max_size=20))
        tensor_type = data.draw(st.sampled_from(SAFE))
        expected = {n: tensor_type if n in chosen else t for n, t in requested(plan).items()}
        plan = resolve(shape, with_type(plan, chosen, tensor_type))
        assert requested(plan) == expected


def test_the_digest_tells_weights_apart_and_nothing_else(tiny_shape: ModelShape) -> None:
    uniform = resolve(tiny_shape, Recipe("a", FileType.Q4_0, description="one"))
    told = {p.name: p.effective for p in uniform.tensors if p.quantizable}
    assert resolve(tiny_shape, Recipe("b", FileType.Q5_0, told)).digest == uniform.digest
    told["blk.0.attn_q.weight"] = TensorType.Q8_0
    assert resolve(tiny_shape, Recipe("b", FileType.Q5_0, told)).digest != uniform.digest
