"""The shape of a model, as its GGUF header tells it: tensors, blocks, roles, heads, experts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

import msgspec

from lqtui.recipe.types import TensorType

ALIGNMENT = 32
"""GGUF_DEFAULT_ALIGNMENT: llama-quantize pads each tensor's data to this many bytes."""

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


class TensorInfo(msgspec.Struct, frozen=True, dict=True):
    """One tensor of the base model: name, dimensions (`ne`, in ggml's order: columns first), type."""

    name: str
    ne: tuple[int, ...]
    type: TensorType

    @cached_property
    def block(self) -> int | None:
        """The N of `blk.N.…`, None for a tensor outside the blocks."""
        match = _BLOCK.match(self.name)
        return int(match[1]) if match else None

    @cached_property
    def role(self) -> str:
        """What the tensor does, its name without block and `.weight`: `attn_q`, `ffn_down`, `output`."""
        match = _BLOCK.match(self.name)
        name = match[2] if match else self.name
        return name.removesuffix(".weight")

    @property
    def columns(self) -> int:
        """Weights in a row."""
        return self.ne[0]

    @cached_property
    def rows(self) -> int:
        """Number of rows, over all further dimensions."""
        rows = 1
        for extent in self.ne[1:]:
            rows *= extent
        return rows

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return self.columns * self.rows

    def bytes_as(self, tensor_type: TensorType) -> int:
        """Bytes of this tensor's data at a type, without padding."""
        known = self._bytes_as
        if tensor_type not in known:
            known[tensor_type] = self.rows * tensor_type.row_bytes(self.columns)
        return known[tensor_type]

    @cached_property
    def _bytes_as(self) -> dict[TensorType, int]:
        return {}


class ModelShape(msgspec.Struct, frozen=True, dict=True, eq=False):
    """What the header of a GGUF model says, in the order in which llama-quantize writes the tensors.

    Shapes compare by identity: one is made per opened model and used as a key.
    `meta_bytes` is the size of the header that llama-quantize would write (it does not depend on the
    types), of which `meta_padding` are filling; `imatrix_keys` are the bytes of what it says of an importance
    matrix, by key. `file_bytes` is the size of the model as it is, all its parts together. Heads, experts and
    lengths are the values of the architecture's keys (per block where they differ: the first), 0 where
    it has none.
    """

    name: str
    architecture: str
    block_count: int
    tensors: tuple[TensorInfo, ...]
    meta_bytes: int
    file_bytes: int
    file_type: int | None = None
    context_length: int = 0
    embedding_length: int = 0
    heads: int = 0
    kv_heads: int = 0
    experts: int = 0
    vocab_size: int = 0
    meta_padding: int = 0
    imatrix_keys: dict[str, int] = {}

    @cached_property
    def by_name(self) -> dict[str, TensorInfo]:
        """The tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def tied_embeddings(self) -> bool:
        """Whether the output uses the token embedding's weights: there is no `output.weight`."""
        return "output.weight" not in self.by_name

    def header_bytes(self, replaced: Mapping[str, int]) -> int:
        """Size of the header with keys of so many bytes added, in place of those of the same names."""
        size = self.meta_bytes - self.meta_padding + sum(replaced.values())
        size -= sum(own for key, own in self.imatrix_keys.items() if key in replaced)
        return -(-size // ALIGNMENT) * ALIGNMENT if replaced else self.meta_bytes

    @cached_property
    def n_weights(self) -> int:
        """Number of weights of all tensors."""
        return sum(tensor.n_weights for tensor in self.tensors)

    @cached_property
    def quantized_types(self) -> tuple[TensorType, ...]:
        """The quantized types that the file already holds; empty for a base model."""
        return tuple(sorted({t.type for t in self.tensors if t.type.is_quantized}))

    @cached_property
    def main_type(self) -> TensorType:
        """The type that holds most of the weights."""
        weights: dict[TensorType, int] = {}
        for tensor in self.tensors:
            weights[tensor.type] = weights.get(tensor.type, 0) + tensor.n_weights
        return max(weights, key=lambda t: weights[t])


def tensor_order(name: str) -> tuple[int, str]:
    """The key by which llama-quantize orders tensors: outside the blocks first, then by block, then by name.

    Source: `weight_name_comparer` in llama-model-loader.h.
    """
    match = _BLOCK.match(name)
    return (int(match[1]) if match else -1, name)
