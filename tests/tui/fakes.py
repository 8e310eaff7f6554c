"""A workbench without an engine, on synthetic models: its recipes are real, its measurements are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fake_importance import FakeImportance
from model_shapes import fit_of

from lqtui.measure import paired, sequential
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.presets import PRESET_NAMES
from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.workbench import Change, Fit, Job, JobState, OpenModel, Result, Settings, WorkbenchError
from lqtui.workbench.histories import Histories
from lqtui.workbench.history import RecipeHistory
from lqtui.workbench.slots import Slots
from lqtui.workbench.touring import TourProgress


class FakeWorkbench(FakeImportance, Slots):
    """Edits recipes as the real workbench does; jobs and results are set by the test."""

    sessions = None

    def __init__(
        self, shape: ModelShape | None = None, models: Mapping[str, ModelShape] | None = None
    ) -> None:
        super().__init__()
        self.models = dict(models or {})
        self.settings = Settings(threads=2)
        self.corpus_name = "wikitext-2"
        self.jobs: tuple[Job, ...] = ()
        self.results: tuple[Result, ...] = ()
        self.scores: dict[str, paired.Scores] = {}
        self.closed = False
        self.open_delay = 0.0
        self.refuse: str | None = None
        self.context_problem: str | None = ""
        self.calls: list[str] = []
        self.tour = TourProgress(over=True)
        if shape is not None:
            self._adopt(Path(f"/models/{shape.name}.gguf"), shape)

    def take_notices(self) -> list[str]:
        """Nothing was left to be told."""
        return []

    def _adopt(self, path: Path, shape: ModelShape) -> None:
        self.model = OpenModel(path=path, shape=shape, engine="none")
        self._histories = Histories([RecipeHistory(resolve(shape, base_recipe(shape)))])

    def tell(self, change: Change) -> None:
        self._tell(change)

    async def open(self, path: Path, *, requantize: bool = False) -> None:
        await asyncio.sleep(self.open_delay)
        shape = self.models.get(path.name)
        if shape is None:
            raise WorkbenchError(f"{path.name} is not a GGUF file: it does not begin with GGUF")
        self._adopt(path, shape)
        self.tell(Change.MODEL)
        self.tell(Change.RECIPE)

    def _open_plan(self) -> Plan:
        if self.refuse:
            raise WorkbenchError(self.refuse)
        if self.plan is None:
            raise WorkbenchError("no model is open")
        return self.plan

    def assign(self, tensors: Iterable[str], tensor_type: TensorType, label: str) -> None:
        self._open_plan()
        super().assign(tensors, tensor_type, label)

    @property
    def fit(self) -> Fit | None:
        """The memory that the current recipe needs, or `context_problem`; that is None while it is asked."""
        chosen = self.settings
        if self.plan is None:
            return None
        asked = Fit(min(chosen.fit_ctx, 8192), chosen.type_k, chosen.type_v)
        if self.context_problem is None:
            return asked
        if self.context_problem:
            return replace(asked, problem=self.context_problem)
        return replace(fit_of(self.plan, asked.n_ctx, asked.type_k), type_v=asked.type_v)

    def fit_to(self, n_ctx: int, type_k: TensorType, type_v: TensorType) -> None:
        self.settings = replace(self.settings, fit_ctx=n_ctx, type_k=type_k, type_v=type_v)
        self.tell(Change.FIT)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self.tell(Change.RECIPE)

    def measure(self, *, fresh: bool = False) -> Job:
        plan = self._open_plan()
        if fresh:
            self.calls.append(f"measure {plan.recipe.name} fresh")
        return self._start(plan.recipe.name, "measure")

    def measure_presets(self) -> Job:
        self._open_plan()
        return self._start(f"measure {len(PRESET_NAMES)} presets", "measure")

    def measure_types(self, types: Sequence[FileType] = (), imatrix: Imatrix | None = None) -> Job:
        self._open_plan()
        self.calls.append(f"measure types by {imatrix.name if imatrix else 'no matrix'}")
        return self._start("measure 7 types", "measure")

    def quantize(self, out: Path) -> Job:
        self._open_plan()
        self.calls.append(f"quantize {out}")
        return self._start(out.name, "quantize")

    def _start(self, title: str, kind: str) -> Job:
        running = any(job.state is JobState.RUNNING for job in self.jobs)
        job = Job(
            id=len(self.jobs) + 1,
            title=title,
            kind=kind,
            state=JobState.QUEUED if running else JobState.RUNNING,
            stage="perplexity" if kind == "measure" else "quantizing",
            done=0,
            total=5,
            unit="chunks",
            elapsed=0.0,
            eta=None,
            message="",
            log=Path("job.log"),
        )
        self.jobs += (job,)
        self.tell(Change.JOBS)
        return job

    def keep_tour(self, progress: TourProgress) -> None:
        self.tour = progress

    def advance(self, job_id: int, **changes: object) -> None:
        """Let a job say something new."""
        self.jobs = tuple(replace(j, **changes) if j.id == job_id else j for j in self.jobs)  # type: ignore[arg-type]
        self.tell(Change.JOBS)

    def add_result(self, result: Result) -> None:
        """Let a measurement arrive, or go on."""
        self.results = (*(r for r in self.results if r.digest != result.digest), result)
        self.tell(Change.RESULTS)

    def compare(self, result: Result, other: Result, confidence: float) -> paired.Comparison | None:
        self.calls.append(f"compare {result.name} {other.name}")
        scores = self._common_scores(result, other)
        return paired.compare(*scores, confidence) if scores else None

    def look(self, result: Result, other: Result, confidence: float) -> sequential.Look | None:
        self.calls.append(f"look {result.name} {other.name}")
        scores = self._common_scores(result, other)
        return sequential.look(*scores, confidence) if scores else None

    @property
    def chunks_wanted(self) -> int:
        return self.settings.chunks

    def _common_scores(self, result: Result, other: Result) -> tuple[paired.Scores, paired.Scores] | None:
        """Of the chunks that both results have."""
        common = min(result.chunks, other.chunks)
        found = [self.scores.get(r.digest) for r in (result, other)]
        if not common or None in found:
            return None
        mine, its = (paired.Scores(s.nll[:common], s.kld[:common]) for s in found if s and s.kld is not None)
        return mine, its

    def cancel(self, job_id: int) -> None:
        self.calls.append(f"cancel {job_id}")
        self.advance(job_id, state=JobState.CANCELLED, message="cancelled")

    unfinished: tuple[str, ...] = ()

    @property
    def unfinished_settings(self) -> Settings:
        return self.settings

    def remember_jobs(self) -> None:
        self.remembers_jobs = True

    def decide_on_unfinished(self, *, resume: bool) -> list[str]:
        titles, self.unfinished = self.unfinished, ()
        for title in titles:
            job = self._start(title, "measure")
            if not resume:
                self.advance(job.id, state=JobState.CANCELLED, message="not finished last time")
        return []

    def log_tail(self, job_id: int, lines: int = 200) -> str:
        return f"log of job {job_id}"

    def script(self) -> str:
        return f"#!/usr/bin/env bash\n# {self._open_plan().recipe.name}\nset -euo pipefail\n"

    def save_script(self, path: Path) -> None:
        path.write_text(self.script())

    def save_recipe(self, path: Path, name: str | None = None) -> None:
        path.write_text(name or self._open_plan().recipe.name)
        self.rename(name or self._open_plan().recipe.name)

    async def use_imported(self, path: Path) -> tuple[str, ...]:
        raise WorkbenchError(f"{path.name} is not a TOML recipe")

    async def close(self) -> None:
        self.closed = True
