"""`lqtui sensitivity`, `lqtui fit` and `lqtui frontier`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import STOPPED, exit_unless_done, followed, on_bench, open_model
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.selectors import select
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType, parse_type
from lqtui.solve.constraints import Constraints
from lqtui.store.estimates import BlockEstimate
from lqtui.store.paths import expanded, is_directory
from lqtui.workbench import (
    DEFAULT_CANDIDATES,
    PROBE,
    Curve,
    FrontierPoint,
    Job,
    JobState,
    Settings,
    Solved,
    Target,
    Workbench,
    WorkbenchError,
)


@dataclass(frozen=True)
class Budget:
    """What a recipe may take: one of a file's bytes, bits per weight, or bytes of VRAM or RAM."""

    size: int | None = None
    bpw: float | None = None
    vram: int | None = None
    ram: int | None = None

    async def target(self, bench: Workbench) -> Target:
        """The size of file that the budget comes to on the open model."""
        if self.size is not None:
            return bench.target_of_size(self.size)
        if self.bpw is not None:
            return bench.target_of_bpw(self.bpw)
        return await bench.target_of_memory(self.vram or self.ram or 0, vram=self.vram is not None)


@dataclass(frozen=True)
class Choices:
    """Among which recipes the best one is sought: candidate types, granularity, and what else must hold."""

    types: tuple[TensorType, ...]
    by: Granularity
    pins: tuple[str, ...] = ()
    floors: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()

    def constraints(self, shape: ModelShape) -> Constraints:
        """The constraints on a model; WorkbenchError for a pattern that cannot be read or hits nothing."""
        ties = tuple(tuple(role.strip() for role in tie.split(",")) for tie in self.ties)
        return Constraints(_of_patterns(shape, self.pins), _of_patterns(shape, self.floors), ties)


def budget(size: str | None, bpw: float | None, vram: str | None, ram: str | None) -> Budget:
    """The one budget that a command was given."""
    if sum(given is not None for given in (size, bpw, vram, ram)) != 1:
        output.fail("give one budget: --size 400MiB, --bpw 4.5, --vram 6GiB or --ram 8GiB")
    if bpw is not None and not 0 < bpw <= 32:
        output.fail(f"--bpw must lie between 0 and 32, and {bpw:g} does not")
    sizes = (output.parse_size(text) if text is not None else None for text in (size, vram, ram))
    of_file, of_vram, of_ram = sizes
    return Budget(of_file, bpw, of_vram, of_ram)


def choices(
    types: str | None,
    by: Granularity,
    pins: Sequence[str] = (),
    floors: Sequence[str] = (),
    ties: Sequence[str] = (),
) -> Choices:
    """What may be chosen, from a command's options."""
    return Choices(parse_types(types, DEFAULT_CANDIDATES), by, tuple(pins), tuple(floors), tuple(ties))


def parse_types(text: str | None, default: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
    """Types as people list them: `q8_0,q4_0`."""
    if text is None:
        return default
    try:
        found = [parse_type(name) for name in re.split(r"[,\s]+", text.strip()) if name]
    except RecipeError as error:
        output.fail(str(error))
    if not found:
        output.fail("--types lists no type; write for example --types Q8_0,Q5_K,Q4_0")
    return tuple(dict.fromkeys(found))


def sensitivity(
    model: Path,
    chosen: Settings,
    types: tuple[TensorType, ...],
    by: Granularity,
    chunks: int,
    requantize: bool,
    json: bool,
    *,
    estimate: bool,
    imatrix: Path | None = None,
) -> None:
    """Measure, or only estimate, what each tensor or block costs alone, and print it.

    Stopped by ctrl-c, it prints what is measured by then.
    """

    async def run(bench: Workbench) -> tuple[Job, Workbench]:
        await open_model(bench, model, requantize, imatrix)
        job = bench.estimate_importance() if estimate else bench.measure_sensitivity(by, types, chunks)
        return await followed(bench, job, tell_stopped=True), bench

    job, bench = on_bench(chosen, run)
    view = bench.importance
    rows = _sensitivity_rows(bench, types, by)
    if json and (view.tensors or view.scores):
        output.print_json(
            {
                "model": str(model),
                "by": by,
                "scores": rows,
                "blocks": list(view.blocks.values()),
                "rank_correlation": view.correlations,
            }
        )
    elif job.state is JobState.DONE or view.scores:
        if rows:
            _print_sensitivity(rows, view.correlations)
        if estimate:
            _print_blocks(list(view.blocks.values()))
    if job.state is JobState.CANCELLED:
        output.fail(f"{STOPPED}: {len(view.scores)} measured alone", 1)
    exit_unless_done(job)


def curves(
    model: Path, chosen: Settings, types: str | None, requantize: bool, json: bool, imatrix: Path | None
) -> None:
    """Measure how long quality lasts as blocks are lowered in the order of each score, and print it."""
    to, *others = parse_types(types, (TensorType.Q2_K,))
    if others:
        output.fail("--curves lowers to one type; give one with --types")

    async def run(bench: Workbench) -> tuple[Job, Workbench]:
        await open_model(bench, model, requantize, imatrix)
        return await followed(bench, bench.measure_lowering(to)), bench

    job, bench = on_bench(chosen, run)
    known = bench.lowered.get(to)
    if known is not None and known.is_whole and json:
        output.print_json({"model": str(model), "type": to, "curves": known.curves})
    elif known is not None and known.is_whole:
        shares = [f"{point.share:.0%}" for point in known.curves[0].points]
        table = [["quality kept, lowered by", *shares, "90 % to"]]
        for curve in known.curves:
            kept = [f"{point.kept:.0%}" + (f"±{point.sd:.0%}" if point.sd else "") for point in curve.points]
            kept += [""] * (len(shares) - len(kept))
            end = curve.share_at_kept
            table.append([curve.label, *kept, "the end" if end is None else f"{end:.0%}"])
        output.print_table(table)
        print("± is the deviation between random orders; with so many blocks lowered, 90 % is kept")
        if sys.stdout.isatty():
            _draw(known.curves)
    exit_unless_done(job)


def _draw(curves: Sequence[Curve]) -> None:
    """Draw what is kept against the share of blocks that are lowered, as wide as the terminal.

    Pruned blocks are left to the table: they fall off any scale on which orders can be told apart.
    """
    import plotext

    plotext.clear_figure()
    for curve in curves:
        if curve.is_pruned:
            continue
        marker = "r" if curve.is_random else "2" if "two" in curve.label else curve.label[0]
        plotext.plot(
            [100 * point.share for point in curve.points],
            [100 * point.kept for point in curve.points],
            marker=marker.lower(),
        )
    plotext.title("m measured   l LIM   z ZD   2 ZD two-sided   r random")
    plotext.plotsize(None, 20)
    plotext.xlabel("blocks lowered, %")
    plotext.ylabel("quality kept, %")
    plotext.clear_color()
    plotext.show()


def _sensitivity_rows(
    bench: Workbench, types: tuple[TensorType, ...], by: Granularity
) -> list[dict[str, object]]:
    """A row for each unit and type that is measured, the costliest first; else for each that is estimated."""
    view = bench.importance
    assert bench.model is not None
    measured: list[dict[str, object]] = [
        {
            "name": score.unit.label,
            "type": score.type,
            "asked": score.asked,
            "score": score.kld,
            "kld_se": score.kld_se,
            "delta_nll": score.delta_nll,
            "delta_nll_se": score.delta_nll_se,
            "chunks": score.chunks,
            "estimated_error": view.error_of(score.unit.names[0]) if len(score.unit.names) == 1 else None,
        }
        for score in sorted(view.scores, key=lambda score: -score.kld)
    ]
    if measured:
        return measured
    if by is Granularity.BLOCK:
        return []
    estimates = [(view.error_of(name), name) for name in view.tensors]
    return [
        {"name": name.removesuffix(".weight"), "type": PROBE, "score": None, "estimated_error": error}
        for error, name in sorted(estimates, key=lambda pair: -(pair[0] or 0))
    ]


def _print_blocks(blocks: Sequence[BlockEstimate]) -> None:
    table = [["block", "est. LIM", "est. ZD", "est. ZD two-sided"]]
    for block in blocks:
        lim = "–" if block.lim is None else f"{block.lim:.4f}"
        table.append([f"blk.{block.block}", lim, f"{block.zd:.4f}", f"{block.zd_two_sided:.4f}"])
    output.print_table(table)


def _print_sensitivity(rows: Sequence[dict[str, object]], correlations: dict[str, float]) -> None:
    table = [["name", "type", "KLD", "± SE", "ΔNLL", "± SE", "est. error"]]
    for row in rows:
        numbers = (row.get(key) for key in ("score", "kld_se", "delta_nll", "delta_nll_se"))
        error = row["estimated_error"]
        table.append(
            [
                str(row["name"]),
                str(row["type"]),
                *(f"{number:.6f}" if isinstance(number, float) else "–" for number in numbers),
                f"{error:.3%}" if isinstance(error, float) else "–",
            ]
        )
    output.print_table(table, left=2)
    for label, rho in correlations.items():
        print(f"{label}: Spearman's rank correlation with what was measured {rho:+.2f}")


def fit(
    model: Path,
    chosen: Settings,
    wanted: Budget,
    among: Choices,
    out: Path | None,
    requantize: bool,
    json: bool,
    imatrix: Path | None,
) -> None:
    """Find the best recipe for a budget, print what is predicted and measured of it, and save it."""
    if out is not None and not is_directory(expanded(out).parent):
        output.fail(f"the folder of {out} does not exist; make it first, or save the recipe elsewhere")

    async def run(bench: Workbench) -> tuple[Job, Solved | None, str]:
        await open_model(bench, model, requantize, imatrix)
        assert bench.model is not None
        target = await wanted.target(bench)
        job = bench.fit_recipe(target, among.types, among.by, among.constraints(bench.model.shape))
        job = await followed(bench, job)
        problem = ""
        if out is not None and bench.solved is not None:
            try:
                bench.save_recipe(out)
            except WorkbenchError as error:  # the recipe itself must be told all the same
                problem = str(error)
        return job, bench.solved, problem

    job, solved, problem = on_bench(chosen, run)
    if solved is not None and json:
        output.print_json(_fit_document(model, solved))
    elif solved is not None:
        _print_fit(solved, out if not problem else None)
    exit_unless_done(job)
    if problem:
        output.fail(problem)


def _fit_document(model: Path, solved: Solved) -> dict[str, object]:
    plan, measured = solved.plan, solved.measured
    return {
        "model": str(model),
        "budget": solved.target.label,
        "budget_bytes": solved.target.file_bytes,
        "name": plan.recipe.name,
        "file_bytes": plan.file_bytes,
        "bits_per_weight": plan.bits_per_weight,
        "imatrix": plan.recipe.imatrix.path if plan.recipe.imatrix else None,
        "predicted_kld": solved.predicted_kld,
        "measured_kld": measured.kld if measured else None,
        "measured_kld_se": measured.kld_se if measured else None,
        "perplexity": measured.perplexity if measured else None,
        "perplexity_se": measured.perplexity_se if measured else None,
        "proved_optimal": solved.solution.is_proved,
        "recipe": {name: kind.value for name, kind in solved.solution.types.items()},
    }


def _print_fit(solved: Solved, out: Path | None) -> None:
    plan = solved.plan
    print(output.shown(f"{plan.recipe.name}: {plan.file_bytes:,} bytes, {plan.bits_per_weight:.2f} bpw"))
    print(output.shown(solved.outcome))
    counts: dict[TensorType, int] = {}
    for planned in plan.tensors:
        if planned.quantizable:
            counts[planned.effective] = counts.get(planned.effective, 0) + 1
    ordered = sorted(counts, key=lambda kind: -kind.bits_per_weight)
    print("tensors: " + ", ".join(f"{counts[kind]} {kind}" for kind in ordered))
    if out is not None:
        print(output.shown(f"wrote {out}"))


def frontier(
    model: Path, chosen: Settings, among: Choices, requantize: bool, json: bool, imatrix: Path | None
) -> None:
    """Find the best recipe of every size, and print them."""

    async def run(bench: Workbench) -> tuple[Job, tuple[FrontierPoint, ...]]:
        await open_model(bench, model, requantize, imatrix)
        assert bench.model is not None
        job = bench.find_frontier(among.types, among.by, among.constraints(bench.model.shape))
        return await followed(bench, job), bench.frontier

    job, points = on_bench(chosen, run)
    if points and json:
        output.print_json({"model": str(model), "points": [_point_document(point) for point in points]})
    elif points:
        table = [["MiB", "bpw", "predicted KLD", "measured KLD", "± SE", ""]]
        for point in points:
            measured = point.measured_kld, point.measured_kld_se
            table.append(
                [
                    f"{point.plan.file_bytes / output.MIB:.1f}",
                    f"{point.plan.bits_per_weight:.2f}",
                    f"{point.predicted_kld:.3g}",
                    *(f"{number:.3g}" if number is not None else "" for number in measured),
                    "knee" if point.is_knee else "",
                ]
            )
        output.print_table(table, left=0)
        print("predicted and measured on the text that recipes are fitted on; fit tells of one on other text")
        print(output.shown(job.message))
    exit_unless_done(job)


def _point_document(point: FrontierPoint) -> dict[str, object]:
    return {
        "file_bytes": point.plan.file_bytes,
        "bits_per_weight": point.plan.bits_per_weight,
        "predicted_kld": point.predicted_kld,
        "measured_kld": point.measured_kld,
        "measured_kld_se": point.measured_kld_se,
        "knee": point.is_knee,
        "recipe": {p.name: p.requested.value for p in point.plan.tensors if p.quantizable},
    }


def _of_patterns(shape: ModelShape, texts: Sequence[str]) -> dict[str, TensorType]:
    """The tensors that `PATTERN=TYPE` options name, with their types; the last one to name a tensor wins."""
    found: dict[str, TensorType] = {}
    for text in texts:
        pattern, equals, type_name = text.partition("=")
        if not equals:
            raise WorkbenchError(f"cannot read {text!r}; write PATTERN=TYPE, for example blk.*.attn_v=Q6_K")
        try:
            kind = parse_type(type_name)
            found.update((tensor.name, kind) for tensor in select(shape, pattern))
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
    return found
