"""Sweeps in the process of a test: recipes, chunks, and the scores that are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from gguf_files import tiny_text
from numpy.typing import NDArray

from lqtui.llama import runtime
from lqtui.llama.corpus import corpus_chunks
from lqtui.llama.gguf import BaseModel
from lqtui.llama.scoring import TokenScores
from lqtui.llama.sweep import Candidate, Sweep, SweepListener
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.store.pool import PoolEntry

TYPES = (TensorType.Q8_0, TensorType.Q4_0, TensorType.Q5_1)
Scores = dict[tuple[int, int], TokenScores]


def random_recipes(own: Mapping[str, Encoding], count: int, seed: int) -> list[Mapping[str, Encoding]]:
    """Recipes with long common beginnings, as sweeps have them, the base model among them."""
    random, names = np.random.default_rng(seed), list(own)
    recipes: list[dict[str, Encoding]] = [dict(own)]
    while len(recipes) < count:
        recipe = dict(recipes[random.integers(len(recipes))])
        for name in random.choice(names, random.integers(1, 4)):
            recipe[name] = Encoding(TYPES[random.integers(len(TYPES))])
        recipes.append(recipe)
    return recipes


def own_encodings(base: BaseModel) -> dict[str, Encoding]:
    return {tensor.name: Encoding(tensor.type) for tensor in quantizable_tensors(base.shape)}


def chunks_of(base: BaseModel, n_ctx: int, count: int, folder: Path) -> NDArray[np.int32]:
    text = folder / "text.txt"
    text.write_text(tiny_text())
    with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
        return corpus_chunks(vocabulary, text, n_ctx, count)


def run(
    base: BaseModel,
    recipes: Sequence[Mapping[str, Encoding]],
    chunks: NDArray[np.int32],
    entry: PoolEntry,
    *,
    known: Sequence[int] = (),
    pruned: Sequence[frozenset[int]] = (),
    divergence: bool = True,
    memory: int = 1 << 30,
    gpu_layers: int = 0,
    other_threads: Sequence[int] = (),
    on_blocks: Callable[[int, int], None] = lambda done, total: None,
    go_on: Callable[[int], bool] = lambda chunk: True,
) -> Scores:
    scores: Scores = {}
    candidates = [
        Candidate(encodings, known[i] if known else 0, pruned[i] if pruned else frozenset())
        for i, encodings in enumerate(recipes)
    ]

    def on_scores(recipe: int, chunk: int, told: TokenScores) -> None:
        assert (recipe, chunk) not in scores
        scores[recipe, chunk] = told

    listener = SweepListener(
        on_wait=lambda: None,
        on_quantized=lambda done, total: None,
        on_load=lambda: None,
        on_blocks=on_blocks,
        on_scores=on_scores,
        go_on=go_on,
    )
    Sweep(divergence, 1, gpu_layers, memory, other_threads).run(base, candidates, chunks, entry, listener)
    return scores


def same(a: Scores, b: Scores) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(x, y, equal_nan=x.dtype != np.bool_)
        for key in a
        for x, y in zip(a[key], b[key], strict=True)
        if x is not None and y is not None
    )
