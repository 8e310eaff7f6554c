"""Quantized files on a workbench: taken as they are, measured, edited, found again, and told of when gone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from gguf import GGUFReader
from gguf_files import write_tiny_llama
from imatrices import random_imatrix

from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from lqtui.workbench.interchange import RecipeFormat
from lqtui.worker.inspect_messages import InspectEvent, TypeInspected
from tests.workbench.bench_jobs import done

MIX = Recipe(
    "mix", FileType.Q4_0, {"blk.3.attn_v.weight": TensorType.Q6_K, "blk.4.attn_v.weight": TensorType.F16}
)


def plan_of(bench: Workbench, recipe: Recipe) -> Plan:
    assert bench.model is not None
    return resolve(bench.model.shape, recipe)


async def written(bench: Workbench, recipe: Recipe, path: Path) -> Plan:
    """Write a recipe's file, as somebody else may have done."""
    plan = plan_of(bench, recipe)
    await done(bench, bench.quantize_plan(plan, path))
    return plan


async def taken(bench: Workbench, path: Path) -> Plan:
    """The file itself as the current recipe."""
    await done(bench, bench.use_file(path))
    assert bench.plan is not None
    return bench.plan


@pytest.fixture
async def by_matrix(opened: Workbench, tmp_path: Path) -> tuple[Plan, Path]:
    """A recipe by an importance matrix, and its file."""
    assert opened.model is not None
    matrix = await opened.read_imatrix(random_imatrix(tmp_path / "m.imatrix", opened.model.shape))
    path = tmp_path / "theirs.gguf"
    return await written(opened, msgspec.structs.replace(MIX, name="by matrix", imatrix=matrix), path), path


async def test_a_taken_file_measures_bit_for_bit_as_the_recipe_that_made_it(
    opened: Workbench, by_matrix: tuple[Plan, Path], tmp_path: Path
) -> None:
    plain = await written(opened, MIX, tmp_path / "plain.gguf")
    made = {path: plan for plan, path in (by_matrix, (plain, tmp_path / "plain.gguf"))}
    copies = [await taken(opened, path) for path in made]
    plans = [*made.values(), *copies]
    assert len({plan.digest for plan in plans}) == 4
    await done(opened, opened.measure_plans(plans, "all", speed=False))
    rows = [opened.result(plan) for plan in plans]
    told = [(row.perplexity, row.kld, row.kld_max, row.top1_agreement, row.rms_dp) for row in rows if row]
    assert told[:2] == told[2:] and told[0] != told[1]
    assert [row.name for row in rows[2:] if row] == ["theirs.gguf", "plain.gguf"]


async def test_a_taken_file_is_an_edit_that_can_be_undone_and_gone_on_from(
    opened: Workbench, by_matrix: tuple[Plan, Path], tmp_path: Path
) -> None:
    _, path = by_matrix
    plan = await taken(opened, path)
    assert plan.recipe.name == "theirs.gguf" and not opened.modified
    assert {p.name for p in plan.tensors if p.quantizable} - {p.name for p in plan.copied} == {
        "blk.4.attn_v.weight"
    }
    opened.assign(["blk.0.attn_q.weight"], TensorType.Q8_0, "q8")
    assert opened.plan is not None and len(opened.plan.copied) == len(plan.copied) - 1
    assert opened.prediction(opened.plan) is None
    await done(opened, opened.quantize(tmp_path / "edited.gguf"))
    assert opened.undo() == "q8"
    await opened.use_imatrix(tmp_path / "m.imatrix")  # which has the mix choose other types
    assert opened.plan.copied == plan.copied
    opened.undo()
    await done(opened, opened.quantize(tmp_path / "copy.gguf"))
    assert opened.undo() == "take theirs.gguf" and opened.plan.unchanged
    job, sides = opened.compare_files(tmp_path / "edited.gguf", path)
    assert (await done(opened, job)).message == "1 tensors differ"
    job, sides = opened.compare_files(tmp_path / "copy.gguf", path)
    assert (await done(opened, job)).message == "0 tensors differ" and len(sides) == 2


async def test_results_of_a_file_outlive_the_session_and_the_file(
    opened: Workbench, by_matrix: tuple[Plan, Path], paths: Paths, settings: Settings, demo_model: Path
) -> None:
    _, path = by_matrix
    plan = await taken(opened, path)
    await done(opened, opened.measure_plans([plan], "one", speed=False))
    path.unlink()
    again = Workbench(paths, settings)
    await again.open(demo_model)
    found = again.result(plan)
    assert found is not None and found.recipe == plan.recipe and found.kld == opened.result(plan).kld  # type: ignore[union-attr]
    again.use(found.recipe, "again")
    for job in (again.measure_plans([plan], "one", speed=True), again.quantize(path)):
        ended = await again.wait(job)
        assert ended.state is JobState.FAILED
        assert f"the quantized file {path} does not exist" in ended.message
    assert not path.exists()
    await again.close()


async def test_a_file_that_has_changed_since_is_refused_until_it_is_taken_anew(
    opened: Workbench, by_matrix: tuple[Plan, Path], tmp_path: Path
) -> None:
    _, path = by_matrix
    plan = await taken(opened, path)
    await written(opened, MIX, tmp_path / "other.gguf")
    (tmp_path / "other.gguf").replace(path)
    for job in (
        opened.measure_plans([plan], "one", speed=False),
        opened.quantize_plan(plan, tmp_path / "out.gguf"),
    ):
        ended = await opened.wait(job)
        assert (
            ended.state is JobState.FAILED and "is not the one that the recipe was made with" in ended.message
        )
    assert not (tmp_path / "out.gguf").exists()
    anew = await taken(opened, path)
    assert anew.digest != plan.digest
    await done(opened, opened.measure_plans([anew], "one", speed=False))


async def test_the_files_digest_is_computed_once(opened: Workbench, by_matrix: tuple[Plan, Path]) -> None:
    stages: list[str] = []
    opened.subscribe(lambda _: stages.extend(job.stage for job in opened.jobs[-1:]))
    await taken(opened, by_matrix[1])
    assert "fingerprint" in stages
    stages.clear()
    job, found = opened.look_through(by_matrix[1])
    await done(opened, job)
    assert "fingerprint" not in stages and found[0].recipe.file is not None


async def test_a_recipe_file_brings_its_quantized_file_along(
    opened: Workbench, by_matrix: tuple[Plan, Path], tmp_path: Path, settings: Settings, demo_model: Path
) -> None:
    _, path = by_matrix
    plan = await taken(opened, path)
    for form, suffix in ((RecipeFormat.TOML, "toml"), (RecipeFormat.JSON, "json")):
        opened.write_recipe(tmp_path / f"r.{suffix}", plan, form)
    assert 'file = "theirs.gguf"' in (tmp_path / "r.toml").read_text()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("theirs.gguf", "r.toml", "r.json"):
        (tmp_path / name).rename(moved / name)
    # To whom nothing of it is known, the file is looked through first.
    stranger = Workbench(Paths.under(tmp_path / "stranger"), settings)
    await stranger.open(demo_model)
    for bench in (opened, stranger):
        for name in ("r.toml", "r.json"):
            found = (await bench.import_recipe(moved / name)).recipe
            assert found.file is not None and found.file.path == str(moved / "theirs.gguf")
            assert plan_of(bench, found).digest == plan.digest
    assert [job.kind for job in stranger.jobs].count("look through") == 1
    text = (moved / "r.toml").read_text()
    (moved / "r.toml").write_text(text.replace('file_sha256 = "', 'file_sha256 = "0000'))
    with pytest.raises(WorkbenchError, match="is not the one that the recipe was made with"):
        await stranger.import_recipe(moved / "r.toml")
    lines = [line for line in text.splitlines() if not line.startswith("file_sha256")]
    (moved / "r.toml").write_text("\n".join(lines))
    found = (await stranger.import_recipe(moved / "r.toml")).recipe
    assert plan_of(stranger, found).digest == plan.digest
    (moved / "theirs.gguf").unlink()
    with pytest.raises(WorkbenchError, match=r"r\.toml: the quantized file \S+theirs\.gguf does not exist"):
        await stranger.import_recipe(moved / "r.toml")
    await stranger.close()


async def test_what_is_no_file_of_this_model_is_refused_and_nothing_changes(
    opened: Workbench, by_matrix: tuple[Plan, Path], english: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned.gguf"
    tuned.write_bytes(by_matrix[1].read_bytes())
    with tuned.open("r+b") as file:
        file.seek(next(t.data_offset for t in GGUFReader(tuned).tensors if t.name == "output_norm.weight"))
        file.write(b"\1")
    plan = opened.plan
    for path, sentence in (
        (write_tiny_llama(tmp_path / "tiny.gguf"), "is of another model"),
        (tuned, "a fine-tune"),
        (english, "is not a GGUF file"),
        (tmp_path / "none.gguf", "does not exist"),
        (tmp_path, "is a directory"),
    ):
        job = await opened.wait(opened.use_file(path))
        assert job.state is JobState.FAILED and sentence in job.message, job.message
    assert opened.plan is plan and opened.undo_label is None


async def test_no_script_is_exported_and_the_source_is_not_overwritten(
    opened: Workbench, by_matrix: tuple[Plan, Path], tmp_path: Path
) -> None:
    _, path = by_matrix
    await taken(opened, path)
    with pytest.raises(WorkbenchError, match=r"llama-quantize cannot copy \d+ tensors from theirs\.gguf"):
        opened.save_script(tmp_path / "r.sh")
    assert not (tmp_path / "r.sh").exists()
    (tmp_path / "link.gguf").symlink_to(path)
    for out in (path, tmp_path / "link.gguf"):
        with pytest.raises(WorkbenchError, match=r"is the file that \S+ is copied from"):
            opened.quantize(out)
    await done(opened, opened.quantize(tmp_path / "copy.gguf"))


async def test_a_taken_file_is_inspected_as_it_is(opened: Workbench, by_matrix: tuple[Plan, Path]) -> None:
    assert opened.model is not None
    tensor = opened.model.shape.by_name["blk.0.attn_q.weight"]

    async def error(recipe: Recipe) -> float:
        opened.use(recipe, "recipe")
        heard: list[InspectEvent] = []
        await opened.inspect(tensor, [TensorType.Q4_0], heard.append)
        [found] = [event.inspected for event in heard if isinstance(event, TypeInspected)]
        return found.error.rmse

    made, path = by_matrix
    copied = (await taken(opened, path)).recipe
    errors = [await error(recipe) for recipe in (MIX, made.recipe, copied)]
    assert errors[1] == errors[2] != errors[0]
