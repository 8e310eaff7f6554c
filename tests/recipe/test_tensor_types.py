"""llama-quantize's tensor types mean here what they mean there, and hostile ones cost nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stock_quantize import StockQuantizer

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.tensor_types import match, parse_entries
from lqtui.recipe.types import TensorType

PATTERNS = (
    "blk.1",
    r"blk\.1\.",
    "attn_v",
    "ffn",
    "ffn_(up|gate)",
    r"blk\.(0|2)\..*_q",
    "token_embd",
    "K",
    "v.w",
)
TYPES = ("q8_0", "Q6_K", "q4_0", "iq4_nl", "F16")


@settings(max_examples=40)
@given(data=st.data())
def test_unanchored_patterns_reach_what_llama_quantize_says(
    data: st.DataObject, zoo: dict[str, Path], zoo_shapes: dict[str, ModelShape], stock: StockQuantizer
) -> None:
    name = data.draw(st.sampled_from(("own heads", "rows of 576", "8 experts")))
    shape = zoo_shapes[name]
    drawn = data.draw(st.lists(st.tuples(st.sampled_from(PATTERNS), st.sampled_from(TYPES)), max_size=5))
    present = [(p, t) for p, t in drawn if any(re.search(p.lower(), x.name) for x in shape.tensors)]
    entries = parse_entries("\n".join(f"{pattern}={kind}" for pattern, kind in present))
    try:
        types = match(shape, entries).types
    except RecipeError:
        return  # found only in tensors that are never quantized
    plan = resolve(shape, Recipe("mine", FileType.Q4_0, types))
    outcome = stock.dry_run(zoo[name], FileType.Q4_0, [(e.pattern, e.type) for e in entries])
    assert outcome.done, outcome.log[-300:]
    assert {p.name: p.effective for p in plan.tensors} == outcome.types


def test_a_pattern_that_reaches_further_than_it_says_is_told(zoo_shapes: dict[str, ModelShape]) -> None:
    shape = zoo_shapes["rows of 576"]
    assert shape.block_count > 10
    reached = match(shape, parse_entries("blk.1=q8_0"))
    assert len(reached.notices) == 1 and "reaches the blocks 1,10-" in reached.notices[0]
    assert reached.types["blk.10.attn_q.weight"] is TensorType.Q8_0
    for exact in (r"blk\.1\.", "blk.(1|2).attn_v", "attn_v"):
        assert match(shape, parse_entries(f"{exact}=q8_0")).notices == ()


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("attn_v", "not a tensor type"),
        ("=q8_0", "not a tensor type"),
        ("attn_v=", "not a tensor type"),
        ("attn_v=q9_9", "unknown tensor type"),
        ("attn_v(=q8_0", "not a regular expression"),
        ("nothing_like_it=q8_0", "no tensor of"),
        ("(a+)+$=q8_0", "too involved"),
        ("(a|aa){2,}$=q8_0", "too involved"),
        (".*.*.*.*x=q8_0", "too involved"),
        (r"(a)\1=q8_0", "too involved"),
        ("(?!blk)=q8_0", "too involved"),
        (f"{'(' * 3000}={'q8_0'}", "not a regular expression"),
        (f"{'a' * 5000}=q8_0", "too involved"),
    ],
)
def test_bad_entries_are_a_sentence(text: str, sentence: str, zoo_shapes: dict[str, ModelShape]) -> None:
    with pytest.raises(RecipeError, match=sentence):
        match(zoo_shapes["rows of 576"], parse_entries(text))


@settings(max_examples=300)
@given(text=st.text(st.sampled_from("abkl.0+*(){}[]|\\?^$,=q8_"), max_size=40))
def test_no_pattern_takes_long(text: str, zoo_shapes: dict[str, ModelShape]) -> None:
    started = time.process_time()
    try:
        match(zoo_shapes["rows of 576"], parse_entries(f"{text}=q8_0"))
    except RecipeError as error:
        assert len(str(error)) < 2000
    assert time.process_time() - started < 5  # those that are refused would take for ever
