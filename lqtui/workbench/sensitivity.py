"""Measuring what each part of a model costs alone, in batches, the most telling ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lqtui.recipe.units import Single
from lqtui.store.paths import Paths
from lqtui.workbench.calibration import Calibration
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.measuring import measure_plans
from lqtui.workbench.result_book import ResultBook
from lqtui.workbench.scores import output_of
from lqtui.worker.messages import Progress

_BATCH = 32
"""Singles measured in one process: what comes early in the order is known early."""


async def measure_singles(
    wanted: Sequence[Single],
    book: ResultBook,
    corpus: Path,
    paths: Paths,
    running: RunningJob,
    changed: Callable[[], None],
) -> None:
    """Measure singles, in their order, on the chunks that the book's settings ask for.

    What the store knows is not measured again. Raises JobFailed; what was measured by then is kept.
    """
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]

        def show(event: Progress, start: int = start, count: int = len(batch)) -> None:
            if event.stage != "perplexity":
                running.progress(event)
                return
            done = start + count * event.done / max(1, event.total)
            running.progress(Progress("sensitivity", round(done), len(wanted), "measured"))

        plans = [single.plan for single in batch]
        await measure_plans(plans, book, corpus, paths, running, changed, fresh=False, speed=False, show=show)


def in_order(wanted: Sequence[Single], calibration: Calibration) -> list[Single]:
    """Singles in the order in which they tell most: the highest estimated cost first, by what is known now.

    Where nothing was measured, the estimated error as a share of the tensor's output stands for the cost.
    """
    view, costs = calibration.view(), calibration.costs

    def expected(single: Single) -> float:
        total = 0.0
        for name in single.unit.names:
            type_ = single.plan.by_name[name].effective
            known = costs.costs.get(name, {}).get(type_)
            output = output_of(view.tensors[name]) if name in view.tensors else None
            if known is None and output is not None and output.power:
                known = output.errors.get(type_, 0.0) / output.power
            total += known or 0.0
        return total

    return sorted(wanted, key=expected, reverse=True)
