"""What parent and child say to each other of a tensor that is inspected."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.inspection import InspectedTensor, InspectedType


class InspectTensor(msgspec.Struct, frozen=True, tag=True):
    """Tell how a tensor's weights spread, and what each of some encodings makes of them, in their order.

    A window of about `size` weights around the one at `first` is told of in full. Errors are told over about
    `sampled` weights, 0: all. `files` are those that encodings name, by their SHA-256.
    """

    model: Path
    tensor: str
    encodings: list[Encoding]
    first: int
    size: int
    threads: int
    sampled: int = 0
    files: dict[str, Path] = {}


class TensorInspected(msgspec.Struct, frozen=True, tag=True):
    """All weights of the tensor are read."""

    tensor: InspectedTensor


class TypeInspected(msgspec.Struct, frozen=True, tag=True):
    """One more type is done."""

    inspected: InspectedType


InspectEvent = TensorInspected | TypeInspected
