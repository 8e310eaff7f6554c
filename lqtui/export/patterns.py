"""llama-quantize's `--tensor-type` patterns for a plan: anchored at both ends, and disjoint.

llama-quantize lower-cases a pattern and searches it in each tensor's name; the first match wins today,
the last one won before 2026. Patterns that match whole names, each tensor only one of them, mean the
same under both rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import ranges
from lqtui.recipe.recipe import Plan, Recipe, requested_types, resolve
from lqtui.recipe.rules import Category, category_of, fitting_type
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType

_LITERAL = re.compile(r"[a-z0-9_\-]|[^\x00-\x7f]")


class TensorPattern(NamedTuple):
    """One pattern, the type for what it matches, and what that is in words."""

    pattern: str
    type: TensorType
    what: str

    @property
    def argument(self) -> str:
        """The argument of `--tensor-type`."""
        return f"{self.pattern}={self.type.lower()}"


def tensor_patterns(plan: Plan) -> list[TensorPattern]:
    """The patterns that turn llama-quantize's own choice for the plan's base into the plan.

    They ask for the effective types, so that no shape fallback is left to llama-quantize; embedding and
    output are always named. Empty for an unquantized base, on which llama-quantize ignores patterns.
    """
    if not plan.file_type.is_quantized:
        return []
    patterns: list[TensorPattern] = []
    blocks_of: dict[tuple[str, TensorType], list[int]] = {}
    for name, tensor_type in _overrides(plan).items():
        tensor = plan.shape.by_name[name]
        if tensor.block is None:
            patterns.append(TensorPattern(f"^{_escaped(name)}$", tensor_type, tensor.role))
        else:
            rest = name.removeprefix(f"blk.{tensor.block}.")
            blocks_of.setdefault((rest, tensor_type), []).append(tensor.block)
    rests_of: dict[tuple[tuple[int, ...], TensorType], list[str]] = {}
    for (rest, tensor_type), blocks in blocks_of.items():
        rests_of.setdefault((tuple(sorted(blocks)), tensor_type), []).append(rest)
    for (block_numbers, tensor_type), rests in sorted(rests_of.items()):
        numbers = "|".join(str(block) for block in block_numbers)
        names = "|".join(_escaped(rest.removesuffix(".weight")) for rest in rests)
        ending = r"\.weight"
        if not all(rest.endswith(".weight") for rest in rests):
            names, ending = "|".join(_escaped(rest) for rest in rests), ""
        words = ", ".join(rest.removesuffix(".weight") for rest in rests)
        patterns.append(
            TensorPattern(
                f"^blk\\.({numbers})\\.({names}){ending}$",
                tensor_type,
                f"blk {ranges(list(block_numbers))}: {words}",
            )
        )
    return patterns


def _overrides(plan: Plan) -> dict[str, TensorType]:
    """The effective types that llama-quantize must be told; all where fewer would shift a mix's counts."""
    effective = {p.name: p.effective for p in plan.tensors if p.quantizable}
    alone = requested_types(plan.shape, Recipe("", plan.file_type, imatrix=plan.imatrix))
    always = (Category.TOKEN_EMBD, Category.OUTPUT)
    told = {
        name: tensor_type
        for name, tensor_type in effective.items()
        if not _becomes(plan.shape.by_name[name], alone[name], tensor_type) or category_of(name) in always
    }
    if resolve(plan.shape, Recipe("", plan.file_type, told, imatrix=plan.imatrix)).digest == plan.digest:
        return told
    return effective


def _becomes(tensor: TensorInfo, requested: TensorType, effective: TensorType) -> bool:
    try:
        return fitting_type(tensor, requested) is effective
    except RecipeError:
        return False


def _escaped(name: str) -> str:
    """A name as a regular expression of lower-case letters that matches this name alone, upper case too."""
    return "".join(c if _LITERAL.fullmatch(c) else r"\." if c == "." else f"\\x{ord(c):02x}" for c in name)
