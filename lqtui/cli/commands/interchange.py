"""Recipes and files beside each other, and what was measured as a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Chunks, Corpus, Ctx, Json, Requantize
from lqtui.export.chart_kind import ChartKind


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A GGUF file, a recipe file, or a preset's name.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="MODEL", help="The unquantized model that recipes are for."),
    ] = None,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Compare two GGUF files or recipes, tensor by tensor."""
    from lqtui.cli import interchange

    interchange.compare(one, other, model, requantize, json)


@app.command()
def report(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model whose results to report.")],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The report: .html, .md or .csv; or its charts: .svg or .png."
        ),
    ],
    chart: Annotated[
        ChartKind | None, typer.Option("--chart", help="Of the charts, this one alone; by default all.")
    ] = None,
    corpus: Corpus = None,
    chunks: Chunks = 5,
    ctx: Ctx = 512,
    requantize: Requantize = False,
    json: Json = False,
) -> None:
    """Write what was measured of a model as a report, with charts and what it was measured on.

    Examples: lqtui report model.gguf -o report.html; lqtui report model.gguf -o kld.png --chart kld
    """
    from lqtui.cli import interchange, runs

    interchange.report(model, out, chart, runs.settings(corpus, chunks, ctx), requantize, json)
