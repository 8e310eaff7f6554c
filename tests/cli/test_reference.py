"""The command line on a real model gives the numbers that stock llama.cpp gave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lqtui.recipe.presets import PRESET_NAMES

pytestmark = pytest.mark.reference


def measured(model: Path, corpus: Path, *options: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The results of `lqtui measure --json` by name, and what it said on standard error."""
    command = [sys.executable, "-m", "lqtui", "measure", model, "--corpus", corpus, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True)
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
    assert ": perplexity" in progress

    again, progress = measured(smollm2, wikitext, "--all-presets")
    assert again == results
    assert ": quantizing" not in progress and ": perplexity" not in progress

    fresh, progress = measured(smollm2, wikitext, "--preset", "last_4_layers_q8", "--fresh")
    assert ": perplexity" in progress
    assert fresh["last_4_layers_q8"]["perplexity"] == results["last_4_layers_q8"]["perplexity"]
    assert fresh["last_4_layers_q8"]["seconds"] != results["last_4_layers_q8"]["seconds"]
