"""The memory of a recipe, worked out from where llama.cpp puts the layers.

No GPU is at hand where these tests run, so the shares of GPUs are checked by arithmetic alone, on layers as
llama.cpp assigns them. That a processor's buffers are as llama.cpp says is tested in tests/llama.
"""

from __future__ import annotations

import pytest

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.memory import (
    Buffer,
    ContextMemory,
    Part,
    Repacking,
    estimate_memory,
    kv_types_name,
    parse_kv_types,
)
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_type
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

MIB = 1 << 20
CONTEXT = (
    Buffer("CPU", "CPU", Part.OUTPUT, MIB),
    Buffer("CPU", "CPU", Part.COMPUTE, 2 * MIB),
    Buffer("GPU0", "GPU0", Part.KV_CACHE, 8 * MIB),
)


def q8(shape: ModelShape) -> Plan:
    return resolve(shape, Recipe("q8", FileType.Q8_0))


def on(*layers: str, repackings: tuple[Repacking, ...] = (), unused: tuple[str, ...] = ()) -> ContextMemory:
    return ContextMemory(4096, layers, CONTEXT, repackings, unused)


def bytes_of(plan: Plan, *names: str) -> int:
    """Bytes of the tensors whose names begin so."""
    return sum(p.bytes for p in plan.tensors if p.name.startswith(names))


@pytest.fixture
def tied(zoo_shapes: dict[str, ModelShape]) -> ModelShape:
    return zoo_shapes["tied, 4 heads share"]


@pytest.fixture
def untied(zoo_shapes: dict[str, ModelShape]) -> ModelShape:
    return zoo_shapes["own heads"]


def test_on_a_processor_the_weights_are_the_mapped_file_and_count_once(untied: ModelShape) -> None:
    plan = q8(untied)
    memory = estimate_memory(plan, on(*["CPU"] * 9))
    assert memory.of(part=Part.WEIGHTS) == plan.file_bytes - untied.meta_bytes
    assert memory.needed == memory.allocated == memory.of(part=Part.WEIGHTS) + 11 * MIB


def test_with_all_layers_on_a_gpu_only_the_embedding_stays_in_ram(untied: ModelShape) -> None:
    plan = q8(untied)
    memory = estimate_memory(plan, on(*["GPU0"] * 9))
    embedding = plan.by_name["token_embd.weight"].bytes
    assert memory.of(device="CPU", part=Part.WEIGHTS) == embedding
    on_gpu = memory.of(device="GPU0", part=Part.WEIGHTS)
    assert on_gpu == pytest.approx(plan.data_bytes - embedding, rel=0.01)
    assert memory.in_ram == embedding + 3 * MIB
    assert memory.on_gpus == on_gpu + 8 * MIB


def test_each_gpu_holds_the_blocks_of_its_layers_and_the_last_one_the_output(untied: ModelShape) -> None:
    plan = q8(untied)
    memory = estimate_memory(plan, on("CPU", "GPU0", "GPU0", "GPU0", "GPU1", "GPU1", "GPU1", "GPU1", "GPU1"))
    shares = {
        "CPU": bytes_of(plan, "token_embd", "blk.0."),
        "GPU0": bytes_of(plan, "blk.1.", "blk.2.", "blk.3."),
        "GPU1": bytes_of(plan, "output", "blk.4.", "blk.5.", "blk.6.", "blk.7."),
    }
    for device, expected in shares.items():
        assert memory.of(device=device, part=Part.WEIGHTS) == pytest.approx(expected, rel=0.01)


def test_a_tied_output_on_a_gpu_is_a_second_copy_of_the_embedding(tied: ModelShape) -> None:
    plan = q8(tied)
    embedding = plan.by_name["token_embd.weight"].bytes
    memory = estimate_memory(plan, on(*["GPU0"] * 17))
    assert memory.of(device="CPU", part=Part.WEIGHTS) == embedding
    assert memory.of(device="GPU0", part=Part.WEIGHTS) == pytest.approx(plan.data_bytes, rel=0.01)


def test_an_edit_moves_only_the_share_of_the_device_that_has_the_tensor(untied: ModelShape) -> None:
    plan = q8(untied)
    layers = on(*["CPU"] * 4, *["GPU0"] * 5)
    edited = resolve(untied, with_type(plan, ["blk.7.ffn_up.weight"], TensorType.Q4_0))
    before, after = estimate_memory(plan, layers), estimate_memory(edited, layers)
    assert after.of(device="CPU") == before.of(device="CPU")
    assert before.on_gpus - after.on_gpus == plan.data_bytes - edited.data_bytes > 0


def test_what_the_processor_reorders_is_in_a_buffer_of_its_own_and_its_pages_can_go(
    untied: ModelShape,
) -> None:
    plan = q8(untied)
    up = plan.by_name["blk.0.ffn_up.weight"]
    reordered = Repacking(TensorType.Q8_0, up.tensor.ne, False, "CPU_REPACK", up.bytes)
    memory = estimate_memory(plan, on(*["CPU"] * 9, repackings=(reordered,)))
    copies = sum(
        p.bytes for p in plan.tensors if p.tensor.ne == up.tensor.ne and p.tensor.role != "token_embd"
    )
    assert Buffer("CPU", "CPU_REPACK", Part.WEIGHTS, copies) in memory.buffers
    assert memory.file_cache >= copies - up.bytes  # the last of them may end the file, past what is mapped
    assert memory.needed == pytest.approx(plan.data_bytes + 11 * MIB, rel=0.001)


def test_tensors_that_llama_cpp_leaves_alone_need_nothing(untied: ModelShape) -> None:
    plan = q8(untied)
    last = plan.tensors[-1].name
    with_all, without = (
        estimate_memory(plan, on(*["CPU"] * 9)),
        estimate_memory(plan, on(*["CPU"] * 9, unused=(last,))),
    )
    assert with_all.needed - without.needed == pytest.approx(plan.by_name[last].bytes, abs=32)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("q8_0", (TensorType.Q8_0, TensorType.Q8_0)),
        ("F16", (TensorType.F16, TensorType.F16)),
        ("q8", (TensorType.Q8_0, TensorType.Q8_0)),
        ("fp16", (TensorType.F16, TensorType.F16)),
        ("q8_0/q4_0", (TensorType.Q8_0, TensorType.Q4_0)),
        (" F16 / IQ4_NL ", (TensorType.F16, TensorType.IQ4_NL)),
    ],
)
def test_kv_types_are_read_as_one_for_both_or_one_for_each(
    text: str, types: tuple[TensorType, TensorType]
) -> None:
    assert parse_kv_types(text) == types
    assert parse_kv_types(kv_types_name(*types)) == types


@pytest.mark.parametrize("text", ["", "q3_K", "q8_0/", "f16/q8_0/q4_0", "iq1_s"])
def test_types_that_no_kv_cache_can_have_are_refused_with_those_that_it_can(text: str) -> None:
    with pytest.raises(RecipeError, match=r"unknown KV type .*Q8_0"):
        parse_kv_types(text)
