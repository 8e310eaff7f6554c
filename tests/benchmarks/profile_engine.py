"""Where the engine's time goes, and how far that is from what the machine's arithmetic allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from lqtui.llama import runtime, scoring, sweep
from lqtui.llama.corpus import corpus_chunks
from lqtui.llama.forward import Decoder
from lqtui.llama.gguf import BaseModel
from lqtui.llama.sweep import Candidate, Sweep, SweepListener
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.rules import quantizable_tensors
from lqtui.store.pool import Pool

_SIDE = 2048


def profile(model: Path, corpus: Path, chunks: int, threads: int, work: Path) -> str:
    """A Markdown table: seconds of a sweep of the eleven presets with KLD, by what they were spent on."""
    spent: dict[str, float] = {}
    timed = [
        (sweep, "fill_pool", "quantize"),
        (llama_cpp, "llama_model_load_from_file", "load"),
        (llama_cpp, "llama_model_load_from_splits", "load"),
        (llama_cpp, "llama_init_from_model", "load"),
        (Decoder, "decode", "decode"),
        (scoring, "token_divergence", "logits: NLL and KLD"),
    ]
    restore = [_timed(place, name, label, spent) for place, name, label in timed]
    blocks = [(0, 0)]
    try:
        with runtime.backend(), BaseModel(model) as base:
            with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
                tokens = corpus_chunks(vocabulary, corpus, 512, chunks)
            plans = [resolve(base.shape, preset(name, base.shape)) for name in PRESET_NAMES]
            candidates = [Candidate(plan.encodings) for plan in plans]
            listener = SweepListener(
                on_wait=lambda: None,
                on_quantized=lambda done, total: None,
                on_load=lambda: None,
                on_blocks=lambda done, total: blocks.append((done, total)),
                on_scores=lambda recipe, chunk, scores: None,
            )
            entry = Pool(work / "profile").entry("0" * 64, "profile")
            started = time.perf_counter()
            Sweep(True, threads, 0, 4 << 30).run(base, candidates, tokens, entry, listener)
            total = time.perf_counter() - started
            flops = _operations(base) * 512 * blocks[-1][1] / (base.shape.block_count + 1)
    finally:
        for undo in restore:
            undo()
    rows = [f"| a sweep of {len(plans)} presets with KLD | seconds | share |", "|---|---|---|"]
    for label, seconds in [*spent.items(), ("everything else", total - sum(spent.values()))]:
        rows.append(f"| {label} | {seconds:.2f} | {seconds / total:.0%} |")
    speed = _machine_speed()
    floor = flops / speed
    rows.append(f"| **all** | **{total:.2f}** | |")
    note = (
        f"{flops / 1e12:.2f} TFLOP of products, at the {speed / 1e9:.0f} GFLOP/s that a float32 product "
        f"of {_SIDE} x {_SIDE} reaches here, would take {floor:.1f} s: "
        f"{floor / spent['decode']:.0%} of the decoding."
    )
    return "\n".join([*rows, "", note])


def _timed(place: Any, name: str, label: str, spent: dict[str, float]) -> Callable[[], None]:
    original = getattr(place, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            spent[label] = spent.get(label, 0.0) + time.perf_counter() - started

    setattr(place, name, wrapped)
    return lambda: setattr(place, name, original)


def _operations(base: BaseModel) -> float:
    """Multiplications and additions per token of all matrix products of the blocks, and of half a head."""
    weights = {t.name: t.rows * t.columns for t in quantizable_tensors(base.shape)}
    blocks = sum(size for name, size in weights.items() if name.startswith("blk."))
    head = weights.get("output.weight", weights["token_embd.weight"])
    return 2.0 * (blocks + head / 2)


def _machine_speed() -> float:
    """Operations per second of a large single-precision matrix product, the best of five."""
    a = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), np.float32)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2.0 * _SIDE**3 / best
