"""One widget in an app of its own, and what it shows as text."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widget import Widget

from lqtui.tui.widgets.jobs import JobsPane
from lqtui.workbench import Job, JobState


class PaneApp(App[None]):
    """Shows one widget and keeps the messages that it sends."""

    def __init__(self, pane: Widget) -> None:
        super().__init__()
        self.pane = pane
        self.heard: list[Message] = []
        self.moves = 0

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()

    def on_results_table_chosen(self, message: Message) -> None:
        self.heard.append(message)

    def on_results_table_reference_chosen(self, message: Message) -> None:
        self.heard.append(message)

    def on_results_table_moved(self) -> None:
        self.moves += 1

    @on(JobsPane.OfJob)
    def hear_of_job(self, message: JobsPane.OfJob) -> None:
        self.heard.append(message)


def lines_of(widget: Widget) -> list[str]:
    """The lines inside a widget's border."""
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


def text_of(widget: Widget) -> str:
    """The same as one text."""
    return "\n".join(lines_of(widget))


def job(job_id: int, title: str, state: JobState, **said: object) -> Job:
    """A job in the middle of a perplexity of 5 chunks."""
    values: dict[str, object] = {
        "stage": "perplexity",
        "done": 3,
        "total": 5,
        "unit": "chunks",
        "elapsed": 12.0,
        "eta": 2.0,
        **said,
    }
    return Job(id=job_id, kind="measure", title=title, log=Path("job.log"), state=state, **values)  # type: ignore[arg-type]
