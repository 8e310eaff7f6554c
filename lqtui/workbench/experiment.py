"""How long quality lasts as blocks are lowered one by one: the part of the workbench that measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import singles, units
from lqtui.workbench import lowering
from lqtui.workbench.asked import AskedLowering
from lqtui.workbench.expectations import lowering_stages
from lqtui.workbench.importance import DEFAULT_CANDIDATES, PROBE, Importance, refuse_idle
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.lowering import Lowered
from lqtui.workbench.values import Change, Job

if TYPE_CHECKING:  # NumPy comes with it
    from lqtui.workbench.calibration import Calibration


class LoweringExperiment(Importance):
    """The part of the workbench that lowers blocks in the order of each score."""

    @property
    def lowered(self) -> Mapping[TensorType, Lowered]:
        """The curves that are known of the open model on the texts of now, by the type lowered to."""
        calibration = self._current_calibration()
        return calibration.lowered if calibration else {}

    def measure_lowering(self, to: TensorType = TensorType.Q2_K, steps: int = 8) -> Job:
        """Measure in the background how long quality lasts as blocks are lowered in the order of each score.

        Scores come from the calibration text, and quality is told on the other. A change of IMPORTANCE tells
        whenever the curves have more points.
        """
        shape = self._open_model().shape
        imatrix = self.imatrix
        in_blocks = [tensor for tensor in quantizable_tensors(shape) if tensor.block is not None]
        refuse_idle(in_blocks, [to], imatrix)

        async def work(running: RunningJob) -> str:
            from lqtui.workbench.sensitivity import stages_of_singles

            calibration = await self._calibrated(running, imatrix=imatrix)
            of = [unit for unit in units(shape, Granularity.BLOCK) if unit.block is not None]
            probes = singles(shape, of, PROBE, imatrix)
            settings = calibration.told.settings
            lowered = len(lowering.counts(len(of), steps))
            running.expect(
                [
                    *self._stages_of_estimate(calibration, DEFAULT_CANDIDATES),
                    *stages_of_singles(probes, 1, calibration.singles),
                    *lowering_stages(shape, settings, lowered),
                ]
            )
            await self._estimate(calibration, running, DEFAULT_CANDIDATES)
            await self._measure_singles(calibration, probes, running)
            await self._measure_curves(calibration, to, steps, running)
            curves = calibration.lowered[to].curves
            longest = max(curves, key=lambda curve: curve.share_at_kept or 1.0)
            return f"{len(curves)} orders measured; {longest.label} keeps 90 % longest"

        title, asked = f"lower blocks to {to} one by one", AskedLowering(to, steps)
        return self._add_job("lowering", title, work, asked=asked)

    async def _measure_curves(
        self, calibration: Calibration, to: TensorType, steps: int, running: RunningJob
    ) -> None:
        from lqtui.workbench.measuring import measure_plans

        book, corpus = calibration.told, calibration.told_on
        blocks = book.model.shape.block_count
        counts = lowering.counts(blocks, steps)
        scores, imatrix = calibration.view.block_scores, calibration.imatrix
        plans = lowering.plans_of(book.base, scores, counts, to, imatrix)
        apart = replace(book, named=False, rows={}, _chunks={})

        def show(*, is_whole: bool = False) -> None:
            measured = {
                label: [apart.rows.get(plan.digest) for plan in of_order] for label, of_order in plans.items()
            }
            curves = lowering.curves(measured, counts, blocks)
            calibration.lowered[to] = Lowered(to, book.settings.chunks, curves, is_whole)
            self._tell(Change.IMPORTANCE)

        everything = [plan for of_order in plans.values() for plan in of_order]
        await measure_plans(everything, apart, corpus, self.paths, running, show, fresh=False, speed=False)
        show(is_whole=True)
