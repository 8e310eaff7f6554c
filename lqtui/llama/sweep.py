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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native, runtime
from lqtui.llama.base_states import BaseStates
from lqtui.llama.evaluator import Encodings, Evaluator
from lqtui.llama.forward import check_context
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import GraphMismatch
from lqtui.llama.quantize import fill_pool
from lqtui.llama.scoring import TokenScores
from lqtui.llama.sources import NO_SOURCES, Sources
from lqtui.llama.sweep_run import Candidate, RecipeEvaluator, SweepListener, SweepRun
from lqtui.llama.whole import WholeEvaluator
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.store.pool import SCRATCH_PREFIX, PoolEntry

__all__ = ["Candidate", "Sweep", "SweepListener", "grouped", "share_out"]


@dataclass(frozen=True)
class Sweep:
    """How to score: against the base or for themselves, with how many threads, layers offloaded, and bytes.

    Where other numbers of threads are given, the one that decodes fastest is found by trying.
    `memory` is for what is held beside the base model: half of it for quantized weights, a quarter each for
    hidden states and the base's logits. With less of it more is computed again, and the numbers stay.
    `sources` are what candidates are quantized by, and copied from.
    """

    divergence: bool
    threads: int
    gpu_layers: int
    memory: int
    other_threads: Sequence[int] = ()
    sources: Sources = NO_SOURCES

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
        own = _own_encodings(base.shape)
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
            _Group(self, base, own, [candidates[i] for i in group], chunks, entry, heard).run()
            done = blocks.done

    def holds(self, base: BaseModel, candidates: Sequence[Candidate]) -> bool:
        """Whether all candidates are scored side by side, chunk by chunk, and not group after group."""
        return len(grouped(base.shape, _own_encodings(base.shape), candidates, self.memory // 2)) == 1


@dataclass
class _Group:
    """Candidates that are scored side by side; `candidates` know of what is scored by now."""

    sweep: Sweep
    base: BaseModel
    own: Encodings
    candidates: list[Candidate]
    chunks: NDArray[np.int32]
    entry: PoolEntry
    listener: SweepListener

    def run(self) -> None:
        """Score them, with as many layers on the GPU as its memory suffices for."""
        runtime.with_layers_that_fit(self.sweep.gpu_layers, self.base.shape.block_count, self._attempt)

    def _attempt(self, layers: int) -> None:
        placement = f"{layers} layers on {native.device_descriptions()}"
        states = BaseStates(self.entry.directory / "base", placement)
        try:
            with self._lending(layers, states) as evaluator:
                self._score(evaluator, states)
                return
        except GraphMismatch as reason:
            print(f"every recipe is loaded and evaluated whole: {reason}", file=sys.stderr)
        sweep, n_ctx = self.sweep, self.chunks.shape[1]
        with WholeEvaluator(self._files, n_ctx, sweep.threads, layers, sweep.memory) as whole:
            self._score(whole, states)

    def _score(self, evaluator: RecipeEvaluator, states: BaseStates) -> None:
        SweepRun(
            evaluator=evaluator,
            shape=self.base.shape,
            own=self.own,
            candidates=tuple(self.candidates),
            chunks=self.chunks,
            base_states=states,
            listener=self.listener._replace(on_scores=self._note_scores),
            divergence=self.sweep.divergence,
            threads=self.sweep.threads,
            memory=self.sweep.memory,
        ).run()

    def _note_scores(self, number: int, chunk: int, scores: TokenScores) -> None:
        """Tell scores, and know of them if this attempt fails and another begins."""
        self.candidates[number] = self.candidates[number]._replace(known=chunk + 1)
        self.listener.on_scores(number, chunk, scores)

    @contextlib.contextmanager
    def _lending(self, layers: int, states: BaseStates) -> Iterator[Evaluator]:
        """The base model, with donors that lend it what the candidates want."""
        proofs = states.load_proofs()
        with contextlib.ExitStack() as opened:
            opened.callback(states.save_proofs, proofs)
            with self.entry.lock(on_wait=self.listener.on_wait):
                donors = self._donors(opened)
                self.listener.on_load()
                evaluator = opened.enter_context(
                    Evaluator(
                        self.base.first_part,
                        self.own,
                        donors,
                        self.chunks.shape[1],
                        [self.sweep.threads, *self.sweep.other_threads],
                        layers,
                        proofs,
                    )
                )
            yield evaluator

    def _donors(self, opened: contextlib.ExitStack) -> list[tuple[Sequence[Path], Encodings]]:
        """Quantize what candidates want into as few models as possible; their files and what each lends."""
        by_name, directory = self.base.shape.by_name, self.entry.directory
        lent = share_out(self.own, [candidate.encodings for candidate in self.candidates])
        sizes = [sum(by_name[name].bytes_as(self.own[name].type) for name in model) for model in lent]
        holes = opened.enter_context(
            tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=directory, ignore_cleanup_errors=True)
        )
        donors: list[tuple[Sequence[Path], Encodings]] = []
        sources = self.sweep.sources
        for number, encodings in enumerate(lent):
            folder = Path(holes, str(number))
            folder.mkdir()
            on_bytes = partial(_told_of_all, self.listener.on_quantized, sum(sizes[:number]), sum(sizes))
            files = fill_pool(self.base, encodings, self.entry, self.sweep.threads, on_bytes, folder, sources)
            donors.append((files, encodings))
        return donors

    @contextlib.contextmanager
    def _files(self, encodings: Encodings) -> Iterator[Sequence[Path]]:
        """The files of a recipe's own model, quantized by then; they stay as long as this is entered."""
        if all(encodings.get(name, own) == own for name, own in self.own.items()):
            yield [self.base.first_part]
            return
        with self.entry.lock(on_wait=self.listener.on_wait):
            every = {**self.own, **encodings}
            sweep, told = self.sweep, self.listener.on_quantized
            yield fill_pool(self.base, every, self.entry, sweep.threads, told, sources=sweep.sources)


def _own_encodings(shape: ModelShape) -> dict[str, Encoding]:
    return {tensor.name: Encoding(tensor.type) for tensor in quantizable_tensors(shape)}


def grouped(shape: ModelShape, own: Encodings, candidates: Sequence[Candidate], room: int) -> list[list[int]]:
    """Candidates, by number, in groups whose quantized weights fit in `room` bytes, at least one in each."""
    groups: list[list[int]] = []
    held: set[tuple[str, Encoding]] = set()
    size = 0
    for number, candidate in enumerate(candidates):
        wanted = {pair for pair in candidate.encodings.items() if pair[1] != own.get(*pair)}
        more = sum(shape.by_name[name].bytes_as(encoding.type) for name, encoding in wanted - held)
        if not groups or size + more > room:
            groups.append([])
            held, size = set(), 0
            more = sum(shape.by_name[name].bytes_as(encoding.type) for name, encoding in wanted)
        groups[-1].append(number)
        held |= wanted
        size += more
    return groups


def share_out(own: Encodings, recipes: Sequence[Encodings]) -> list[dict[str, Encoding]]:
    """Every encoding that recipes want of a tensor, beside its own, put into as few models as they go into.

    A model holds a tensor once, so two encodings of one tensor go into two models.
    """
    wanted: dict[Encoding, set[str]] = {}
    for recipe in recipes:
        for name, encoding in recipe.items():
            if name in own and encoding != own[name]:
                wanted.setdefault(encoding, set()).add(name)
    models: list[dict[str, Encoding]] = []
    for encoding, names in wanted.items():
        model = next((model for model in models if not names & model.keys()), None)
        if model is None:
            models.append(model := {})
        model.update(dict.fromkeys(sorted(names), encoding))
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
