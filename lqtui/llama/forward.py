"""Forward passes over corpus chunks: the NLL of every scored token."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from lqtui.llama.errors import EngineError
from lqtui.llama.runtime import Context, Model, clear, context, decode
from lqtui.measure.perplexity import token_nll

_BATCH = 512


def chunk_nlls(model: Model, chunks: NDArray[np.int32], threads: int) -> Iterator[NDArray[np.float64]]:
    """Yield each chunk's NLLs in turn: n_ctx - 1 - n_ctx // 2 values, for its second half's tokens.

    The algorithm is llama-perplexity's: the memory is cleared before each chunk, a chunk's first token is
    replaced by BOS where the vocabulary adds one, and the first half serves as context only.
    """
    if not len(chunks):
        return
    n_ctx = chunks.shape[1]
    vocab = llama_cpp.llama_model_get_vocab(model)
    vocab_size = llama_cpp.llama_vocab_n_tokens(vocab)
    bos = llama_cpp.llama_vocab_bos(vocab) if llama_cpp.llama_vocab_get_add_bos(vocab) else None
    trained = llama_cpp.llama_model_n_ctx_train(model)
    if trained and n_ctx > trained:
        raise EngineError(f"a context of {n_ctx} tokens is longer than the model's own of {trained}")
    batch = llama_cpp.llama_batch_init(min(n_ctx, _BATCH), 0, 1)
    try:
        with context(model, n_ctx, min(n_ctx, _BATCH), threads) as made:
            for chunk in chunks:
                clear(made)
                fed = chunk.copy()
                if bos is not None:
                    fed[0] = bos
                yield _score(made, batch, fed, chunk, vocab_size)
    finally:
        llama_cpp.llama_batch_free(batch)


def _score(
    made: Context,
    batch: llama_cpp.llama_batch,
    fed: NDArray[np.int32],
    targets: NDArray[np.int32],
    vocab_size: int,
) -> NDArray[np.float64]:
    """NLLs of `targets[first + 1:]`, from the logits at positions first … n_ctx - 2."""
    n_ctx = len(fed)
    first = n_ctx // 2
    nlls = []
    for start in range(0, n_ctx, _BATCH):
        stop = min(start + _BATCH, n_ctx)
        _fill(batch, fed[start:stop], start, first)
        decode(made, batch)
        scored = range(max(start, first), min(stop, n_ctx - 1))
        if scored:
            pointer = llama_cpp.llama_get_logits_ith(made, scored.start - start)
            logits = np.ctypeslib.as_array(pointer, (len(scored), vocab_size))
            nlls.append(token_nll(logits, targets[scored.start + 1 : scored.stop + 1]))
    return np.concatenate(nlls)


def _fill(batch: llama_cpp.llama_batch, tokens: NDArray[np.int32], start: int, first: int) -> None:
    """Put tokens at positions `start` … into the batch, asking for logits from position `first` on."""
    count = len(tokens)
    positions = np.arange(start, start + count, dtype=np.int32)
    batch.n_tokens = count
    np.ctypeslib.as_array(batch.token, (count,))[:] = tokens
    np.ctypeslib.as_array(batch.pos, (count,))[:] = positions
    np.ctypeslib.as_array(batch.n_seq_id, (count,))[:] = 1
    for i in range(count):
        batch.seq_id[i][0] = 0
    wanted = np.ctypeslib.as_array(ctypes.cast(batch.logits, ctypes.POINTER(ctypes.c_int8)), (count,))
    wanted[:] = positions >= first
