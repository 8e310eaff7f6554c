"""A workbench without an engine, on synthetic models: its recipes are real, its measurements are scripted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_importance import FakeImportance

from lqtui.measure import paired, sequential
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.memory import Buffer, ContextMemory, Part, estimate_memory
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, base_recipe, resolve, with_type
from lqtui.recipe.shape import ModelShape, TensorInfo, tensor_order
from lqtui.recipe.types import TensorType
from lqtui.workbench import Change, Fit, Job, JobState, OpenModel, Result, Settings, Speed, WorkbenchError


def llama_shape(
    blocks: int = 30,
    *,
    name: str = "SmolLM2-135M-Instruct",
    width: int = 576,
    ffn: int = 1536,
    heads: int = 9,
    kv_heads: int = 3,
    vocab: int = 49152,
    tied: bool = True,
    roles: Mapping[str, tuple[int, ...]] | None = None,
    base: TensorType = TensorType.F16,
) -> ModelShape:
    """A llama-like model's shape; `roles` replaces the quantizable tensors of each block."""
    kv = width // heads * kv_heads
    dimensions = roles or {
        "attn_q": (width, width),
        "attn_k": (width, kv),
        "attn_v": (width, kv),
        "attn_output": (width, width),
        "ffn_gate": (width, ffn),
        "ffn_up": (width, ffn),
        "ffn_down": (ffn, width),
    }
    tensors = [
        TensorInfo("token_embd.weight", (width, vocab), base),
        TensorInfo("output_norm.weight", (width,), TensorType.F32),
    ]
    if not tied:
        tensors.append(TensorInfo("output.weight", (width, vocab), base))
    for block in range(blocks):
        for role in ("attn_norm", "ffn_norm"):
            tensors.append(TensorInfo(f"blk.{block}.{role}.weight", (width,), TensorType.F32))
        for role, ne in dimensions.items():
            tensors.append(TensorInfo(f"blk.{block}.{role}.weight", ne, base))
    tensors.sort(key=lambda tensor: tensor_order(tensor.name))
    meta_bytes = 1_781_248
    return ModelShape(
        name=name,
        architecture="llama",
        block_count=blocks,
        tensors=tuple(tensors),
        meta_bytes=meta_bytes,
        file_bytes=meta_bytes + sum(t.bytes_as(t.type) for t in tensors),
        file_type=1,
        context_length=8192,
        embedding_length=width,
        heads=heads,
        kv_heads=kv_heads,
        vocab_size=vocab,
    )


def qwen_shape() -> ModelShape:
    """A model of 24 blocks, 896 wide, as the published experiment's."""
    return llama_shape(
        24, name="Qwen2-0.5B-Instruct", width=896, ffn=4864, heads=14, kv_heads=2, vocab=151936
    )


def moe_shape(blocks: int = 16) -> ModelShape:
    """A mixture of experts, with untied output."""
    return llama_shape(
        blocks,
        name="Tiny-MoE",
        tied=False,
        width=1024,
        vocab=32000,
        heads=16,
        roles={
            "attn_q": (1024, 1024),
            "attn_k": (1024, 256),
            "attn_v": (1024, 256),
            "attn_output": (1024, 1024),
            "ffn_gate_inp": (1024, 8),
            "ffn_gate_exps": (1024, 512, 8),
            "ffn_up_exps": (1024, 512, 8),
            "ffn_down_exps": (512, 1024, 8),
        },
    )


def context_of(
    shape: ModelShape, n_ctx: int, type_k: TensorType = TensorType.F16, *, gpus: int = 0
) -> ContextMemory:
    """What llama.cpp might say of a llama-like model: on the processor, or shared out among GPUs."""
    n_blocks = shape.block_count
    layers = [f"CUDA{i * gpus // (n_blocks + 1)}" if gpus else "CPU" for i in range(n_blocks + 1)]
    head = shape.embedding_length // shape.heads
    cache = 2 * n_blocks * n_ctx * type_k.row_bytes(shape.kv_heads * head)
    device = layers[0]
    buffers = (
        Buffer("CPU", "CPU", Part.OUTPUT, 4 * shape.vocab_size),
        Buffer(device, device, Part.KV_CACHE, cache),
        Buffer(device, device, Part.COMPUTE, 512 * 4 * shape.vocab_size),
    )
    return ContextMemory(n_ctx, tuple(layers), buffers)


def fit_of(plan: Plan, n_ctx: int, type_k: TensorType = TensorType.F16, *, gpus: int = 0) -> Fit:
    """The memory that a plan needs where llama.cpp says so."""
    context = context_of(plan.shape, n_ctx, type_k, gpus=gpus)
    return Fit(n_ctx, type_k, type_k, estimate_memory(plan, context))


class FakeWorkbench(FakeImportance):
    """Edits recipes as the real workbench does; jobs and results are set by the test."""

    def __init__(
        self, shape: ModelShape | None = None, models: Mapping[str, ModelShape] | None = None
    ) -> None:
        self.models = dict(models or {})
        self.model: OpenModel | None = None
        self.plan: Plan | None = None
        self.settings = Settings(threads=2)
        self.corpus_name = "wikitext-2"
        self.jobs: tuple[Job, ...] = ()
        self.results: tuple[Result, ...] = ()
        self.scores: dict[str, paired.Scores] = {}
        self.modified = False
        self.closed = False
        self.open_delay = 0.0
        self.refuse: str | None = None
        self.context_problem: str | None = ""
        self.calls: list[str] = []
        self._undo: list[tuple[str, Recipe]] = []
        self._redo: list[tuple[str, Recipe]] = []
        self._listeners: list[Callable[[Change], None]] = []
        if shape is not None:
            self._adopt(Path(f"/models/{shape.name}.gguf"), shape)

    def _adopt(self, path: Path, shape: ModelShape) -> None:
        self.model = OpenModel(path=path, shape=shape, engine="none")
        self.plan = resolve(shape, base_recipe(shape))
        self.modified = False
        self._undo.clear()
        self._redo.clear()

    @property
    def undo_label(self) -> str | None:
        return self._undo[-1][0] if self._undo else None

    @property
    def redo_label(self) -> str | None:
        return self._redo[-1][0] if self._redo else None

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    async def open(self, path: Path, *, requantize: bool = False) -> None:
        await asyncio.sleep(self.open_delay)
        shape = self.models.get(path.name)
        if shape is None:
            raise WorkbenchError(f"{path.name} is not a GGUF file: it does not begin with GGUF")
        self._adopt(path, shape)
        self.tell(Change.MODEL)
        self.tell(Change.RECIPE)

    def _open_plan(self) -> Plan:
        if self.refuse:
            raise WorkbenchError(self.refuse)
        if self.plan is None:
            raise WorkbenchError("no model is open")
        return self.plan

    def assign(self, tensors: Iterable[str], tensor_type: TensorType, label: str) -> None:
        plan = self._open_plan()
        self._edit(with_type(plan, tensors, tensor_type), label)
        self.modified = True
        self.tell(Change.RECIPE)

    def use(self, recipe: Recipe, label: str) -> None:
        self._edit(recipe, label)
        self.modified = False
        self.tell(Change.RECIPE)

    def _edit(self, recipe: Recipe, label: str) -> None:
        plan = self._open_plan()
        self.plan = resolve(plan.shape, recipe)
        self._undo.append((label, plan.recipe))
        self._redo.clear()

    def rename(self, name: str) -> None:
        plan = self._open_plan()
        recipe = plan.recipe
        self.plan = resolve(plan.shape, Recipe(name, recipe.base, recipe.overrides, recipe.description))
        self.modified = False
        self.tell(Change.RECIPE)

    def undo(self) -> str | None:
        return self._step(self._undo, self._redo)

    def redo(self) -> str | None:
        return self._step(self._redo, self._undo)

    def _step(self, source: list[tuple[str, Recipe]], target: list[tuple[str, Recipe]]) -> str | None:
        plan = self._open_plan()
        if not source:
            return None
        label, recipe = source.pop()
        target.append((label, plan.recipe))
        self.plan = resolve(plan.shape, recipe)
        self.modified = True
        self.tell(Change.RECIPE)
        return label

    @property
    def fit(self) -> Fit | None:
        """The memory that the current recipe needs, or `context_problem`; that is None while it is asked."""
        chosen = self.settings
        if self.plan is None:
            return None
        asked = Fit(min(chosen.fit_ctx, 8192), chosen.type_k, chosen.type_v)
        if self.context_problem is None:
            return asked
        if self.context_problem:
            return replace(asked, problem=self.context_problem)
        return replace(fit_of(self.plan, asked.n_ctx, asked.type_k), type_v=asked.type_v)

    def fit_to(self, n_ctx: int, type_k: TensorType, type_v: TensorType) -> None:
        self.settings = replace(self.settings, fit_ctx=n_ctx, type_k=type_k, type_v=type_v)
        self.tell(Change.FIT)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self.tell(Change.RECIPE)

    def measure(self, *, fresh: bool = False) -> Job:
        plan = self._open_plan()
        if fresh:
            self.calls.append(f"measure {plan.recipe.name} fresh")
        return self._start(plan.recipe.name, "measure")

    def measure_presets(self) -> Job:
        self._open_plan()
        return self._start(f"measure {len(PRESET_NAMES)} presets", "measure")

    def measure_types(self, types: Sequence[FileType] = (), imatrix: Imatrix | None = None) -> Job:
        self._open_plan()
        self.calls.append(f"measure types by {imatrix.name if imatrix else 'no matrix'}")
        return self._start("measure 7 types", "measure")

    def quantize(self, out: Path) -> Job:
        self._open_plan()
        self.calls.append(f"quantize {out}")
        return self._start(out.name, "quantize")

    def _start(self, title: str, kind: str) -> Job:
        running = any(job.state is JobState.RUNNING for job in self.jobs)
        job = Job(
            id=len(self.jobs) + 1,
            title=title,
            kind=kind,
            state=JobState.QUEUED if running else JobState.RUNNING,
            stage="perplexity" if kind == "measure" else "quantizing",
            done=0,
            total=5,
            unit="chunks",
            elapsed=0.0,
            eta=None,
            message="",
            log=Path("job.log"),
        )
        self.jobs += (job,)
        self.tell(Change.JOBS)
        return job

    def advance(self, job_id: int, **changes: object) -> None:
        """Let a job say something new."""
        self.jobs = tuple(replace(j, **changes) if j.id == job_id else j for j in self.jobs)  # type: ignore[arg-type]
        self.tell(Change.JOBS)

    def add_result(self, result: Result) -> None:
        """Let a measurement arrive, or go on."""
        self.results = (*(r for r in self.results if r.digest != result.digest), result)
        self.tell(Change.RESULTS)

    def compare(self, result: Result, other: Result, confidence: float) -> paired.Comparison | None:
        self.calls.append(f"compare {result.name} {other.name}")
        scores = self._common_scores(result, other)
        return paired.compare(*scores, confidence) if scores else None

    def look(self, result: Result, other: Result, confidence: float) -> sequential.Look | None:
        self.calls.append(f"look {result.name} {other.name}")
        scores = self._common_scores(result, other)
        return sequential.look(*scores, confidence) if scores else None

    @property
    def chunks_wanted(self) -> int:
        return self.settings.chunks

    def _common_scores(self, result: Result, other: Result) -> tuple[paired.Scores, paired.Scores] | None:
        """Of the chunks that both results have."""
        common = min(result.chunks, other.chunks)
        found = [self.scores.get(r.digest) for r in (result, other)]
        if not common or None in found:
            return None
        mine, its = (paired.Scores(s.nll[:common], s.kld[:common]) for s in found if s and s.kld is not None)
        return mine, its

    def cancel(self, job_id: int) -> None:
        self.calls.append(f"cancel {job_id}")
        self.advance(job_id, state=JobState.CANCELLED, message="cancelled")

    def log_tail(self, job_id: int, lines: int = 200) -> str:
        return f"log of job {job_id}"

    def script(self) -> str:
        return f"#!/usr/bin/env bash\n# {self._open_plan().recipe.name}\nset -euo pipefail\n"

    def save_script(self, path: Path) -> None:
        path.write_text(self.script())

    def save_recipe(self, path: Path, name: str | None = None) -> None:
        path.write_text(name or self._open_plan().recipe.name)
        self.rename(name or self._open_plan().recipe.name)
        self.modified = False
        self.tell(Change.RECIPE)

    async def use_imported(self, path: Path) -> tuple[str, ...]:
        raise WorkbenchError(f"{path.name} is not a TOML recipe")

    async def close(self) -> None:
        self.closed = True


def measured(
    plan: Plan,
    perplexity: float,
    se: float = 1.6,
    *,
    delta: float | None = None,
    kld: float | None = None,
    chunks: int = 5,
) -> Result:
    """A result for a plan, as a measurement of 5 chunks gives it; what it is with fewer is partial."""
    return Result(
        name=plan.recipe.name,
        digest=plan.digest,
        file_bytes=plan.file_bytes,
        bits_per_weight=plan.bits_per_weight,
        perplexity=perplexity,
        perplexity_se=se,
        delta_nll=None if delta is None else math.log1p(delta / 100),
        delta_nll_se=None if delta is None else 0.003 if delta else 0.0,
        delta_percent=delta,
        delta_percent_se=None if delta is None else 0.3 if delta else 0.0,
        kld=kld,
        kld_se=None if kld is None else kld / 60,
        top1_agreement=None if kld is None else 1 - kld,
        top1_agreement_se=None if kld is None else 0.012 if kld else 0.0,
        chunks=chunks,
        prompt=Speed(mean=412.0, sd=3.1, repetitions=5),
        generation=Speed(mean=58.2, sd=0.7, repetitions=5),
        partial=chunks < 5,
        recipe=plan.recipe,
    )


SEEDS = {
    "baseline_fp16": (18.8351, 0.0),
    "uniform_q4_0": (20.8235, 0.2562),
    "first_4_layers_q8": (20.1097, 0.2204),
    "first_8_layers_q8": (19.9, 0.2010),
    "last_4_layers_q8": (20.61, 0.2391),
    "last_8_layers_q8": (20.44, 0.2204),
    "middle_8_layers_q8": (19.95, 0.1790),
    "first_last_4_layers_q8": (19.98, 0.2057),
    "alternating_even_q8": (19.7152, 0.1620),
    "attention_q8": (19.42, 0.1411),
    "ffn_q8": (19.6, 0.1502),
}
"""Perplexity and KLD of every preset, for a chart that looks like one; some of them were measured."""


def seed_results(shape: ModelShape, chunks: int = 5) -> tuple[Result, ...]:
    """A result for every preset."""
    base, _ = SEEDS["baseline_fp16"]
    return tuple(
        measured(
            resolve(shape, preset(name, shape)), ppl, delta=100 * (ppl / base - 1), kld=kld, chunks=chunks
        )
        for name, (ppl, kld) in SEEDS.items()
    )


def scores_of(results: Iterable[Result], spread: float = 0.015) -> dict[str, paired.Scores]:
    """Scores of 20 chunks with about the results' KLDs, which vary from chunk to chunk by `spread` nats."""
    found = {}
    for number, result in enumerate(results):
        wave = np.sin(1.7 * (number + 1) * np.arange(1, 21))[:, None] * np.ones(8)
        kld = (result.kld or 0.0) + (spread if result.kld else 0.0) * wave
        found[result.digest] = paired.Scores(math.log(result.perplexity or 1.0) + kld, kld)
    return found
