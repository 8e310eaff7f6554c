"""Importance matrices on a workbench: computed, kept, gone on with, put to use, and part of results."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import write_tiny_llama
from imatrices import random_imatrix

from lqtui.recipe.file_types import FileType
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_imatrix
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.imatrix_file import open_imatrix
from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError, imatrices
from tests.workbench.bench_jobs import QUICK, done, until


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, demo_shape: ModelShape) -> list[Path]:
    """Two matrices of the demo model."""
    folder = tmp_path_factory.mktemp("matrices")
    return [random_imatrix(folder / f"{seed}.gguf", demo_shape, seed) for seed in (1, 2)]


def mix(bench: Workbench, imatrix: Imatrix | None, base: FileType = FileType.Q4_0) -> Plan:
    assert bench.model is not None
    name = f"{base} {imatrix.name if imatrix else 'without'}"
    return resolve(bench.model.shape, Recipe(name, base, imatrix=imatrix))


async def test_a_computed_matrix_is_kept_and_a_longer_one_goes_on_from_it(
    opened: Workbench, english: Path
) -> None:
    await done(opened, opened.compute_imatrix(english, 2, 128))
    [short] = opened.kept_imatrices()
    assert (short.dataset, short.chunks, short.n_ctx) == ("topics.txt", 2, 128)
    job = opened.compute_imatrix(english, 3, 128, use=True)
    stages: list[tuple[str, int]] = []
    opened.subscribe(lambda _: stages.extend((j.stage, j.done) for j in opened.jobs if j.id == job.id))
    await done(opened, job)
    assert ("importances", 1) not in stages and ("importances", 3) in stages
    assert [kept.chunks for kept in opened.kept_imatrices()] == [3, 2]
    assert opened.imatrix is not None and opened.imatrix.chunks == 3


async def test_what_is_kept_is_not_computed_again(opened: Workbench, english: Path) -> None:
    await done(opened, opened.compute_imatrix(english, 2, 128))
    first = opened.computed_imatrix
    again = await done(opened, opened.compute_imatrix(english, 2, 128))
    assert opened.computed_imatrix == first
    assert again.pid is None and again.elapsed < 1  # no process was started


async def test_what_is_computed_is_not_lost_where_the_app_is_killed_before_it_is_named(
    opened: Workbench, english: Path
) -> None:
    await done(opened, opened.compute_imatrix(english, chunks=2, n_ctx=256))
    kept = opened.computed_imatrix
    assert kept is not None
    content = kept.read_bytes()
    kept.rename(kept.with_name("computed.gguf"))
    job = await done(opened, opened.compute_imatrix(english, chunks=2, n_ctx=256))
    assert opened.computed_imatrix == kept and kept.read_bytes() == content
    assert job.pid is None, "nothing was computed"


async def test_without_a_text_it_is_computed_on_the_half_that_results_are_not_told_on(
    opened: Workbench,
) -> None:
    await done(opened, opened.compute_imatrix(None, 2, 128))
    [kept] = opened.kept_imatrices()
    assert "second half" in kept.dataset


async def test_a_matrix_is_copied_where_it_is_asked_for(
    opened: Workbench, english: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.gguf"
    await done(opened, opened.compute_imatrix(english, 2, 128, out=out))
    assert open_imatrix(out).chunks == 2


async def test_a_stopped_computation_is_gone_on_with(
    paths: Paths, english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_llama(tmp_path / "m.gguf", blocks=2, width=256, ffn=512)
    bench = Workbench(paths, Settings(corpus=english, **QUICK))
    monkeypatch.setattr(imatrices, "SAVE_SECONDS", 0.0)
    await bench.open(model)
    job = bench.compute_imatrix(english, 400, 128)
    folder = paths.cache / "imatrices"
    await until(lambda: any(folder.rglob("unfinished.gguf")), 60)
    bench.cancel(job.id)
    assert (await bench.wait(job)).state is JobState.CANCELLED
    [unfinished] = folder.rglob("unfinished.gguf")
    had = open_imatrix(unfinished).chunks
    assert 0 < had < 400 and not list(folder.rglob("*.part"))
    await done(bench, bench.compute_imatrix(english, had + 1, 128))
    assert not list(folder.rglob("unfinished.gguf"))
    assert [kept.chunks for kept in bench.kept_imatrices()] == [had + 1]
    await bench.close()


async def test_use_is_an_edit_that_can_be_undone(opened: Workbench, files: list[Path]) -> None:
    await opened.use_imatrix(files[0])
    assert opened.imatrix is not None and opened.imatrix.path == str(files[0])
    assert opened.modified
    opened.assign(["blk.0.attn_q.weight"], TensorType.Q4_0, "q4")
    assert opened.plan is not None and opened.plan.imatrix is not None
    opened.undo()
    assert opened.undo() == f"importance matrix {files[0].name}"
    assert opened.imatrix is None and not opened.modified
    opened.redo()
    await opened.use_imatrix(None)
    assert opened.imatrix is None


async def test_a_recipe_given_other_types_after_its_matrix_does_not_go_by_the_old_name(
    opened: Workbench, files: list[Path]
) -> None:
    await opened.use_imatrix(files[0])
    assert opened.plan is not None and opened.modified and opened.plan.recipe.name == "base"
    opened.assign(["blk.0.ffn_up.weight"], TensorType.Q4_0, "lower")
    opened.assign(["blk.1.ffn_up.weight"], TensorType.Q4_0, "lower")
    assert opened.plan.recipe.name == "custom"


async def test_results_with_and_without_a_matrix_stand_apart_and_outlive_the_session(
    opened: Workbench, files: list[Path], paths: Paths, settings: Settings, demo_model: Path, tmp_path: Path
) -> None:
    copies = [Path(tmp_path / path.name) for path in files]
    for copy, path in zip(copies, files, strict=True):
        copy.write_bytes(path.read_bytes())
    matrices = [None, *[await opened.read_imatrix(copy) for copy in copies]]
    plans = [mix(opened, imatrix) for imatrix in matrices]
    await done(opened, opened.measure_plans(plans, "all", speed=False))
    klds = [opened.result(plan).kld for plan in plans]  # type: ignore[union-attr]
    assert len(set(klds)) == 3
    alone = [mix(opened, imatrix, FileType.Q8_0).digest for imatrix in matrices]
    assert len(set(alone)) == 1
    copies[0].unlink()  # what was measured is known all the same
    again = Workbench(paths, settings)
    await again.open(demo_model)
    assert {plan.recipe.name for plan in plans} <= {result.name for result in again.results}
    of_q8_0 = resolve(plans[0].shape, Recipe("eight", FileType.Q8_0, imatrix=matrices[1]))
    await done(again, again.measure_plans([of_q8_0], "which no matrix changes", speed=False))
    assert {result.title.removeprefix(result.name) for result in again.results} == {"", " by imatrix"}
    assert {result.name for result in again.results if result.by_imatrix} == {
        p.recipe.name for p in plans[1:]
    }
    await again.close()


async def test_one_job_measures_recipes_by_different_matrices_as_each_alone(
    opened: Workbench, files: list[Path], demo_model: Path, settings: Settings, tmp_path: Path
) -> None:
    plans = [mix(opened, await opened.read_imatrix(path)) for path in files]
    await done(opened, opened.measure_plans(plans, "both", speed=False))
    alone = Workbench(Paths.under(tmp_path / "elsewhere"), settings)
    await alone.open(demo_model)
    for plan in plans:
        await done(alone, alone.measure_plans([plan], "one", speed=False))
        mine, its = opened.result(plan), alone.result(plan)
        assert mine is not None and its is not None
        assert (mine.perplexity, mine.kld) == (its.perplexity, its.kld)
    await alone.close()


async def test_a_file_that_changes_before_it_is_used_fails_the_job_with_a_sentence(
    opened: Workbench, demo_shape: ModelShape, tmp_path: Path
) -> None:
    path = random_imatrix(tmp_path / "m.gguf", demo_shape)
    plan = mix(opened, await opened.read_imatrix(path))
    random_imatrix(path, demo_shape, 2)
    job = await opened.wait(opened.measure_plans([plan], "one", speed=False))
    assert job.state is JobState.FAILED and "has changed since it was chosen" in job.message
    job = await opened.wait(opened.quantize_plan(plan, tmp_path / "out.gguf"))
    assert job.state is JobState.FAILED and "has changed" in job.message
    assert not (tmp_path / "out.gguf").exists()


async def test_what_is_no_matrix_of_this_model_is_refused_and_nothing_changes(
    opened: Workbench, tiny_shape: ModelShape, english: Path, tmp_path: Path
) -> None:
    other = random_imatrix(tmp_path / "other.gguf", tiny_shape)
    for path, sentence in (
        (other, "importance matrix of another model"),
        (english, "is no importance matrix"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(WorkbenchError, match=sentence):
            await opened.use_imatrix(path)
    assert opened.imatrix is None and opened.undo_label is None


async def test_a_recipe_file_brings_its_matrix_along(
    opened: Workbench, demo_shape: ModelShape, tmp_path: Path
) -> None:
    path, toml = random_imatrix(tmp_path / "m.gguf", demo_shape), tmp_path / "r.toml"
    opened.use(with_imatrix(mix(opened, None).recipe, await opened.read_imatrix(path)), "mix")
    opened.save_recipe(toml)
    assert 'imatrix = "m.gguf"' in toml.read_text()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in (path, toml):
        file.rename(moved / file.name)
    found = (await opened.import_recipe(moved / "r.toml")).recipe
    assert found.imatrix is not None and found.imatrix.path == str(moved / "m.gguf")
    random_imatrix(moved / "m.gguf", demo_shape, 2)
    with pytest.raises(WorkbenchError, match="is not the one that the recipe was made with"):
        await opened.import_recipe(moved / "r.toml")
    (moved / "m.gguf").unlink()
    with pytest.raises(WorkbenchError, match=r"m\.gguf does not exist"):
        await opened.import_recipe(moved / "r.toml")


async def test_what_is_learned_by_a_matrix_is_kept_apart_and_a_fit_takes_it_along(
    opened: Workbench, demo_shape: ModelShape, tmp_path: Path
) -> None:
    path = random_imatrix(tmp_path / "m.gguf", demo_shape)
    types = (TensorType.Q8_0, TensorType.Q4_0, TensorType.IQ3_XXS)
    with pytest.raises(WorkbenchError, match="smallest recipe"):
        opened.fit_recipe(opened.target_of_bpw(3.6), types, Granularity.BLOCK)
    await opened.use_imatrix(path)
    await done(opened, opened.fit_recipe(opened.target_of_bpw(3.6), types, Granularity.BLOCK))
    plan = opened.plan
    assert plan is not None and plan.imatrix is not None
    assert TensorType.IQ3_XXS in {planned.effective for planned in plan.tensors}
    assert opened.solved is not None and opened.solved.measured is not None
    assert plan.file_bytes <= opened.solved.target.file_bytes
    assert opened.importance.scores and opened.prediction(plan) is not None
    await opened.use_imatrix(None)
    assert not opened.importance.scores and opened.solved is None
