"""Sentences for the status line: how the job under the cursor of the jobs is, and what its end would mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lqtui.tui.widgets.jobs import stage_of
from lqtui.tui.widgets.quantities import clock

if TYPE_CHECKING:
    from lqtui.workbench import Job


def sentences(job: Job | None) -> list[str]:
    """What there is to say of a job, in wordings from long to short; nothing where there is none."""
    if job is None:
        return [""]
    match job.state.value:
        case "running":
            left = "" if job.eta is None else f", about {clock(job.eta)} left"
            of = f" of {job.subject}" if job.subject else ""
            runs = f"{job.title} runs for {clock(job.elapsed)}{left}"
            stage = f": {stage_of(job)}{of}" if job.stage else ""
            kept = "What is measured is kept, however it ends."
            return [f"{runs}{stage}. {kept}", f"{runs}{stage}.", f"{runs}."]
        case "queued":
            others = job.place - 1
            before = f" and {others} more that wait{'s' if others == 1 else ''}" if others > 0 else ""
            return [f"{job.title} waits for the job that runs{before}.", f"{job.title} waits."]
        case "paused":
            return [
                f"{job.title} is paused: the others go on, and nothing of it is lost.",
                f"{job.title} is paused.",
            ]
        case "failed":
            return [f"{job.title} failed: {job.message}" if job.message else f"{job.title} failed."]
        case "cancelled":
            said = job.message or "cancelled"
            return [f"{job.title}: {said}. What it had measured by then is kept.", f"{job.title}: {said}."]
        case _:
            took = f"{job.title} took {clock(job.elapsed)}"
            return [f"{took}: {job.message}" if job.message else f"{took}."]
