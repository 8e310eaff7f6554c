"""How long quality lasts as blocks are lowered one by one: the curves and the experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.types import TensorType
from lqtui.workbench import Change, Curve, CurvePoint, JobState, Result, Workbench, WorkbenchError
from lqtui.workbench.lowering import curves, orders
from tests.workbench.bench_jobs import done, until


def kept(delta_nll: float | None, perplexity: float = 20.0) -> Result:
    return Result(
        "recipe",
        "digest",
        1,
        1.0,
        Recipe("recipe", FileType.F16),
        perplexity=perplexity,
        delta_nll=delta_nll,
        kld=0.1,
    )


def curve(*points: tuple[float, float]) -> Curve:
    return Curve("measured", tuple(CurvePoint(share, quality, None) for share, quality in points))


# -- the curves


def test_quality_is_the_bases_perplexity_over_the_recipes_on_the_chunks_that_both_have() -> None:
    (found,) = curves({"LIM": [kept(math.log(2)), kept(math.log(4))]}, [1, 2], 2)
    assert [(point.share, point.kept) for point in found.points] == [
        (0.0, 1.0),
        (0.5, pytest.approx(0.5)),
        (1.0, pytest.approx(0.25)),
    ]


def test_what_is_not_measured_has_no_point_and_what_breaks_the_model_keeps_nothing() -> None:
    results = [None, kept(None), kept(None, math.nan)]
    (found,) = curves({"LIM": results}, [1, 2, 3], 4)
    assert [(point.share, point.kept) for point in found.points] == [(0.0, 1.0), (0.75, 0.0)]


def test_random_orders_are_one_curve_with_their_deviation_where_all_of_them_are_known() -> None:
    halves = [[kept(math.log(each)), None] for each in (2, 4)]
    (found,) = curves({"random 1": halves[0], "random 2": [*halves[1][:1], kept(1.0)]}, [1, 2], 2)
    assert found.label == "random, mean of 2" and found.is_random
    (_, point) = found.points
    assert (point.share, point.kept) == (0.5, pytest.approx((0.5 + 0.25) / 2))
    assert point.sd == pytest.approx(0.25 / math.sqrt(2))


@pytest.mark.parametrize(
    ("points", "share"),
    [
        ([(0.0, 1.0), (0.5, 0.95), (1.0, 0.85)], 0.75),
        ([(0.0, 1.0), (1.0, 0.8)], 0.5),
        ([(0.0, 1.0), (1.0, 0.9)], None),
        ([(0.0, 1.0), (0.5, 0.0)], 0.05),
    ],
)
def test_the_share_at_ninety_percent_lies_between_the_points_around_it(
    points: Sequence[tuple[float, float]], share: float | None
) -> None:
    found = curve(*points).share_at_kept
    assert found == (share if share is None else pytest.approx(share))


def test_the_least_important_block_is_lowered_first_and_a_score_of_some_blocks_alone_gives_no_order() -> None:
    found = orders({"LIM": {0: -0.1, 1: -0.9, 2: -0.5}, "measured": {0: 1.0}}, 3)
    assert found["LIM"] == [1, 2, 0]
    assert set(found) == {"LIM", "random 1", "random 2", "random 3"}
    assert orders({}, 3) == orders({}, 3)  # the same random ones each time


# -- the experiment


async def test_a_stopped_experiment_goes_on_and_its_curves_fall_and_are_of_one_model_and_text(
    opened: Workbench, tiny_model: Path, tiny_corpus: Path
) -> None:
    so_far: list[tuple[bool, int]] = []

    def hear(change: Change) -> None:
        if change is Change.IMPORTANCE and (known := opened.lowered.get(TensorType.Q2_K)):
            so_far.append((known.is_whole, sum(len(each.points) for each in known.curves)))

    opened.subscribe(hear)
    job = opened.measure_lowering(TensorType.Q2_K, steps=4)
    await until(lambda: any(len(one.points) > 1 for one in _curves(opened)), 120)
    opened.cancel(job.id)
    assert (await opened.wait(job)).state is JobState.CANCELLED
    assert any(len(one.points) > 1 for one in _curves(opened))
    assert not opened.lowered[TensorType.Q2_K].is_whole

    await done(opened, opened.measure_lowering(TensorType.Q2_K, steps=4))
    lowered = opened.lowered[TensorType.Q2_K]
    found = {curve.label: curve for curve in lowered.curves}
    assert {"measured", "LIM", "ZD", "ZD two-sided", "measured, pruned", "random, mean of 3"} <= set(found)
    kept = {label: [point.kept for point in curve.points] for label, curve in found.items()}
    assert kept["measured"][-1] == kept["ZD"][-1] < 1  # all blocks lowered are the same model in any order
    assert sum(kept["measured"]) > sum(kept["random, mean of 3"])
    assert kept["measured, pruned"][2] < kept["measured"][2]  # to drop a block costs more than to lower it
    assert lowered.is_whole and lowered.chunks == 3
    counts = [count for _, count in so_far]
    assert counts == sorted(counts) and len(set(counts)) > 5  # the curves grow while they are measured
    assert [is_whole for is_whole, _ in so_far].count(True) == 1

    before, settings = opened.lowered, opened.settings
    assert set(before) == {TensorType.Q2_K}
    opened.configure(replace(settings, corpus=tiny_corpus))
    assert opened.lowered == {}
    opened.configure(settings)
    assert opened.lowered == before
    await opened.open(tiny_model)
    assert opened.lowered == {}


@pytest.mark.parametrize(
    ("kind", "says"), [(TensorType.F16, "nothing to lower"), (TensorType.IQ2_XXS, "importance matrix")]
)
async def test_a_type_that_blocks_cannot_be_lowered_to_is_refused_at_once(
    kind: TensorType, says: str, opened: Workbench
) -> None:
    with pytest.raises(WorkbenchError, match=says):
        opened.measure_lowering(kind)
    assert all(job.kind == "fingerprint" for job in opened.jobs)


def _curves(bench: Workbench) -> Sequence[Curve]:
    known = bench.lowered.get(TensorType.Q2_K)
    return known.curves if known else ()
