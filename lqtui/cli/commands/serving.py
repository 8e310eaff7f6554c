"""The app in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app


@app.command()
def serve(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="A GGUF file; default: the demo model.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="NAME", help="Where to listen.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = 8000,
    public_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where browsers find it, if a proxy stands before it."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, and not where you left.")] = False,
) -> None:
    """Serve the app to a browser on this machine; the address that is printed opens it.

    It acts as you, on this machine's files, so the address holds a token: keep it to yourself. Four pages can
    be open at most, each an app of its own, which ends when its page is closed. Text is copied with the
    browser's leave, and files are saved here, not downloaded (screenshots are).

    Over ssh: `ssh -L 8000:localhost:8000 HOST lqtui serve`, then open the address that it prints.
    """
    from lqtui.cli import serving

    serving.serve(model, fresh, host, port, public_url)
