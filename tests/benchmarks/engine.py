"""The measuring engine against stock llama.cpp's tools, the two taking turns, and where its time goes.

Run: python tests/benchmarks/engine.py MODEL.gguf --corpus TEXT --tools DIR [--rounds 3] [experiment …]
(DIR holds llama-quantize and llama-perplexity, built from the llama.cpp that llama-cpp-python bundles.)

    experiment   the eleven presets, PPL: quantize + perplexity each, against `lqtui measure --all-presets`
    sensitivity  every block alone at Q8_0 and Q4_0, KLD: the same tools, against one sweep
    verdict      which of two recipes is better: paired and sequential, against error bars that separate
    profile      seconds by what they were spent on, and the machine's own arithmetic beside it

Prints a Markdown table for each. Medians over the rounds; both sides begin without anything quantized.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from peers import Cost, Peers, run, watched
from profile_engine import profile as profile_of
from verdicts import verdicts

from lqtui.measure.divergence import Estimate
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.worker.client import run_task
from lqtui.worker.messages import ChunkScored, Event, Measure, ReadHeader, RecipeTypes

SENSITIVITY_TYPES = (TensorType.Q8_0, TensorType.Q4_0)


@dataclass(frozen=True)
class Bench:
    """What is measured on, how often, and where files may be made."""

    model: Path
    shape: ModelShape
    corpus: Path
    tools: Path
    chunks: int
    threads: int
    rounds: int
    sample: int
    judged: int
    work: Path

    def peers(self) -> Peers:
        """The stock tools on this model and text."""
        return Peers(self.tools, self.model, self.corpus, 512, self.chunks, self.threads, self.work)

    def block_recipes(self) -> list[tuple[str, Plan]]:
        """Each block alone at each type, and what to call it."""
        own = {tensor.name: tensor.type for tensor in quantizable_tensors(self.shape)}
        found = []
        for block in range(self.shape.block_count):
            names = [t.name for t in self.shape.tensors if t.name.startswith(f"blk.{block}.")]
            for kind in SENSITIVITY_TYPES:
                changed = own | {name: kind for name in names if name in own}
                recipe = with_types(self.shape, f"block {block} at {kind}", changed)
                found.append((recipe.name, resolve(self.shape, recipe)))
        return found


def experiment(bench: Bench) -> str:
    """The eleven presets: PPL of each."""
    theirs, ours, answers = [], [], []
    plans = {name: resolve(bench.shape, preset(name, bench.shape)) for name in PRESET_NAMES}
    for number in range(bench.rounds):
        peers, cost, told = bench.peers(), Cost(0, 0), {}
        for name, plan in plans.items():
            file, quantized = peers.quantize(plan)
            told[name], measured = peers.perplexity(file)
            cost = cost.then(quantized).then(measured)
        theirs.append(cost)
        with tempfile.TemporaryDirectory(dir=bench.work) as home:
            command = [sys.executable, "-m", "lqtui", "measure", bench.model, "--all-presets", "--fresh"]
            options = [
                "--corpus",
                bench.corpus,
                "--chunks",
                str(bench.chunks),
                "--threads",
                str(bench.threads),
            ]
            ran = run([*command, *options, "--json"], {**os.environ, "LQTUI_HOME": home})
        ours.append(ran.cost)
        document = json.loads(ran.output[ran.output.index("{") :])
        mine = {
            row["name"]: f"{row['perplexity']:.4f} ± {row['perplexity_se']:.5f}"
            for row in document["results"]
        }
        answers.append(sum(mine[name] == told[name] for name in plans))
        _done("experiment", number, bench.rounds)
    digits = f"{min(answers)} of {len(plans)} PPL ± SE equal to the last printed digit"
    return _table("experiment: 11 presets, PPL", theirs, ours, digits)


def sensitivity(bench: Bench) -> str:
    """Every block alone at each type: KLD of each. The tools' time is that of a sample of recipes, scaled."""
    recipes = bench.block_recipes()
    asked = recipes[:: max(1, len(recipes) // bench.sample)] if bench.sample else recipes
    theirs, ours, apart = [], [], 0.0
    for number in range(bench.rounds):
        peers = bench.peers()
        kept, each, told = peers.keep_logits(), [], {}
        for name, plan in asked:
            file, quantized = peers.quantize(plan)
            told[name], measured = peers.divergence(file)
            each.append(quantized.then(measured))
        seconds = kept.seconds + sum(cost.seconds for cost in each) * len(recipes) / len(asked)
        theirs.append(Cost(seconds, max(cost.peak for cost in each)))
        mine, cost = _sweep(bench, [plan for _, plan in recipes])
        ours.append(cost)
        for (name, _), kld in zip(recipes, mine, strict=True):
            if name in told:
                apart = max(apart, abs(kld.value - float(told[name].split()[0])))
        _done("sensitivity", number, bench.rounds)
    scaled = f"; tools timed on {len(asked)} of {len(recipes)}" if len(asked) < len(recipes) else ""
    note = f"largest difference of a mean KLD: {apart:.6f}{scaled}"
    return _table(f"sensitivity: {len(recipes)} recipes, KLD", theirs, ours, note)


def verdict(bench: Bench) -> str:
    """Close pairs of recipes: scored tokens until it is clear which is better."""
    return verdicts(bench.model, bench.corpus, bench.threads, bench.judged, bench.work)


def profile(bench: Bench) -> str:
    """Where the time of a sweep goes."""
    return profile_of(bench.model, bench.corpus, bench.chunks, bench.threads, bench.work)


def _sweep(bench: Bench, plans: Sequence[Plan]) -> tuple[list[Estimate], Cost]:
    """Mean KLD of recipes, from one job with an empty pool, and what the job cost."""
    klds: list[list[np.ndarray]] = [[] for _ in plans]

    def hear(event: Event) -> None:
        if isinstance(event, ChunkScored):
            klds[event.recipe].append(np.frombuffer(event.kld, np.float32))

    with tempfile.TemporaryDirectory(dir=bench.work) as pool:
        task = Measure(
            model=bench.model,
            recipes=[RecipeTypes(p.encodings, True, False) for p in plans],
            pool=Path(pool),
            model_digest="benchmark",
            label="benchmark",
            corpus=bench.corpus,
            n_ctx=512,
            chunks=bench.chunks,
            repetitions=1,
            n_prompt=0,
            n_gen=0,
            threads=bench.threads,
        )
        with watched(psutil.Process()) as cost:
            asyncio.run(run_task(task, Path(pool, "log"), hear))
    joined = [np.concatenate(kld) for kld in klds]
    return [Estimate(float(k.mean()), float(k.std(ddof=1) / k.size**0.5)) for k in joined], cost()


def _done(what: str, number: int, rounds: int) -> None:
    print(f"{what}: round {number + 1}/{rounds} done", file=sys.stderr, flush=True)


def _table(title: str, theirs: Sequence[Cost], ours: Sequence[Cost], note: str) -> str:
    ratios = [a.seconds / b.seconds for a, b in zip(theirs, ours, strict=True)]
    rows = [f"| {title} | seconds, median | range | peak memory |", "|---|---|---|---|"]
    for name, costs in (("llama.cpp's tools", theirs), ("lqtui", ours)):
        seconds = [cost.seconds for cost in costs]
        rows.append(
            f"| {name} | {statistics.median(seconds):.1f} | {min(seconds):.1f}–{max(seconds):.1f} "
            f"| {max(cost.peak for cost in costs) / 2**20:,.0f} MiB |"
        )
    spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
    return "\n".join(
        [*rows, f"| **times faster** | **{statistics.median(ratios):.2f}** | {spread} | |", "", note]
    )


PARTS = {"experiment": experiment, "sensitivity": sensitivity, "verdict": verdict, "profile": profile}


def main() -> None:
    """Run the parts that are asked for, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=0, help="time the tools on so many recipes; 0 is all")
    parser.add_argument("--judged", type=int, default=40, help="chunks that a verdict is judged by")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as work:
        header = asyncio.run(run_task(ReadHeader(options.model.absolute()), Path(work, "log")))
        assert header.shape is not None
        bench = Bench(
            options.model.absolute(),
            header.shape,
            options.corpus.absolute(),
            options.tools.absolute(),
            options.chunks,
            options.threads,
            options.rounds,
            options.sample,
            options.judged,
            Path(work),
        )
        print(f"{options.model.name}, {options.chunks} chunks of 512, {options.threads} threads\n")
        for part in options.parts or PARTS:
            print(PARTS[part](bench), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
