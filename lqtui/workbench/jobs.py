"""A job as its work sees it: where to log, and how to tell of progress."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lqtui.store.paths import make_directory
from lqtui.workbench.outlook import Outlook, Stage
from lqtui.worker.messages import Event, Progress

if TYPE_CHECKING:
    from lqtui.workbench.job_queue import JobQueue

_LOGS_KEPT = 100
_log_numbers = itertools.count(1)


class RunningJob:
    """What a job's work holds while it runs: where to log, and how to tell of progress."""

    def __init__(self, queue: JobQueue, job_id: int, log: Path, paces: Mapping[str, float]) -> None:
        self._queue = queue
        self._id = job_id
        self._stages: dict[tuple[str, int], _StagePace] = {}
        self.had_process = False
        """Whether a process did some of the work, and may have written to the cache."""
        self.log = log
        self.outlook = Outlook(paces, time.monotonic())

    def expect(self, stages: Sequence[Stage]) -> None:
        """What the job consists of, from which the time left follows; what says so first holds."""
        if not self.outlook.is_known:
            self.outlook.expect(stages)

    def progress(
        self,
        event: Progress,
        stage_number: int = 0,
        stage_count: int = 1,
        *,
        rate: float | None = None,
        shown: Progress | None = None,
    ) -> None:
        """Show how far the job is, and how long the whole of it still takes, as far as that is known.

        Where `shown` tells of more than the event, that is what people see. Here a job is left that is to
        pause.
        """
        now = time.monotonic()
        done, total = (event.done, event.total) if event.share is None else (event.share, 1)
        if self.outlook.is_known:
            self.outlook.advance(event.stage, _share(event), now)
            left = self.outlook.time_left()
        else:
            pace = self._stages.get((event.stage, stage_number))
            if pace is None or done < pace.done:
                pace = self._stages[event.stage, stage_number] = _StagePace(now, done)
            left = pace.time_left(done, total, now) if stage_count == 1 else None
        seen = shown or event
        self._queue.heard(self._id)
        self._queue.update(
            self._id,
            stage=seen.stage,
            done=seen.done,
            total=seen.total,
            unit=seen.unit,
            stage_number=stage_number,
            stage_count=stage_count,
            share=seen.share,
            rate=rate,
            eta=left,
        )
        self._queue.reached(self._id)

    def progress_of(self, event: Event) -> None:
        """Show an event where it tells of progress."""
        if isinstance(event, Progress):
            self.progress(event)

    def subject(self, name: str) -> None:
        """Say which of several recipes is at hand."""
        self._queue.update(self._id, subject=name)

    def notice(self, text: str) -> None:
        """Tell the person how the job is done otherwise than they would expect, and why."""
        self._queue.update(self._id, notice=text)

    def started(self, pid: int) -> None:
        """Note the process that does the work."""
        self.had_process = True
        self._queue.begun(self._id, pid)


Work = Callable[[RunningJob], Awaitable[str]]
"""A job's work; it returns one line on the outcome. It can be done again, and goes on from what is kept."""


@dataclass
class _StagePace:
    """When a stage began, how much of it was done then, and how much is done by now."""

    began: float
    before: float
    done: float = 0

    def time_left(self, done: float, total: float, now: float) -> float | None:
        """Seconds until all is done, None as long as there is too little to tell by, or no total (0)."""
        self.done = done
        spent = now - self.began
        is_known = total > 0 and done > self.before and spent > 0.2
        return spent * (total - done) / (done - self.before) if is_known else None


def _share(event: Progress) -> float:
    """How much of its stage an event tells of, 0 to 1."""
    if event.share is not None:
        return event.share
    if event.stage == "generation speed":  # the run to warm up generates one token alone
        return max(0, event.done - 1) / max(1, event.total - 1)
    return min(1.0, event.done / event.total) if event.total else 0.0


def new_log(logs: Path, what: str) -> Path:
    """A name for a log that no other job or process uses; the oldest logs go. Raises StoreError."""
    make_directory(logs)
    with contextlib.suppress(OSError):
        old = sorted(logs.glob("*.log"), key=lambda log: log.stat().st_mtime)
        for log in old[: max(0, len(old) - _LOGS_KEPT)]:
            log.unlink(missing_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{next(_log_numbers)}-{what}.log"
