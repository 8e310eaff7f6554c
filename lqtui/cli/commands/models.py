"""Models of the Hugging Face Hub: found, downloaded, listed, removed."""

from __future__ import annotations

from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Json

_REPOSITORY = "owner/name, as in Qwen/Qwen2-0.5B-Instruct-GGUF"

models = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Search the Hugging Face Hub, and download models from it into the cache that other tools share.",
)
app.add_typer(models, name="models")


@models.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Words of the repository's name.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the most downloaded.")] = 20,
    json: Json = False,
) -> None:
    """Search the Hub for repositories with GGUF files."""
    from lqtui.cli import models as does

    does.search(query, limit, json)


@models.command("list")
def list_models(
    repository: Annotated[
        str | None, typer.Argument(metavar="[REPO]", help=f"A repository on the Hub: {_REPOSITORY}.")
    ] = None,
    json: Json = False,
) -> None:
    """List a repository's models with type and size; without one, what is downloaded."""
    from lqtui.cli import models as does

    if repository is None:
        does.list_cached(json)
    else:
        does.list_repository(repository, json)


@models.command()
def pull(
    model: Annotated[
        str,
        typer.Argument(
            metavar="REPO[:FILE]",
            help=f"A repository ({_REPOSITORY}), and which file of it, by name or type (…:f16); "
            "by default the unquantized one.",
        ),
    ],
    json: Json = False,
) -> None:
    """Download a model, and print where it is; one that was broken off goes on where it was."""
    from lqtui.cli import models as does

    does.pull(model, json)


@models.command()
def rm(
    model: Annotated[
        str, typer.Argument(metavar="REPO[:FILE]", help="A repository, or one file or type of it.")
    ],
    json: Json = False,
) -> None:
    """Remove a repository's GGUF files from the cache; other files of it stay."""
    from lqtui.cli import models as does

    does.rm(model, json)
