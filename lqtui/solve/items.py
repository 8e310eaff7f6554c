"""The choices that make a recipe: for each item, the types it can take, with their bytes and their costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix, header_bytes
from lqtui.recipe.rules import fitting_type, quantizable_names, requires_imatrix
from lqtui.recipe.shape import ALIGNMENT, ModelShape, TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.solve.constraints import Constraints, Group, group_tensors
from lqtui.solve.errors import SolveError

Costs = Mapping[str, Mapping[TensorType, float]]
"""What each tensor alone costs at an effective type, in nats of mean KLD from the base model, by name."""


@dataclass(frozen=True, slots=True)
class Option:
    """A type to ask for, the bytes that the item then has in the file, padding included, and its cost."""

    type: TensorType
    bytes: int
    cost: float
    """Sum over the item's tensors, in nats."""


@dataclass(frozen=True, slots=True)
class Item:
    """Tensors that are asked for one type, and the options of which they take exactly one."""

    names: tuple[str, ...]
    options: tuple[Option, ...]
    """From the fewest bytes to the most."""


@dataclass(frozen=True, eq=False)
class Problem:
    """All items of a model, and the bytes of the file that no choice changes.

    Sizes are those of the file that llama-quantize writes, to the byte. Problems compare by identity.
    """

    items: tuple[Item, ...]
    fixed_bytes: int = 0
    """The header, and the tensors that are never quantized."""

    @cached_property
    def smallest_bytes(self) -> int:
        """Size of the smallest recipe."""
        return self.fixed_bytes + sum(min(o.bytes for o in item.options) for item in self.items)

    @cached_property
    def largest_bytes(self) -> int:
        """Size of the largest recipe."""
        return self.fixed_bytes + sum(max(o.bytes for o in item.options) for item in self.items)

    @cached_property
    def position_of(self) -> dict[str, int]:
        """Which item each tensor belongs to, by the tensor's name."""
        return {name: i for i, item in enumerate(self.items) for name in item.names}


def make_problem(
    shape: ModelShape,
    types: Iterable[TensorType],
    costs: Costs,
    granularity: Granularity = Granularity.TENSOR,
    constraints: Constraints | None = None,
    imatrix: Imatrix | None = None,
) -> Problem:
    """The choices that a model leaves among candidate types.

    Candidates that a tensor cannot have without an importance matrix, or at all, are not among its options,
    and those that fall back to the same types are one option. A tensor at the type that it has in the base
    model costs nothing, and that type is an option only where it is a candidate.

    Args:
        shape: The model.
        types: The candidate types, in any order.
        costs: At least what `effective_types` names for each quantizable tensor, and what pins need.
        granularity: Whether each tensor has a type of its own, or each block; tensors outside the blocks
            always have one.
        constraints: What else must hold.
        imatrix: The importance matrix by which recipes are quantized.

    Raises:
        SolveError: Constraints contradict each other or leave an item no type, or a cost is missing or NaN.
    """
    constraints = constraints or Constraints()
    candidates = tuple(dict.fromkeys(types))
    items = tuple(
        Item(tuple(t.name for t in group.tensors), _options(group, candidates, costs, constraints, imatrix))
        for group in group_tensors(shape, granularity, constraints)
    )
    never = [t for t in shape.tensors if t.name not in quantizable_names(shape)]
    header = shape.header_bytes(header_bytes(imatrix.header()) if imatrix else {})
    return Problem(items, header + sum(_padded(t, t.type) for t in never))


def _effective(
    tensors: tuple[TensorInfo, ...], wanted: TensorType, imatrix: Imatrix | None
) -> tuple[TensorType, ...] | None:
    """What the tensors really become; None where llama-quantize would stop at one of them."""
    try:
        effective = tuple(fitting_type(tensor, wanted) for tensor in tensors)
    except RecipeError:
        return None
    pairs = zip(tensors, effective, strict=True)
    if any(requires_imatrix(tensor, type_, imatrix=imatrix) for tensor, type_ in pairs):
        return None
    return effective


def _options(
    group: Group,
    candidates: tuple[TensorType, ...],
    costs: Costs,
    constraints: Constraints,
    imatrix: Imatrix | None,
) -> tuple[Option, ...]:
    floors = [(tensor.name, constraints.floors.get(tensor.name)) for tensor in group.tensors]
    options: dict[tuple[TensorType, ...], Option] = {}
    possible = False
    broken: list[str] = []
    for wanted in (group.pinned[1],) if group.pinned else candidates:
        effective = _effective(group.tensors, wanted, imatrix)
        if effective is None or effective in options:
            continue
        possible = True
        if all(
            floor is None or floor.bits_per_weight <= type_.bits_per_weight
            for (_, floor), type_ in zip(floors, effective, strict=True)
        ):
            # Asking for what it becomes anyway tells the person more than a type that it cannot have.
            asked = effective[0] if len(set(effective)) == 1 else wanted
            cost = math.fsum(_cost(t, kind, costs) for t, kind in zip(group.tensors, effective, strict=True))
            if math.isinf(cost):
                broken.append(f"{group.tensors[0].name} breaks the model at {asked}")
                continue
            options[effective] = Option(asked, sum(map(_padded, group.tensors, effective)), cost)
    if not options and broken:
        raise SolveError(f"no candidate type is left: {', '.join(broken)}")
    if not options:
        raise SolveError(_why_none(group, candidates, floors if possible else []))
    return tuple(sorted(options.values(), key=lambda option: (option.bytes, option.cost)))


def _cost(tensor: TensorInfo, effective: TensorType, costs: Costs) -> float:
    if effective is tensor.type:
        return 0.0
    cost = costs.get(tensor.name, {}).get(effective)
    if cost is None:
        raise SolveError(f"what {tensor.name} costs at {effective} is not known: measure it first")
    if math.isnan(cost):
        raise SolveError(f"what {tensor.name} costs at {effective} is no number: measure it again")
    return cost


def _padded(tensor: TensorInfo, effective: TensorType) -> int:
    return -(-tensor.bytes_as(effective) // ALIGNMENT) * ALIGNMENT


def _why_none(
    group: Group, candidates: tuple[TensorType, ...], floors: list[tuple[str, TensorType | None]]
) -> str:
    """The sentence on a group without options; the strictest of `floors` is to blame, where there is one."""
    demands = [(floor.bits_per_weight, name, floor) for name, floor in floors if floor is not None]
    _, strict, floor = max(demands, default=(0.0, "", ""))
    if group.pinned is not None:
        pinned, wanted = group.pinned
        if not demands:
            return f"{pinned} is pinned to {wanted}, {_UNWRITABLE}"
        other = "" if strict == pinned else f"{strict}, which shares its type, "
        return f"{pinned} is pinned to {wanted}, but {other}must have at least the bits of {floor}"
    first, *others = (tensor.name for tensor in group.tensors)
    names = f"{first} and the {len(others)} that share its type" if others else first
    refused = f"none of the candidate types ({', '.join(candidates)}) will do for {names}"
    if not demands:
        return f"{refused}: each is a type {_UNWRITABLE}"
    return f"{refused}: {strict if others else 'it'} must have at least the bits of {floor}"


_UNWRITABLE = "which needs an importance matrix, or rows that divide into its blocks"
