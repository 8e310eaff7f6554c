"""Measuring recipes: ask the store first, the engine for what is missing, and keep all that it answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lqtui.recipe.recipe import Plan
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.store.results import ChunkScores, ResultStore
from lqtui.workbench.expectations import Scored, scoring, timing
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import files_of
from lqtui.workbench.outlook import Stage
from lqtui.workbench.quantized_files import check_files
from lqtui.workbench.result_book import Known, ResultBook
from lqtui.worker.client import run_task
from lqtui.worker.messages import (
    ChunkScored,
    CorpusRead,
    Event,
    Measure,
    Progress,
    RecipeTypes,
    SpeedMeasured,
    UntilClear,
)

_SCORING = ("waiting", "quantizing", "loading", "scoring")
"""The stages in which all recipes are scored together."""
_TIMING = ("loading", "prompt speed", "generation speed")
"""The stages for each recipe whose speed is measured."""


_SETTLE_SECONDS = 5.0
"""So much may a power cut take of a measurement that runs; nothing of one that has ended."""


class Wanted(NamedTuple):
    """A plan, and what is to be measured of it."""

    plan: Plan
    recipe: RecipeTypes


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
    anew: dict[str, Known] | None = None,
    until_clear: float | None = None,
    show: Callable[[Progress], None] | None = None,
) -> None:
    """Measure what the store does not know of some plans (with `fresh`: all of it), in one child process.

    Where recipes are compared with the base model, that is scored too. A measurement that was stopped goes on
    where it was; one that is `fresh` does so with what it notes in `anew`. With `until_clear`, a confidence,
    scoring ends as soon as it is clear which of two plans is better. `changed` is called whenever the book
    has new rows. Progress goes to `show` where that tells of more than these plans. Raises JobFailed; what
    was measured by then is kept.
    """
    if fresh and anew is None:
        anew = {}
    missing = _missing(plans, book, anew, speed=speed)
    if damaged := book.store.take_damaged():
        count = "a measured chunk was" if damaged == 1 else f"measured chunks of {damaged} recipes were"
        running.notice(
            f"{count} found damaged in the results database, and what lies behind is measured again"
        )
    changed()
    if not missing:
        return
    asked = [wanted.plan for wanted in missing]
    running.expect(stages_of(missing, book))
    copied = [plan.file for plan in asked]
    await check_files(copied, book.store, running.log, running.progress_of, running.started)
    settings = book.settings
    task = Measure(
        model=book.model.path,
        recipes=[wanted.recipe for wanted in missing],
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
        other_threads=settings.other_threads,
        gpu_layers=settings.gpu_layers,
        divergence=settings.divergence,
        spread=settings.spread,
        memory=settings.memory_used,
        until_clear=_until_clear(until_clear, plans, missing, book) if until_clear else None,
        files=files_of(asked),
    )
    hearing = _Hearing(missing, book, running, changed, show, anew)
    try:
        async with _settled(book.store):
            await run_task(task, running.log, hearing.hear, running.started)
    finally:
        with contextlib.suppress(StoreError):  # why it stopped is what people need to know
            for wanted in missing:  # what is known beyond the chunks that were measured anew
                book.recall(wanted.plan)
        changed()


@contextlib.asynccontextmanager
async def _settled(store: ResultStore) -> AsyncIterator[None]:
    """Have what is measured meanwhile outlive a power cut, now and then and at the end."""

    async def now_and_then() -> None:
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            await asyncio.to_thread(store.settle)

    settling = asyncio.create_task(now_and_then())
    try:
        yield
    finally:
        settling.cancel()
        await asyncio.to_thread(store.settle)


def stages_of(missing: Sequence[Wanted], book: ResultBook) -> list[Stage]:
    """The stages in which what is missing of some plans is measured."""
    shape, settings = book.model.shape, book.settings
    scored = [
        Scored(wanted.plan, book.wanted - wanted.recipe.chunks_known)
        for wanted in missing
        if wanted.recipe.perplexity
    ]
    timed = [wanted.plan for wanted in missing if wanted.recipe.speed]
    of_scoring = scoring(shape, settings, scored) if scored else []
    return [*of_scoring, *timing(shape, settings, timed, alone=not scored)]


def _missing(
    plans: Sequence[Plan], book: ResultBook, anew: dict[str, Known] | None, *, speed: bool
) -> list[Wanted]:
    """What is to be measured, of each different plan and of the base model that they are compared with.

    Where it is measured anew, nothing is known but what was so by now.
    """
    asked_for = {plan.digest: plan for plan in plans}
    all_plans = list(asked_for.values())
    if book.settings.divergence and book.base.digest not in asked_for:
        all_plans.append(book.base)
    missing = []
    for plan in all_plans:
        known = book.recall(plan)
        if anew is not None:
            known = anew.setdefault(plan.digest, Known(0, False, False))
        recipe = RecipeTypes(
            plan.encodings,
            perplexity=not known.all_chunks,
            speed=speed and not known.speed and plan.digest in asked_for,
            chunks_known=known.chunks,
            pruned=plan.pruned,
        )
        if recipe.perplexity or recipe.speed:
            missing.append(Wanted(plan, recipe))
    return missing


def _until_clear(
    confidence: float, plans: Sequence[Plan], missing: Sequence[Wanted], book: ResultBook
) -> UntilClear:
    """How the child knows when two plans can be told apart."""
    indices = {wanted.plan.digest: index for index, wanted in enumerate(missing)}
    one, other = (indices.get(plan.digest) for plan in plans)
    known = [book.chunk_means(plan) for plan in plans]
    for means, index in zip(known, (one, other), strict=True):
        if index is not None:
            del means[missing[index].recipe.chunks_known :]
    return UntilClear(confidence, (one, other), (known[0], known[1]))


@dataclass
class _Hearing:
    """Puts what a child tells of some plans into the book."""

    missing: Sequence[Wanted]
    book: ResultBook
    running: RunningJob
    changed: Callable[[], None]
    show: Callable[[Progress], None] | None
    anew: dict[str, Known] | None

    def __post_init__(self) -> None:
        """Number the stages: first those of scoring, once for all recipes, then those of each speed."""
        self._scoring = len(_SCORING) if any(wanted.recipe.perplexity for wanted in self.missing) else 0
        timed = [index for index, wanted in enumerate(self.missing) if wanted.recipe.speed]
        self._timing = {index: self._scoring + len(_TIMING) * i for i, index in enumerate(timed)}

    def hear(self, event: Event) -> None:
        """Take an event of the child's."""
        match event:
            case Progress():
                if event.recipe is not None:
                    self.running.subject(self.missing[event.recipe].plan.recipe.name)
                if self.show is not None:
                    self.show(event)
                    return
                stages = self._scoring + len(_TIMING) * len(self._timing)
                self.running.progress(event, self._stage(event), stages)
                return
            case CorpusRead():
                self.book.note_corpus(event.chunks)
            case ChunkScored():
                plan = self.missing[event.recipe].plan
                self.book.add_chunk(plan, event.chunk, _scores(event))
                self.running.subject(plan.recipe.name if len(self.missing) > 1 else "")
                if self.anew is not None:
                    done = event.chunk + 1
                    self.anew[plan.digest] = Known(done, done >= self.book.wanted, False)
            case SpeedMeasured():
                plan = self.missing[event.recipe].plan
                self.book.add_speed(plan, event)
                if self.anew is not None and event.n_gen:  # the second of two
                    self.anew[plan.digest] = self.anew[plan.digest]._replace(speed=True)
            case _:
                return
        self.changed()

    def _stage(self, event: Progress) -> int:
        if event.recipe is None:
            return _SCORING.index(event.stage)
        within = _TIMING.index(event.stage) if event.stage in _TIMING else 0
        return self._timing[event.recipe] + within


def _scores(event: ChunkScored) -> ChunkScores:
    return ChunkScores(
        np.frombuffer(event.nll, np.float64),
        np.frombuffer(event.kld, np.float32) if event.kld else None,
        np.frombuffer(event.same_top, np.bool_) if event.same_top else None,
        event.seconds,
    )
