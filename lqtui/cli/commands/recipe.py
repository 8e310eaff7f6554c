"""What a recipe makes of a model: its plan, its file, its script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import (
    AsPublished,
    GpuLayers,
    Imatrix,
    Json,
    KvType,
    Model,
    PlanCtx,
    Preset,
    RecipeFile,
    Requantize,
    Threads,
)


@app.command()
def plan(
    model: Model,
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    imatrix: Imatrix = None,
    ctx: PlanCtx = 4096,
    kv_type: KvType = "F16",
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Show what a recipe makes of a model: its size to the byte, and the memory to run it."""
    from lqtui.cli import recipes, runs

    settings = runs.settings(gpu_layers=gpu_layers, fit_ctx=ctx, kv_type=kv_type)
    wanted = recipes.one_recipe(preset, recipe, as_published, imatrix)
    runs.plan(model, wanted, settings, requantize, json)


@app.command()
def quantize(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    imatrix: Imatrix = None,
    threads: Threads = 0,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Write a recipe's GGUF file, the same that llama-quantize writes."""
    from lqtui.cli import recipes, runs

    wanted = recipes.one_recipe(preset, recipe, as_published, imatrix)
    runs.quantize(model, out, wanted, runs.settings(threads=threads), requantize, json)


@app.command()
def export(
    model: Model,
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    imatrix: Imatrix = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The file to write; default: standard output. "
            ".toml, .json and .txt (tensor types) ask for those, any other name for a script.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="script, toml, json or tensor-types."),
    ] = None,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Write a shell script with which stock llama.cpp makes the recipe's file; or the recipe itself."""
    from lqtui.cli import output, recipes, runs
    from lqtui.workbench.interchange import RecipeFormat

    if form is not None and form not in list(RecipeFormat):
        output.fail(f"--format is one of {', '.join(RecipeFormat)}")
    wanted = recipes.one_recipe(preset, recipe, as_published, imatrix)
    runs.export(model, wanted, out, RecipeFormat(form) if form else None, requantize, json)
