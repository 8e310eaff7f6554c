"""Which tensors deserve the bits: measured and estimated on one text, fitted to budgets, told on another."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lqtui.recipe.file_types import FileType
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Recipe, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.solve.constraints import Constraints
from lqtui.store.estimates import OutputError, TensorEstimate
from lqtui.store.paths import Paths
from lqtui.workbench import (
    ImportanceView,
    JobState,
    Score,
    Settings,
    Workbench,
    WorkbenchError,
    measuring,
    solving,
)
from lqtui.workbench.corpora import Corpus, halves
from lqtui.workbench.sensitivity import is_clear
from lqtui.workbench.values import Result
from tests.workbench.bench_jobs import QUICK, done, until

TYPES = (TensorType.Q8_0, TensorType.Q5_0, TensorType.Q4_0)
MIB = 1 << 20


def score(bench: Workbench, label: str, kind: TensorType = TensorType.Q4_0) -> Score:
    (found,) = [s for s in bench.importance.scores if (s.unit.label, s.type) == (label, kind)]
    return found


@pytest.fixture(scope="module")
def measured_home(tmp_path_factory: pytest.TempPathFactory, demo_model: Path, english: Path) -> Path:
    """A home in which every block of the demo was measured alone."""
    home = tmp_path_factory.mktemp("measured")

    async def measure() -> None:
        bench = Workbench(Paths.under(home), Settings(corpus=english, **QUICK))
        await bench.open(demo_model)
        await done(bench, bench.measure_sensitivity(Granularity.BLOCK))
        await bench.close()

    asyncio.run(measure())
    return home


@pytest.fixture
def home(measured_home: Path, home: Path) -> Path:
    """This test's own copy of it."""
    shutil.copytree(measured_home, home)
    return home


@pytest.fixture
async def by_block(opened: Workbench) -> Workbench:
    """A workbench that knows what every block of the demo costs alone."""
    await done(opened, opened.measure_sensitivity(Granularity.BLOCK))
    return opened


async def test_every_block_and_the_embedding_are_measured_alone_on_the_texts_second_half(
    by_block: Workbench, paths: Paths, settings: Settings, demo_model: Path, english: Path
) -> None:
    scores = by_block.importance.scores
    assert {s.unit.label for s in scores} == {"token_embd", *(f"blk.{block}" for block in range(24))}
    # The same recipe, measured in the ordinary way on that half.
    _, second = halves(Corpus("english", english), paths)
    other = Workbench(paths, replace(settings, corpus=second.path, chunks=1, spread=True))
    await other.open(demo_model)
    assert other.model is not None
    shape = other.model.shape
    types = {t.name: TensorType.Q4_0 if t.block == 3 else t.type for t in quantizable_tensors(shape)}
    plan = resolve(shape, with_types(shape, "block 3", types))
    await done(other, other.measure_plans([plan], "measure", speed=False))
    result = other.result(plan)
    assert result is not None
    found = score(by_block, "blk.3")
    assert (found.kld, found.kld_se, found.chunks) == (result.kld, result.kld_se, 1)
    await other.close()


async def test_singles_are_no_results_and_are_never_measured_twice(
    by_block: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_block.results == ()
    known = by_block.importance.scores

    async def refuse(*_: object) -> None:
        raise AssertionError("the engine was asked")

    monkeypatch.setattr(measuring, "run_task", refuse)
    await done(by_block, by_block.measure_sensitivity(Granularity.BLOCK))
    assert by_block.importance.scores == known


async def test_estimates_stand_beside_what_was_measured_with_their_rank_correlation(
    by_block: Workbench,
) -> None:
    view = by_block.importance
    assert set(view.blocks) == set(range(24))
    assert view.correlations["LIM"] > 0  # the first block turns its tokens most, and costs most
    assert view.correlations["ZD"] > 0.5  # few outlying weights mean much, as the paper has it
    assert view.error_of("blk.0.attn_v.weight") == pytest.approx(0.007, rel=0.3)


def test_weights_that_lie_on_a_types_grid_already_are_told() -> None:
    def view(q4_1: float, q8_0: float) -> ImportanceView:
        errors = {TensorType.Q8_0: q8_0, TensorType.Q4_1: q4_1, TensorType.Q4_0: 0.5}
        output = OutputError(errors, 100.0)
        estimates = [TensorEstimate(f"blk.{i}.ffn_up.weight", output, None, 0, 0) for i in range(3)]
        return ImportanceView(tensors={estimate.name: estimate for estimate in estimates})

    assert view(1e-6, 0.01).once_quantized is TensorType.Q4_1
    assert view(0.3, 0.01).once_quantized is None
    assert view(0.3, 1e-6).once_quantized is None  # Q8_0 is fine enough to lose nothing of many a model


async def test_a_stopped_measurement_keeps_what_it_has_and_goes_on_from_there(opened: Workbench) -> None:
    job = opened.measure_sensitivity(Granularity.TENSOR)
    await until(lambda: len(opened.importance.scores) >= 64, 60)
    opened.cancel(job.id)
    assert (await opened.wait(job)).state is JobState.CANCELLED
    kept = {s.unit.label: s.kld for s in opened.importance.scores}
    assert 64 <= len(kept) < 169
    await done(opened, opened.measure_sensitivity(Granularity.TENSOR))
    now = {s.unit.label: s.kld for s in opened.importance.scores}
    assert len(now) == 169
    assert kept.items() <= now.items()


def test_more_chunks_go_to_singles_that_are_neither_clear_nor_negligible() -> None:
    def known(kld: float, se: float) -> Result:
        return Result(
            "single", "digest", 1, 1.0, Recipe("single", FileType.F16), perplexity=10.0, kld=kld, kld_se=se
        )

    assert is_clear(known(0.010, 0.0005), usual=0.01)
    assert not is_clear(known(0.010, 0.001), usual=0.01)
    assert is_clear(known(0.0001, 0.00005), usual=0.01)
    assert is_clear(replace(known(0.1, 0.1), perplexity=float("nan"), kld=None), usual=0.01)


async def test_a_solved_recipe_keeps_its_budget_and_is_told_on_text_that_nothing_was_fitted_on(
    opened: Workbench,
) -> None:
    before = opened.plan
    budget = 6 * MIB
    job = await done(opened, opened.fit_recipe(opened.target_of_size(budget), TYPES, Granularity.BLOCK))
    solved = opened.solved
    assert solved is not None
    assert solved.plan.file_bytes <= budget
    assert solved.solution.is_proved
    assert opened.plan == solved.plan
    assert opened.result(solved.plan) == solved.measured
    assert solved.off_by is not None
    assert abs(solved.off_by) < 0.6  # 3 chunks of 128 tokens are little to tell by
    assert f"{solved.predicted_kld:.3g}" in job.message
    assert opened.undo() is not None
    assert opened.plan == before


async def test_a_recipe_that_was_measured_before_is_not_predicted_from_its_own_measurement(
    by_block: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(by_block, by_block.find_frontier(TYPES, Granularity.BLOCK))
    pairs: list[tuple[float, float]] = []
    monkeypatch.setattr(solving, "worst", lambda found: pairs.extend(found) or 0.0)
    await done(by_block, by_block.find_frontier(TYPES, Granularity.BLOCK))
    calibration = by_block._current_calibration()
    assert calibration is not None
    measured = {point.measured_kld: point.plan for point in by_block.frontier if point.measured_kld}
    assert len(pairs) > 2 and {kld for _, kld in pairs} <= set(measured)
    for predicted, kld in pairs:
        plan = measured[kld]
        others = {digest: mix for digest, mix in calibration._mixes.items() if digest != plan.digest}
        without = replace(calibration, _mixes=others)
        without.changed()
        assert predicted == pytest.approx(without.predict(plan))
        assert predicted != pytest.approx(calibration.predict(plan))


async def test_a_frontier_of_recipes_that_cost_nothing_says_that_none_was_measured(
    by_block: Workbench,
) -> None:
    job = await done(by_block, by_block.find_frontier([TensorType.F16], Granularity.BLOCK))
    assert job.message == "1 recipe; none measured, as all cost next to nothing"


async def test_no_other_recipe_of_the_frontier_is_better_and_smaller(by_block: Workbench) -> None:
    await done(by_block, by_block.find_frontier(TYPES, Granularity.BLOCK))
    points = by_block.frontier
    sizes = [point.plan.file_bytes for point in points]
    costs = [point.predicted_kld for point in points]
    assert len(points) > 10
    assert sizes == sorted(set(sizes))
    assert costs == sorted(costs, reverse=True)
    assert sum(point.measured_kld is not None for point in points) >= 3
    assert sum(point.is_knee for point in points) <= 1


async def test_pins_and_floors_hold_in_the_solved_recipe(by_block: Workbench) -> None:
    constraints = Constraints(
        {"blk.5.ffn_up.weight": TensorType.Q8_0}, {"token_embd.weight": TensorType.Q5_0}
    )
    target = by_block.target_of_bpw(5.2)
    await done(by_block, by_block.fit_recipe(target, TYPES, Granularity.BLOCK, constraints))
    assert by_block.plan is not None
    types = {name: planned.effective for name, planned in by_block.plan.by_name.items()}
    assert types["blk.5.ffn_up.weight"] is TensorType.Q8_0
    assert types["token_embd.weight"] in (TensorType.Q8_0, TensorType.Q5_0)
    why = by_block.why(["blk.5.ffn_up.weight", "blk.6.ffn_up.weight"])
    assert "Q8_0" in why.of["blk.5.ffn_up.weight"]
    assert "MiB" in why.of["blk.6.ffn_up.weight"]
    assert "the last MiB" not in "".join(why.of.values())
    assert why.market.startswith("The last MiB of this budget went for ")  # once, for both
    (alone,) = by_block.why(["blk.6.ffn_up.weight"]).of.values()
    assert "the last MiB of this budget went for " in alone
    assert by_block.plan.bits_per_weight <= 5.2
    by_block.assign(["blk.5.ffn_up.weight"], TensorType.Q4_0, "an edit")
    edited = by_block.why(["blk.5.ffn_up.weight", "blk.6.ffn_up.weight"]).of
    given = "Q8_0 in the recipe fitted to 5.2 bpw: "  # not the type that it has now
    assert edited["blk.5.ffn_up.weight"] == given + why.of["blk.5.ffn_up.weight"]
    assert edited["blk.6.ffn_up.weight"] == why.of["blk.6.ffn_up.weight"]


@pytest.mark.parametrize(("budget", "says"), [(1 * MIB, "at least"), (900 * MIB, "at most")])
async def test_a_budget_that_no_recipe_has_is_refused_at_once_with_the_nearest(
    budget: int, says: str, opened: Workbench
) -> None:
    with pytest.raises(WorkbenchError, match=says) as refused:
        opened.fit_recipe(opened.target_of_size(budget), TYPES)
    assert "would do without" not in str(refused.value)  # nothing was pinned
    assert opened.jobs == () or all(job.kind == "fingerprint" for job in opened.jobs)


async def test_a_budget_that_only_what_is_pinned_makes_too_small_says_so(opened: Workbench) -> None:
    assert opened.model is not None
    embedding = "token_embd.weight"
    smallest, _ = opened.smallest_and_largest(TYPES)
    target = opened.target_of_size(smallest)
    pinned = Constraints({embedding: TensorType.F16})
    with pytest.raises(WorkbenchError, match="it would do without the types that tensors must keep"):
        opened.fit_recipe(target, TYPES, constraints=pinned)
    nothing_else = [TensorType.IQ2_XXS]  # which no tensor can have without an importance matrix
    every = {tensor.name: TensorType.F16 for tensor in quantizable_tensors(opened.model.shape)}
    with pytest.raises(WorkbenchError, match=r"choose at least [^;]*$"):
        opened.fit_recipe(target, nothing_else, constraints=Constraints(every))


async def test_a_text_is_never_both_fitted_on_and_told_on(
    paths: Paths, settings: Settings, demo_model: Path, english: Path
) -> None:
    first, second = (half.path.read_text() for half in halves(Corpus("english", english), paths))
    assert first + second == english.read_text()
    for chosen, says in (
        (replace(settings, calibration=english), "two different texts"),
        (replace(settings, chunks=5000), "too short"),
    ):
        bench = Workbench(paths, chosen)
        await bench.open(demo_model)
        job = await bench.wait(bench.measure_sensitivity(Granularity.BLOCK))
        assert job.state is JobState.FAILED
        assert says in job.message
        await bench.close()


async def test_a_text_stays_apart_though_more_chunks_are_chosen_later(by_block: Workbench) -> None:
    by_block.configure(replace(by_block.settings, chunks=5000))
    job = await by_block.wait(by_block.fit_recipe(by_block.target_of_size(6 * MIB), TYPES, Granularity.BLOCK))
    assert job.state is JobState.FAILED
    assert "too short" in job.message


async def test_a_job_goes_by_the_text_that_was_chosen_when_it_began(
    by_block: Workbench, settings: Settings, tiny_corpus: Path
) -> None:
    job = by_block.fit_recipe(by_block.target_of_size(6 * MIB), TYPES, Granularity.BLOCK)
    await until(lambda: any(one.stage == "solving" for one in by_block.jobs), 60)
    by_block.configure(replace(settings, corpus=tiny_corpus))
    await done(by_block, job)
    assert by_block.frontier == () and by_block.solved is None  # they are of another text
    by_block.configure(settings)
    assert by_block.solved is not None and by_block.solved.measured is not None
    assert by_block.result(by_block.solved.plan) == by_block.solved.measured


async def test_what_was_solved_for_one_model_is_not_shown_for_another(
    by_block: Workbench, tiny_model: Path
) -> None:
    await done(by_block, by_block.find_frontier(TYPES, Granularity.BLOCK))
    assert by_block.frontier
    await by_block.open(tiny_model)
    assert by_block.frontier == () and by_block.importance.scores == () and by_block.solved is None


async def test_a_pin_may_be_a_type_that_is_no_candidate(by_block: Workbench) -> None:
    constraints = Constraints({"token_embd.weight": TensorType.Q6_K})
    types = (TensorType.Q8_0, TensorType.Q4_0)
    await done(
        by_block, by_block.fit_recipe(by_block.target_of_size(6 * MIB), types, Granularity.BLOCK, constraints)
    )
    assert by_block.plan is not None
    assert by_block.plan.by_name["token_embd.weight"].effective is TensorType.Q6_K


@pytest.mark.parametrize(
    ("kind", "says"), [(TensorType.F16, "nothing to lower"), (TensorType.IQ2_XXS, "importance matrix")]
)
async def test_a_type_at_which_nothing_can_be_measured_is_refused_at_once(
    kind: TensorType, says: str, opened: Workbench
) -> None:
    with pytest.raises(WorkbenchError, match=says):
        opened.measure_sensitivity(Granularity.BLOCK, [kind])


async def test_memory_is_a_budget_too_and_the_solved_recipe_fits_it(by_block: Workbench) -> None:
    assert by_block.plan is not None
    whole = await by_block.known_fit(by_block.plan)
    assert whole.memory is not None
    budget = whole.memory.in_ram - 12 * MIB  # the weights must fall from 17.6 MiB to 5.6
    target = await by_block.target_of_memory(budget, vram=False)
    await done(by_block, by_block.fit_recipe(target, TYPES, Granularity.BLOCK))
    fit = await by_block.known_fit(by_block.plan)
    assert fit.memory is not None
    assert budget - MIB // 4 < fit.memory.in_ram <= budget


async def test_memory_that_no_recipe_fills_is_given_the_largest_and_too_little_is_refused(
    by_block: Workbench,
) -> None:
    target = await by_block.target_of_memory(64 << 30, vram=True)
    await done(by_block, by_block.fit_recipe(target, TYPES, Granularity.BLOCK))
    assert by_block.plan is not None
    assert by_block.plan.file_bytes == by_block.smallest_and_largest(TYPES)[1]
    with pytest.raises(WorkbenchError, match="1024 tokens alone"):
        await by_block.target_of_memory(1 * MIB, vram=False)


async def test_a_prediction_follows_from_what_is_known_and_there_is_none_before(opened: Workbench) -> None:
    assert opened.model is not None
    shape = opened.model.shape
    types = {t.name: TensorType.Q4_0 if t.block == 3 else t.type for t in quantizable_tensors(shape)}
    plan = resolve(shape, with_types(shape, "block 3", types))
    assert opened.prediction(plan) is None
    await done(opened, opened.measure_sensitivity(Granularity.BLOCK))
    assert opened.prediction(plan) == pytest.approx(score(opened, "blk.3").kld, rel=1e-6)
