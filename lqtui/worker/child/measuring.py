"""Measure recipes: their scores in one sweep, then the speed of each."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from lqtui.llama import bench, corpus, runtime
from lqtui.llama.gguf import BaseModel
from lqtui.llama.native import engine_name
from lqtui.llama.quantize import fill_pool
from lqtui.llama.scoring import TokenScores
from lqtui.llama.sweep import Candidate, Sweep, SweepListener
from lqtui.store.pool import Pool, PoolEntry
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import ChunkScored, CorpusRead, Measure, Progress, SpeedMeasured


def measure(task: Measure, send: Send) -> None:
    """Do a Measure task; the pool's entry is held while its files are written or opened."""
    entry = Pool(task.pool).entry(task.model_digest, engine_name(), task.label)
    with runtime.backend(), BaseModel(task.model) as base:
        if any(recipe.perplexity for recipe in task.recipes):
            _score(task, base, entry, send)
        for index, recipe in enumerate(task.recipes):
            if recipe.speed:
                _time(task, index, base, entry, send)


def _score(task: Measure, base: BaseModel, entry: PoolEntry, send: Send) -> None:
    # First of all: a text that cannot be used is told before anything is quantized.
    with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
        chunks = corpus.corpus_chunks(vocabulary, task.corpus, task.n_ctx, task.chunks)
    send(CorpusRead(len(chunks)))
    scored = [index for index, recipe in enumerate(task.recipes) if recipe.perplexity]
    candidates = [Candidate(task.recipes[index].types, task.recipes[index].chunks_known) for index in scored]
    if all(candidate.known >= len(chunks) for candidate in candidates):
        return
    last = time.perf_counter()

    def on_scores(number: int, chunk: int, scores: TokenScores) -> None:
        nonlocal last
        now = time.perf_counter()
        kld = b"" if scores.kld is None else scores.kld.astype(np.float32).tobytes()
        same_top = b"" if scores.same_top is None else scores.same_top.tobytes()
        send(ChunkScored(scored[number], chunk, now - last, scores.nll.tobytes(), kld, same_top))
        last = now

    Sweep(task.divergence, task.threads, task.gpu_layers, task.memory).run(
        base,
        candidates,
        chunks,
        entry,
        SweepListener(
            on_wait=partial(send, Progress("waiting", 0, 1, "another lqtui")),
            on_quantized=lambda done, total: send(Progress("quantizing", done >> 20, total >> 20, "MiB")),
            on_load=partial(send, Progress("loading", 0, 1, "model")),
            on_blocks=lambda done, total: send(Progress("perplexity", done, total, "blocks")),
            on_scores=on_scores,
        ),
    )


def _time(task: Measure, index: int, base: BaseModel, entry: PoolEntry, send: Send) -> None:
    """Measure a recipe's tokens per second in a model of its own, loaded as people load it."""

    def told(stage: str, unit: str, done: int, total: int) -> None:
        send(Progress(stage, done, total, unit, index))

    types = task.recipes[index].types
    with entry.lock(on_wait=partial(told, "waiting", "another lqtui", 0, 1)):
        if all(tensor.type is types[tensor.name] for tensor in base.shape.tensors):
            shards = [base.first_part]
        else:
            on_bytes = partial(told, "quantizing", "MiB")
            shards = fill_pool(base, types, entry, task.threads, lambda d, t: on_bytes(d >> 20, t >> 20))
        told("loading", "model", 0, 1)
        opened = runtime.loaded_model(shards, task.gpu_layers)
        model = opened.__enter__()
    try:
        on_prompt, on_generation = (
            partial(told, "prompt speed", "runs"),
            partial(told, "generation speed", "runs"),
        )
        speeds = bench.prompt_speed(model, task.n_prompt, task.repetitions, task.threads, on_prompt)
        send(SpeedMeasured(index, task.n_prompt, 0, speeds))
        speeds = bench.generation_speed(model, task.n_gen, task.repetitions, task.threads, on_generation)
        send(SpeedMeasured(index, 0, task.n_gen, speeds))
    finally:
        opened.__exit__(None, None, None)
