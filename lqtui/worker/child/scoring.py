"""Score the recipes of a Measure task, and tell of each chunk as it comes."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import corpus, runtime
from lqtui.llama.forward import check_context
from lqtui.llama.gguf import BaseModel
from lqtui.llama.scoring import TokenScores
from lqtui.llama.sources import Sources
from lqtui.llama.sweep import Candidate, Sweep, SweepListener
from lqtui.measure.paired import MOST_CHUNKS, Scores
from lqtui.measure.sequential import look
from lqtui.store.pool import PoolEntry
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import ChunkScored, CorpusRead, Measure, Progress, UntilClear

_FIRST_ROUND = 4
"""Chunks that all recipes get before any gets more, where one asks after each round whether it is clear."""


def score(task: Measure, base: BaseModel, entry: PoolEntry, sources: Sources, send: Send) -> None:
    """Score the recipes of a task whose chunks are not all known."""
    # First of all: a context or a text that cannot be used is told before anything is quantized.
    check_context(task.n_ctx, base.shape.context_length)
    with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
        chunks = corpus.corpus_chunks(vocabulary, task.corpus, task.n_ctx, task.chunks, spread=task.spread)
    send(CorpusRead(len(chunks)))
    scoring = _Scoring(task, len(chunks), send)
    sweep = Sweep(task.divergence, task.threads, task.gpu_layers, task.memory, task.other_threads, sources)
    listener = SweepListener(
        on_wait=partial(send, Progress("waiting", 0, 1, "another lqtui")),
        on_quantized=lambda done, total: send(Progress("quantizing", done >> 20, total >> 20, "MiB")),
        on_load=partial(send, Progress("loading", 0, 1, "model")),
        on_blocks=scoring.on_blocks,
        on_scores=scoring.on_scores,
        go_on=lambda _: scoring.is_needed,
    )
    all_at_once = task.until_clear is None or sweep.holds(base, scoring.candidates)
    stop = len(chunks) if all_at_once else _FIRST_ROUND
    while scoring.is_needed:
        sweep.run(base, scoring.candidates, chunks[:stop], entry, listener)
        stop *= 2


class _Scoring:
    """What is scored by now of each recipe, and whether more is needed."""

    def __init__(self, task: Measure, chunks: int, send: Send) -> None:
        self._send = send
        self._chunks = chunks
        self._recipes = {i: recipe for i, recipe in enumerate(task.recipes) if recipe.perplexity}
        self._before = [recipe.chunks_known for recipe in self._recipes.values()]
        self._known = self._before.copy()
        self._verdict = _Verdict(task.until_clear) if task.until_clear else None
        self._blocks = 0
        self._last = time.perf_counter()

    @property
    def candidates(self) -> list[Candidate]:
        """The recipes to be scored, with the chunks that are known by now."""
        return [
            Candidate(recipe.encodings, known, frozenset(recipe.pruned))
            for recipe, known in zip(self._recipes.values(), self._known, strict=True)
        ]

    @property
    def is_needed(self) -> bool:
        """Whether chunks are missing, and not for nothing."""
        return min(self._known) < self._chunks and not (self._verdict and self._verdict.stands)

    def on_blocks(self, done: int, total: int) -> None:
        """Tell how many chunks of recipes are scored, of as many as it will probably take."""
        if done <= self._blocks:  # it begins, or goes on after recipes were quantized and loaded
            self._last = time.perf_counter()
        self._blocks = done
        before = sum(self._before)
        expected = self._verdict.expected_chunks if self._verdict else self._chunks
        of_all = 0
        if expected is not None:
            of_all = sum(max(min(expected, self._chunks), known) for known in self._known) - before
        # A sweep that may end with a verdict says nothing of the share of the work.
        share = done / total if total and not self._verdict else None
        self._send(Progress("scoring", sum(self._known) - before, of_all, "chunks", share=share))

    def on_scores(self, number: int, chunk: int, scores: TokenScores) -> None:
        """Tell a chunk's scores."""
        index = list(self._recipes)[number]
        self._known[number] = chunk + 1
        now = time.perf_counter()
        kld = None if scores.kld is None else scores.kld.astype(np.float32)
        self._send(
            ChunkScored(
                index,
                chunk,
                now - self._last,
                scores.nll.tobytes(),
                b"" if kld is None else kld.tobytes(),
                b"" if scores.same_top is None else scores.same_top.tobytes(),
            )
        )
        self._last = now
        if self._verdict:
            self._verdict.add(index, scores.nll if kld is None else kld)


class _Verdict:
    """What the chunks so far say of two recipes."""

    def __init__(self, asked: UntilClear) -> None:
        self._asked = asked
        self._means = tuple([math.nan if mean is None else mean for mean in known] for known in asked.known)
        self.stands = False
        """Whether no chunk more is needed: it is clear, or never will be because a recipe is broken."""
        self.expected_chunks: int | None = None
        """About how many chunks it takes in all; None as long as their spread is not known."""
        self._look()

    def add(self, recipe: int, of_tokens: NDArray[np.float64] | NDArray[np.float32]) -> None:
        """Take a recipe's scores of one more chunk."""
        for means, index in zip(self._means, self._asked.recipes, strict=True):
            if index == recipe:
                means.append(float(of_tokens.mean(dtype=np.float64)))
        self._look()

    def _look(self) -> None:
        common = min(map(len, self._means))
        if not common:
            return
        mine, its = (Scores(np.array(means[:common])[:, None]) for means in self._means)
        found = look(mine, its, self._asked.confidence)
        self.stands = found.decided_after is not None or math.isnan(found.difference.value)
        if self.stands:
            self.expected_chunks = common
        elif common > 1:
            more = MOST_CHUNKS if found.chunks_to_go is None else found.chunks_to_go
            self.expected_chunks = common + more
