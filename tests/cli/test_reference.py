"""The command line on a real model gives the numbers that stock llama.cpp gave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stock_output import stock_output

from lqtui.recipe.presets import PRESET_NAMES
from tests.cli.running import document, lqtui

pytestmark = pytest.mark.reference


def measured(model: Path, corpus: Path, *options: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The results of `lqtui measure --json` by name, and what it said on standard error."""
    arguments = ["measure", model, "--corpus", corpus, "--threads", "1", "--json", *options]
    done = subprocess.run([sys.executable, "-m", "lqtui", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["results"]}, done.stderr


def test_all_presets_equal_stock_llama_perplexity_and_are_measured_once(
    smollm2: Path, wikitext: Path, seed_experiment: dict[str, dict[str, float]]
) -> None:
    results, progress = measured(smollm2, wikitext, "--all-presets")
    assert tuple(results) == PRESET_NAMES
    for name, stock in seed_experiment.items():
        row = results[name]
        assert row["file_bytes"] == stock["file_bytes"], name
        assert f"{row['perplexity']:.4f}" == f"{stock['perplexity']:.4f}", name
        assert f"{row['perplexity_se']:.5f}" == f"{stock['perplexity_se']:.5f}", name
        assert row["chunks"] == 5 and not row["broken"] and row["seconds"] > 0
    assert ": scoring" in progress

    again, progress = measured(smollm2, wikitext, "--all-presets")
    assert again == results
    assert ": quantizing" not in progress and ": scoring" not in progress


def test_the_demo_models_perplexities_are_those_that_llama_perplexity_tells_of_the_quantized_files(
    demo_model: Path, english: Path, llama_tools: Path, tmp_path: Path
) -> None:
    for base in ("IQ4_XS", "Q2_K"):
        (tmp_path / base).write_text(f'name = "{base}"\nbase = "{base}"\n')
    recipes = {base: ["--recipe", str(tmp_path / base)] for base in ("IQ4_XS", "Q2_K")}
    results, _ = measured(demo_model, english, *recipes["IQ4_XS"], *recipes["Q2_K"], "--chunks", "2")
    for name, recipe in recipes.items():
        out = tmp_path / "out.gguf"
        document(lqtui("quantize", demo_model, out, *recipe, "--json"))
        command = [llama_tools / "llama-perplexity", "-m", out, "-f", english, "-c", "512", "--chunks", "2"]
        told = stock_output([*command, "-t", "1"], "PPL = ")
        ppl, se = results[name]["perplexity"], results[name]["perplexity_se"]
        assert re.findall(r"PPL = (\S+) \+/- (\S+)", told) == [(f"{ppl:.4f}", f"{se:.5f}")], name
