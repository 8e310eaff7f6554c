"""Tokens per second, ours against llama-bench's on the same file, the two taking turns.

Run: python tests/benchmarks/throughput.py MODEL.gguf --tools DIR [--rounds 5]
(DIR holds llama-bench, built from the llama.cpp that llama-cpp-python bundles.)
Prints each side's mean ± sd over all repetitions, and the ratio with its error over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from lqtui.recipe.imatrix import Encoding
from lqtui.workbench.values import physical_cores
from lqtui.worker.client import run_task
from lqtui.worker.messages import Event, Measure, ReadHeader, RecipeTypes, SpeedMeasured

TESTS = {"pp512": (512, 0), "tg128": (0, 128)}


async def ours(model: Path, repetitions: int, threads: int, work: Path) -> dict[str, list[float]]:
    """Our child process's speeds on a model file as it is."""
    header = await run_task(ReadHeader(model), work / "header.log")
    assert header.shape is not None
    encodings = {tensor.name: Encoding(tensor.type) for tensor in header.shape.tensors}
    task = Measure(
        model=model,
        recipes=[RecipeTypes(encodings, perplexity=False, speed=True)],
        pool=work / "pool",
        model_digest="benchmark",
        label="benchmark",
        corpus=model,
        n_ctx=512,
        chunks=1,
        repetitions=repetitions,
        n_prompt=512,
        n_gen=128,
        threads=threads,
    )
    speeds: dict[str, list[float]] = {}

    def hear(event: Event) -> None:
        if isinstance(event, SpeedMeasured):
            speeds["pp512" if event.n_prompt else "tg128"] = event.tokens_per_second

    await run_task(task, work / "ours.log", hear)
    return speeds


def llama_bench(model: Path, repetitions: int, threads: int, tools: Path) -> dict[str, list[float]]:
    """llama-bench's speeds on the same file."""
    command = [tools / "llama-bench", "-m", model, "-p", "512", "-n", "128", "-r", repetitions, "-t", threads]
    done = subprocess.run([*map(str, command), "-o", "json"], capture_output=True, check=True, text=True)
    rows = json.loads(done.stdout)
    return {"pp512" if row["n_prompt"] else "tg128": row["samples_ts"] for row in rows}


def main() -> None:
    """Take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=physical_cores())
    options = parser.parse_args()
    model = options.model.absolute()
    rounds: list[tuple[dict[str, list[float]], dict[str, list[float]]]] = []
    with tempfile.TemporaryDirectory() as work:
        for number in range(options.rounds):
            one = asyncio.run(ours(model, options.repetitions, options.threads, Path(work)))
            other = llama_bench(model, options.repetitions, options.threads, options.tools)
            rounds.append((one, other))
            print(f"round {number + 1}/{options.rounds} done", flush=True)
    counts = f"{options.rounds} rounds of {options.repetitions} repetitions"
    print(f"{model.name}, {options.threads} threads, {counts}")
    print(f"{'test':8}{'lqtui t/s':>20}{'llama-bench t/s':>20}{'ratio':>10}{'± SE':>8}")
    for test in TESTS:
        mine = [speed for one, _ in rounds for speed in one[test]]
        theirs = [speed for _, other in rounds for speed in other[test]]
        ratios = [statistics.fmean(one[test]) / statistics.fmean(other[test]) for one, other in rounds]
        error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
        print(f"{test:8}{_shown(mine):>20}{_shown(theirs):>20}{statistics.fmean(ratios):>10.3f}{error:>8.3f}")


def _shown(speeds: list[float]) -> str:
    return f"{statistics.fmean(speeds):.1f} ± {statistics.stdev(speeds):.1f}"


if __name__ == "__main__":
    main()
