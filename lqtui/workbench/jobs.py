"""The queue of background jobs: one at a time, each with progress, an estimate, a log, and a stop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lqtui.recipe.errors import RecipeError
from lqtui.store.errors import StoreError
from lqtui.store.paths import make_directory
from lqtui.workbench.values import Job, JobState, WorkbenchError, WorkFailedError
from lqtui.worker.client import JobFailed
from lqtui.worker.messages import Event, Progress

_LOGS_KEPT = 100
_log_numbers = itertools.count(1)
_TELL_SECONDS = 0.05
"""Progress is told of at most this often; a job's change of state at once."""


@dataclass
class _Pace:
    """When a stage began, how much of it was done then, and how much is done by now."""

    began: float
    before: float
    done: float = 0

    def time_left(self, done: float, total: float) -> float | None:
        """Seconds until all is done, None as long as there is too little to tell by, or no total (0)."""
        self.done = done
        spent = time.monotonic() - self.began
        is_known = total > 0 and done > self.before and spent > 0.2
        return spent * (total - done) / (done - self.before) if is_known else None


class RunningJob:
    """What a job's work holds while it runs: where to log, and how to tell of progress."""

    def __init__(self, queue: JobQueue, job_id: int, log: Path) -> None:
        self._queue = queue
        self._id = job_id
        self._paces: dict[tuple[str, int], _Pace] = {}
        self.log = log

    def progress(
        self, event: Progress, stage_number: int = 0, stage_count: int = 1, *, rate: float | None = None
    ) -> None:
        """Show how far the job is; the time left is extrapolated from the stage's own pace.

        A stage that is left and come back to goes on: what lay between is part of its pace.
        """
        done, total = (event.done, event.total) if event.share is None else (event.share, 1)
        pace = self._paces.get((event.stage, stage_number))
        if pace is None or done < pace.done:
            pace = self._paces[event.stage, stage_number] = _Pace(time.monotonic(), done)
        self._queue.update(
            self._id,
            stage=event.stage,
            done=event.done,
            total=event.total,
            unit=event.unit,
            stage_number=stage_number,
            stage_count=stage_count,
            share=event.share,
            rate=rate,
            eta=pace.time_left(done, total),
        )

    def progress_of(self, event: Event) -> None:
        """Show an event where it tells of progress."""
        if isinstance(event, Progress):
            self.progress(event)

    def notice(self, text: str) -> None:
        """Tell the person how the job is done otherwise than they would expect, and why."""
        self._queue.update(self._id, notice=text)

    def started(self, pid: int) -> None:
        """Note the process that does the work."""
        self._queue.update(self._id, pid=pid)


Work = Callable[[RunningJob], Awaitable[str]]
"""A job's work; it returns one line on the outcome."""


class JobQueue:
    """Jobs in the order in which they were asked for. Must be used inside one event loop."""

    def __init__(self, logs: Path, changed: Callable[[], None]) -> None:
        self._logs = logs
        self._changed = changed
        self._jobs: dict[int, Job] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._began: dict[int, float] = {}
        self._turn = asyncio.Lock()
        self._tell_later: asyncio.TimerHandle | None = None
        self._told = 0.0

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of this session, the oldest first."""
        return tuple(self._aged(job) for job in self._jobs.values())

    def job(self, job_id: int) -> Job:
        """One job as it is now; KeyError for a number that was never given."""
        return self._aged(self._jobs[job_id])

    def add(self, kind: str, title: str, work: Work, *, at_once: bool = False) -> Job:
        """Queue a job; with `at_once` it does not wait for its turn.

        Raises StoreError where there is no place for its log.
        """
        job_id = len(self._jobs) + 1
        job = Job(job_id, kind, title, new_log(self._logs, f"{job_id:03}-{kind}"))
        self._jobs[job_id] = job
        self._tasks[job_id] = asyncio.create_task(self._run(job, work, at_once), name=title)
        self._tell()
        return job

    def cancel(self, job_id: int) -> None:
        """Stop a job, queued or running; nothing happens to one that has ended."""
        job = self._jobs.get(job_id)
        if job is None or not job.active:
            return
        self._tasks[job_id].cancel()
        if job.state is JobState.QUEUED:  # its task may not have begun, and then never will
            self._end(job_id, JobState.CANCELLED, "cancelled")

    async def wait(self, job_id: int) -> Job:
        """Wait until a job has ended."""
        await asyncio.wait([self._tasks[job_id]])
        return self.job(job_id)

    async def close(self) -> None:
        """Stop all jobs and wait until their processes are gone."""
        for job_id in self._tasks:
            self.cancel(job_id)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tell()

    def update(self, job_id: int, **changes: object) -> None:
        """Replace fields of a job's snapshot; a new state is told of at once, all else with the next beat."""
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)  # type: ignore[arg-type]
        since = time.monotonic() - self._told
        if "state" in changes or since >= _TELL_SECONDS:
            self._tell()
        elif self._tell_later is None:
            loop = asyncio.get_running_loop()
            self._tell_later = loop.call_later(_TELL_SECONDS - since, self._tell)

    def _tell(self) -> None:
        if self._tell_later is not None:
            self._tell_later.cancel()
            self._tell_later = None
        self._told = time.monotonic()
        self._changed()

    async def _run(self, job: Job, work: Work, at_once: bool) -> None:
        try:
            if at_once:
                await self._work(job, work)
            else:
                async with self._turn:
                    await self._work(job, work)
        except asyncio.CancelledError:
            self._end(job.id, JobState.CANCELLED, "cancelled")
        except JobFailed as error:
            self._end(job.id, JobState.FAILED, str(error), crashed=not error.bad_input)
        except (WorkbenchError, StoreError, RecipeError) as error:
            crashed = isinstance(error, WorkFailedError)
            self._end(job.id, JobState.FAILED, str(error), crashed=crashed)
        except Exception as error:  # a defect of ours must fail this job alone, and say where it is
            with contextlib.suppress(OSError), job.log.open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            self._end(
                job.id,
                JobState.FAILED,
                f"a defect in lqtui ({type(error).__name__}: {error}); the job's log shows where",
                crashed=True,
            )

    async def _work(self, job: Job, work: Work) -> None:
        self._began[job.id] = time.monotonic()
        self.update(job.id, state=JobState.RUNNING)
        message = await work(RunningJob(self, job.id, job.log))
        self._end(job.id, JobState.DONE, message)

    def _end(self, job_id: int, state: JobState, message: str, *, crashed: bool = False) -> None:
        if not self._jobs[job_id].active:
            return
        elapsed = self.job(job_id).elapsed
        self._began.pop(job_id, None)
        self.update(
            job_id, state=state, message=message, crashed=crashed, elapsed=elapsed, eta=None, pid=None
        )

    def _aged(self, job: Job) -> Job:
        began = self._began.get(job.id)
        return job if began is None else replace(job, elapsed=time.monotonic() - began)


def new_log(logs: Path, what: str) -> Path:
    """A name for a log that no other job or process uses; the oldest logs go. Raises StoreError."""
    make_directory(logs)
    with contextlib.suppress(OSError):
        old = sorted(logs.glob("*.log"), key=lambda log: log.stat().st_mtime)
        for log in old[: max(0, len(old) - _LOGS_KEPT)]:
            log.unlink(missing_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{next(_log_numbers)}-{what}.log"
