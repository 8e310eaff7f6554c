"""What a person demands of a recipe before the solver chooses: pins, floors, ties, and the granularity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.rules import quantizable_names, quantizable_tensors
from lqtui.recipe.selectors import roles
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.solve.errors import SolveError


@dataclass(frozen=True)
class Constraints:
    """What must hold in every recipe that is considered; tensors are given by name, ties by role.

    A pin is the type asked for, which need not be a candidate. A floor is kept by types with at least its
    bits per weight. The roles of a tie are asked for one type inside each block; ties that share a role are
    one tie, and a pin of one tensor holds for all that it is tied to. A pinned tensor leaves its block where
    blocks are chosen as a whole.
    """

    pins: Mapping[str, TensorType] = field(default_factory=dict)
    floors: Mapping[str, TensorType] = field(default_factory=dict)
    ties: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Group:
    """Tensors that are asked for the same type, and the pin among them if there is one."""

    tensors: tuple[TensorInfo, ...]
    pinned: tuple[str, TensorType] | None
    """The name that was pinned, and its type."""


_Key = tuple[int | None, tuple[str, ...]]


def group_tensors(shape: ModelShape, granularity: Granularity, constraints: Constraints) -> list[Group]:
    """The quantizable tensors, grouped by who must be asked for the same type, in the order of the file.

    Raises SolveError for names and roles that the model lacks, and for two pins of tied tensors.
    """
    _check_names(shape, constraints)
    tie_of = _merged(shape, constraints.ties)
    pinned = _pinned(shape, constraints.pins, tie_of)
    groups: dict[_Key, list[TensorInfo]] = {}
    for tensor in quantizable_tensors(shape):
        key = _key(tensor, tie_of)
        if granularity is Granularity.BLOCK and tensor.block is not None and key not in pinned:
            key = (tensor.block, ())
        groups.setdefault(key, []).append(tensor)
    return [Group(tuple(tensors), pinned.get(key)) for key, tensors in groups.items()]


def _key(tensor: TensorInfo, tie_of: Mapping[str, tuple[str, ...]]) -> _Key:
    """What a tensor shares with those that it is tied to, and with no others."""
    if tensor.block is None:
        return (None, (tensor.name,))
    return (tensor.block, tie_of.get(tensor.role, (tensor.name,)))


def _check_names(shape: ModelShape, constraints: Constraints) -> None:
    for names, demand in ((constraints.pins, "is pinned"), (constraints.floors, "has a floor")):
        for name in names:
            if name not in shape.by_name:
                raise SolveError(f"{name} {demand}, but {shape.name} has no such tensor")
            if name not in quantizable_names(shape):
                raise SolveError(f"{name} {demand}, but llama-quantize never changes that tensor")


def _merged(shape: ModelShape, ties: Iterable[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """All roles of its tie for each tied role."""
    known = roles(shape)
    merged: list[set[str]] = []
    for tie in ties:
        for role in tie:
            if role not in known:
                raise SolveError(
                    f"{role} is tied, but no block of {shape.name} has it; they have: {', '.join(known)}"
                )
        touching = [other for other in merged if not other.isdisjoint(tie)]
        merged = [other for other in merged if other.isdisjoint(tie)]
        merged.append(set(tie).union(*touching))
    return {role: tuple(sorted(tie)) for tie in merged for role in tie}


def _pinned(
    shape: ModelShape, pins: Mapping[str, TensorType], tie_of: Mapping[str, tuple[str, ...]]
) -> dict[_Key, tuple[str, TensorType]]:
    pinned: dict[_Key, tuple[str, TensorType]] = {}
    for name, wanted in pins.items():
        key = _key(shape.by_name[name], tie_of)
        other, other_type = pinned.setdefault(key, (name, wanted))
        if other_type is not wanted:
            raise SolveError(
                f"{other} is pinned to {other_type} and {name} to {wanted}, but {', '.join(key[1])} are tied "
                f"to one type in each block"
            )
    return pinned
