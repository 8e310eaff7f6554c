"""The queue of background jobs: one at a time, in an order that can be changed, with pauses and stops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lqtui.recipe.errors import RecipeError
from lqtui.store.errors import StoreError
from lqtui.workbench.jobs import RunningJob, Work, new_log
from lqtui.workbench.values import (
    CHAT,
    CONVERSION,
    DOWNLOAD,
    FINGERPRINT,
    Job,
    JobState,
    WorkbenchError,
    WorkFailedError,
)
from lqtui.worker.client import JobFailed, rest, wake

_ENDED_KEPT = 100
"""So many jobs that have ended are still told of, as many as there are logs."""
_TELL_SECONDS = 0.05
"""Progress is told of at most this often; a job's change of state at once."""
_KEPT_AT_ONCE = ("", "waiting", "loading", "prompt speed", "generation speed", "solving", "downloading")
"""Stages that can be left at any time: nothing of them is lost but a timing, which must be done in one go."""
_KEPT_STEP_BY_STEP = ("quantizing", "scoring", "sensitivity")
"""Stages of which all is kept that was told of; what they are of may stand behind a comma."""
_NO_PAUSE = {
    CHAT: "a chat cannot be paused; its answer can be cancelled",
    CONVERSION: "a conversion cannot be paused, as llama.cpp's converter cannot; it can be cancelled",
    FINGERPRINT: "a fingerprint cannot be paused, which all measuring waits for",
}


@dataclass
class _Entry:
    """A job's work, and what becomes of it."""

    work: Work
    at_once: bool
    task: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    began: float | None = None
    """When it began to run the last time; None while it does not."""
    spent: float = 0.0
    """Seconds that it ran before."""
    eta_told: float = 0.0
    heard: bool = False
    """Whether its process has told of progress, and so hears signals."""
    rests: bool = False
    """Whether its process is there, and does nothing until it is told to go on."""
    leaves: bool = False
    """Whether its process is being ended so that the job can pause."""


class _Ending(NamedTuple):
    """How a job's work came to its end."""

    state: JobState
    message: str
    crashed: bool = False


class JobQueue:
    """Jobs that run one at a time, in an order that can be changed. Must be used inside one event loop."""

    def __init__(
        self,
        logs: Path,
        changed: Callable[[], None],
        paces: Callable[[], Mapping[str, float]] = dict,
        learned: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        self._logs = logs
        self._changed = changed
        self._paces = paces
        self._learned = learned
        self._jobs: dict[int, Job] = {}
        self._entries: dict[int, _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._waiting: list[int] = []
        self._turn: int | None = None
        self._tell_later: asyncio.TimerHandle | None = None
        self._told = 0.0

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of this session, the oldest first; of those that have ended, the last hundred."""
        return tuple(self._aged(job) for job in self._jobs.values())

    def job(self, job_id: int) -> Job:
        """One job as it is now; KeyError for a number that was never given, or is forgotten."""
        return self._aged(self._jobs[job_id])

    def knows(self, job_id: int) -> bool:
        """Whether a job is still told of, as each is that has not ended."""
        return job_id in self._jobs

    def is_active(self, job_id: int) -> bool:
        """Whether a job has not ended."""
        return self.knows(job_id) and self._jobs[job_id].active

    def add(self, kind: str, title: str, work: Work, *, at_once: bool = False, shelved: str = "") -> Job:
        """Queue a job; with `at_once` it does not wait for its turn.

        One that is `shelved`, in a few words on why, has ended before it began, and can be retried. Raises
        StoreError where there is no place for its log.
        """
        job_id = next(self._numbers)
        job = Job(job_id, kind, title, new_log(self._logs, f"{job_id:03}-{kind}"))
        self._jobs[job_id], self._entries[job_id] = job, _Entry(work, at_once)
        if shelved:
            self._end(job_id, JobState.CANCELLED, shelved)
        else:
            self._line_up(job_id)
        self._forget_oldest()
        self._tell()
        return self._jobs[job_id]

    def cancel(self, job_id: int) -> None:
        """Stop a job, queued, paused or running; nothing happens to one that has ended."""
        job = self._jobs.get(job_id)
        if job is None or not job.active:
            return
        entry = self._entries[job_id]
        if entry.task is not None:
            if job.pausing:
                self.update(job_id, pausing=False)
            entry.leaves = False
            entry.task.cancel()
        if job.state is not JobState.RUNNING:
            self._end(job_id, JobState.CANCELLED, "cancelled")
            self._give_up_turn(job_id)  # its task may not have begun, and then never will

    def move(self, job_id: int, step: int) -> bool:
        """Let a job that waits change places with the one before (-1) or after it; False where it cannot."""
        if job_id not in self._waiting:
            return False
        here = self._waiting.index(job_id)
        there = here + step
        if not 0 <= there < len(self._waiting):
            return False
        self._waiting[here], self._waiting[there] = self._waiting[there], self._waiting[here]
        self._tell()
        return True

    def pause(self, job_id: int) -> None:
        """Let a job give up its turn as soon as nothing of it is lost by that; it goes on with `resume`.

        Raises WorkbenchError for a job that cannot be paused.
        """
        job = self._jobs[job_id]
        if not job.active or job.pausing or job.state is JobState.PAUSED:
            return
        if job.kind in _NO_PAUSE:
            raise WorkbenchError(_NO_PAUSE[job.kind])
        entry = self._entries[job_id]
        if job.state is JobState.QUEUED:
            if job_id in self._waiting:
                self._waiting.remove(job_id)
            elif entry.task is not None:  # it was just given its turn
                entry.task.cancel()
                entry.task = None
            self.update(job_id, state=JobState.PAUSED)
            self._give_up_turn(job_id)
        else:
            self.update(job_id, pausing=True)
            if not entry.heard or _stage(job) in _KEPT_AT_ONCE:
                self._leave(job_id)
            elif _stage(job) not in _KEPT_STEP_BY_STEP:
                self._rest(job_id)

    def resume(self, job_id: int) -> None:
        """Let a paused job go on where it was, before the others that wait."""
        job = self._jobs[job_id]
        if job.pausing:
            self.update(job_id, pausing=False)
        elif job.state is JobState.PAUSED:
            self.update(job_id, state=JobState.QUEUED)
            self._line_up(job_id, first=True)
            self._tell()

    def retry(self, job_id: int) -> None:
        """Do a job again that failed or was cancelled; what it has measured by then is kept."""
        job, entry = self._jobs[job_id], self._entries[job_id]
        if job.active or job.state is JobState.DONE:
            return
        log = new_log(self._logs, f"{job_id:03}-{job.kind}")
        self._entries[job_id] = _Entry(entry.work, entry.at_once)
        self._jobs[job_id] = Job(job_id, job.kind, job.title, log)
        self._line_up(job_id)
        self._tell()

    def begun(self, job_id: int, pid: int) -> None:
        """A job has a new process, which is not to be disturbed before it tells of progress."""
        self._entries[job_id].heard = False
        self.update(job_id, pid=pid)

    def heard(self, job_id: int) -> None:
        """A job's process tells of progress, so it hears what it is told, too."""
        self._entries[job_id].heard = True

    def reached(self, job_id: int) -> None:
        """A job told of progress: one that is to pause may do so now."""
        job = self._jobs[job_id]
        if job.pausing and _stage(job) in (*_KEPT_AT_ONCE, *_KEPT_STEP_BY_STEP):
            self._leave(job_id)
        elif job.pausing:
            self._rest(job_id)

    async def wait(self, job_id: int) -> Job:
        """Wait until a job has ended."""
        entry = self._entries[job_id]
        await entry.ended.wait()
        if entry.task is not None:
            await asyncio.wait([entry.task])
        return self.job(job_id)

    async def close(self) -> None:
        """Stop all jobs and wait until their processes are gone."""
        self._waiting.clear()
        for job_id in self._jobs:
            self.cancel(job_id)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tell()

    def update(self, job_id: int, **changes: object) -> None:
        """Replace fields of a job's snapshot; a new state is told of at once, all else with the next beat."""
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)  # type: ignore[arg-type]
        now = time.monotonic()
        if "eta" in changes:
            self._entries[job_id].eta_told = now
        if "state" in changes or "pausing" in changes or now - self._told >= _TELL_SECONDS:
            self._tell()
        elif self._tell_later is None:
            loop = asyncio.get_running_loop()
            self._tell_later = loop.call_later(_TELL_SECONDS - (now - self._told), self._tell)

    def _forget_oldest(self) -> None:
        """Drop what ended long ago; downloads and conversions are few, and asked about for longer."""
        ended = [
            job.id for job in self._jobs.values() if not job.active and job.kind not in (DOWNLOAD, CONVERSION)
        ]
        for job_id in ended[: max(0, len(ended) - _ENDED_KEPT)]:
            del self._jobs[job_id], self._entries[job_id]

    def _tell(self) -> None:
        if self._tell_later is not None:
            self._tell_later.cancel()
            self._tell_later = None
        self._told = time.monotonic()
        self._changed()

    # Whose turn it is

    def _line_up(self, job_id: int, *, first: bool = False) -> None:
        """Let a job begin, or go on, when it is its turn."""
        if self._entries[job_id].at_once:
            self._begin(job_id)
        else:
            self._waiting.insert(0 if first else len(self._waiting), job_id)
            self._give_turn()

    def _give_turn(self) -> None:
        """Where no job has the turn, give it to the first that waits."""
        if self._turn is None and self._waiting:
            self._turn = self._waiting.pop(0)
            self._begin(self._turn)

    def _give_up_turn(self, job_id: int) -> None:
        if self._turn == job_id:
            self._turn = None
            self._give_turn()

    def _begin(self, job_id: int) -> None:
        entry, job = self._entries[job_id], self._jobs[job_id]
        if entry.rests:
            entry.rests = False
            entry.began = time.monotonic()
            self.update(job_id, state=JobState.RUNNING)
            if job.pid is not None:
                wake(job.pid)
        else:
            entry.task = asyncio.create_task(self._run(job_id, entry), name=job.title)
            self._tasks.add(entry.task)
            entry.task.add_done_callback(self._tasks.discard)

    def _rest(self, job_id: int) -> None:
        """Let a job's process do nothing more until it is told to go on."""
        pid, entry = self._jobs[job_id].pid, self._entries[job_id]
        if pid is not None and rest(pid):
            entry.rests = True
            self._stand_still(job_id)

    def _leave(self, job_id: int) -> None:
        """End a job's process; its work will be begun again, and go on from what is kept."""
        entry = self._entries[job_id]
        if entry.task is not None and not entry.leaves:
            entry.leaves = True
            entry.task.cancel()

    def _left(self, job_id: int) -> None:
        """A job's process was ended so that it can pause; it goes on if that was taken back meanwhile."""
        entry = self._entries[job_id]
        entry.leaves = False
        self.update(job_id, pid=None)
        if self._jobs[job_id].pausing:
            self._stand_still(job_id)
        else:
            entry.spent, entry.began = self.job(job_id).elapsed, None
            self._begin(job_id)

    def _stand_still(self, job_id: int) -> None:
        """A job does nothing any more, and the next one may."""
        entry = self._entries[job_id]
        entry.spent, entry.began = self.job(job_id).elapsed, None
        self.update(job_id, state=JobState.PAUSED, pausing=False)
        self._give_up_turn(job_id)

    async def _run(self, job_id: int, entry: _Entry) -> None:
        ending = await self._ending(job_id)
        if self._entries.get(job_id) is not entry:  # it was cancelled at rest, and is done again by now
            return
        if entry.leaves and ending.state is JobState.CANCELLED:
            self._left(job_id)
            return
        self._end(job_id, *ending)
        self._give_up_turn(job_id)

    async def _ending(self, job_id: int) -> _Ending:
        """Do a job's work, and say how it ended, however that was."""
        try:
            return _Ending(JobState.DONE, await self._work(job_id))
        except asyncio.CancelledError:
            return _Ending(JobState.CANCELLED, "cancelled")
        except JobFailed as error:
            return _Ending(JobState.FAILED, str(error), crashed=not error.bad_input)
        except (WorkbenchError, StoreError, RecipeError) as error:
            return _Ending(JobState.FAILED, str(error), crashed=isinstance(error, WorkFailedError))
        except OSError as error:  # a disk, a limit or a folder that is gone: none of ours
            place = f"{os.fsdecode(error.filename)}: " if error.filename else "the job read or wrote a file: "
            return _Ending(JobState.FAILED, f"{place}{error.strerror or error}", crashed=True)
        except MemoryError:
            said = "the memory does not suffice for this job; close something"
            return _Ending(JobState.FAILED, said, crashed=True)
        except Exception as error:  # a defect of ours must fail this job alone, and say where it is
            log = self._jobs[job_id].log
            with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
            return _Ending(
                JobState.FAILED,
                f"a defect in lqtui ({type(error).__name__}: {error}); the job's log shows where",
                crashed=True,
            )

    async def _work(self, job_id: int) -> str:
        entry = self._entries[job_id]
        entry.began, entry.heard = time.monotonic(), False
        self.update(job_id, state=JobState.RUNNING)
        running = RunningJob(self, job_id, self._jobs[job_id].log, self._paces())
        try:
            return await entry.work(running)
        finally:
            if self._learned is not None:
                self._learned(running.outlook.learned)

    def _end(self, job_id: int, state: JobState, message: str, crashed: bool = False) -> None:
        if not self._jobs[job_id].active:
            return
        entry = self._entries[job_id]
        elapsed = self.job(job_id).elapsed
        entry.began, entry.rests = None, False
        if job_id in self._waiting:
            self._waiting.remove(job_id)
        entry.ended.set()
        ended = {"state": state, "message": message, "crashed": crashed, "elapsed": elapsed}
        self.update(job_id, **ended, eta=None, pid=None, pausing=False)

    def _aged(self, job: Job) -> Job:
        """A job as it is at this moment."""
        entry, now = self._entries[job.id], time.monotonic()
        if not job.active:
            return job
        place = self._waiting.index(job.id) + 1 if job.id in self._waiting else 0
        if entry.began is None:
            return replace(job, elapsed=entry.spent, place=place)
        eta = None if job.eta is None else max(0.0, job.eta - (now - entry.eta_told))
        return replace(job, elapsed=entry.spent + now - entry.began, eta=eta, place=place)


def _stage(job: Job) -> str:
    return job.stage.partition(",")[0]
