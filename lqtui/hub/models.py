"""Which GGUF models a list of files holds: the parts of a split one together, companions told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lqtui.hub.values import Fitness, HubFile
from lqtui.recipe.file_names import UNQUANTIZED, is_companion, type_in_name
from lqtui.recipe.split_names import split_name

SUFFIX = ".gguf"


class ModelFiles(NamedTuple):
    """The files of a model, and how many of its parts are not in the list."""

    name: str
    files: tuple[HubFile, ...]
    missing: int = 0

    @property
    def bytes(self) -> int:
        """The size of the files that are there."""
        return sum(file.bytes for file in self.files)


def model_name(path: str) -> str:
    """What a file is called as a model: its path, for a part of a split one without which part it is."""
    folder, slash, name = path.rpartition("/")
    split = split_name(name)
    return f"{folder}{slash}{split.prefix}{SUFFIX}" if split else path


def group(files: Iterable[HubFile]) -> list[ModelFiles]:
    """The models among some files, by name."""
    by_name: dict[str, dict[str, HubFile]] = {}
    for file in files:
        if file.path.lower().endswith(SUFFIX):
            by_name.setdefault(model_name(file.path), {})[file.path] = file
    return [_model(name, found) for name, found in sorted(by_name.items())]


def _model(name: str, found: Mapping[str, HubFile]) -> ModelFiles:
    first = min(found)
    split = split_name(first.rpartition("/")[2])
    if split is None:
        return ModelFiles(name, (found[first],))
    # A name can tell of 99,999 parts, and a list have as many of such names: none is written out here.
    there = tuple(found[path] for path in sorted(found) if split_name(path.rpartition("/")[2]) == split)
    return ModelFiles(name, there, split.part_count - len(there))


def type_and_fitness(name: str, n_bytes: int = 0, parameters: int = 0) -> tuple[str, Fitness]:
    """What type a model is, and whether it is one to begin with.

    Its name tells, or else how many bits the file has for each of the `parameters` that the Hub tells of.
    """
    if is_companion(name):
        return type_in_name(name), Fitness.COMPANION
    if found := type_in_name(name):
        return found, Fitness.BASE if found in UNQUANTIZED else Fitness.QUANTIZED
    bits = 8 * n_bytes / parameters if parameters else 0.0
    if 15.5 < bits < 17:
        return "16-bit", Fitness.BASE
    if 31 < bits < 33:
        return "F32", Fitness.BASE
    return "", Fitness.QUANTIZED if 1 < bits < 13 else Fitness.UNKNOWN
