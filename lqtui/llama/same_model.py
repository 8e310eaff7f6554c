"""Whether a quantized file was made of the base model that is open, as far as files can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.rules import quantizable_names

_OF_THE_MODEL = "tokenizer.ggml."
"""How the keys begin that change what a model computes, beside those of its architecture."""


def check_same_model(base: BaseModel, path: Path, file: BaseModel) -> None:
    """Refuse a quantized file of another model than the base: EngineError says which tensor tells.

    The file must have the base model's tensors and no others; those that quantizing has left as they were
    must be the base model's, byte for byte. A fine-tune that changed other tensors alone cannot be told.
    """
    there, free = file.shape.by_name, quantizable_names(base.shape)
    for tensor in base.shape.tensors:
        its = there.get(tensor.name)
        if its is None:
            raise EngineError(
                f"{path} is of another model: it has no {tensor.name}, which {base.shape.name} has"
            )
        if its.ne != tensor.ne:
            raise EngineError(
                f"{path} is of another model: its {tensor.name} is {_extents(its.ne)}, and that of "
                f"{base.shape.name} is {_extents(tensor.ne)}"
            )
        if its.type is tensor.type and not np.array_equal(file.data(tensor.name), base.data(tensor.name)):
            raise EngineError(
                f"{path} was not made of this base model but of another, such as a fine-tune: its "
                f"{tensor.name} holds other values; open the model that it was made of"
            )
        if its.type is not tensor.type and tensor.name not in free:
            raise EngineError(
                f"{path} was not made of this base model: its {tensor.name} is {its.type}, here it is "
                f"{tensor.type}, and llama-quantize never changes that tensor"
            )
    if more := [name for name in there if name not in base.shape.by_name]:
        raise EngineError(
            f"{path} is of another model: it has {more[0]}"
            + (f" and {len(more) - 1} more tensors" if len(more) > 1 else "")
            + f", which {base.shape.name} lacks"
        )


def differing_keys(base: BaseModel, file: BaseModel) -> list[str]:
    """The keys that differ between two headers, of those that change what a model computes."""
    ours, its = base.metadata(), file.metadata()
    prefixes = (f"{base.shape.architecture}.", _OF_THE_MODEL)
    return sorted(
        key for key in ours.keys() | its.keys() if key.startswith(prefixes) and ours.get(key) != its.get(key)
    )


def _extents(ne: tuple[int, ...]) -> str:
    return " × ".join(str(extent) for extent in ne)
