"""Recipes measured: quality and speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import (
    PRESET_HELP,
    RECIPE_HELP,
    AsPublished,
    Corpus,
    Ctx,
    GpuLayers,
    Imatrix,
    Json,
    Kld,
    Model,
    Requantize,
    Threads,
)


@app.command()
def measure(
    model: Model,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="NAME", help=f"{PRESET_HELP[:-1]}; can be repeated."),
    ] = None,
    all_presets: Annotated[bool, typer.Option("--all-presets", help="All eleven strategies.")] = False,
    recipe: Annotated[
        list[Path] | None,
        typer.Option("--recipe", metavar="FILE", help=f"{RECIPE_HELP} Can be repeated."),
    ] = None,
    gguf: Annotated[
        list[Path] | None,
        typer.Option(
            "--gguf",
            metavar="FILE",
            help="A quantized GGUF of the model, its own bytes; can be repeated.",
        ),
    ] = None,
    as_published: AsPublished = False,
    imatrix: Imatrix = None,
    kld: Kld = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Which of two recipes (presets, recipe files, or GGUFs themselves) is better; with --kld.",
        ),
    ] = None,
    until_verdict: Annotated[
        bool,
        typer.Option(
            "--until-verdict",
            help="With --compare: add chunks, from all over the text, until that is clear.",
        ),
    ] = False,
    confidence: Annotated[
        float | None, typer.Option(metavar="SHARE", help="With --compare: how sure to be; default 0.95.")
    ] = None,
    corpus: Corpus = None,
    chunks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Chunks of the text to score; default 5, or with --until-verdict all if need be.",
        ),
    ] = None,
    ctx: Ctx = 512,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory beside the base model, to save computing (4GiB); default: half of what is free.",
        ),
    ] = None,
    tps: Annotated[bool, typer.Option("--tps", help="Measure tokens per second too (pp512, tg128).")] = False,
    repetitions: Annotated[int, typer.Option(min=1, max=10_000, help="Runs of each speed test.")] = 5,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known already.")] = False,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Measure recipes: perplexity and KL divergence with their errors, and tokens per second."""
    from lqtui.cli import measuring, recipes, runs

    comparing = measuring.comparing(compare, confidence, until_verdict)
    wanted = recipes.many_recipes(
        preset or [], all_presets, recipe or [], as_published, compare, imatrix, gguf or ()
    )
    settings = runs.settings(
        corpus,
        chunks or (measuring.ALL_CHUNKS if until_verdict else 5),
        ctx,
        threads,
        gpu_layers,
        repetitions,
        divergence=kld or compare is not None,
        spread=until_verdict,
        memory=memory,
    )
    measuring.measure(model, wanted, settings, requantize, json, fresh=fresh, tps=tps, comparing=comparing)


@app.command()
def demo(
    kld: Kld = False,
    tps: Annotated[bool, typer.Option("--tps", help="Measure tokens per second too (pp512, tg128).")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known already.")] = False,
    json: Json = False,
) -> None:
    """Measure the eleven strategies on the demo model that comes with lqtui."""
    from lqtui.cli import measuring, runs

    measuring.demo(runs.settings(divergence=kld), json, fresh=fresh, tps=tps)
