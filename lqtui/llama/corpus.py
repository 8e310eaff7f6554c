"""An evaluation text as tokens, cut into chunks."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from lqtui.llama.errors import EngineError
from lqtui.llama.runtime import Model

_CHARACTERS_PER_TOKEN = 8
"""Read this many characters for each token that is needed, and more if that was too little."""
_UNSETTLED = 64
"""Tokens at the end of a prefix that more text could still change; they are not used."""
_MIN_CHUNKS = 2


def read_corpus(path: Path) -> str:
    """The text of a corpus file; EngineError where it cannot be read or is not UTF-8 text.

    One newline at the very end is dropped, as llama-perplexity does.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise EngineError(
            f"the corpus {path} is not a file but a pipe or device; save the text to a file first"
        )
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise EngineError(f"the corpus {path} does not exist") from None
    except IsADirectoryError:
        raise EngineError(f"the corpus {path} is a directory; name a text file") from None
    except OSError as error:
        raise EngineError(f"the corpus {path} cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EngineError(f"the corpus {path} is not text: byte {error.start:,} is not UTF-8") from None
    if "\0" in text:
        raise EngineError(f"the corpus {path} is not text: it has zero bytes")
    return text.removesuffix("\n")


def corpus_chunks(
    model: Model, path: Path, n_ctx: int, chunks: int, *, spread: bool = False
) -> NDArray[np.int32]:
    """The first chunks of a corpus in the model's tokens, as llama-perplexity cuts them.

    Args:
        model: Whose vocabulary is used; special tokens are added at the start as it asks.
        path: A UTF-8 text file; no more of it is tokenized than the chunks need.
        n_ctx: Tokens in a chunk.
        chunks: How many at most; fewer where the text is shorter.
        spread: Take them from all over the text instead, each from between those before it, so that any
            number of them stands for the whole: neighbours share their subject.

    Returns:
        Shape (chunks, n_ctx). EngineError where the text does not fill two chunks.
    """
    vocab = llama_cpp.llama_model_get_vocab(model)
    text = read_corpus(path)
    needed = n_ctx * max(chunks, _MIN_CHUNKS)
    length = len(text) if spread else needed * _CHARACTERS_PER_TOKEN
    while True:
        tokens = tokenize(vocab, text[:length])
        if length >= len(text):
            break
        tokens = tokens[:-_UNSETTLED]
        if len(tokens) >= needed:
            break
        length *= 2
    if len(tokens) < _MIN_CHUNKS * n_ctx:
        raise EngineError(
            f"the corpus {path.name} is too short: {len(tokens)} tokens, and two chunks of {n_ctx} need "
            f"{_MIN_CHUNKS * n_ctx}; use a longer text or a smaller --ctx"
        )
    there_are = len(tokens) // n_ctx
    cut = tokens[: there_are * n_ctx].reshape(there_are, n_ctx)
    return cut[spread_order(there_are)[:chunks]] if spread else cut[:chunks]


def spread_order(count: int) -> list[int]:
    """The numbers below `count`, each halving the gaps between those before it: 0 4 2 6 1 5 3 7.

    The van der Corput sequence in base 2: numbers ordered by their bits in reverse.
    """
    bits = max(1, (count - 1).bit_length())
    reversed_bits = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [number for number in reversed_bits if number < count]


def tokenize(vocab: object, text: str) -> NDArray[np.int32]:
    """All tokens of a text, special tokens added at the ends as the vocabulary asks; shape (n,)."""
    raw = text.encode("utf-8")
    room = len(raw) + 16
    tokens = np.empty(room, np.int32)
    pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    count = llama_cpp.llama_tokenize(vocab, raw, len(raw), pointer, room, True, False)
    if count < 0:
        raise EngineError("llama.cpp could not tokenize the corpus with this model's vocabulary")
    return tokens[:count]
