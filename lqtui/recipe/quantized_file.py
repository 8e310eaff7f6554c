"""A quantized GGUF whose own bytes a recipe takes over, instead of quantizing the base model itself.

Of a community file the types alone say too little: who made it by an importance matrix, or with another
program, wrote other bytes at the same types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_names import without_folders
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.named_files import path_and_digest
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType


class QuantizedFile(msgspec.Struct, frozen=True):
    """A quantized model: where it is, what it is, and the type of each of its tensors.

    `path` is for people; `sha256`, of all its parts one after the other, is what it is.
    """

    path: str
    sha256: str
    types: Mapping[str, TensorType]

    @property
    def name(self) -> str:
        """The file's name, without the folders that it lies in."""
        return without_folders(self.path)

    def encoding(self, tensor: TensorInfo, effective: TensorType) -> Encoding:
        """How a tensor of the base model is written: copied from the file, where that has the type.

        A tensor that stays as it is in the base model is the base model's own.
        """
        copied = effective is not tensor.type and effective is self.types.get(tensor.name)
        return Encoding(effective, file=self.sha256 if copied else "")

    def check(self, shape: ModelShape) -> None:
        """Refuse the file of another model: RecipeError where it lacks a tensor that recipes are made of."""
        for tensor in quantizable_tensors(shape):
            if tensor.name not in self.types:
                raise RecipeError(
                    f"{self.path} is of another model: it has no {tensor.name}, which {shape.name} has"
                )


def file_digest(file: QuantizedFile | None) -> str:
    """The SHA-256 of a file, "" of none: by which what is known of recipes is kept apart."""
    return file.sha256 if file else ""


FindFile = Callable[[str, str], QuantizedFile]
"""Finds the file of a path and a SHA-256, empty where a recipe names none; RecipeError says why not."""


def find_no_file(path: str, sha256: str) -> QuantizedFile:
    """Where there are no files, there is none to copy from: RecipeError."""
    raise RecipeError(f"the quantized file {path} cannot be looked for here")


def named_file(document: Mapping[Any, object], find: FindFile) -> QuantizedFile | None:
    """The file that a recipe's document names, None where it names none."""
    named = path_and_digest(document, "file", "a quantized GGUF")
    return find(*named) if named else None
