"""Whatever is wrong is one sentence on standard error, and exit code 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from tests.cli.running import document, lqtui, refused

# Bad input


def _zeros(folder: Path, model: Path) -> Path:
    path = folder / "zeros.gguf"
    path.write_bytes(bytes(4096))
    return path


def _text(folder: Path, model: Path) -> Path:
    path = folder / "notes.gguf"
    path.write_text("no model\n")
    return path


def _truncated_header(folder: Path, model: Path) -> Path:
    path = folder / "cut.gguf"
    path.write_bytes(model.read_bytes()[:3000])
    return path


def _truncated_data(folder: Path, model: Path) -> Path:
    path = folder / "cut.gguf"
    path.write_bytes(model.read_bytes()[:-50_000])
    return path


def _lone_part(folder: Path, model: Path) -> Path:
    first = write_tiny_llama(folder / "model.gguf", tensors_per_part=20)
    others = [part for part in folder.glob("model-*.gguf") if part != first]
    others[0].unlink()
    return first


def _vocabulary(folder: Path, model: Path) -> Path:
    return write_tiny_llama(folder / "vocab.gguf", metadata_only=True)


def _odd_name(folder: Path, model: Path) -> Path:
    path = folder / os.fsdecode(b"\xff.gguf")
    path.write_bytes(model.read_bytes())
    return path


@pytest.mark.parametrize(
    "make, sentence",
    [
        (_zeros, "is not a GGUF file"),
        (_text, "is not a GGUF file"),
        (_truncated_header, "damaged or truncated"),
        (_truncated_data, "truncated"),
        (_lone_part, "is missing"),
        (_vocabulary, "no model weights"),
        (_odd_name, "not valid Unicode"),
        (lambda folder, _: folder, "is a directory"),
        (lambda folder, _: folder / "none.gguf", "does not exist"),
    ],
)
def test_what_is_no_model_is_one_sentence(
    make: Callable[[Path, Path], Path], sentence: str, tmp_path: Path, tiny_model: Path
) -> None:
    refused(lqtui("plan", make(tmp_path, tiny_model), "--preset", "ffn_q8", "--json"), sentence)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_without_permission_is_one_sentence(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(tiny_model.read_bytes())
    path.chmod(0)
    refused(lqtui("plan", path, "--preset", "ffn_q8"), "Permission denied")


def test_an_already_quantized_model_is_refused_unless_asked_for(
    tiny_model: Path, tmp_path: Path, quick: list[str]
) -> None:
    quantized = tmp_path / "q8.gguf"
    document(lqtui("quantize", tiny_model, quantized, "--preset", "uniform_q4_0", "--json"))
    for command in ("plan", "measure", "quantize", "export"):
        more = {"measure": quick, "quantize": [tmp_path / "out.gguf"]}.get(command, [])
        done = lqtui(command, quantized, *more, "--preset", "ffn_q8")
        refused(done, "is already quantized")
        assert "--requantize" in done.stderr
    document(lqtui("plan", quantized, "--preset", "ffn_q8", "--requantize", "--json"))


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('base = "Q4_0"\n[tensors]\n"blk.77" = "Q8_0"', "blk.77"),
        ('base = "Q4_0"\n[tensors]\n"blk.0" = "Q7_7"', "Q7_7"),
        ('base = "Q4_0"\nsize = 3', "unknown key 'size'"),
        ("[[[", "is not a TOML recipe"),
    ],
)
def test_a_bad_recipe_is_one_sentence(text: str, sentence: str, tmp_path: Path, tiny_model: Path) -> None:
    recipe = tmp_path / "bad.toml"
    recipe.write_text(text)
    refused(lqtui("plan", tiny_model, "--recipe", recipe), sentence)


def test_a_mix_that_needs_an_importance_matrix_is_planned_with_a_note_and_refused(
    tmp_path: Path, quick: list[str]
) -> None:
    model = write_tiny_llama(tmp_path / "wide.gguf", width=256, ffn=256, blocks=1)
    assert "needs an importance matrix: IQ2_XXS" in lqtui("plan", model, "--preset", "IQ2_XXS").stdout
    assert (
        "blk.0.ffn_up.weight"
        in document(lqtui("plan", model, "--preset", "IQ2_XXS", "--json"))["needs_imatrix"]
    )
    assert document(lqtui("plan", model, "--preset", "Q2_K", "--json"))["needs_imatrix"] == []
    refused(lqtui("measure", model, "--preset", "IQ2_XXS", *quick), "needs an importance matrix")
    out = tmp_path / "out.gguf"
    refused(lqtui("quantize", model, out, "--preset", "IQ2_XXS"), "needs an importance matrix")
    refused(lqtui("export", model, "--preset", "IQ2_XXS"), "needs an importance matrix")
    assert not out.exists()


def test_a_type_that_needs_an_importance_matrix_is_refused(tmp_path: Path, quick: list[str]) -> None:
    model = write_tiny_llama(tmp_path / "wide.gguf", width=256, ffn=256, blocks=1)
    recipe = tmp_path / "low.toml"
    recipe.write_text('base = "Q4_0"\n[tensors]\n"blk.0" = "IQ2_XS"\n')
    document(lqtui("plan", model, "--recipe", recipe, "--json"))
    refused(lqtui("measure", model, "--recipe", recipe, *quick), "needs an importance matrix")
    out = tmp_path / "out.gguf"
    refused(lqtui("quantize", model, out, "--recipe", recipe), "needs an importance matrix")
    assert not out.exists()


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "cannot be read"),
        (b"", "the corpus corpus.txt is too short: 0 tokens"),
        (b"short", "two chunks of 512 need 1024"),
        (bytes(range(256)) * 40, "is not text"),
    ],
    ids=["missing", "empty", "short", "binary"],
)
def test_a_bad_corpus_is_one_sentence(
    content: bytes | None, sentence: str, tmp_path: Path, tiny_model: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    if content is not None:
        corpus.write_bytes(content)
    refused(lqtui("measure", tiny_model, "--preset", "ffn_q8", "--corpus", corpus, "--json"), sentence)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["plan", "M"], "give one recipe"),
        (["plan", "M", "--preset", "fnn_q8"], "did you mean ffn_q8?"),
        (["plan", "M", "--preset", "q4_km"], "did you mean Q4_K_M?"),
        (["plan", "M", "--preset", "Q4_K_M", "--as-published"], "goes with the published strategies"),
        (["plan", "M", "--preset", "ffn_q8", "--kv-type", "q3_K"], "unknown KV type 'q3_K'"),
        (["measure", "M"], "give recipes"),
        (["measure", "M", "--recipe", "x", "--as-published"], "--as-published goes with"),
        (["measure", "M", "--compare", "ffn_q8", "fnn_q8"], "did you mean ffn_q8?"),
        (["measure", "M", "--compare", "ffn_q8", "x"], "neither a preset nor a recipe file"),
        (["measure", "M", "--compare", "ffn_q8", "x.toml"], "x.toml cannot be read"),
        (["measure", "M", "--compare", "ffn_q8", "ffn_q8"], "two different recipes"),
        (["measure", "M", "--compare", "first_4_layers_q8", "last_4_layers_q8"], "the same weights"),
        (["measure", "M", "--preset", "ffn_q8", "--until-verdict"], "--until-verdict goes with --compare"),
        (["measure", "M", "--preset", "ffn_q8", "--confidence", "0.9"], "--confidence goes with --compare"),
        (["measure", "M", "--compare", "ffn_q8", "x.toml", "--all-presets", "--until-verdict"], "alone"),
        (["measure", "M", "--compare", "ffn_q8", "x", "--confidence", "95"], "between 0 and 1"),
        (["measure", "M", "--compare", "ffn_q8", "x", "--confidence", "nan"], "between 0 and 1"),
        (["measure", "M", "--preset", "ffn_q8", "--ctx", "100000"], "longer than the model's own of 2048"),
        (["measure", "M", "--preset", "ffn_q8", "--memory", "much"], "cannot read the size"),
        (["cache", "--keep", "1GiB"], "go with --prune"),
        (["cache", "--prune", "--keep", "9" * 400], "cannot read the size"),
        (["plann"], "did you mean `lqtui plan`?"),
        ([], "needs a terminal"),
        (["M"], "needs a terminal"),
    ],
)
def test_usage_errors_are_one_sentence(arguments: list[str], sentence: str, tiny_model: Path) -> None:
    refused(lqtui(*[str(tiny_model) if a == "M" else a for a in arguments]), sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        ["measure", "M", "--all-presets", "--ctx", "1" * 30],
        ["measure", "M", "--all-presets", "--chunks", "0"],
        ["measure", "M", "--compare", "ffn_q8"],
        ["plan", "M", "--nonsense"],
        ["cache", "--prune", "--older-than", "1" * 12],
    ],
)
def test_options_out_of_range_are_usage_errors(arguments: list[str], tiny_model: Path) -> None:
    done = lqtui(*[str(tiny_model) if a == "M" else a for a in arguments])
    assert done.returncode == 2 and not done.stdout
    assert "Error: " in done.stderr and "Traceback" not in done.stderr
