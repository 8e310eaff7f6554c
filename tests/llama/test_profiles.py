"""Profiles by layer type: planned, written and exported as llama.cpp itself makes them."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from stock_quantize import StockQuantizer

from lqtui.export.patterns import tensor_patterns
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import write_model
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import PROFILE_NAMES, preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.types import TensorType


@pytest.fixture(scope="module")
def bases(
    tmp_path_factory: pytest.TempPathFactory, demo_model: Path, stock: StockQuantizer
) -> dict[str, Path]:
    """Base models of every float type, with embeddings that are the output too and with others."""
    folder = tmp_path_factory.mktemp("bases")
    f32 = write_tiny_llama(folder / "f32.gguf", dtype=np.float32, tied=False)
    assert stock.write(f32, folder / "bf16.gguf", FileType.BF16).done
    return {
        "F16, tied": demo_model,
        "F16, with experts": write_tiny_llama(folder / "experts.gguf", experts=4),
        "F32": f32,
        "BF16": folder / "bf16.gguf",
    }


@pytest.mark.parametrize("base", ["F16, tied", "F16, with experts", "F32", "BF16"])
@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profiles_file_is_what_llama_quantize_makes_of_the_exported_patterns(
    name: str, base: str, bases: dict[str, Path], stock: StockQuantizer, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    with BaseModel(bases[base]) as model:
        plan = resolve(model.shape, preset(name, model.shape))
        write_model(model, plan.encodings, plan.file_type.number, ours, None, 1, lambda done, total: None)
    patterns = [(pattern.pattern, pattern.type) for pattern in tensor_patterns(plan)]
    outcome = stock.write(bases[base], theirs, plan.file_type, patterns)
    assert outcome.done, outcome.log[-500:]
    assert filecmp.cmp(ours, theirs, shallow=False)
    assert ours.stat().st_size == plan.file_bytes
    with BaseModel(ours) as written:
        types = {tensor.name: tensor.type for tensor in written.shape.tensors}
    assert types == {planned.name: planned.effective for planned in plan.tensors}
    assert types["token_embd.weight"] is TensorType.F32
