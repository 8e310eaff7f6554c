"""What the parent asks for where a model in safetensors is to become a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

OutType = Literal["f16", "bf16", "f32", "auto"]
"""The type of the weights; `auto` keeps 16 bits as they are, and makes F16 of anything else."""


class Convert(msgspec.Struct, frozen=True, tag=True):
    """Have llama.cpp's own converter write the GGUF file of a model in safetensors. Finishes with its size.

    `converter` is its script or a checkout of llama.cpp; without one it is looked for. Python that comes with
    the model is run only with `trust_code`.
    """

    folder: Path
    out: Path
    out_type: OutType = "f16"
    converter: Path | None = None
    trust_code: bool = False
