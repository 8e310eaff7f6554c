"""llama-quantize's `--tensor-type` entries as it reads them: searched patterns, the first match wins.

Source: `parse_tensor_type_file` in llama.cpp's quantize.cpp and `llama_tensor_get_type` in llama-quant.cpp. A
pattern is lower-cased and searched anywhere in a name, so `blk.1` reaches the blocks 10 to 19 too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import ranges
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType, parse_type

_LONGEST = 4000
_MOST_ENTRIES = 10_000
"""Each is looked for in all tensors."""
_MOST_WAYS = 64**3
"""Python's search may try every way to match a pattern: so many cost nothing, of ten loops an hour."""
_LONGEST_NAME = 64
_CLASS = re.compile(r"\[[^]]*+(?:\]|$)")
_LOOP = re.compile(r"[*+]|\{\d*,\d*\}")
_OPTION = re.compile(r"(?<![*+?}(])\?")
_CHOICE = re.compile(r"\|")
_PLAIN_CHOICES = re.compile(r"\((?:\?:)?[\w|]*+\)")
"""A group of words: few of them can be found at one place."""
_WAYS_OF_WORDS = 4
_UNUSUAL = (re.compile(r"\)(?:[*+]|\{)"), re.compile(r"\(\?(?!:)"), re.compile(r"\\[1-9]"))
"""Repeated groups, lookarounds, references to groups."""
_SPECIAL_CLASS = re.compile(r"\[[:.=\[]|--|&&|~~|\|\|")
"""What one of the two languages means otherwise in a class of characters."""
_BLOCK_NUMBER = re.compile(r"blk\\?\.\(?(\d+)\)?(?!\d|\\?\.|\||\[)")


class Entry(NamedTuple):
    """A pattern, and the type for the tensors that it is found in and no earlier one is."""

    pattern: str
    type: TensorType


class Matched(NamedTuple):
    """The types that entries give to tensors, by name; and a sentence for each pattern that may surprise."""

    types: dict[str, TensorType]
    notices: tuple[str, ...]


def parse_entries(text: str) -> list[Entry]:
    """The entries of a `--tensor-type-file`: `pattern=type`, between blanks or line ends.

    Raises RecipeError for what llama-quantize refuses, and for patterns that could take for ever.
    """
    words = text.split()
    if len(words) > _MOST_ENTRIES:
        raise RecipeError(
            f"there are {len(words):,} tensor types, and no more than {_MOST_ENTRIES:,} are read"
        )
    return [parse_entry(word) for word in words]


def parse_entry(word: str) -> Entry:
    """One entry, such as `attn_v=q8_0`."""
    pattern, separator, type_name = word.partition("=")
    if not separator or not pattern or not type_name:
        raise RecipeError(f"{word[:60]!r} is not a tensor type; write for example attn_v=q8_0")
    tensor_type = parse_type(type_name)
    pattern = pattern.lower()
    _check(pattern)
    return Entry(pattern, tensor_type)


def match(shape: ModelShape, entries: Sequence[Entry]) -> Matched:
    """What entries come to on a model.

    Raises RecipeError where one is found in no tensor that a recipe can change: llama-quantize says nothing.
    """
    tensors = quantizable_tensors(shape)
    types: dict[str, TensorType] = {}
    notices = []
    for entry in entries:
        search = re.compile(entry.pattern).search
        found = [tensor for tensor in tensors if search(tensor.name)]
        if not found:
            raise RecipeError(f"no tensor of {shape.name} that can be quantized has {entry.pattern!r} in it")
        reached = _reaches_further(entry.pattern, found)
        if reached:
            notices.append(
                f"{entry.pattern!r} is searched anywhere in a name, as llama-quantize does, and reaches the "
                f"blocks {ranges(reached)}"
            )
        for tensor in found:
            types.setdefault(tensor.name, entry.type)
    return Matched(types, tuple(notices))


def _reaches_further(pattern: str, found: Sequence[TensorInfo]) -> list[int]:
    """The blocks that a pattern is found in, where it names one and is found in others."""
    named = {int(number) for number in _BLOCK_NUMBER.findall(pattern)}
    blocks = sorted({tensor.block for tensor in found if tensor.block is not None})
    return blocks if named and not set(blocks) <= named else []


def _ways(plain: str) -> int:
    """A bound of the ways to match a pattern at one place of a name; classes and escapes are `x` in it."""
    plain, groups = _PLAIN_CHOICES.subn("x", plain)
    loops, options = len(_LOOP.findall(plain)), len(_OPTION.findall(plain))
    choices = len(_CHOICE.findall(plain))
    return int(_LONGEST_NAME**loops * 2 ** (options + choices) * _WAYS_OF_WORDS**groups)


def _check(pattern: str) -> None:
    """Refuse what is no regular expression, and one that could take for ever on some name."""
    shown = pattern if len(pattern) < 60 else f"{pattern[:60]}…"
    plain = _CLASS.sub("x", re.sub(r"\\[^1-9]", "x", pattern[: _LONGEST + 1]))
    if (
        len(pattern) > _LONGEST
        or _ways(plain) > _MOST_WAYS
        or any(unusual.search(plain) for unusual in _UNUSUAL)
        or _SPECIAL_CLASS.search(pattern)
    ):
        raise RecipeError(
            f"{shown!r} is too involved: lqtui reads patterns of names, groups and a few wildcards, not "
            f"repeated groups, lookarounds or references"
        )
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise RecipeError(f"{shown!r} is not a regular expression: {error}") from None
