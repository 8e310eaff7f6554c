"""What is running in the background, what waits, and how the rest ended."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from lqtui.tui.pane_keys import JOBS_COMMANDS
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import MIB, bar, clock, shortened

if TYPE_CHECKING:
    from lqtui.workbench import Job

_LOOKS = {
    "running": ("▶", "$primary"),
    "queued": ("◌", "dim"),
    "done": ("✓", "$text-success"),
    "failed": ("✗", "$text-error"),
    "cancelled": ("⊘", "$text-warning"),
}
_STAGES = {"perplexity": "scoring"}
"""What people call the stages of which the engine's name tells only a part."""
_BAR, _BAR_LEAST = 30, 6
_INDENT = 2


class JobsPane(LineList):
    """The jobs, running ones first; `x` asks to cancel the one under the cursor, enter or `l` for its log."""

    BORDER_TITLE = "jobs"
    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in JOBS_COMMANDS]
    empty = "no jobs"
    keys_hint = "{jobs.cancel} cancel · enter log"

    class CancelRequested(Message):
        """A job is to be cancelled."""

        def __init__(self, job_id: int) -> None:
            super().__init__()
            self.job_id = job_id

    class LogRequested(Message):
        """A job's log is to be shown."""

        def __init__(self, job_id: int) -> None:
            super().__init__()
            self.job_id = job_id

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._jobs: dict[Hashable, Job] = {}

    def show(self, jobs: Sequence[Job]) -> None:
        """Show the jobs of this session."""
        by_id: dict[Hashable, Job] = {job.id: job for job in jobs}
        if by_id == self._jobs:
            return
        self._jobs = by_id
        states = [job.state.value for job in jobs]
        counts = [(states.count(state), state) for state in ("running", "queued", "failed")]
        self.show_status(" · ".join(f"{count} {state}" for count, state in counts if count))
        self.update_lines()

    def choose(self, key: Hashable) -> None:
        """Ask for the log of a job."""
        self.post_message(self.LogRequested(self._jobs[key].id))

    def action_cancel(self) -> None:
        """Ask to cancel the job under the cursor."""
        job = self._jobs.get(self.cursor)
        if job is not None:
            self.post_message(self.CancelRequested(job.id))

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The lines of all jobs; the newest of those that ended first."""
        jobs = sorted(self._jobs.values(), key=_rank)
        name_width = _name_width(jobs, width)
        return None, [line for job in jobs for line in _lines(job, width, name_width)]


def progress_of(job: Job, width: int) -> Content:
    """How far an active job is, in one line, or in two where one has no room."""
    if job.state.value == "queued":
        glyph, style = _LOOKS["queued"]
        return Content.assemble((f"{glyph} ", style), f"{job.title}: waits for the jobs before it")
    return Content("\n").join(_running(job, width, _name_width([job], width)))


def _name_width(jobs: Sequence[Job], width: int) -> int:
    return min(max((len(job.title) for job in jobs), default=0), max(12, width * 2 // 5))


def _rank(job: Job) -> tuple[bool, bool, int]:
    if job.active:
        return False, job.state.value == "queued", job.id
    return True, False, -job.id


def _lines(job: Job, width: int, name_width: int) -> list[Line]:
    state = job.state.value
    if state == "running":
        return [Line(job.id, content) for content in _running(job, width, name_width)]
    glyph, style = _LOOKS[state]
    name = shortened(job.title, name_width).ljust(name_width)
    if state == "failed":
        sentence = Content(f"failed: {job.message}" if job.message else "failed")
        wrapped = sentence.wrap(max(10, width - _INDENT - name_width - 2))
        return [
            Line(
                job.id,
                Content.assemble(
                    (f"{glyph} {name}  " if first else " " * (_INDENT + name_width + 2), style),
                    part.stylize(style),
                ),
            )
            for first, part in zip([True] + [False] * (len(wrapped) - 1), wrapped, strict=True)
        ]
    outcome = {"queued": "queued", "cancelled": "cancelled"}.get(state, "done")
    if state == "done":
        outcome = " · ".join(part for part in (job.message or "done", clock(job.elapsed)) if part)
    quiet = "" if state == "done" else "dim"
    return [Line(job.id, Content.assemble((f"{glyph} ", style), (name, quiet), (f"  {outcome}", "dim")))]


def _running(job: Job, width: int, name_width: int) -> list[Content]:
    """A running job on one line, or on two where one has no room for all there is to say."""
    glyph, style = _LOOKS["running"]
    mark = Content.styled(f"{glyph} ", style)
    name = Content.styled(shortened(job.title, name_width).ljust(name_width), "bold")
    stage, count, left = _progress(job)
    line = Content.assemble(mark, name, "  ", (stage, "$text-primary"), "  ")
    stages = f"stage {job.stage_number + 1}/{job.stage_count}" if job.stage_count > 1 else ""
    for parts in ((count, stages, left), (count, left)):
        after = Content("  ".join(part for part in parts if part))
        room = width - line.cell_length - after.cell_length - 2
        if room >= _BAR_LEAST:
            return [Content.assemble(line, bar(job.stage_fraction, min(room, _BAR)), "  ", after)]
    name = Content.styled(shortened(job.title, width - _INDENT), "bold")
    wordings = [f"  {stage} {count}".rstrip()]
    if stages:
        wordings.insert(0, f"{wordings[0]} · {stages}")
    said = next((part for part in wordings if _INDENT + name.cell_length + len(part) <= width), "")
    line = Content.assemble(mark, name, (said, "$text-primary"))
    after = Content(f" {job.stage_fraction:4.0%}{'  ' if left else ''}{left}")
    room = max(0, min(2 * _BAR, width - _INDENT - after.cell_length))
    return [line, Content.assemble(" " * _INDENT, bar(job.stage_fraction, room), after)]


def _progress(job: Job) -> tuple[str, str, str]:
    """The stage, how much of it is done, and how long it still takes."""
    count = f"{job.done}/{job.total} {job.unit}".rstrip() if job.total else ""
    is_last = job.stage_number + 1 >= job.stage_count
    stage = _STAGES.get(job.stage, job.stage)
    left = "" if job.eta is None else f"{clock(job.eta)} {'left' if is_last else 'to next stage'}"
    rate = "" if job.rate is None else f"{job.rate / MIB:.1f} MiB/s"
    return stage, count, "  ".join(part for part in (rate, left) if part)
