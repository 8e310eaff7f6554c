"""Recipes that go by a name, on any model: published strategies, profiles by layer type, llama.cpp's mixes.

The published strategies place Q8_0 on a Q4_0 base. Their experiment passed its block patterns unanchored,
and llama-quantize searches them: `blk.1` also hits blocks 10 to 19. Each therefore exists twice: as its label
says, and "as published", with what the unanchored patterns really reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, parse_file_type
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.rules import Category, category_of, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

AS_PUBLISHED_SUFFIX = "_as_published"

_BLOCKS: dict[str, Callable[[int], list[int]]] = {
    "first_4_layers_q8": lambda n: list(range(min(4, n))),
    "first_8_layers_q8": lambda n: list(range(min(8, n))),
    "last_4_layers_q8": lambda n: list(range(max(0, n - 4), n)),
    "last_8_layers_q8": lambda n: list(range(max(0, n - 8), n)),
    "middle_8_layers_q8": lambda n: list(range(max(0, (n - 8) // 2), min(n, (n - 8) // 2 + 8))),
    "first_last_4_layers_q8": lambda n: sorted({*range(min(4, n)), *range(max(0, n - 4), n)}),
    "alternating_even_q8": lambda n: list(range(0, n, 2)),
}
_ROLES = {
    "attention_q8": ("attn_q", "attn_k", "attn_v", "attn_output"),
    "ffn_q8": ("ffn_up", "ffn_gate", "ffn_down"),
}

PRESET_NAMES: tuple[str, ...] = ("baseline_fp16", "uniform_q4_0", *_BLOCKS, *_ROLES)
"""The published names, in the published order."""

_PROFILES = {"profile_q8": (FileType.Q8_0, TensorType.F16), "profile_q4": (FileType.Q4_0, TensorType.Q8_0)}
"""The base, which the MLP follows, and the type of attention."""
PROFILE_NAMES: tuple[str, ...] = tuple(_PROFILES)
"""Profiles by layer type: F32 embedding and output, and one type each for attention and the MLP."""

MIX_NAMES: tuple[str, ...] = tuple(FileType)
"""llama.cpp's mixes: its file types, as llama-quantize takes them, and no tensor told otherwise."""


def preset_name(text: str) -> str | None:
    """The preset that a person named, None where there is none; a mix is read as llama-quantize reads it."""
    if text in PRESET_NAMES or text in PROFILE_NAMES:
        return text
    try:
        return parse_file_type(text).value
    except RecipeError:
        return None


def preset(name: str, shape: ModelShape, *, as_published: bool = False) -> Recipe:
    """The recipe of a preset on a model; RecipeError for an unknown name.

    With `as_published`, of a published strategy, the tensors that the experiment's unanchored patterns hit on
    this model.
    """
    known = preset_name(name)
    if known is None:
        names = ", ".join((*PRESET_NAMES, *PROFILE_NAMES, *MIX_NAMES))
        raise RecipeError(f"unknown preset {name!r}; the presets are: {names}")
    if known in PRESET_NAMES:
        return _published(known, shape, as_published)
    if known in PROFILE_NAMES:
        return _profile(known, shape)
    return Recipe(known, FileType(known), description=f"the mix {known} of llama-quantize, no overrides")


def _published(name: str, shape: ModelShape, as_published: bool) -> Recipe:
    if name == "baseline_fp16":
        return _labelled(Recipe(name, FileType.F16, description="every tensor F16"), as_published)
    if name == "uniform_q4_0":
        return _labelled(
            Recipe(name, FileType.Q4_0, description="llama-quantize Q4_0, no overrides"),
            as_published,
        )
    if name in _BLOCKS:
        return _block_preset(name, shape, as_published)
    return _role_preset(name, shape, as_published)


def _profile(name: str, shape: ModelShape) -> Recipe:
    base, attention = _PROFILES[name]
    if attention is TensorType.F16 and shape.main_type is TensorType.BF16:
        attention = TensorType.BF16  # 16 bits as they are: F16 has not the range of BF16
    overrides = {}
    for tensor in quantizable_tensors(shape):
        if category_of(tensor.name) in (Category.TOKEN_EMBD, Category.OUTPUT):
            overrides[tensor.name] = TensorType.F32
        elif tensor.block is not None and tensor.role.startswith("attn_"):
            overrides[tensor.name] = attention
    described = f"embedding, norms and output F32, attention {attention}, the MLP {base}"
    return Recipe(name, base, overrides, described)


def _block_preset(name: str, shape: ModelShape, as_published: bool) -> Recipe:
    blocks = _BLOCKS[name](shape.block_count)
    if as_published:
        patterns = [f"blk.{block}" for block in blocks]
        hit = {t.block for t in shape.tensors if any(re.search(p, t.name) for p in patterns)}
        blocks = sorted(block for block in hit if block is not None)
    tensors = [t.name for t in quantizable_tensors(shape) if t.block in set(blocks)]
    return _q8_on_q4(name, tensors, as_published, f"blocks {ranges(blocks)} Q8_0, the rest Q4_0")


def _role_preset(name: str, shape: ModelShape, as_published: bool) -> Recipe:
    roles = _ROLES[name]
    tensors = [
        t.name
        for t in quantizable_tensors(shape)
        if t.block is not None
        and (any(re.search(r, t.name) for r in roles) if as_published else t.role in roles)
    ]
    return _q8_on_q4(name, tensors, as_published, f"{', '.join(roles)} Q8_0, the rest Q4_0")


def _q8_on_q4(name: str, tensors: list[str], as_published: bool, description: str) -> Recipe:
    overrides = dict.fromkeys(tensors, TensorType.Q8_0)
    return _labelled(Recipe(name, FileType.Q4_0, overrides, description), as_published)


def _labelled(recipe: Recipe, as_published: bool) -> Recipe:
    if not as_published:
        return recipe
    return Recipe(
        recipe.name + AS_PUBLISHED_SUFFIX,
        recipe.base,
        recipe.overrides,
        f"as published (unanchored patterns): {recipe.description}",
    )


def ranges(numbers: list[int]) -> str:
    """Sorted numbers as people write them: `0-3,10-23`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"
