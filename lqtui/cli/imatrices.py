"""`lqtui imatrix`."""

from __future__ import annotations

import time
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.recipe.imatrix import Imatrix
from lqtui.workbench import Job, JobState, Settings, Workbench


def compute(
    model: Path,
    chosen: Settings,
    corpus: Path | None,
    chunks: int,
    n_ctx: int,
    out: Path | None,
    requantize: bool,
    json: bool,
) -> None:
    """Compute an importance matrix, and print what it is."""

    async def run(bench: Workbench) -> tuple[Job, Imatrix | None]:
        await bench.open(model, requantize=requantize)
        job = await followed(bench, bench.compute_imatrix(corpus, chunks, n_ctx, out=out))
        made = bench.computed_imatrix
        return job, await bench.read_imatrix(made) if made and job.state is JobState.DONE else None

    began = time.monotonic()
    job, imatrix = on_bench(chosen, run)
    if imatrix is not None:
        seconds = time.monotonic() - began
        if json:
            output.print_json(
                {
                    "path": imatrix.path,
                    "sha256": imatrix.sha256,
                    "dataset": imatrix.dataset,
                    "chunks": imatrix.chunks,
                    "entries": len(imatrix.sizes),
                    "seconds": round(seconds, 3),
                }
            )
        else:
            what = f"{len(imatrix.sizes)} tensors, {imatrix.chunks} chunks of {imatrix.dataset}"
            print(output.shown(f"{imatrix.path}: {what}, {seconds:.1f} s"))
    exit_unless_done(job)
