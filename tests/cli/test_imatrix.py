"""Importance matrices on the command line: computed, put to use, and refused with one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from imatrices import random_imatrix

from lqtui.recipe.shape import ModelShape
from lqtui.store.imatrix_file import open_imatrix
from tests.cli.running import document, lqtui, refused

COMPUTE = ["--chunks", "2", "--ctx", "128", "--threads", "1"]


@pytest.fixture
def matrix(tmp_path: Path, demo_shape: ModelShape) -> Path:
    return random_imatrix(tmp_path / "m.gguf", demo_shape)


def test_imatrix_tells_what_it_has_computed(demo_model: Path, english: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.gguf"
    told = document(lqtui("imatrix", demo_model, "--corpus", english, *COMPUTE, "-o", out, "--json"))
    file = open_imatrix(out)
    assert told["path"] == str(out)
    assert told["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (told["chunks"], told["entries"]) == (2, len(file.names)) == (2, 168)
    assert told["seconds"] >= 0 and told["dataset"] == english.name
    again = document(lqtui("imatrix", demo_model, "--corpus", english, *COMPUTE, "--json"))
    assert again["sha256"] == told["sha256"] and again["path"] != told["path"]
    (listed,) = document(lqtui("cache", "--json"))["importance_matrices"]
    assert listed["path"] == again["path"] and listed["bytes"] == out.stat().st_size
    assert (listed["text"], listed["chunks"], listed["n_ctx"]) == (english.name, 2, 128)
    said = lqtui("cache", "--prune").stdout
    assert "of importance matrices, never pruned" in said and Path(again["path"]).name in said
    assert Path(again["path"]).exists()


def test_a_mix_that_needs_a_matrix_is_written_with_one(
    demo_model: Path, matrix: Path, tmp_path: Path
) -> None:
    out, bare = tmp_path / "out.gguf", tmp_path / "bare.gguf"
    refused(
        lqtui("quantize", demo_model, bare, "--preset", "IQ2_XS"), "IQ2_XS needs an importance matrix for"
    )
    assert not bare.exists()
    done = lqtui("quantize", demo_model, out, "--preset", "IQ2_XS", "--imatrix", matrix, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert b"quantize.imatrix.file" in out.read_bytes()[: 1 << 20]
    planned = document(lqtui("plan", demo_model, "--preset", "IQ2_XS", "--imatrix", matrix, "--json"))
    assert planned["file_bytes"] == out.stat().st_size and planned["needs_imatrix"] == []
    assert planned["imatrix"]["sha256"] == hashlib.sha256(matrix.read_bytes()).hexdigest()


def test_recipes_with_and_without_a_matrix_are_compared_in_one_job(
    demo_model: Path, matrix: Path, tmp_path: Path, quick: list[str]
) -> None:
    for name, lines in (("with", f'imatrix = "{matrix.name}"\n'), ("without", "")):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nbase = "Q4_K_S"\n{lines}')
    files = [tmp_path / f"{name}.toml" for name in ("with", "without")]
    told = document(lqtui("measure", demo_model, "--compare", *files, *quick, "--json"))
    first, second = told["results"]
    assert (first["name"], second["name"]) == ("with", "without")
    assert first["kld"] != second["kld"] and told["comparison"]["delta_kld"] is not None


@pytest.mark.parametrize(
    "command", ["plan", "measure", "quantize", "export", "fit", "frontier", "sensitivity"]
)
def test_what_is_no_matrix_of_the_model_is_refused_by_every_command(
    command: str, demo_model: Path, tiny_shape: ModelShape, tmp_path: Path
) -> None:
    other = random_imatrix(tmp_path / "other.gguf", tiny_shape)
    arguments: dict[str, list[str]] = {
        "plan": ["--preset", "Q4_0"],
        "measure": ["--preset", "Q4_0"],
        "quantize": [str(tmp_path / "out.gguf"), "--preset", "Q4_0"],
        "export": ["--preset", "Q4_0"],
        "fit": ["--bpw", "4.5"],
        "frontier": [],
        "sensitivity": [],
    }
    done = lqtui(command, demo_model, *arguments[command], "--imatrix", other)
    refused(done, "is the importance matrix of another model")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--corpus", "none.txt"], "the corpus"),
        (["--corpus", "{english}", "--ctx", "8"], "choose a --ctx such as 512"),
        (["--corpus", "{english}", "--ctx", "100000"], "longer than the model's own"),
        (["--corpus", "{english}", "-o", "{tmp}/none/m.gguf", "--chunks", "2"], "folder"),
    ],
)
def test_a_matrix_that_cannot_be_computed_is_told_why(
    arguments: list[str], sentence: str, demo_model: Path, english: Path, tmp_path: Path
) -> None:
    filled = [argument.format(english=english, tmp=tmp_path) for argument in arguments]
    refused(lqtui("imatrix", demo_model, *filled, "--threads", "1"), sentence)
