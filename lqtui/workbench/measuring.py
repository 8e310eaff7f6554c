"""Measuring recipes: ask the store first, the engine for what is missing, and keep all that it answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lqtui.measure.perplexity import paired_difference, perplexity
from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.errors import RecipeError
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
    Event,
    Measure,
    PerplexityMeasured,
    Progress,
    RecipeTypes,
    SpeedMeasured,
)

_STAGES = ("waiting", "quantizing", "loading", "perplexity", "prompt speed", "generation speed")


@dataclass
class ResultBook:
    """What is known of one model under one set of settings; the store behind it outlives the session."""

    store: ResultStore
    model: OpenModel
    settings: Settings
    corpus_digest: str
    rows: dict[str, Result] = field(default_factory=dict)
    _nll: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Know the base model's own digest, against which every row is compared."""
        shape = self.model.shape
        self._base_digest = resolve(shape, base_recipe(shape)).digest

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model, which must be known by now."""
        assert self.model.digest is not None
        return self.model.digest

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

    def recall(self, plan: Plan) -> tuple[bool, bool]:
        """Take what the store knows of a plan into the rows; tell whether perplexity and speed are there."""
        measured = self.store.get_measurement(self._key(plan))
        speeds = [self.store.get_throughput(key) for key in self._speed_keys(plan)]
        if measured is not None:
            self._note_nll(plan, measured.token_nll, seconds=measured.seconds, partial=False)
        for speed in speeds:
            if speed is not None:
                self._note_speed(plan, speed)
        return measured is not None, all(speed is not None for speed in speeds)

    def begin(self, plan: Plan) -> None:
        """Forget what this session holds of a plan's perplexity, which is to be measured anew."""
        self._nll.pop(plan.digest, None)

    def add_chunk(self, plan: Plan, nll: NDArray[np.float64]) -> None:
        """One more chunk of a plan is scored; the row shows the chunks so far."""
        known = self._nll.get(plan.digest)
        rows = nll[None] if known is None else np.concatenate((known, nll[None]))
        self._note_nll(plan, rows, seconds=None, partial=True)

    def keep_perplexity(self, plan: Plan, seconds: float) -> None:
        """All chunks of a plan are scored: store them."""
        rows = self._nll[plan.digest]
        value = perplexity(rows)
        key = msgspec.structs.replace(self._key(plan), chunks=len(rows))
        self.store.put_measurement(
            Measurement(
                key, value.value, value.se, rows, seconds, plan.file_bytes, plan.bits_per_weight
            )
        )
        self._keep_name(plan)
        self._note_nll(plan, rows, seconds=seconds, partial=False)

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
        which = {"prompt": speed} if throughput.key.n_prompt else {"generation": speed}
        self.rows[plan.digest] = replace(self._row(plan), **which)

    def _row(self, plan: Plan) -> Result:
        row = self.rows.get(plan.digest)
        name = plan.recipe.name
        if row is not None:
            return replace(row, name=name)
        types = {planned.name: planned.effective for planned in plan.tensors}
        return Result(name, plan.digest, plan.file_bytes, plan.bits_per_weight, types)

    def _compare_with_base(self, digest: str) -> None:
        """Set a row's change of perplexity against the base, over the chunks that both have by now."""
        base, rows = self._nll.get(self._base_digest), self._nll.get(digest)
        if base is None or rows is None or digest == self._base_digest:
            return
        shared = min(len(base), len(rows))
        difference = paired_difference(rows[:shared], base[:shared])
        ratio = float(np.exp(difference.mean))
        self.rows[digest] = replace(
            self.rows[digest],
            delta_percent=100 * (ratio - 1),
            delta_percent_se=100 * ratio * difference.se,
        )

    def _key(self, plan: Plan) -> MeasurementKey:
        return MeasurementKey(
            self.model_digest,
            plan.digest,
            self.corpus_digest,
            self.settings.n_ctx,
            self.settings.chunks,
            self.model.engine,
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
            self.model.engine,
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

    `changed` is called whenever the book has new rows. Raises JobFailed; what was measured by then is kept.
    """
    recipes, missing = [], []
    for plan in plans:
        known, known_speed = (False, False) if fresh else book.recall(plan)
        wanted = RecipeTypes(
            {planned.name: planned.effective for planned in plan.tensors},
            perplexity=not known,
            speed=speed and not known_speed,
        )
        if wanted.perplexity or wanted.speed:
            recipes.append(wanted)
            missing.append(plan)
        if wanted.perplexity:
            book.begin(plan)
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
    )

    def hear(event: Event) -> None:
        match event:
            case Progress():
                stage = event.recipe * len(_STAGES) + _STAGES.index(event.stage)
                running.progress(event, stage, len(_STAGES) * len(missing))
            case ChunkScored():
                book.add_chunk(missing[event.recipe], np.frombuffer(event.nll, np.float64))
                changed()
            case SpeedMeasured():
                book.keep_speed(missing[event.recipe], event)
                changed()
            case PerplexityMeasured():
                book.keep_perplexity(missing[event.recipe], event.seconds)
                changed()
            case _:
                pass

    await run_task(task, running.log, hear, running.started)
