"""Importance matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Ctx, GpuLayers, Json, Model, Requantize, Threads


@app.command()
def imatrix(
    model: Model,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXT",
            help="Text to compute it on; default: the second half of the evaluation text, so that nothing is "
            "measured on what it was made of.",
        ),
    ] = None,
    chunks: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Chunks of the text; more make it better, slowly.")
    ] = 100,
    ctx: Ctx = 512,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write it; default: lqtui's cache."),
    ] = None,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Compute an importance matrix, as llama-imatrix does; what was stopped is gone on with."""
    from lqtui.cli import imatrices, runs

    settings = runs.settings(threads=threads, gpu_layers=gpu_layers)
    imatrices.compute(model, settings, corpus, chunks, ctx, out, requantize, json)
