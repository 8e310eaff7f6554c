"""`lqtui sensitivity`, `lqtui fit` and `lqtui frontier` as a script meets them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from tests.cli.running import document, lqtui, refused


@pytest.fixture(scope="session")
def tiny(tiny_model: Path, english: Path) -> list[str | Path]:
    """A model on which everything takes moments, and a text that is long enough to be cut in two."""
    return [tiny_model, "--corpus", english, "--threads", "1"]


def test_sensitivity_tells_a_score_for_every_tensor_the_costliest_first(tiny: list[str | Path]) -> None:
    found = document(lqtui("sensitivity", *tiny, "--ctx", "64", "--json"))
    scores = [row["score"] for row in found["scores"]]
    assert len(scores) == 4 * 7 + 1
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0
    assert all(row["type"] == "Q4_0" and row["chunks"] == 1 for row in found["scores"])
    assert [block["block"] for block in found["blocks"]] == [0, 1, 2, 3]
    assert found["rank_correlation"].keys() == {"LIM", "ZD", "ZD two-sided", "weighted error"}


def test_sensitivity_by_block_at_two_types_and_in_a_table(tiny: list[str | Path]) -> None:
    done = lqtui("sensitivity", *tiny, "--ctx", "64", "--by", "block", "--types", "q4_0,q8")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "type", "KLD", "±", "SE", "ΔNLL", "±", "SE", "est.", "error"]
    assert {line.split()[0] for line in lines[1:11]} == {"token_embd", *(f"blk.{i}" for i in range(4))}
    assert {line.split()[1] for line in lines[1:11]} == {"Q4_0", "Q8_0"}


def test_a_sensitivity_that_is_stopped_tells_what_is_measured_and_how_sure_that_is(
    demo_model: Path, english: Path
) -> None:
    options = ["--corpus", str(english), "--threads", "1", "--ctx", "64", "--json"]
    command = [sys.executable, "-m", "lqtui", "sensitivity", str(demo_model), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        batches = (line for line in process.stderr if line.endswith("alone: sensitivity\n"))
        next(batches), next(batches)  # the first one is measured when the second begins
        process.send_signal(signal.SIGINT)
        stopped, error = process.communicate(timeout=30)
    assert process.returncode == 1 and "Traceback" not in error
    known = {row["name"]: row for row in json.loads(stopped)["scores"]}
    assert 0 < len(known) < 169 and all(row["kld_se"] is not None for row in known.values())
    assert f"stopped; what was measured so far is kept: {len(known)} measured alone" in error


def test_estimates_come_without_a_measurement(tiny: list[str | Path]) -> None:
    found = document(lqtui("sensitivity", *tiny, "--ctx", "64", "--estimate", "--json"))
    assert all(row["score"] is None and 0 < row["estimated_error"] < 1 for row in found["scores"])
    assert found["rank_correlation"] == {}


def test_quality_is_told_for_every_order_in_which_blocks_are_lowered(tiny: list[str | Path]) -> None:
    found = document(lqtui("sensitivity", *tiny, "--ctx", "64", "--curves", "--types", "q4_0", "--json"))
    labels = {"measured", "LIM", "ZD", "ZD two-sided", "measured, pruned", "random, mean of 3"}
    assert {curve["label"] for curve in found["curves"]} == labels
    for curve in found["curves"]:
        assert curve["points"][0] == {"share": 0.0, "kept": 1.0, "kld": 0.0, "sd": 0.0}


def test_a_fitted_recipe_is_saved_and_quantizes_to_the_size_that_was_told(
    tiny: list[str | Path], tmp_path: Path
) -> None:
    recipe, out = tmp_path / "best.toml", tmp_path / "best.gguf"
    found = document(lqtui("fit", *tiny, "--bpw", "6", "--chunks", "2", "-o", recipe, "--json"))
    assert {"predicted_kld", "measured_kld", "measured_kld_se", "recipe"} <= found.keys()
    assert found["bits_per_weight"] <= 6 and found["proved_optimal"]
    assert found["measured_kld"] > 0
    assert lqtui("quantize", tiny[0], out, "--recipe", recipe).returncode == 0
    assert out.stat().st_size == found["file_bytes"] <= found["budget_bytes"]


def test_pins_floors_and_ties_hold(tiny: list[str | Path]) -> None:
    options = ["--pin", "blk.2.attn_v=Q8_0", "--at-least", "blk.*.ffn_down=Q5_0", "--same", "attn_q,attn_k"]
    found = document(lqtui("fit", *tiny, "--bpw", "5.5", "--chunks", "2", *options, "--json"))["recipe"]
    assert found["blk.2.attn_v.weight"] == "Q8_0"
    assert all(found[f"blk.{i}.ffn_down.weight"] not in ("Q4_0", "Q4_1", "IQ4_NL") for i in range(4))
    assert all(found[f"blk.{i}.attn_q.weight"] == found[f"blk.{i}.attn_k.weight"] for i in range(4))


def test_the_frontier_goes_from_the_smallest_recipe_to_the_best(tiny: list[str | Path]) -> None:
    found = document(lqtui("frontier", *tiny, "--types", "q8_0,q4_0", "--json"))["points"]
    assert [point["file_bytes"] for point in found] == sorted({point["file_bytes"] for point in found})
    assert set(found[0]["recipe"].values()) == {"Q4_0"}
    assert set(found[-1]["recipe"].values()) == {"Q8_0"}
    assert any(point["measured_kld"] is not None for point in found)


def test_the_frontier_says_on_which_text_it_was_measured(tiny: list[str | Path]) -> None:
    done = lqtui("frontier", *tiny, "--types", "q8_0,q4_0")
    assert done.returncode == 0 and "on the text that recipes are fitted on" in done.stdout, done.stderr


def test_a_holdout_text_of_ones_own_is_told_on(tiny: list[str | Path], tiny_corpus: Path) -> None:
    found = document(lqtui("fit", *tiny, "--bpw", "6", "--chunks", "2", "--holdout", tiny_corpus, "--json"))
    assert found["measured_kld"] > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "give one budget"),
        (["--size", "1MiB", "--bpw", "4"], "give one budget"),
        (["--size", "1KiB"], "choose at least"),
        (["--size", "1GiB"], "choose at most"),
        (["--bpw", "99"], "--bpw must lie between"),
        (["--size", "nonsense"], "cannot read the size"),
        (["--vram", "1KiB"], "choose a smaller context"),
        (["--bpw", "6", "--types", "q9"], "q9"),
        (["--bpw", "6", "--types", ","], "lists no type"),
        (["--bpw", "6", "--pin", "blk.0"], "PATTERN=TYPE"),
        (["--bpw", "6", "--pin", "blk.99=Q8_0"], "blk.99"),
        (["--bpw", "4.7", "--pin", "blk.*=F16"], "without the types that tensors must keep"),
        (["--bpw", "6", "--pin", "blk.0=Q4_0", "--at-least", "blk.0=Q8_0"], "is pinned to Q4_0"),
        (["--bpw", "6", "--same", "attn_q,nonsense"], "nonsense"),
        (["--bpw", "6", "--chunks", "5000"], "too short"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused_with_a_sentence(
    options: list[str], sentence: str, tiny: list[str | Path]
) -> None:
    refused(lqtui("fit", *tiny, *options), sentence)


def test_types_that_need_an_importance_matrix_are_no_candidates(demo_model: Path, english: Path) -> None:
    options = ["--corpus", str(english), "--bpw", "2", "--types", "IQ1_S,IQ2_XS"]
    refused(lqtui("fit", demo_model, *options), "which needs an importance matrix")


def test_a_holdout_needs_a_text_to_fit_on_that_is_another(tiny_model: Path, tiny_corpus: Path) -> None:
    refused(lqtui("fit", tiny_model, "--bpw", "6", "--holdout", tiny_corpus), "--holdout needs --corpus")
    same = ["--corpus", str(tiny_corpus), "--holdout", str(tiny_corpus)]
    refused(lqtui("fit", tiny_model, "--bpw", "6", *same), "two different texts")


def test_candidates_that_no_tensor_can_have_are_told(tmp_path: Path, english: Path) -> None:
    narrow = write_tiny_llama(tmp_path / "narrow.gguf")
    options = ["--corpus", str(english), "--threads", "1", "--chunks", "2", "--types", "Q8_0,Q4_K"]
    done = lqtui("fit", narrow, "--bpw", "7", *options)
    assert done.returncode == 0, done.stderr
    assert "can have Q4_K" in done.stderr
