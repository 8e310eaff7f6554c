"""The published strategies, on SmolLM2's real shape and on the published model's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from gguf_files import llama_tensors, write_header

from lqtui.llama.gguf import BaseModel
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import MIX_NAMES, PRESET_NAMES, PROFILE_NAMES, preset, preset_name
from lqtui.recipe.recipe import resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

MIB = 1 << 20


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> ModelShape:
    """Qwen2-0.5B, the model of the published experiment: a header without weights."""
    sizes = {"blocks": 24, "width": 896, "ffn": 4864, "heads": 14, "kv_heads": 2}
    shapes = llama_tensors(**sizes, vocab=151936, bias=True)
    path = write_header(
        tmp_path_factory.mktemp("qwen2") / "qwen2.gguf", "qwen2", shapes, **sizes, vocab=151936
    )
    with BaseModel(path) as base:
        return base.shape


def q8_blocks(shape: ModelShape, name: str, *, as_published: bool = False) -> list[int]:
    plan = resolve(shape, preset(name, shape, as_published=as_published))
    blocks = {p.tensor.block for p in plan.tensors if p.quantizable and p.effective is TensorType.Q8_0}
    return sorted(block for block in blocks if block is not None)


@pytest.mark.reference
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_file_sizes_on_smollm2_are_those_of_llama_quantize(
    name: str, smollm2_shape: ModelShape, seed_experiment: dict[str, dict[str, float]]
) -> None:
    plan = resolve(smollm2_shape, preset(name, smollm2_shape))
    assert plan.file_bytes == seed_experiment[name]["file_bytes"]


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("first_4_layers_q8", 4 * 7.109375),
        ("first_8_layers_q8", 8 * 7.109375),
        ("last_4_layers_q8", 4 * 7.109375),
        ("last_8_layers_q8", 8 * 7.109375),
        ("middle_8_layers_q8", 8 * 7.109375),
        ("first_last_4_layers_q8", 8 * 7.109375),
        ("alternating_even_q8", 12 * 7.109375),
        ("attention_q8", 21.0),
        ("ffn_q8", 149.625),
    ],
)
def test_on_the_published_model_each_preset_costs_the_published_bytes(
    name: str, mib: float, published: ModelShape
) -> None:
    uniform = resolve(published, preset("uniform_q4_0", published))
    plan = resolve(published, preset(name, published))
    assert plan.file_bytes - uniform.file_bytes == mib * MIB


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("first_4_layers_q8", [*range(4), *range(10, 24)]),
        ("first_8_layers_q8", [*range(8), *range(10, 24)]),
        ("last_4_layers_q8", [*range(20, 24)]),
        ("last_8_layers_q8", [*range(16, 24)]),
        ("middle_8_layers_q8", [*range(8, 16)]),
        ("first_last_4_layers_q8", [*range(4), *range(10, 24)]),
        ("alternating_even_q8", [*range(0, 20, 2), 20, 21, 22, 23]),
    ],
)
def test_as_published_reaches_what_unanchored_patterns_reached(
    name: str, blocks: list[int], published: ModelShape
) -> None:
    assert q8_blocks(published, name, as_published=True) == blocks


def test_as_published_is_labelled_as_what_it_is(published: ModelShape) -> None:
    recipe = preset("first_4_layers_q8", published, as_published=True)
    assert recipe.name == "first_4_layers_q8_as_published"
    assert "as published" in recipe.description


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 8, 9, 30, 80])
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_applies_to_any_number_of_blocks(name: str, blocks: int, tmp_path: Path) -> None:
    sizes = {"blocks": blocks, "width": 64, "ffn": 96, "heads": 4, "kv_heads": 2}
    path = write_header(tmp_path / "m.gguf", "llama", llama_tensors(**sizes, vocab=64), **sizes)
    with BaseModel(path) as base:
        plan = resolve(base.shape, preset(name, base.shape))
    assert plan.file_bytes > base.shape.meta_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first_4_layers_q8", [0, 1, 2, 3]),
        ("last_4_layers_q8", [26, 27, 28, 29]),
        ("middle_8_layers_q8", [*range(11, 19)]),
        ("first_last_4_layers_q8", [0, 1, 2, 3, 26, 27, 28, 29]),
        ("alternating_even_q8", [*range(0, 30, 2)]),
    ],
)
def test_blocks_are_counted_on_the_model_at_hand(name: str, expected: list[int], tmp_path: Path) -> None:
    sizes = {"blocks": 30, "width": 64, "ffn": 96, "heads": 4, "kv_heads": 2}
    path = write_header(tmp_path / "m.gguf", "llama", llama_tensors(**sizes, vocab=64), **sizes)
    with BaseModel(path) as base:
        assert q8_blocks(base.shape, name) == expected


def test_an_unknown_preset_is_refused_with_the_known_names(published: ModelShape) -> None:
    with pytest.raises(RecipeError, match="uniform_q4_0"):
        preset("first_5", published)


# llama.cpp's mixes


def test_every_file_type_of_llama_quantize_is_a_preset_without_overrides(published: ModelShape) -> None:
    assert set(MIX_NAMES) == set(FileType)
    for name in MIX_NAMES:
        recipe = preset(name, published)
        assert (recipe.name, recipe.base, dict(recipe.overrides)) == (name, FileType(name), {})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("q4_k_m", "Q4_K_M"),
        ("Q4_K", "Q4_K_M"),
        ("fp16", "F16"),
        (" iq3_xxs ", "IQ3_XXS"),
        ("ffn_q8", "ffn_q8"),
    ],
)
def test_a_mix_is_named_as_on_llama_quantizes_command_line(said: str, meant: str) -> None:
    assert preset_name(said) == meant


@pytest.mark.parametrize("said", ["", "Q4_K_X", "COPY", "FFN_Q8", "7"])
def test_what_names_no_preset_is_none(said: str) -> None:
    assert preset_name(said) is None


# Profiles by layer type

_ROLE_TYPES = {
    "profile_q8": {"attn": TensorType.F16, "ffn": TensorType.Q8_0},
    "profile_q4": {"attn": TensorType.Q8_0, "ffn": TensorType.Q4_0},
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_gives_each_kind_of_layer_its_type(name: str, tied: bool, tmp_path: Path) -> None:
    sizes = {"blocks": 12, "width": 64, "ffn": 96, "heads": 4, "kv_heads": 2}
    tensors = llama_tensors(**sizes, vocab=64, tied=tied)
    with BaseModel(write_header(tmp_path / "m.gguf", "llama", tensors, **sizes)) as base:
        plan = resolve(base.shape, preset(name, base.shape))
    assert any(p.name == "output.weight" for p in plan.tensors) is not tied
    for planned in plan.tensors:
        kind = planned.tensor.role.split("_")[0]
        is_kind = planned.quantizable and kind in ("attn", "ffn")
        assert planned.effective is (_ROLE_TYPES[name][kind] if is_kind else TensorType.F32), planned.name


def test_a_profile_knows_attention_by_the_names_that_other_architectures_give_it(
    zoo_shapes: dict[str, ModelShape],
) -> None:
    falcon = zoo_shapes["falcon"]
    types = {p.name: p.effective for p in resolve(falcon, preset("profile_q4", falcon)).tensors}
    assert types["blk.0.attn_qkv.weight"] is TensorType.Q8_0
    assert types["blk.0.ffn_up.weight"] is TensorType.Q4_0
    experts = zoo_shapes["8 experts"]
    types = {p.name: p.effective for p in resolve(experts, preset("profile_q8", experts)).tensors}
    assert types["blk.0.ffn_down_exps.weight"] is TensorType.Q8_0
    assert types["blk.0.attn_k.weight"] is TensorType.F16


def test_16_bits_are_those_of_the_base(published: ModelShape) -> None:
    as_bf16 = tuple(
        msgspec.structs.replace(t, type=TensorType.BF16 if t.type is TensorType.F16 else t.type)
        for t in published.tensors
    )
    shape = msgspec.structs.replace(published, tensors=as_bf16)
    types = {p.name: p.effective for p in resolve(shape, preset("profile_q8", shape)).tensors}
    assert types["blk.3.attn_q.weight"] is TensorType.BF16
