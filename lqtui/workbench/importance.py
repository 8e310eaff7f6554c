"""Which tensors deserve the bits: the part of the workbench that estimates and measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Single, singles, units
from lqtui.store.estimates import Estimates, load_estimates, save_estimates
from lqtui.workbench.asked import AskedEstimate, AskedSensitivity
from lqtui.workbench.calibrating import Calibrating, estimates_folder, estimates_key
from lqtui.workbench.expectations import estimating
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.outlook import Stage
from lqtui.workbench.scores import ImportanceView
from lqtui.workbench.values import Change, Job, WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.messages import BlockEstimated, Estimate, Event, Progress, TensorEstimated

if TYPE_CHECKING:  # NumPy comes with them
    from lqtui.workbench.calibration import Calibration

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
PROBE = TensorType.Q4_0
"""The type at which units are measured alone, where nobody chose another."""


class Importance(Calibrating):
    """The part of the workbench that tells which tensors deserve the bits."""

    @property
    def importance(self) -> ImportanceView:
        """What is known of it on the calibration text of the open model; nothing where nothing was asked."""
        calibration = self._current_calibration()
        return calibration.view if calibration else ImportanceView()

    def prediction(self, plan: Plan) -> float | None:
        """The KLD in nats that is predicted of a plan, None where too little is known."""
        calibration = self._current_calibration()
        return calibration.predict(plan) if calibration else None

    def predicted_by_tensor(self, plan: Plan) -> Mapping[str, float]:
        """The share of each tensor that a plan changes in its predicted KLD, in nats; empty if unknown."""
        calibration = self._current_calibration()
        return calibration.predicted_by_tensor(plan) if calibration else {}

    @property
    def mixes_counted(self) -> int:
        """How many measured mixes the predictions are corrected by."""
        calibration = self._current_calibration()
        return calibration.interaction.measured if calibration else 0

    def estimate_importance(self) -> Job:
        """Estimate in the background, in seconds, what each tensor loses and how much each block matters."""
        self._open_model()
        imatrix = self.imatrix

        async def work(running: RunningJob) -> str:
            calibration = await self._calibrated(running, 1, imatrix)
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            return f"{len(calibration.view.tensors)} tensors estimated"

        return self._add_job("estimate", "estimate importance", work, asked=AskedEstimate())

    def measure_sensitivity(
        self, by: Granularity, types: Sequence[TensorType] = (PROBE,), chunks: int = 1
    ) -> Job:
        """Measure in the background what each tensor, or block, costs alone at each of some types.

        The estimates come first, and the order in which to measure from them: the most costly first.
        """
        shape = self._open_model().shape
        imatrix = self.imatrix
        refuse_idle(quantizable_tensors(shape), types, imatrix)

        async def work(running: RunningJob) -> str:
            from lqtui.workbench.sensitivity import stages_of_singles

            calibration = await self._calibrated(running, chunks, imatrix)
            of = units(shape, by)
            wanted = [single for asked in types for single in singles(shape, of, asked, imatrix)]
            running.expect(
                [
                    *self._stages_of_estimate(calibration, DEFAULT_CANDIDATES),
                    *stages_of_singles(wanted, chunks, calibration.singles),
                ]
            )
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            await self._measure_singles(calibration, wanted, running, chunks)
            return f"{len(wanted)} measured alone, the costliest {_costliest(calibration, by)}"

        asked = AskedSensitivity(by, tuple(types), chunks)
        return self._add_job("sensitivity", f"measure each {by} alone", work, asked=asked)

    async def _measure_singles(
        self, calibration: Calibration, wanted: Sequence[Single], running: RunningJob, chunks: int = 1
    ) -> None:
        """Measure singles that are not known, those that are expected to cost most first."""
        from lqtui.workbench.sensitivity import in_order, measure_singles

        def changed() -> None:
            calibration.changed()
            self._remember_asked(calibration)
            self._tell(Change.IMPORTANCE)

        calibration.add_singles(wanted)
        book, corpus = calibration.singles, calibration.corpus.path
        ordered = in_order(wanted, calibration)
        await measure_singles(ordered, chunks, book, corpus, self.paths, running, changed)
        changed()

    def _stages_of_estimate(self, calibration: Calibration, types: Sequence[TensorType]) -> list[Stage]:
        """The stages in which what is not known of the estimates is made."""
        model, settings = calibration.told.model, calibration.told.settings
        kept = calibration.estimates
        if kept is None:
            key = estimates_key(model, settings, calibration.corpus, calibration.imatrix)
            kept = load_estimates(estimates_folder(self.paths), key)
        is_known = kept is not None and set(types) <= set(kept.types)
        return [] if is_known else estimating(model.shape, settings, len(types))

    async def _estimate(
        self, calibration: Calibration, running: RunningJob, types: Sequence[TensorType]
    ) -> None:
        """See that the estimates at some types are there."""
        known = calibration.estimates
        if known is not None and set(types) <= set(known.types):
            return
        model, settings = calibration.told.model, calibration.told.settings
        folder = estimates_folder(self.paths)
        key = estimates_key(model, settings, calibration.corpus, calibration.imatrix)
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
        running.expect(estimating(model.shape, settings, len(types)))
        task = Estimate(
            model.path,
            calibration.corpus.path,
            settings.n_ctx,
            1,
            types,
            settings.threads_used,
            settings.gpu_layers,
            spread=True,
            imatrix=calibration.imatrix,
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


def _costliest(calibration: Calibration, by: Granularity) -> str:
    of = {unit.label for unit in units(calibration.told.model.shape, by)}
    scores = [score for score in calibration.view.scores if score.unit.label in of]
    return max(scores, key=lambda score: score.kld).unit.label if scores else "none"


def refuse_idle(
    tensors: Sequence[TensorInfo], types: Sequence[TensorType], imatrix: Imatrix | None = None
) -> None:
    """Refuse types that change nothing of some tensors, or that cannot be written."""
    for kind in types:
        changes = False
        for tensor in tensors:
            possible = effective_types(tensor, [kind], imatrix)
            if not possible:
                raise WorkbenchError(
                    f"{tensor.name} cannot be lowered to {kind}, which needs an importance matrix, or rows "
                    "that divide into its blocks; choose another type"
                )
            changes |= possible[0] is not tensor.type
        if not changes:
            raise WorkbenchError(f"there is nothing to lower to {kind}: every tensor is {kind} already")
