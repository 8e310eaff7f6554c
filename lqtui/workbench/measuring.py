"""Measuring recipes: ask the store first, the engine for what is missing, and keep all that it answers."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.measure.perplexity import paired_difference, perplexity
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.store.results import (
    Measurement,
    MeasurementKey,
    RecipeName,
    ResultStore,
    Throughput,
    ThroughputKey,
)
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.values import OpenModel, Result, Settings, Speed
from lqtui.worker.client import run_task
from lqtui.worker.messages import (
    ChunkScored,
    CorpusRead,
    Event,
    Measure,
    Progress,
    RecipeTypes,
    SpeedMeasured,
)

_STAGES = ("waiting", "quantizing", "loading", "perplexity", "prompt speed", "generation speed")


class Known(NamedTuple):
    """What the store knows of a plan: chunks scored, seconds they took, and whether anything is missing."""

    chunks: int
    seconds: float
    perplexity: bool
    speed: bool


_NOTHING = Known(0, 0.0, False, False)


@dataclass
class ResultBook:
    """What is known of one model under one set of settings; the store behind it outlives the session."""

    store: ResultStore
    model: OpenModel
    settings: Settings
    corpus_digest: str
    rows: dict[str, Result] = field(default_factory=dict)
    _nll: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _chunks_there_are: int | None = None
    """How many chunks the corpus fills, once that is known to be fewer than the settings ask for."""

    def __post_init__(self) -> None:
        """Know the base model's own digest, against which every row is compared."""
        shape = self.model.shape
        self._base_digest = resolve(shape, base_recipe(shape)).digest

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model, which must be known by now."""
        assert self.model.digest is not None
        return self.model.digest

    @property
    def _engine(self) -> str:
        """The engine, and how much of a model it was told to offload where that is not all."""
        layers = self.settings.gpu_layers
        return self.model.engine if layers < 0 else f"{self.model.engine}, {layers} GPU layers"

    def rename(self, plan: Plan) -> None:
        """A recipe got another name: what is known of it goes by that."""
        if plan.digest in self.rows:
            self.rows[plan.digest] = replace(self.rows[plan.digest], name=plan.recipe.name)
            self._keep_name(plan)

    def load(self) -> None:
        """Read everything that the store knows under these settings."""
        shape = self.model.shape
        for named in self.store.names_for(self.model_digest):
            try:
                plan = resolve(shape, parse_recipe(named.recipe_toml, shape, named.name))
            except RecipeError:  # written by another version of lqtui; the measurement stays in the store
                continue
            if plan.digest == named.tensors_digest:
                self.recall(plan)

    def recall(self, plan: Plan) -> Known:
        """Take what the store knows of a plan into the rows, and tell what that is."""
        wanted = self._chunks_there_are or self.settings.chunks
        key = self._key(plan, wanted)
        measured = self.store.get_measurement(key) or self.store.get_longest_measurement(key)
        chunks = min(measured.key.chunks, wanted) if measured else 0
        if measured is not None:
            took = measured.seconds if measured.key.chunks == chunks else None
            self._note_nll(plan, measured.token_nll[:chunks], seconds=took, partial=chunks < wanted)
        speeds = [self.store.get_throughput(key) for key in self._speed_keys(plan)]
        for speed in speeds:
            if speed is not None:
                self._note_speed(plan, speed)
        seconds = measured.seconds if measured else 0.0
        return Known(chunks, seconds, chunks == wanted, all(speed is not None for speed in speeds))

    def add_chunk(self, plan: Plan, number: int, nll: NDArray[np.float64]) -> None:
        """A chunk of a plan is scored, after those with lower numbers; the row shows the chunks so far."""
        known = self._nll.get(plan.digest)
        rows = nll[None] if known is None or not number else np.concatenate((known[:number], nll[None]))
        self._note_nll(plan, rows, seconds=None, partial=True)

    def keep_perplexity(self, plan: Plan, seconds: float) -> None:
        """All chunks of a plan are scored: store them."""
        chunks = len(self._nll[plan.digest])
        if chunks < self.settings.chunks:
            self._chunks_there_are = chunks
        self._keep_chunks(plan, seconds)
        self._note_nll(plan, self._nll[plan.digest], seconds=seconds, partial=False)

    def keep_partial(self, plan: Plan, seconds: float) -> None:
        """A measurement has stopped: store the chunks that are scored by then, for it to go on after them."""
        row = self.rows.get(plan.digest)
        if row is not None and row.partial:
            self._keep_chunks(plan, seconds)
            self.recall(plan)  # what was measured anew and not to the end has not replaced what was known

    def _keep_chunks(self, plan: Plan, seconds: float) -> None:
        rows = self._nll[plan.digest]
        key, value = self._key(plan, len(rows)), perplexity(rows)
        self.store.put_measurement(
            Measurement(key, value.value, value.se, rows, seconds, plan.file_bytes, plan.bits_per_weight)
        )
        self._keep_name(plan)

    def keep_speed(self, plan: Plan, event: SpeedMeasured) -> None:
        """A speed of a plan is measured: store it."""
        samples = tuple(event.tokens_per_second)
        key = self._speed_key(plan, event.n_prompt, event.n_gen)
        sd = statistics.stdev(samples) if len(samples) > 1 else 0.0
        throughput = Throughput(key, statistics.fmean(samples), sd, samples)
        self.store.put_throughput(throughput)
        self._keep_name(plan)
        self._note_speed(plan, throughput)

    def _note_nll(
        self, plan: Plan, rows: NDArray[np.float64], *, seconds: float | None, partial: bool
    ) -> None:
        self._nll[plan.digest] = rows
        value = perplexity(rows)
        self.rows[plan.digest] = replace(
            self._row(plan),
            perplexity=value.value,
            perplexity_se=value.se,
            chunks=len(rows),
            seconds=seconds,
            partial=partial,
        )
        for digest in self.rows if plan.digest == self._base_digest else [plan.digest]:
            self._compare_with_base(digest)

    def _note_speed(self, plan: Plan, throughput: Throughput) -> None:
        speed = Speed(throughput.mean, throughput.sd, len(throughput.samples))
        row = self._row(plan)
        is_prompt = throughput.key.n_prompt > 0
        self.rows[plan.digest] = replace(row, prompt=speed) if is_prompt else replace(row, generation=speed)

    def _row(self, plan: Plan) -> Result:
        row = self.rows.get(plan.digest)
        name = plan.recipe.name
        if row is not None:
            return replace(row, name=name)
        types = {planned.name: planned.effective for planned in plan.tensors}
        return Result(name, plan.digest, plan.file_bytes, plan.bits_per_weight, types)

    def _compare_with_base(self, digest: str) -> None:
        """Set a row's change of perplexity against the base, over all of the row's chunks.

        There is none while the base has fewer: it would not be the change of the perplexity beside it.
        """
        base, rows = self._nll.get(self._base_digest), self._nll.get(digest)
        if digest == self._base_digest:
            self.rows[digest] = replace(self.rows[digest], delta_percent=0.0, delta_percent_se=0.0)
            return
        if base is None or rows is None:
            return
        if len(base) < len(rows):
            self.rows[digest] = replace(self.rows[digest], delta_percent=None, delta_percent_se=None)
            return
        difference = paired_difference(rows, base[: len(rows)])
        ratio = float(np.exp(difference.mean))
        self.rows[digest] = replace(
            self.rows[digest],
            delta_percent=100 * (ratio - 1),
            delta_percent_se=100 * ratio * difference.se,
        )

    def _key(self, plan: Plan, chunks: int) -> MeasurementKey:
        return MeasurementKey(
            self.model_digest,
            plan.digest,
            self.corpus_digest,
            self.settings.n_ctx,
            chunks,
            self._engine,
        )

    def _speed_keys(self, plan: Plan) -> tuple[ThroughputKey, ThroughputKey]:
        return (
            self._speed_key(plan, self.settings.n_prompt, 0),
            self._speed_key(plan, 0, self.settings.n_gen),
        )

    def _speed_key(self, plan: Plan, n_prompt: int, n_gen: int) -> ThroughputKey:
        return ThroughputKey(
            self.model_digest,
            plan.digest,
            self._engine,
            self.settings.threads_used,
            n_prompt,
            n_gen,
            self.settings.repetitions,
        )

    def _keep_name(self, plan: Plan) -> None:
        toml = format_recipe(plan.recipe, plan.shape)
        self.store.put_name(RecipeName(self.model_digest, plan.digest, plan.recipe.name, toml))


async def measure_plans(
    plans: Sequence[Plan],
    book: ResultBook,
    corpus: Path,
    paths: Paths,
    running: RunningJob,
    changed: Callable[[], None],
    *,
    fresh: bool,
    speed: bool,
) -> None:
    """Measure what the store does not know of some plans (with `fresh`: all of it), in one child process.

    A measurement that was stopped goes on where it was. `changed` is called whenever the book has new rows.
    Raises JobFailed; what was measured by then is kept.
    """
    recipes, missing, seconds = [], [], []
    for plan in {plan.digest: plan for plan in plans}.values():
        known = _NOTHING if fresh else book.recall(plan)
        wanted = RecipeTypes(
            {planned.name: planned.effective for planned in plan.tensors},
            perplexity=not known.perplexity,
            speed=speed and not known.speed,
            chunks_known=known.chunks,
        )
        if wanted.perplexity or wanted.speed:
            recipes.append(wanted)
            missing.append(plan)
            seconds.append(known.seconds)
    changed()
    if not missing:
        return
    settings = book.settings
    task = Measure(
        model=book.model.path,
        recipes=recipes,
        pool=paths.pool,
        model_digest=book.model_digest,
        label=book.model.shape.name,
        corpus=corpus,
        n_ctx=settings.n_ctx,
        chunks=settings.chunks,
        repetitions=settings.repetitions,
        n_prompt=settings.n_prompt,
        n_gen=settings.n_gen,
        threads=settings.threads_used,
        gpu_layers=settings.gpu_layers,
        divergence=False,
    )
    hearing = _Hearing(missing, seconds, book, running, changed)
    try:
        await run_task(task, running.log, hearing.hear, running.started)
    except BaseException:
        with contextlib.suppress(StoreError):  # the reason why it stopped is what people need to know
            hearing.keep_partial()
        raise


@dataclass
class _Hearing:
    """Puts what a child tells of some plans into the book, and keeps what it has told if it stops."""

    plans: Sequence[Plan]
    seconds: list[float]
    """What has been spent on each plan, earlier jobs included."""
    book: ResultBook
    running: RunningJob
    changed: Callable[[], None]
    _chunks: int = 0
    _begun: set[int] = field(default_factory=set)

    def hear(self, event: Event) -> None:
        match event:
            case Progress():
                stage = event.recipe * len(_STAGES) + _STAGES.index(event.stage)
                self.running.progress(event, stage, len(_STAGES) * len(self.plans))
                return
            case CorpusRead():
                self._chunks = event.chunks
            case ChunkScored():
                self._begun.add(event.recipe)
                self.seconds[event.recipe] += event.seconds
                plan = self.plans[event.recipe]
                self.book.add_chunk(plan, event.chunk, np.frombuffer(event.nll, np.float64))
                if event.chunk + 1 == self._chunks:
                    self.book.keep_perplexity(plan, self.seconds[event.recipe])
            case SpeedMeasured():
                self.book.keep_speed(self.plans[event.recipe], event)
            case _:
                return
        self.changed()

    def keep_partial(self) -> None:
        for index in self._begun:
            self.book.keep_partial(self.plans[index], self.seconds[index])
        self.changed()
