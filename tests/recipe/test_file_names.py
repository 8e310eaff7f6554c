"""The type that a GGUF file's name tells."""

from __future__ import annotations

import pytest

from lqtui.recipe.file_names import is_companion, type_in_name


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("qwen2-0_5b-instruct-fp16.gguf", "F16"),
        ("Meta-Llama-3.1-8B-Instruct-f32.gguf", "F32"),
        ("gemma-3-270m-it-BF16.gguf", "BF16"),
        ("qwen2-0_5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Qwen3-4B-UD-Q4_K_XL.gguf", "Q4_K_XL"),
        ("Q8_0/Qwen3-235B-A22B-Q8_0-00001-of-00006.gguf", "Q8_0"),
        ("BF16/model-00001-of-00002.gguf", "BF16"),
        ("llama-2-7b.Q4_0.gguf", "Q4_0"),
        ("Llama-3-8B-IQ2_XXS-imat.gguf", "IQ2_XXS"),
        ("BitNet-b1.58-TQ2_0.gguf", "TQ2_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("Phi-3-mini-4k-instruct-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("phi-3_Q5_K_S.gguf", "Q5_K_S"),
        ("ggml-model-f16-q5_1.gguf", "Q5_1"),
        ("Qwen3-0.6B.gguf", ""),
        ("model.gguf", ""),
        ("f16x-model.gguf", ""),
    ],
)
def test_the_last_type_in_the_name_counts_or_else_the_folders(path: str, told: str) -> None:
    assert type_in_name(path) == told


def test_what_goes_with_a_model_is_told_from_one() -> None:
    assert is_companion("mmproj-model-f16.gguf") and is_companion("x/Qwen3.imatrix.gguf")
    assert is_companion("my-lora-f16.gguf")
    assert not is_companion("lora/qwen-f16.gguf") and not is_companion("flora-f16.gguf")
