"""Recipes as strangers may write them are refused with a short sentence, and at once."""

from __future__ import annotations

import pytest

from lqtui.export.script_reader import read_script
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe_file import parse_recipe
from lqtui.recipe.selectors import select
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.tensor_types import match, parse_entries
from lqtui.recipe.toml_text import NotTomlError, parse_toml

MANY = 1 << 17

HUNG_OR_DIED = {
    "dots in a key": "a." * MANY + "a = 1",
    "dots between quotes": "base = 'Q4_0'\n" + '"a b" . ' * MANY + "a = 1",
    "brackets": "a = " + "[" * MANY,
    "inline tables": "a = " + "{a = " * MANY,
    "digits": "a = " + "1" * MANY,
    "blocks of thousands of digits": 'base = "Q4_0"\n[tensors]\n"blk.' + "9" * 5000 + '" = "Q8_0"',
    "a range of thousands of digits": 'base = "Q4_0"\n[tensors]\n"blk.0-' + "9" * 5000 + '" = "Q8_0"',
    "a type that goes on": f'base = "Q4_0"\n[tensors]\n"blk.0" = "{"Q" * MANY}"',
    "a key that goes on": f'{"k" * MANY} = "Q4_0"',
    "more lines than tensors": 'base = "Q4_0"\n[tensors]\n'
    + "\n".join(f'"blk.{"0" * n}" = "Q8_0"' for n in range(1, 12))
    + "\n"
    + "\n".join(f'"blk.0{",0" * n}" = "Q8_0"' for n in range(10_000)),
}


@pytest.mark.parametrize("what", HUNG_OR_DIED)
def test_a_recipe_that_no_reader_should_follow_is_a_short_sentence(
    what: str, zoo_shapes: dict[str, ModelShape]
) -> None:
    shape = next(iter(zoo_shapes.values()))
    with pytest.raises(RecipeError) as refusal:
        parse_recipe(HUNG_OR_DIED[what], shape, "r.toml")
    assert len(str(refusal.value)) < 1100


def test_dots_in_texts_and_comments_are_no_tables() -> None:
    dots = "a.b " * 200 + "x." * 200
    text = f'a = "{dots}" # {dots}\nb = \'{dots}\'\nc = """{dots}\\"""{dots}"""\nd.e.f = 1\n'
    assert parse_toml(text)["d"] == {"e": {"f": 1}}


def test_tables_are_read_as_deep_as_anybody_needs_them() -> None:
    assert parse_toml("a." * 30 + "a = 1")["a"]
    with pytest.raises(NotTomlError, match="nested"):
        parse_toml("a." * 40 + "a = 1")


@pytest.mark.parametrize(
    "pattern",
    [
        ".?" * 30 + "!",
        "x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?x?!",
        ".{0,60}" * 8 + "!",
        "(.|..)" * 30 + "!",
        "(.?|x)" * 20 + "!",
        "[" * 3_000,
    ],
)
def test_a_pattern_with_too_many_ways_to_match_is_refused(pattern: str) -> None:
    with pytest.raises(RecipeError, match="too involved"):
        parse_entries(f"{pattern}=q8_0")


@pytest.mark.parametrize(
    "pattern",
    [
        r"blk\.(0|1|2|3)\.(attn_q|attn_k|attn_v)\.weight",
        r"^blk\.(1?[0-9]|2[0-3])\.ffn_.*",
        r"(?:attn|ffn)_.*\.weight",
        r"blk\.[0-9]{1,2}\.ffn_(up|gate|down)",
    ],
)
def test_patterns_that_people_write_are_read(pattern: str, zoo_shapes: dict[str, ModelShape]) -> None:
    (entry,) = parse_entries(f"{pattern}=q8_0")
    assert entry.pattern == pattern
    assert any(match(shape, [entry]).types for shape in list(zoo_shapes.values())[:1])


def test_more_tensor_types_than_any_model_has_tensors_are_refused() -> None:
    with pytest.raises(RecipeError, match="no more than"):
        parse_entries("a=f16 " * 20_000)


@pytest.mark.parametrize(
    "text",
    ["#!/bin/bash\n" + "options=(\n" * MANY, "#!/bin/bash\n# " + ": " * MANY, "#!"],
)
def test_a_script_that_repeats_how_one_begins_is_refused_at_once(text: str) -> None:
    with pytest.raises(RecipeError, match="not a script that lqtui exported"):
        read_script(text)


def test_blocks_may_be_written_with_zeros_before_them(zoo_shapes: dict[str, ModelShape]) -> None:
    shape = next(iter(zoo_shapes.values()))
    assert select(shape, "blk.00-01") == select(shape, "blk.0-1")
