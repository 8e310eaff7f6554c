"""Downloading a model: all its files, one after another, of one version of its repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from lqtui.hub.download import OnProgress, fetch_file, partial_file, require_room
from lqtui.hub.errors import HubError
from lqtui.hub.names import require_repository, require_usable
from lqtui.hub.values import HubFile


def pull(repo_id: str, commit: str, files: Sequence[HubFile], on_progress: OnProgress) -> Path:
    """The path of a model's first file, all of them downloaded; progress is told of all together.

    Raises:
        HubError: The Hub does not give one of them, or the disk has no room for them all.
    """
    require_repository(repo_id)
    for file in files:
        require_usable(file.path)
    total = sum(file.bytes for file in files)
    require_room(sum(_to_come(repo_id, commit, file) for file in files), files[0].path)
    paths, before = [], 0
    for file in files:

        def tell(stage: str, done: int, _: int, before: int = before) -> None:
            on_progress(stage, before + done, total)

        paths.append(fetch_file(repo_id, file.path, tell, commit=commit, expected=file))
        before += file.bytes
    if len({path.parent for path in paths}) > 1:
        raise HubError(f"{repo_id} changed while it was downloaded; try again")
    return paths[0]


def _to_come(repo_id: str, commit: str, file: HubFile) -> int:
    """Bytes of a file that are still to be downloaded."""
    if isinstance(try_to_load_from_cache(repo_id, file.path, revision=commit or None), str):
        return 0
    try:
        return max(0, file.bytes - partial_file(repo_id, file.sha256).stat().st_size)
    except OSError:
        return file.bytes
