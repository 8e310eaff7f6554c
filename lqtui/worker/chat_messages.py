"""What parent and child say to each other where models answer a prompt side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from lqtui.recipe.imatrix import Encoding

Reason = Literal["end", "length", "context", "broken"]
"""Why an answer ends: the model ended it, `max_tokens` or the context did, or the model gives no numbers."""


class ChatSide(msgspec.Struct, frozen=True):
    """A model that answers: how every tensor is written, and the conversation as it was with this one.

    `turns` are prompts and answers one after the other; the last is the prompt to be answered.
    """

    encodings: dict[str, Encoding]
    turns: list[str]


class Chat(msgspec.Struct, frozen=True, tag=True):
    """Have models answer side by side, the base model first: token by token, each in its turn.

    An answer ends after `max_tokens`. At `temperature` 0 each token is the likeliest; else all sides draw by
    the same `seed`. Models whose files together are larger than `memory` bytes answer one after the other.
    `files` are those that encodings name, by their SHA-256.
    """

    model: Path
    sides: list[ChatSide]
    pool: Path
    model_digest: str
    label: str
    max_tokens: int
    temperature: float
    seed: int
    threads: int
    memory: int
    gpu_layers: int = -1
    files: dict[str, Path] = {}


class ChatBegun(msgspec.Struct, frozen=True, tag=True):
    """The prompt is read: why it follows no chat template ("" if it does), and whether all answer at once."""

    note: str
    together: bool


class ChatToken(msgspec.Struct, frozen=True, tag=True):
    """A side says one more token; `text` is empty where that completes no character, or ends the answer.

    `seconds` is what decoding the token before it took; 0 for the first.
    """

    side: int
    token: int
    text: str
    seconds: float


class ChatEnded(msgspec.Struct, frozen=True, tag=True):
    """A side has answered; `text` stands for what was left of an incomplete character."""

    side: int
    reason: Reason
    text: str = ""


class ChatAgreed(msgspec.Struct, frozen=True, tag=True):
    """Given the first side's words, this side would have chosen `same` of these `total` tokens too."""

    side: int
    same: int
    total: int


ChatEvent = ChatBegun | ChatToken | ChatEnded | ChatAgreed
