"""Recipe files: what is written is read back, and what cannot be read is said in one sentence."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import PRESET_NAMES, preset, ranges
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.selectors import compact, roles, select
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ZOO = ("own heads", "rows of 576", "8 experts", "falcon", "odd names")


def parse(lines: str, shape: ModelShape) -> Recipe:
    return parse_recipe(f'base = "Q4_0"\n[tensors]\n{lines}', shape, "mine.toml")


def types_of(recipe: Recipe) -> dict[str, TensorType]:
    return dict(recipe.overrides)


@settings(max_examples=150)
@given(data=st.data())
def test_what_is_written_is_read_back(data: st.DataObject, zoo_shapes: dict[str, ModelShape]) -> None:
    shape = zoo_shapes[data.draw(st.sampled_from(ZOO))]
    tensors = quantizable_tensors(shape)
    few = st.sampled_from(data.draw(st.lists(st.sampled_from(TARGET_TYPES), min_size=1, max_size=3)))
    by_block = data.draw(st.dictionaries(st.integers(0, shape.block_count - 1), few))
    overrides = {t.name: by_block[t.block] for t in tensors if t.block in by_block}
    overrides |= data.draw(st.dictionaries(st.sampled_from([t.name for t in tensors]), few, max_size=30))
    overrides = {n: t for n, t in overrides.items() if (shape.by_name[n].block or 0) < shape.block_count}
    name = data.draw(TEXT.filter(bool))
    recipe = Recipe(name, data.draw(st.sampled_from(FileType)), overrides, data.draw(TEXT))
    again = parse_recipe(format_recipe(recipe, shape), shape)
    assert (again.name, again.base, again.description) == (recipe.name, recipe.base, recipe.description)
    assert types_of(again) == overrides


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_preset_is_a_file_of_a_few_lines(name: str, zoo_shapes: dict[str, ModelShape]) -> None:
    shape = zoo_shapes["rows of 576"]
    text = format_recipe(preset(name, shape), shape)
    assert len(text.splitlines()) <= 9
    assert types_of(parse_recipe(text, shape)) == types_of(preset(name, shape))


def test_compact_selectors_read_well(tiny_shape: ModelShape) -> None:
    every = {t.name: TensorType.Q8_0 for t in quantizable_tensors(tiny_shape)}
    assert compact(tiny_shape, every) == {"token_embd": TensorType.Q8_0, "blk.0-3": TensorType.Q8_0}
    v = {f"blk.{block}.attn_v.weight": TensorType.Q6_K for block in range(4)}
    assert compact(tiny_shape, v) == {"blk.*.attn_v": TensorType.Q6_K}
    some = {f"blk.{block}.ffn_up.weight": TensorType.Q6_K for block in (0, 2, 3)}
    assert compact(tiny_shape, some) == {"blk.0,2-3.ffn_up": TensorType.Q6_K}


@given(st.sets(st.integers(0, 90)))
def test_ranges_say_exactly_the_numbers(numbers: set[int]) -> None:
    said = ranges(sorted(numbers))
    spans = [part.split("-") for part in said.split(",")] if numbers else []
    assert {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)} == numbers


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("blk.1", [f"blk.1.{r}.weight" for r in ("attn_k", "attn_output", "attn_q", "attn_v")]),
        ("blk.0-1.attn_q", ["blk.0.attn_q.weight", "blk.1.attn_q.weight"]),
        ("blk.0,2-3.attn_v.weight", [f"blk.{b}.attn_v.weight" for b in (0, 2, 3)]),
        ("blk.*.attn_k", [f"blk.{b}.attn_k.weight" for b in range(4)]),
        ("blk.2.attn_[qk]", ["blk.2.attn_k.weight", "blk.2.attn_q.weight"]),
        (" token_embd ", ["token_embd.weight"]),
        ("token_embd.weight", ["token_embd.weight"]),
    ],
)
def test_a_selector_names_tensors(selector: str, names: list[str], tiny_shape: ModelShape) -> None:
    assert [t.name for t in select(tiny_shape, selector) if "ffn" not in t.name] == names


def test_a_block_selector_reaches_that_block_alone(zoo_shapes: dict[str, ModelShape]) -> None:
    shape = zoo_shapes["rows of 576"]
    assert {tensor.block for tensor in select(shape, "blk.1")} == {1}
    assert {tensor.block for tensor in select(shape, "blk.2.ffn_*")} == {2}


@pytest.mark.parametrize(
    ("selector", "sentence"),
    [
        ("blk.4", "lacks: it has blocks 0 to 3"),
        ("blk.0-99999999999", "lacks: it has blocks 0 to 3"),
        ("blk.3-1", "cannot read the blocks"),
        ("blk.1-", "cannot read the blocks"),
        ("blk.-1", "cannot read the blocks"),
        ("blk.1,,2", "cannot read the blocks"),
        ("blk.one", "examples: blk.0-3"),
        ("blk", "examples: blk.0-3"),
        ("blk.0.attn_z", "matches no tensor"),
        ("blk.0.attn_norm", "matches no tensor"),
        ("output", "its blocks have: attn_k, attn_output"),
        ("", "matches no tensor"),
    ],
)
def test_a_selector_that_names_nothing_is_refused(
    selector: str, sentence: str, tiny_shape: ModelShape
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(f'"{selector}" = "Q8_0"', tiny_shape)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("mine.toml: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base = 'Q4_0'\nbse = 1", "unknown key 'bse'"),
        ("name = 'x'", "the key 'base' is missing"),
        ("base = 4", "'base' must be a text"),
        ("base = 'Q4_7'", "unknown base 'Q4_7'"),
        ("base = 'Q4_0'\nname = 1", "'name' must be a text"),
        ("base = 'Q4_0'\ntensors = 'all'", "'tensors' must be a table"),
        ("base = 'Q4_0'\n[tensors]\ntoken_embd = 'Q9'", "unknown tensor type 'Q9'"),
        ("base = 'Q4_0'\n[tensors]\ntoken_embd = 8", "the type of 'token_embd' must be a text"),
        ("base = 'Q4_0'\n[tensors]\n'blk.0' = 'I32'", "unknown tensor type 'I32'"),
        ("base = ", "is not a TOML recipe"),
        ("base = 'Q4_0'\nbase = 'Q8_0'", "is not a TOML recipe"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text: str, sentence: str, tiny_shape: ModelShape) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, tiny_shape, "mine.toml")
    assert sentence in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_types_go_by_their_short_names_in_any_case(tiny_shape: ModelShape) -> None:
    recipe = parse_recipe("base = 'q4_k'\n[tensors]\n'blk.0' = 'fp16'\n'blk.1' = 'Q8'", tiny_shape)
    assert recipe.base is FileType.Q4_K_M
    assert recipe.overrides["blk.0.attn_q.weight"] is TensorType.F16
    assert recipe.overrides["blk.1.attn_q.weight"] is TensorType.Q8_0


def test_later_lines_win(tiny_shape: ModelShape) -> None:
    recipe = parse('"blk.*" = "Q8_0"\n"blk.1-2" = "Q4_0"\n"blk.*.attn_v" = "Q6_K"', tiny_shape)
    assert recipe.overrides["blk.0.attn_q.weight"] is TensorType.Q8_0
    assert recipe.overrides["blk.1.attn_q.weight"] is TensorType.Q4_0
    assert recipe.overrides["blk.1.attn_v.weight"] is TensorType.Q6_K
    recipe = parse('"blk.*.attn_v" = "Q6_K"\n"blk.*" = "Q8_0"', tiny_shape)
    assert recipe.overrides["blk.1.attn_v.weight"] is TensorType.Q8_0


def test_selectors_without_quotes_mean_the_same(tiny_shape: ModelShape) -> None:
    recipe = parse('blk.0-2 = "Q8_0"\nblk.1 = "Q4_0"\nblk.3.attn_v = "Q6_K"\ntoken_embd = "Q8_0"', tiny_shape)
    quoted = parse(
        '"blk.0-2" = "Q8_0"\n"blk.1" = "Q4_0"\n"blk.3.attn_v" = "Q6_K"\n"token_embd" = "Q8_0"', tiny_shape
    )
    assert types_of(recipe) == types_of(quoted)


@pytest.mark.parametrize(
    "lines",
    [
        'blk.0 = "Q4_0"\n"blk.*" = "Q8_0"\nblk.1 = "Q4_0"',
        '"blk.0" = "Q4_0"\nblk.0 = "Q8_0"',
        'blk."*".attn_v = "Q6_K"\nblk.0.ffn_up = "Q6_K"\nblk.0.attn_v = "Q4_0"\nblk."*".ffn_up = "Q8_0"',
    ],
)
def test_where_toml_forgets_the_order_of_lines_the_answer_is_not_guessed(
    lines: str, tiny_shape: ModelShape
) -> None:
    tomllib.loads(lines)
    with pytest.raises(RecipeError, match=r"both name blk\.\d.* write both in quotes"):
        parse(lines, tiny_shape)


def test_roles_are_those_of_quantizable_tensors(tiny_shape: ModelShape) -> None:
    expected = ["attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up"]
    assert roles(tiny_shape) == expected


def test_a_recipe_file_commands_no_terminal_that_shows_it(tiny_shape: ModelShape) -> None:
    strange = "a\x1b]0;x\x07\x7f\x9b2J\u202e\u2028😀\n\\"
    text = format_recipe(Recipe(strange, FileType.Q4_0, {}, description=strange), tiny_shape)
    assert "".join(text.splitlines()).isprintable() and "😀" in text
    again = parse_recipe(text, tiny_shape)
    assert (again.name, again.description) == (strange, strange)
