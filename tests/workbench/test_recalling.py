"""What was learned of a model in earlier sessions is there again soon after it is opened, unasked."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import FrontierPoint, ImportanceView, Settings, Solved, Why, Workbench, calibrating
from lqtui.workbench.calibration import Calibration
from tests.workbench.bench_jobs import QUICK, done, until

TYPES = (TensorType.Q8_0, TensorType.Q4_0)
FITTED = tuple(f"blk.{block}.attn_q.weight" for block in range(4))


def some_plan(bench: Workbench) -> Plan:
    assert bench.model is not None
    shape = bench.model.shape
    types = {t.name: TYPES[(t.block or 0) < 8] for t in quantizable_tensors(shape)}
    return resolve(shape, with_types(shape, "all but the first 8 at Q8_0", types))


class Before(NamedTuple):
    """What a session, over by now, knew of the demo when it left, and where it kept that."""

    home: Path
    view: ImportanceView
    predicted: float | None
    frontier: tuple[FrontierPoint, ...]
    solved: Solved
    why: Why


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, demo_model: Path, english: Path) -> Before:
    """A session that measured the demo's blocks and a frontier of them."""
    home = tmp_path_factory.mktemp("before")

    async def session() -> Before:
        bench = Workbench(Paths.under(home), Settings(corpus=english, **QUICK))
        await bench.open(demo_model)
        await done(bench, bench.find_frontier(TYPES, Granularity.BLOCK))
        await done(bench, bench.fit_recipe(bench.target_of_size(6 << 20), TYPES, Granularity.BLOCK))
        predicted, solved = bench.prediction(some_plan(bench)), bench.solved
        assert solved is not None
        found = Before(home, bench.importance, predicted, bench.frontier, solved, bench.why(FITTED))
        await bench.close()
        return found

    return asyncio.run(session())


@pytest.fixture
def home(before: Before, home: Path) -> Path:
    """This test's own copy of what that session kept."""
    shutil.copytree(before.home, home)
    return home


@pytest.fixture
async def later(home: Path, bench: Workbench, demo_model: Path) -> Workbench:
    """Another session on the same model, before it is asked for anything."""
    await bench.open(demo_model)
    return bench


@pytest.fixture
def nothing_kept(paths: Paths) -> Path:
    """The folder of what is remembered, with nothing in it."""
    folder = paths.cache / "estimates"
    shutil.rmtree(folder)
    return folder


async def recalled(bench: Workbench) -> None:
    bench.recall_importance()
    await until(lambda: bool(bench.importance.scores))


async def test_scores_estimates_and_predictions_are_those_of_the_session_before(
    before: Before, later: Workbench
) -> None:
    plan = some_plan(later)
    assert later.importance.scores == () and later.prediction(plan) is None
    assert later.predicted_by_tensor(plan) == {} and later.mixes_counted == 0
    await recalled(later)
    assert set(later.importance.scores) == set(before.view.scores)
    assert later.importance.tensors == before.view.tensors
    assert later.importance.blocks == before.view.blocks
    assert later.importance.correlations == pytest.approx(before.view.correlations)
    assert before.predicted and later.prediction(plan) == pytest.approx(
        before.predicted
    )  # the mixes correct it too
    assert later.mixes_counted > 0
    shares = later.predicted_by_tensor(plan)
    assert set(shares) == {p.name for p in plan.tensors if p.effective is not p.tensor.type}
    assert sum(shares.values()) == pytest.approx(before.predicted) and min(shares.values()) >= 0
    assert [job.kind for job in later.jobs if job.kind != "fingerprint"] == []


async def test_the_frontier_and_the_fitted_recipe_with_its_reasons_are_there_again(
    before: Before, later: Workbench
) -> None:
    await recalled(later)
    points = [(p.plan.digest, p.plan.recipe.name, p.measured_kld, p.is_knee) for p in before.frontier]
    assert len(points) > 3
    assert [(p.plan.digest, p.plan.recipe.name, p.measured_kld, p.is_knee) for p in later.frontier] == points
    predicted = [point.predicted_kld for point in before.frontier]
    assert [point.predicted_kld for point in later.frontier] == pytest.approx(predicted)
    assert later.solved is not None
    assert later.solved.plan.recipe == before.solved.plan.recipe
    assert later.solved.target == before.solved.target
    assert later.solved.outcome == before.solved.outcome
    later.use(later.solved.plan.recipe, "again")
    assert later.why(FITTED) == before.why and len(before.why.of) == len(FITTED)


async def test_a_job_that_is_asked_for_at_once_waits_for_what_is_remembered(
    before: Before, later: Workbench
) -> None:
    later.recall_importance()
    await done(later, later.estimate_importance())
    assert set(later.importance.scores) == set(before.view.scores)


async def test_estimates_alone_come_back_too(before: Before, later: Workbench, paths: Paths) -> None:
    (asked,) = (paths.cache / "estimates").glob("*.asked")
    asked.unlink()
    later.recall_importance()
    await until(lambda: bool(later.importance.tensors))
    assert later.importance.tensors == before.view.tensors and later.importance.scores == ()


async def test_another_text_shows_what_is_known_of_it_and_the_first_one_comes_back(
    later: Workbench, settings: Settings, tiny_corpus: Path
) -> None:
    await recalled(later)
    scores = later.importance.scores
    later.configure(replace(settings, corpus=tiny_corpus, chunks=1, n_ctx=32))
    later.recall_importance()
    assert later.importance.scores == ()
    await asyncio.sleep(4 * calibrating._LET_PAINT)
    assert later.importance.scores == ()
    later.configure(settings)
    later.recall_importance()
    assert later.importance.scores == scores


async def test_another_model_shows_nothing_of_it_and_the_first_one_is_read_anew(
    later: Workbench, tiny_model: Path, demo_model: Path
) -> None:
    await recalled(later)
    scores = set(later.importance.scores)
    await later.open(tiny_model)
    later.recall_importance()
    assert later.importance.scores == ()
    await later.open(demo_model)
    await recalled(later)
    assert set(later.importance.scores) == scores


async def test_where_nothing_is_remembered_nothing_is_built_and_nothing_written(
    later: Workbench, paths: Paths, nothing_kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path for path in paths.cache.rglob("*") if path.is_file()}

    def refuse(*_: object) -> None:
        raise AssertionError("there is nothing to recall")

    monkeypatch.setattr(calibrating, "_calibration_book", refuse)
    later.recall_importance()
    await asyncio.sleep(4 * calibrating._LET_PAINT)
    assert later.importance.scores == ()
    assert {path for path in paths.cache.rglob("*") if path.is_file()} == files


async def test_a_damaged_memory_is_no_memory(later: Workbench, paths: Paths) -> None:
    for kept in (paths.cache / "estimates").iterdir():
        kept.write_bytes(b"nonsense")
    later.recall_importance()
    await asyncio.sleep(4 * calibrating._LET_PAINT)
    assert later.importance.scores == () and later.importance.tensors == {}
    await done(later, later.estimate_importance())  # and asking heals it
    assert later.importance.tensors


async def test_leaving_does_not_wait_until_all_is_read(
    later: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()
    asked = Calibration.recall

    def slow(self: Calibration, what: object, stopped: object) -> None:
        began.set()
        while not stopped():  # type: ignore[operator]
            pass
        asked(self, what, stopped)  # type: ignore[arg-type]

    monkeypatch.setattr(Calibration, "recall", slow)
    later.recall_importance()
    await asyncio.to_thread(began.wait, 20)
    await later.close()
    assert later.importance.scores == ()


def test_the_app_and_the_workbench_load_no_numbers_before_they_need_them() -> None:
    code = (
        "import sys; import lqtui.workbench, lqtui.tui.app\n"
        "print(sorted({'numpy', 'highspy', 'llama_cpp'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
