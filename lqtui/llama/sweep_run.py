"""One run over a text: chunk after chunk, what recipes are missing, in the order in which they share most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lqtui.llama.base_states import BaseStates
from lqtui.llama.evaluator import Encodings, States
from lqtui.llama.prefixes import Step, plan_steps
from lqtui.llama.scoring import BaseChunk, Rows, TokenScores, base_chunk, recipe_scores
from lqtui.recipe.shape import ModelShape


class Candidate(NamedTuple):
    """A recipe to be scored: how every quantizable tensor is written, and how many chunks are known already.

    `pruned` blocks are left out of the model. What is left is not renumbered, as `llama-quantize
    --prune-layers` does: the same, unless what a block does depends on its number (sliding windows).
    """

    encodings: Encodings
    known: int = 0
    pruned: frozenset[int] = frozenset()


class SweepListener(NamedTuple):
    """Whom a sweep tells: that it waits or loads, bytes quantized and blocks evaluated of all, and scores."""

    on_wait: Callable[[], None]
    on_quantized: Callable[[int, int], None]
    on_load: Callable[[], None]
    on_blocks: Callable[[int, int], None]
    on_scores: Callable[[int, int, TokenScores], None]
    """Called with the recipe's number, the chunk's, and its scores."""
    go_on: Callable[[int], bool] = lambda chunk: True
    """Asked after each chunk."""


class RecipeEvaluator(Protocol):
    """Evaluates any recipe of a base model on a chunk, whole or from where its beginning is known."""

    @property
    def depths(self) -> int:
        """The number of depths at which the model could be restarted; the last is the head."""

    def level(self, name: str) -> int:
        """The first level (0 to `depths`) at which a tensor is read."""

    def usable(self, depth: int) -> bool:
        """Whether a restart at a depth is valid."""

    def evaluate(
        self,
        chunk: NDArray[np.int32],
        encodings: Encodings,
        depth: int = 0,
        states: States | None = None,
        kept: Mapping[int, States] | None = None,
        pruned: frozenset[int] = frozenset(),
    ) -> Rows:
        """Logits of a chunk's second half, from the hidden states at a depth, some others being kept."""

    def heads(self, chunk: NDArray[np.int32], states: States) -> Rows:
        """The base model's logits once more, where a restart at the head is valid."""


class _Distinct(NamedTuple):
    """A candidate, and the numbers of all candidates that it answers because they are the same weights."""

    candidate: Candidate
    answers: list[int]


@dataclass
class SweepRun:
    """Scores candidates on chunks with one evaluator; how is what the last fields say, as a Sweep's do."""

    evaluator: RecipeEvaluator
    shape: ModelShape
    own: Encodings
    candidates: Sequence[Candidate]
    chunks: NDArray[np.int32]
    base_states: BaseStates
    listener: SweepListener
    divergence: bool
    threads: int
    memory: int

    def run(self) -> None:
        """Score what candidates are missing of each chunk, until the listener says that it is enough."""
        plans = [self._steps(number) for number in range(len(self.chunks))]
        total = sum(
            self._levels_of(step, chunk)
            for (_, steps), chunk in zip(plans, self.chunks, strict=True)
            for step in steps
        )
        done = 0
        self.listener.on_blocks(0, total)
        with ThreadPoolExecutor(self.threads) as workers:
            for number, (types, steps) in enumerate(plans):
                for recipes in self._scored(number, types, steps, workers):
                    done += recipes
                    self.listener.on_blocks(done, total)
                if steps and not self.listener.go_on(number):
                    return

    def _steps(self, chunk: int) -> tuple[list[_Distinct], list[Step]]:
        """The different recipes that a chunk is missing, and the steps to evaluate them.

        Each recipe comes with the candidates that it answers; the base model is first where it is wanted.
        """
        missing = [i for i, candidate in enumerate(self.candidates) if candidate.known <= chunk]
        distinct: dict[tuple[tuple[object, ...], ...], _Distinct] = {}
        if missing and self.divergence:
            distinct[self._path(Candidate(self.own))] = _Distinct(Candidate(self.own), [])
        for i in missing:
            candidate = self.candidates[i]
            distinct.setdefault(self._path(candidate), _Distinct(candidate, [])).answers.append(i)
        return list(distinct.values()), plan_steps(list(distinct), self.evaluator.usable)

    def _path(self, candidate: Candidate) -> tuple[tuple[object, ...], ...]:
        levels: list[list[object]] = [
            [level in candidate.pruned] for level in range(self.evaluator.depths + 1)
        ]
        for name in self.own:
            levels[self._levels[name]].append(candidate.encodings.get(name, self.own[name]))
        return tuple(map(tuple, levels))

    def __post_init__(self) -> None:
        self._levels: Mapping[str, int] = {name: self.evaluator.level(name) for name in self.own}

    def _scored(
        self,
        number: int,
        recipes: list[_Distinct],
        steps: list[Step],
        workers: ThreadPoolExecutor,
    ) -> Iterator[int]:
        """Evaluate one chunk of all recipes, and yield the blocks that each took."""
        chunk = self.chunks[number]
        base: BaseChunk | None = None
        kept: dict[int, States] = {}
        for step in steps:
            candidate, answered = recipes[step.recipe]
            levels = self._levels_of(step, chunk)
            kept = {depth: states for depth, states in kept.items() if depth <= step.shared}
            if self.divergence and step.recipe == 0:
                base = self._base(chunk, step, kept, workers)
                scores = base.scores
            else:
                new: dict[int, States] = {at: [] for at in self._affordable(step.keep, kept)}
                depth = max((d for d in kept if d <= step.depth), default=0)
                logits = self.evaluator.evaluate(
                    chunk, candidate.encodings, depth, kept.get(depth), new, candidate.pruned
                )
                scores = recipe_scores(logits, base, workers)
                kept |= new
            for i in answered:
                self.listener.on_scores(i, number, scores)
            yield levels

    def _levels_of(self, step: Step, chunk: NDArray[np.int32]) -> int:
        """How many levels a step evaluates: of the base model the head alone, where the rest is known."""
        is_base = self.divergence and step.recipe == 0
        if is_base and not step.keep and self._head_depth() and self.base_states.has(chunk):
            return 1
        return self.evaluator.depths + 1 - step.depth

    def _base(
        self, chunk: NDArray[np.int32], step: Step, kept: dict[int, States], workers: ThreadPoolExecutor
    ) -> BaseChunk:
        """Score the base model, from its hidden states before the head where these are known and suffice."""
        head = self._head_depth()
        states = self.base_states.load(chunk) if head and not step.keep else None
        new: dict[int, States] = {at: [] for at in self._affordable(step.keep, kept)}
        if head and states is None:
            new.setdefault(head, [])
        logits = self.evaluator.evaluate(chunk, self.own, head if states else 0, states, new)
        before_head = states or new.get(head, [])

        def again() -> Rows:
            return self.evaluator.heads(chunk, before_head)

        size = 4 * self.shape.vocab_size * (len(chunk) - len(chunk) // 2)
        base = base_chunk(logits, workers, again if head and size > self.memory // 4 else None)
        if head and states is None:
            self.base_states.save(chunk, new[head])
        kept |= new
        return base

    def _head_depth(self) -> int:
        """The depth of the head where a restart there is valid, else 0."""
        depth = self.evaluator.depths
        return depth if depth and self.evaluator.usable(depth) else 0

    def _affordable(self, wanted: Sequence[int], kept: Mapping[int, States]) -> list[int]:
        """Of the depths to keep, the deepest that the memory suffices for: they save most."""
        size = 4 * max(1, self.shape.embedding_length) * self.chunks.shape[1]
        room = self.memory // 4 // size - len(kept)
        return sorted(wanted)[max(0, len(wanted) - max(0, room)) :]
