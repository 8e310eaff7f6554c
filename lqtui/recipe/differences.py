"""Two recipes, or two files, cell by cell: which tensors have another type, and what that costs in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lqtui.recipe.recipe import Plan
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType


class Side(NamedTuple):
    """One of two: what it is called, its size in bytes, and each tensor with its type."""

    name: str
    file_bytes: int
    tensors: Mapping[str, tuple[TensorInfo, TensorType]]
    digests: Mapping[str, str] = MappingProxyType({})
    """SHA-256 of each tensor's data, where the side is a file whose data was read."""


class Difference(NamedTuple):
    """A tensor that is not the same on both sides; None where a side lacks it."""

    tensor: TensorInfo
    type: TensorType | None
    other: TensorType | None
    other_shape: bool = False
    """Whether its dimensions differ: the files are of different models."""
    other_bytes: bool = False
    """Whether its type is the same and its data is not: another base, or another importance matrix."""

    @property
    def bytes_more(self) -> int:
        """Bytes that the tensor takes more on the other side."""
        return _bytes(self.tensor, self.other) - _bytes(self.tensor, self.type)


def side_of_plan(plan: Plan) -> Side:
    """A recipe on its model as one side."""
    tensors = {planned.name: (planned.tensor, planned.effective) for planned in plan.tensors}
    return Side(plan.recipe.name, plan.file_bytes, tensors)


def side_of_file(name: str, shape: ModelShape) -> Side:
    """A file as one side."""
    return Side(name, shape.file_bytes, {t.name: (t, t.type) for t in shape.tensors})


def differences(side: Side, other: Side) -> tuple[Difference, ...]:
    """The tensors that differ, in the order of the first side's file, then those that it lacks."""
    return tuple(_differing(side, other))


def _differing(side: Side, other: Side) -> Iterable[Difference]:
    for name, (tensor, kind) in side.tensors.items():
        there = other.tensors.get(name)
        if there is None:
            yield Difference(tensor, kind, None)
        elif there[0].ne != tensor.ne:
            yield Difference(tensor, kind, there[1], other_shape=True)
        elif there[1] is not kind:
            yield Difference(tensor, kind, there[1])
        elif side.digests.get(name) != other.digests.get(name) and side.digests and other.digests:
            yield Difference(tensor, kind, kind, other_bytes=True)
    for name, (tensor, kind) in other.tensors.items():
        if name not in side.tensors:
            yield Difference(tensor, None, kind)


def _bytes(tensor: TensorInfo, kind: TensorType | None) -> int:
    return 0 if kind is None else tensor.bytes_as(kind)
