"""Models that are no GGUF yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.cli.app import app
from lqtui.cli.options import Json


@app.command()
def convert(
    model: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="A folder with config.json and .safetensors, or owner/name on the Hub."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The GGUF to write; default: NAME-TYPE.gguf here."),
    ] = None,
    out_type: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help="F16, BF16, F32, or auto: 16 bits as they are, else F16."
        ),
    ] = "F16",
    converter: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="llama.cpp's convert_hf_to_gguf.py, or a checkout of llama.cpp that has it; "
            "default: LQTUI_CONVERTER, else one on the PATH.",
        ),
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Let the converter run Python that comes with the model.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a GGUF of a model in safetensors, with llama.cpp's own converter."""
    from lqtui.cli import converting

    converting.convert(model, out, converting.parse_type(out_type), converter, trust_code, json)
