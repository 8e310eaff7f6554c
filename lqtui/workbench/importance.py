"""Which tensors deserve the bits: the part of the workbench that estimates and measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Single, singles, units
from lqtui.store.estimates import Estimates, EstimatesKey, load_estimates, save_estimates
from lqtui.workbench.corpora import Corpus, corpus_digest, halves
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.running import Running
from lqtui.workbench.scores import ImportanceView
from lqtui.workbench.values import Change, Job, Settings, WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.messages import BlockEstimated, Estimate, Event, Progress, TensorEstimated

if TYPE_CHECKING:  # NumPy comes with them
    from lqtui.workbench.calibration import Calibration
    from lqtui.workbench.lowering import Curve
    from lqtui.workbench.result_book import ResultBook

DEFAULT_CANDIDATES = (
    TensorType.F16,
    TensorType.Q8_0,
    TensorType.Q6_K,
    TensorType.Q5_1,
    TensorType.Q5_K,
    TensorType.Q5_0,
    TensorType.Q4_1,
    TensorType.Q4_K,
    TensorType.Q4_0,
    TensorType.IQ4_NL,
    TensorType.IQ4_XS,
    TensorType.Q3_K,
    TensorType.IQ3_S,
    TensorType.Q2_K,
)
"""The types among which a recipe is sought, where nobody chose others; none needs an importance matrix."""
_BYTES_PER_TOKEN = 12
"""No text has more for each token, so that many bytes hold as many chunks as are asked for."""
MIX_CHUNKS = 4
"""Chunks of the calibration text that a mix is measured on."""
PROBE = TensorType.Q4_0
"""The type at which units are measured alone, where nobody chose another."""


class Importance(Running):
    """The part of the workbench that tells which tensors deserve the bits."""

    curves: tuple[Curve, ...] = ()
    """What `measure_lowering` found last."""
    _calibration: Calibration | None = None

    @property
    def importance(self) -> ImportanceView:
        """What is known of it on the calibration text of the open model; nothing where nothing was asked."""
        calibration = self._current_calibration()
        return calibration.view if calibration else ImportanceView()

    def prediction(self, plan: Plan) -> float | None:
        """The KLD in nats that is predicted of a plan, None where too little is known."""
        calibration = self._current_calibration()
        return calibration.predict(plan) if calibration else None

    def estimate_importance(self) -> Job:
        """Estimate in the background, in seconds, what each tensor loses and how much each block matters."""
        self._open_model()

        async def work(running: RunningJob) -> str:
            calibration = await self._calibrated(running, 1)
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            return f"{len(calibration.view.tensors)} tensors estimated"

        return self._add_job("estimate", "estimate importance", work)

    def measure_sensitivity(
        self, by: Granularity, types: Sequence[TensorType] = (PROBE,), chunks: int = 1
    ) -> Job:
        """Measure in the background what each tensor, or block, costs alone at each of some types.

        The estimates come first, and the order in which to measure from them: the most costly first.
        """
        shape = self._open_model().shape
        _refuse_idle(shape, types)

        async def work(running: RunningJob) -> str:
            calibration = await self._calibrated(running, chunks)
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            of = units(shape, by)
            wanted = [single for asked in types for single in singles(shape, of, asked)]
            await self._measure_singles(calibration, wanted, running)
            return f"{len(wanted)} measured alone, the costliest {_costliest(calibration, by)}"

        return self._add_job("sensitivity", f"measure each {by} alone", work)

    def measure_lowering(self, to: TensorType = TensorType.Q2_K, steps: int = 8) -> Job:
        """Measure in the background how long quality lasts as blocks are lowered in the order of each score.

        Scores come from the calibration text, and quality is told on the other.
        """
        shape = self._open_model().shape

        async def work(running: RunningJob) -> str:
            calibration = await self._calibrated(running)
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            of = [unit for unit in units(shape, Granularity.BLOCK) if unit.block is not None]
            await self._measure_singles(calibration, singles(shape, of, PROBE), running)
            self.curves = tuple(await self._measure_curves(calibration, to, steps, running))
            self._tell(Change.IMPORTANCE)
            longest = max(self.curves, key=lambda curve: curve.share_at_kept or 1.0)
            return f"{len(self.curves)} orders measured; {longest.label} keeps 90 % longest"

        return self._add_job("lowering", f"lower blocks to {to} one by one", work)

    async def _measure_curves(
        self, calibration: Calibration, to: TensorType, steps: int, running: RunningJob
    ) -> list[Curve]:
        from lqtui.workbench import lowering
        from lqtui.workbench.measuring import measure_plans

        shape, view = calibration.told.model.shape, calibration.view
        blocks = shape.block_count
        lowered = lowering.counts(blocks, steps)
        orders = lowering.orders(view.block_scores, blocks)
        plans = {label: lowering.lowered_plans(shape, order, lowered, to) for label, order in orders.items()}
        book, corpus = calibration.told, calibration.told_on
        first = next(iter(orders))
        plans[f"{first}, {lowering.PRUNED}"] = lowering.pruned_plans(book.base, orders[first], lowered)
        apart = replace(book, named=False, rows={}, _chunks={})
        everything = [plan for of_order in plans.values() for plan in of_order]
        await measure_plans(
            everything, apart, corpus, self.paths, running, lambda: None, fresh=False, speed=False
        )
        measured = {
            label: [apart.rows.get(plan.digest) for plan in of_order] for label, of_order in plans.items()
        }
        return lowering.curves(measured, lowered, apart.rows[book.base.digest], blocks)

    async def _measure_singles(
        self, calibration: Calibration, wanted: Sequence[Single], running: RunningJob
    ) -> None:
        """Measure singles that are not known, those that are expected to cost most first."""
        from lqtui.workbench.sensitivity import in_order, measure_singles

        def changed() -> None:
            calibration.changed()
            self._tell(Change.IMPORTANCE)

        calibration.add_singles(wanted)
        book, corpus = calibration.singles, calibration.corpus.path
        await measure_singles(in_order(wanted, calibration), book, corpus, self.paths, running, changed)
        changed()

    async def _estimate(
        self, calibration: Calibration, running: RunningJob, types: Sequence[TensorType]
    ) -> None:
        """See that the estimates at some types are there."""
        known = calibration.estimates
        if known is not None and set(types) <= set(known.types):
            return
        model, settings = calibration.told.model, calibration.told.settings
        key = EstimatesKey(
            model.digest or "", calibration.singles.corpus_digest, settings.n_ctx, 1, model.engine
        )
        folder = self.paths.cache / "estimates"
        kept = load_estimates(folder, key)
        if kept is None or not set(types) <= set(kept.types):
            asked = list(dict.fromkeys([*types, *(kept.types if kept else ())]))
            kept = await self._run_estimate(calibration, running, asked)
            save_estimates(folder, key, kept)
        calibration.estimates = kept
        calibration.changed()
        lies_on = calibration.view.once_quantized
        if lies_on is not None:
            running.notice(
                f"the weights of {model.shape.name} lie on the grid of {lies_on} already: it was made from a "
                f"file quantized to that, which seems to cost nothing here"
            )
        self._tell(Change.IMPORTANCE)

    async def _run_estimate(
        self, calibration: Calibration, running: RunningJob, types: list[TensorType]
    ) -> Estimates:
        model, settings = calibration.told.model, calibration.told.settings
        task = Estimate(
            model.path,
            calibration.corpus.path,
            settings.n_ctx,
            1,
            types,
            settings.threads_used,
            settings.gpu_layers,
            spread=True,
        )
        tensors, blocks = [], []

        def hear(event: Event) -> None:
            match event:
                case TensorEstimated():
                    tensors.append(event.estimate)
                case BlockEstimated():
                    blocks.append(event.estimate)
                case Progress():
                    running.progress(event)
                case _:
                    pass

        await run_task(task, running.log, hear, running.started)
        return Estimates(tuple(tensors), tuple(blocks), tuple(types))

    def _current_calibration(self) -> Calibration | None:
        """The calibration, as long as model and settings are those that it is of."""
        known, settings = self._calibration, self.settings
        if known is None or self.model is None or known.told.model.digest != self.model.digest:
            return None
        then = known.told.settings
        same = ("corpus", "calibration", "n_ctx", "gpu_layers")
        return known if all(getattr(then, name) == getattr(settings, name) for name in same) else None

    async def _calibrated(self, running: RunningJob, chunks: int = 1) -> Calibration:
        """The calibration of the open model, its singles on at least so many chunks.

        What a job then does goes by the settings and texts of this moment, whatever is chosen meanwhile.
        """
        from lqtui.workbench.calibration import Calibration

        told, told_on = await self._ready_book(running)
        text = self._calibration_text(told.settings, told_on)
        known = self._current_calibration()
        if known is None:
            known = self._calibration = Calibration(
                text,
                self._calibration_book(text, chunks),
                self._calibration_book(text, MIX_CHUNKS),
                told,
                told_on,
            )
        elif known.singles.settings.chunks < chunks:
            known.measure_singles_in(self._calibration_book(text, chunks))
        known.told, known.told_on = told, told_on
        return known

    def _calibration_text(self, settings: Settings, told_on: Path) -> Corpus:
        """The text to fit on: the person's own, or the second half of the one that results are told on.

        It is taken in chunks from all over it. Raises WorkbenchError where results are told on that text too.
        """
        chosen = settings.calibration
        if chosen is not None:
            if corpus_digest(chosen) == corpus_digest(told_on):
                raise WorkbenchError(f"{chosen} cannot be fitted on and told on; choose two different texts")
            return Corpus(chosen.stem, chosen)
        reach = settings.chunks * settings.n_ctx * _BYTES_PER_TOKEN
        if settings.spread or reach > told_on.stat().st_size // 2:
            raise WorkbenchError(
                f"{self.corpus_name} is too short to fit on its second half and tell {settings.chunks} "
                f"chunks of {settings.n_ctx} on its first; choose fewer chunks, or a text to fit on"
            )
        return halves(Corpus(self.corpus_name, told_on), self.paths)[1]

    def _calibration_book(self, corpus: Corpus, chunks: int) -> ResultBook:
        from lqtui.workbench.result_book import ResultBook

        settings = replace(self.settings, corpus=corpus.path, chunks=chunks, spread=True, divergence=True)
        digest = f"{corpus_digest(corpus.path)} spread"
        return ResultBook(self._store, self._open_model(), settings, digest, named=False)


def _costliest(calibration: Calibration, by: Granularity) -> str:
    of = {unit.label for unit in units(calibration.told.model.shape, by)}
    scores = [score for score in calibration.view.scores if score.unit.label in of]
    return max(scores, key=lambda score: score.kld).unit.label if scores else "none"


def _refuse_idle(shape: ModelShape, types: Sequence[TensorType]) -> None:
    """Refuse types that change nothing of a model, or that cannot be written."""
    for kind in types:
        changes = False
        for tensor in quantizable_tensors(shape):
            possible = effective_types(tensor, [kind])
            if not possible:
                raise WorkbenchError(
                    f"{tensor.name} cannot be lowered to {kind}: it needs an importance matrix, or other rows"
                )
            changes |= possible[0] is not tensor.type
        if not changes:
            raise WorkbenchError(f"there is nothing to lower to {kind}: every tensor is {kind} already")
