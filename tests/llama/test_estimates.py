"""Estimates: the errors that whole tensors' weights have, from a sample of them, and how weights spread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import write_tiny_gemma3n, write_tiny_llama
from imatrices import random_imatrix
from numpy.typing import NDArray
from stock_quantize import StockQuantizer

from lqtui.llama import runtime
from lqtui.llama.activations import Activations, Moments, observe
from lqtui.llama.corpus import corpus_chunks
from lqtui.llama.errors import EngineError
from lqtui.llama.estimates import estimate_tensors
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import write_model
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.estimates import BlockEstimate, TensorEstimate
from lqtui.store.imatrix_file import open_imatrix

pytestmark = pytest.mark.usefixtures("engine")

ALL_OF_IT = 1 << 60
Q8_0, Q4_0, Q3_K = TensorType.Q8_0, TensorType.Q4_0, TensorType.Q3_K
LEGACY = [Q8_0, TensorType.Q5_1, TensorType.Q5_0, TensorType.Q4_1, Q4_0, TensorType.IQ4_NL]
TYPES = [*LEGACY, TensorType.Q6_K, TensorType.Q5_K, TensorType.Q4_K, Q3_K, TensorType.Q2_K]
FORMS = ["tied", "untied", "experts", "narrow", "split", "F32", "Q8_0", "gemma3n"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, stock: StockQuantizer) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    wide = {"blocks": 2, "width": 256, "ffn": 512}
    made = {
        "tied": write_tiny_llama(folder / "tied.gguf", **wide),
        "untied": write_tiny_llama(folder / "untied.gguf", tied=False, **wide),
        "experts": write_tiny_llama(folder / "experts.gguf", experts=4, **wide),
        "narrow": write_tiny_llama(folder / "narrow.gguf"),
        "split": write_tiny_llama(folder / "split.gguf", tensors_per_part=7, **wide),
        "F32": write_tiny_llama(folder / "f32.gguf", dtype=np.float32, **wide),
        "gemma3n": write_tiny_gemma3n(folder / "gemma3n.gguf", blocks=20),
    }
    made["Q8_0"] = folder / "q8.gguf"
    assert stock.write(made["F32"], made["Q8_0"], FileType.Q8_0).done
    return made


def observed(base: BaseModel, text: Path, n_ctx: int = 128) -> Activations:
    with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
        chunks = corpus_chunks(vocabulary, text, n_ctx, 2)
    return observe(base, chunks, 1, 0, lambda: None, lambda done, total: None)


def tensors_of(
    base: BaseModel, seen: Activations, types: list[TensorType] = TYPES, sampled: int = ALL_OF_IT
) -> dict[str, TensorEstimate]:
    found = estimate_tensors(base, seen, types, 1, sampled)
    return {one.name: one for one in found if isinstance(one, TensorEstimate)}


def weights_in(path: Path) -> dict[str, NDArray[np.float64]]:
    """All tensors of a file by the Python package's own decoding, shape (matrices, rows, columns)."""
    found = {}
    for tensor in gguf.GGUFReader(path).tensors:
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        rows, columns = (*([1] * (2 - weights.ndim)), *weights.shape)[-2:]
        found[tensor.name] = weights.reshape(-1, rows, columns)
    return found


def written(base: BaseModel, types: dict[str, TensorType], out: Path) -> dict[str, NDArray[np.float64]]:
    """What becomes of the base model's weights in a file with these types."""
    encodings = {name: Encoding(kind) for name, kind in types.items()}
    write_model(base, encodings, 1, out, None, 1, lambda done, total: None)
    return weights_in(out)


def product_sum(values: NDArray[np.float64], moments: Moments) -> float:
    expected = moments.squares[:, None, :] / moments.tokens
    return float((np.square(values) * expected).sum())


def lookup_sum(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    return float(np.average(np.square(values[0]).sum(axis=1), weights=counts))


# Errors


@pytest.mark.parametrize("form", FORMS)
def test_errors_are_those_of_the_whole_tensors_that_are_written(
    form: str, models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    with BaseModel(models[form]) as base:
        seen = observed(base, tiny_corpus)
        estimates = tensors_of(base, seen)
        own = written(base, {}, tmp_path / "own.gguf")
        free = quantizable_tensors(base.shape)
        assert list(estimates) == [tensor.name for tensor in free]
        for asked in TYPES if form == "tied" else (Q4_0, Q3_K):
            types = {tensor.name: effective_types(tensor, [asked])[0] for tensor in free}
            off = written(base, types, tmp_path / "out.gguf")
            for name, effective in types.items():
                product, lookup = estimates[name].product, estimates[name].lookup
                if product:
                    expected = product_sum(off[name] - own[name], seen.moments[name])
                    assert product.errors[effective] == pytest.approx(expected, rel=1e-3), (name, asked)
                if lookup:
                    expected = lookup_sum(off[name] - own[name], seen.lookups[name])
                    assert lookup.errors[effective] == pytest.approx(expected, rel=1e-3), (name, asked)
    for name, estimate in estimates.items():
        if estimate.product:
            assert estimate.product.power == pytest.approx(product_sum(own[name], seen.moments[name]))
        if estimate.lookup:
            assert estimate.lookup.power == pytest.approx(lookup_sum(own[name], seen.lookups[name]))


@pytest.mark.parametrize("form", ["tied", "experts", "narrow"])
def test_errors_by_an_importance_matrix_are_those_of_what_is_written_by_it(
    form: str, models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    types = [Q4_0, TensorType.IQ3_XXS, TensorType.IQ2_XS, TensorType.Q2_K]
    with BaseModel(models[form]) as base:
        imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", base.shape)).describe()
        seen = observed(base, tiny_corpus)
        found = estimate_tensors(base, seen, types, 1, ALL_OF_IT, imatrix)
        estimates = {one.name: one for one in found if isinstance(one, TensorEstimate)}
        own = written(base, {}, tmp_path / "own.gguf")
        free = [tensor for tensor in quantizable_tensors(base.shape) if tensor.block is not None]
        for asked in types:
            effective = {tensor.name: effective_types(tensor, [asked], imatrix)[0] for tensor in free}
            encodings = {tensor.name: imatrix.encoding(tensor, effective[tensor.name]) for tensor in free}
            out = tmp_path / "out.gguf"
            write_model(base, encodings, 1, out, None, 1, lambda done, total: None, imatrix)
            off = weights_in(out)
            for name, kind in effective.items():
                product = estimates[name].product
                assert product is not None
                expected = product_sum(off[name] - own[name], seen.moments[name])
                assert product.errors[kind] == pytest.approx(expected, rel=1e-3), (name, asked)


def test_the_error_is_that_of_the_output_where_inputs_are_uncorrelated(
    models: dict[str, Path], tmp_path: Path
) -> None:
    name = "blk.1.ffn_up.weight"
    with BaseModel(models["tied"]) as base:
        scales = np.random.default_rng(0).gamma(1, 1, 256)
        inputs = np.random.default_rng(1).standard_normal((20_000, 256)) * scales
        seen = Activations({name: moments_of(inputs)}, {}, {})
        estimate = tensors_of(base, seen, [Q4_0])[name].product
        off = written(base, {name: Q4_0}, tmp_path / "out.gguf")[name][0]
        own = written(base, {}, tmp_path / "own.gguf")[name][0]
    assert estimate is not None
    errors = np.square(inputs @ (off - own).T).sum(axis=1).mean()
    powers = np.square(inputs @ own.T).sum(axis=1).mean()
    assert estimate.errors[Q4_0] == pytest.approx(errors, rel=0.02)
    assert estimate.relative(Q4_0) == pytest.approx(errors / powers, rel=0.02)
    assert 0.001 < errors / powers < 0.02


def moments_of(inputs: NDArray[np.float64]) -> Moments:
    return Moments(np.square(inputs).sum(axis=0)[None], np.array([len(inputs)]), len(inputs))


@pytest.mark.parametrize(
    "form, embedding, output",
    [("tied", ("product", "lookup"), ()), ("untied", ("lookup",), ("product",))],
)
def test_an_embedding_is_judged_by_what_it_is_used_for(
    form: str,
    embedding: tuple[str, ...],
    output: tuple[str, ...],
    models: dict[str, Path],
    tiny_corpus: Path,
) -> None:
    with BaseModel(models[form]) as base:
        estimates = tensors_of(base, observed(base, tiny_corpus))
    for name, uses in (("token_embd.weight", embedding), ("output.weight", output)):
        if name in estimates:
            of = {"product": estimates[name].product, "lookup": estimates[name].lookup}
            assert tuple(use for use, error in of.items() if error) == uses
    assert ("output.weight" in estimates) == bool(output)


def test_what_the_model_never_reads_has_no_errors(models: dict[str, Path]) -> None:
    with BaseModel(models["tied"]) as base:
        estimates = tensors_of(base, Activations({}, {}, {}))
    assert {(estimate.product, estimate.lookup) for estimate in estimates.values()} == {(None, None)}


def test_an_expert_that_no_token_was_sent_to_does_no_harm(models: dict[str, Path], tiny_corpus: Path) -> None:
    name = "blk.0.ffn_up_exps.weight"
    with BaseModel(models["experts"]) as base:
        seen = observed(base, tiny_corpus)
        moments = seen.moments[name]
        alone = replace(moments, squares=moments.squares * [[0], [0], [1], [0]])
        silent = replace(moments, squares=moments.squares * 0)
        whole, part, none = (
            tensors_of(base, Activations({name: of}, {}, {}), sampled=sampled)[name].product
            for of, sampled in ((moments, ALL_OF_IT), (alone, 20_000), (silent, ALL_OF_IT))
        )
    assert whole and part and none
    assert 0 < part.errors[Q4_0] < whole.errors[Q4_0]
    assert set(none.errors.values()) == {0.0} and none.power == 0 == none.relative(Q4_0)


def test_the_type_that_a_tensor_has_does_no_harm(models: dict[str, Path], tiny_corpus: Path) -> None:
    with BaseModel(models["Q8_0"]) as base:
        seen = observed(base, tiny_corpus)
        for estimate in tensors_of(base, seen, [Q8_0, TensorType.F32, Q4_0]).values():
            for use in (estimate.product, estimate.lookup):
                if use:
                    assert use.errors[Q8_0] == use.errors[TensorType.F32] == 0
                    assert use.errors[Q4_0] > 0


def test_types_are_those_that_llama_quantize_would_write_each_once() -> None:
    wide, narrow = (TensorInfo("blk.0.ffn_up.weight", (n, 8), TensorType.F16) for n in (256, 96))
    assert effective_types(wide, TYPES) == tuple(TYPES)
    assert effective_types(narrow, TYPES) == tuple(LEGACY)
    possible = set(effective_types(wide, TARGET_TYPES))
    assert {t for t in TARGET_TYPES if t not in possible} == {t for t in TARGET_TYPES if t.needs_imatrix}
    odd = TensorInfo("blk.0.ffn_up.weight", (100, 8), TensorType.F16)
    assert effective_types(odd, TARGET_TYPES[2:]) == (TensorType.BF16, TensorType.F16)


def test_every_type_that_can_be_written_can_be_estimated(models: dict[str, Path], tiny_corpus: Path) -> None:
    possible = [tensor_type for tensor_type in TARGET_TYPES if not tensor_type.needs_imatrix]
    with BaseModel(models["tied"]) as base:
        estimates = tensors_of(base, observed(base, tiny_corpus), possible, 1 << 12)
    product = estimates["blk.0.ffn_up.weight"].product
    assert product
    errors = [product.relative(tensor_type) for tensor_type in possible]
    assert errors[:2] == [0, 0] and 0 < errors[2] < min(errors[3:])  # F32 and F16, and then BF16
    assert max(errors) < 1


# Samples


SAMPLED = 1 << 14
"""Weights, of 16,384 to 262,144 that the demo's tensors have: 64 stretches of 256."""


def test_sampled_errors_lie_within_10_percent_of_whole_ones_and_nine_of_ten_within_3(
    demo_model: Path, english: Path
) -> None:
    with BaseModel(demo_model) as base:
        seen = observed(base, english)
        types = [Q8_0, Q4_0, Q3_K]
        whole, sampled = (tensors_of(base, seen, types, size) for size in (ALL_OF_IT, SAMPLED))
    ratios = [
        theirs.errors[t] / mine.errors[t]
        for name in whole
        for mine, theirs in (
            (whole[name].product, sampled[name].product),
            (whole[name].lookup, sampled[name].lookup),
        )
        if mine and theirs
        for t in types
    ]
    assert len(ratios) == 3 * (1 + len(whole))
    off = np.abs(np.log(ratios))
    assert 0 < np.quantile(off, 0.9) < 0.03 and off.max() < 0.1


def test_what_few_weights_and_inputs_hold_is_told_from_a_sample_too(tmp_path: Path) -> None:
    """Trained models have single weights that hold most of a tensor's output."""
    name, path = "blk.0.ffn_up.weight", write_tiny_llama(tmp_path / "m.gguf", blocks=1, width=512, ffn=1024)
    raw = bytearray(path.read_bytes())
    with BaseModel(path) as base:
        at = bytes(raw).index(base.data(name).tobytes())
    half = np.frombuffer(raw, np.float16, 512 * 1024, at)
    half[np.random.default_rng(6).integers(len(half), size=12)] *= np.float16(100)
    path.write_bytes(raw)
    inputs = np.random.default_rng(7).standard_normal((500, 512))
    inputs[:, [3, 70]] *= 50
    with BaseModel(path) as base:
        seen = Activations({name: moments_of(inputs)}, {}, {})
        whole, sampled = (tensors_of(base, seen, TYPES, size)[name].product for size in (ALL_OF_IT, 1 << 16))
    assert whole and sampled and whole.power == sampled.power
    for tensor_type in TYPES:
        assert sampled.errors[tensor_type] == pytest.approx(whole.errors[tensor_type], rel=0.1)


# What is told in which order


def test_blocks_come_after_the_last_of_their_tensors_in_the_order_of_the_file(
    models: dict[str, Path], tiny_corpus: Path
) -> None:
    with BaseModel(models["tied"]) as base:
        told = list(estimate_tensors(base, observed(base, tiny_corpus), [Q4_0], 2))
        names = [tensor.name for tensor in quantizable_tensors(base.shape)]
    order = [one.name if isinstance(one, TensorEstimate) else one.block for one in told]
    assert order == [*names[:8], 0, *names[8:], 1]


def test_the_number_of_threads_changes_no_number(models: dict[str, Path], tiny_corpus: Path) -> None:
    with BaseModel(models["gemma3n"]) as base:
        seen = observed(base, tiny_corpus)
        alone, together = (list(estimate_tensors(base, seen, TYPES, threads, 1 << 12)) for threads in (1, 4))
    assert alone == together


# Blocks, and how weights spread


@pytest.mark.parametrize("form", ["tied", "experts", "Q8_0"])
def test_zd_is_over_all_weights_of_a_blocks_quantizable_tensors(
    form: str, models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    with BaseModel(models[form]) as base:
        seen = observed(base, tiny_corpus)
        told = [one for one in estimate_tensors(base, seen, [], 1) if isinstance(one, BlockEstimate)]
        own = written(base, {}, tmp_path / "own.gguf")
        for one in told:
            names = [tensor.name for tensor in quantizable_tensors(base.shape) if tensor.block == one.block]
            weights = np.concatenate([own[name].reshape(-1) for name in names])
            z = (weights - weights.mean()) / weights.std()
            assert one.zd == pytest.approx(np.mean(z > 1))
            assert one.zd_two_sided == pytest.approx(np.mean(np.abs(z) > 1))
            assert one.lim == -seen.cosines[one.block]
    assert [one.block for one in told] == [0, 1]


def test_a_block_whose_hidden_states_cannot_be_told_has_no_lim(models: dict[str, Path]) -> None:
    with BaseModel(models["tied"]) as base:
        told = list(estimate_tensors(base, Activations({}, {}, {1: 0.25}), [], 1))
    assert [one.lim for one in told if isinstance(one, BlockEstimate)] == [None, -0.25]


def test_kurtosis_and_outliers_are_those_of_all_weights(demo_model: Path, tmp_path: Path) -> None:
    with BaseModel(demo_model) as base:
        estimates = tensors_of(base, Activations({}, {}, {}), [])
    own = weights_in(demo_model)
    for name, estimate in estimates.items():
        z = (own[name] - own[name].mean()) / own[name].std()
        assert estimate.excess_kurtosis == pytest.approx(np.mean(z**4) - 3, abs=1e-4)
        assert estimate.outlier_share == pytest.approx(np.mean(np.abs(z) > 6))
    assert max(estimate.outlier_share for estimate in estimates.values()) > 0


# What cannot be


def damaged(path: Path, value: float) -> Path:
    raw = bytearray(path.read_bytes())
    with BaseModel(path) as base:
        at = bytes(raw).index(base.data("blk.1.ffn_down.weight").tobytes())
    raw[at : at + 4] = np.float32(value).tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    "value, sentence",
    [(np.inf, "infinite or undefined values"), (1e30, "weights that are far too large to be right")],
)
def test_weights_that_no_trained_model_has_are_a_sentence(
    value: float, sentence: str, tmp_path: Path
) -> None:
    path = damaged(write_tiny_llama(tmp_path / "broken.gguf", dtype=np.float32), value)
    with BaseModel(path) as base, pytest.raises(EngineError, match=rf"blk\.1\.ffn_down\.weight .*{sentence}"):
        tensors_of(base, Activations({}, {}, {}))
