"""The workbench: one model, the recipe under the person's hands, background jobs, and what they measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lqtui.export.script import export_script
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, base_recipe, resolve, with_type
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.types import TensorType
from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write
from lqtui.store.paths import Paths, make_directory
from lqtui.store.results import FileIdentity, ResultStore
from lqtui.workbench.corpora import corpus_digest, corpus_file
from lqtui.workbench.history import RecipeHistory
from lqtui.workbench.jobs import JobQueue, RunningJob
from lqtui.workbench.measuring import ResultBook, measure_plans
from lqtui.workbench.values import Change, Job, OpenModel, Result, Settings, WorkbenchError
from lqtui.worker.client import JobFailed, log_tail, run_task
from lqtui.worker.messages import Event, Fingerprint, Progress, ReadHeader, WriteModel

_MAX_RECIPE_BYTES = 1 << 20

Listener = Callable[[Change], None]


class Workbench:
    """Drives everything on one model; must be used inside one event loop.

    Methods raise WorkbenchError with a sentence for the person; nothing has changed then.
    """

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        self.paths = paths
        self.settings = settings or Settings()
        self.model: OpenModel | None = None
        try:
            self._store = ResultStore(paths.results_db)
        except StoreError as error:
            raise WorkbenchError(str(error)) from None
        self._listeners: list[Listener] = []
        self._queue = JobQueue(paths.logs, lambda: self._tell(Change.JOBS))
        self._history: RecipeHistory | None = None
        self._book: ResultBook | None = None
        self._fingerprint: asyncio.Future[str] | None = None

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change, in the event loop's thread; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # The model

    async def open(self, path: Path, *, requantize: bool = False, fingerprint: bool = True) -> None:
        """Open a base model; the one that was open stays if that fails.

        An already quantized model is refused unless `requantize` says to go on from it. Without `fingerprint`
        the model can be planned, written and exported, but not measured.
        """
        path = path.expanduser().absolute()
        make_directory(self.paths.logs)
        try:
            header = await run_task(ReadHeader(path), self.paths.logs / "header.log")
        except JobFailed as error:
            raise WorkbenchError(str(error)) from None
        shape = header.shape
        assert shape is not None
        if shape.quantized_types and not requantize:
            held = ", ".join(shape.quantized_types)
            raise WorkbenchError(
                f"{path} is already quantized ({held}), so its quality is not the model's own; open the F16, BF16 "
                f"or F32 original, or go on from this one with --requantize"
            )
        plan = resolve(shape, base_recipe(shape))
        for job in self._queue.jobs:
            self._queue.cancel(job.id)
        self.model = OpenModel(path, shape, header.build)
        self._history = RecipeHistory(plan)
        self._book = None
        self._fingerprint = None
        if fingerprint:
            self._start_fingerprint()
        self._tell(Change.MODEL)
        self._tell(Change.RECIPE)
        self._tell(Change.RESULTS)

    async def close(self) -> None:
        """Stop all jobs and close the store."""
        await self._queue.close()
        self._store.close()

    # The recipe

    @property
    def plan(self) -> Plan | None:
        """The current recipe on the open model."""
        return self._history.plan if self._history else None

    @property
    def modified(self) -> bool:
        """Whether the recipe was edited since it was named, saved or chosen."""
        return self._history.modified if self._history else False

    @property
    def undo_label(self) -> str | None:
        """What `undo` would take back."""
        return self._history.undo_label if self._history else None

    @property
    def redo_label(self) -> str | None:
        """What `redo` would make again."""
        return self._history.redo_label if self._history else None

    def assign(self, tensors: Iterable[str], tensor_type: TensorType, label: str) -> None:
        """Give some tensors a type, as one undoable edit; those that are never quantized are left alone."""
        plan = self._current_plan()
        name = plan.recipe.name if self.modified else "custom"
        self._edit(with_type(plan, tensors, tensor_type, name), label)

    def use(self, recipe: Recipe, label: str) -> None:
        """Put a whole recipe in the place of the current one, as one undoable edit."""
        self._edit(recipe, label)
        self._open_history().mark_saved()

    def rename(self, name: str) -> None:
        """Give the current recipe a name."""
        recipe = self._current_plan().recipe
        self._edit(Recipe(name, recipe.base, recipe.overrides, recipe.description), f"name {name!r}")
        self._open_history().mark_saved()

    def undo(self) -> str | None:
        """Take the last edit back; returns its label, None where there is none."""
        return self._changed_by(self._history.undo() if self._history else None)

    def redo(self) -> str | None:
        """Make the last undone edit again; returns its label, None where there is none."""
        return self._changed_by(self._history.redo() if self._history else None)

    def load_recipe(self, path: Path) -> None:
        """Use the recipe in a recipe file."""
        self.use(self.read_recipe(path), f"open {path.name}")

    def read_recipe(self, path: Path) -> Recipe:
        """The recipe in a recipe file, for the open model."""
        shape = self._open_model().shape
        try:
            raw = path.expanduser().read_bytes()
            if len(raw) > _MAX_RECIPE_BYTES:
                raise WorkbenchError(f"{path} is too large for a recipe ({len(raw):,} bytes)")
            return parse_recipe(raw.decode("utf-8"), shape, str(path))
        except OSError as error:
            raise WorkbenchError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise WorkbenchError(f"{path} is not a TOML recipe: it is not UTF-8 text") from None
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None

    def save_recipe(self, path: Path) -> None:
        """Write the current recipe to a recipe file, in place of what was there."""
        plan = self._current_plan()
        _write_text(path, format_recipe(plan.recipe, plan.shape))
        self._open_history().mark_saved()
        self._tell(Change.RECIPE)

    # What was measured, and measuring

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of this session, the oldest first."""
        return self._queue.jobs

    @property
    def results(self) -> tuple[Result, ...]:
        """What is known of this model under the current settings, the oldest first."""
        return tuple(self._book.rows.values()) if self._book else ()

    def result(self, plan: Plan) -> Result | None:
        """What is known of one plan under the current settings."""
        return self._book.rows.get(plan.digest) if self._book else None

    def configure(self, settings: Settings) -> None:
        """Measure under other settings from now on."""
        self.settings = settings
        self._book = None
        if self.model and self.model.digest:
            self._open_book()
        self._tell(Change.RESULTS)

    def measure(self) -> Job:
        """Measure the current recipe in the background: perplexity, then speed."""
        plan = self._current_plan()
        return self.measure_plans([plan], f"measure {plan.recipe.name}")

    def measure_presets(self) -> list[Job]:
        """Measure the published strategies in the background, one job each."""
        shape = self._open_model().shape
        return [
            self.measure_plans([resolve(shape, preset(name, shape))], f"measure {name}")
            for name in PRESET_NAMES
        ]

    def measure_plans(
        self, plans: Sequence[Plan], title: str, *, fresh: bool = False, speed: bool = True
    ) -> Job:
        """Measure some plans in one job; with `fresh`, even what the store knows already."""
        self._open_model()
        for plan in plans:
            if plan.missing_imatrix:
                first = plan.missing_imatrix[0]
                raise WorkbenchError(
                    f"{first.effective} needs an importance matrix for {first.name}; choose another type"
                )

        async def work(running: RunningJob) -> str:
            book, corpus = await self._ready_book(running)
            await measure_plans(
                plans,
                book,
                corpus,
                self.paths,
                running,
                lambda: self._tell(Change.RESULTS),
                fresh=fresh,
                speed=speed,
            )
            return _outcome(book.rows.get(plans[-1].digest))

        return self._add_job("measure", title, work)

    def quantize(self, out: Path) -> Job:
        """Write the current recipe's GGUF file in the background."""
        return self.quantize_plan(self._current_plan(), out)

    def quantize_plan(self, plan: Plan, out: Path) -> Job:
        """Write a plan's GGUF file in the background."""
        model = self._open_model()
        out = out.expanduser().absolute()
        if out == model.path:
            raise WorkbenchError(f"{out} is the base model itself; choose another name")
        if plan.missing_imatrix:
            first = plan.missing_imatrix[0]
            raise WorkbenchError(
                f"{first.effective} needs an importance matrix for {first.name}; choose another type"
            )

        async def work(running: RunningJob) -> str:
            task = WriteModel(
                model.path,
                {planned.name: planned.effective for planned in plan.tensors},
                plan.file_type.number,
                out,
                self.paths.pool,
                self.model.digest or "" if self.model else "",
                self.settings.threads_used,
            )
            done = await run_task(task, running.log, _progress_only(running), running.started)
            return f"wrote {out} ({done.bytes:,} bytes)"

        return self._add_job("quantize", f"write {out.name}", work)

    def cancel(self, job_id: int) -> None:
        """Stop a job, queued or running; what it measured so far is kept."""
        self._queue.cancel(job_id)

    async def wait(self, job: Job) -> Job:
        """Wait until a job has ended, and return how."""
        return await self._queue.wait(job.id)

    def log_tail(self, job_id: int, lines: int = 200) -> str:
        """The last lines of a job's log."""
        return log_tail(self._queue.job(job_id).log, lines)

    # Export

    def script(self) -> str:
        """The shell script with which stock llama.cpp makes the current recipe's file, bit for bit."""
        return self.script_for(self._current_plan())

    def script_for(self, plan: Plan) -> str:
        """The export script of a plan, with what was measured of it in its header."""
        model = self._open_model()
        return export_script(plan, model.path.name, _measured_lines(self.result(plan), self.settings))

    def save_script(self, path: Path) -> None:
        """Write the export script, executable, in place of what was there."""
        write_script(path, self.script())

    # Inside

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    def _open_model(self) -> OpenModel:
        if self.model is None:
            raise WorkbenchError("no model is open; open a GGUF file first")
        return self.model

    def _open_history(self) -> RecipeHistory:
        self._open_model()
        assert self._history is not None
        return self._history

    def _current_plan(self) -> Plan:
        return self._open_history().plan

    def _edit(self, recipe: Recipe, label: str) -> None:
        history = self._open_history()
        try:
            history.edit(resolve(self._open_model().shape, recipe), label)
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        self._tell(Change.RECIPE)

    def _changed_by(self, label: str | None) -> str | None:
        if label is not None:
            self._tell(Change.RECIPE)
        return label

    def _add_job(self, kind: str, title: str, work: Callable[[RunningJob], object], **options: bool) -> Job:
        try:
            return self._queue.add(kind, title, work, **options)  # type: ignore[arg-type]
        except StoreError as error:
            raise WorkbenchError(str(error)) from None

    def _start_fingerprint(self) -> None:
        """Learn the model's SHA-256: from the store where the file is unchanged, else in the background."""
        model = self._open_model()
        self._fingerprint = asyncio.get_running_loop().create_future()
        identity = FileIdentity.of(model.path)
        known = self._store.get_model_digest(identity)
        if known is not None:
            self._fingerprinted(model, known)
            return

        async def work(running: RunningJob) -> str:
            future = self._fingerprint
            try:
                done = await run_task(
                    Fingerprint(model.path), running.log, _progress_only(running), running.started
                )
                assert done.digest is not None
                self._store.put_model_digest(identity, done.digest)
                self._fingerprinted(model, done.digest)
                return f"SHA-256 {done.digest[:12]}…"
            finally:
                if future is not None and not future.done():
                    future.cancel()

        self._add_job("fingerprint", f"fingerprint {model.path.name}", work, at_once=True)

    def _fingerprinted(self, model: OpenModel, digest: str) -> None:
        if self.model is not model or self._fingerprint is None:
            return
        self.model = replace(model, digest=digest)
        self._fingerprint.set_result(digest)
        self._open_book()
        self._tell(Change.MODEL)
        self._tell(Change.RESULTS)

    def _open_book(self) -> ResultBook:
        """The book for the current model and settings; WorkbenchError where the corpus cannot be read."""
        if self._book is None:
            try:
                digest = corpus_digest(corpus_file(self.settings.corpus, self.paths))
            except OSError as error:
                raise WorkbenchError(f"the corpus {error.filename} cannot be read: {error.strerror}") from None
            self._book = ResultBook(self._store, self._open_model(), self.settings, digest)
            self._book.load()
        return self._book

    async def _ready_book(self, running: RunningJob) -> tuple[ResultBook, Path]:
        if self._fingerprint is None:
            raise WorkbenchError("the model was opened without its fingerprint; open it again to measure")
        if not self._fingerprint.done():
            running.progress(Progress("waiting", 0, 1, "the model's fingerprint"))
        try:
            await asyncio.shield(self._fingerprint)
        except asyncio.CancelledError:
            if self._fingerprint.cancelled():
                raise WorkbenchError("the model could not be fingerprinted; open it again") from None
            raise
        return self._open_book(), corpus_file(self.settings.corpus, self.paths)


def write_script(path: Path, script: str) -> None:
    """Write a script to a file and make it executable; WorkbenchError where that fails."""
    _write_text(path, script, executable=True)


def _write_text(path: Path, text: str, *, executable: bool = False) -> None:
    path = path.expanduser().absolute()
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
            if executable:
                mode = temporary.stat().st_mode
                temporary.chmod(mode | (mode & 0o444) >> 2)
    except StoreError as error:
        raise WorkbenchError(str(error)) from None
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be written: {error.strerror}") from None


def _progress_only(running: RunningJob) -> Callable[[Event], None]:
    def hear(event: Event) -> None:
        if isinstance(event, Progress):
            running.progress(event)

    return hear


def _outcome(result: Result | None) -> str:
    if result is None or result.perplexity is None:
        return "measured"
    parts = [f"PPL {result.perplexity:.4f} ± {result.perplexity_se:.4f}"]
    if result.prompt and result.generation:
        parts.append(f"pp {result.prompt.mean:.1f} t/s, tg {result.generation.mean:.1f} t/s")
    return ", ".join(parts)


def _measured_lines(result: Result | None, settings: Settings) -> list[str]:
    """What a script's header says was measured; nothing where nothing was."""
    if result is None or result.perplexity is None or result.partial:
        return []
    lines = [
        f"PPL {result.perplexity:.4f} +/- {result.perplexity_se:.5f} on {settings.corpus_name}, "
        f"{result.chunks} chunks of {settings.n_ctx}"
    ]
    for speed, test in ((result.prompt, f"pp{settings.n_prompt}"), (result.generation, f"tg{settings.n_gen}")):
        if speed:
            lines.append(f"{test} {speed.mean:.2f} +/- {speed.sd:.2f} t/s, {settings.threads_used} threads")
    return lines
