"""What the name of a GGUF file says of what is in it, as people name them on the Hugging Face Hub."""

from __future__ import annotations

import re

_TYPE = re.compile(
    r"(?<![a-z0-9])"
    r"(bf16|fp?16|fp?32|(?:iq|tq|q)[1-8](?:_(?:0|1|4|8|k|s|m|l|xl|xs|xxs|nl))+|mxfp4(?:_moe)?|nvfp4)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_COMPANION = re.compile(r"(?<![a-z0-9])(mmproj|imatrix|lora)(?![a-z0-9])", re.IGNORECASE)
_FOLDERS_ON_WINDOWS = re.compile(r"(?:[A-Za-z]:|\\\\).*[/\\]", re.DOTALL)
_PLAIN = {"FP16": "F16", "FP32": "F32"}

UNQUANTIZED = ("F16", "BF16", "F32")
"""The types that a base model can be of, the handiest first."""


def type_in_name(path: str) -> str:
    """The type that a file's name, or else its folder's, tells: `F16`, `Q4_K_M`; empty where none does."""
    for part in reversed(path.split("/")):
        if found := _TYPE.findall(part):
            name: str = found[-1].upper()
            return _PLAIN.get(name, name)
    return ""


def without_folders(path: str) -> str:
    """A file's name, without the folders that it lies in, of Windows too."""
    return _FOLDERS_ON_WINDOWS.sub("", path).split("/")[-1]


def is_companion(path: str) -> bool:
    """Whether a file goes with a model, but is none: a vision projector, an importance matrix, an adapter."""
    return _COMPANION.search(path.rpartition("/")[2]) is not None
