"""What the status line says of the recipe under the results' cursor."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import FakeWorkbench
from model_shapes import llama_shape
from scripted_results import scores_of, seed_results

from lqtui.tui.widgets.result_columns import Row
from lqtui.tui.widgets.result_sentence import sentences
from lqtui.tui.widgets.standings import Comparer
from lqtui.workbench import Result

SHAPE = llama_shape()
RESULTS = {result.name: result for result in seed_results(SHAPE)}
REFERENCE = RESULTS["attention_q8"]


def said_of(result: Result, *, spread: float = 0.015, picked: bool = False) -> list[str]:
    """All wordings, from long to short, beside `attention_q8`."""
    bench = FakeWorkbench(SHAPE)
    bench.scores = scores_of(RESULTS.values(), spread)
    found = Comparer(bench).standings([*RESULTS.values(), result], REFERENCE, picked=picked)
    row = Row(result, found.beside.get(result.digest), result.digest == REFERENCE.digest, wanted=5)
    return sentences(row, found)


def test_a_verdict_comes_with_its_differences_their_errors_and_the_confidence() -> None:
    assert said_of(RESULTS["uniform_q4_0"])[0] == (
        "uniform_q4_0 is worse than attention_q8 (95 % confidence, 5 chunks): "
        "ΔKLD +0.116 ±0.008, ΔNLL +0.186 ±0.008 nats a token."
    )


def test_a_verdict_beside_the_recipe_with_the_best_numbers_says_that_it_holds_for_all_rows() -> None:
    first, *_, last = said_of(RESULTS["uniform_q4_0"], picked=True)
    assert "is worse than attention_q8 (95 % for all rows together, 5 chunks)" in first
    assert last.startswith("Worse (95 % for all rows together)") and len(last) <= 78
    told = said_of(RESULTS["ffn_q8"], picked=True)
    assert "Can't tell ffn_q8 from attention_q8 at 95 % for all rows together after 5 chunks" in told[0]
    assert len(told[-1]) <= 78


def test_a_better_recipe_is_said_to_be_better() -> None:
    better = replace(RESULTS["ffn_q8"], digest="better")
    bench = FakeWorkbench(SHAPE)
    bench.scores = scores_of([REFERENCE, replace(better, kld=0.05)])
    found = Comparer(bench).standings([better], REFERENCE)
    assert "is better than attention_q8" in sentences(Row(better, found.beside["better"]), found)[0]


def test_where_one_cannot_tell_it_says_how_many_chunks_may_do() -> None:
    first = said_of(RESULTS["ffn_q8"])[0]
    assert first.startswith(
        "Can't tell ffn_q8 from attention_q8 at 95 % confidence after 5 chunks, ~18 more may do"
    )
    assert "ΔKLD ≈0 ±0.005" in first


def test_one_chunk_is_too_few_and_its_difference_has_no_error() -> None:
    first = said_of(replace(RESULTS["ffn_q8"], chunks=1, partial=True))[0]
    assert "after 1 chunk, which is too few" in first
    assert "±?" in first


@pytest.mark.parametrize("name", ["uniform_q4_0", "ffn_q8", "attention_q8", "baseline_fp16"])
def test_there_is_a_wording_for_80_columns(name: str) -> None:
    wordings = said_of(RESULTS[name])
    assert sorted(wordings, key=len, reverse=True) == wordings
    assert len(wordings[-1]) <= 78


def test_the_reference_and_the_base_say_what_they_are() -> None:
    assert said_of(REFERENCE)[0].startswith("attention_q8 is the one that the others are compared with")
    base = said_of(RESULTS["baseline_fp16"])[0]
    assert base.startswith("baseline_fp16 is the base model") and "PPL 18.8 ±1.6" in base


def test_a_broken_recipe_is_said_to_break_the_model() -> None:
    broken = replace(RESULTS["ffn_q8"], perplexity=math.nan, kld=math.nan)
    assert said_of(broken)[0] == "ffn_q8 breaks the model: its probabilities are not numbers."


def test_where_nothing_can_be_compared_it_says_what_was_measured() -> None:
    bare = replace(RESULTS["ffn_q8"], digest="unknown")
    assert said_of(bare)[0].startswith("ffn_q8: ") and "KLD 0.1502 ±0.0025" in said_of(bare)[0]
    assert said_of(replace(bare, chunks=2, partial=True))[0].endswith("2/5 chunks so far.")
