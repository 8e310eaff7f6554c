"""What was estimated of a model's tensors and blocks, kept in one small file for each text.

All of it can be estimated anew, so what is missing, damaged or foreign is simply not there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from lqtui.recipe.types import TensorType
from lqtui.store.kept import load_kept, save_kept

_VERSION = 1
"""Raised with every change to what the numbers mean or how they are kept."""


class OutputError(msgspec.Struct, frozen=True):
    """What types do to what comes out of a tensor, as mean squares for each token of the text.

    `errors` are by the type in which the tensor is then written, and `power` is the same mean of the output
    itself.
    """

    errors: dict[TensorType, float]
    power: float

    def relative(self, tensor_type: TensorType) -> float:
        """A type's error as a share of the output's power; KeyError for a type that was not estimated."""
        return self.errors[tensor_type] / self.power if self.power else 0.0


class TensorEstimate(msgspec.Struct, frozen=True):
    """What was estimated of a tensor.

    `product` is its error as the factor of matrix products, and `lookup` as an embedding whose rows are
    looked up. Tied embeddings are both, and what the model never reads is neither.
    """

    name: str
    product: OutputError | None
    lookup: OutputError | None
    excess_kurtosis: float
    outlier_share: float


class BlockEstimate(msgspec.Struct, frozen=True):
    """A block's LIM, None where its hidden states cannot be told, and its ZD in both readings."""

    block: int
    lim: float | None
    zd: float
    zd_two_sided: float


class Estimates(msgspec.Struct, frozen=True):
    """All that was estimated of a model on a text."""

    tensors: tuple[TensorEstimate, ...]
    blocks: tuple[BlockEstimate, ...]
    types: tuple[TensorType, ...] = ()
    """The types that were asked for; where a tensor's rows do not fit them, it has errors at others."""


class EstimatesKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """What estimates depend on: the model, the text and how much of it, and the build of llama.cpp."""

    model_digest: str
    corpus_digest: str
    n_ctx: int
    chunks: int
    engine: str
    imatrix: str = ""
    """SHA-256 of the importance matrix by which types are quantized, where there is one."""


def load_estimates(folder: Path, key: EstimatesKey) -> Estimates | None:
    """The estimates that are kept in a folder under a key; None where there are none that can be trusted."""
    return load_kept(folder, "estimates", _VERSION, key, Estimates)


def save_estimates(folder: Path, key: EstimatesKey, estimates: Estimates) -> None:
    """Keep estimates under a key, in place of those that were kept there.

    Raises:
        StoreError: the folder cannot be made or written to, or the disk is full.
    """
    save_kept(folder, "estimates", _VERSION, key, estimates)
