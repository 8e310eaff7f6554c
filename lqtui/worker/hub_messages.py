"""What parent and child say to each other of the Hugging Face Hub."""

from __future__ import annotations

import msgspec

from lqtui.hub.values import HubFile


class SearchHub(msgspec.Struct, frozen=True, tag=True):
    """Search the Hub for repositories with GGUF files. Finishes with what it found."""

    query: str
    limit: int


class ListRepository(msgspec.Struct, frozen=True, tag=True):
    """List the GGUF models of a repository. Finishes with the Repository."""

    repository: str


class Pull(msgspec.Struct, frozen=True, tag=True):
    """Download a model's files, of one version (a commit) of a repository. Finishes with where it is."""

    repository: str
    commit: str
    files: tuple[HubFile, ...]


class ListCache(msgspec.Struct, frozen=True, tag=True):
    """List the GGUF models that the Hub's cache has. Finishes with the HubCache."""


class RemoveCached(msgspec.Struct, frozen=True, tag=True):
    """Remove a repository's GGUF models from the cache, or the one of a name. Finishes with Removed."""

    repository: str
    name: str = ""


HubTask = SearchHub | ListRepository | Pull | ListCache | RemoveCached


class BytesCame(msgspec.Struct, frozen=True, tag=True):
    """How far a download is, in bytes of all its files together."""

    stage: str
    done: int
    total: int
