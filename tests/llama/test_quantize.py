"""The file that lqtui writes is, byte for byte, the file that llama.cpp's own quantizer writes."""

from __future__ import annotations

import filecmp
import itertools
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stock_quantize import StockQuantizer, exact_patterns

from lqtui.export.script import export_script
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import fill_pool, write_model
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.pool import Pool, PoolEntry

TYPES = [t for t in TARGET_TYPES if not t.needs_imatrix]
MIXES = [FileType.Q8_0, FileType.Q6_K, FileType.Q5_K_M, FileType.Q4_K_S, FileType.Q4_0, FileType.IQ4_XS]


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 256 and 512, which divide into the blocks of every type."""
    return write_tiny_llama(tmp_path_factory.mktemp("wide") / "wide.gguf", blocks=2, width=256, ffn=512)


@pytest.fixture(scope="module")
def wide_shape(wide_model: Path) -> ModelShape:
    with BaseModel(wide_model) as base:
        return base.shape


@pytest.fixture(scope="module")
def forms(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, stock: StockQuantizer
) -> dict[str, Path]:
    """The tiny model in every form in which a base model comes."""
    folder = tmp_path_factory.mktemp("bases")
    bf16, q8 = folder / "bf16.gguf", folder / "q8.gguf"
    f32 = write_tiny_llama(folder / "f32.gguf", dtype=np.float32)
    assert stock.write(f32, bf16, FileType.BF16).done
    assert stock.write(f32, q8, FileType.Q8_0).done
    return {
        "F16": tiny_model,
        "F32": f32,
        "BF16": bf16,
        "quantized": q8,
        "in parts": write_tiny_llama(folder / "parts.gguf", tensors_per_part=10),
        "with experts": write_tiny_llama(folder / "experts.gguf", experts=4),
        "untied": write_tiny_llama(folder / "untied.gguf", tied=False),
    }


def write(model: Path, recipe: Recipe, out: Path, entry: PoolEntry | None = None) -> Plan:
    with BaseModel(model) as base:
        plan = resolve(base.shape, recipe)
        if entry:
            with entry.lock():
                fill_pool(base, plan.encodings, entry, 2, lambda done, total: None)
        size = write_model(
            base, plan.encodings, plan.file_type.number, out, entry, 2, lambda done, total: None
        )
    assert size == plan.file_bytes == out.stat().st_size
    return plan


def assert_written_as_by_stock(
    model: Path, recipe: Recipe, folder: Path, stock: StockQuantizer, entry: PoolEntry | None = None
) -> None:
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    write(model, recipe, ours, entry)
    patterns = exact_patterns(recipe.overrides)
    outcome = stock.write(model, theirs, recipe.base, patterns, requantize=True)
    assert outcome.done, outcome.log[-500:]
    assert filecmp.cmp(ours, theirs, shallow=False)


@st.composite
def recipes(draw: st.DrawFn, shape: ModelShape) -> Recipe:
    names = st.sampled_from([tensor.name for tensor in quantizable_tensors(shape)])
    fitting = [t for t in TYPES if t.block_size <= 32 or t.layout.family == "K-quant"]
    overrides = draw(st.dictionaries(names, st.sampled_from(fitting), max_size=12))
    return Recipe("random", draw(st.sampled_from(MIXES)), overrides)


@pytest.mark.parametrize("tensor_type", TYPES)
def test_every_type_has_llama_cpps_bytes(
    tensor_type: TensorType, demo_model: Path, demo_shape: ModelShape, stock: StockQuantizer, tmp_path: Path
) -> None:
    names = [t.name for t in quantizable_tensors(demo_shape) if t.block in (None, 0, 22)]
    recipe = Recipe("all", FileType.Q4_0, dict.fromkeys(names, tensor_type))
    assert_written_as_by_stock(demo_model, recipe, tmp_path, stock)


@pytest.mark.parametrize("form", ["F16", "F32", "BF16", "quantized", "in parts", "with experts", "untied"])
@pytest.mark.parametrize("base", [FileType.F16, FileType.BF16, FileType.F32, FileType.Q8_0, FileType.Q4_K_M])
def test_every_form_of_base_model_gives_llama_cpps_file(
    form: str, base: FileType, forms: dict[str, Path], stock: StockQuantizer, tmp_path: Path
) -> None:
    assert_written_as_by_stock(forms[form], Recipe("mix", base), tmp_path, stock)


@pytest.mark.parametrize("base", [FileType.BF16, FileType.Q8_0, FileType.Q4_K_M, FileType.Q3_K_L])
def test_every_mix_of_24_blocks_gives_llama_cpps_file(
    base: FileType, demo_model: Path, stock: StockQuantizer, tmp_path: Path
) -> None:
    assert_written_as_by_stock(demo_model, Recipe("mix", base), tmp_path, stock)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_recipe_gives_llama_cpps_file_with_and_without_the_pool(
    data: st.DataObject, forms: dict[str, Path], stock: StockQuantizer, tmp_path: Path
) -> None:
    form = data.draw(st.sampled_from(sorted(forms)))
    with BaseModel(forms[form]) as base:
        recipe = data.draw(recipes(base.shape))
    # The pool stays from example to example: what it holds already is used again.
    entry = Pool(tmp_path / "pool").entry(form, "engine") if data.draw(st.booleans()) else None
    assert_written_as_by_stock(forms[form], recipe, tmp_path, stock, entry)


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        (FileType.Q2_K, {}),
        (FileType.Q2_K_S, {}),
        (FileType.IQ3_XXS, {}),
        (FileType.Q2_K_S, {"token_embd.weight": TensorType.Q2_K}),
        (FileType.Q8_0, {"token_embd.weight": TensorType.IQ3_XXS}),
        (FileType.Q8_0, {"token_embd.weight": TensorType.IQ2_XXS}),  # ends the process
        *[(FileType.Q8_0, {"blk.1.ffn_down.weight": t}) for t in TARGET_TYPES if t.needs_imatrix],
    ],
)
def test_what_lacks_an_importance_matrix_is_what_llama_cpp_cannot_write(
    base: FileType,
    overrides: dict[str, TensorType],
    wide_model: Path,
    wide_shape: ModelShape,
    stock: StockQuantizer,
    tmp_path: Path,
) -> None:
    outcome = stock.write(wide_model, tmp_path / "out.gguf", base, exact_patterns(overrides))
    assert outcome.done == (not resolve(wide_shape, Recipe("needy", base, overrides)).missing_imatrix)


@pytest.mark.parametrize("tensor_type", [TensorType.IQ2_XXS, TensorType.IQ2_XS, TensorType.IQ1_S])
def test_what_ggml_would_abort_on_is_an_error(
    tensor_type: TensorType, wide_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"token_embd\.weight cannot be written .* importance matrix"):
        recipe = Recipe("needy", FileType.Q8_0, {"token_embd.weight": tensor_type})
        write(wide_model, recipe, tmp_path / "out.gguf")


def test_undefined_weights_are_refused_and_nothing_is_written(
    tiny_model: Path, stock: StockQuantizer, tmp_path: Path
) -> None:
    damaged, out = tmp_path / "damaged.gguf", tmp_path / "out.gguf"
    contents = bytearray(tiny_model.read_bytes())
    with BaseModel(tiny_model) as base:
        offset = base._sources["blk.2.attn_q.weight"].offset
    contents[offset : offset + 2] = np.array([np.nan], np.float16).tobytes()
    damaged.write_bytes(contents)
    for base_type in (FileType.F16, FileType.BF16, FileType.Q4_0):
        assert not stock.write(damaged, tmp_path / "stock", base_type).done
        with pytest.raises(EngineError, match=r"blk\.2\.attn_q\.weight .* infinite or undefined"):
            write(damaged, Recipe("any", base_type), out)
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(("out", ".out"))] == []


def test_a_tensor_that_overflows_its_type_is_named(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "large.gguf", dtype=np.float32)
    contents = bytearray(model.read_bytes())
    with BaseModel(model) as base:
        offset = base._sources["blk.0.attn_k.weight"].offset
    contents[offset : offset + 4] = np.array([1e30], np.float32).tobytes()
    model.write_bytes(contents)
    with pytest.raises(EngineError, match=r"blk\.0\.attn_k\.weight cannot be written as F16"):
        write(model, Recipe("half", FileType.F16), tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("through", ["its own name", "a symbolic link", "another part"])
def test_the_base_model_is_never_overwritten(through: str, tmp_path: Path) -> None:
    model = out = write_tiny_llama(tmp_path / "m.gguf", tensors_per_part=10)
    if through == "a symbolic link":
        out = tmp_path / "link.gguf"
        out.symlink_to(model)
    if through == "another part":
        out = min(tmp_path.glob("m-00002-*"))
    before = out.read_bytes()
    with pytest.raises(EngineError, match="is the base model itself"):
        write(model, Recipe("uniform", FileType.Q4_0), out)
    assert out.read_bytes() == before


def assert_script_makes_our_file(model: Path, recipe: Recipe, tools: Path, folder: Path) -> None:
    ours, theirs, script = folder / "ours.gguf", folder / "theirs.gguf", folder / "recipe.sh"
    script.write_text(export_script(write(model, recipe, ours), model.name))
    environment = {**os.environ, "LLAMA_QUANTIZE": str(tools / "llama-quantize")}
    done = subprocess.run(
        ["bash", str(script), str(model), str(theirs)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert filecmp.cmp(ours, theirs, shallow=False)


@pytest.mark.reference
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_smollm2_presets_through_the_exported_script(
    name: str, smollm2: Path, smollm2_shape: ModelShape, llama_tools: Path, tmp_path: Path
) -> None:
    assert_script_makes_our_file(smollm2, preset(name, smollm2_shape), llama_tools, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("seed", range(20))
def test_random_smollm2_recipes_through_the_exported_script(
    seed: int, smollm2: Path, smollm2_shape: ModelShape, llama_tools: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    # I-quants would take minutes on a model of this size; they are proven on smaller ones.
    types = [t for t in TYPES if t.layout.family in ("float", "legacy", "K-quant") and t.block_size != 128]
    types.remove(TensorType.F32)
    bases = [FileType.Q8_0, FileType.Q6_K, FileType.Q5_0, FileType.Q4_1, FileType.Q4_0]
    share = random.uniform(0.05, 1)
    names = [tensor.name for tensor in quantizable_tensors(smollm2_shape)]
    overrides = {name: types[random.integers(len(types))] for name in names if random.random() < share}
    recipe = Recipe(f"random {seed}", bases[seed % len(bases)], overrides)
    assert_script_makes_our_file(smollm2, recipe, llama_tools, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("base", [FileType.Q5_K_M, FileType.Q3_K_S, FileType.IQ4_XS, FileType.IQ4_NL])
def test_mixes_of_every_type_through_the_exported_script(
    base: FileType, demo_model: Path, demo_shape: ModelShape, llama_tools: Path, tmp_path: Path
) -> None:
    names = [tensor.name for tensor in quantizable_tensors(demo_shape) if (tensor.block or 0) % 4 == 0]
    recipe = Recipe("all kinds", base, dict(zip(names, itertools.cycle(TYPES), strict=False)))
    assert_script_makes_our_file(demo_model, recipe, llama_tools, tmp_path)
