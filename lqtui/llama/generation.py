"""Text that a model makes: one token at a time, chosen greedily or by chance that two models can share."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import lru_cache

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from lqtui.llama.runtime import Context, Model, clear, decode

_BATCH = 512
_SCORED_BATCH = 64
"""Tokens decoded at once where the logits of all are wanted: they are large."""

OnRead = Callable[[int, int], None]
"""Told while a prompt is read: tokens read, tokens in all."""


class Choice:
    """How the next token is chosen, by the same chance for every model that is asked.

    At temperature 0 it is the likeliest. Else it is drawn by the Gumbel-max trick: the largest of
    logit / temperature plus noise that depends on the seed and the position alone. So two models that are
    nearly alike mostly draw the same token, and where they do not, it is the models that differ.
    """

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature, self._seed = temperature, seed
        self._noise = lru_cache(maxsize=2)(self._drawn)

    def __call__(self, logits: NDArray[np.float32], position: int) -> int | None:
        """The token for the position-th place of an answer; None where the model gives no numbers."""
        if np.isnan(logits).any():
            return None
        if not self._temperature:
            return int(logits.argmax())
        return int((logits / self._temperature + self._noise(position, len(logits))).argmax())

    def _drawn(self, position: int, count: int) -> NDArray[np.float32]:
        return np.random.default_rng((self._seed, position)).gumbel(size=count).astype(np.float32)


class Speaker:
    """A loaded model that goes on with a text, in a context of its own; one call at a time."""

    def __init__(self, model: Model, made: Context) -> None:
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._n_vocab = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._made = made
        self.seconds = 0.0
        """What the last decode of a single token took."""

    def read(self, tokens: NDArray[np.int32], on_read: OnRead = lambda done, total: None) -> None:
        """Forget everything, and read a text; the logits then tell what comes after it."""
        clear(self._made)
        for start in range(0, len(tokens), _BATCH):
            piece = np.ascontiguousarray(tokens[start : start + _BATCH])
            decode(self._made, llama_cpp.llama_batch_get_one(_pointer(piece), len(piece)))
            llama_cpp.llama_synchronize(self._made)
            on_read(start + len(piece), len(tokens))

    def say(self, token: int) -> None:
        """Take a token as said, and time that."""
        one = np.array([token], np.int32)
        began = time.perf_counter()
        decode(self._made, llama_cpp.llama_batch_get_one(_pointer(one), 1))
        llama_cpp.llama_synchronize(self._made)
        self.seconds = time.perf_counter() - began

    @property
    def logits(self) -> NDArray[np.float32]:
        """What comes next, shape (n_vocab,), valid until the next decode."""
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._made, -1), (self._n_vocab,))

    def agreement(self, prompt: NDArray[np.int32], answer: list[int], choose: Choice) -> int:
        """How many tokens of another model's answer this model would choose too, given those before them."""
        self.read(prompt)
        same = int(choose(self.logits, 0) == answer[0])
        batch = llama_cpp.llama_batch_init(_SCORED_BATCH, 0, 1)
        try:
            for start in range(0, len(answer) - 1, _SCORED_BATCH):
                piece = answer[start : min(start + _SCORED_BATCH, len(answer) - 1)]
                batch.n_tokens = len(piece)
                for i, token in enumerate(piece):
                    batch.token[i], batch.pos[i] = token, len(prompt) + start + i
                    batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
                decode(self._made, batch)
                rows = np.ctypeslib.as_array(
                    llama_cpp.llama_get_logits_ith(self._made, 0), (len(piece), self._n_vocab)
                )
                for i, row in enumerate(rows, start=start + 1):
                    same += choose(row, i) == answer[i]
        finally:
            llama_cpp.llama_batch_free(batch)
        return same

    def ends(self, token: int) -> bool:
        """Whether a token ends an answer."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def bytes_of(self, token: int) -> bytes:
        """The bytes of text that a token stands for, which need not be whole characters."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            room = -length


def _pointer(tokens: NDArray[np.int32]) -> object:
    return tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
