"""What the Hub's cache on this machine holds, and removing from it as the library does."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import CacheNotFound, scan_cache_dir

from lqtui.hub.download import cache_directory
from lqtui.hub.errors import HubError, NotOnHubError
from lqtui.hub.models import SUFFIX, group, model_name, type_and_fitness
from lqtui.hub.names import require_repository, shown
from lqtui.hub.sentences import hub_error
from lqtui.hub.values import CachedModel, HubCache, HubFile, Removed
from lqtui.system.disk import free_space


def cached_models() -> HubCache:
    """The GGUF models in the cache, whichever tool brought them, the last to come first.

    Raises:
        HubError: The cache cannot be read.
    """
    info = _scan()
    models: dict[tuple[str, str], CachedModel] = {}
    for repo in info.repos if info else ():
        if repo.repo_type != "model":
            continue
        for revision in sorted(repo.revisions, key=lambda r: ("main" in r.refs, r.last_modified)):
            for model in _models(repo.repo_id, revision):
                models[model.repository, model.name] = model
    partial = info.incomplete_size_on_disk if info else 0
    found = sorted(models.values(), key=lambda model: -model.fetched)
    return HubCache(cache_directory(), free_space(cache_directory()), tuple(found), partial)


def remove(repo_id: str, name: str = "") -> Removed:
    """Remove a repository's GGUF models from the cache, or the one of that name; other files are left.

    What broken downloads of the repository left goes too, where all its models do.

    Raises:
        HubError: The cache has nothing of that name.
    """
    require_repository(repo_id)
    info = _scan()
    repos = (
        [repo for repo in info.repos if (repo.repo_type, repo.repo_id) == ("model", repo_id)] if info else []
    )
    revisions = [revision for repo in repos for revision in repo.revisions]
    named = [(_name(file, revision), file) for revision in revisions for file in revision.files]
    chosen = [
        (model, file) for model, file in named if model.lower().endswith(SUFFIX) and name in ("", model)
    ]
    partials = [] if name else _partials(info, repo_id)
    if not chosen and not partials:
        raise NotOnHubError(
            f"the Hugging Face cache has no {f'{name} of ' if name else 'GGUF model of '}{repo_id}"
        )
    kept = len({file.file_path for _, file in named}) - len({file.file_path for _, file in chosen})
    freed = sum(path.stat().st_size for path in partials)
    try:
        for path in partials:
            path.unlink(missing_ok=True)
        if chosen:
            its_own = replace(info, repos=frozenset(repos))  # a copy of a repository has the same commits
            strategy: Any = (
                its_own.delete_files(*(file for _, file in chosen))
                if kept
                else its_own.delete_revisions(*(revision.commit_hash for revision in revisions))
            )
            within = frozenset(blob for blob in strategy.blobs if _is_within(blob, repos))
            freed += strategy.expected_freed_size if within == strategy.blobs else _size_of(within)
            replace(strategy, blobs=within).execute()  # a link may lead to a file of the person's own
    except OSError as error:
        raise hub_error(error, repo_id) from error
    return Removed(tuple(sorted({shown(model) for model, _ in chosen})), int(freed), kept)


def _scan() -> Any:
    """What the library finds in the cache, None where there is no cache yet."""
    try:
        return scan_cache_dir()
    except CacheNotFound:
        return None
    except (OSError, ValueError) as error:
        raise HubError(f"the Hugging Face cache {cache_directory()} cannot be read: {error}") from error


def _models(repo_id: str, revision: Any) -> list[CachedModel]:
    by_path = {file.file_path.relative_to(revision.snapshot_path).as_posix(): file for file in revision.files}
    found = []
    for model in group(HubFile(path, file.size_on_disk) for path, file in by_path.items()):
        if model.missing or not model.files:
            continue
        files = [by_path[file.path] for file in model.files]
        kind, fitness = type_and_fitness(model.name)
        found.append(
            CachedModel(
                repository=shown(repo_id),
                name=shown(model.name),
                type=kind,
                fitness=fitness,
                bytes=model.bytes,
                path=files[0].file_path,
                used=max(max(file.blob_last_accessed, file.blob_last_modified) for file in files),
                fetched=max(file.blob_last_modified for file in files),
            )
        )
    return found


def _name(file: Any, revision: Any) -> str:
    return model_name(file.file_path.relative_to(revision.snapshot_path).as_posix())


def _is_within(path: Path, repos: list[Any]) -> bool:
    return any(path.is_relative_to(repo.repo_path) for repo in repos)


def _size_of(paths: frozenset[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _partials(info: Any, repo_id: str) -> list[Path]:
    """What broken downloads of a repository left."""
    folder = "models--" + repo_id.replace("/", "--")
    found = info.incomplete_files if info else ()
    with contextlib.suppress(OSError):
        return [file.file_path for file in found if file.file_path.parent.parent.name == folder]
    return []
