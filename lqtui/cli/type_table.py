"""`lqtui types`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.cli.output import MIB, error, number
from lqtui.cli.results import result_document
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, parse_file_type
from lqtui.workbench import Job, JobState, Result, Settings, Speed, Workbench
from lqtui.workbench.type_table import TABLE_TYPES, TableRow


def parse_file_types(text: str | None) -> tuple[FileType, ...]:
    """File types as people list them: `q8_0,q4_k_m`."""
    if text is None:
        return TABLE_TYPES
    try:
        found = [parse_file_type(name) for name in re.split(r"[,\s]+", text.strip()) if name]
    except RecipeError as refusal:
        output.fail(str(refusal).replace("unknown base", "unknown type"))
    if not found:
        output.fail("--types lists no type; write for example --types Q8_0,Q4_K_M,Q3_K_M")
    return tuple(dict.fromkeys(found))


def types_table(
    model: Path,
    types: Sequence[FileType],
    chosen: Settings,
    imatrix: Path | None,
    requantize: bool,
    json: bool,
    *,
    fresh: bool,
    tps: bool,
) -> None:
    """Measure a model at each file type, and print what is known of each then."""

    async def run(bench: Workbench) -> tuple[Job, tuple[TableRow, ...], dict[FileType, Result], str]:
        await bench.open(model, requantize=requantize)
        matrix = await bench.read_imatrix(imatrix) if imatrix else None
        rows = bench.table_rows(types, matrix)
        job = await followed(bench, bench.measure_types(types, matrix, fresh=fresh, speed=tps))
        known = {}
        for row in rows:
            found = bench.result(row.plan) if row.plan and not row.reason else None
            if found is not None and not found.partial:
                known[row.file_type] = replace(found, name=row.file_type.value)
        return job, rows, known, bench.corpus_name

    job, rows, known, corpus_name = on_bench(chosen, run)
    if json and (known or job.state is JobState.DONE):
        document = {"model": str(model), "corpus": corpus_name, "n_ctx": chosen.n_ctx}
        output.print_json(document | {"types": [_document(row, known.get(row.file_type)) for row in rows]})
    elif known:
        _print(rows, known, timed=tps)
    exit_unless_done(job)


def _document(row: TableRow, result: Result | None) -> dict[str, object]:
    """A row in JSON; what could not be measured has its reason, and its size where that is known."""
    measured = result_document(result) if result else {}
    size = {
        "file_bytes": row.plan and row.plan.file_bytes,
        "bits_per_weight": row.plan and row.plan.bits_per_weight,
        "compression": row.compression,
    }
    return {"type": row.file_type.value, "reason": row.reason or None, **measured, **size}


def _print(rows: Sequence[TableRow], known: Mapping[FileType, Result], *, timed: bool) -> None:
    """The table for people: what was measured with its errors, and the reason where nothing was."""
    speeds = ["pp t/s", "tg t/s"] if timed else []
    table = [["type", "MiB", "bpw", "smaller", "PPL", "± SE", "ΔPPL %", "KLD", "± SE", "same top", *speeds]]
    for row in rows:
        result = known.get(row.file_type)
        cells = _measured(result) if result else ["–"] * 6
        if timed:
            cells += [_speed(result.prompt), _speed(result.generation)] if result else ["–", "–"]
        table.append([row.file_type.value, *_size(row), *cells])
    output.print_table(table)
    for row in rows:
        if row.reason:
            print(output.shown(f"{row.file_type} is not measured: {row.reason}"))


def _size(row: TableRow) -> list[str]:
    if row.plan is None:
        return ["–"] * 3
    return [
        f"{row.plan.file_bytes / MIB:.1f}",
        f"{row.plan.bits_per_weight:.2f}",
        f"{row.compression or 0:.2f}×",
    ]


def _measured(result: Result) -> list[str]:
    same = result.top1_agreement
    is_base = result.delta_percent == 0 and not result.delta_percent_se
    return [
        number(result.perplexity, 4),
        error(result.perplexity_se, 4),
        "base" if is_base else number(result.delta_percent, 2, sign=True),
        number(result.kld, 5),
        error(result.kld_se, 5),
        number(same if same is None else 100 * same, 2) + (" %" if same is not None else ""),
    ]


def _speed(speed: Speed | None) -> str:
    return f"{speed.mean:.1f} ± {speed.sd:.1f}{'*' if speed.noisy else ''}" if speed else "–"
