"""The memory told beforehand is what llama.cpp's own log then says it allocated.

All of this runs on a processor. How the buffers are shared out among GPUs is tested by arithmetic alone, on
the log's format here and on layers in tests/recipe/test_memory.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest
from allocated import MIB, Allocated, Question, allocated, allocated_by_log, assert_within_5_percent
from gguf_files import write_tiny_gemma3n, write_tiny_llama
from runnable_models import RUNNABLE, write_runnable

from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.memory import AllocationLog, context_memory
from lqtui.llama.quantize import write_model
from lqtui.llama.repacking import repackings
from lqtui.recipe.file_types import FileType
from lqtui.recipe.memory import Buffer, Part, estimate_memory
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

pytestmark = pytest.mark.usefixtures("engine")

F16, Q8, Q4 = TensorType.F16, TensorType.Q8_0, TensorType.Q4_0
CONTEXTS = {512: (F16, F16), 4096: (Q8, Q8), 8192: (Q4, Q4)}
CASES = (
    ("F16", 512),
    ("F16", 4096),
    ("F16", 8192),
    ("Q8_0", 4096),
    ("Q4_0", 8192),
    ("Q4_K_M", 512),
    ("Q4_0, odd blocks Q8_0", 4096),
)
"""Every recipe in a context, and one recipe in all of them."""


def plan_of(shape: ModelShape, name: str) -> Plan:
    """A recipe by its name in CASES."""
    base, _, mixed = name.partition(",")
    odd = {t.name: Q8 for t in quantizable_tensors(shape) if mixed and t.block is not None and t.block % 2}
    return resolve(shape, Recipe(name, FileType(base), odd))


def written(base: BaseModel, plan: Plan, out: Path) -> Path:
    """The GGUF file of a plan."""
    write_model(base, plan.encodings, plan.file_type.number, out, None, 2, lambda done, total: None)
    return out


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runnable")
    return {kind: write_runnable(folder, kind) for kind in RUNNABLE}


@pytest.fixture(scope="module")
def truth(
    models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str, int], Allocated]:
    """What llama.cpp allocated for every model, recipe and context."""
    folder = tmp_path_factory.mktemp("recipes")
    questions: dict[tuple[str, str, int], Question] = {}
    for kind, path in models.items():
        with BaseModel(path) as base:
            files = {
                recipe: written(base, plan_of(base.shape, recipe), folder / f"{kind} {recipe}.gguf")
                for recipe in dict.fromkeys(recipe for recipe, _ in CASES)
            }
        for recipe, n_ctx in CASES:
            questions[kind, recipe, n_ctx] = Question(files[recipe], n_ctx, *CONTEXTS[n_ctx])
    return dict(zip(questions, allocated(questions.values()), strict=True))


@pytest.mark.parametrize("kind", RUNNABLE)
def test_every_buffer_of_every_kind_of_model_is_told_within_5_percent(
    kind: str, models: dict[str, Path], truth: dict[tuple[str, str, int], Allocated]
) -> None:
    with BaseModel(models[kind]) as base:
        shape = base.shape
    contexts = {n_ctx: context_memory(models[kind], n_ctx, *types, -1) for n_ctx, types in CONTEXTS.items()}
    for recipe, n_ctx in CASES:
        estimate = estimate_memory(plan_of(shape, recipe), contexts[n_ctx])
        assert_within_5_percent(estimate, truth[kind, recipe, n_ctx])


def test_weights_that_the_processor_reorders_are_in_a_second_buffer_and_needed_once(
    models: dict[str, Path], truth: dict[tuple[str, str, int], Allocated]
) -> None:
    path = models["llama"]
    with BaseModel(path) as base:
        plan = plan_of(base.shape, "Q4_0")
    told = truth["llama", "Q4_0", 8192]
    if not any(name not in ("CPU", "CPU_Mapped") for name, _ in told):
        pytest.skip("this processor reorders no Q4_0 weights")
    estimate = estimate_memory(plan, context_memory(path, 8192, Q4, Q4, -1))
    assert estimate.of(part=Part.WEIGHTS) > 1.5 * plan.data_bytes
    assert estimate.of(part=Part.WEIGHTS) - estimate.file_cache == pytest.approx(plan.data_bytes, rel=0.001)


def test_keys_and_values_can_have_types_of_their_own(models: dict[str, Path]) -> None:
    path = models["llama"]
    with BaseModel(path) as base:
        plan = plan_of(base.shape, "F16")
    (told,) = allocated([Question(path, 4096, Q8, Q4)])
    assert_within_5_percent(estimate_memory(plan, context_memory(path, 4096, Q8, Q4, -1)), told)


def test_blocks_that_share_a_cache_are_told_as_llama_cpp_has_it(tmp_path: Path) -> None:
    path = write_tiny_gemma3n(tmp_path / "gemma3n.gguf")
    with BaseModel(path) as base:
        plans = [plan_of(base.shape, recipe) for recipe in ("F16", "Q4_0")]
        files = [written(base, plan, tmp_path / plan.recipe.name) for plan in plans]
    told = allocated(Question(file, 4096, F16, F16) for file in files)
    context = context_memory(path, 4096, F16, F16, -1)
    for plan, truth in zip(plans, told, strict=True):
        assert_within_5_percent(estimate_memory(plan, context), truth)


def test_a_tied_output_is_held_once_more_where_it_is_reordered(
    models: dict[str, Path], tmp_path: Path
) -> None:
    path = models["llama, tied"]
    with BaseModel(path) as base:
        shape = base.shape
        names = [t.name for t in quantizable_tensors(shape) if t.block is not None]
        types = dict.fromkeys(names, Q8) | {"token_embd.weight": Q4}
        plan = resolve(shape, Recipe("tied", FileType.Q8_0, types))
        out = written(base, plan, tmp_path / "q4.gguf")
    (told,) = allocated([Question(out, 512, F16, F16)])
    assert_within_5_percent(estimate_memory(plan, context_memory(path, 512, F16, F16, -1)), told)
    embedding = shape.by_name["token_embd.weight"]
    for repacking in repackings([(embedding.ne, False)]):
        if repacking.type is Q4:
            assert told[repacking.buffer, Part.WEIGHTS] == pytest.approx(
                embedding.bytes_as(Q4) / MIB, abs=0.006
            )


def test_sliding_windows_and_recurrent_blocks_need_no_more_for_a_longer_context(
    models: dict[str, Path],
) -> None:
    def growth(kind: str) -> float:
        short, long = (context_memory(models[kind], n_ctx, F16, F16, -1) for n_ctx in (2048, 8192))
        sums = [sum(b.bytes for b in c.buffers if b.part is Part.KV_CACHE) for c in (short, long)]
        return sums[1] / sums[0] if sums[0] else 0

    assert growth("llama") == 4
    assert 1 < growth("gemma3 with sliding windows") < 3
    assert growth("mamba, recurrent") == 0


def test_asking_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    """The cache of a million tokens in F32 would take 16 GiB."""
    path = write_tiny_llama(tmp_path / "whole.gguf", blocks=8, width=256, kv_heads=4)
    before = psutil.Process().memory_info().rss
    context = context_memory(path, 1 << 20, TensorType.F32, TensorType.F32, -1)
    assert psutil.Process().memory_info().rss - before < 1 << 30
    assert sum(b.bytes for b in context.buffers if b.part is Part.KV_CACHE) == 16 << 30


def test_a_log_of_two_gpus_is_shared_out_by_device() -> None:
    """The lines are as llama.cpp's source prints them; no GPU printed these."""
    log = AllocationLog({"CUDA0": "CUDA0", "CUDA1": "CUDA1"})
    for line in (
        "load_tensors: layer   0 assigned to device CPU, is_swa = 0",
        "load_tensors: layer   1 assigned to device CUDA0, is_swa = 0",
        "load_tensors: layer   2 assigned to device CUDA1, is_swa = 1",
        "load_tensors: layer   3 assigned to device CUDA1, is_swa = 0",
        "load_tensors:        CUDA0 model buffer size =     0.00 MiB",
        "model has unused tensor blk.9.nextn.eh_proj.weight (size = 1024 bytes) -- ignoring",
        "llama_context:  CUDA_Host  output buffer size =     0.50 MiB",
        "llama_kv_cache: layer   0: dev = CPU",
        "llama_kv_cache: layer   1: dev = CUDA0",
        "llama_kv_cache: layer   2: dev = CUDA1",
        "llama_kv_cache: layer   3: filtered",
        "llama_kv_cache:        CPU KV buffer size =     0.00 MiB",
        "llama_kv_cache: size =    6.00 MiB (  4096 cells,   3 layers,  1/1 seqs), K (f16):    3.00 MiB, "
        "V (f16):    3.00 MiB",
        "llama_memory_recurrent:      CUDA1 RS buffer size =     0.25 MiB",
        "llama_memory_recurrent: size =    0.25 MiB (     1 cells,   4 layers,  1 seqs  0 rs_seq), R (f32):  "
        "  0.12 MiB, S (f32):    0.13 MiB, P (f32):    0.00 MiB",
        "sched_reserve:      CUDA0 compute buffer size =    98.25 MiB",
        "sched_reserve:  CUDA_Host compute buffer size =     9.00 MiB",
    ):
        log.hear(line)
    assert log.layers == ["CPU", "CUDA0", "CUDA1", "CUDA1"]
    assert log.unused == ["blk.9.nextn.eh_proj.weight"]
    assert log.buffers == [
        Buffer("CPU", "CUDA_Host", Part.OUTPUT, MIB // 2),
        Buffer("CPU", "CPU", Part.KV_CACHE, 2 * MIB),
        Buffer("CUDA0", "CUDA0", Part.KV_CACHE, 2 * MIB),
        Buffer("CUDA1", "CUDA1", Part.KV_CACHE, 2 * MIB),
        Buffer("CUDA1", "CUDA1", Part.STATE, MIB // 4),
        Buffer("CUDA0", "CUDA0", Part.COMPUTE, round(98.25 * MIB)),
        Buffer("CPU", "CUDA_Host", Part.COMPUTE, 9 * MIB),
    ]


def test_a_model_that_llama_cpp_cannot_run_is_told_with_its_own_reason(zoo: dict[str, Path]) -> None:
    with pytest.raises(EngineError, match=r"cannot load this model: .*"):
        context_memory(zoo["70B"], 512, F16, F16, -1)


def test_a_kv_type_that_does_not_fit_the_heads_is_told_with_the_reason(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "narrow.gguf", width=64, heads=4)
    with pytest.raises(EngineError, match=r"cannot make a context of 512 tokens .*q8_0.*16"):
        context_memory(path, 512, Q8, Q8, -1)


@pytest.mark.reference
def test_smollm2_is_told_within_5_percent_of_what_stock_llama_perplexity_says(
    smollm2: Path, llama_tools: Path, tmp_path: Path
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("Too short to measure: the tool stops once it has loaded the model.")
    with BaseModel(smollm2) as base:
        for recipe in ("F16", "Q4_0", "Q4_0, odd blocks Q8_0"):
            plan = plan_of(base.shape, recipe)
            out = written(base, plan, tmp_path / "recipe.gguf")
            for n_ctx, type_k, type_v in ((4096, F16, F16), (8192, Q8, Q4)):
                types = ["-ctk", type_k.lower(), "-ctv", type_v.lower()]
                command = [llama_tools / "llama-perplexity", "-m", out, "-f", text, "-c", str(n_ctx), *types]
                done = subprocess.run([*command, "--fit", "off", "-v"], capture_output=True, text=True)
                assert "you need at least" in done.stderr + done.stdout
                context = context_memory(smollm2, n_ctx, type_k, type_v, -1)
                told = allocated_by_log(done.stderr + done.stdout)
                assert_within_5_percent(estimate_memory(plan, context), told)
