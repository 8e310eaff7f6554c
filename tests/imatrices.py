"""Importance matrices for tests: random ones that fit a model, in the formats of llama-imatrix."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.store.imatrix_file import Sums, write_imatrix


def random_sums(shape: ModelShape, seed: int = 1, *, without: Sequence[str] = ()) -> dict[str, Sums]:
    """Sums for all tensors of a model's blocks; of four experts, one was never chosen."""
    random = np.random.default_rng(seed)
    found = {}
    for tensor in quantizable_tensors(shape):
        if tensor.block is None or tensor.name in without:
            continue
        matrices = tensor.ne[2] if len(tensor.ne) > 2 else 1
        counts = random.integers(1, 2000, matrices)
        squares = random.gamma(0.5, 1, (matrices, tensor.columns)) * counts[:, None]
        if matrices > 1:
            counts[1], squares[1] = 0, 0
        found[tensor.name] = Sums(squares.astype(np.float32), counts)
    return found


def random_imatrix(path: Path, shape: ModelShape, seed: int = 1, *, without: Sequence[str] = ()) -> Path:
    """A file in today's format."""
    write_imatrix(path, random_sums(shape, seed, without=without), ["some text.txt"], 12, 512)
    return path


def legacy_imatrix(
    path: Path, sums: Mapping[str, Sums], calls: int = 7, dataset: str = "old text.txt"
) -> Path:
    """The same in the older format, as llama-imatrix writes it: means times the number of calls."""
    parts = [struct.pack("<i", len(sums))]
    for name, (squares, counts) in sums.items():
        means = np.where(counts[:, None] > 0, squares / np.maximum(counts, 1)[:, None].astype(np.float32), 1)
        values = (means.astype(np.float32) * np.float32(calls)).reshape(-1)
        parts += [
            struct.pack("<i", len(name.encode())),
            name.encode(),
            struct.pack("<ii", calls, values.size),
        ]
        parts.append(values.astype("<f4").tobytes())
    parts += [struct.pack("<ii", calls, len(dataset)), dataset.encode()]
    path.write_bytes(b"".join(parts))
    return path
