"""`lqtui inspect`: what a type makes of a tensor, for scripts and for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from imatrices import random_imatrix

from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import as_floats, quantized
from lqtui.recipe.types import TensorType
from tests.cli.running import document, lqtui, refused

NAME = "blk.3.ffn_down"


def test_the_numbers_are_those_of_ggmls_quantization(demo_model: Path) -> None:
    found = document(lqtui("inspect", demo_model, NAME, "--type", "q4_0", "--block", "7", "--json"))
    with BaseModel(demo_model) as base:
        tensor = base.shape.by_name[f"{NAME}.weight"]
        weights = as_floats(base.data(tensor.name).reshape(tensor.rows, -1), tensor.type)
        values = as_floats(quantized(weights, tensor, TensorType.Q4_0), TensorType.Q4_0)
    off = (values - weights).astype(np.float64)
    told = found["quantized"]
    assert (found["tensor"], found["type"], told["type"]) == (tensor.name, "F16", "Q4_0")
    assert told["rmse"] == pytest.approx(np.sqrt(np.mean(off**2)))
    assert told["relative_error"] == pytest.approx(np.linalg.norm(off) / np.linalg.norm(weights))
    assert told["max_error"] == pytest.approx(np.abs(off).max())
    assert told["snr_db"] == pytest.approx(-20 * np.log10(told["relative_error"]))
    assert sum(found["histogram"]["counts"]) + found["histogram"]["below"] + found["histogram"]["above"] == (
        tensor.n_weights
    )
    assert sum(told["scales"]["counts"]) == tensor.n_weights // 32
    block = found["block"]
    assert (block["number"], block["row"], block["column"]) == (7, 0, 224)
    assert block["weights"] == weights.reshape(-1)[224:256].tolist()
    assert block["values"] == values.reshape(-1)[224:256].tolist()
    assert len(block["levels"]) == 16 and block["levels_are"] == "decoded"
    assert all(min(abs(np.array(block["levels"]) - value)) < 1e-7 for value in block["values"])


def test_for_people_it_is_drawn(demo_model: Path) -> None:
    said = lqtui("inspect", demo_model, NAME, "--block", "7").stdout
    lines = said.splitlines()
    assert lines[0] == "blk.3.ffn_down.weight of lqtui-demo: 256 × 256, F16, 65,536 weights"
    assert "F16 → Q4_0, 4.5 bits per weight:" in lines
    assert "block 7 of 2,048 (row 0, columns 224 to 255): scale" in said and "of 16 values in use" in said
    assert said.count("●") > 16 and said.count("│") > 50 and "⣿" in said
    assert max(map(len, lines)) <= 100


def test_of_types_that_are_not_decoded_the_values_that_occur_are_told(demo_model: Path) -> None:
    found = document(lqtui("inspect", demo_model, NAME, "--type", "Q6_K", "--json"))
    assert found["quantized"]["weights_in_block"] == 16
    block = found["block"]
    assert block["levels_are"] == "those that occur" and block["levels"] == sorted(set(block["values"]))
    assert "different values occur" in lqtui("inspect", demo_model, NAME, "--type", "Q6_K").stdout


def test_a_tensor_that_is_never_quantized_has_statistics_alone(demo_model: Path) -> None:
    found = document(lqtui("inspect", demo_model, "output_norm", "--json"))
    assert found["weights"] == 256 and found["quantized"] is None and found["block"] is None


def test_floats_have_no_blocks(demo_model: Path) -> None:
    found = document(lqtui("inspect", demo_model, NAME, "--type", "BF16", "--json"))
    assert 0 < found["quantized"]["relative_error"] < 0.01 and found["block"] is None
    same = document(lqtui("inspect", demo_model, NAME, "--type", "F16", "--json"))["quantized"]
    assert same["rmse"] == 0 and same["snr_db"] is None


def test_an_importance_matrix_opens_the_types_that_need_one(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "wide.gguf", width=256, ffn=256, blocks=1)
    refused(lqtui("inspect", model, "blk.0.ffn_up", "--type", "IQ2_XXS"), "needs an importance matrix")
    with BaseModel(model) as base:
        matrix = random_imatrix(tmp_path / "matrix.gguf", base.shape)
    arguments = ["blk.0.ffn_up", "--type", "IQ2_XXS", "--imatrix", str(matrix), "--json"]
    assert document(lqtui("inspect", model, *arguments))["quantized"]["relative_error"] < 1


def test_the_output_error_is_told_where_it_was_estimated(demo_model: Path, quick: list[str]) -> None:
    same_text = [*quick[:4], "--json"]
    before = document(lqtui("inspect", demo_model, NAME, *same_text))["quantized"]
    assert before["weighted_error"] is None
    document(lqtui("sensitivity", demo_model, "--estimate", *quick, "--json"))
    told = document(lqtui("inspect", demo_model, NAME, *same_text))["quantized"]
    assert 0 < told["weighted_error"] < 0.1
    assert "error of the output, estimated" in lqtui("inspect", demo_model, NAME, *quick[:4]).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["blk.3.ffn_dwn"], "has no tensor 'blk.3.ffn_dwn'; did you mean blk.3.ffn_down?"),
        (["nonsense!"], "has no tensor 'nonsense!'; its first is"),
        (["blk.3.ffn_down", "--type", "Q4_K"], "rows of 96 of blk.3.ffn_down.weight fall back to Q5_0"),
        (["blk.3.ffn_down", "--type", "Q1_0"], "do not divide into blocks of 128"),
        (["blk.3.ffn_down", "--type", "Q9"], "unknown tensor type 'Q9'"),
        (["blk.3.ffn_down", "--block", "192"], "has Q4_0 blocks 0 to 191, and 192 is none"),
        (["output_norm", "--type", "Q4_0"], "llama-quantize never changes output_norm.weight"),
        (["blk.3.ffn_down", "--imatrix", "none.gguf"], "none.gguf"),
    ],
)
def test_what_cannot_be_inspected_is_one_sentence(
    arguments: list[str], sentence: str, tiny_model: Path
) -> None:
    refused(lqtui("inspect", tiny_model, *arguments), sentence)
