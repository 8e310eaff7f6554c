"""What the inspector says of a tensor is what ggml's own quantization does to it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from imatrices import random_imatrix
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.block_layouts import scales_of
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.inspecting import inspect_tensor, inspect_type
from lqtui.llama.quantize import as_floats, quantized
from lqtui.llama.sources import Sources
from lqtui.recipe.block_codes import CODES, RUNS
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.inspection import block_values
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TARGET_TYPES, TensorType

WIDE = [t for t in TARGET_TYPES if not t.impossible_without_imatrix]
QUANTIZED = [t for t in WIDE if t.is_quantized]
NAME = "blk.1.ffn_down.weight"
_MOST_LEVELS = {
    TensorType.Q6_K: 64,
    TensorType.Q5_K: 32,
    TensorType.Q4_K: 16,
    TensorType.Q3_K: 8,
    TensorType.Q2_K: 4,
    TensorType.IQ4_XS: 16,
    TensorType.IQ3_S: 16,
    TensorType.IQ3_XXS: 16,
    TensorType.IQ2_S: 6,
    TensorType.IQ1_M: 6,
    TensorType.NVFP4: 15,
    TensorType.TQ2_0: 3,
    TensorType.TQ1_0: 3,
}
"""How many values weights that share a scale can have, of the types whose layout is not decoded."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 256 and 512, which divide into the blocks of every type."""
    return write_tiny_llama(tmp_path_factory.mktemp("wide") / "wide.gguf", blocks=2, width=256, ffn=512)


@pytest.fixture
def base(model: Path) -> Iterator[BaseModel]:
    with BaseModel(model) as base:
        yield base


@pytest.fixture
def tensor(base: BaseModel) -> TensorInfo:
    return base.shape.by_name[NAME]


def weights_of(base: BaseModel, tensor: TensorInfo) -> NDArray[np.float32]:
    return as_floats(base.data(tensor.name).reshape(tensor.rows, -1), tensor.type)


def ggmls(base: BaseModel, tensor: TensorInfo, tensor_type: TensorType) -> NDArray[np.float32]:
    """The whole tensor quantized and dequantized by ggml in one call each."""
    native.ggml().ggml_quantize_init(tensor_type.layout.number)
    return as_floats(quantized(weights_of(base, tensor), tensor, tensor_type), tensor_type)


# The weights


def test_statistics_are_those_of_all_weights(base: BaseModel, tensor: TensorInfo) -> None:
    found = inspect_tensor(base, tensor, 0, 512).statistics
    weights = weights_of(base, tensor).astype(np.float64).reshape(-1)
    assert found.weights == weights.size
    assert (found.least, found.greatest) == (weights.min(), weights.max())
    assert found.mean == pytest.approx(weights.mean(), abs=1e-7)
    assert found.deviation == pytest.approx(weights.std())
    fourth = np.mean((weights - weights.mean()) ** 4)
    assert found.excess_kurtosis == pytest.approx(fourth / weights.var() ** 2 - 3, abs=1e-4)
    beyond = np.count_nonzero(np.abs(weights - weights.mean()) > 3 * weights.std())
    assert abs(found.outliers - beyond) <= 1
    assert found.outlier_share == pytest.approx(0.0027, abs=0.001), "the weights are drawn from a normal one"


def test_the_histogram_has_every_weight_in_it_or_beyond_its_ends(base: BaseModel, tensor: TensorInfo) -> None:
    histogram = inspect_tensor(base, tensor, 0, 512).statistics.histogram
    weights = weights_of(base, tensor)
    assert sum(histogram.counts) + histogram.below + histogram.above == weights.size
    counts, edges = np.histogram(weights, len(histogram.counts), (histogram.low, histogram.high))
    assert histogram.counts == counts.tolist()
    assert histogram.centres == pytest.approx((edges[:-1] + edges[1:]) / 2)


def test_a_tensor_of_one_value_has_a_histogram_too(base: BaseModel) -> None:
    found = inspect_tensor(base, base.shape.by_name["blk.0.attn_norm.weight"], 0, 512)
    assert found.statistics.deviation == 0 and sum(found.statistics.histogram.counts) == 256
    assert found.statistics.outliers == 0 and found.statistics.excess_kurtosis == 0


# Errors


@pytest.mark.parametrize("tensor_type", WIDE)
def test_errors_are_those_of_ggmls_own_values(
    base: BaseModel, tensor: TensorInfo, tensor_type: TensorType
) -> None:
    error = inspect_type(base, tensor, Encoding(tensor_type), 0, 512, threads=2).error
    weights = weights_of(base, tensor).astype(np.float64)
    off = ggmls(base, tensor, tensor_type) - weights
    assert error.weights == weights.size
    assert error.rmse == pytest.approx(np.sqrt(np.mean(off**2)))
    assert error.signal == pytest.approx(np.sqrt(np.mean(weights**2)))
    assert error.greatest == pytest.approx(np.abs(off).max())
    if tensor_type in (TensorType.F32, TensorType.F16):
        assert error.rmse == 0 and error.snr == math.inf
    else:
        assert error.relative == pytest.approx(np.linalg.norm(off) / np.linalg.norm(weights))
        assert error.snr == pytest.approx(10 * np.log10(np.sum(weights**2) / np.sum(off**2)))


def test_fewer_rows_tell_about_the_same_error(base: BaseModel, tensor: TensorInfo) -> None:
    whole = inspect_type(base, tensor, Encoding(TensorType.Q4_0), 0, 512).error
    some = inspect_type(base, tensor, Encoding(TensorType.Q4_0), 0, 512, sampled=10_000).error
    assert some.weights == 10_000 // tensor.columns * tensor.columns < whole.weights
    assert some.rmse == pytest.approx(whole.rmse, rel=0.05)


def test_an_importance_matrix_is_what_the_error_is_weighed_by(
    tmp_path: Path, base: BaseModel, tensor: TensorInfo
) -> None:
    path = random_imatrix(tmp_path / "matrix.gguf", base.shape)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sources = Sources({digest: path})
    plain = inspect_type(base, tensor, Encoding(TensorType.Q4_K), 0, 512).error
    weighed = inspect_type(base, tensor, Encoding(TensorType.Q4_K, digest), 0, 512, sources=sources).error
    assert weighed.rmse > plain.rmse, "it minimises another error than this one"
    lowest = inspect_type(base, tensor, Encoding(TensorType.IQ2_XXS, digest), 0, 512, sources=sources)
    assert lowest.error.relative < 1


def test_a_type_that_ggml_cannot_write_without_a_matrix_is_refused(
    base: BaseModel, tensor: TensorInfo
) -> None:
    with pytest.raises(EngineError, match="without an importance matrix"):
        inspect_type(base, tensor, Encoding(TensorType.IQ2_XXS), 0, 512)


# Blocks


@pytest.mark.parametrize("tensor_type", CODES)
def test_scales_and_codes_give_every_value_that_ggml_gives(
    base: BaseModel, tensor: TensorInfo, tensor_type: TensorType
) -> None:
    native.ggml().ggml_quantize_init(tensor_type.layout.number)
    raw = quantized(weights_of(base, tensor), tensor, tensor_type)
    values = as_floats(raw, tensor_type).reshape(-1, tensor_type.block_size)
    scales, minimums = scales_of(raw, tensor_type)
    levels = scales[:, None] * np.array(CODES[tensor_type], np.float32) + minimums[:, None]
    off = np.abs(values[:, :, None] - levels[:, None, :]).min(axis=2)
    assert off.max() <= 1e-6 * np.abs(values).max()
    is_used = np.isclose(levels[:, :, None], values[:, None, :], rtol=1e-5, atol=1e-9).any(axis=2)
    assert is_used.any(axis=0).sum() >= 0.7 * len(CODES[tensor_type]), "these codes are what is in use"


@pytest.mark.parametrize("tensor_type", QUANTIZED)
def test_a_run_of_weights_shares_one_scale(
    base: BaseModel, tensor: TensorInfo, tensor_type: TensorType
) -> None:
    assert tensor_type.block_size % RUNS[tensor_type] == 0
    read = inspect_tensor(base, tensor, 0, 4096)
    found = inspect_type(base, tensor, Encoding(tensor_type), 0, 4096)
    assert found.run == RUNS[tensor_type]
    most = _MOST_LEVELS.get(tensor_type, len(CODES.get(tensor_type, ())))
    for number in range(4096 // found.run):
        block = block_values(read, found, number)
        assert block is not None and len(block.weights) == len(block.values) == found.run
        assert len(set(block.values)) <= most
        assert block.are_decoded is (tensor_type in CODES)
        if not block.are_decoded:
            assert set(block.levels) == set(block.values)
            assert block.scale == max(map(abs, block.values))
    assert any(
        len(set(block_values(read, found, n).values)) > min(most, found.run) // 2
        for n in range(4096 // found.run)
    )


@pytest.mark.parametrize("first", [0, 5000, 10**9])
def test_a_window_anywhere_holds_ggmls_values(base: BaseModel, tensor: TensorInfo, first: int) -> None:
    weights = weights_of(base, tensor).reshape(-1)
    values = ggmls(base, tensor, TensorType.Q4_K).reshape(-1)
    read = inspect_tensor(base, tensor, first, 1000)
    found = inspect_type(base, tensor, Encoding(TensorType.Q4_K), first, 1000)
    assert read.first % 256 == 0 and read.first <= min(first, weights.size - 1)
    window = slice(read.first, read.first + len(read.window) // 4)
    assert min(first, weights.size - 1) in range(window.start, window.stop)
    assert np.array_equal(np.frombuffer(read.window, np.float32), weights[window])
    assert np.array_equal(np.frombuffer(found.values, np.float32), values[window])
    number = window.start // found.run + 2
    block = block_values(read, found, number)
    assert block is not None
    at = slice(number * found.run, (number + 1) * found.run)
    assert block.weights == tuple(weights[at]) and block.values == tuple(values[at])
    assert block_values(read, found, window.stop // found.run) is None
    assert window.start == 0 or block_values(read, found, window.start // found.run - 1) is None


def test_levels_are_marked_as_used_where_a_weight_takes_them(base: BaseModel, tensor: TensorInfo) -> None:
    read = inspect_tensor(base, tensor, 0, 512)
    found = inspect_type(base, tensor, Encoding(TensorType.Q4_0), 0, 512)
    block = block_values(read, found, 3)
    assert block is not None and len(block.levels) == 16
    assert len(block.used) == len(set(block.values)) < 16
    assert block.step == pytest.approx(abs(block.scale))


def test_the_scales_of_all_runs_are_in_their_histogram(base: BaseModel, tensor: TensorInfo) -> None:
    found = inspect_type(base, tensor, Encoding(TensorType.Q5_1), 0, 512)
    assert found.spread is not None
    assert sum(found.spread.counts) == tensor.n_weights // 32
    assert found.spread.high == np.abs(scales_of(_raw(base, tensor), TensorType.Q5_1).scales).max()


def _raw(base: BaseModel, tensor: TensorInfo) -> NDArray[np.uint8]:
    return quantized(weights_of(base, tensor), tensor, TensorType.Q5_1)


def test_floats_have_no_blocks(base: BaseModel, tensor: TensorInfo) -> None:
    found = inspect_type(base, tensor, Encoding(TensorType.BF16), 0, 512)
    assert found.run == 0 and found.spread is None and 0 < found.error.relative < 0.01
    assert block_values(inspect_tensor(base, tensor, 0, 512), found, 0) is None


def test_experts_and_an_already_quantized_base_can_be_inspected(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "experts.gguf", experts=4)
    with BaseModel(path) as base:
        tensor = base.shape.by_name["blk.0.ffn_up_exps.weight"]
        read = inspect_tensor(base, tensor, 20_000, 512)
        found = inspect_type(base, tensor, Encoding(TensorType.Q4_0), 20_000, 512)
        assert read.statistics.weights == found.error.weights == 4 * 96 * 64
        assert block_values(read, found, read.first // 32) is not None


def test_weights_too_large_to_count_with_are_refused(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "large.gguf", blocks=1, dtype=np.float32)
    with BaseModel(path) as base:
        at = path.read_bytes().index(base.data("blk.0.attn_q.weight")[:64].tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(np.float32(3e38).tobytes())
    with BaseModel(path) as base, pytest.raises(EngineError, match=r"weights up to 3e\+38, too large"):
        inspect_tensor(base, base.shape.by_name["blk.0.attn_q.weight"], 0, 32)
