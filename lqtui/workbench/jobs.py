"""The queue of background jobs: one at a time, each with progress, an estimate, a log, and a way to stop it."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from lqtui.recipe.errors import RecipeError
from lqtui.store.errors import StoreError
from lqtui.store.paths import make_directory
from lqtui.workbench.values import Job, JobState, WorkbenchError
from lqtui.worker.client import EngineDied, JobFailed
from lqtui.worker.messages import Progress

_LOGS_KEPT = 100


class RunningJob:
    """What a job's work holds while it runs: where to log, and how to tell of progress."""

    def __init__(self, queue: JobQueue, job_id: int, log: Path) -> None:
        self._queue = queue
        self._id = job_id
        self._stage_began = time.monotonic()
        self.log = log

    def progress(self, event: Progress, stage_number: int = 0, stage_count: int = 1) -> None:
        """Show how far the job is; the time left is extrapolated from the stage's own pace."""
        job = self._queue.job(self._id)
        now = time.monotonic()
        if (job.stage, job.stage_number) != (event.stage, stage_number):
            self._stage_began = now
        spent = now - self._stage_began
        eta = spent * (event.total - event.done) / event.done if event.done and spent > 0.2 else None
        self._queue.update(
            self._id,
            stage=event.stage,
            done=event.done,
            total=event.total,
            unit=event.unit,
            stage_number=stage_number,
            stage_count=stage_count,
            eta=eta,
        )

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

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of this session, the oldest first."""
        return tuple(self._aged(job) for job in self._jobs.values())

    def job(self, job_id: int) -> Job:
        """One job as it is now; KeyError for a number that was never given."""
        return self._aged(self._jobs[job_id])

    def add(self, kind: str, title: str, work: Work, *, at_once: bool = False) -> Job:
        """Queue a job; with `at_once` it does not wait for its turn. Raises StoreError without a place for logs."""
        job_id = len(self._jobs) + 1
        make_directory(self._logs)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        job = Job(job_id, kind, title, self._logs / f"{stamp}-{job_id:03}-{kind}.log")
        self._jobs[job_id] = job
        self._drop_old_logs()
        self._tasks[job_id] = asyncio.create_task(self._run(job, work, at_once), name=title)
        self._changed()
        return job

    def cancel(self, job_id: int) -> None:
        """Stop a job, queued or running; nothing happens to one that has ended."""
        task = self._tasks.get(job_id)
        if task is not None and self._jobs[job_id].active:
            task.cancel()

    async def wait(self, job_id: int) -> Job:
        """Wait until a job has ended."""
        await asyncio.wait([self._tasks[job_id]])
        return self.job(job_id)

    async def close(self) -> None:
        """Stop all jobs and wait until their processes are gone."""
        for job_id in self._tasks:
            self.cancel(job_id)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def update(self, job_id: int, **changes: object) -> None:
        """Replace fields of a job's snapshot."""
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)  # type: ignore[arg-type]
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
        except EngineDied as error:
            self._end(job.id, JobState.FAILED, str(error), crashed=True)
        except (JobFailed, WorkbenchError, StoreError, RecipeError) as error:
            self._end(job.id, JobState.FAILED, str(error))
        except Exception as error:  # a defect of ours must fail this job alone, and say where it is
            with job.log.open("a", encoding="utf-8") as log:
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
        elapsed = self.job(job_id).elapsed
        self._began.pop(job_id, None)
        self.update(job_id, state=state, message=message, crashed=crashed, elapsed=elapsed, eta=None, pid=None)

    def _aged(self, job: Job) -> Job:
        began = self._began.get(job.id)
        return job if began is None else replace(job, elapsed=time.monotonic() - began)

    def _drop_old_logs(self) -> None:
        logs = sorted(self._logs.glob("*.log"))
        for log in logs[: max(0, len(logs) - _LOGS_KEPT)]:
            log.unlink(missing_ok=True)
