"""The exported patterns give llama-quantize the plan, under every rule that it ever had for two matches."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from gguf_files import llama_tensors, write_header
from header_zoo import ZOO_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from stock_quantize import StockQuantizer

from lqtui.export.patterns import tensor_patterns
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType

SMALL = [name for name in ZOO_NAMES if name not in ("70B", "65B", "qwen2 of 80 blocks")]
QUANTIZED = [file_type for file_type in FileType if file_type.is_quantized]


def assert_reproduces(plan: Plan, model: Path, stock: StockQuantizer) -> None:
    """Stock llama.cpp makes the plan of its patterns, whichever of them it looks at first."""
    # llama-quantize lower-cases the patterns of its command line.
    given = [(p.argument.partition("=")[0].lower(), p.type) for p in tensor_patterns(plan)]
    expected = {planned.name: planned.effective for planned in plan.tensors}
    for order in (given, given[::-1]):
        outcome = stock.dry_run(model, plan.file_type, order)
        assert outcome.done, outcome.log[-500:]
        assert outcome.types == expected


def assert_disjoint(plan: Plan) -> None:
    for pattern in tensor_patterns(plan):
        assert pattern.pattern.startswith("^") and pattern.pattern.endswith("$")
        assert pattern.pattern == pattern.pattern.lower()
        assert "=" not in pattern.pattern
    names = [tensor.name for tensor in plan.shape.tensors]
    patterns = [re.compile(pattern.pattern) for pattern in tensor_patterns(plan)]
    for name in names:
        assert sum(bool(pattern.search(name)) for pattern in patterns) <= 1, name


@pytest.mark.parametrize("name", ZOO_NAMES)
@pytest.mark.parametrize("preset_name", PRESET_NAMES)
def test_every_preset_on_every_model(
    preset_name: str,
    name: str,
    zoo: dict[str, Path],
    zoo_shapes: dict[str, ModelShape],
    stock: StockQuantizer,
) -> None:
    plan = resolve(zoo_shapes[name], preset(preset_name, zoo_shapes[name]))
    assert_disjoint(plan)
    assert_reproduces(plan, zoo[name], stock)


@settings(max_examples=150)
@given(data=st.data())
def test_any_recipe_on_any_model(
    data: st.DataObject, zoo: dict[str, Path], zoo_shapes: dict[str, ModelShape], stock: StockQuantizer
) -> None:
    name = data.draw(st.sampled_from(SMALL))
    shape = zoo_shapes[name]
    names = [tensor.name for tensor in quantizable_tensors(shape)]
    overrides = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(TARGET_TYPES), max_size=40))
    try:
        plan = resolve(shape, Recipe("random", data.draw(st.sampled_from(QUANTIZED)), overrides))
    except RecipeError:
        return
    assert_disjoint(plan)
    assert_reproduces(plan, zoo[name], stock)


def test_an_unquantized_base_has_no_patterns(tiny_shape: ModelShape) -> None:
    assert tensor_patterns(resolve(tiny_shape, Recipe("half", FileType.F16))) == []


def test_a_base_whose_type_fits_few_tensors_is_told_the_others(
    zoo: dict[str, Path], zoo_shapes: dict[str, ModelShape], stock: StockQuantizer
) -> None:
    shape = zoo_shapes["rows of 64 and 128"]
    wide = {t.name for t in quantizable_tensors(shape) if t.columns % 128 == 0}
    types = {
        t.name: TensorType.Q1_0 if t.name in wide else TensorType.Q8_0 for t in quantizable_tensors(shape)
    }
    plan = resolve(shape, with_types(shape, "one bit", types))
    assert plan.file_type is FileType.Q1_0
    assert_reproduces(plan, zoo["rows of 64 and 128"], stock)


def test_patterns_are_grouped_as_a_person_would(zoo_shapes: dict[str, ModelShape]) -> None:
    shape = zoo_shapes["rows of 576"]
    patterns = tensor_patterns(resolve(shape, preset("first_4_layers_q8", shape)))
    assert patterns[0].what == "token_embd"
    assert len(patterns) == 2
    assert patterns[1].pattern.startswith(r"^blk\.(0|1|2|3)\.(attn_k|")
    assert patterns[1].what.startswith("blk 0-3: attn_k, ")


def test_hostile_tensor_names_are_matched_exactly(tmp_path: Path, stock: StockQuantizer) -> None:
    sizes = {"blocks": 2, "width": 64, "ffn": 96, "heads": 4, "kv_heads": 2}
    # Names that differ only where a careless pattern would not look.
    odd = [
        "Odd",
        "odd",
        "oDd",
        "o.d",
        "oxd",
        "a=b",
        "a b",
        "(x",
        "[x",
        "$x",
        "é",
        "ee",
        "x|y",
        "back\\",
    ]
    names = [f"{name}.weight" for name in odd] + [f"blk.1.{name}.weight" for name in odd]
    tensors = llama_tensors(**sizes, vocab=64) | dict.fromkeys(names, (32, 64))
    model = write_header(tmp_path / "odd.gguf", "llama", tensors, **sizes, vocab=64)
    with BaseModel(model) as base:
        types = itertools.cycle([TensorType.Q8_0, TensorType.Q5_0, TensorType.F16])
        plan = resolve(base.shape, Recipe("odd", FileType.Q4_0, dict(zip(names, types, strict=False))))
    assert_disjoint(plan)
    assert_reproduces(plan, model, stock)
