"""A chat with the base model and a recipe, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from lqtui.tui.widgets.answer import AnswerPane
from lqtui.tui.widgets.chooser import Chooser
from lqtui.workbench import Change, Job, JobState, Workbench, WorkbenchError
from lqtui.workbench.conversation import Conversation, Sampling, said

SIDE_BY_SIDE = 100
"""Columns from which the answers stand side by side."""
_SHOW_SECONDS = 0.05
_LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
_TEMPERATURES = (0.0, 0.2, 0.5, 0.7, 1.0, 1.5)
_GREEDY = "Temperature 0 takes the likeliest token each time: what differs is the quantization's alone."
_DRAWN = "Both draw by the same chance, so most of what differs is the quantization's."
_Value = TypeVar("_Value", int, float)


class ChatScreen(ModalScreen[Sampling]):
    """A line to ask in, and the answers above it as they come; gives how they were asked for last."""

    DEFAULT_CSS = """
    ChatScreen { align: center middle; }
    ChatScreen > Vertical {
        width: 100%; height: 100%; padding: 0 1; border: round $primary; background: $surface;
    }
    ChatScreen #sides { height: 1fr; layout: vertical; }
    ChatScreen.-wide #sides { layout: horizontal; }
    ChatScreen #said { height: auto; max-height: 3; color: $text-muted; }
    ChatScreen #choices { height: 1; margin-top: 1; }
    ChatScreen #length { min-width: 27; }
    ChatScreen #temperature { min-width: 25; }
    """
    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stop, or close", show=False),
        Binding("x", "stop", "Stop", show=False),
        Binding("f2", "begin", "New conversation", show=False),
    ]

    def __init__(self, workbench: Workbench, conversation: Conversation, sampling: Sampling) -> None:
        super().__init__()
        self._workbench, self._conversation, self._sampling = workbench, conversation, sampling
        self._job: Job | None = None
        self._problem = ""
        self._timer: Timer | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """The answers, what is to be said of them, the prompt, and how to answer it."""
        names = self._conversation.names
        with Vertical() as box:
            box.border_title = Content(f"chat: {' against '.join(reversed(names))}")
            box.border_subtitle = "enter ask · esc stop, close · tab choices · F2 begin anew"
            with Container(id="sides"):
                for side in range(len(names)):
                    yield AnswerPane(side, id=f"side-{side}")
            yield Static(id="said")
            yield Input(placeholder="a prompt for both", id="prompt", compact=True)
            with Horizontal(id="choices"):
                yield Chooser("at most, tokens", id="length")
                yield Chooser("temperature", id="temperature")
                yield Chooser("seed", id="seed")

    def on_mount(self) -> None:
        """Show what was said before, and follow the job that answers."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self._arrange(self.app.size.width)
        self._show_choices()
        self._show()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def on_resize(self, event: events.Resize) -> None:
        """Put the answers side by side, or one above the other."""
        self._arrange(event.size.width)

    def _arrange(self, width: int) -> None:
        self.set_class(width >= SIDE_BY_SIDE, "-wide")

    # -- asking -------------------------------------------------------------------------------------

    @on(Input.Submitted)
    def _ask(self, event: Input.Submitted) -> None:
        if self._is_busy:
            return
        self._problem = ""
        try:
            self._job = self._workbench.ask(self._conversation, event.value, self._sampling, self._show_soon)
        except WorkbenchError as error:
            self._problem = f"{error}."
        else:
            event.input.value = ""
            event.input.disabled = True  # so that x stops, and is no letter
            self.query_one("#side-0").focus()
        self._show()

    def _hear(self, change: Change) -> None:
        if change is Change.JOBS and self._job is not None:
            self.call_later(self._follow_job)

    def _follow_job(self) -> None:
        was = self._job
        if was is None or not was.active:
            return
        self._job = job = next(job for job in self._workbench.jobs if job.id == was.id)
        if not job.active:
            self._conversation.exchanges[-1].stop()  # where it was cancelled before its turn came
            self._problem = f"{job.message}." if job.state is JobState.FAILED else ""
            prompt = self.query_one("#prompt", Input)
            prompt.disabled = False
            prompt.focus()
        self._show_soon()

    @property
    def _is_busy(self) -> bool:
        return self._job is not None and self._job.active

    def action_stop(self) -> None:
        """Stop the answers; what was said stays."""
        if self._is_busy and self._job is not None:
            self._workbench.cancel(self._job.id)

    def action_leave(self) -> None:
        """Stop the answers; where there is nothing to stop, close."""
        if self._is_busy:
            self.action_stop()
        else:
            self.dismiss(self._sampling)

    def action_begin(self) -> None:
        """Forget what was said, on both sides."""
        if not self._is_busy:
            self._conversation.exchanges.clear()
            self._job, self._problem = None, ""
            self._show()

    # -- showing ------------------------------------------------------------------------------------

    def _show_soon(self) -> None:
        """Show what came, once for all that comes till then."""
        if self._timer is None:
            self._timer = self.set_timer(_SHOW_SECONDS, self._show)

    def _show(self) -> None:
        self._timer = None
        for pane in self.query(AnswerPane):
            pane.show(self._conversation)
        style = "$text-warning" if self._problem else ""
        self.query_one("#said", Static).update(Content.styled(self._problem or self._told, style))

    @property
    def _told(self) -> str:
        """What is to be known now: what is waited for, or how the answers compare."""
        exchanges, job = self._conversation.exchanges, self._job
        if not exchanges:
            return _DRAWN if self._sampling.temperature else _GREEDY
        last = exchanges[-1]
        if job is not None and job.active and not any(answer.tokens for answer in last.answers):
            return self._waiting(job)
        parts = [said(last, self._conversation.names)]
        if not last.together:
            parts.append("one after the other, because the memory does not hold both")
        parts.append(last.note)
        return ". ".join(f"{part[0].upper()}{part[1:]}" for part in parts if part)

    def _waiting(self, job: Job) -> str:
        if job.state is JobState.QUEUED:
            ahead = next((j.title for j in self._workbench.jobs if j.state is JobState.RUNNING), "")
            return f"Waits for its turn behind: {ahead}. esc takes the prompt back."
        return f"{job.stage} {job.done}/{job.total} {job.unit} …" if job.stage else "Starting …"

    def _show_choices(self) -> None:
        chosen = self._sampling
        self.query_one("#length", Chooser).show(str(chosen.max_tokens))
        self.query_one("#temperature", Chooser).show(f"{chosen.temperature:g}")
        self.query_one("#seed", Chooser).show(str(chosen.seed))
        self.query_one("#seed").disabled = not chosen.temperature

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        chosen = self._sampling
        match event.chooser.id:
            case "length":
                self._sampling = replace(chosen, max_tokens=_next(_LENGTHS, chosen.max_tokens, event.step))
            case "temperature":
                warmer = _next(_TEMPERATURES, chosen.temperature, event.step)
                self._sampling = replace(chosen, temperature=warmer)
            case _:
                self._sampling = replace(chosen, seed=max(0, chosen.seed + event.step))
        self._show_choices()
        self._show()


def _next(values: Sequence[_Value], now: _Value, step: int) -> _Value:
    return values[min(max(values.index(now) + step, 0), len(values) - 1)]
