"""The recipe behind a file that is quantized already: its tensors' types, put on the model it was made of."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe, requested_types, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType


class Lifted(NamedTuple):
    """A recipe that gives a model the types of another file, and what of that file it cannot give."""

    recipe: Recipe
    notices: tuple[str, ...]


def lift(shape: ModelShape, other: ModelShape, name: str) -> Lifted:
    """The recipe that gives a model's tensors the types that they have in another file of that model.

    Where the other file's own file type (`general.file_type`) explains its types, the recipe has it as base.
    Raises RecipeError where the other file is of another model.
    """
    types: dict[str, TensorType] = {}
    for tensor in quantizable_tensors(shape):
        there = other.by_name.get(tensor.name)
        if there is None:
            raise RecipeError(f"{name} is of another model: it has no {tensor.name}, which {shape.name} has")
        if there.ne != tensor.ne:
            raise RecipeError(
                f"{name} is of another model: its {tensor.name} is {_extents(there.ne)}, and that of "
                f"{shape.name} is {_extents(tensor.ne)}"
            )
        if there.type not in TARGET_TYPES:
            raise RecipeError(f"{name} holds {tensor.name} as {there.type}: llama-quantize cannot write that")
        types[tensor.name] = there.type
    return Lifted(_shortest(shape, other, name, types), _notices(shape, other, name))


def _shortest(shape: ModelShape, other: ModelShape, name: str, types: dict[str, TensorType]) -> Recipe:
    said = f"the types of {name}"
    usual = with_types(shape, name, types, said)
    base = next((known for known in FileType if known.number == other.file_type), None)
    if base is None or not base.is_quantized:
        return usual
    alone = requested_types(shape, Recipe("", base))
    overrides = {tensor: kind for tensor, kind in types.items() if alone[tensor] is not kind}
    recipe = Recipe(name, base, overrides, said)
    effective = {planned.name: planned.effective for planned in resolve(shape, recipe).tensors}
    same = all(effective[tensor] is kind for tensor, kind in types.items())
    return recipe if same else msgspec.structs.replace(recipe, overrides=types)


def _notices(shape: ModelShape, other: ModelShape, name: str) -> tuple[str, ...]:
    """What differs in tensors that no recipe changes."""
    free = {tensor.name for tensor in quantizable_tensors(shape)}
    others = [tensor for tensor in other.tensors if tensor.name not in shape.by_name]
    differing = [
        tensor
        for tensor in shape.tensors
        if tensor.name not in free
        and tensor.name in other.by_name
        and other.by_name[tensor.name].type is not tensor.type
    ]
    notices = []
    if differing:
        first = differing[0]
        notices.append(
            f"{len(differing)} tensors that llama-quantize never changes have other types in {name} "
            f"({first.name}: {other.by_name[first.name].type}, here {first.type})"
        )
    if others:
        notices.append(
            f"{name} has {len(others)} tensors that the base model lacks, such as {others[0].name}"
        )
    return tuple(notices)


def _extents(ne: tuple[int, ...]) -> str:
    return " × ".join(str(extent) for extent in ne)
