"""The command line as a script meets it: one JSON document, one sentence for an error, exit 0, 1 or 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.presets import PRESET_NAMES

Done = subprocess.CompletedProcess[str]


def lqtui(*arguments: str | Path, **options: Any) -> Done:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lqtui", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def document(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(done: Done, sentence: str, code: int = 2) -> None:
    """The command failed with one sentence on standard error, and nothing else anywhere."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("lqtui: ")]
    assert len(lines) == 1 and lines == done.stderr.splitlines()[-1:], done.stderr
    assert sentence in lines[0], lines[0]


@pytest.fixture(scope="module")
def quick(tiny_corpus: Path) -> list[str]:
    return ["--corpus", str(tiny_corpus), "--ctx", "128", "--chunks", "2", "--threads", "1"]


# What commands answer


def test_plan_tells_every_tensor_to_the_byte(tiny_model: Path) -> None:
    found = document(lqtui("plan", tiny_model, "--preset", "attention_q8", "--json"))
    assert {"name", "file_bytes", "bits_per_weight", "tensors"} <= found.keys()
    assert all(t.keys() == {"name", "requested", "effective", "bytes", "fallback"} for t in found["tensors"])
    types = {t["name"]: t["effective"] for t in found["tensors"]}
    assert types["blk.0.attn_q.weight"] == "Q8_0" and types["blk.0.ffn_up.weight"] == "Q4_0"


def test_measure_answers_each_recipe_under_its_own_name(tiny_model: Path, quick: list[str]) -> None:
    done = lqtui("measure", tiny_model, "--all-presets", *quick, "--json")
    found = document(done)
    assert [row["name"] for row in found["results"]] == list(PRESET_NAMES)
    keys = {"name", "file_bytes", "perplexity", "perplexity_se", "seconds", "prompt_tps", "generation_tps"}
    for row in found["results"]:
        assert keys <= row.keys()
        assert row["perplexity"] > 1 and row["perplexity_se"] > 0 and row["chunks"] == 2
        assert row["prompt_tps"] is None and row["generation_tps"] is None
    assert "perplexity" in done.stderr


def test_measure_takes_recipe_files_and_measures_speed(
    tiny_model: Path, quick: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\nbase = "Q4_0"\n[tensors]\n"blk.0-1" = "Q8_0"\n')
    done = lqtui("measure", tiny_model, "--recipe", recipe, *quick, "--tps", "--repetitions", "2", "--json")
    (row,) = document(done)["results"]
    assert row["name"] == "mine"
    assert row["prompt_tps"] > 0 and row["generation_tps"] > 0 and row["prompt_tps_sd"] >= 0


def test_quantize_writes_the_bytes_that_plan_told(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    found = document(lqtui("quantize", tiny_model, out, "--preset", "ffn_q8", "--json"))
    planned = document(lqtui("plan", tiny_model, "--preset", "ffn_q8", "--json"))
    assert found["file_bytes"] == planned["file_bytes"] == out.stat().st_size
    assert found["out"] == str(out)


def test_export_prints_a_script_or_writes_one_that_can_be_run(tiny_model: Path, tmp_path: Path) -> None:
    printed = lqtui("export", tiny_model, "--preset", "ffn_q8")
    assert printed.returncode == 0 and printed.stdout.startswith("#!")
    out = tmp_path / "make.sh"
    found = document(lqtui("export", tiny_model, "--preset", "ffn_q8", "-o", out, "--json"))
    assert found["out"] == str(out) and out.read_text() == printed.stdout and os.access(out, os.X_OK)
    assert subprocess.run(["bash", "-n", out]).returncode == 0


def test_cache_shows_the_pool_and_prunes_it(tiny_model: Path, quick: list[str]) -> None:
    document(lqtui("measure", tiny_model, "--preset", "ffn_q8", *quick, "--json"))
    found = document(lqtui("cache", "--json"))
    assert found["bytes"] > 0 and found["models"][0]["model"] == "tiny test model"
    pruned = document(lqtui("cache", "--prune", "--json"))
    assert pruned["freed_bytes"] == found["bytes"] and pruned["bytes"] == 0


def test_doctor_tells_versions_engine_devices_paths_and_terminal(home: Path) -> None:
    found = document(lqtui("doctor", "--json"))
    keys = {"lqtui", "python", "packages", "engine", "gpus", "threads", "paths", "terminal"}
    assert keys <= found.keys()
    assert found["engine"]["devices"] and found["paths"]["data"].startswith(str(home))


def test_people_get_tables(tiny_model: Path, quick: list[str]) -> None:
    for arguments in (
        ["plan", tiny_model, "--preset", "ffn_q8"],
        ["measure", tiny_model, "--preset", "ffn_q8", *quick],
    ):
        done = lqtui(*arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0 and "ffn_q8" in done.stdout and "Traceback" not in done.stderr


def test_a_broken_model_is_null_and_broken_in_json(tmp_path: Path, quick: list[str]) -> None:
    import numpy as np

    model = write_tiny_llama(tmp_path / "broken.gguf")
    ones, huge = np.ones(64, np.float32).tobytes(), np.full(64, 3e38, np.float32).tobytes()
    model.write_bytes(model.read_bytes().replace(ones, huge, 1))
    done = lqtui("measure", model, "--preset", "baseline_fp16", *quick, "--json")
    (row,) = document(done)["results"]
    assert row["broken"] is True and row["perplexity"] is None and row["perplexity_se"] is None
    assert "Warning" not in done.stderr
    assert "NaN" in lqtui("measure", model, "--preset", "baseline_fp16", *quick).stdout


# Help is quick


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["measure", "--help"]])
def test_help_and_version_load_neither_the_app_nor_the_engine(arguments: list[str]) -> None:
    code = (
        "import sys; from lqtui.cli import main; sys.argv = ['lqtui', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'textual', 'llama_cpp', 'numpy', 'sqlite3', 'asyncio', 'msgspec', 'psutil'}\n"
        "print('loaded:', sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded: []\n")
    if "--version" not in arguments:
        assert "Usage: lqtui" in done.stdout and "--json" in done.stdout


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
        (b"", "too short: 0 tokens"),
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
        (["measure", "M"], "give recipes"),
        (["measure", "M", "--recipe", "x", "--as-published"], "--as-published goes with"),
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
        ["plan", "M", "--nonsense"],
        ["cache", "--prune", "--older-than", "1" * 12],
    ],
)
def test_options_out_of_range_are_usage_errors(arguments: list[str], tiny_model: Path) -> None:
    done = lqtui(*[str(tiny_model) if a == "M" else a for a in arguments])
    assert done.returncode == 2 and not done.stdout
    assert "Error: " in done.stderr and "Traceback" not in done.stderr


# Nothing is half-written


def test_quantize_refuses_places_that_cannot_be_written(tiny_model: Path, tmp_path: Path) -> None:
    content = tiny_model.read_bytes()
    preset = ["--preset", "ffn_q8"]
    refused(lqtui("quantize", tiny_model, tiny_model, *preset), "is the base model itself")
    refused(lqtui("export", tiny_model, "-o", tiny_model, *preset), "is the base model itself")
    refused(lqtui("quantize", tiny_model, tmp_path, *preset), "is a folder")
    refused(lqtui("quantize", tiny_model, tmp_path / "no" / "out.gguf", *preset), "does not exist")
    refused(lqtui("export", tiny_model, "-o", tmp_path / "no" / "s.sh", *preset), "does not exist")
    assert tiny_model.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["home"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 136 MiB: lqtui keeps 128 of them free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=136m", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room_is_refused_before_anything_is_written(small_disk: Path, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "big.gguf", width=512, ffn=2048, blocks=4)
    out = small_disk / "out.gguf"
    refused(lqtui("quantize", model, out, "--preset", "baseline_fp16"), "but only 136.0 MiB are free")
    assert not list(small_disk.iterdir())


def test_a_limit_met_while_writing_leaves_nothing(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "big.gguf", width=512, ffn=2048, blocks=4)
    folder = tmp_path / "out"
    folder.mkdir()
    script = f'ulimit -f 2000; exec "{sys.executable}" -m lqtui quantize "$0" "$1" --preset uniform_q4_0'
    done = subprocess.run(
        ["bash", "-c", script, model, folder / "out.gguf"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2) and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not list(folder.iterdir())


def test_a_killed_engine_fails_the_command_with_1_and_nothing_is_left(tmp_path: Path) -> None:
    import psutil

    model = write_tiny_llama(tmp_path / "slow.gguf", width=512, ffn=2048, blocks=12)
    recipe = tmp_path / "slow.toml"
    recipe.write_text('base = "Q2_K"\n')
    folder = tmp_path / "out"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "lqtui", "quantize", model, folder / "out.gguf", "--recipe", recipe],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not list(folder.iterdir()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    (child,) = psutil.Process(process.pid).children()
    child.send_signal(signal.SIGSEGV)
    out, error = process.communicate(timeout=20)
    refused(
        subprocess.CompletedProcess([], process.returncode, out, error.splitlines()[-1] + "\n"), "SIGSEGV", 1
    )
    assert not list(folder.iterdir())


def test_ctrl_c_stops_with_a_sentence_and_keeps_what_is_measured(tiny_model: Path, tiny_corpus: Path) -> None:
    command = ["measure", tiny_model, "--preset", "ffn_q8", "--corpus", tiny_corpus, "--ctx", "512"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lqtui", *map(str, command), "--chunks", "40", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "perplexity" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 1 and out == "" and "Traceback" not in error
    assert "stopped; what was measured so far is kept" in error


def test_a_reader_that_goes_away_is_no_traceback(tiny_model: Path) -> None:
    script = f'"{sys.executable}" -m lqtui plan "$0" --preset ffn_q8 --json | true'
    done = subprocess.run(["bash", "-c", script, tiny_model], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
