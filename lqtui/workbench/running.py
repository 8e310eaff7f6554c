"""Opening a model, the jobs that run on it, and what they measured: what of the workbench asks the engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths, expanded
from lqtui.store.results import FileIdentity, ResultStore
from lqtui.workbench.asked import AskedMeasure
from lqtui.workbench.corpora import Corpora, Corpus, check_text, corpus_digest
from lqtui.workbench.histories import Histories
from lqtui.workbench.history import RecipeHistory, Step
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import RecipeMatrices, refuse_without_imatrix
from lqtui.workbench.model_file import model_identity, read_header
from lqtui.workbench.quantized_files import RecipeFiles
from lqtui.workbench.queueing import Queueing
from lqtui.workbench.values import (
    CONVERSION,
    DOWNLOAD,
    AlreadyQuantizedError,
    Change,
    Job,
    JobState,
    OpenModel,
    Result,
    Settings,
    WorkbenchError,
    WorkFailedError,
)
from lqtui.workbench.wording import outcome
from lqtui.worker.client import run_task
from lqtui.worker.messages import Fingerprint, Progress

if TYPE_CHECKING:  # NumPy comes with them, which takes a tenth of a second to load
    from lqtui.measure.paired import Comparison
    from lqtui.measure.sequential import Look
    from lqtui.workbench.result_book import Known, ResultBook

_LET_PAINT = 0.02
"""Seconds in which a screen can show a model before the results that are known of it are read."""
_READERS = ThreadPoolExecutor(1, "header")


class Running(Queueing):
    """The part of the workbench that runs jobs on the open model, and keeps what they measured."""

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        super().__init__(paths, settings or Settings())
        try:
            self._store = ResultStore(paths.results_db)
        except StoreError as error:
            raise WorkbenchError(str(error)) from None
        self._corpora = Corpora(paths)
        self._corpus: Corpus | None = None
        self._book: ResultBook | None = None
        self._identity: FileIdentity | None = None
        self._fingerprinting: Job | None = None
        self._expected: tuple[Path, Future[tuple[ModelShape, str]]] | None = None

    # The model

    def expect(self, path: Path) -> None:
        """Begin to read a model's header in the background, for an `open` that follows soon."""
        path = expanded(path)
        self._expected = (path, _READERS.submit(asyncio.run, read_header(path, self.paths)))

    async def open(self, path: Path, *, requantize: bool = False, fingerprint: bool = True) -> None:
        """Open a base model; the one that was open stays if that fails.

        An already quantized model is refused unless `requantize` says to go on from it. Without `fingerprint`
        the model can be planned, written and exported, but not measured.
        """
        path = expanded(path)
        expected, self._expected = self._expected, None
        if expected is not None and expected[0] == path:
            shape, engine = await asyncio.wrap_future(expected[1])
        else:
            shape, engine = await read_header(path, self.paths)
        if shape.quantized_types and not requantize:
            held = ", ".join(shape.quantized_types)
            raise AlreadyQuantizedError(
                f"{path} is already quantized ({held}), so its quality is not the model's own; open the F16, "
                f"BF16 or F32 original"
            )
        identity = model_identity(path)
        try:
            histories = Histories([RecipeHistory(resolve(shape, base_recipe(shape)))])
            digest = self._store.get_model_digest(identity)
        except (RecipeError, StoreError) as error:
            raise WorkbenchError(str(error)) from None
        self._leaving_model()
        for job in self._queue.jobs:
            if job.kind not in (DOWNLOAD, CONVERSION):
                self._queue.cancel(job.id)
        self.model = OpenModel(path, shape, engine, digest)
        self._histories, self._identity, self._fingerprinting = histories, identity, None
        self._contexts.forget()
        self._found_model()
        if fingerprint and digest is None:
            self._fingerprint()
        self._tell(Change.MODEL)
        self._tell(Change.RECIPE)
        await asyncio.sleep(_LET_PAINT)
        if self.model is not None and self.model.shape is shape:
            self._reopen_book()
            self._tell(Change.RESULTS)

    async def close(self) -> None:
        """Stop all jobs and close the store."""
        await self._contexts.close()
        await self._queue.close()
        self._store.close()

    def rename(self, name: str) -> None:
        """Give the current recipe a name, and what was measured of it too."""
        super().rename(name)
        if self._book is not None:
            with contextlib.suppress(StoreError):  # the name is the recipe's all the same
                self._book.rename(self._current_plan())
            self._tell(Change.RESULTS)

    def _moved_in_history(self, passed: Sequence[Step]) -> None:
        """Where a name was undone or redone, what was measured of the recipe goes by the other one again."""
        for before, after in pairwise(passed):
            renamed = after.now.recipe.name != before.now.recipe.name
            if self._book is not None and renamed and after.now.weights == before.now.weights:
                with contextlib.suppress(StoreError):
                    self._book.rename(resolve(self._open_model().shape, after.now.recipe))
                self._tell(Change.RESULTS)
        super()._moved_in_history(passed)

    # What was measured, and measuring

    @property
    def results(self) -> tuple[Result, ...]:
        """What is known of this model under the current settings, the oldest first."""
        return tuple(self._book.rows.values()) if self._book else ()

    def result(self, plan: Plan) -> Result | None:
        """What is known of one plan under the current settings."""
        return self._book.rows.get(plan.digest) if self._book else None

    def compare(self, result: Result, other: Result, confidence: float = 0.95) -> Comparison | None:
        """One result beside another on the chunks that both have, None where there are none.

        Its verdict is right with the confidence asked for only if the number of chunks was settled before.
        Where one looks again and again, while chunks are being measured, use `look`.
        """
        return self._book.compare(result.digest, other.digest, confidence) if self._book else None

    def look(self, result: Result, other: Result, confidence: float = 0.95) -> Look | None:
        """As `compare`, with a verdict that is right however often one looks, and then stands."""
        return self._book.look(result.digest, other.digest, confidence) if self._book else None

    @property
    def chunks_wanted(self) -> int:
        """How many chunks a whole result has: as many as are asked for, or as the corpus is known to fill."""
        return self._book.wanted if self._book else self.settings.chunks

    @property
    def corpus_name(self) -> str:
        """What people call the text that the results are of."""
        name = self._corpus.name if self._corpus else self._corpora.name(self.settings.corpus, self.model)
        return f"{name}, spread" if self.settings.spread else name

    def configure(self, settings: Settings) -> None:
        """Measure under other settings from now on."""
        if settings.corpus != self.settings.corpus:
            check_text(self._corpora.at_hand(settings.corpus, self.model).path)
        self.settings = settings
        self._reopen_book()
        self._tell(Change.RESULTS)

    def measure(self, *, fresh: bool = False) -> Job:
        """Measure the current recipe in the background, and the base model that it is compared with.

        With `fresh` even what the store knows is measured again, such as speeds that something disturbed.
        """
        plan = self._current_plan()
        base = resolve(plan.shape, base_recipe(plan.shape))
        plans = [plan] if plan.digest == base.digest else [plan, base]
        return self.measure_plans(plans, f"measure {plan.recipe.name}", fresh=fresh)

    def measure_presets(self) -> Job:
        """Measure the published strategies in the background."""
        shape = self._open_model().shape
        plans = [resolve(shape, preset(name, shape)) for name in PRESET_NAMES]
        return self.measure_plans(plans, f"measure {len(plans)} presets")

    def measure_plans(
        self,
        plans: Sequence[Plan],
        title: str,
        *,
        fresh: bool = False,
        speed: bool = True,
        until_clear: float | None = None,
    ) -> Job:
        """Measure some plans in one job; with `fresh`, even what the store knows already.

        With `until_clear`, a confidence, no more chunks are scored than it takes to tell which of two plans
        is better.
        """
        self._open_model()
        for plan in plans:
            refuse_without_imatrix(plan)
        anew: dict[str, Known] | None = {} if fresh else None

        async def work(running: RunningJob) -> str:
            from lqtui.workbench.measuring import measure_plans

            book, corpus = await self._ready_book(running)
            await measure_plans(
                plans,
                book,
                corpus,
                self.paths,
                running,
                lambda: self._tell(Change.RESULTS),
                fresh=fresh,
                anew=anew,
                speed=speed,
                until_clear=until_clear,
            )
            self._show_measured(plans, book)
            found = [book.rows[plan.digest] for plan in plans]
            beside_base = [row for row in found if row.digest != book.base.digest]
            return outcome(beside_base if len(beside_base) == 1 else found)

        recipes = tuple(plan.recipe for plan in plans)
        asked = None if until_clear else AskedMeasure(title, recipes, fresh, speed)
        return self._add_job("measure", title, work, asked=asked)

    def _show_measured(self, plans: Sequence[Plan], book: ResultBook) -> None:
        """Show what was measured in a book that is not the current one: the settings changed meanwhile."""
        if self._book is not None and self._book is not book:
            for plan in plans:
                self._book.recall(plan)
            self._tell(Change.RESULTS)

    # Inside

    def _measured_names(self) -> set[str]:
        return {result.name for result in self.results}

    def _refuse_changed_model(self) -> None:
        model = self._open_model()
        if model_identity(model.path) != self._identity:
            raise WorkbenchError(f"{model.path} has changed since it was opened; open it again")

    def _fingerprint(self) -> Job:
        """The job that learns the open model's SHA-256; the store keeps it while the file is unchanged."""
        if self._fingerprinting and self._queue.is_active(self._fingerprinting.id):
            return self._fingerprinting
        model, identity = self._open_model(), self._identity
        assert identity is not None

        async def work(running: RunningJob) -> str:
            task = Fingerprint(model.path)
            digest = (await run_task(task, running.log, running.progress_of, running.started)).digest
            assert digest is not None
            if self.model is not model:
                raise WorkbenchError("another model was opened meanwhile")
            self._refuse_changed_model()
            self._store.put_model_digest(identity, digest)
            self.model = replace(model, digest=digest)
            self._reopen_book()
            self._tell(Change.MODEL)
            self._tell(Change.RESULTS)
            return f"SHA-256 {digest[:12]}…"

        title = f"fingerprint {model.path.name}"
        self._fingerprinting = self._add_job("fingerprint", title, work, at_once=True)
        return self._fingerprinting

    def _reopen_book(self) -> None:
        """Show what the store knows under the model and settings of now; a job says what is in the way."""
        self._book = self._corpus = None
        if self.model and self.model.digest:
            with contextlib.suppress(WorkbenchError, StoreError):
                self._current_book()

    def _current_book(self) -> tuple[ResultBook, Path]:
        """The book for the model, settings and corpus as they are now, and the corpus."""
        from lqtui.workbench.result_book import ResultBook

        self._corpus = self._corpora.at_hand(self.settings.corpus, self.model)
        digest = corpus_digest(self._corpus.path)
        if self.settings.spread:  # other chunks are another text
            digest += " spread"
        if self._book is None or self._book.corpus_digest != digest:
            find = RecipeMatrices(self.paths, Path(), gone_too=True)
            files = RecipeFiles(self.paths, Path(), gone_too=True)
            of = self._store, self._open_model(), self.settings, digest
            book = ResultBook(*of, find_imatrix=find, find_file=files)
            book.load()
            self._book = book
        return self._book, self._corpus.path

    @property
    def _fetch_is_due(self) -> bool:
        """Whether the next measurement fetches its text first, and so begins with another book."""
        return self._corpora.is_to_be_fetched(self.settings.corpus, self.model)

    async def _fingerprinted(self, running: RunningJob) -> str:
        """The open model's SHA-256, once its job has told; the file must be as it was when it was opened."""
        self._refuse_changed_model()
        if self._open_model().digest is None:
            running.progress(Progress("waiting", 0, 1, "the model's fingerprint"))
            job = await self._queue.wait(self._fingerprint().id)
            if job.state is JobState.CANCELLED:  # it was on its way out when it was waited for
                job = await self._queue.wait(self._fingerprint().id)
            if self._open_model().digest is None:
                failure = WorkFailedError if job.crashed else WorkbenchError
                raise failure(f"the model has no fingerprint, which results are kept by: {job.message}")
        digest = self._open_model().digest
        assert digest is not None
        return digest

    async def _ready_book(self, running: RunningJob) -> tuple[ResultBook, Path]:
        await self._fingerprinted(running)
        if self._fetch_is_due:
            await self._corpora.fetch(running)
        return self._current_book()
