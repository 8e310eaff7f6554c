"""Which layers deserve the bits, and the best recipe for a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import (
    AtLeast,
    By,
    Chunks,
    Corpus,
    Ctx,
    GpuLayers,
    Imatrix,
    Json,
    KvType,
    Model,
    Pin,
    PlanCtx,
    Requantize,
    Same,
    Threads,
    Types,
)
from lqtui.recipe.granularity import Granularity


@app.command()
def sensitivity(
    model: Model,
    types: Types = None,
    by: By = Granularity.TENSOR,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Estimate only, in seconds: weighted errors, LIM and ZD."),
    ] = False,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves", help="Lower the blocks one by one, in the order of each score, and see what is kept."
        ),
    ] = False,
    imatrix: Imatrix = None,
    corpus: Corpus = None,
    chunks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="At most so many chunks of the text's second half: 1. With --curves, of its first: 5.",
        ),
    ] = None,
    ctx: Ctx = 512,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Measure what each tensor, or block, costs alone: KL divergence from the base model."""
    from lqtui.cli import importance, output, runs
    from lqtui.workbench.importance import PROBE

    told_on = (chunks or 5) if curves else 1
    settings = runs.settings(corpus, told_on, ctx, threads, gpu_layers)
    if curves and estimate:
        output.fail("--curves measures, and --estimate does not; give one of them")
    if curves:
        importance.curves(model, settings, types, requantize, json, imatrix)
        return
    wanted = importance.parse_types(types, (PROBE,))
    importance.sensitivity(
        model, settings, wanted, by, chunks or 1, requantize, json, estimate=estimate, imatrix=imatrix
    )


@app.command()
def fit(
    model: Model,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Budget: the file's size (400MiB).")
    ] = None,
    bpw: Annotated[float | None, typer.Option(metavar="BITS", help="Budget: bits per weight.")] = None,
    vram: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Budget: VRAM, with --ctx and --kv-type (6GiB).")
    ] = None,
    ram: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Budget: RAM, with --ctx and --kv-type.")
    ] = None,
    ctx: PlanCtx = 4096,
    kv_type: KvType = "F16",
    types: Types = None,
    by: By = Granularity.TENSOR,
    pin: Pin = None,
    at_least: AtLeast = None,
    same: Same = None,
    imatrix: Imatrix = None,
    corpus: Corpus = None,
    holdout: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXT",
            help="Text to tell the result on; then --corpus is what is fitted on. "
            "Default: the first half of the corpus, its second half being fitted on.",
        ),
    ] = None,
    chunks: Chunks = 5,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Save the recipe (TOML).")
    ] = None,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Find the recipe of least KL divergence for a budget; predicted, then measured on other text."""
    from lqtui.cli import importance, output, runs

    if holdout is not None and corpus is None:
        output.fail("--holdout needs --corpus TEXT too: the text to fit on")
    settings = runs.settings(
        holdout or corpus,
        chunks,
        threads=threads,
        gpu_layers=gpu_layers,
        fit_ctx=ctx,
        kv_type=kv_type,
        calibration=corpus if holdout else None,
    )
    wanted = importance.budget(size, bpw, vram, ram)
    among = importance.choices(types, by, pin or [], at_least or [], same or [])
    importance.fit(model, settings, wanted, among, out, requantize, json, imatrix)


@app.command()
def frontier(
    model: Model,
    types: Types = None,
    by: By = Granularity.TENSOR,
    pin: Pin = None,
    at_least: AtLeast = None,
    same: Same = None,
    imatrix: Imatrix = None,
    corpus: Corpus = None,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Find the best recipe of every size, with the knee: predicted, and measured at some points."""
    from lqtui.cli import importance, runs

    settings = runs.settings(corpus, chunks=1, threads=threads, gpu_layers=gpu_layers)
    among = importance.choices(types, by, pin or [], at_least or [], same or [])
    importance.frontier(model, settings, among, requantize, json, imatrix)
