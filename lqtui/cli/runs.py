"""What the commands do, on a workbench."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.cli.recipes import WantedRecipe
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.memory import parse_kv_types
from lqtui.recipe.recipe import Plan
from lqtui.store.paths import Paths, expanded
from lqtui.workbench import (
    Fit,
    Job,
    Settings,
    Workbench,
)
from lqtui.workbench.interchange import RecipeFormat, known_format


def settings(
    corpus: Path | None = None,
    chunks: int = 5,
    n_ctx: int = 512,
    threads: int = 0,
    gpu_layers: int = -1,
    repetitions: int = 5,
    fit_ctx: int = 4096,
    kv_type: str = "F16",
    divergence: bool = True,
    spread: bool = False,
    memory: str | None = None,
    calibration: Path | None = None,
) -> Settings:
    """Settings from a command's options."""
    try:
        type_k, type_v = parse_kv_types(kv_type)
    except RecipeError as error:
        output.fail(str(error))
    return Settings(
        corpus=expanded(corpus) if corpus else None,
        calibration=expanded(calibration) if calibration else None,
        n_ctx=n_ctx,
        chunks=chunks,
        threads=threads,
        gpu_layers=gpu_layers,
        repetitions=repetitions,
        fit_ctx=fit_ctx,
        type_k=type_k,
        type_v=type_v,
        divergence=divergence,
        spread=spread,
        memory=output.parse_size(memory) if memory else 0,
    )


def plan(model: Path, wanted: WantedRecipe, chosen: Settings, requantize: bool, json: bool) -> None:
    """Show what a recipe makes of a model."""

    async def run(bench: Workbench) -> tuple[Plan, Fit]:
        await bench.open(model, requantize=requantize, fingerprint=False)
        planned = await wanted.plan(bench)
        return planned, await bench.known_fit(planned)

    planned, fit = on_bench(chosen, run)
    if json:
        output.print_json(output.plan_document(planned, fit))
    else:
        output.print_plan(planned, fit)


def quantize(
    model: Path, out: Path, wanted: WantedRecipe, chosen: Settings, requantize: bool, json: bool
) -> None:
    """Write a recipe's GGUF file."""

    async def run(bench: Workbench) -> tuple[Job, Plan]:
        await bench.open(model, requantize=requantize, fingerprint=False)
        planned = await wanted.plan(bench)
        return await followed(bench, bench.quantize_plan(planned, out)), planned

    job, planned = on_bench(chosen, run)
    exit_unless_done(job)
    if json:
        output.print_json({"name": planned.recipe.name, "out": str(out), "file_bytes": planned.file_bytes})
    else:
        print(output.shown(job.message))


def export(
    model: Path,
    wanted: WantedRecipe,
    out: Path | None,
    form: RecipeFormat | None,
    requantize: bool,
    json: bool,
) -> None:
    """Write the recipe to a file or to standard output, in the form that is asked for, else a script."""
    form = form or (known_format(out) if out else None) or RecipeFormat.SCRIPT

    async def run(bench: Workbench) -> tuple[Plan, str]:
        await bench.open(model, requantize=requantize, fingerprint=False)
        planned = await wanted.plan(bench)
        if out is not None:
            bench.write_recipe(out, planned, form)
        return planned, bench.recipe_text(planned, form)

    planned, text = on_bench(Settings(), run)
    if json:
        where = {"out": str(out)} if out else {form.value: text}
        output.print_json({"name": planned.recipe.name, "file_bytes": planned.file_bytes, **where})
    elif out is None:
        print(text, end="")
    else:
        print(output.shown(f"wrote {out}"))


def doctor(json: bool) -> None:
    """Show what lqtui runs on."""
    from lqtui.cli.doctor import examine, print_examination

    found = asyncio.run(examine(Paths.from_environment()))
    if json:
        output.print_json(found)
    else:
        print_examination(found)
