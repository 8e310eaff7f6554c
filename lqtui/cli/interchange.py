"""`lqtui compare` and `lqtui report`."""

from __future__ import annotations

from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.cli.recipes import WantedRecipe, named_recipe
from lqtui.export.chart_kind import ChartKind
from lqtui.recipe.differences import Difference, Side, differences, side_of_plan
from lqtui.recipe.presets import preset_name
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from lqtui.workbench.interchange import is_gguf


def compare(one: str, other: str, model: Path | None, requantize: bool, json: bool) -> None:
    """Show where two files or recipes differ; the exit status does not tell whether they do."""
    are_files = [_is_model(name) for name in (one, other)]
    if model is None and not all(are_files):
        named = one if not are_files[0] else other
        output.fail(f"{named} is a recipe: name the model that it is for with --model MODEL")

    async def run(bench: Workbench) -> tuple[Side, Side]:
        if all(are_files):
            job, sides = bench.compare_files(Path(one), Path(other))
            job = await followed(bench, job)
            if job.state is not JobState.DONE:
                exit_unless_done(job)
            return sides[0], sides[1]
        assert model is not None
        await bench.open(model, requantize=requantize, fingerprint=False)
        return await _side(bench, one), await _side(bench, other)

    a, b = on_bench(Settings(), run)
    found = differences(a, b)
    if json:
        output.print_json(_document(a, b, found))
    else:
        _print(a, b, found)


def report(
    model: Path, out: Path, chart: ChartKind | None, chosen: Settings, requantize: bool, json: bool
) -> None:
    """Write the report of what is known of a model under some settings; of charts, `chart` alone."""

    async def run(bench: Workbench) -> int:
        await bench.open(model, requantize=requantize)
        if bench.jobs:  # the model's digest is being computed, under which results are kept
            exit_unless_done(await followed(bench, bench.jobs[0]))
        await bench.recalled_importance()
        bench.write_report(out, chart)
        return len(bench.results)

    count = on_bench(chosen, run)
    if json:
        output.print_json({"out": str(out), "results": count})
    else:
        print(output.shown(f"wrote {out}: {count} results"))


def _is_model(name: str) -> bool:
    """Whether a name is that of a GGUF file; what is no file may be a preset."""
    try:
        return is_gguf(Path(name))
    except WorkbenchError as error:
        if Path(name).suffix and preset_name(name) is None:
            output.fail(str(error))
        return False


async def _side(bench: Workbench, name: str) -> Side:
    if _is_model(name):
        return await bench.side(Path(name))
    wanted: WantedRecipe = named_recipe(name)
    return side_of_plan(await wanted.plan(bench))


def _document(a: Side, b: Side, found: tuple[Difference, ...]) -> dict[str, object]:
    return {
        "a": {"name": a.name, "file_bytes": a.file_bytes, "tensors": len(a.tensors)},
        "b": {"name": b.name, "file_bytes": b.file_bytes, "tensors": len(b.tensors)},
        "data_compared": bool(a.digests and b.digests),
        "differences": [
            {
                "name": d.tensor.name,
                "a": d.type.value if d.type else None,
                "b": d.other.value if d.other else None,
                "bytes_more": d.bytes_more,
                "other_shape": d.other_shape,
                "other_bytes": d.other_bytes,
            }
            for d in found
        ],
    }


def _print(a: Side, b: Side, found: tuple[Difference, ...]) -> None:
    same = sum(name in b.tensors for name in a.tensors) - sum(
        d.type is not None and d.other is not None for d in found
    )
    whose = "type and data" if a.digests and b.digests else "type"
    for side in (a, b):
        print(output.shown(f"{side.name}: {side.file_bytes:,} bytes, {len(side.tensors)} tensors"))
    print(f"{same} tensors have the same {whose}, {len(found)} differ")
    if not found:
        return
    rows = [["tensor", "A", "B", "KiB more in B", ""]]
    rows += [
        [
            d.tensor.name,
            d.type.value if d.type else "–",
            d.other.value if d.other else "–",
            f"{d.bytes_more / 1024:+,.0f}",
            "other dimensions" if d.other_shape else "other data" if d.other_bytes else "",
        ]
        for d in found
    ]
    print()
    output.print_table(rows)
