"""A Recipe says which tensor gets which type; a Plan is what llama-quantize makes of it, to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, file_type_for
from lqtui.recipe.imatrix import Encoding, Imatrix, header_bytes
from lqtui.recipe.mixes import Mix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.rules import fitting_type, quantizable_names, quantizable_tensors, requires_imatrix
from lqtui.recipe.shape import ALIGNMENT, ModelShape, TensorInfo
from lqtui.recipe.types import TensorType


class Recipe(msgspec.Struct, frozen=True):
    """A file type for llama-quantize, and the tensors that depart from it.

    `overrides` maps tensor names to the types asked for (llama-quantize's `--tensor-type`); every other
    tensor follows `base`, with that mix's own exceptions. `description` is a sentence for people. `imatrix`
    is what errors are weighed by (`--imatrix`). Tensors that have the same type in a quantized `file` are
    copied from that.
    """

    name: str
    base: FileType
    overrides: Mapping[str, TensorType] = MappingProxyType({})
    description: str = ""
    imatrix: Imatrix | None = None
    file: QuantizedFile | None = None


class PlannedTensor(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one tensor: the type asked for, the type it will really have, and its bytes.

    `imatrix` is the SHA-256 of the importance matrix that its bytes depend on, `file` that of the quantized
    model that they are copied from; each is empty where there is none.
    """

    tensor: TensorInfo
    requested: TensorType
    effective: TensorType
    quantizable: bool
    imatrix: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.tensor.name

    @property
    def encoding(self) -> Encoding:
        """How its weights are written: equal encodings of a tensor are the same bytes."""
        return Encoding(self.effective, self.imatrix, self.file)

    @property
    def fell_back(self) -> bool:
        """Whether llama.cpp changes the type because the tensor's rows do not divide into its blocks."""
        return self.requested is not self.effective

    @property
    def bytes(self) -> int:
        """Bytes of the tensor's data in the file, without padding."""
        return self.tensor.bytes_as(self.effective)

    @property
    def reason(self) -> str:
        """A sentence on why the effective type is not the one asked for, or why it is fixed; else empty."""
        if not self.quantizable:
            return f"llama-quantize never changes {self.name}: it stays {self.effective}"
        if self.fell_back:
            return (
                f"{self.requested} needs rows divisible by {self.requested.block_size}; rows of "
                f"{self.tensor.columns} fall back to {self.effective}"
            )
        return ""


class Plan(msgspec.Struct, frozen=True, dict=True):
    """A recipe resolved on a model: every tensor's effective type, in the order of the file."""

    shape: ModelShape
    recipe: Recipe
    file_type: FileType
    tensors: tuple[PlannedTensor, ...]

    @cached_property
    def by_name(self) -> dict[str, PlannedTensor]:
        """The planned tensors by name."""
        return {planned.name: planned for planned in self.tensors}

    @cached_property
    def tensor_bytes(self) -> tuple[int, ...]:
        """Bytes of each tensor's data, without padding, in the order of the file."""
        return tuple([planned.tensor.bytes_as(planned.effective) for planned in self.tensors])

    @cached_property
    def data_bytes(self) -> int:
        """Bytes of all tensors' data, without padding."""
        return sum(self.tensor_bytes)

    @cached_property
    def file_bytes(self) -> int:
        """Size of the file that llama-quantize writes."""
        padded = sum([-(-n_bytes // ALIGNMENT) for n_bytes in self.tensor_bytes]) * ALIGNMENT
        keys = header_bytes(self.imatrix.header()) if self.imatrix else {}
        return self.shape.header_bytes(keys) + padded

    @cached_property
    def encodings(self) -> dict[str, Encoding]:
        """How every tensor is written, by name."""
        return {planned.name: planned.encoding for planned in self.tensors}

    @cached_property
    def imatrix(self) -> Imatrix | None:
        """The recipe's importance matrix, None where llama-quantize writes the same weights without one."""
        if self.recipe.imatrix is None:
            return None
        is_used = any(
            planned.imatrix
            or (planned.quantizable and requires_imatrix(planned.tensor, planned.effective, self.file_type))
            for planned in self.tensors
            if not planned.file
        )
        return self.recipe.imatrix if is_used else None

    @cached_property
    def copied(self) -> tuple[PlannedTensor, ...]:
        """The tensors whose bytes are copied from the recipe's quantized file."""
        return tuple(planned for planned in self.tensors if planned.file)

    @property
    def file(self) -> QuantizedFile | None:
        """The recipe's quantized file, None where nothing is copied from it."""
        return self.recipe.file if self.copied else None

    @cached_property
    def bits_per_weight(self) -> float:
        """Bits per weight over all tensors, as llama-quantize prints it (BPW)."""
        return 8 * self.data_bytes / self.shape.n_weights

    @cached_property
    def digest(self) -> str:
        """SHA-256 of how each tensor is written: recipes with the same digest are the same weights."""
        text = "".join(
            f"{planned.name}={planned.effective}{planned.imatrix and f' by {planned.imatrix}'}"
            f"{planned.file and f' from {planned.file}'}\n"
            for planned in self.tensors
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def unchanged(self) -> bool:
        """Whether every tensor keeps the base model's type: the recipe is the base model itself."""
        return all(planned.effective is planned.tensor.type for planned in self.tensors)

    @cached_property
    def pruned(self) -> tuple[int, ...]:
        """The blocks of the model that the plan leaves out."""
        left = {planned.tensor.block for planned in self.tensors}
        return tuple(block for block in range(self.shape.block_count) if block not in left)

    @cached_property
    def missing_imatrix(self) -> tuple[PlannedTensor, ...]:
        """Tensors for which llama-quantize stops, because nothing tells their importances."""
        imatrix = self.recipe.imatrix
        return tuple(
            planned
            for planned in self.tensors
            if planned.quantizable
            and not planned.file
            and requires_imatrix(planned.tensor, planned.effective, self.file_type, imatrix)
        )


def resolve(shape: ModelShape, recipe: Recipe) -> Plan:
    """What llama-quantize makes of a recipe on a model: effective types, bytes and file size.

    Raises RecipeError where an override names a tensor that the model lacks or that is never quantized, where
    the importance matrix or the quantized file is another model's, or where llama-quantize itself would stop.
    Source: `llama_tensor_get_type` in llama-quant.cpp.
    """
    _check_overrides(shape, recipe)
    if recipe.imatrix is not None:
        recipe.imatrix.check(shape)
    if recipe.file is not None:
        recipe.file.check(shape)
    requested = requested_types(shape, recipe)
    planned = []
    for tensor in shape.tensors:
        wanted = requested.get(tensor.name)
        if wanted is None:
            planned.append(PlannedTensor(tensor, tensor.type, tensor.type, quantizable=False))
            continue
        effective = fitting_type(tensor, wanted)
        _, imatrix, file = encoding(recipe, tensor, effective)
        planned.append(PlannedTensor(tensor, wanted, effective, quantizable=True, imatrix=imatrix, file=file))
    return Plan(shape, recipe, recipe.base, tuple(planned))


def encoding(recipe: Recipe, tensor: TensorInfo, effective: TensorType) -> Encoding:
    """How a recipe writes a tensor that becomes `effective`: copied where it can be, else quantized."""
    if recipe.file is not None and (copied := recipe.file.encoding(tensor, effective)).file:
        return copied
    return recipe.imatrix.encoding(tensor, effective) if recipe.imatrix else Encoding(effective)


def without_blocks(plan: Plan, blocks: Collection[int]) -> Plan:
    """The plan with some blocks left out of the model, as `llama-quantize --prune-layers` leaves them out."""
    left = tuple(planned for planned in plan.tensors if planned.tensor.block not in blocks)
    return Plan(plan.shape, plan.recipe, plan.file_type, left)


def requested_types(shape: ModelShape, recipe: Recipe) -> dict[str, TensorType]:
    """What each quantizable tensor is asked to become, whether its rows fit that type or not."""
    alone = _types_alone(shape, recipe.base, recipe.imatrix is not None)
    if not recipe.overrides or _treats_blocks_alike(shape, recipe.base, recipe.imatrix is not None):
        return {**alone, **recipe.overrides}
    mix = Mix(shape, recipe.base, has_imatrix=recipe.imatrix is not None)
    return {
        tensor.name: recipe.overrides.get(tensor.name) or mix.type_for(tensor)
        for tensor in quantizable_tensors(shape)
    }


@lru_cache(maxsize=64)
def _types_alone(shape: ModelShape, base: FileType, has_imatrix: bool) -> Mapping[str, TensorType]:
    """What a file type alone asks for."""
    if not base.is_quantized:
        return dict.fromkeys((tensor.name for tensor in quantizable_tensors(shape)), base.default_type)
    mix = Mix(shape, base, has_imatrix)
    return {tensor.name: mix.type_for(tensor) for tensor in quantizable_tensors(shape)}


@lru_cache(maxsize=64)
def _treats_blocks_alike(shape: ModelShape, base: FileType, has_imatrix: bool) -> bool:
    """Whether no tensor's type depends on how many others the mix has seen before it.

    Where any does, some tensor of the blocks departs from the default already without an override.
    """
    alone = _types_alone(shape, base, has_imatrix)
    return all(
        alone[tensor.name] is base.default_type
        for tensor in quantizable_tensors(shape)
        if tensor.block is not None
    )


def _check_overrides(shape: ModelShape, recipe: Recipe) -> None:
    if recipe.overrides and not recipe.base.is_quantized:
        raise RecipeError(
            f"recipe {recipe.name!r} has base {recipe.base} and {len(recipe.overrides)} tensor types; "
            f"llama-quantize ignores tensor types on an unquantized base, so give it a quantized one "
            f"(Q4_0, Q8_0 …)"
        )
    for name in recipe.overrides:
        if name not in shape.by_name:
            raise RecipeError(
                f"recipe {recipe.name!r} names {name}, which {shape.name} lacks: it has blocks 0 to "
                f"{shape.block_count - 1}"
            )
        if name not in quantizable_names(shape):
            raise RecipeError(
                f"recipe {recipe.name!r} gives {name} a type, but llama-quantize never changes that tensor"
            )


def base_recipe(shape: ModelShape, name: str = "base") -> Recipe:
    """The recipe that leaves the base model as it is."""
    types = {tensor.type for tensor in quantizable_tensors(shape)}
    if len(types) == 1:
        base = file_type_for(types.pop())
        if not base.is_quantized:
            return Recipe(name, base)
    return with_types(shape, name, {t.name: t.type for t in quantizable_tensors(shape)})


def with_types(
    shape: ModelShape,
    name: str,
    types: Mapping[str, TensorType],
    description: str = "",
    imatrix: Imatrix | None = None,
    file: QuantizedFile | None = None,
) -> Recipe:
    """The recipe, in its shortest form, that gives each quantizable tensor exactly the type in `types`.

    The base is the file type of the type that most of the blocks' weights have; tensors that this base
    would treat otherwise become overrides. All-unquantized recipes need no overrides at all.
    """
    wanted = set(types.values())
    if len(wanted) == 1:
        only = file_type_for(next(iter(wanted)))
        if not only.is_quantized:
            return Recipe(name, only, description=description, imatrix=imatrix, file=file)
    base = file_type_for(_dominant_quantized_type(shape, types))
    mix_alone = requested_types(shape, Recipe(name, base, imatrix=imatrix))
    overrides = {tensor: wanted for tensor, wanted in types.items() if mix_alone[tensor] is not wanted}
    recipe = Recipe(name, base, overrides, description, imatrix, file)
    # A mix that counts the tensors it sees (Q4_K_S …) shifts once some of them are overridden.
    # One that copies says all: it keeps the file's types when an importance matrix has the mix choose others.
    says_all = file is not None or requested_types(shape, recipe) != types
    return Recipe(name, base, types, description, imatrix, file) if says_all else recipe


def with_type(plan: Plan, tensors: Iterable[str], tensor_type: TensorType, name: str | None = None) -> Recipe:
    """The plan's recipe with some tensors set to a type; tensors that are never quantized are left out."""
    types = {p.name: p.requested for p in plan.tensors if p.quantizable}
    types.update({tensor: tensor_type for tensor in tensors if tensor in types})
    of = plan.recipe
    return with_types(plan.shape, name or of.name, types, imatrix=of.imatrix, file=of.file)


def with_imatrix(recipe: Recipe, imatrix: Imatrix | None) -> Recipe:
    """The recipe with errors weighed by an importance matrix, or by none; a mix may then choose otherwise."""
    return msgspec.structs.replace(recipe, imatrix=imatrix)


def _dominant_quantized_type(shape: ModelShape, types: Mapping[str, TensorType]) -> TensorType:
    """The quantized type of most weights in the blocks; of all tensors where no block has one."""
    for names in (
        [name for name in types if shape.by_name[name].block is not None],
        list(types),
    ):
        weights: dict[TensorType, int] = {}
        for name in names:
            if types[name].is_quantized:
                weights[types[name]] = weights.get(types[name], 0) + shape.by_name[name].n_weights
        if weights:
            return max(weights, key=lambda t: (weights[t], t.bits_per_weight))
    return TensorType.Q8_0
