"""Evaluate recipes whole, each in its own loaded model: the slow way, right for every model.

It stands in where the fast way (`evaluator`) cannot be proven on a model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lqtui.llama.errors import EngineError
from lqtui.llama.evaluator import Encodings, States, opened
from lqtui.llama.forward import Decoder
from lqtui.recipe.imatrix import Encoding


class WholeEvaluator:
    """Has the one depth 0 and no restarts; use as a context manager.

    Args:
        files: Finds the files of a recipe's model, and keeps them in place while they are opened.
        n_ctx: Tokens of a chunk.
        threads: For computing.
        gpu_layers: How many layers to offload, -1 for all.
        memory: Bytes of models that may stay loaded, beside the one at work.
    """

    depths = 0

    def __init__(
        self,
        files: Callable[[Encodings], AbstractContextManager[Sequence[Path]]],
        n_ctx: int,
        threads: int,
        gpu_layers: int,
        memory: int,
    ) -> None:
        self._files = files
        self._n_ctx, self._threads, self._gpu_layers = n_ctx, threads, gpu_layers
        self._memory = memory
        self._loaded: dict[frozenset[tuple[str, Encoding]], tuple[contextlib.ExitStack, Decoder, int]] = {}

    def __enter__(self) -> WholeEvaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        while self._loaded:
            self._unload_oldest()

    def level(self, name: str) -> int:
        """Every tensor is read at level 0."""
        return 0

    def usable(self, depth: int) -> bool:
        """No restart is."""
        return False

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

        As `Evaluator.evaluate` does, which also tells the shapes.
        """
        if pruned:
            raise EngineError(
                "blocks of this model cannot be left out: llama.cpp's graph cannot be changed here"
            )
        decoder = self._decoder(encodings)
        for piece in decoder.pieces(chunk):
            rows = decoder.decode(piece)
            if len(piece.targets):
                yield rows, piece.targets

    def heads(
        self, chunk: NDArray[np.int32], states: States
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        """There are no hidden states to begin from."""
        raise NotImplementedError

    def _decoder(self, encodings: Encodings) -> Decoder:
        recipe = frozenset(encodings.items())
        if recipe not in self._loaded:
            with self._files(encodings) as files:
                self._loaded[recipe] = self._load(files)
        self._loaded[recipe] = self._loaded.pop(recipe)  # the last one used is the last one to go
        return self._loaded[recipe][1]

    def _load(self, files: Sequence[Path]) -> tuple[contextlib.ExitStack, Decoder, int]:
        size = sum(file.stat().st_size for file in files)
        while self._loaded and size + sum(held for *_, held in self._loaded.values()) > self._memory:
            self._unload_oldest()
        with contextlib.ExitStack() as stack:
            decoder = stack.enter_context(opened(files, self._gpu_layers, self._n_ctx, self._threads))
            return stack.pop_all(), decoder, size

    def _unload_oldest(self) -> None:
        stack, _, _ = self._loaded.pop(next(iter(self._loaded)))
        stack.close()
