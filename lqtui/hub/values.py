"""What is told of the Hub and of its cache on this machine: values that the app and the commands show.

Every text in them can be shown as it is: names with control characters are left out, or made harmless.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec


class Fitness(StrEnum):
    """What a GGUF file is good for, as far as its name and what the Hub says of it tell."""

    BASE = "base"
    """Not quantized: something to begin with."""
    QUANTIZED = "quantized"
    UNKNOWN = "unknown"
    COMPANION = "companion"
    """No language model by itself: a vision projector, an importance matrix, an adapter."""


class FoundRepository(msgspec.Struct, frozen=True):
    """A repository that a search found; `updated` is a date (2024-08-21), empty where it is not told."""

    id: str
    downloads: int = 0
    likes: int = 0
    updated: str = ""
    gated: bool = False
    private: bool = False
    license: str = ""


class Found(msgspec.Struct, frozen=True, tag=True):
    """What a search found, in the Hub's order."""

    repositories: tuple[FoundRepository, ...]


class HubFile(msgspec.Struct, frozen=True):
    """A file of a repository: where it is in it, its size, and its SHA-256, empty where none is told."""

    path: str
    bytes: int
    sha256: str = ""


class HubModel(msgspec.Struct, frozen=True):
    """A GGUF model of a repository: one file, or all parts of a split one.

    `type` is empty where nothing tells it. `missing` parts are not in the repository. `here` is the first
    file's path where all of them are on this machine; else `partial` bytes of them are.
    """

    name: str
    files: tuple[HubFile, ...]
    type: str
    fitness: Fitness
    missing: int = 0
    here: Path | None = None
    partial: int = 0

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def to_come(self) -> int:
        """How many bytes are still to be downloaded."""
        return 0 if self.here else max(0, self.bytes - self.partial)


class Repository(msgspec.Struct, frozen=True, tag=True):
    """What a repository has for llama.cpp, and the room that there is for it.

    `unusable` GGUF files have names that lqtui does not use. `safetensors` is the size of what the repository
    has in that format, 0 for none; `checkpoint` is a model in that format with all that belongs to it.
    """

    id: str
    commit: str
    models: tuple[HubModel, ...]
    cache: Path
    free_bytes: int
    license: str = ""
    gated: bool = False
    architecture: str = ""
    parameters: int = 0
    safetensors: int = 0
    unusable: int = 0
    checkpoint: HubModel | None = None


class CachedModel(msgspec.Struct, frozen=True):
    """A GGUF model in the Hub's cache on this machine; `used` and `fetched` are seconds since 1970."""

    repository: str
    name: str
    type: str
    fitness: Fitness
    bytes: int
    path: Path
    used: float
    fetched: float


class HubCache(msgspec.Struct, frozen=True, tag=True):
    """The GGUF models in the Hub's cache, the last to come first; `partial` bytes are of cut downloads."""

    directory: Path
    free_bytes: int
    models: tuple[CachedModel, ...]
    partial: int = 0


class Removed(msgspec.Struct, frozen=True, tag=True):
    """What was removed from the cache, and what other files the repository keeps there."""

    models: tuple[str, ...]
    freed_bytes: int
    kept_files: int = 0


class Pulled(msgspec.Struct, frozen=True, tag=True):
    """A model that was downloaded, or was there: the path of its first file."""

    path: Path


HubAnswer = Found | Repository | HubCache | Removed | Pulled
