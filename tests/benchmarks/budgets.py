"""What solved recipes are worth: beside every published strategy, llama.cpp's mixes, and simple orders.

Run: python tests/benchmarks/budgets.py MODEL.gguf --corpus TEXT [--chunks 5] [--threads N]

Recipes are fitted on the second half of the text and all of them are told on the first. Prints Markdown
tables: the KLD at each strategy's size of what was solved with Q8_0 and Q4_0 alone and with the whole ladder
of types, beside the strategy and the best simple recipe that is no larger; how far predictions are from
measurements; and how long the first fit took, everything measured anew.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import DEFAULT_CANDIDATES, JobState, Settings, Workbench
from lqtui.workbench.solving import Solved

TWO_TYPES = (TensorType.Q8_0, TensorType.Q4_0)
SIMPLE = (
    "Q8_0",
    "Q6_K",
    "Q5_1",
    "Q5_0",
    "Q4_1",
    "Q4_0",
    "IQ4_NL",
    "Q5_K_M",
    "Q5_K_S",
    "Q4_K_M",
    "Q4_K_S",
    "IQ4_XS",
    "Q3_K_L",
    "Q3_K_M",
    "Q3_K_S",
    "Q2_K",
)
"""File types of llama-quantize that need no importance matrix: uniform types and mixes."""


class Told(NamedTuple):
    """A recipe's size in bytes and its mean KLD on the text that nothing was fitted on, with its error."""

    name: str
    size: int
    kld: float
    se: float


async def done(bench: Workbench, job: object) -> None:
    """Wait for a job; an error where it did not end well."""
    ended = await bench.wait(job)  # type: ignore[arg-type]
    if ended.state is not JobState.DONE:
        raise SystemExit(f"{ended.title}: {ended.message}")


async def told(bench: Workbench, plans: Iterable[Plan]) -> dict[str, Told]:
    """Measure plans, and what is then known of each, by digest."""
    found = {}
    distinct = {plan.digest: plan for plan in plans}
    await done(bench, bench.measure_plans(list(distinct.values()), "measure", speed=False))
    for digest, plan in distinct.items():
        row = bench.result(plan)
        assert row is not None and row.kld is not None and row.kld_se is not None
        found[digest] = Told(plan.recipe.name, plan.file_bytes, row.kld, row.kld_se)
    return found


def simple_plans(shape: ModelShape) -> list[Plan]:
    """Uniform types and llama.cpp's own mixes, as far as they can be made of this model."""
    plans = []
    for name in SIMPLE:
        try:
            plan = resolve(shape, Recipe(name, FileType(name)))
        except RecipeError:
            continue
        if not plan.missing_imatrix:
            plans.append(plan)
    return plans


def ordered_plans(shape: ModelShape, label: str, scores: Mapping[int, float], base: Plan) -> list[Plan]:
    """Blocks raised from Q4_0 to Q8_0, those of the highest score first, one more in each plan."""
    types = {p.name: p.effective for p in base.tensors if p.quantizable}
    plans = []
    for count, block in enumerate(sorted(scores, key=lambda block: -scores[block]), 1):
        types |= {t.name: TensorType.Q8_0 for t in quantizable_tensors(shape) if t.block == block}
        plans.append(resolve(shape, with_types(shape, f"{label} {count}", types)))
    return plans


def largest_within(plans: Sequence[Plan], size: int) -> list[Plan]:
    """The largest of plans that are no larger than `size`; none where all are."""
    fitting = [plan for plan in plans if plan.file_bytes <= size]
    return [max(fitting, key=lambda plan: plan.file_bytes)] if fitting else []


async def solved_at(bench: Workbench, sizes: Iterable[int], types: Sequence[TensorType]) -> dict[int, Solved]:
    """What is solved for each size."""
    found = {}
    for size in sizes:
        await done(bench, bench.fit_recipe(bench.target_of_size(size), types))
        assert bench.solved is not None
        found[size] = bench.solved
    return found


async def compare(model: Path, settings: Settings, home: Path) -> None:
    """Measure everything and print the tables."""
    bench = Workbench(Paths.under(home), settings)
    try:
        await bench.open(model)
        assert bench.model is not None
        shape = bench.model.shape
        strategies = [resolve(shape, preset(name, shape)) for name in PRESET_NAMES if name != "baseline_fp16"]
        sizes = sorted({plan.file_bytes for plan in strategies})
        started = time.perf_counter()
        first = await solved_at(bench, sizes[:1], TWO_TYPES)
        seconds = time.perf_counter() - started
        two = first | await solved_at(bench, sizes[1:], TWO_TYPES)
        ladder = await solved_at(bench, sizes, DEFAULT_CANDIDATES)
        blocks = bench.importance.blocks
        uniform = strategies[PRESET_NAMES.index("uniform_q4_0") - 1]
        orders = [
            ordered_plans(shape, label, scores, uniform)
            for label, scores in (
                ("LIM", {b: e.lim for b, e in blocks.items() if e.lim is not None}),
                ("ZD", {b: -e.zd for b, e in blocks.items()}),
                ("ZD two-sided", {b: -e.zd_two_sided for b, e in blocks.items()}),
            )
        ]
        rivals = [*simple_plans(shape)]
        rivals += [plan for size in sizes for plans in orders for plan in largest_within(plans, size)]
        solved = [one.plan for one in (*two.values(), *ladder.values())]
        by_digest = await told(bench, [*strategies, *rivals, *solved])
        everything = {plan.recipe.name: by_digest[plan.digest] for plan in [*rivals, *strategies]}
        known = [everything[plan.recipe.name] for plan in rivals]
        print_strategies(strategies, everything, known, two, ladder)
        print_predictions([*two.values(), *ladder.values()])
        count = len(quantizable_tensors(shape))
        print(f"\nThe first fit, {count} tensors measured alone among it, took {seconds:.0f} s.")
    finally:
        await bench.close()


def print_strategies(
    strategies: Sequence[Plan],
    everything: Mapping[str, Told],
    rivals: Sequence[Told],
    two: Mapping[int, Solved],
    ladder: Mapping[int, Solved],
) -> None:
    """A row for each strategy: what was solved at its size, beside it and the best simple recipe."""
    columns = [
        "strategy",
        "MiB",
        "KLD",
        "Q8_0 and Q4_0 solved",
        "÷ strategy",
        "ladder solved",
        "÷ strategy",
        "best simple",
        "÷ it",
    ]
    print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
    for plan in strategies:
        own, size = everything[plan.recipe.name], plan.file_bytes
        pair, whole = two[size].measured, ladder[size].measured
        assert pair is not None and whole is not None and pair.kld is not None and whole.kld is not None
        fitting = [row for row in rivals if row.size <= size]
        best = min(fitting, key=lambda row: row.kld) if fitting else None
        print(
            f"| {plan.recipe.name} | {size / 2**20:.1f} | {own.kld:.5f} ± {own.se:.5f} | {pair.kld:.5f} "
            f"| **{pair.kld / own.kld:.2f}** | {whole.kld:.5f} | **{whole.kld / own.kld:.2f}** "
            + (f"| {best.name} {best.kld:.5f} | **{whole.kld / best.kld:.2f}** |" if best else "| – | – |")
        )


def print_predictions(solved: Sequence[Solved]) -> None:
    """How far measurements on other text are from what was predicted."""
    off = [abs(one.off_by) for one in solved if one.off_by is not None]
    print(
        f"\nPredicted against measured on other text, {len(off)} recipes: median "
        f"{statistics.median(off):.1%} apart, at most {max(off):.1%}."
    )


def main() -> None:
    """Print the tables for one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    settings = Settings(corpus=options.corpus.absolute(), chunks=options.chunks, threads=options.threads)
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(compare(options.model.absolute(), settings, Path(home)))


if __name__ == "__main__":
    main()
