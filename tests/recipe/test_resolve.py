"""`resolve` decides what llama-quantize decides: asked of llama.cpp itself, in dry runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from header_zoo import ZOO_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from real_headers import REAL, write_real
from stock_quantize import Outcome, StockQuantizer, exact_patterns

from lqtui.llama import native
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, file_type_for, parse_file_type
from lqtui.recipe.mixes import Mix
from lqtui.recipe.recipe import Recipe, resolve
from lqtui.recipe.rules import fitting_type, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType, parse_type, type_from_number

MIXES = [file_type for file_type in FileType if file_type.is_quantized]
ANY_MATRIX = {"of no tensor": [1.0]}
"""What llama-quantize decides by is that there is an importance matrix, not what is in it."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Headers of models that people quantize, by their names."""
    return write_real(tmp_path_factory.mktemp("real"))


def assert_same(shape: ModelShape, recipe: Recipe, stock: Outcome) -> None:
    """Both refuse, or both give every tensor the same type and print the same total."""
    try:
        plan = resolve(shape, recipe)
    except RecipeError:
        assert not stock.done, "llama-quantize goes through where resolve refuses"
        return
    assert stock.done, stock.log[-500:]
    assert {p.name: p.effective for p in plan.tensors} == stock.types
    assert [p.name for p in plan.tensors] == list(stock.types)
    assert f"{plan.data_bytes / 2**20:.2f} MiB ({plan.bits_per_weight:.2f} BPW)" == stock.total


def assert_every_mix_is_llama_quantizes(path: Path, stock: StockQuantizer) -> None:
    """Every file type gives every tensor llama-quantize's type, without an importance matrix and with one."""
    with BaseModel(path) as base:
        shape = base.shape
    for file_type in FileType:
        assert_same(shape, Recipe("mix", file_type), stock.dry_run(path, file_type))
        if not file_type.is_quantized:
            continue
        weighed = stock.dry_run(path, file_type, weights=ANY_MATRIX)
        mix = Mix(shape, file_type, has_imatrix=True)
        chosen = {tensor: mix.type_for(tensor) for tensor in quantizable_tensors(shape)}
        try:
            types = {tensor.name: fitting_type(tensor, kind) for tensor, kind in chosen.items()}
        except RecipeError:
            assert not weighed.done, "llama-quantize goes through where no type fits"
        else:
            assert types == {name: weighed.types[name] for name in types}, file_type


@pytest.mark.parametrize("tensor_type", TensorType)
def test_the_table_of_types_is_ggmls_own(tensor_type: TensorType) -> None:
    lib, layout = native.ggml(), tensor_type.layout
    assert lib.ggml_type_name(layout.number).decode().upper() == tensor_type
    assert lib.ggml_blck_size(layout.number) == layout.block_size
    assert lib.ggml_type_size(layout.number) == layout.block_bytes
    traits = lib.ggml_get_type_traits(layout.number).contents
    assert traits.is_quantized == tensor_type.is_quantized
    assert type_from_number(layout.number) is tensor_type
    assert 8 * layout.block_bytes / layout.block_size == tensor_type.bits_per_weight


def test_no_type_that_ggml_can_write_is_missing() -> None:
    lib, known = native.ggml(), {t.layout.number for t in TensorType}
    missing = [lib.ggml_type_name(n) for n in range(43) if lib.ggml_blck_size(n) and n not in known]
    assert missing == [b"q8_1", b"q8_K"], "these two exist only inside a computation"


def test_each_file_type_has_llama_cpps_number_and_default_type() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    for file_type in FileType:
        names = (f"LLAMA_FTYPE_MOSTLY_{file_type}", f"LLAMA_FTYPE_ALL_{file_type}")
        numbers = [getattr(llama_cpp, name) for name in names if hasattr(llama_cpp, name)]
        assert numbers in ([file_type.number], []), f"{file_type} has another number in llama.cpp"
        assert parse_file_type(f" {file_type.lower()} ") is file_type


@pytest.mark.parametrize("tensor_type", TARGET_TYPES)
def test_every_type_that_can_be_written_can_be_asked_for(tensor_type: TensorType) -> None:
    assert parse_type(tensor_type.lower()) is tensor_type
    assert file_type_for(tensor_type).default_type is tensor_type or tensor_type is TensorType.NVFP4


@pytest.mark.parametrize("name", ZOO_NAMES)
def test_every_mix_is_llama_quantizes_on_what_its_rules_tell_apart(
    name: str, zoo: dict[str, Path], stock: StockQuantizer
) -> None:
    assert_every_mix_is_llama_quantizes(zoo[name], stock)


@pytest.mark.parametrize("name", REAL)
def test_every_mix_is_llama_quantizes_on_models_that_people_quantize(
    name: str, real: dict[str, Path], stock: StockQuantizer
) -> None:
    assert_every_mix_is_llama_quantizes(real[name], stock)


def test_every_mix_is_llama_quantizes_on_the_demo(demo_model: Path, stock: StockQuantizer) -> None:
    assert_every_mix_is_llama_quantizes(demo_model, stock)


@pytest.mark.reference
def test_every_mix_is_llama_quantizes_on_smollm2(smollm2: Path, stock: StockQuantizer) -> None:
    assert_every_mix_is_llama_quantizes(smollm2, stock)


def test_an_importance_matrix_makes_some_mixes_choose_otherwise(demo_shape: ModelShape) -> None:
    def types(file_type: FileType, has_imatrix: bool) -> list[TensorType]:
        mix = Mix(demo_shape, file_type, has_imatrix)
        return [mix.type_for(tensor) for tensor in quantizable_tensors(demo_shape)]

    changed = {file_type for file_type in MIXES if types(file_type, True) != types(file_type, False)}
    assert changed == {"Q4_0", "Q5_0", "IQ4_NL", "IQ4_XS", "IQ3_XXS"}


@pytest.mark.parametrize("name", ZOO_NAMES)
def test_every_type_falls_back_as_in_llama_quantize(
    name: str, zoo: dict[str, Path], zoo_shapes: dict[str, ModelShape], stock: StockQuantizer
) -> None:
    names = [tensor.name for tensor in quantizable_tensors(zoo_shapes[name])]
    for wanted in TARGET_TYPES:
        recipe = Recipe("all", FileType.Q8_0, dict.fromkeys(names, wanted))
        assert_same(zoo_shapes[name], recipe, stock.dry_run(zoo[name], FileType.Q8_0, [(".*", wanted)]))


@settings(max_examples=250)
@given(data=st.data())
def test_any_recipe_gives_llama_quantizes_types(
    data: st.DataObject, zoo: dict[str, Path], zoo_shapes: dict[str, ModelShape], stock: StockQuantizer
) -> None:
    name = data.draw(st.sampled_from([n for n in ZOO_NAMES if "80" not in n and n not in ("70B", "65B")]))
    shape = zoo_shapes[name]
    names = [tensor.name for tensor in quantizable_tensors(shape)]
    recipe = Recipe(
        "random",
        data.draw(st.sampled_from(MIXES)),
        data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(TARGET_TYPES), max_size=40)),
    )
    assert_same(shape, recipe, stock.dry_run(zoo[name], recipe.base, exact_patterns(recipe.overrides)))
