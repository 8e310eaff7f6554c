"""How llama.cpp names the parts of a split model: `NAME-00001-of-00003.gguf`. Source: `llama_split_path`."""

from __future__ import annotations

import re
from typing import NamedTuple

_PART = re.compile(r"(?P<prefix>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)


class SplitName(NamedTuple):
    """What the parts' names have in common, and how many parts there are by them."""

    prefix: str
    part_count: int

    @property
    def parts(self) -> list[str]:
        """The file names of all parts, in order."""
        return [f"{self.prefix}-{n:05}-of-{self.part_count:05}.gguf" for n in range(1, self.part_count + 1)]


def split_name(file_name: str) -> SplitName | None:
    """What a part's file name tells of the whole; None for a name that no part would have."""
    match = _PART.fullmatch(file_name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return None
    return SplitName(match["prefix"], int(match["count"]))
