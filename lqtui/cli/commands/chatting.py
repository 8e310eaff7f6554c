"""Talking to a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import (
    AsPublished,
    GpuLayers,
    Imatrix,
    Json,
    Model,
    Preset,
    RecipeFile,
    Requantize,
    Threads,
)


@app.command()
def chat(
    model: Model,
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    imatrix: Imatrix = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Answer this and end; default: each line of standard input."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, max=1_000_000, help="Tokens of an answer at most.")] = 128,
    temp: Annotated[
        float,
        typer.Option(min=0, max=100, help="Temperature; 0 takes the likeliest token each time."),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, max=(1 << 63) - 1, help="Of the chance that both answers share.")
    ] = 0,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Chat with a recipe, the base model's answers beside its own, and see where they part."""
    from lqtui.cli import chatting, recipes, runs
    from lqtui.workbench.conversation import Sampling

    wanted = recipes.one_recipe(preset, recipe, as_published, imatrix)
    settings = runs.settings(threads=threads, gpu_layers=gpu_layers)
    chatting.chat(model, wanted, prompt, Sampling(max_tokens, temp, seed), settings, requantize, json)
