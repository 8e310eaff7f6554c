"""Jobs that outlive the app: written down while they are not finished, asked for again, and done again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from pathlib import Path

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import resolve
from lqtui.solve.constraints import Constraints
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench.asked import (
    Asked,
    AskedConversion,
    AskedDownload,
    AskedEstimate,
    AskedFrontier,
    AskedImatrix,
    AskedLowering,
    AskedMeasure,
    AskedSensitivity,
    AskedWriting,
)
from lqtui.workbench.budgets import Target
from lqtui.workbench.converting import Converting
from lqtui.workbench.downloads import Downloads
from lqtui.workbench.experiment import LoweringExperiment
from lqtui.workbench.imatrices import Imatrices
from lqtui.workbench.solving import Solving
from lqtui.workbench.unfinished import Left, Unfinished, left_of, own_file, save_unfinished
from lqtui.workbench.values import CONVERSION, DOWNLOAD, Change, Job, JobState, Settings, WorkbenchError
from lqtui.workbench.writing import Writing

_OF_NO_MODEL = (DOWNLOAD, CONVERSION)
_SHELVED = "not finished last time"


class Resuming(Solving, Imatrices, LoweringExperiment, Writing, Downloads, Converting):
    """The part of the workbench that writes down what is not finished, and goes on with it.

    Nothing is written down before `remember_jobs`.
    """

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        super().__init__(paths, settings)
        self._remembers_jobs = False
        self._found: Left | None = None
        self._newest: Unfinished | None = None
        self._written: Unfinished | None = None
        self._writing = threading.Lock()
        self._writing_down: asyncio.Task[None] | None = None

    def remember_jobs(self) -> None:
        """Write down from now on what is not finished, for the next start of whoever opens the model."""
        if not self._remembers_jobs:
            self._remembers_jobs = True
            self.subscribe(self._note_jobs)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """What was not finished on the open model when lqtui ended, and nobody has decided on yet."""
        return tuple(title_of(asked) for asked in self._jobs_left)

    @property
    def unfinished_settings(self) -> Settings:
        """How that was to be measured."""
        return self._found.found[-1].settings if self._found and self._found.found else self.settings

    def decide_on_unfinished(self, *, resume: bool) -> list[str]:
        """Go on with what was not finished, or only list it among the jobs, where it can be done again.

        It is measured as it was to be measured then. Returns a sentence for each that cannot be done.
        """
        jobs, settings = self._jobs_left, self.unfinished_settings
        self._found = None
        refused = []
        if resume and _measuring(settings) != _measuring(self.settings):
            try:
                fitted = {"fit_ctx": self.settings.fit_ctx, "type_k": self.settings.type_k}
                self.configure(replace(settings, **fitted, type_v=self.settings.type_v))  # type: ignore[arg-type]
            except WorkbenchError as refusal:
                refused.append(f"It is measured as chosen now: {refusal}.")
        self._shelved = "" if resume else _SHELVED
        try:
            for asked in jobs:
                try:
                    self._ask_again(asked)
                except (WorkbenchError, RecipeError) as refusal:
                    refused.append(f"{title_of(asked)} cannot be done: {refusal}.")
        finally:
            self._shelved = ""
        self._note_jobs(Change.JOBS)
        return refused

    def retry(self, job_id: int) -> None:
        """Do a job again that failed or was cancelled; WorkbenchError where that is another model's."""
        job = self._queue.job(job_id)
        of = self._asked_on.get(job_id)
        if job.kind not in _OF_NO_MODEL and (self.model is None or self.model.path != of):
            name = of.name if of else "another model"
            raise WorkbenchError(f"{job.title} was asked for on {name}; open that to do it again")
        try:
            self._queue.retry(job_id)
        except StoreError as error:
            raise WorkbenchError(str(error)) from None

    async def close(self) -> None:
        """Write down what is not finished, then stop all jobs and close the store."""
        await self._write_down_now()
        self._remembers_jobs = False
        await super().close()

    # Inside

    @property
    def _jobs_left(self) -> list[Asked]:
        return [asked for found in self._found.found for asked in found.jobs] if self._found else []

    def _leaving_model(self) -> None:
        self._save_jobs(self._not_finished(leaving=True))
        self._found = None
        super()._leaving_model()

    def _found_model(self) -> None:
        super()._found_model()
        if not self._remembers_jobs or self.model is None:
            return
        self._found = left_of(self.paths, self.model.path)
        self._notices += [f"{problem}." for problem in self._found.problems]
        self._written = None
        if self._found.found:
            asyncio.get_running_loop().call_soon(self._tell, Change.JOBS)
        if not self._save_jobs(self._not_finished()):
            return  # the files of others stay, as what they say is nowhere else
        own = own_file(self.paths, self.model.path)
        for file in self._found.files:
            if file != own:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def _note_jobs(self, change: Change) -> None:
        """Write down in the background what is not finished, where that is something else than before."""
        if change is not Change.JOBS or (self._writing_down and not self._writing_down.done()):
            return
        if self._not_finished() != self._written:
            self._writing_down = asyncio.create_task(self._write_down())

    async def _write_down(self) -> None:
        while self._remembers_jobs and (now := self._not_finished()) != self._written:
            self._newest = now
            await asyncio.to_thread(self._save_newest)

    async def _write_down_now(self) -> None:
        if self._writing_down is not None:
            await asyncio.wait([self._writing_down])
        self._save_jobs(self._not_finished())

    def _save_jobs(self, unfinished: Unfinished | None) -> bool:
        self._newest = unfinished
        return self._save_newest()

    def _save_newest(self) -> bool:
        """Write down what is not finished by now, in any thread; False where that failed."""
        with self._writing:
            newest = self._newest
            if newest is None or newest == self._written:
                return True
            self._written = newest  # as well as can be: a full disk must neither end the app nor a job
            with contextlib.suppress(StoreError, OSError):
                save_unfinished(own_file(self.paths, newest.model), newest)
                return True
            return False

    def _not_finished(self, *, leaving: bool = False) -> Unfinished | None:
        """What is to be written down now, what nobody has decided on yet included.

        Downloads and conversions are of no model, and go on when another one is opened: they stand with that.
        """
        if not self._remembers_jobs or self.model is None:
            return None
        active = [
            job
            for job in self.jobs
            if job.active
            and (not leaving if job.kind in _OF_NO_MODEL else self._asked_on.get(job.id) == self.model.path)
        ]
        order = [JobState.RUNNING, JobState.QUEUED, JobState.PAUSED]
        active.sort(key=lambda job: (order.index(job.state), job.place))
        asked = [self._asked[job.id] for job in active if job.id in self._asked]
        return Unfinished(self.model.path, self.settings, (*self._jobs_left, *asked))

    def _ask_again(self, asked: Asked) -> Job:
        """Ask for a job once more."""
        shape = self._open_model().shape
        match asked:
            case AskedMeasure():
                plans = [resolve(shape, recipe) for recipe in asked.recipes]
                return self.measure_plans(plans, asked.title, fresh=asked.fresh, speed=asked.speed)
            case AskedSensitivity():
                return self.measure_sensitivity(asked.by, asked.types, asked.chunks)
            case AskedEstimate():
                return self.estimate_importance()
            case AskedFrontier():
                bounds = Constraints(asked.pins, asked.floors, asked.ties)
                if asked.file_bytes is None:
                    return self.find_frontier(asked.types, asked.by, bounds)
                target = Target(asked.file_bytes, asked.label, asked.has_room)
                return self.fit_recipe(target, asked.types, asked.by, bounds)
            case AskedLowering():
                return self.measure_lowering(asked.to, asked.steps)
            case AskedWriting():
                return self.quantize_plan(resolve(shape, asked.recipe), asked.out)
            case AskedImatrix():
                return self.compute_imatrix(
                    asked.corpus, asked.chunks, asked.n_ctx, out=asked.out, use=asked.use
                )
            case AskedDownload():
                return self._pull(asked)
            case AskedConversion():
                return self.convert(
                    asked.folder,
                    asked.out,
                    asked.out_type,
                    converter=asked.converter,
                    trust_code=asked.trust_code,
                )


def title_of(asked: Asked) -> str:
    """What people call a job that was asked for."""
    match asked:
        case AskedMeasure():
            return asked.title
        case AskedSensitivity():
            return f"measure each {asked.by} alone"
        case AskedEstimate():
            return "estimate importance"
        case AskedFrontier():
            return "find the frontier" if asked.file_bytes is None else f"fit {asked.label}"
        case AskedLowering():
            return f"lower blocks to {asked.to} one by one"
        case AskedWriting():
            return f"write {asked.out.name}"
        case AskedImatrix():
            return f"importance matrix of {asked.chunks} chunks"
        case AskedDownload():
            return f"download {asked.model.name.rpartition('/')[2]}"
        case AskedConversion():
            return f"convert {asked.folder.name}"


def _measuring(settings: Settings) -> tuple[Path | None, Path | None, int, int, bool, bool]:
    """What of the settings makes other results."""
    of = settings.corpus, settings.calibration, settings.n_ctx, settings.chunks
    return (*of, settings.divergence, settings.spread)
