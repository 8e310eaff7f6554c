"""The commands and their options; what they do is in `runs.py`, how it looks in `output.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lqtui.cli.options import (
    AsPublished,
    AtLeast,
    By,
    Chunks,
    Corpus,
    Ctx,
    FitCtx,
    GpuLayers,
    Json,
    Kld,
    KvType,
    Model,
    Pin,
    PlanCtx,
    Preset,
    RecipeFile,
    Requantize,
    Same,
    Threads,
    Types,
)
from lqtui.recipe.granularity import Granularity

_OPEN = "open"


class _ModelFirst(TyperGroup):
    """`lqtui MODEL` opens the app: what is neither a command nor a group option belongs to `open`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in ("-h", "--help") and not (first in self.commands and first != _OPEN):
            args = [_OPEN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ModelFirst,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Choose the quantization of every layer of a GGUF model, and see what it costs.\n\n"
    "`lqtui [MODEL]` opens the app. The commands below do the same work for scripts; all of them take --json "
    "(one JSON document on standard output, progress on standard error) and exit with 0 (done), "
    "1 (failed) or 2 (usage or bad input).",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)


@app.command(_OPEN, hidden=True)
def open_app(
    model: Annotated[Path | None, typer.Argument(metavar="[MODEL]")] = None,
    corpus: Corpus = None,
    chunks: Chunks = 5,
    ctx: Ctx = 512,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    fit_ctx: FitCtx = 4096,
    kv_type: KvType = "F16",
    requantize: Requantize = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Open the app, with a model or without."""
    from lqtui.cli import runs

    if version:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    settings = runs.settings(corpus, chunks, ctx, threads, gpu_layers, fit_ctx=fit_ctx, kv_type=kv_type)
    runs.open_app(model, settings, requantize, known_commands=_command_names())


@app.command()
def plan(
    model: Model,
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    ctx: PlanCtx = 4096,
    kv_type: KvType = "F16",
    gpu_layers: GpuLayers = -1,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Show what a recipe makes of a model: its size to the byte, and the memory to run it."""
    from lqtui.cli import recipes, runs

    settings = runs.settings(gpu_layers=gpu_layers, fit_ctx=ctx, kv_type=kv_type)
    runs.plan(model, recipes.one_recipe(preset, recipe, as_published), settings, requantize, json)


@app.command()
def measure(
    model: Model,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="NAME", help="A published strategy; can be repeated."),
    ] = None,
    all_presets: Annotated[bool, typer.Option("--all-presets", help="All eleven strategies.")] = False,
    recipe: Annotated[
        list[Path] | None,
        typer.Option("--recipe", metavar="FILE", help="A recipe file (TOML); can be repeated."),
    ] = None,
    as_published: AsPublished = False,
    kld: Kld = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B", help="Which of two recipes (presets or recipe files) is better; with --kld."
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
    wanted = recipes.many_recipes(preset or [], all_presets, recipe or [], as_published, compare)
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
        importance.curves(model, settings, types, requantize, json)
        return
    wanted = importance.parse_types(types, (PROBE,))
    importance.sensitivity(model, settings, wanted, by, chunks or 1, requantize, json, estimate=estimate)


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
    importance.fit(model, settings, wanted, among, out, requantize, json)


@app.command()
def frontier(
    model: Model,
    types: Types = None,
    by: By = Granularity.TENSOR,
    pin: Pin = None,
    at_least: AtLeast = None,
    same: Same = None,
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
    importance.frontier(model, settings, among, requantize, json)


@app.command()
def quantize(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    threads: Threads = 0,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Write a recipe's GGUF file, the same that llama-quantize writes."""
    from lqtui.cli import recipes, runs

    wanted = recipes.one_recipe(preset, recipe, as_published)
    runs.quantize(model, out, wanted, runs.settings(threads=threads), requantize, json)


@app.command()
def export(
    model: Model,
    preset: Preset = None,
    recipe: RecipeFile = None,
    as_published: AsPublished = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The script to write; default: standard output."),
    ] = None,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Write a shell script with which stock llama.cpp makes the recipe's file."""
    from lqtui.cli import recipes, runs

    runs.export(model, recipes.one_recipe(preset, recipe, as_published), out, requantize, json)


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


@app.command()
def cache(
    prune: Annotated[bool, typer.Option("--prune", help="Remove quantized tensors; by default all.")] = False,
    keep: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Prune the oldest until this much is left (2GiB).")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=0, max=36_500, help="Prune what was not used for so long."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Prune this model's tensors: name or digest.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the cache of quantized tensors holds, and prune it."""
    from lqtui.cli import runs

    runs.cache(prune, keep, older_than, model, json)


@app.command()
def doctor(json: Json = False) -> None:
    """Show versions, devices, threads, paths and what the terminal can do."""
    from lqtui.cli import runs

    runs.doctor(json)


def _command_names() -> list[str]:
    command: Any = typer.main.get_command(app)
    return [name for name in command.commands if name != _OPEN]
