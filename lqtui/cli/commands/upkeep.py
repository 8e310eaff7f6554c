"""What lqtui keeps, and what it runs on."""

from __future__ import annotations

from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Json


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
    """Show the cache of quantized tensors, and prune it; list the importance matrices that were computed."""
    from lqtui.cli import caching

    caching.cache(prune, keep, older_than, model, json)


@app.command()
def settings(
    default: Annotated[
        bool, typer.Option("--default", help="Print a file of all settings, as comments, to begin with.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Write that file to its place, if there is none.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only look for mistakes in the file; with any, exit with 2.")
    ] = False,
    json: Json = False,
) -> None:
    """Show where the settings file is, what it sets, and all keys as they are now."""
    from lqtui.cli import preferring

    if create:
        preferring.create()
    else:
        preferring.settings(default, check, json)


@app.command()
def doctor(json: Json = False) -> None:
    """Show versions, devices, threads, paths and what the terminal can do."""
    from lqtui.cli import runs

    runs.doctor(json)
