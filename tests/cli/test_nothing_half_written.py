"""A command that cannot finish leaves nothing half-written."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from tests.cli.running import document, lqtui, refused

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


def test_ctrl_c_stops_with_a_sentence_and_keeps_what_is_measured(demo_model: Path, english: Path) -> None:
    command = ["measure", demo_model, "--preset", "ffn_q8", "--corpus", english, "--ctx", "512"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lqtui", *map(str, command), "--chunks", "40", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "scoring" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 1 and out == "" and "Traceback" not in error
    assert "stopped; what was measured so far is kept" in error


def test_an_app_that_is_killed_keeps_every_chunk_and_measures_only_the_others(
    tiny_model: Path, tiny_corpus: Path, home: Path
) -> None:
    command = ["measure", tiny_model, "--all-presets", "--kld", "--corpus", tiny_corpus, "--ctx", "512"]
    command += ["--chunks", "24", "--threads", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lqtui", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    database = home / "data" / "results.sqlite3"
    deadline = time.monotonic() + 30
    while len(stored(database)) < 12:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = stored(database)
    recipes = {recipe for recipe, _ in before}
    counts = [sum(recipe == which for which, _ in before) for recipe in recipes]
    assert max(counts) - min(counts) <= 1 < min(counts) < 24  # all recipes of a chunk, then the next

    results = document(lqtui(*command))["results"]
    after = stored(database)
    assert len(after) == 24 * len(recipes) and before.items() <= after.items()
    document(lqtui(*command, "--fresh"))  # the same numbers as what was measured in one go
    assert [row | {"seconds": 0} for row in document(lqtui(*command))["results"]] == [
        row | {"seconds": 0} for row in results
    ]


def stored(database: Path) -> dict[tuple[str, int], tuple[str, float]]:
    """When each chunk of each recipe was scored, and the seconds it took."""
    if not database.exists():
        return {}
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        try:
            rows = connection.execute("SELECT tensors_digest, chunk, created, seconds FROM chunks").fetchall()
        except sqlite3.OperationalError:  # it is being made
            return {}
    return {(recipe, chunk): (created, seconds) for recipe, chunk, created, seconds in rows}


def test_a_reader_that_goes_away_is_no_traceback(demo_model: Path) -> None:
    script = f'"{sys.executable}" -m lqtui plan "$0" --preset ffn_q8 --json | true'
    done = subprocess.run(["bash", "-c", script, demo_model], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
