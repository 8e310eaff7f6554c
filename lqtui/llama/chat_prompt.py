"""A conversation as the tokens that a model is given, by the model's own chat template where there is one."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from lqtui.llama.errors import EngineError
from lqtui.llama.runtime import Model

NO_TEMPLATE = "this model has no chat template: each prompt is completed by itself"
UNKNOWN_TEMPLATE = (
    "llama.cpp's library does not know this model's chat template: each prompt is completed by itself"
)


class ChatPrompt(NamedTuple):
    """The tokens to go on from, shape (n,), and why they follow no template; empty where they do."""

    tokens: NDArray[np.int32]
    note: str


def chat_prompt(model: Model, turns: Sequence[str]) -> ChatPrompt:
    """Prompts and answers by turns, the last a prompt, as tokens; a loaded vocabulary is all that it takes.

    The library knows the common templates by what is in them, and applies no others: it runs no Jinja.
    Without a template only the last prompt counts, as a text to be continued.
    """
    template = llama_cpp.llama_model_chat_template(model, None)
    text = _templated(template, turns) if template else None
    if text is None:
        note = UNKNOWN_TEMPLATE if template else NO_TEMPLATE
        return ChatPrompt(_tokens(model, turns[-1].encode(), special=False), note)
    return ChatPrompt(_tokens(model, text, special=True), "")


def _templated(template: bytes, turns: Sequence[str]) -> bytes | None:
    """The text that a template makes of a conversation, up to where the answer begins."""
    messages = (llama_cpp.llama_chat_message * len(turns))()
    for number, (message, turn) in enumerate(zip(messages, turns, strict=True)):
        message.role = b"assistant" if number % 2 else b"user"
        message.content = turn.encode()
    room = 2 * sum(len(turn.encode()) for turn in turns) + 1024
    while True:
        buffer = ctypes.create_string_buffer(room)
        length = llama_cpp.llama_chat_apply_template(template, messages, len(turns), True, buffer, room)
        if length < 0:
            return None
        if length <= room:
            return buffer.raw[:length]
        room = length


def _tokens(model: Model, text: bytes, *, special: bool) -> NDArray[np.int32]:
    """A text's tokens; names of special tokens in it count as these where `special` says so."""
    vocab = llama_cpp.llama_model_get_vocab(model)
    room = len(text) + 16
    tokens = np.empty(room, np.int32)
    pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    count = llama_cpp.llama_tokenize(vocab, text, len(text), pointer, room, True, special)
    if count < 0:
        raise EngineError("llama.cpp could not tokenize the prompt with this model's vocabulary")
    tokens = tokens[:count]
    bos = llama_cpp.llama_vocab_bos(vocab)
    if count > 1 and tokens[0] == tokens[1] == bos:  # one from the template, one from the vocabulary
        tokens = tokens[1:]
    if not len(tokens):
        raise EngineError("this prompt has no tokens in this model's vocabulary; write something else")
    return tokens
