"""Which recipe the others are compared with, and what is worked out when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeWorkbench
from model_shapes import llama_shape
from scripted_results import scores_of, seed_results

from lqtui.measure.paired import Scores
from lqtui.tui.widgets import standings
from lqtui.tui.widgets.standings import Comparer, Standings, is_base, reference_of
from lqtui.workbench import Result

SHAPE = llama_shape()
RESULTS = seed_results(SHAPE)


def result(name: str) -> Result:
    return next(result for result in RESULTS if result.name == name)


@pytest.fixture
def bench() -> FakeWorkbench:
    """A workbench with every preset measured."""
    bench = FakeWorkbench(SHAPE)
    bench.results, bench.scores = RESULTS, scores_of(RESULTS)
    return bench


def referred(*results: Result, current: str | None = None, chosen: str | None = None) -> str | None:
    found = reference_of(results, current, chosen)
    return found.name if found else None


def settled(
    comparer: Comparer, results: Sequence[Result], reference: Result | None, *, picked: bool = False
) -> Standings:
    """The standings, however long it takes."""
    while not (found := comparer.standings(results, reference, picked=picked)).complete:
        pass
    return found


def test_the_reference_is_the_chosen_recipe_or_the_current_one_or_the_best() -> None:
    assert referred(*RESULTS) == "attention_q8"
    assert referred(*RESULTS, current=result("ffn_q8").digest) == "ffn_q8"
    assert referred(*RESULTS, current=result("ffn_q8").digest, chosen=result("uniform_q4_0").digest) == (
        "uniform_q4_0"
    )
    assert referred(*RESULTS, chosen="of another model") == "attention_q8"


def test_the_base_is_no_reference_unless_it_is_chosen_because_nothing_is_closer_to_itself() -> None:
    base = result("baseline_fp16")
    assert referred(*RESULTS, current=base.digest) == "attention_q8"
    assert referred(base) is None
    assert referred(*RESULTS, chosen=base.digest) == "baseline_fp16"


def test_a_recipe_that_lacks_chunks_or_breaks_the_model_is_no_reference() -> None:
    begun = replace(result("attention_q8"), chunks=2, partial=True)
    broken = replace(result("ffn_q8"), perplexity=math.nan, kld=math.nan)
    others = [r for r in RESULTS if r.name not in ("attention_q8", "ffn_q8")]
    assert referred(*others, begun, broken, current=begun.digest) == "alternating_even_q8"
    assert referred(broken, current=broken.digest, chosen=broken.digest) is None


def test_while_all_are_measured_the_best_so_far_is_the_reference_though_its_turn_comes_later() -> None:
    going_on = [replace(r, chunks=3, partial=True) for r in RESULTS]
    ahead = replace(going_on[1], chunks=4)
    assert referred(*going_on[2:], ahead) == "attention_q8"


def test_every_recipe_is_compared_with_the_reference_and_the_base_and_only_once(bench: FakeWorkbench) -> None:
    comparer, reference = Comparer(bench), result("attention_q8")
    found = settled(comparer, RESULTS, reference)
    assert len(found.beside) == len(RESULTS) - 1
    assert found.beside[result("uniform_q4_0").digest].verdict == "worse"
    assert found.beside[result("ffn_q8").digest].verdict == "can't tell"
    assert found.beside_base.keys() == {r.digest for r in RESULTS if not is_base(r)}
    assert len(bench.calls) == 2 * (len(RESULTS) - 1)
    assert comparer.standings(RESULTS, reference) == found
    assert len(bench.calls) == 2 * (len(RESULTS) - 1)


def test_of_equal_recipes_hardly_any_is_called_worse_than_the_one_with_the_best_numbers() -> None:
    bench, random = FakeWorkbench(SHAPE), np.random.default_rng(7)
    false = {True: 0, False: 0}
    for _ in range(100):
        equal = [
            replace(r, digest=f"{r.digest} {number}") for number, r in enumerate(RESULTS) if not is_base(r)
        ]
        klds = {r.digest: random.normal(0.1, 0.01, (5, 1)) for r in equal}
        bench.scores = {digest: Scores(kld, kld) for digest, kld in klds.items()}
        equal = [replace(r, kld=float(klds[r.digest].mean())) for r in equal]
        best = reference_of(equal, None, None)
        for picked in false:
            found = settled(Comparer(bench), equal, best, picked=picked)
            false[picked] += any(beside.verdict == "worse" for beside in found.beside.values())
    assert false[True] <= 5
    assert false[False] > 40


def test_a_verdict_is_sought_again_when_the_last_chunk_has_arrived(bench: FakeWorkbench) -> None:
    comparer, reference = Comparer(bench), result("attention_q8")
    last = replace(result("ffn_q8"), partial=True)
    settled(comparer, [last], reference)
    bench.calls.clear()
    settled(comparer, [result("ffn_q8")], reference)
    assert bench.calls == ["compare ffn_q8 attention_q8"]


def test_a_further_chunk_is_compared_anew_and_judged_by_a_test_that_may_be_looked_at(
    bench: FakeWorkbench,
) -> None:
    comparer, reference = Comparer(bench), result("attention_q8")
    whole = settled(comparer, RESULTS, reference)
    bench.calls.clear()
    begun = replace(result("alternating_even_q8"), chunks=4, partial=True)
    partial = comparer.standings([begun], reference)
    assert bench.calls == [
        "compare alternating_even_q8 attention_q8",
        "look alternating_even_q8 attention_q8",
    ]
    assert whole.beside[begun.digest].verdict == "worse"
    assert partial.beside[begun.digest].chunks == 4
    assert partial.beside[begun.digest].verdict == "can't tell"


def test_many_comparisons_make_way_for_keys(bench: FakeWorkbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "_AT_ONCE", 0.0)
    comparer = Comparer(bench)
    known = []
    for _ in range(2 * len(RESULTS)):
        found = comparer.standings(RESULTS, result("attention_q8"))
        known.append(len(found.beside) + len(found.beside_base))
    assert known[:3] == [1, 2, 3]
    assert known[-1] == 2 * (len(RESULTS) - 1)
    assert comparer.standings(RESULTS, result("attention_q8")).complete


def test_without_a_reference_nothing_is_compared(bench: FakeWorkbench) -> None:
    assert Comparer(bench).standings(RESULTS, None).complete
    assert bench.calls == []
