"""The queue of jobs: who asks for them, in what order they are done, and what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench.asked import Asked
from lqtui.workbench.cache_limit import keep_cache
from lqtui.workbench.fitting import MemoryFitting
from lqtui.workbench.job_queue import JobQueue
from lqtui.workbench.jobs import RunningJob, Work
from lqtui.workbench.paces import Paces
from lqtui.workbench.values import Change, Job, Settings, WorkbenchError
from lqtui.worker.client import log_tail


class Queueing(MemoryFitting):
    """The part of the workbench that has jobs done in the background."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        super().__init__(paths, settings)
        self._paces = Paces(paths.state / "paces.json")
        self._queue = JobQueue(
            paths.logs, lambda: self._tell(Change.JOBS), self._known_paces, self._learn_paces
        )
        self._notices: list[str] = []
        """Sentences that the person is to be told."""
        self._asked: dict[int, Asked] = {}
        self._asked_on: dict[int, Path] = {}
        self._shelved = ""
        """Why jobs are not begun that are asked for now; empty where they are."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of this session, the oldest first; of those that have ended, the last hundred."""
        return self._queue.jobs

    def cancel(self, job_id: int) -> None:
        """Stop a job, queued or running; what it measured so far is kept."""
        self._queue.cancel(job_id)

    def pause(self, job_id: int) -> None:
        """Let a job give up its turn as soon as nothing is lost by that; WorkbenchError where it cannot."""
        self._queue.pause(job_id)

    def resume(self, job_id: int) -> None:
        """Let a paused job go on where it was, before those that wait."""
        self._queue.resume(job_id)

    def move(self, job_id: int, step: int) -> bool:
        """Let a job that waits change places with the one before (-1) or after it (1)."""
        return self._queue.move(job_id, step)

    async def wait(self, job: Job) -> Job:
        """Wait until a job has ended, and return how."""
        return await self._queue.wait(job.id)

    def log_tail(self, job_id: int, lines: int = 200) -> str:
        """A job's notice, if it has one, and the last lines of its log."""
        job = self._queue.job(job_id)
        return "\n".join(filter(None, (job.notice, log_tail(job.log, lines))))

    # Inside

    def _known_paces(self) -> Mapping[str, float]:
        return self._paces.of(self.settings.threads_used, self.settings.gpu_layers)

    def _learn_paces(self, learned: Mapping[str, float]) -> None:
        self._paces.learn(self.settings.threads_used, self.settings.gpu_layers, learned)

    def _add_job(
        self, kind: str, title: str, work: Work, *, at_once: bool = False, asked: Asked | None = None
    ) -> Job:
        """Queue a job; what can be asked for again is `asked`, and nobody asks for it twice at a time."""
        same = [number for number, other in self._asked.items() if other == asked]
        if any(self._queue.is_active(number) for number in same):
            raise WorkbenchError(f"{title} is among the jobs already, and not finished")

        async def work_and_tidy(running: RunningJob) -> str:
            try:
                return await work(running)
            finally:
                if running.had_process:
                    await asyncio.to_thread(keep_cache, self.paths)

        try:
            job = self._queue.add(kind, title, work_and_tidy, at_once=at_once, shelved=self._shelved)
        except StoreError as error:
            raise WorkbenchError(str(error)) from None
        if asked is not None:
            self._asked[job.id] = asked
        if self.model is not None:
            self._asked_on[job.id] = self.model.path
        for noted in (self._asked, self._asked_on):
            for number in [number for number in noted if not self._queue.knows(number)]:
                del noted[number]
        return job
