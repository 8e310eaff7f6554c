"""Compute importance matrices as llama-imatrix does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lqtui.llama.activations import FEWEST_TOKENS, Moments, observe
from lqtui.llama.errors import EngineError
from lqtui.llama.forward import BATCH
from lqtui.llama.gguf import BaseModel
from lqtui.store.imatrix_file import ImatrixFile, Sums, write_imatrix


def check_chunk_size(n_ctx: int) -> None:
    """Refuse chunks whose last tokens no product would be taken of: EngineError says why."""
    if n_ctx < FEWEST_TOKENS or 0 < n_ctx % BATCH < FEWEST_TOKENS:
        raise EngineError(
            f"an importance matrix cannot be computed on chunks of {n_ctx} tokens: products of fewer than "
            f"{FEWEST_TOKENS} tokens are left out; choose a --ctx such as {BATCH}"
        )


def compute_imatrix(
    base: BaseModel,
    chunks: NDArray[np.int32],
    dataset: str,
    out: Path,
    unfinished: Path,
    begun: ImatrixFile | None,
    threads: int,
    gpu_layers: int,
    on_load: Callable[[], None],
    on_chunk: Callable[[int, int], None],
    save_seconds: float,
) -> None:
    """Compute the importance matrix of a model on chunks, shape (chunks, n_ctx), and write it.

    Args:
        base: The model.
        chunks: As `corpus_chunks` cuts them.
        dataset: What the file is to call the text.
        out: The file to write.
        unfinished: Where to keep what is summed up meanwhile, so that it can be gone on with.
        begun: What is summed up already of the first of these chunks.
        threads: For computing.
        gpu_layers: How many layers to offload, -1 for all.
        on_load: Told that the model is about to be loaded.
        on_chunk: Told after each chunk of how many are done, and how many there are.
        save_seconds: How long to work before what is unfinished is written again.

    Raises:
        EngineError: The model cannot be run, or gives infinite or undefined numbers.
        StoreError: There is no room, or no leave to write.
    """
    total, n_ctx = chunks.shape
    check_chunk_size(n_ctx)
    before = {name: begun.sums(name) for name in begun.names} if begun else {}
    done_before = begun.chunks if begun else 0
    saved = time.monotonic()

    def save(path: Path, done: int, moments: Mapping[str, Moments]) -> None:
        write_imatrix(path, _added(before, moments), [dataset], done_before + done, n_ctx)

    def save_unfinished(done: int, moments: Mapping[str, Moments]) -> None:
        nonlocal saved
        if time.monotonic() - saved >= save_seconds and done_before + done < total:
            save(unfinished, done, moments)
            saved = time.monotonic()

    moments: Mapping[str, Moments] = {}
    if done_before < total:
        moments = observe(
            base,
            chunks[done_before:],
            threads,
            gpu_layers,
            on_load,
            lambda done, _: on_chunk(done_before + done, total),
            save_unfinished,
        ).moments
    save(out, total - done_before, moments)
    unfinished.unlink(missing_ok=True)


def _added(before: Mapping[str, Sums], moments: Mapping[str, Moments]) -> dict[str, Sums]:
    """What was summed up before, and the moments of the weights that llama-imatrix collects."""
    sums = dict(before)
    for name, new in moments.items():
        if name.startswith("blk.") or new.of_experts:
            counts = new.counts if new.of_experts else new.counts[:1]
            old = before.get(name)
            squares = new.squares
            if old is not None:
                squares, counts = squares + old.squares.reshape(squares.shape), counts + old.counts
            sums[name] = Sums(squares.astype(np.float32), counts)
    return sums
