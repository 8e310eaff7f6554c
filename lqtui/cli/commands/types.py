"""Every type on a model, and what a type makes of a tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Chunks, Corpus, Ctx, GpuLayers, Imatrix, Json, Model, Requantize, Threads


@app.command()
def types(
    model: Model,
    types: Annotated[
        str | None,
        typer.Option(
            metavar="TYPES",
            help="llama-quantize's file types, separated by commas (Q8_0,Q4_K_M,IQ4_XS); default: "
            "F16, Q8_0, Q6_K, Q4_K_M, Q4_0, Q3_K_M, Q2_K, IQ1_M, IQ1_S.",
        ),
    ] = None,
    corpus: Corpus = None,
    chunks: Chunks = 5,
    ctx: Ctx = 512,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    imatrix: Imatrix = None,
    tps: Annotated[bool, typer.Option("--tps", help="Measure tokens per second too (pp512, tg128).")] = False,
    repetitions: Annotated[int, typer.Option(min=1, max=10_000, help="Runs of each speed test.")] = 5,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known already.")] = False,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Measure a model at every type: perplexity, KL divergence, size, compression, and speed."""
    from lqtui.cli import runs, type_table

    settings = runs.settings(corpus, chunks, ctx, threads, gpu_layers, repetitions)
    wanted = type_table.parse_file_types(types)
    type_table.types_table(model, wanted, settings, imatrix, requantize, json, fresh=fresh, tps=tps)


@app.command()
def inspect(
    model: Model,
    tensor: Annotated[
        str, typer.Argument(metavar="TENSOR", help="A tensor's name (blk.3.ffn_down), with .weight or not.")
    ],
    type: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="TYPE", help="The type to quantize it to; default: Q4_0 where its rows fit."
        ),
    ] = None,
    block: Annotated[
        int, typer.Option(min=0, max=1 << 48, help="Which of the type's blocks to look at, from 0.")
    ] = 0,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXT", help="The text that `lqtui sensitivity` has estimated errors on, if any."
        ),
    ] = None,
    ctx: Ctx = 512,
    threads: Threads = 0,
    imatrix: Imatrix = None,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """See what a type makes of a tensor: its weights, the values in a block, and the error."""
    from lqtui.cli import inspecting, runs

    settings = runs.settings(corpus, 1, ctx, threads)
    inspecting.inspect(model, tensor, type, block, settings, imatrix, requantize, json)
