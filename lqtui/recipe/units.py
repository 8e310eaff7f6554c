"""The parts of a model that are given types one by one: its tensors, or its blocks."""

from __future__ import annotations

from typing import NamedTuple

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import fitting_type, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType


class Unit(NamedTuple):
    """Quantizable tensors that change together: one tensor, or all of one block."""

    label: str
    """What people call it: `blk.3.attn_v`, `blk.3`, `output`."""
    names: tuple[str, ...]
    block: int | None


class Single(NamedTuple):
    """One unit at another type than the base model's, all else as in the base model."""

    unit: Unit
    asked: TensorType
    """The type asked for; rows that do not divide into its blocks fall back to another."""
    plan: Plan

    @property
    def effective(self) -> TensorType:
        """The type that the unit's first tensor really gets."""
        return self.plan.by_name[self.unit.names[0]].effective


def units(shape: ModelShape, by: Granularity) -> list[Unit]:
    """All units of a model, in the order of the file; tensors outside the blocks are units of their own."""
    found: dict[str, list[str]] = {}
    blocks: dict[str, int | None] = {}
    for tensor in quantizable_tensors(shape):
        whole_block = by is Granularity.BLOCK and tensor.block is not None
        label = f"blk.{tensor.block}" if whole_block else tensor.name.removesuffix(".weight")
        found.setdefault(label, []).append(tensor.name)
        blocks[label] = tensor.block
    return [Unit(label, tuple(names), blocks[label]) for label, names in found.items()]


def singles(
    shape: ModelShape, of: list[Unit], asked: TensorType, imatrix: Imatrix | None = None
) -> list[Single]:
    """Each unit alone at a type; those left out that it changes nothing of."""
    own = {tensor.name: tensor.type for tensor in quantizable_tensors(shape)}
    found = []
    for unit in of:
        if any(fitting_type(shape.by_name[name], asked) is not own[name] for name in unit.names):
            types = own | dict.fromkeys(unit.names, asked)
            recipe = with_types(shape, f"{unit.label} at {asked}", types, imatrix=imatrix)
            found.append(Single(unit, asked, resolve(shape, recipe)))
    return found
