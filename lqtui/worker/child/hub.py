"""What the child does with the Hugging Face Hub; the library is slow to load, and not always needed."""

from __future__ import annotations

from collections.abc import Callable

from lqtui.hub.values import HubAnswer, Pulled
from lqtui.worker.hub_messages import (
    BytesCame,
    HubTask,
    ListCache,
    ListRepository,
    Pull,
    RemoveCached,
    SearchHub,
)


def run_hub_task(task: HubTask, send: Callable[[BytesCame], None]) -> HubAnswer:
    """Do one of the Hub's tasks, and return what it finishes with."""
    match task:
        case SearchHub():
            from lqtui.hub.search import search

            return search(task.query, task.limit)
        case ListRepository():
            from lqtui.hub.repository import list_repository

            return list_repository(task.repository)
        case Pull():
            from lqtui.hub.pull import pull

            def tell(stage: str, done: int, total: int) -> None:
                send(BytesCame(stage, done, total))

            return Pulled(pull(task.repository, task.commit, task.files, tell))
        case ListCache():
            from lqtui.hub.local import cached_models

            return cached_models()
        case RemoveCached():
            from lqtui.hub.local import remove

            return remove(task.repository, task.name)
