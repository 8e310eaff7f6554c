"""Selectors: how recipe files name tensors, `blk.0-3`, `blk.*.attn_v`, `blk.0,2,4-7.ffn_*`, `output`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import ranges
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType

_DIGITS = 9
"""As many tell that a block's number is too high; Python refuses to read thousands."""
_SELECTOR = re.compile(r"blk\.(?P<blocks>\*|[0-9,\-]+)(?:\.(?P<role>[^\s=]+))?")


def select(shape: ModelShape, selector: str) -> list[TensorInfo]:
    """The quantizable tensors that a selector names, in the order of the file.

    Raises RecipeError for a selector that is malformed, names blocks that the model lacks, or matches
    nothing.
    """
    text = selector.strip()
    match = _SELECTOR.fullmatch(text)
    if match is None:
        role = text.removesuffix(".weight")
        if role.startswith("blk"):
            raise RecipeError(f"cannot read selector {selector!r}; examples: blk.0-3, blk.*.attn_v")
        tensors = [t for t in quantizable_tensors(shape) if t.block is None and t.role == role]
    else:
        blocks = _blocks(shape, selector, match["blocks"])
        role = (match["role"] or "*").removesuffix(".weight")
        tensors = [t for t in quantizable_tensors(shape) if t.block in blocks and fnmatchcase(t.role, role)]
    if not tensors:
        raise RecipeError(
            f"{selector!r} matches no tensor of {shape.name} that can be quantized; its blocks have: "
            f"{', '.join(roles(shape))}"
        )
    return tensors


def roles(shape: ModelShape) -> list[str]:
    """The roles of the blocks' quantizable tensors, in the order in which they first appear."""
    return list(dict.fromkeys(t.role for t in quantizable_tensors(shape) if t.block is not None))


def compact(shape: ModelShape, overrides: Mapping[str, TensorType]) -> dict[str, TensorType]:
    """Selectors, as few as read well, that name exactly these tensors with these types."""
    selectors = {
        tensor.role: overrides[tensor.name]
        for tensor in quantizable_tensors(shape)
        if tensor.block is None and tensor.name in overrides
    }
    whole: dict[TensorType, list[int]] = {}
    single: dict[tuple[str, TensorType], list[int]] = {}
    for block in range(shape.block_count):
        tensors = [t for t in quantizable_tensors(shape) if t.block == block]
        types = {overrides.get(t.name) for t in tensors}
        only = next(iter(types)) if len(types) == 1 else None
        if only is not None:
            whole.setdefault(only, []).append(block)
            continue
        for tensor in tensors:
            if tensor.name in overrides:
                single.setdefault((tensor.role, overrides[tensor.name]), []).append(block)
    for tensor_type, blocks in whole.items():
        selectors[f"blk.{ranges(blocks)}"] = tensor_type
    for (role, tensor_type), blocks in single.items():
        every = len(blocks) == sum(t.role == role for t in quantizable_tensors(shape))
        selectors[f"blk.{'*' if every else ranges(blocks)}.{role}"] = tensor_type
    return selectors


def _blocks(shape: ModelShape, selector: str, text: str) -> set[int]:
    if text == "*":
        return set(range(shape.block_count))
    blocks: set[int] = set()
    for part in text.split(","):
        first, dash, last = (text.lstrip("0")[:_DIGITS] or text[:1] for text in part.partition("-"))
        if not first.isdigit() or (dash and (not last.isdigit() or int(last) < int(first))):
            raise RecipeError(f"cannot read the blocks in selector {selector!r}; write 3, 0-3 or 0,2,4-7")
        span = range(int(first), min(int(last or first), shape.block_count) + 1)
        if int(last or first) >= shape.block_count:
            raise RecipeError(
                f"{selector!r} names blocks that {shape.name} lacks: it has blocks 0 to "
                f"{shape.block_count - 1}"
            )
        blocks.update(span)
    return blocks
