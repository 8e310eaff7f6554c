"""What a quantized file is to a recipe: its own bytes, exactly where a tensor has the file's type."""

from __future__ import annotations

import msgspec
import pytest

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_imatrix, with_type
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.recipe_json import format_recipe_json, parse_recipe_json
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

MIX = Recipe("mix", FileType.Q4_0, {"blk.0.attn_q.weight": TensorType.F16})


@pytest.fixture
def file(demo_shape: ModelShape) -> QuantizedFile:
    """A file at the types of the mix."""
    types = {planned.name: planned.effective for planned in resolve(demo_shape, MIX).tensors}
    return QuantizedFile("/home/me/q.gguf", "f" * 64, types)


def plan(shape: ModelShape, file: QuantizedFile | None) -> Plan:
    return resolve(shape, msgspec.structs.replace(MIX, file=file))


def test_a_recipe_by_a_file_is_other_weights_than_its_types_and_than_another_file(
    demo_shape: ModelShape, file: QuantizedFile
) -> None:
    other = msgspec.structs.replace(file, sha256="e" * 64)
    moved = msgspec.structs.replace(file, path="/elsewhere/r.gguf")
    digests = [plan(demo_shape, each).digest for each in (None, file, other, moved)]
    assert len(set(digests)) == 3
    assert digests[1] == digests[3]


def test_what_is_as_in_the_base_model_is_not_copied(demo_shape: ModelShape, file: QuantizedFile) -> None:
    copied = {planned.name for planned in plan(demo_shape, file).copied}
    free = {tensor.name for tensor in quantizable_tensors(demo_shape)}
    assert copied == free - {"blk.0.attn_q.weight"}


def test_an_edit_quantizes_the_edited_tensor_alone(demo_shape: ModelShape, file: QuantizedFile) -> None:
    start = plan(demo_shape, file)
    edited = resolve(demo_shape, with_type(start, ["blk.3.attn_v.weight"], TensorType.Q8_0))
    changed = {name for name, encoding in edited.encodings.items() if encoding != start.encodings[name]}
    assert changed == {"blk.3.attn_v.weight"}
    assert edited.by_name["blk.3.attn_v.weight"].encoding == (TensorType.Q8_0, "", "")
    back = resolve(demo_shape, with_type(edited, ["blk.3.attn_v.weight"], TensorType.Q4_0))
    assert back.digest == start.digest


def test_where_nothing_is_copied_the_file_changes_nothing(
    demo_shape: ModelShape, file: QuantizedFile
) -> None:
    recipe = Recipe("q8", FileType.Q8_0)
    without, beside = (resolve(demo_shape, msgspec.structs.replace(recipe, file=f)) for f in (None, file))
    assert without.digest == beside.digest and beside.file is None


def test_copied_tensors_need_no_importance_matrix_and_are_weighed_by_none(
    demo_shape: ModelShape, file: QuantizedFile
) -> None:
    needy = Recipe("iq2", FileType.IQ2_XS)
    assert resolve(demo_shape, needy).missing_imatrix
    types = {planned.name: planned.effective for planned in resolve(demo_shape, needy).tensors}
    file = msgspec.structs.replace(file, types=types)
    copied = resolve(demo_shape, msgspec.structs.replace(needy, file=file))
    assert not copied.missing_imatrix and copied.imatrix is None
    sizes = {tensor.name: tensor.columns for tensor in quantizable_tensors(demo_shape)}
    weighted = resolve(demo_shape, with_imatrix(copied.recipe, Imatrix("m", "a" * 64, sizes)))
    assert weighted.copied and not any(planned.imatrix for planned in weighted.copied)
    edited = resolve(demo_shape, with_type(weighted, ["blk.3.attn_v.weight"], TensorType.IQ2_S))
    assert edited.by_name["blk.3.attn_v.weight"].imatrix == "a" * 64


def test_a_recipe_file_names_the_file_and_its_digest(demo_shape: ModelShape, file: QuantizedFile) -> None:
    recipe = msgspec.structs.replace(MIX, file=file)
    asked: list[tuple[str, str]] = []

    def find(path: str, sha256: str) -> QuantizedFile:
        asked.append((path, sha256))
        return file

    assert parse_recipe(format_recipe(recipe, demo_shape), demo_shape, find_file=find) == recipe
    assert parse_recipe_json(format_recipe_json(recipe), demo_shape, find_file=find) == recipe
    assert asked == [("/home/me/q.gguf", "f" * 64)] * 2


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("file = 3", "'file' must be a text"),
        ("file_sha256 = 'ab'", "goes with 'file'"),
        ("file = 'q.gguf'", "cannot be looked for here"),
    ],
)
def test_what_is_wrong_with_a_recipes_file_is_said(lines: str, sentence: str, demo_shape: ModelShape) -> None:
    with pytest.raises(RecipeError, match=f"r.toml: .*{sentence}"):
        parse_recipe(f"base = 'Q4_0'\n{lines}\n", demo_shape, "r.toml")


def test_the_file_of_another_model_is_refused(
    demo_shape: ModelShape, tiny_shape: ModelShape, file: QuantizedFile
) -> None:
    few = {name: file.types[name] for name in tiny_shape.by_name if name in file.types}
    with pytest.raises(RecipeError, match=r"another model: it has no blk\.4\."):
        plan(demo_shape, msgspec.structs.replace(file, types=few))


@pytest.mark.parametrize("value", ["null", '{"path": "/home/me/q.gguf", "sha256": "ff"}'])
def test_a_printed_plan_names_the_file_in_an_object(
    value: str, demo_shape: ModelShape, file: QuantizedFile
) -> None:
    text = f'{{"base": "Q4_0", "file": {value}, "imatrix": null}}'
    found = parse_recipe_json(text, demo_shape, find_file=lambda path, sha256: file)
    assert found.file == (None if value == "null" else file)
