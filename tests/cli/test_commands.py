"""The command line as a script meets it: one JSON document for each command."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.presets import PRESET_NAMES
from tests.cli.running import document, lqtui

# What commands answer


def test_plan_tells_every_tensor_to_the_byte(demo_model: Path) -> None:
    found = document(lqtui("plan", demo_model, "--preset", "attention_q8", "--json"))
    assert {"name", "file_bytes", "bits_per_weight", "tensors"} <= found.keys()
    assert all(t.keys() == {"name", "requested", "effective", "bytes", "fallback"} for t in found["tensors"])
    types = {t["name"]: t["effective"] for t in found["tensors"]}
    assert types["blk.23.attn_q.weight"] == "Q8_0" and types["blk.23.ffn_up.weight"] == "Q4_0"


def test_plan_tells_the_memory_at_a_context(tiny_model: Path) -> None:
    found = document(lqtui("plan", tiny_model, "--preset", "uniform_q4_0", "--ctx", "1024", "--json"))
    memory = found["memory"]
    assert (memory["n_ctx"], memory["type_k"], memory["type_v"], memory["problem"]) == (
        1024,
        "F16",
        "F16",
        None,
    )
    caches = [b for b in memory["buffers"] if b["part"] == "KV cache"]
    assert [b["bytes"] for b in caches] == [2 * 4 * 32 * 2 * 1024]
    assert memory["allocated_bytes"] == sum(b["bytes"] for b in memory["buffers"])
    assert memory["needed_bytes"] == memory["allocated_bytes"] - memory["file_cache_bytes"]
    said = lqtui("plan", tiny_model, "--preset", "uniform_q4_0", "--ctx", "1024").stdout
    assert "memory at a context of 1024 (F16 KV cache): about " in said


def test_plan_says_why_memory_is_unknown(zoo: dict[str, Path]) -> None:
    done = lqtui("plan", zoo["70B"], "--preset", "uniform_q4_0")
    assert done.returncode == 0
    assert "unknown: llama.cpp cannot load this model" in done.stdout


def test_measure_answers_each_recipe_under_its_own_name(demo_model: Path, quick: list[str]) -> None:
    done = lqtui("measure", demo_model, "--all-presets", *quick, "--json")
    found = document(done)
    assert [row["name"] for row in found["results"]] == list(PRESET_NAMES)
    keys = {"name", "file_bytes", "perplexity", "perplexity_se", "seconds", "prompt_tps", "generation_tps"}
    for row in found["results"]:
        assert keys <= row.keys()
        assert row["perplexity"] > 1 and row["perplexity_se"] > 0 and row["chunks"] == 2
        assert row["prompt_tps"] is None and row["generation_tps"] is None
    assert len({row["perplexity"] for row in found["results"]}) == len(PRESET_NAMES)
    assert done.stderr.startswith("measure 11 recipes: ")


def test_measure_tells_the_divergence_from_the_base(tiny_model: Path, quick: list[str]) -> None:
    presets = ["--preset", "uniform_q4_0", "--preset", "attention_q8"]
    results = document(lqtui("measure", tiny_model, *presets, *quick, "--kld", "--json"))["results"]
    assert [row["name"] for row in results] == ["uniform_q4_0", "attention_q8"]
    for row in results:
        assert 0 < row["kld_median"] < row["kld_p99"] < row["kld_p999"] < row["kld_max"]
        assert 0 < row["kld_se"] < row["kld"] and 0 < row["top1_agreement"] < 1 and row["rms_dp"] > 0
        assert row["delta_nll_se"] > 0
        assert row["delta_percent"] == pytest.approx(100 * math.expm1(row["delta_nll"]))
    table = lqtui("measure", tiny_model, *presets, *quick, "--kld").stdout.splitlines()
    assert "KLD" in table[0] and "99.9 %" in table[0] and len(table) == 3
    assert f"{results[0]['kld']:.5f}" in table[1]


def test_without_it_the_base_is_not_evaluated(tiny_model: Path, quick: list[str]) -> None:
    done = lqtui("measure", tiny_model, "--preset", "uniform_q4_0", *quick, "--json")
    (row,) = document(done)["results"]
    assert row["kld"] is None and row["delta_nll"] is None and row["perplexity"] > 1


def test_two_recipes_are_compared_with_a_verdict(tiny_model: Path, quick: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\nbase = "Q4_0"\n[tensors]\n"blk.*.attn_v" = "Q8_0"\n')
    command = ["measure", tiny_model, "--compare", "uniform_q4_0", recipe, *quick, "--chunks", "6"]
    found = document(lqtui(*command, "--json"))
    one, other = found["results"]
    compared = found["comparison"]
    assert (compared["recipe"], compared["other"]) == (one["name"], other["name"]) == ("uniform_q4_0", "mine")
    assert compared["chunks"] == 6 and compared["confidence"] == 0.95
    assert compared["delta_kld"] == pytest.approx(one["kld"] - other["kld"])
    assert compared["delta_nll"] == pytest.approx(one["delta_nll"] - other["delta_nll"])
    assert compared["ppl_ratio"] == pytest.approx(one["perplexity"] / other["perplexity"])
    for name in ("delta_kld", "delta_nll", "ppl_ratio"):
        assert compared[f"{name}_low"] < compared[name] < compared[f"{name}_high"]
        assert compared[f"{name}_se"] > 0
    assert compared["verdict"] in ("better", "worse", "can't tell") and compared["decided_on"] == "KLD"
    told = lqtui(*command)
    assert told.stdout.endswith(compared["sentence"] + "\n") and "ΔKLD" in told.stdout


def test_chunks_are_added_until_the_verdict_stands(tiny_model: Path, tiny_corpus: Path) -> None:
    command = ["measure", tiny_model, "--compare", "uniform_q4_0", "attention_q8", "--corpus", tiny_corpus]
    command += ["--ctx", "128", "--threads", "1", "--until-verdict", "--json"]
    everything = document(lqtui(*command))
    assert everything["corpus"] == f"{tiny_corpus.stem}, spread"
    found = everything["comparison"]
    assert found["verdict"] == "worse" and 2 < found["chunks"] == found["decided_after"] < 30
    assert found["delta_kld_low"] > 0 and found["chunks_to_go"] is None
    surer = document(lqtui(*command, "--confidence", "0.999"))["comparison"]
    assert surer["chunks"] > found["chunks"] and "99.9 % confidence" in surer["sentence"]
    bounded = document(lqtui(*command, "--fresh", "--chunks", "3", "--memory", "1MiB"))["comparison"]
    assert bounded["verdict"] == "can't tell" and bounded["chunks"] == 3 and bounded["decided_after"] is None


def test_measure_takes_recipe_files_and_measures_speed(
    demo_model: Path, quick: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\nbase = "Q4_0"\n[tensors]\n"blk.0-1" = "Q8_0"\n')
    done = lqtui("measure", demo_model, "--recipe", recipe, *quick, "--tps", "--repetitions", "2", "--json")
    (row,) = document(done)["results"]
    assert row["name"] == "mine"
    assert row["prompt_tps"] > 0 and row["generation_tps"] > 0 and row["prompt_tps_sd"] >= 0


def test_quantize_writes_the_bytes_that_plan_told(demo_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    found = document(lqtui("quantize", demo_model, out, "--preset", "ffn_q8", "--json"))
    planned = document(lqtui("plan", demo_model, "--preset", "ffn_q8", "--json"))
    assert found["file_bytes"] == planned["file_bytes"] == out.stat().st_size
    assert found["out"] == str(out)


def test_export_prints_a_script_or_writes_one_that_can_be_run(demo_model: Path, tmp_path: Path) -> None:
    printed = lqtui("export", demo_model, "--preset", "ffn_q8")
    assert printed.returncode == 0 and printed.stdout.startswith("#!")
    out = tmp_path / "make.sh"
    found = document(lqtui("export", demo_model, "--preset", "ffn_q8", "-o", out, "--json"))
    assert found["out"] == str(out) and out.read_text() == printed.stdout and os.access(out, os.X_OK)
    assert subprocess.run(["bash", "-n", out]).returncode == 0


def test_cache_shows_the_pool_and_prunes_it(demo_model: Path, quick: list[str]) -> None:
    document(lqtui("measure", demo_model, "--preset", "ffn_q8", *quick, "--json"))
    found = document(lqtui("cache", "--json"))
    planned = document(lqtui("plan", demo_model, "--preset", "ffn_q8", "--json"))
    assert found["bytes"] > 0 and found["models"][0]["model"] == planned["model"]
    pruned = document(lqtui("cache", "--prune", "--json"))
    assert pruned["freed_bytes"] == found["bytes"] and pruned["bytes"] == 0


def test_doctor_tells_versions_engine_devices_paths_and_terminal(home: Path) -> None:
    found = document(lqtui("doctor", "--json"))
    keys = {"lqtui", "python", "packages", "engine", "gpus", "threads", "paths", "terminal"}
    assert keys <= found.keys()
    assert found["engine"]["devices"] and found["paths"]["data"].startswith(str(home))


def test_people_get_tables(demo_model: Path, quick: list[str]) -> None:
    for arguments in (
        ["plan", demo_model, "--preset", "ffn_q8"],
        ["measure", demo_model, "--preset", "ffn_q8", *quick],
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
    (row,) = document(lqtui("measure", model, "--preset", "ffn_q8", *quick, "--kld", "--json"))["results"]
    assert row["broken"] is True and {row["kld"], row["kld_max"], row["top1_agreement"]} == {None}
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
