"""Score many recipes of one base model in one go, chunk by chunk.

Chunk after chunk, all recipes are evaluated in the order in which they share most (`prefixes`), beginning
with the base model, whose logits the others are compared with while they are in memory. So every recipe has
its first numbers early, nothing has to be stored but a few numbers a token, and a stop loses one chunk at
most.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.base_states import BaseStates
from lqtui.llama.errors import LoadFailed
from lqtui.llama.evaluator import Evaluator, States, Types
from lqtui.llama.forward import check_context
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import GraphMismatch
from lqtui.llama.prefixes import Step, plan_steps
from lqtui.llama.quantize import fill_pool
from lqtui.llama.runtime import offloads
from lqtui.llama.scoring import BaseChunk, Rows, TokenScores, base_chunk, recipe_scores
from lqtui.llama.whole import WholeEvaluator
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.pool import PoolEntry


class Candidate(NamedTuple):
    """A recipe to be scored: the type of every quantizable tensor, and how many chunks are known already.

    `pruned` blocks are left out of the model. What is left is not renumbered, as `llama-quantize
    --prune-layers` does: the same, unless what a block does depends on its number (sliding windows).
    """

    types: Types
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


@dataclass(frozen=True)
class Sweep:
    """How to score: against the base or for themselves, with how many threads, layers offloaded, and bytes.

    Where other numbers of threads are given, the one that decodes fastest is found by trying.
    `memory` is for what is held beside the base model: half of it for quantized weights, a quarter each for
    hidden states and the base's logits. With less of it more is computed again, and the numbers stay.
    """

    divergence: bool
    threads: int
    gpu_layers: int
    memory: int
    other_threads: Sequence[int] = ()

    def run(
        self,
        base: BaseModel,
        candidates: Sequence[Candidate],
        chunks: NDArray[np.int32],
        entry: PoolEntry,
        listener: SweepListener,
    ) -> None:
        """Score all candidates on all chunks, shape (chunks, n_ctx).

        The pool's entry is held while its files are written or opened. Where the model's graph cannot be
        changed, each recipe's own model is loaded instead. Where memory of the GPU does not suffice for all
        layers, fewer are offloaded, in the end none.
        """
        check_context(chunks.shape[1], base.shape.context_length)
        own = _own_types(base.shape)
        groups = grouped(base.shape, own, candidates, self.memory // 2)
        missing = [sum(max(0, len(chunks) - candidates[i].known) for i in group) for group in groups]
        done = 0
        for number, group in enumerate(groups):
            if not missing[number]:
                continue
            blocks = _BlocksOfAll(listener.on_blocks, done, sum(missing[number:]) / missing[number])
            heard = listener._replace(
                on_blocks=blocks, on_scores=partial(_scored_of_all, listener.on_scores, group)
            )
            self._run_group(base, own, [candidates[i] for i in group], chunks, entry, heard)
            done = blocks.done

    def holds(self, base: BaseModel, candidates: Sequence[Candidate]) -> bool:
        """Whether all candidates are scored side by side, chunk by chunk, and not group after group."""
        return len(grouped(base.shape, _own_types(base.shape), candidates, self.memory // 2)) == 1

    def _run_group(
        self,
        base: BaseModel,
        own: Types,
        candidates: Sequence[Candidate],
        chunks: NDArray[np.int32],
        entry: PoolEntry,
        listener: SweepListener,
    ) -> None:
        for layers in offloads(self.gpu_layers, base.shape.block_count):
            states = BaseStates(
                entry.directory / "base", f"{layers} layers on {native.device_descriptions()}"
            )
            proofs = states.load_proofs()
            try:
                with contextlib.ExitStack() as opened:
                    opened.callback(states.save_proofs, proofs)
                    with entry.lock(on_wait=listener.on_wait):
                        donors = self._donors(base, own, candidates, entry, listener, opened)
                        listener.on_load()
                        evaluator = opened.enter_context(
                            Evaluator(
                                base.first_part,
                                own,
                                donors,
                                chunks.shape[1],
                                [self.threads, *self.other_threads],
                                layers,
                                proofs,
                            )
                        )
                    _Run(self, evaluator, own, candidates, chunks, states, listener).run()
                    return
            except LoadFailed as error:
                if not layers:
                    raise
                print(f"{error}; trying with fewer layers on the GPU", file=sys.stderr)
            except GraphMismatch as reason:
                print(f"every recipe is loaded and evaluated whole: {reason}", file=sys.stderr)
                break

        def files(types: Types) -> list[Path]:
            if all(types.get(name, own[name]) is own[name] for name in own):
                return [base.first_part]
            with entry.lock(on_wait=listener.on_wait):
                return fill_pool(base, {**own, **types}, entry, self.threads, listener.on_quantized)

        with WholeEvaluator(files, chunks.shape[1], self.threads, layers, self.memory) as whole:
            _Run(self, whole, own, candidates, chunks, states, listener).run()

    def _donors(
        self,
        base: BaseModel,
        own: Types,
        candidates: Sequence[Candidate],
        entry: PoolEntry,
        listener: SweepListener,
        opened: contextlib.ExitStack,
    ) -> list[tuple[Sequence[Path], Types]]:
        """Quantize what candidates want into as few models as possible; their files and what each lends."""
        lent = share_out_types(own, [candidate.types for candidate in candidates])
        sizes = [sum(base.shape.by_name[name].bytes_as(own[name]) for name in types) for types in lent]
        holes = opened.enter_context(
            tempfile.TemporaryDirectory(prefix="holes-", dir=entry.directory, ignore_cleanup_errors=True)
        )
        donors: list[tuple[Sequence[Path], Types]] = []
        for number, types in enumerate(lent):
            folder = Path(holes, str(number))
            folder.mkdir()
            on_bytes = partial(_told_of_all, listener.on_quantized, sum(sizes[:number]), sum(sizes))
            donors.append((fill_pool(base, types, entry, self.threads, on_bytes, folder), types))
        return donors


def _own_types(shape: ModelShape) -> dict[str, TensorType]:
    return {tensor.name: tensor.type for tensor in quantizable_tensors(shape)}


def grouped(shape: ModelShape, own: Types, candidates: Sequence[Candidate], room: int) -> list[list[int]]:
    """Candidates, by number, in groups whose quantized weights fit in `room` bytes, at least one in each."""
    groups: list[list[int]] = []
    held: set[tuple[str, TensorType]] = set()
    size = 0
    for number, candidate in enumerate(candidates):
        wanted = {(name, kind) for name, kind in candidate.types.items() if kind is not own.get(name, kind)}
        more = sum(shape.by_name[name].bytes_as(kind) for name, kind in wanted - held)
        if not groups or size + more > room:
            groups.append([])
            held, size = set(), 0
            more = sum(shape.by_name[name].bytes_as(kind) for name, kind in wanted)
        groups[-1].append(number)
        held |= wanted
        size += more
    return groups


def share_out_types(own: Types, recipes: Sequence[Types]) -> list[dict[str, TensorType]]:
    """Every type that recipes want of a tensor, beside its own, put into as few models as types go together.

    A model holds a tensor in one type, so two types of one tensor go into two models.
    """
    wanted: dict[TensorType, set[str]] = {}
    for types in recipes:
        for name, tensor_type in types.items():
            if name in own and tensor_type is not own[name]:
                wanted.setdefault(tensor_type, set()).add(name)
    models: list[dict[str, TensorType]] = []
    for tensor_type, names in wanted.items():
        model = next((model for model in models if not names & model.keys()), None)
        if model is None:
            models.append(model := {})
        model.update(dict.fromkeys(sorted(names), tensor_type))
    return models


def _scored_of_all(
    tell: Callable[[int, int, TokenScores], None],
    group: Sequence[int],
    i: int,
    chunk: int,
    scores: TokenScores,
) -> None:
    tell(group[i], chunk, scores)


@dataclass
class _BlocksOfAll:
    """Tells of a group's blocks as part of all: as if the groups that follow took as many for each chunk."""

    tell: Callable[[int, int], None]
    before: int
    share: float
    """How many times the work of this group, this one and those that follow are."""
    done: int = 0

    def __call__(self, done: int, total: int) -> None:
        self.done = self.before + done
        self.tell(self.done, self.before + round(total * self.share))


def _told_of_all(tell: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


class _Distinct(NamedTuple):
    """A candidate, and the numbers of all candidates that it answers because they are the same weights."""

    candidate: Candidate
    answers: list[int]


@dataclass
class _Run:
    """One sweep in progress."""

    sweep: Sweep
    evaluator: Evaluator | WholeEvaluator
    own: Types
    candidates: Sequence[Candidate]
    chunks: NDArray[np.int32]
    base_states: BaseStates
    listener: SweepListener

    def run(self) -> None:
        plans = [self._steps(number) for number in range(len(self.chunks))]
        total = sum(
            self._levels_of(step, chunk)
            for (_, steps), chunk in zip(plans, self.chunks, strict=True)
            for step in steps
        )
        done = 0
        self.listener.on_blocks(0, total)
        with ThreadPoolExecutor(self.sweep.threads) as workers:
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
        if missing and self.sweep.divergence:
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
            levels[self._levels[name]].append(candidate.types.get(name, self.own[name]))
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
            if self.sweep.divergence and step.recipe == 0:
                base = self._base(chunk, step, kept, workers)
                scores = base.scores
            else:
                new: dict[int, States] = {at: [] for at in self._affordable(step.keep, kept)}
                depth = max((d for d in kept if d <= step.depth), default=0)
                logits = self.evaluator.evaluate(
                    chunk, candidate.types, depth, kept.get(depth), new, candidate.pruned
                )
                scores = recipe_scores(logits, base, workers)
                kept |= new
            for i in answered:
                self.listener.on_scores(i, number, scores)
            yield levels

    def _levels_of(self, step: Step, chunk: NDArray[np.int32]) -> int:
        """How many levels a step evaluates: of the base model the head alone, where the rest is known."""
        is_base = self.sweep.divergence and step.recipe == 0
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

        size = 4 * self.evaluator.vocab_size * (len(chunk) - len(chunk) // 2)
        base = base_chunk(logits, workers, again if head and size > self.sweep.memory // 4 else None)
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
        size = 4 * self.evaluator.embedding_length * self.chunks.shape[1]
        room = self.sweep.memory // 4 // size - len(kept)
        return sorted(wanted)[max(0, len(wanted) - max(0, room)) :]
