"""Tokens per second, as llama-bench defines them.

One test is `n_prompt` random tokens decoded in one batch, or `n_gen` random tokens decoded one at a time,
from an empty memory; a warm-up run comes first and is not counted. Source: llama.cpp's llama-bench.cpp.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import llama_cpp
import numpy as np

from lqtui.llama.runtime import Context, Model, clear, context, decode

_BATCH = 2048
OnRun = Callable[[int, int], None]
"""Told after each run: runs done, runs in all (the warm-up counts as one)."""


def prompt_speed(model: Model, n_prompt: int, repetitions: int, threads: int, on_run: OnRun) -> list[float]:
    """Tokens per second of each repetition of a prompt of `n_prompt` tokens (pp)."""
    with context(model, n_prompt, _BATCH, threads) as made:
        return _timed(
            made,
            lambda: _prompt(made, n_prompt),
            lambda: _prompt(made, n_prompt),
            n_prompt,
            repetitions,
            on_run,
        )


def generation_speed(model: Model, n_gen: int, repetitions: int, threads: int, on_run: OnRun) -> list[float]:
    """Tokens per second of each repetition of generating `n_gen` tokens (tg)."""
    with context(model, n_gen, _BATCH, threads) as made:
        return _timed(
            made, lambda: _generate(made, 1), lambda: _generate(made, n_gen), n_gen, repetitions, on_run
        )


def _timed(
    made: Context,
    warm_up: Callable[[], None],
    run: Callable[[], None],
    n_tokens: int,
    repetitions: int,
    on_run: OnRun,
) -> list[float]:
    warm_up()
    on_run(1, repetitions + 1)
    speeds = []
    for repetition in range(repetitions):
        clear(made)
        start = time.perf_counter_ns()
        run()
        speeds.append(1e9 * n_tokens / (time.perf_counter_ns() - start))
        on_run(repetition + 2, repetitions + 1)
    return speeds


def _prompt(made: Context, n_prompt: int) -> None:
    for start in range(0, n_prompt, _BATCH):
        count = min(n_prompt - start, _BATCH)
        tokens = _random_tokens(made, count)
        if start == 0:
            tokens[0] = _first_token(made)
        decode(made, llama_cpp.llama_batch_get_one(_pointer(tokens), count))
    llama_cpp.llama_synchronize(made)


def _generate(made: Context, n_gen: int) -> None:
    tokens = _random_tokens(made, n_gen)
    tokens[0] = _first_token(made)
    for i in range(n_gen):
        decode(made, llama_cpp.llama_batch_get_one(_pointer(tokens[i:]), 1))
        llama_cpp.llama_synchronize(made)


def _random_tokens(made: Context, count: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    vocab = llama_cpp.llama_model_get_vocab(llama_cpp.llama_get_model(made))
    return np.random.default_rng().integers(llama_cpp.llama_vocab_n_tokens(vocab), size=count, dtype=np.int32)


def _first_token(made: Context) -> int:
    vocab = llama_cpp.llama_model_get_vocab(llama_cpp.llama_get_model(made))
    if llama_cpp.llama_vocab_get_add_bos(vocab):
        return int(llama_cpp.llama_vocab_bos(vocab))
    return int(_random_tokens(made, 1)[0])


def _pointer(tokens: np.ndarray[tuple[int], np.dtype[np.int32]]) -> object:
    return tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
