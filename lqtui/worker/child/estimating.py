"""Estimate a model's tensors and blocks: one pass of the text through it, then its weights."""

from __future__ import annotations

from functools import partial

from lqtui.llama import corpus, runtime
from lqtui.llama.activations import observe
from lqtui.llama.estimates import estimate_tensors
from lqtui.llama.forward import check_context
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.rules import quantizable_tensors
from lqtui.store.estimates import TensorEstimate
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import BlockEstimated, CorpusRead, Estimate, Progress, TensorEstimated


def estimate(task: Estimate, send: Send) -> None:
    """Do an Estimate task."""
    with runtime.backend(), BaseModel(task.model) as base:
        # First of all: a context or a text that cannot be used is told before the whole model is loaded.
        check_context(task.n_ctx, base.shape.context_length)
        with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
            chunks = corpus.corpus_chunks(
                vocabulary, task.corpus, task.n_ctx, task.chunks, spread=task.spread
            )
        send(CorpusRead(len(chunks)))
        activations = observe(
            base,
            chunks,
            task.threads,
            task.gpu_layers,
            on_load=partial(send, Progress("loading", 0, 1, "model")),
            on_chunk=lambda done, total: send(Progress("activations", done, total, "chunks")),
        )
        done, total = 0, len(quantizable_tensors(base.shape))
        send(Progress("estimating", done, total, "tensors"))
        for estimated in estimate_tensors(base, activations, task.types, task.threads, imatrix=task.imatrix):
            if isinstance(estimated, TensorEstimate):
                done += 1
                send(TensorEstimated(estimated))
                send(Progress("estimating", done, total, "tensors"))
            else:
                send(BlockEstimated(estimated))
