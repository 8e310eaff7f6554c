"""What an importance matrix is to a recipe: part of what it is, exactly where it changes bytes."""

from __future__ import annotations

import msgspec
import pytest

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe, base_recipe, resolve, with_imatrix, with_type
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.recipe_json import format_recipe_json, parse_recipe_json
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType


@pytest.fixture
def imatrix(demo_shape: ModelShape) -> Imatrix:
    sizes = {
        tensor.name: tensor.columns for tensor in quantizable_tensors(demo_shape) if tensor.block is not None
    }
    return Imatrix("/home/me/m.gguf", "a" * 64, sizes, "text.txt", 100)


def plan(shape: ModelShape, base: FileType, imatrix: Imatrix | None, **overrides: TensorType) -> Plan:
    types = {f"blk.0.{role}.weight": kind for role, kind in overrides.items()}
    return resolve(shape, Recipe("r", base, types, imatrix=imatrix))


def test_recipes_that_no_matrix_changes_are_the_same_weights_with_and_without(
    demo_shape: ModelShape, imatrix: Imatrix
) -> None:
    for base in (FileType.F16, FileType.Q8_0, FileType.TQ2_0):
        without, weighted = (plan(demo_shape, base, matrix) for matrix in (None, imatrix))
        assert without.digest == weighted.digest
        assert without.file_bytes == weighted.file_bytes
        assert weighted.imatrix is None


def test_recipes_that_a_matrix_changes_are_other_weights_with_each(
    demo_shape: ModelShape, imatrix: Imatrix
) -> None:
    other = msgspec.structs.replace(imatrix, sha256="b" * 64)
    moved = msgspec.structs.replace(imatrix, path="/elsewhere/n.gguf")
    digests = [plan(demo_shape, FileType.Q4_K_S, matrix).digest for matrix in (None, imatrix, other, moved)]
    assert len(set(digests)) == 3
    assert digests[1] == digests[3]


def test_only_tensors_that_it_knows_and_whose_type_uses_it_name_the_matrix(
    demo_shape: ModelShape, imatrix: Imatrix
) -> None:
    planned = plan(demo_shape, FileType.Q4_0, imatrix, attn_q=TensorType.Q8_0, attn_k=TensorType.F16)
    named = {p.name for p in planned.tensors if p.imatrix}
    assert {"blk.0.attn_v.weight", "blk.23.ffn_down.weight"} <= named
    assert not named & {
        "blk.0.attn_q.weight",
        "blk.0.attn_k.weight",
        "token_embd.weight",
        "output_norm.weight",
    }


def test_types_that_need_a_matrix_are_let_through_where_it_knows_the_tensor(imatrix: Imatrix) -> None:
    names = ("blk.0.ffn_down.weight", "blk.1.ffn_down.weight", "token_embd.weight")
    known, unknown, embedding = (TensorInfo(name, (256, 8), TensorType.F16) for name in names)
    imatrix = msgspec.structs.replace(imatrix, sizes={known.name: 256})
    needy = [TensorType.IQ3_XXS, TensorType.IQ2_XS]
    assert effective_types(known, needy) == ()
    assert effective_types(known, needy, imatrix) == tuple(needy)
    assert effective_types(unknown, needy, imatrix) == ()
    assert effective_types(embedding, needy, imatrix) == (TensorType.IQ3_XXS,)


def test_an_edit_keeps_the_matrix(demo_shape: ModelShape, imatrix: Imatrix) -> None:
    start = resolve(demo_shape, with_imatrix(base_recipe(demo_shape), imatrix))
    edited = with_type(start, ["blk.0.attn_q.weight"], TensorType.Q4_0)
    assert edited.imatrix == imatrix
    assert resolve(demo_shape, edited).imatrix == imatrix


def test_a_recipe_file_names_the_matrix_and_its_digest(demo_shape: ModelShape, imatrix: Imatrix) -> None:
    recipe = Recipe("r", FileType.IQ2_XS, {"blk.0.attn_q.weight": TensorType.Q8_0}, imatrix=imatrix)
    asked: list[tuple[str, str]] = []

    def find(path: str, sha256: str) -> Imatrix:
        asked.append((path, sha256))
        return imatrix

    assert parse_recipe(format_recipe(recipe, demo_shape), demo_shape, find_imatrix=find) == recipe
    assert parse_recipe_json(format_recipe_json(recipe), demo_shape, find_imatrix=find) == recipe
    assert asked == [("/home/me/m.gguf", "a" * 64)] * 2


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("imatrix = 3", "'imatrix' must be a text"),
        ("imatrix_sha256 = 'ab'", "goes with 'imatrix'"),
        ("imatrix = 'm.gguf'", "cannot be looked for here"),
    ],
)
def test_what_is_wrong_with_a_recipes_matrix_is_said(
    lines: str, sentence: str, demo_shape: ModelShape
) -> None:
    with pytest.raises(RecipeError, match=f"r.toml: .*{sentence}"):
        parse_recipe(f"base = 'Q4_0'\n{lines}\n", demo_shape, "r.toml")


def test_the_header_takes_127_bytes_of_a_name(imatrix: Imatrix) -> None:
    long = msgspec.structs.replace(imatrix, path="C:\\me\\" + "ä" * 100 + ".gguf", dataset="x" * 200)
    header = long.header()
    assert header["quantize.imatrix.file"] == ("ä" * 64).encode()[:127]
    assert header["quantize.imatrix.dataset"] == b"x" * 127
