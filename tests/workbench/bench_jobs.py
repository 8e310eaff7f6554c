"""Short ways to have a workbench measure, and to wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.workbench import Job, JobState, Result, Workbench

QUICK = {"n_ctx": 128, "chunks": 3, "threads": 1, "repetitions": 2, "n_prompt": 16, "n_gen": 4}


def planned(bench: Workbench, name: str) -> Plan:
    assert bench.model is not None
    return resolve(bench.model.shape, preset(name, bench.model.shape))


def row(bench: Workbench, name: str) -> Result:
    """What is known of a preset."""
    found = bench.result(planned(bench, name))
    assert found is not None
    return found


def measure(bench: Workbench, *names: str, **options: bool) -> Job:
    return bench.measure_plans(
        [planned(bench, name) for name in names], "measure", **{"speed": False} | options
    )


async def done(bench: Workbench, job: Job) -> Job:
    job = await bench.wait(job)
    assert job.state is JobState.DONE, job.message
    return job


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def state(bench: Workbench, job: Job) -> JobState:
    return next(known for known in bench.jobs if known.id == job.id).state
