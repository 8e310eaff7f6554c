"""What a model is given of a conversation."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from gguf_files import write_tiny_llama
from numpy.typing import NDArray

from lqtui.llama.chat_prompt import NO_TEMPLATE, UNKNOWN_TEMPLATE, ChatPrompt, chat_prompt
from lqtui.llama.errors import EngineError
from lqtui.llama.runtime import Model, backend, loaded_model

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def asked(path: Path, *turns: str) -> tuple[ChatPrompt, str]:
    """The prompt, and its tokens as text."""
    with backend(), loaded_model([path], 0, vocab_only=True) as model:
        prompt = chat_prompt(model, turns)
        return prompt, text_of(model, prompt.tokens)


def text_of(model: Model, tokens: NDArray[np.int32]) -> str:
    vocab = llama_cpp.llama_model_get_vocab(model)
    buffer, pieces = ctypes.create_string_buffer(64), b""
    for token in tokens:
        length = llama_cpp.llama_token_to_piece(vocab, int(token), buffer, 64, 0, True)
        pieces += buffer.raw[:length]
    return pieces.decode()


def test_the_models_own_template_puts_the_whole_conversation(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "chatml.gguf", chat_template=CHATML)
    prompt, text = asked(model, "Hé?", "Hm.", "So?")
    assert prompt.note == ""
    assert text == (
        "<|im_start|>user\nHé?<|im_end|>\n<|im_start|>assistant\nHm.<|im_end|>\n"
        "<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_long_conversation_is_put_whole(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "chatml.gguf", chat_template=CHATML)
    turns = ["ä" * 50 for _ in range(101)]
    assert asked(model, *turns)[1].count("ä" * 50) == 101


def test_without_a_template_the_last_prompt_alone_is_continued_and_that_is_said(tiny_model: Path) -> None:
    prompt, text = asked(tiny_model, "one", "two", "<|endoftext|> three")
    assert prompt.note == NO_TEMPLATE
    assert text == "<|endoftext|> three" and len(prompt.tokens) > 10  # as letters, not as the special token


def test_a_template_that_llama_cpp_does_not_know_is_told_from_none(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "odd.gguf", chat_template="{{ odd(messages) }}")
    prompt, text = asked(model, "one")
    assert prompt.note == UNKNOWN_TEMPLATE and text == "one"


def test_a_prompt_without_tokens_is_refused(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="no tokens"):
        asked(tiny_model, "")
