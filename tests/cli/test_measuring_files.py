"""`lqtui measure --gguf`: a quantized file with its own bytes, beside recipes, as a script meets it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from imatrices import random_imatrix
from stock_output import stock_output

from lqtui.recipe.shape import ModelShape
from tests.cli.running import document, lqtui, refused

NUMBERS = ("perplexity", "perplexity_se", "kld", "kld_se", "kld_p99", "top1_agreement")


@pytest.fixture
def theirs(demo_model: Path, demo_shape: ModelShape, tmp_path: Path) -> Path:
    """A file by an importance matrix that nobody published."""
    matrix, out = random_imatrix(tmp_path / "m.imatrix", demo_shape), tmp_path / "theirs.gguf"
    done = lqtui("quantize", demo_model, out, "--preset", "Q4_0", "--imatrix", matrix)
    assert done.returncode == 0, done.stderr
    return out


def test_a_file_is_measured_as_the_recipe_that_made_it_and_beside_its_types(
    theirs: Path, demo_model: Path, quick: list[str], tmp_path: Path
) -> None:
    ours = tmp_path / "ours.gguf"
    assert lqtui("quantize", demo_model, ours, "--preset", "Q4_0").returncode == 0
    asked = ["--preset", "Q4_0", "--recipe", theirs, "--gguf", theirs, "--gguf", ours, "--kld", "--json"]
    found = document(lqtui("measure", demo_model, *asked, *quick))["results"]
    assert [row["name"] for row in found] == ["Q4_0", "theirs", "theirs.gguf", "ours.gguf"]
    by_matrix = ["--preset", "Q4_0", "--imatrix", tmp_path / "m.imatrix"]
    [made] = document(lqtui("measure", demo_model, *by_matrix, "--kld", "--json", *quick))["results"]
    plain, types, itself, copy = ([row[key] for key in NUMBERS] for row in found)
    assert itself == [made[key] for key in NUMBERS] != plain
    assert copy == plain and types != itself


def test_files_themselves_are_compared(theirs: Path, demo_model: Path, quick: list[str]) -> None:
    done = document(lqtui("measure", demo_model, "--compare", theirs, "Q4_0", "--json", *quick))
    assert {row["name"] for row in done["results"]} == {"theirs.gguf", "Q4_0"}
    assert done["comparison"]["chunks"] == 2
    refused(lqtui("measure", demo_model, "--compare", theirs, theirs, *quick), "two different recipes")


def test_a_plan_tells_what_is_copied_and_export_refuses(
    theirs: Path, demo_model: Path, tmp_path: Path
) -> None:
    types = document(lqtui("plan", demo_model, "--recipe", theirs, "--json"))
    assert types["file"] is None and types["copied"] == []
    recipe = tmp_path / "r.toml"
    recipe.write_text('base = "Q4_0"\nfile = "theirs.gguf"\n[tensors]\n"blk.0" = "Q8_0"\n')
    found = document(lqtui("plan", demo_model, "--recipe", recipe, "--json"))
    assert found["file"]["path"] == str(theirs)
    assert len(found["copied"]) > 100 and not any("blk.0." in name for name in found["copied"])
    assert (
        f"{len(found['copied'])} tensors are copied from theirs.gguf"
        in lqtui("plan", demo_model, "--recipe", recipe).stdout
    )
    refused(lqtui("export", demo_model, "--recipe", recipe), "llama-quantize cannot copy")
    out = tmp_path / "out.gguf"
    assert lqtui("quantize", demo_model, out, "--recipe", recipe).returncode == 0
    differing = document(lqtui("compare", out, theirs, "--json"))["differences"]
    names = {d["name"] for d in differing}  # those of other types: by a matrix, Q4_0 has some Q4_1
    assert "blk.0.attn_q.weight" in names and not names & set(found["copied"])


def test_what_cannot_be_measured_is_a_sentence(
    demo_model: Path, tiny_model: Path, quick: list[str], tmp_path: Path
) -> None:
    for path, sentence in (
        (tmp_path / "none.gguf", "does not exist"),
        (tiny_model, "is of another model"),
        (tmp_path, "is a directory"),
    ):
        refused(lqtui("measure", demo_model, "--gguf", path, *quick), sentence)


@pytest.mark.reference
def test_a_file_by_llama_quantize_measures_as_llama_perplexity_measures_it(
    demo_model: Path, demo_shape: ModelShape, english: Path, llama_tools: Path, tmp_path: Path
) -> None:
    random_imatrix(tmp_path / "m.gguf", demo_shape)
    quantize = [llama_tools / "llama-quantize", "--imatrix", "m.gguf", demo_model, "theirs.gguf", "IQ3_XXS"]
    subprocess.run(quantize, cwd=tmp_path, capture_output=True, check=True)
    options = ["--corpus", english, "--ctx", "512", "--chunks", "2", "--threads", "1", "--json"]
    file = tmp_path / "theirs.gguf"
    [row] = document(lqtui("measure", demo_model, "--gguf", file, *options))["results"]
    # A chunk at a time, as lqtui evaluates them.
    command = [llama_tools / "llama-perplexity", "-m", file, "-f", english, "-c", "512", "-b", "512"]
    told = stock_output([*command, "--chunks", "2", "-t", "1"], "PPL = ")
    ours = f"{row['perplexity']:.4f}", f"{row['perplexity_se']:.5f}"
    assert re.findall(r"PPL = (\S+) \+/- (\S+)", told) == [ours]


def test_a_file_whose_name_is_too_long_to_exist_is_one_sentence(tiny_model: Path, quick: list[str]) -> None:
    refused(lqtui("measure", tiny_model, "--gguf", "x" * 300 + ".gguf", *quick), "does not exist")
