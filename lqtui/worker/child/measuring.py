"""Measure recipes: their scores in one sweep, then the speed of each."""

from __future__ import annotations

import contextlib
from functools import partial

from lqtui.llama import bench, runtime
from lqtui.llama.gguf import BaseModel
from lqtui.llama.native import engine_name
from lqtui.llama.quantize import fill_pool
from lqtui.llama.sources import Sources
from lqtui.store.pool import Pool, PoolEntry
from lqtui.worker.child.scoring import score
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import Measure, Progress, SpeedMeasured


def measure(task: Measure, send: Send) -> None:
    """Do a Measure task; the pool's entry is held alone while its files are written or opened."""
    entry = Pool(task.pool).entry(task.model_digest, engine_name(), task.label)
    with entry.in_use(), runtime.backend(), BaseModel(task.model) as base, Sources(task.files) as sources:
        if any(recipe.perplexity for recipe in task.recipes):
            score(task, base, entry, sources, send)
        for index, recipe in enumerate(task.recipes):
            if recipe.speed:
                _time(task, index, base, entry, sources, send)


def _time(task: Measure, index: int, base: BaseModel, entry: PoolEntry, sources: Sources, send: Send) -> None:
    """Measure a recipe's tokens per second in a model of its own, loaded as people load it."""

    def told(stage: str, unit: str, done: int, total: int) -> None:
        send(Progress(stage, done, total, unit, index))

    encodings = task.recipes[index].encodings

    def attempt(layers: int) -> None:
        with contextlib.ExitStack() as opened:
            with entry.lock(on_wait=partial(told, "waiting", "another lqtui", 0, 1)):
                if all(tensor.type is encodings[tensor.name].type for tensor in base.shape.tensors):
                    shards = [base.first_part]
                else:

                    def on_bytes(done: int, total: int) -> None:
                        told("quantizing", "MiB", done >> 20, total >> 20)

                    threads = task.threads
                    shards = fill_pool(base, encodings, entry, threads, on_bytes, sources=sources)
                told("loading", "model", 0, 1)
                model = opened.enter_context(runtime.loaded_model(shards, layers))
            on_run = partial(told, "prompt speed", "runs")
            speeds = bench.prompt_speed(model, task.n_prompt, task.repetitions, task.threads, on_run)
            send(SpeedMeasured(index, task.n_prompt, 0, speeds))
            on_run = partial(told, "generation speed", "runs")
            speeds = bench.generation_speed(model, task.n_gen, task.repetitions, task.threads, on_run)
            send(SpeedMeasured(index, 0, task.n_gen, speeds))

    runtime.with_layers_that_fit(task.gpu_layers, base.shape.block_count, attempt)
