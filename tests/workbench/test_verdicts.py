"""Comparing two recipes: how many chunks are scored for it, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama

from lqtui.measure.paired import Scores, Verdict, compare
from lqtui.measure.sequential import look
from lqtui.workbench import Settings, Workbench
from lqtui.workbench.verdicts import verdict_sentence
from tests.workbench.bench_jobs import done, measure, planned, row

CLEAR = ("uniform_q4_0", "attention_q8")
UNCLEAR = ("uniform_q4_0", "ffn_q8")
"""On the tiny model these differ by a fifth of the error that 60 chunks leave."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, chunks=30)


async def until_clear(bench: Workbench, names: tuple[str, str], **options: bool) -> None:
    plans = [planned(bench, name) for name in names]
    await done(bench, bench.measure_plans(plans, "compare", speed=False, until_clear=0.95, **options))


def chunks(bench: Workbench, names: tuple[str, str]) -> tuple[int, ...]:
    return tuple(row(bench, name).chunks for name in names)


# How many chunks


async def test_scoring_ends_with_the_chunk_that_makes_it_clear(opened: Workbench) -> None:
    await until_clear(opened, CLEAR)
    seen = opened.look(*(row(opened, name) for name in CLEAR))
    assert seen is not None and seen.verdict is Verdict.WORSE
    assert 2 < seen.chunks < 30 and chunks(opened, CLEAR) == (seen.decided_after,) * 2


async def test_a_verdict_that_stands_needs_no_chunk_more(opened: Workbench) -> None:
    await until_clear(opened, CLEAR)
    results = opened.results
    await until_clear(opened, CLEAR)
    assert opened.results == results


async def test_chunks_that_are_known_count(opened: Workbench, settings: Settings) -> None:
    opened.configure(replace(settings, chunks=3))
    await done(opened, measure(opened, CLEAR[0]))
    opened.configure(settings)
    await until_clear(opened, CLEAR)
    seen = opened.look(*(row(opened, name) for name in CLEAR))
    assert seen is not None and chunks(opened, CLEAR) == (seen.decided_after,) * 2


async def test_a_recipe_that_is_further_than_the_other_waits_for_it(
    opened: Workbench, settings: Settings
) -> None:
    await done(opened, measure(opened, CLEAR[0]))
    await until_clear(opened, CLEAR)
    one, other = chunks(opened, CLEAR)
    seen = opened.look(*(row(opened, name) for name in CLEAR))
    assert one == 30 and seen is not None and other == seen.decided_after


async def test_recipes_that_memory_does_not_hold_together_are_told_apart_all_the_same(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, memory=1))
    await until_clear(opened, CLEAR)
    seen = opened.look(*(row(opened, name) for name in CLEAR))
    assert seen is not None and seen.verdict is Verdict.WORSE and max(chunks(opened, CLEAR)) < 30


async def test_what_cannot_be_told_uses_all_chunks_and_no_more(
    bench: Workbench, settings: Settings, tiny_model: Path, tiny_corpus: Path
) -> None:
    bench.configure(replace(settings, corpus=tiny_corpus))
    await bench.open(tiny_model)
    await until_clear(bench, UNCLEAR)
    seen = bench.look(*(row(bench, name) for name in UNCLEAR))
    assert seen is not None and seen.verdict is Verdict.CANNOT_TELL and chunks(bench, UNCLEAR) == (30, 30)


async def test_a_broken_model_is_not_measured_on_and_on(bench: Workbench, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "broken.gguf")
    ones, huge = np.ones(64, np.float32).tobytes(), np.full(64, 3e38, np.float32).tobytes()
    model.write_bytes(model.read_bytes().replace(ones, huge, 1))
    await bench.open(model)
    for _ in range(2):
        await until_clear(bench, CLEAR)
        assert chunks(bench, CLEAR) == (1, 1)


# What is said


def said(differences: list[float], confidence: float = 0.95) -> str:
    scores = Scores(np.array(differences)[:, None]), Scores(np.zeros((len(differences), 1)))
    return verdict_sentence("a", "b", compare(*scores, confidence), confidence)


def test_a_verdict_is_a_sentence_that_says_how_sure_it_is() -> None:
    assert said([-0.10, -0.11, -0.09, -0.10]) == "a is better than b, with 95 % confidence, by NLL."
    assert said([0.10, 0.11, 0.09, 0.10], 0.99) == "a is worse than b, with 99 % confidence, by NLL."


def test_without_a_verdict_it_is_told_what_it_takes() -> None:
    start = "Whether a or b is better cannot be told with 95 % confidence on"
    assert said([0.3, -0.1, 0.2]) == f"{start} 3 chunks, and it would take about 9 more."
    assert said([0.3, -0.3, 0.001]) == f"{start} 3 chunks, and it would take very many more."
    assert said([0.3]) == f"{start} 1 chunk, and it takes some chunks to know their spread."


def test_a_broken_recipe_has_no_verdict() -> None:
    assert said([0.1, np.nan]) == "a and b cannot be compared: one of them breaks the model."


def test_a_look_is_said_like_a_comparison() -> None:
    scores = Scores(np.full((9, 1), 0.1)), Scores(np.zeros((9, 1)))
    assert (
        verdict_sentence("a", "b", look(*scores), 0.95) == "a is worse than b, with 95 % confidence, by NLL."
    )
