"""What a repository has for llama.cpp, and what of it is on this machine already."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from lqtui.hub.download import cache_directory, partial_file
from lqtui.hub.errors import HubError
from lqtui.hub.models import SUFFIX, ModelFiles, group, type_and_fitness
from lqtui.hub.names import COMMIT, SHA256, is_usable, require_repository, shown
from lqtui.hub.search import count, license_of, search
from lqtui.hub.sentences import hub_error
from lqtui.hub.session import guard
from lqtui.hub.values import Fitness, HubFile, HubModel, Repository
from lqtui.system.disk import free_space

_SUGGESTED = 3
_MOST_FILES = 100_000
"""What the Hub itself advises as the most for a repository."""
_CONFIG, _WEIGHTS = "config.json", ".safetensors"
_OF_A_CHECKPOINT = (_WEIGHTS, ".json", ".jinja", ".model", ".tiktoken", ".txt")


def list_repository(repo_id: str) -> Repository:
    """The GGUF models of a repository, with their sizes and digests.

    Raises:
        HubError: There is no such repository, or the Hub does not give it; names near to it are suggested.
    """
    require_repository(repo_id)
    guard()
    try:
        info: Any = HfApi().model_info(
            repo_id, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
        return _repository(repo_id, info)
    except HubError:
        raise
    except Exception as error:  # whatever the library makes of an answer that it did not expect
        raise hub_error(error, repo_id, suggestion=_suggested(repo_id, error)) from error


def _repository(repo_id: str, info: Any) -> Repository:
    if len(info.siblings or ()) > _MOST_FILES:
        raise HubError(f"{repo_id} lists more files than lqtui looks at ({_MOST_FILES:,}); it is left alone")
    files = list(_files(info))
    details: dict[str, Any] = info.gguf if isinstance(info.gguf, dict) else {}
    parameters = count(details.get("total"))
    commit = info.sha if isinstance(info.sha, str) and COMMIT.fullmatch(info.sha) else ""
    usable = [file for file in files if is_usable(file.path)]
    ggufs = [file for file in files if file.path.lower().endswith(SUFFIX)]
    return Repository(
        id=repo_id,
        commit=commit,
        models=tuple(_model(repo_id, commit, model, parameters) for model in group(usable)),
        cache=cache_directory(),
        free_bytes=free_space(cache_directory()),
        license=license_of(info),
        gated=bool(info.gated),
        architecture=shown(details.get("architecture"), 40),
        parameters=parameters,
        safetensors=sum(file.bytes for file in usable if file.path.endswith(".safetensors")),
        unusable=sum(not is_usable(file.path) for file in ggufs),
        checkpoint=_checkpoint(repo_id, commit, usable),
    )


def _checkpoint(repo_id: str, commit: str, files: list[HubFile]) -> HubModel | None:
    """The files at the top that llama.cpp's converter reads; what else has weights is other forms of them."""
    wanted = [file for file in files if "/" not in file.path and file.path.endswith(_OF_A_CHECKPOINT)]
    names = {file.path for file in wanted}
    if any(name.startswith("model") and name.endswith(_WEIGHTS) for name in names):
        wanted = [f for f in wanted if f.path.startswith("model") or not f.path.endswith(_WEIGHTS)]
    if _CONFIG not in names or not any(name.endswith(_WEIGHTS) for name in names):
        return None
    here = [_here(repo_id, commit, file.path) for file in wanted]
    return HubModel(
        name=repo_id.rpartition("/")[2],
        files=tuple(wanted),
        type="",
        fitness=Fitness.BASE,
        here=here[0] if all(here) else None,
        partial=sum(
            file.bytes if path else _partial(repo_id, file) for file, path in zip(wanted, here, strict=True)
        ),
    )


def _files(info: Any) -> Iterator[HubFile]:
    for sibling in info.siblings or ():
        lfs = sibling.lfs
        sha256 = lfs.sha256 if lfs is not None and isinstance(lfs.sha256, str) else ""
        if not SHA256.fullmatch(sha256):
            sha256 = ""
        if isinstance(sibling.rfilename, str):
            yield HubFile(sibling.rfilename, count(lfs.size if lfs is not None else sibling.size), sha256)


def _model(repo_id: str, commit: str, model: ModelFiles, parameters: int) -> HubModel:
    kind, fitness = type_and_fitness(model.name, model.bytes, parameters)
    here = [_here(repo_id, commit, file.path) for file in model.files]
    is_whole = not model.missing and all(here)
    return HubModel(
        name=model.name,
        files=model.files,
        type=kind,
        fitness=fitness,
        missing=model.missing,
        here=here[0] if is_whole else None,
        partial=sum(
            file.bytes if path else _partial(repo_id, file)
            for file, path in zip(model.files, here, strict=True)
        ),
    )


def _here(repo_id: str, commit: str, path: str) -> Path | None:
    """Where this version of a file lies in the cache."""
    found = try_to_load_from_cache(repo_id, path, revision=commit or None)
    return Path(found) if isinstance(found, str) else None


def _partial(repo_id: str, file: HubFile) -> int:
    """How much of a file an earlier download has brought."""
    if not file.sha256:
        return 0
    try:
        return min(file.bytes, partial_file(repo_id, file.sha256).stat().st_size)
    except OSError:
        return 0


def _suggested(repo_id: str, error: Exception) -> str:
    """Repositories whose names are near to one that there is not."""
    if not isinstance(error, RepositoryNotFoundError) or isinstance(error, GatedRepoError):
        return ""
    name = repo_id.rpartition("/")[2]
    try:
        found = [repository.id for repository in search(name, 20).repositories]
        found += (
            [] if found else [r.id for r in search(name.replace("-", " ").split(" ")[0], 20).repositories]
        )
    except HubError:
        return ""
    others = [name for name in found if name != repo_id]  # a search also finds what wants a login
    near = difflib.get_close_matches(repo_id, others, _SUGGESTED, 0.4) or others[:_SUGGESTED]
    return f"; did you mean {' or '.join(near)}?" if near else ""
