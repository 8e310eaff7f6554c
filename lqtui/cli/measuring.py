"""`lqtui measure` and `lqtui demo`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.cli.recipes import WantedRecipe, many_recipes
from lqtui.cli.results import (
    Compared,
    comparison_document,
    print_comparison,
    print_results,
    result_document,
)
from lqtui.workbench import Job, JobState, Result, Settings, Workbench, WorkbenchError
from lqtui.workbench.demo import demo_model

ALL_CHUNKS = 1_000_000
"""More chunks than any text has."""


@dataclass(frozen=True)
class Comparing:
    """How to compare the first two recipes: how surely, and whether chunks are added until it is clear."""

    confidence: float
    until_verdict: bool


def comparing(
    compared: tuple[str, str] | None, confidence: float | None, until_verdict: bool
) -> Comparing | None:
    """How to compare, from a command's options; None where nothing is to be compared."""
    if compared is None:
        for given, option in ((until_verdict, "--until-verdict"), (confidence is not None, "--confidence")):
            if given:
                output.fail(f"{option} goes with --compare A B")
        return None
    confidence = 0.95 if confidence is None else confidence
    if not 0 < confidence < 1:
        output.fail(f"--confidence must lie between 0 and 1, for example 0.95, and {confidence:g} does not")
    return Comparing(confidence, until_verdict)


def measure(
    model: Path,
    wanted: list[WantedRecipe],
    chosen: Settings,
    requantize: bool,
    json: bool,
    *,
    fresh: bool,
    tps: bool,
    comparing: Comparing | None = None,
) -> None:
    """Measure recipes and print what is known of them then."""
    if comparing and comparing.until_verdict and len(wanted) > 2:
        output.fail("--until-verdict scores the two recipes of --compare alone; measure others without it")

    async def run(bench: Workbench) -> tuple[Job, list[Result], Compared | None, str]:
        await bench.open(model, requantize=requantize)
        plans = [await recipe.plan(bench) for recipe in wanted]
        names = [planned.recipe.name for planned in plans]
        title = f"measure {len(plans)} recipes" if len(plans) > 1 else f"measure {names[0]}"
        if comparing and plans[0].digest == plans[1].digest:
            raise WorkbenchError(f"{names[0]} and {names[1]} come to the same weights, so neither is better")
        until_clear = comparing.confidence if comparing and comparing.until_verdict else None
        job = bench.measure_plans(plans, title, fresh=fresh, speed=tps, until_clear=until_clear)
        job = await followed(bench, job)
        # Recipes that come to the same weights share a result, and each keeps its own name here.
        found = [(planned.recipe.name, bench.result(planned)) for planned in plans]
        known = [replace(r, name=name) for name, r in found if r and (until_clear or not r.partial)]
        compared = None
        if comparing and job.state is JobState.DONE:
            compared = _compared(bench, known[0], known[1], comparing)
        return job, known, compared, bench.corpus_name

    job, results, compared, corpus_name = on_bench(chosen, run)
    if json and (results or job.state is JobState.DONE):
        document = {
            "model": str(model),
            "corpus": corpus_name,
            "n_ctx": chosen.n_ctx,
            "results": [result_document(r) for r in results],
        }
        if compared:
            document["comparison"] = comparison_document(compared)
        output.print_json(document)
    elif results:
        print_results(results)
        if compared:
            print_comparison(compared)
    exit_unless_done(job)


def _compared(bench: Workbench, result: Result, other: Result, how: Comparing) -> Compared | None:
    from lqtui.workbench.verdicts import verdict_sentence  # NumPy comes with it, and is loaded by now

    comparison = bench.compare(result, other, how.confidence)
    if comparison is None:
        return None
    look = bench.look(result, other, how.confidence) if how.until_verdict else None
    sentence = verdict_sentence(result.name, other.name, look or comparison, how.confidence)
    return Compared(result.name, other.name, how.confidence, comparison, look, sentence)


def demo(chosen: Settings, json: bool, *, fresh: bool, tps: bool) -> None:
    """Measure the published strategies on the demo model."""
    try:
        model = demo_model()
    except WorkbenchError as error:
        output.fail(str(error))
    wanted = many_recipes([], True, [], False)
    measure(model, wanted, chosen, False, json, fresh=fresh, tps=tps)
