"""Results and comparisons as people read them, and as scripts do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lqtui.cli.results import (
    Compared,
    comparison_document,
    print_comparison,
    print_results,
    result_document,
)
from lqtui.measure.paired import Scores, compare
from lqtui.measure.sequential import look
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe
from lqtui.workbench import Result, Speed

RESULT = Result(
    "ffn_q8",
    "d1",
    1 << 20,
    4.5,
    Recipe("ffn_q8", FileType.Q4_0),
    perplexity=12.5,
    perplexity_se=0.25,
    chunks=7,
)


def compared(chunks: int, *, looked: bool = False) -> Compared:
    """A recipe beside another, the worse one by KLD, on so many chunks."""
    rng = np.random.default_rng(chunks)
    kld = np.abs(rng.normal(0.1, 0.01, (chunks, 8)))
    scores = Scores(rng.normal(3, 1, (chunks, 8)), kld), Scores(rng.normal(3, 1, (chunks, 8)), kld / 9)
    seen = look(*scores) if looked else None
    return Compared("one", "other", 0.95, compare(*scores), seen, "One is worse.")


def test_perplexities_of_different_texts_say_how_many_chunks_each_is_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results([RESULT, replace(RESULT, name="uniform_q4_0", chunks=30)])
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    at = head.index("chunks")
    assert [row[at] for row in rows] == ["7", "30"] and [row[at + 1] for row in rows] == ["12.5000"] * 2
    print_results([RESULT, replace(RESULT, name="uniform_q4_0")])
    assert "chunks" not in capsys.readouterr().out


def test_speeds_that_something_disturbed_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    quiet, busy = Speed(200.0, 19.9, 5), Speed(50.0, 5.1, 5)
    print_results([replace(RESULT, prompt=quiet, generation=busy)])
    told = capsys.readouterr().out
    assert "200.0 ± 19.9 " in told and "50.0 ± 5.1*" in told and "* the runs differ" in told
    document = result_document(replace(RESULT, prompt=quiet, generation=busy))
    assert (document["prompt_noisy"], document["generation_noisy"]) == (False, True)
    assert result_document(RESULT)["prompt_noisy"] is None
    print_results([replace(RESULT, prompt=quiet, generation=quiet)])
    assert "*" not in capsys.readouterr().out


def test_an_error_that_cannot_be_known_yet_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(compared(1))
    told = capsys.readouterr().out
    assert "by chunk, on 1 chunk:" in told and "NaN" not in told and told.count("–") == 3
    print_comparison(compared(3))
    told = capsys.readouterr().out
    assert "by chunk, on 3 chunks:" in told and "–" not in told
    print_results([replace(RESULT, perplexity_se=math.inf)])
    assert "NaN" not in capsys.readouterr().out


def test_where_the_verdict_ended_it_only_the_interval_that_decided_has_ends() -> None:
    found = compared(9, looked=True)
    document = comparison_document(found)
    assert found.look is not None and found.look.decided_after is not None
    assert (document["delta_kld_low"], document["delta_kld_high"]) == found.look.difference[2:]
    for name, interval in (("delta_nll", found.comparison.nll), ("ppl_ratio", found.comparison.ppl_ratio)):
        assert (document[name], document[f"{name}_se"]) == interval[:2]
        assert document[f"{name}_low"] is document[f"{name}_high"] is None
    settled = comparison_document(compared(9))
    assert settled["delta_nll_low"] == compared(9).comparison.nll.low
