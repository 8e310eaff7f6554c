"""Importance matrices, as far as recipes depend on them, and what they make of a type.

An importance matrix says how large the inputs of each weight are on some text. llama-quantize weighs errors
by it: the same type then has other bytes, and the lowest types cannot do without. Sources: `load_imatrix` and
`prepare_imatrix` in llama.cpp's quantize.cpp, `llama_model_quantize_impl` in its llama-quant.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_names import without_folders
from lqtui.recipe.named_files import path_and_digest
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType

_LONGEST_TEXT = 127
"""Bytes of a text that llama-quantize takes into the header: `val_str` of a `llama_model_kv_override`."""
_MISMATCH_PASSES = frozenset({"token_embd", "per_layer_token_embd"})
"""Roles of which llama-quantize ignores an entry of the wrong size."""

FILE_KEY = "quantize.imatrix.file"
DATASET_KEY = "quantize.imatrix.dataset"
ENTRIES_KEY = "quantize.imatrix.entries_count"
CHUNKS_KEY = "quantize.imatrix.chunks_count"
HEADER_KEYS = (FILE_KEY, DATASET_KEY, ENTRIES_KEY, CHUNKS_KEY)
"""What llama-quantize adds to the header, in its order."""


class Encoding(NamedTuple):
    """How a tensor's weights are written: the type, and where the bytes depend on more than the base model.

    `imatrix` is the SHA-256 of the matrix that weighs the errors, `file` that of the quantized model which
    the bytes are copied from. They are empty where they change nothing; so two encodings are equal where the
    bytes are.
    """

    type: TensorType
    imatrix: str = ""
    file: str = ""


class Imatrix(msgspec.Struct, frozen=True):
    """An importance matrix: where it is, what it is, and of which tensors it knows.

    `path` is for people; `sha256`, of the file, is what it is. `sizes` are the numbers of values by the
    tensor's name. `dataset` is the first text that it says it was computed on, over `chunks` chunks.
    """

    path: str
    sha256: str
    sizes: Mapping[str, int]
    dataset: str | None = None
    chunks: int = 0

    @property
    def name(self) -> str:
        """The file's name, without the folders that it lies in."""
        return without_folders(self.path)

    def covers(self, tensor: TensorInfo) -> bool:
        """Whether it tells the importance of a tensor's columns, of each of its matrices."""
        return self.sizes.get(tensor.name) == _values(tensor)

    def encoding(self, tensor: TensorInfo, effective: TensorType) -> Encoding:
        """How llama-quantize writes a tensor that becomes `effective`, where it is given this matrix."""
        weighted = effective is not tensor.type and effective.uses_imatrix and self.covers(tensor)
        return Encoding(effective, self.sha256 if weighted else "")

    def header(self) -> dict[str, bytes | int]:
        """What llama-quantize writes into the header of a file that it made with this matrix.

        The file goes by its name alone, so that the bytes do not depend on where it lay, and nobody's folders
        are published with a model.
        """
        keys: dict[str, bytes | int] = {FILE_KEY: _cut(self.name)}
        if self.dataset is not None:
            keys[DATASET_KEY] = _cut(self.dataset)
        keys[ENTRIES_KEY] = len(self.sizes)
        if self.chunks > 0:
            keys[CHUNKS_KEY] = self.chunks
        return keys

    def check(self, shape: ModelShape) -> None:
        """Refuse the matrix of another model: RecipeError where names or widths do not match."""
        known = [shape.by_name[name] for name in self.sizes if name in shape.by_name]
        for tensor in known:
            if not self.covers(tensor) and tensor.role not in _MISMATCH_PASSES:
                raise RecipeError(
                    f"{self.path} is the importance matrix of another model: it has "
                    f"{self.sizes[tensor.name]:,} values for {tensor.name}, and {shape.name} needs "
                    f"{_values(tensor):,}"
                )
        if 2 * len(known) <= len(self.sizes):
            raise RecipeError(
                f"{self.path} is the importance matrix of another model: of the {len(self.sizes)} tensors "
                f"that it names, {shape.name} has {len(known)}"
            )


def matrix_digest(imatrix: Imatrix | None) -> str:
    """The SHA-256 of a matrix, "" of none: by which what is known of recipes is kept apart."""
    return imatrix.sha256 if imatrix else ""


FindImatrix = Callable[[str, str], Imatrix]
"""Finds the matrix of a path and a SHA-256, empty where a recipe names none; RecipeError says why not."""


def find_no_imatrix(path: str, sha256: str) -> Imatrix:
    """Where there are no files, there are no importance matrices: RecipeError."""
    raise RecipeError(f"the importance matrix {path} cannot be looked for here")


def named_imatrix(document: Mapping[Any, object], find: FindImatrix) -> Imatrix | None:
    """The importance matrix that a recipe's document names, None where it names none."""
    named = path_and_digest(document, "imatrix", "an importance matrix")
    return find(*named) if named else None


def header_bytes(keys: Mapping[str, bytes | int]) -> dict[str, int]:
    """The bytes that each of some texts and numbers takes in a GGUF header, by its key."""
    return {
        key: 8 + len(key) + 4 + (8 + len(value) if isinstance(value, bytes) else 4)
        for key, value in keys.items()
    }


def _values(tensor: TensorInfo) -> int:
    """How many values llama-quantize wants for a tensor: one for each column of each of its matrices."""
    return tensor.columns * (tensor.ne[2] if len(tensor.ne) > 2 else 1)


def _cut(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape").split(b"\0")[0][:_LONGEST_TEXT]
