"""Measuring what each part of a model costs alone, in batches, the most telling ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lqtui.recipe.units import Single
from lqtui.store.paths import Paths
from lqtui.workbench.calibration import Calibration
from lqtui.workbench.expectations import Scored, scoring
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.measuring import measure_plans
from lqtui.workbench.outlook import Stage
from lqtui.workbench.result_book import ResultBook
from lqtui.workbench.scores import output_of
from lqtui.workbench.values import Result
from lqtui.worker.messages import Progress

_BATCH = 64
"""Singles measured in one process: what comes early in the order is known early."""
_KNOWN_WITHIN = 0.25
_NEGLIGIBLE = 0.05


async def measure_singles(
    wanted: Sequence[Single],
    most: int,
    book: ResultBook,
    corpus: Path,
    paths: Paths,
    running: RunningJob,
    changed: Callable[[], None],
) -> None:
    """Measure singles, in their order, on so many chunks at most, of which the book knows no fewer.

    All get one chunk, and then only those that are not clear yet get more, twice as many each round. What the
    store knows is not measured again. Raises JobFailed; what was measured by then is kept.
    """
    left = list(wanted)
    running.expect(stages_of_singles(wanted, most, book))
    for chunks in _rounds(most):
        round_book = replace(book, settings=replace(book.settings, chunks=chunks), rows={}, _chunks={})
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            show = _Shown(running, chunks, start, len(batch), len(left))
            try:
                await measure_plans(
                    [single.plan for single in batch],
                    round_book,
                    corpus,
                    paths,
                    running,
                    lambda: None,
                    fresh=False,
                    speed=False,
                    show=show,
                )
            finally:
                for plan in (book.base, *(single.plan for single in batch)):
                    book.recall(plan)
                changed()
        rows = [book.rows[single.plan.digest] for single in left]
        usual = sum(row.kld or 0.0 for row in rows) / max(1, len(rows))
        left = [single for single, row in zip(left, rows, strict=True) if not is_clear(row, usual)]


def stages_of_singles(wanted: Sequence[Single], most: int, book: ResultBook) -> list[Stage]:
    """The stages in which singles are measured, as far as they are not known.

    Where all may get more chunks than the first, half of those that are left are taken to get them.
    """
    shape, settings = book.model.shape, book.settings
    left = [single.plan for single in wanted if book.recall(single.plan).chunks < 1]
    stages: list[Stage] = []
    before = 0
    for chunks in _rounds(most):
        for start in range(0, len(left), _BATCH):
            batch = [Scored(plan, chunks - before) for plan in left[start : start + _BATCH]]
            stages += scoring(shape, settings, batch)
        before, left = chunks, left[: len(left) // 2]
    return stages


@dataclass(frozen=True)
class _Shown:
    """Shows how far a batch is as part of its whole round."""

    running: RunningJob
    chunks: int
    start: int
    count: int
    total: int

    def __call__(self, event: Progress) -> None:
        if event.stage != "scoring":
            self.running.progress(event)
            return
        done = self.start + self.count * event.done / max(1, event.total)
        title = "sensitivity" if self.chunks == 1 else f"sensitivity, {self.chunks} chunks"
        share = (self.start + self.count * (event.share or 0.0)) / self.total
        shown = Progress(title, round(done), self.total, "measured", share=share)
        self.running.progress(event, shown=shown)


def is_clear(row: Result, usual: float) -> bool:
    """Whether more chunks would tell little of a single whose like cost `usual` nats of KLD in the mean.

    Its cost is known within a quarter, or is so small that it does not matter how small. The errors of chunks
    are taken for twice those of tokens, as they are about.
    """
    if row.kld is None or row.kld_se is None:
        return row.broken
    interval = 4 * row.kld_se
    return interval <= _KNOWN_WITHIN * row.kld or row.kld + interval <= _NEGLIGIBLE * usual


def _rounds(chunks: int) -> list[int]:
    """How many chunks all have after each round: 1, 2, 4 … up to `chunks`."""
    return [1 << i for i in range((chunks - 1).bit_length())] + [chunks]


def in_order(wanted: Sequence[Single], calibration: Calibration) -> list[Single]:
    """Singles in the order in which they tell most: the highest estimated cost first, by what is known now.

    Where nothing was measured, the estimated error as a share of the tensor's output stands for the cost.
    """
    view, costs = calibration.view, calibration.costs

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
