"""Compute an importance matrix, going on from what was computed before."""

from __future__ import annotations

from functools import partial

from lqtui.llama import corpus, runtime
from lqtui.llama.forward import check_context
from lqtui.llama.gguf import BaseModel
from lqtui.llama.imatrix import check_chunk_size, compute_imatrix
from lqtui.store.errors import StoreError
from lqtui.store.imatrix_file import ImatrixFile, open_imatrix
from lqtui.store.paths import make_directory
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import ComputeImatrix, CorpusRead, Progress


def compute(task: ComputeImatrix, send: Send) -> None:
    """Do a ComputeImatrix task."""
    make_directory(task.out.parent)
    with runtime.backend(), BaseModel(task.model) as base:
        # First of all: a context or a text that cannot be used is told before the whole model is loaded.
        check_context(task.n_ctx, base.shape.context_length)
        check_chunk_size(task.n_ctx)
        with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
            chunks = corpus.corpus_chunks(vocabulary, task.corpus, task.n_ctx, task.chunks)
        send(CorpusRead(len(chunks)))
        compute_imatrix(
            base,
            chunks,
            task.dataset,
            task.out,
            task.unfinished,
            _begun(task, len(chunks)),
            task.threads,
            task.gpu_layers,
            on_load=partial(send, Progress("loading", 0, 1, "model")),
            on_chunk=lambda done, total: send(Progress("importances", done, total, "chunks")),
            save_seconds=task.save_seconds,
        )


def _begun(task: ComputeImatrix, chunks: int) -> ImatrixFile | None:
    """What can be gone on from; None where it is damaged, or of more than these chunks."""
    if task.begun is None:
        return None
    try:
        begun = open_imatrix(task.begun)
        begun.describe()
    except StoreError:
        return None
    return begun if begun.chunks <= chunks else None
