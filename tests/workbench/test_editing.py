"""A model opened and its recipe edited; what fails leaves all as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.presets import preset
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from tests.workbench.bench_jobs import done, measure

# Opening


async def test_a_model_opens_with_the_recipe_that_changes_nothing(
    opened: Workbench, demo_model: Path
) -> None:
    assert opened.model is not None and opened.plan is not None
    assert opened.model.path == demo_model
    assert opened.plan.unchanged and not opened.modified
    assert opened.undo_label is None and opened.redo_label is None


async def test_a_file_that_cannot_be_opened_leaves_the_open_model_as_it_was(
    opened: Workbench, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"GGUF" + bytes(100))
    model, plan = opened.model, opened.plan
    for path, sentence in (
        (junk, "junk.gguf"),
        (tmp_path, "is a directory"),
        (tmp_path / "no.gguf", "not exist"),
    ):
        with pytest.raises(WorkbenchError, match=sentence):
            await opened.open(path)
    assert opened.model is not None and model is not None
    assert opened.model.path == model.path and opened.plan is plan


async def test_another_model_takes_the_place_of_the_open_one_and_stops_its_jobs(
    opened: Workbench, tmp_path: Path
) -> None:
    job = measure(opened, "uniform_q4_0")
    other = write_tiny_llama(tmp_path / "other.gguf", blocks=2, seed=9)
    await opened.open(other)
    assert opened.model is not None and opened.model.shape.block_count == 2
    assert (await opened.wait(job)).state is JobState.CANCELLED
    assert opened.results == ()
    await done(opened, measure(opened, "uniform_q4_0"))
    assert {row.name for row in opened.results} == {"base", "uniform_q4_0"}


async def test_a_place_for_logs_that_cannot_be_made_is_a_sentence(
    paths: Paths, settings: Settings, tiny_model: Path
) -> None:
    bench = Workbench(paths, settings)
    paths.logs.parent.mkdir(exist_ok=True)
    paths.logs.write_text("a file in the place of the folder")
    with pytest.raises(WorkbenchError, match="cannot be a folder"):
        await bench.open(tiny_model)
    await bench.close()


# The recipe


async def test_edits_are_undone_and_redone_by_their_labels(opened: Workbench) -> None:
    assert opened.plan is not None
    before = opened.plan.digest
    opened.assign(["blk.0.ffn_up.weight"], TensorType.Q4_0, "blk.0.ffn_up Q4_0")
    middle = opened.plan.digest
    opened.assign(["blk.1.ffn_up.weight"], TensorType.Q8_0, "blk.1.ffn_up Q8_0")
    assert opened.modified and opened.undo_label == "blk.1.ffn_up Q8_0"
    assert opened.undo() == "blk.1.ffn_up Q8_0" and opened.plan.digest == middle
    assert opened.redo_label == "blk.1.ffn_up Q8_0"
    assert opened.undo() == "blk.0.ffn_up Q4_0" and opened.plan.digest == before
    assert not opened.modified and opened.undo() is None
    assert opened.redo() == "blk.0.ffn_up Q4_0" and opened.plan.digest == middle
    opened.assign(["blk.2.ffn_up.weight"], TensorType.Q8_0, "another way")
    assert opened.redo_label is None


async def test_an_edit_that_changes_nothing_is_no_edit(opened: Workbench) -> None:
    plan = opened.plan
    opened.assign(["blk.0.attn_norm.weight", "no.such.weight"], TensorType.Q4_0, "norms")
    opened.assign(["blk.0.ffn_up.weight"], TensorType.F16, "as it is")
    assert opened.plan is plan and opened.undo_label is None


async def test_a_recipe_is_used_renamed_saved_and_loaded(opened: Workbench, tmp_path: Path) -> None:
    assert opened.model is not None and opened.plan is not None
    opened.use(preset("ffn_q8", opened.model.shape), "preset ffn_q8")
    assert opened.plan.recipe.name == "ffn_q8" and not opened.modified
    opened.assign(["blk.0.attn_v.weight"], TensorType.Q6_K, "attn_v")
    assert opened.modified and opened.plan.recipe.name == "custom"
    opened.rename("mine")
    assert not opened.modified
    saved, path = opened.plan, tmp_path / "mine.toml"
    opened.save_recipe(path)
    opened.use(preset("uniform_q4_0", opened.model.shape), "preset")
    await opened.use_imported(path)
    assert opened.plan.digest == saved.digest and opened.plan.recipe.name == "mine"
    assert opened.undo_label == "import mine.toml"


@pytest.mark.parametrize(
    "text, sentence",
    [
        (b'base = "Q4_0"\ncolour = "red"', "unknown key 'colour'"),
        (b'base = "Q4_0"\n[tensors]\n"blk.24" = "Q8_0"', "blk.24"),
        (b'base = "Q4_0"\n[tensors]\n"blk.0" = "Q9_9"', "Q9_9"),
        (b"base = ", "not a TOML recipe"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (1 << 21), "too large"),
    ],
    ids=["key", "block", "type", "TOML", "binary", "huge"],
)
async def test_a_bad_recipe_file_is_a_sentence_that_names_it(
    text: bytes, sentence: str, opened: Workbench, tmp_path: Path
) -> None:
    path, plan = tmp_path / "bad.toml", opened.plan
    path.write_bytes(text)
    with pytest.raises(WorkbenchError, match=rf"bad\.toml.*{sentence}"):
        await opened.use_imported(path)
    assert opened.plan is plan


async def test_nothing_is_written_over_the_model_by_any_name(
    bench: Workbench, tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(tiny_model, tmp_path / "model.gguf"))
    content = model.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.gguf").symlink_to(model)
    await bench.open(model)
    for out in (model, tmp_path / "folder" / ".." / "model.gguf", tmp_path / "link.gguf"):
        for write in (bench.quantize, bench.save_recipe, bench.save_script):
            with pytest.raises(WorkbenchError, match="is the base model itself"):
                write(out)
    assert model.read_bytes() == content
