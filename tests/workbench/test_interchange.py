"""Recipes go out in every format and come back the same, and other programs' files come in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lqtui.recipe.differences import differences, side_of_file, side_of_plan
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.lifting import lift
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.recipe_file import format_recipe
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.workbench import Workbench, WorkbenchError
from lqtui.workbench.interchange import RecipeFormat, format_for
from lqtui.workbench.matrix_files import without_folders
from tests.gguf_files import write_tiny_llama

SUFFIXES = {"toml": ".toml", "json": ".json", "tensor-types": ".txt", "script": ".sh"}


def plan_of(bench: Workbench, recipe: Recipe) -> Plan:
    assert bench.model is not None
    return resolve(bench.model.shape, recipe)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_every_format_brings_the_same_weights_back(
    data: st.DataObject, opened: Workbench, tmp_path: Path
) -> None:
    assert opened.model is not None
    few = st.sampled_from(
        (TensorType.Q8_0, TensorType.Q6_K, TensorType.Q4_0, TensorType.IQ4_NL, TensorType.F16)
    )
    names = [tensor.name for tensor in quantizable_tensors(opened.model.shape)]
    base = data.draw(st.sampled_from((FileType.Q4_0, FileType.Q4_K_M, FileType.Q8_0)))
    recipe = Recipe("mine", base, data.draw(st.dictionaries(st.sampled_from(names), few, max_size=40)))
    plan = plan_of(opened, recipe)
    for form in RecipeFormat:
        path = tmp_path / f"mine{SUFFIXES[form]}"
        assert format_for(path) is form
        opened.write_recipe(path, plan, form)
        again = await opened.import_recipe(path)
        if form is RecipeFormat.TENSOR_TYPES:  # which leaves the file type to llama-quantize's own argument
            again_plan = plan_of(opened, Recipe("", base, again.recipe.overrides))
        else:
            again_plan = plan_of(opened, again.recipe)
            assert again.recipe.name == "mine" and again.recipe.base is base and not again.notices
        assert again_plan.digest == plan.digest, form


async def test_a_printed_plan_is_read_as_a_recipe(opened: Workbench, tmp_path: Path) -> None:
    from lqtui.cli.output import plan_document

    assert opened.model is not None
    plan = plan_of(opened, preset("ffn_q8", opened.model.shape))
    fit = await opened.known_fit(plan)
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan_document(plan, fit)))
    assert plan_of(opened, (await opened.import_recipe(path)).recipe).digest == plan.digest


@pytest.mark.parametrize("name", ["ffn_q8", "uniform_q4_0"])
async def test_a_quantized_file_is_lifted_onto_the_grid(name: str, opened: Workbench, tmp_path: Path) -> None:
    assert opened.model is not None
    plan = plan_of(opened, preset(name, opened.model.shape))
    out = tmp_path / "community.gguf"
    await opened.wait(opened.quantize_plan(plan, out))
    assert await opened.use_imported(out) == ()
    assert opened.plan is not None and opened.plan.digest == plan.digest
    assert opened.plan.recipe.base is FileType.Q4_0  # as its header says
    assert opened.undo_label == "import community.gguf"
    assert opened.undo() and opened.plan.unchanged
    assert differences(side_of_plan(plan), await opened.side(out)) == ()


def test_named_mixes_are_lifted_without_overrides(demo_shape: ModelShape) -> None:
    for file_type in (FileType.Q4_K_M, FileType.Q3_K_L, FileType.Q5_K_S, FileType.Q8_0):
        plan = resolve(demo_shape, Recipe("mix", file_type))
        there = as_file(demo_shape, plan, file_type.number)
        lifted = lift(demo_shape, there, "other")
        assert resolve(demo_shape, lifted.recipe).digest == plan.digest
        assert lifted.recipe.base is file_type
        lying = as_file(demo_shape, plan, FileType.IQ4_XS.number)
        assert resolve(demo_shape, lift(demo_shape, lying, "other").recipe).digest == plan.digest


async def test_a_file_of_another_model_is_refused(opened: Workbench, tmp_path: Path) -> None:
    other = write_tiny_llama(tmp_path / "other.gguf")
    plan = opened.plan
    with pytest.raises(WorkbenchError, match="other is of another model"):
        await opened.use_imported(other)
    assert opened.plan is plan


@pytest.mark.parametrize(
    "name, text, sentence",
    [
        ("a.json", "{", "not a JSON recipe"),
        ("a.json", '{"base": "Q4_0", "tensors": 3}', "an object of names and types"),
        ("a.json", '{"base": "Q4_0", "tensors": {"blk.99.attn_q.weight": "Q8_0"}}', "blk.99"),
        ("a.json", '{"tensors": {"blk.0.attn_q.weight": "Q8_0"}}', "'base' is missing"),
        ("a.json", '{"base": 4}', "must be a text"),
        ("a.json", "{" * 100_000, "not a JSON recipe"),
        ("a.sh", "#!/bin/sh\nrm -rf /\n", "not a script that lqtui exported"),
        ("a.gguf", "GGUF and no more", "GGUF"),
        ("a.txt", "blk.0=q9", "unknown tensor type"),
        ("a.txt", "hello", "not a TOML recipe"),
    ],
)
async def test_what_is_no_recipe_is_a_sentence(
    name: str, text: str, sentence: str, opened: Workbench, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    plan = opened.plan
    with pytest.raises(WorkbenchError, match=sentence) as refusal:
        imported = await opened.import_recipe(tmp_path / name)
        opened.use(imported.recipe, "import")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 600
    assert opened.plan is plan


def test_an_unknown_suffix_names_those_that_are_known() -> None:
    with pytest.raises(WorkbenchError, match=r"\.toml"):
        format_for(Path("recipe.yaml"))


def test_differences_are_told_tensor_by_tensor(demo_shape: ModelShape) -> None:
    a = resolve(demo_shape, preset("first_4_layers_q8", demo_shape))
    b = resolve(demo_shape, preset("last_4_layers_q8", demo_shape))
    found = differences(side_of_plan(a), side_of_plan(b))
    assert {d.tensor.block for d in found} == {0, 1, 2, 3, 20, 21, 22, 23}
    assert sum(d.bytes_more for d in found) == b.data_bytes - a.data_bytes
    assert all({d.type, d.other} == {TensorType.Q8_0, TensorType.Q4_0} for d in found)
    assert differences(side_of_plan(a), side_of_plan(a)) == ()


def test_files_of_different_models_differ_in_what_one_lacks(
    demo_shape: ModelShape, tiny_shape: ModelShape
) -> None:
    found = differences(side_of_file("demo", demo_shape), side_of_file("tiny", tiny_shape))
    kinds = {(d.type is None, d.other is None, d.other_shape) for d in found}
    assert (False, True, False) in kinds and (False, False, True) in kinds


def test_tensors_that_cannot_be_given_are_noticed(demo_shape: ModelShape) -> None:
    plan = resolve(demo_shape, preset(PRESET_NAMES[2], demo_shape))
    there = as_file(demo_shape, plan, FileType.Q4_0.number)
    norm = next(t for t in there.tensors if t.name.endswith("_norm.weight"))
    tensors = tuple(TensorInfo(t.name, t.ne, TensorType.F16) if t is norm else t for t in there.tensors)
    extra = TensorInfo("extra.weight", (32,), TensorType.F32)
    changed = type(there)(there.name, there.architecture, 24, (*tensors, extra), 0, 0)
    lifted = lift(demo_shape, changed, "other")
    assert any(norm.name in notice for notice in lifted.notices)
    assert any("extra.weight" in notice for notice in lifted.notices)
    without = type(there)(there.name, there.architecture, 24, tensors[:-1], 0, 0)
    with pytest.raises(RecipeError, match="another model"):
        lift(demo_shape, without, "other")


def as_file(shape: ModelShape, plan: Plan, file_type: int) -> ModelShape:
    """The shape of the file that a plan makes."""
    tensors = tuple(TensorInfo(p.name, p.tensor.ne, p.effective) for p in plan.tensors)
    return ModelShape(
        shape.name,
        shape.architecture,
        shape.block_count,
        tensors,
        shape.meta_bytes,
        plan.file_bytes,
        file_type,
    )


def test_what_is_shown_to_anybody_names_no_folder(demo_shape: ModelShape) -> None:
    imatrix = Imatrix("/home/me/secret/mine.imatrix.gguf", "a" * 64, {"blk.0.attn_q.weight": 256})
    recipe = Recipe("mine", FileType.Q4_0, imatrix=imatrix)
    text = format_recipe(without_folders(recipe), demo_shape)
    assert "secret" not in text and '"mine.imatrix.gguf"' in text and "a" * 64 in text
    assert without_folders(Recipe("plain", FileType.Q4_0)) == Recipe("plain", FileType.Q4_0)
