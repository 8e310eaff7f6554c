"""What is running in the background, what waits, and how the rest ended."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from lqtui.tui.keys.panes import JOBS_COMMANDS
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import MIB, bar, clock, shortened

if TYPE_CHECKING:
    from lqtui.workbench import Job

_LOOKS = {
    "running": ("▶", "$primary"),
    "queued": ("◌", "dim"),
    "paused": ("‖", "$text-warning"),
    "done": ("✓", "$text-success"),
    "failed": ("✗", "$text-error"),
    "cancelled": ("⊘", "$text-warning"),
}
_STAGES = {"perplexity": "scoring"}
"""What people call the stages of which the engine's name tells only a part."""
_BAR, _BAR_LEAST = 30, 6
_SUBJECT = 24
_ROOM_FOR_COUNTS = 76
_INDENT = 2


class JobsPane(LineList):
    """The jobs in the order in which they run; keys ask for something to be done to the one at the cursor."""

    BORDER_TITLE = "jobs"
    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in JOBS_COMMANDS]
    empty = "no jobs"

    class OfJob(Message):
        """Something is to be done to a job."""

        def __init__(self, job_id: int) -> None:
            super().__init__()
            self.job_id = job_id

    class CancelRequested(OfJob):
        """A job is to be cancelled."""

    class PauseRequested(OfJob):
        """A job is to pause, or to go on."""

    class RetryRequested(OfJob):
        """A job is to be done again."""

    class LogRequested(OfJob):
        """A job's log is to be shown."""

    class MoveRequested(OfJob):
        """A job is to have its turn so many places later."""

        def __init__(self, job_id: int, step: int) -> None:
            super().__init__(job_id)
            self.step = step

    class Moved(Message):
        """The cursor is on another job."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._jobs: dict[Hashable, Job] = {}

    @property
    def job(self) -> Job | None:
        """The job at the cursor."""
        return self._jobs.get(self.cursor)

    def show(self, jobs: Sequence[Job]) -> None:
        """Show the jobs of this session."""
        by_id: dict[Hashable, Job] = {job.id: job for job in jobs}
        if by_id == self._jobs:
            return
        self._jobs = by_id
        states = [job.state.value for job in jobs]
        at = by_id.get(self._cursor)
        if at is not None and not at.active and not self.has_focus and any(job.active for job in jobs):
            self._cursor = None  # whoever comes here looks for what runs, not for what has ended
        counts = [(states.count(state), state) for state in ("running", "queued", "paused", "failed")]
        order = self.item_keys
        self.update_lines()
        self.show_status(" · ".join(f"{count} {state}" for count, state in counts if count))
        if self.has_focus and self._cursor is not None and self.item_keys != order:
            self.move_cursor(self._cursor)  # its job has another place now, which may be out of sight

    @property
    def keys_hint(self) -> str:  # type: ignore[override]
        """The keys that do something to the job at the cursor."""
        job = self.job
        if job is None:
            return ""
        log, cancel = "enter log", "{jobs.cancel} cancel"
        match job.state.value:
            case "failed" | "cancelled":
                return f"{{jobs.retry}} again · {log}"
            case "queued":
                return f"{{jobs.earlier}} {{jobs.later}} move · {{jobs.pause}} pause · {cancel} · {log}"
            case "paused":
                return f"{{jobs.pause}} go on · {cancel} · {log}"
            case "running":
                return f"{{jobs.pause}} {'go on' if job.pausing else 'pause'} · {cancel} · {log}"
            case _:
                return log

    def show_status(self, status: str) -> None:
        """Say how many jobs there are of each kind, where the keys leave room for that."""
        super().show_status("" if self.has_focus and self.size.width < _ROOM_FOR_COUNTS else status)
        self._status = status

    def cursor_moved(self) -> None:
        """Say which keys do something to this job, and tell that it is another."""
        self.show_status(self._status)
        self.post_message(self.Moved())

    def choose(self, key: Hashable) -> None:
        """Ask for the log of a job."""
        self.post_message(self.LogRequested(self._jobs[key].id))

    def action_cancel(self) -> None:
        """Ask to cancel the job under the cursor."""
        self._ask(self.CancelRequested)

    def action_pause(self) -> None:
        """Ask to pause the job under the cursor, or to let it go on."""
        self._ask(self.PauseRequested)

    def action_retry(self) -> None:
        """Ask to do the job under the cursor again."""
        self._ask(self.RetryRequested)

    def action_shift(self, step: int) -> None:
        """Ask to let the job under the cursor have its turn earlier (-1) or later."""
        self._ask(partial(self.MoveRequested, step=step))

    def _ask(self, message: Callable[[int], Message]) -> None:
        if self.job is not None:
            self.post_message(message(self.job.id))

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


def _rank(job: Job) -> tuple[int, int, int]:
    """What runs, what waits in its order, what is paused, and what has ended, the newest first."""
    if not job.active:
        return 3, 0, -job.id
    return ("running", "queued", "paused").index(job.state.value), job.place, job.id


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
    outcome = _outcome(job)
    quiet = "" if state == "done" else "dim"
    return [Line(job.id, Content.assemble((f"{glyph} ", style), (name, quiet), (f"  {outcome}", "dim")))]


def _outcome(job: Job) -> str:
    """What is said of a job that does not run, and has not failed."""
    match job.state.value:
        case "queued":
            return "queued · next" if job.place == 1 else f"queued · {job.place}." if job.place else "queued"
        case "paused":
            at = f" at {job.stage_fraction:.0%} of {stage_of(job)}" if job.stage else ""
            return f"paused{at} · nothing is lost"
        case "cancelled":
            return job.message or "cancelled"
        case _:
            return " · ".join(part for part in (job.message or "done", clock(job.elapsed)) if part)


def stage_of(job: Job) -> str:
    """What people call the stage that a job is at."""
    return _STAGES.get(job.stage, job.stage)


def _running(job: Job, width: int, name_width: int) -> list[Content]:
    """A running job on one line, or on two where one has no room for all there is to say."""
    glyph, style = _LOOKS["running"]
    mark = Content.styled(f"{glyph} ", style)
    name = Content.styled(shortened(job.title, name_width).ljust(name_width), "bold")
    stage, count, left = _progress(job)
    line = Content.assemble(mark, name, "  ", (stage, "$text-primary"), "  ")
    stages = f"stage {job.stage_number + 1}/{job.stage_count}" if job.stage_count > 1 else ""
    subject = shortened(job.subject, _SUBJECT) if job.subject else ""
    of_subject = Content.assemble(mark, name, "  ", (f"{stage} {subject}", "$text-primary"), "  ")
    wanted = [(of_subject, (count, stages, left)), (of_subject, (count, left))] if subject else []
    for begins, parts in (*wanted, (line, (count, stages, left)), (line, (count, left))):
        after = Content("  ".join(part for part in parts if part))
        room = width - begins.cell_length - after.cell_length - 2
        if room >= _BAR_LEAST:
            return [Content.assemble(begins, bar(job.stage_fraction, min(room, _BAR)), "  ", after)]
    name = Content.styled(shortened(job.title, width - _INDENT), "bold")
    wordings = [f"  {stage} {count}".rstrip()]
    if stages:
        wordings.insert(0, f"{wordings[0]} · {stages}")
    if subject:
        wordings[:0] = [f"{wording} · {subject}" for wording in wordings]
    said = next((part for part in wordings if _INDENT + name.cell_length + len(part) <= width), "")
    line = Content.assemble(mark, name, (said, "$text-primary"))
    after = Content(f" {job.stage_fraction:4.0%}{'  ' if left else ''}{left}")
    room = max(0, min(2 * _BAR, width - _INDENT - after.cell_length))
    return [line, Content.assemble(" " * _INDENT, bar(job.stage_fraction, room), after)]


def _progress(job: Job) -> tuple[str, str, str]:
    """The stage, how much of it is done, and how long it still takes."""
    count = f"{job.done}/{job.total} {job.unit}".rstrip() if job.total else ""
    stage = stage_of(job)
    left = "" if job.eta is None else f"{clock(job.eta)} left"
    if job.pausing:
        left = "pauses after this step"
    rate = "" if job.rate is None else f"{job.rate / MIB:.1f} MiB/s"
    return stage, count, "  ".join(part for part in (rate, left) if part)
