"""How commands drive a workbench: open one, follow a job on it, and end with the right exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from lqtui.cli import output
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench import (
    AlreadyQuantizedError,
    Change,
    Job,
    JobState,
    Settings,
    Workbench,
    WorkbenchError,
    WorkFailedError,
)

Answer = TypeVar("Answer")
STOPPED = "stopped; what was measured so far is kept"


def workbench(chosen: Settings) -> Workbench:
    """A workbench on the person's own folders; where they cannot be used, say so and exit."""
    try:
        return Workbench(Paths.from_environment(), chosen)
    except (WorkbenchError, StoreError) as error:
        output.fail(str(error), 1)


def on_bench(
    chosen: Settings,
    run: Callable[[Workbench], Awaitable[Answer]],
    stopped: str = STOPPED,
) -> Answer:
    """Run something on a workbench of its own; bad input ends the process with a sentence and 2."""

    async def whole() -> Answer:
        bench = workbench(chosen)
        try:
            return await run(bench)
        finally:
            await bench.close()

    try:
        return asyncio.run(whole())
    except AlreadyQuantizedError as error:
        output.fail(f"{error}, or go on from this one with --requantize")
    except WorkFailedError as error:
        output.fail(str(error), 1)
    except (WorkbenchError, StoreError) as error:
        output.fail(str(error))
    except KeyboardInterrupt:
        output.fail(stopped, 1)


async def open_model(bench: Workbench, model: Path, requantize: bool, imatrix: Path | None) -> None:
    """Open a model, its recipe quantized by the importance matrix in a file, if one is given."""
    await bench.open(model, requantize=requantize)
    if imatrix is not None:
        await bench.use_imatrix(imatrix)


async def followed(bench: Workbench, job: Job, *, tell_stopped: bool = False) -> Job:
    """Show a job's progress until it has ended.

    Where what is known by then is to be told even of a job that ctrl-c has stopped, that job is given back
    as cancelled.
    """
    line = output.ProgressLine()

    def listen(change: Change) -> None:
        if change is Change.JOBS:
            line.show(next(known for known in bench.jobs if known.id == job.id))

    stop = bench.subscribe(listen)
    try:
        return await bench.wait(job)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not tell_stopped or task is None:
            raise
        task.uncancel()
        bench.cancel(job.id)
        return await bench.wait(job)
    finally:
        stop()
        line.end()


def exit_unless_done(job: Job) -> None:
    """Say why a job has failed and exit: with 2 for bad input, 1 for all else."""
    if job.state is not JobState.DONE:
        output.fail(job.message, 1 if job.crashed or job.state is JobState.CANCELLED else 2)
