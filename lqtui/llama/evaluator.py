"""One base model, loaded once, that evaluates any recipe of it on a chunk of text.

The types that recipes want of a weight lie in donors: models beside the base that hold quantized weights. For
each evaluation the base's graph is pointed at the weights of the recipe, and begins behind the blocks whose
result is known (`lqtui.llama.graph`). Both are proven on this very model before they are relied upon, by
comparing logits: bit by bit, on GPUs within `GPU_TOLERANCE`. Where a proof fails, the recipe's own model is
loaded and evaluated whole.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.forward import BATCH, Decoder, Piece
from lqtui.llama.graph import Changes, GraphMismatch, Hook, WeightUse, layout_holds
from lqtui.llama.runtime import context, loaded_model
from lqtui.recipe.imatrix import Encoding

Encodings = Mapping[str, Encoding]
"""How each quantizable tensor is written, by its name."""
States = list[NDArray[np.float32]]
"""A chunk's hidden states at one depth: one array for each decode that the chunk takes."""
Weight = tuple[str, int]
"""A weight's name and the operation that reads it: tied embeddings lie in memory once for each."""

_READING_OPS = ("MUL_MAT", "MUL_MAT_ID", "GET_ROWS")
"""Operations that can read a weight of any type."""
GPU_TOLERANCE = 1e-3
"""How far logits may lie apart on a GPU, where sums may be taken in any order, as a share of their spread.

A restart that is wrong attends to other tokens, and is off by about the whole spread.
"""
_SAMPLE_TOKENS = 32
_TIMED_TOKENS = 128


@dataclass(frozen=True)
class Donor:
    """A loaded model that lends the weights of `encodings`."""

    encodings: Encodings
    pointers: Mapping[Weight, int]


class Evaluator:
    """Evaluates recipes of a base model; use as a context manager.

    Args:
        base: The base model's first file.
        own: How its quantizable tensors are written.
        donors: For each donor its files and what it lends.
        n_ctx: Tokens of a chunk.
        threads: For computing; of several numbers the fastest is taken.
        gpu_layers: How many layers to offload, -1 for all.
        proofs: Which restarts were tried in earlier jobs: the depth, and whether it gave the same logits. New
            ones are added.
    """

    def __init__(
        self,
        base: Path,
        own: Encodings,
        donors: Sequence[tuple[Sequence[Path], Encodings]],
        n_ctx: int,
        threads: Sequence[int],
        gpu_layers: int,
        proofs: dict[int, bool],
    ) -> None:
        self._base, self._own_encodings, self._donor_files = base, own, donors
        self._n_ctx, self._thread_counts, self._gpu_layers = n_ctx, threads, gpu_layers
        self._threads = threads[0]
        self._tolerance = GPU_TOLERANCE if gpu_layers else 0.0
        self._proofs = proofs
        self._donors: list[Donor] = []
        self._hook = Hook()
        self._heads: tuple[Decoder, Hook] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Evaluator:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        if not layout_holds():
            raise GraphMismatch("this build of ggml lays its tensors out in another way")
        self._decoder = self._stack.enter_context(
            opened([self._base], self._gpu_layers, self._n_ctx, self._threads, self._hook)
        )
        if len(self._thread_counts) > 1:
            self._threads = self._fastest()
            self._decoder.use_threads(self._threads)
        self._sample = self._decoder.sample(min(_SAMPLE_TOKENS, self._n_ctx))
        rows, self.graph, own = self._hook.record(lambda: self._decoder.decode(self._sample))
        self._expected = rows.copy()
        self._own = {node: own[node] for node in self.graph.weights}
        for files, encodings in self._donor_files:
            self._donors.append(self._borrow(files, encodings))

    def _fastest(self) -> int:
        """The number of threads with which a piece of text is decoded soonest, tried twice each."""
        piece = self._decoder.sample(min(_TIMED_TOKENS, self._n_ctx))
        seconds = dict.fromkeys(self._thread_counts, math.inf)
        for threads in [*self._thread_counts, *self._thread_counts]:
            self._decoder.use_threads(threads)
            started = time.perf_counter()
            self._decoder.decode(piece)
            seconds[threads] = min(seconds[threads], time.perf_counter() - started)
        return min(seconds, key=seconds.__getitem__)

    @property
    def depths(self) -> int:
        """The number of depths at which the model's graph could be restarted; the last is the head."""
        return len(self.graph.boundaries)

    def level(self, name: str) -> int:
        """The first level (0 to `depths`) at which a tensor is read; the last one where it never is."""
        nodes = [node for node, use in self.graph.weights.items() if use.name == name]
        return self.graph.depth_of(min(nodes)) if nodes else self.depths

    def evaluate(
        self,
        chunk: NDArray[np.int32],
        encodings: Encodings,
        depth: int = 0,
        states: States | None = None,
        kept: Mapping[int, States] | None = None,
        pruned: frozenset[int] = frozenset(),
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        """Decode a chunk and yield the logits of its second half, with the tokens that they predict.

        Args:
            chunk: Shape (n_ctx,).
            encodings: The recipe.
            depth: Where to restart: `states` are the chunk's hidden states there.
            states: None at depth 0.
            kept: Lists to which the hidden states at these depths are added.
            pruned: Blocks that are left out, their inputs handed on.

        Yields:
            Shapes (n, n_vocab) and (n,) for each decode with scored tokens; valid until the next.
        """
        kept = kept or {}
        weights = self._pointers(encodings)
        for number, piece in enumerate(self._decoder.pieces(chunk)):
            changes = Changes(weights, depth, states[number] if states else None, tuple(kept), pruned)
            rows, captured = self._changed(piece, changes)
            for at, state in captured.items():
                kept[at].append(state)
            if len(piece.targets):
                yield rows, piece.targets

    def heads(
        self, chunk: NDArray[np.int32], states: States
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        """The base model's logits once more, from its hidden states before the head.

        It may run while an evaluation of the same chunk is at work: it has a context of its own.
        """
        if self._heads is None:
            hook = Hook()
            made = self._stack.enter_context(
                context(self._decoder.model, self._n_ctx, min(self._n_ctx, BATCH), self._threads, hook)
            )
            self._heads = self._stack.enter_context(Decoder(self._decoder.model, made)), hook
        decoder, hook = self._heads
        for state, piece in zip(states, decoder.pieces(chunk), strict=True):
            if len(piece.targets):
                alone = piece._replace(start=0)  # the head asks for no position
                changes = Changes(self._own, self.depths, state)
                rows, _ = hook.change(self.graph, changes, partial(decoder.decode, alone))
                yield rows, piece.targets

    def usable(self, depth: int) -> bool:
        """Whether a restart at a depth gives the logits of a whole evaluation; tried once a model."""
        if depth not in self._proofs:
            self._proofs[depth] = self._prove(depth)
        return self._proofs[depth]

    def _prove(self, depth: int) -> bool:
        """Restart on the sample, other tokens having been computed meanwhile."""
        sample = self._sample
        other = sample._replace(tokens=sample.tokens[::-1].copy())
        with contextlib.suppress(GraphMismatch):
            _, captured = self._changed(sample, Changes(self._own, capture=[depth]))
            self._changed(other, Changes(self._own))
            rows, _ = self._changed(sample, Changes(self._own, depth, captured[depth]))
            return agree(rows, self._expected, self._tolerance)
        return False

    def _changed(
        self, piece: Piece, changes: Changes
    ) -> tuple[NDArray[np.float32], dict[int, NDArray[np.float32]]]:
        return self._hook.change(self.graph, changes, lambda: self._decoder.decode(piece))

    def _pointers(self, encodings: Encodings) -> dict[int, int]:
        """Where each node is to read its weight for a recipe."""
        pointers = dict(self._own)
        for node, use in self.graph.weights.items():
            own = self._own_encodings.get(use.name)
            wanted = encodings.get(use.name, own)
            if wanted is not None and own is not None and wanted != own:
                pointers[node] = self._lent(use, wanted)
        return pointers

    def _lent(self, use: WeightUse, wanted: Encoding) -> int:
        for donor in self._donors:
            if donor.encodings.get(use.name) == wanted:
                return donor.pointers[use.name, use.op]
        raise KeyError(f"no donor has {use.name} as {wanted}")

    def _borrow(self, files: Sequence[Path], encodings: Encodings) -> Donor:
        """Load a donor, and compare what its weights give in the base's graph and in its own.

        Weights that it does not lend are the base's in both. Raises GraphMismatch where the logits differ.
        """
        hook = Hook()
        model = self._stack.enter_context(loaded_model(files, self._gpu_layers))
        with (
            context(model, self._n_ctx, min(self._n_ctx, BATCH), self._threads, hook) as made,
            Decoder(model, made) as decoder,
        ):
            _, graph, own = hook.record(lambda: decoder.decode(self._sample))
            lent = {node: own[node] for node, use in graph.weights.items() if use.name in encodings}
            if graph != self.graph or any(
                native.op_name(graph.weights[node].op) not in _READING_OPS for node in lent
            ):
                raise GraphMismatch("a weight is read in a way that its type may change")
            weights = {**self._own, **lent}
            theirs, _ = hook.change(graph, Changes(weights), lambda: decoder.decode(self._sample))
            ours, _ = self._changed(self._sample, Changes(weights))
            if not agree(ours, theirs, self._tolerance):
                raise GraphMismatch("a lent weight gives other logits than in its own model")
        return Donor(encodings, {(graph.weights[n].name, graph.weights[n].op): p for n, p in lent.items()})


def agree(ours: NDArray[np.float32], theirs: NDArray[np.float32], tolerance: float) -> bool:
    """Whether logits are the same: no further apart than `tolerance` of their spread, in every bit at 0."""
    if not tolerance:
        return ours.tobytes() == theirs.tobytes()
    return bool(np.abs(ours - theirs).max() <= tolerance * theirs.std())


@contextlib.contextmanager
def opened(
    files: Sequence[Path], gpu_layers: int, n_ctx: int, threads: int, hook: Hook | None = None
) -> Iterator[Decoder]:
    """A model loaded from its files, ready to decode chunks of `n_ctx` tokens."""
    with (
        loaded_model(files, gpu_layers) as model,
        context(model, n_ctx, min(n_ctx, BATCH), threads, hook) as made,
        Decoder(model, made) as decoder,
    ):
        yield decoder
