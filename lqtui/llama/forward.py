"""Forward passes over corpus chunks, as llama-perplexity does them: the logits of every scored token.

The memory is cleared before each chunk, a chunk's first token is replaced by BOS where the vocabulary adds
one, and the first half serves as context only: the logits at positions first … n_ctx - 2, with
first = n_ctx // 2, score the tokens after them.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from lqtui.llama.errors import EngineError
from lqtui.llama.runtime import Context, Model, clear, decode

BATCH = 512
"""Tokens decoded at once; a longer chunk takes several decodes."""


class Piece(NamedTuple):
    """What one decode takes of a chunk.

    `tokens` come at positions `start` …; logits are asked for from the row `first_output` on, and the first
    of them predict `targets`.
    """

    tokens: NDArray[np.int32]
    start: int
    first_output: int
    targets: NDArray[np.int32]


def check_context(n_ctx: int, trained: int) -> None:
    """Refuse a context longer than the one that a model was trained for, where that is known (not 0)."""
    if trained and n_ctx > trained:
        raise EngineError(
            f"a context of {n_ctx} tokens is longer than the model's own of {trained}; choose a smaller --ctx"
        )


class Decoder:
    """Decodes chunks in one context; use as a context manager, and one decode at a time."""

    def __init__(self, model: Model, made: Context) -> None:
        vocab = llama_cpp.llama_model_get_vocab(model)
        self.vocab_size = int(llama_cpp.llama_vocab_n_tokens(vocab))
        self._bos = llama_cpp.llama_vocab_bos(vocab) if llama_cpp.llama_vocab_get_add_bos(vocab) else None
        self._trained = int(llama_cpp.llama_model_n_ctx_train(model))
        self.model = model
        self._made = made

    def __enter__(self) -> Decoder:
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        return self

    def __exit__(self, *exception: object) -> None:
        llama_cpp.llama_batch_free(self._batch)

    def use_threads(self, threads: int) -> None:
        """Decode with so many threads from now on."""
        llama_cpp.llama_set_n_threads(self._made, threads, threads)

    def pieces(self, chunk: NDArray[np.int32]) -> list[Piece]:
        """A chunk of shape (n_ctx,) as the decodes that it takes; EngineError where it is too long."""
        n_ctx = len(chunk)
        check_context(n_ctx, self._trained)
        fed = chunk.copy()
        if self._bos is not None:
            fed[0] = self._bos
        first = n_ctx // 2
        return [
            Piece(
                fed[start : start + BATCH],
                start,
                min(max(first - start, 0), BATCH),
                chunk[max(start, first) + 1 : start + BATCH + 1],
            )
            for start in range(0, n_ctx, BATCH)
        ]

    def sample(self, count: int) -> Piece:
        """A piece of `count` tokens that no text has, to try the model on."""
        tokens = (1 + 97 * np.arange(count, dtype=np.int64)) % self.vocab_size
        half = count // 2
        return Piece(tokens.astype(np.int32), 0, half, tokens[half:].astype(np.int32))

    def decode(self, piece: Piece) -> NDArray[np.float32]:
        """The logits that predict a piece's targets, shape (n, n_vocab), valid until the next decode.

        The pieces of a chunk must come in order; the first clears the memory.
        """
        if piece.start == 0:
            clear(self._made)
        self._fill(piece)
        decode(self._made, self._batch)
        count = len(piece.targets)
        if not count:
            return np.empty((0, self.vocab_size), np.float32)
        pointer = llama_cpp.llama_get_logits_ith(self._made, piece.first_output)
        return np.ctypeslib.as_array(pointer, (count, self.vocab_size))

    def _fill(self, piece: Piece) -> None:
        batch, count = self._batch, len(piece.tokens)
        batch.n_tokens = count
        np.ctypeslib.as_array(batch.token, (count,))[:] = piece.tokens
        np.ctypeslib.as_array(batch.pos, (count,))[:] = np.arange(piece.start, piece.start + count)
        np.ctypeslib.as_array(batch.n_seq_id, (count,))[:] = 1
        for i in range(count):
            batch.seq_id[i][0] = 0
        wanted = np.ctypeslib.as_array(ctypes.cast(batch.logits, ctypes.POINTER(ctypes.c_int8)), (count,))
        wanted[:] = np.arange(count) >= piece.first_output
