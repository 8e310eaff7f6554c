"""What blocks cost along the depth of a model, score by score and role by role."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.measure.rounding import plus_minus, small
from lqtui.tui.keys.shown import key_of
from lqtui.tui.widgets.chart_pane import ChartPane
from lqtui.tui.widgets.depth import DepthChart
from lqtui.workbench import Change, DepthScores, Workbench, depth_scores

_MARKS = {
    True: "⣿ estimated, not measured: it has its own scale",
    False: "█ measured   │ +1 SE",
}


class DepthScreen(ModalScreen[int | None]):
    """One chart at a time, walked block by block; gives the block to go to, or None."""

    DEFAULT_CSS = """
    DepthScreen { align: center middle; }
    DepthScreen > Vertical {
        width: 96%; height: 96%; padding: 0 1; border: round $primary; background: $surface;
    }
    DepthScreen #what { height: 1; text-style: bold; }
    DepthScreen #marks { height: 1; color: $text-muted; }
    DepthScreen #said { height: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", show=False),
        Binding("c,space", "next_score(1)", "Next score", show=False),
        Binding("up,k", "next_part(-1)", "Part before", show=False, priority=True),
        Binding("down,j", "next_part(1)", "Next part", show=False, priority=True),
    ]

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self._workbench = workbench
        self._all: tuple[DepthScores, ...] = ()
        self._name, self._part = "", ""
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """What is shown, the bars, what they are, and the block at hand in words."""
        with Vertical() as box:
            box.border_title = "what matters, by depth"
            box.border_subtitle = "←→ walk · ↑↓ part · c score · enter to the block · esc close"
            yield Static(id="what")
            yield DepthChart()
            yield Static(id="marks")
            yield Static(id="said")

    def on_mount(self) -> None:
        """Follow the workbench while the screen is open."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self._show()
        self.query_one(DepthChart).focus()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def _hear(self, change: Change) -> None:
        if change is Change.IMPORTANCE:
            self.call_later(self._show)

    @property
    def _shown(self) -> DepthScores | None:
        chosen = [s for s in self._all if (s.name, s.part) == (self._name, self._part)]
        return next(iter([*chosen, *self._all]), None)

    def _show(self) -> None:
        model = self._workbench.model
        self._all = depth_scores(self._workbench.importance, model.shape) if model else ()
        shown, blocks = self._shown, model.shape.block_count if model else 0
        key = key_of(self, "matters.sensitivity")
        invitation = ["Nothing is known along the depth yet.", "", f"esc {key}  measure or estimate it"]
        self.query_one(DepthChart).show(shown, blocks, invitation)
        self.query_one("#what", Static).update(Content(f"{shown.described} · {shown.part}" if shown else ""))
        self.query_one("#marks", Static).update(Content(_MARKS[shown.is_estimate] if shown else ""))
        self.call_after_refresh(self._say)

    @on(ChartPane.Walked)
    def _say(self) -> None:
        """The block at hand in words, and how high it stands among the others."""
        shown, spot = self._shown, self.query_one(DepthChart).at_hand
        if shown is None or spot is None:
            self.query_one("#said", Static).update("")
            return
        score = next((score for score in shown.blocks if score.block == spot.key), None)
        if score is None:
            return
        rank = 1 + sum(other.value > score.value for other in shown.blocks)
        place = (
            "the most"
            if rank == 1
            else "the least"
            if rank == len(shown.blocks)
            else f"the {_nth(rank)} most"
        )
        number = plus_minus(small(score.value, score.se)) if score.value >= 0 else f"{score.value:.3f}"
        matters = f"it matters {place} of {len(shown.blocks)}"
        whole = "" if shown.part == "whole blocks" else f".{shown.part}"
        if shown.is_estimate:
            said = f"blk.{score.block}{whole}: {shown.name} {number}; by this estimate {matters}."
        else:
            alone = (
                f"its tensors at {shown.probe} one by one, summed"
                if score.is_sum
                else f"it alone at {shown.probe}"
            )
            said = f"blk.{score.block}{whole}: KLD {number} nats with {alone}; {matters}."
        self.query_one("#said", Static).update(Content(said))

    def action_next_score(self, step: int) -> None:
        """Show the next kind of score, of the same part where that is known of it."""
        if (shown := self._shown) is not None:
            names = list(dict.fromkeys(each.name for each in self._all))
            self._name = names[(names.index(shown.name) + step) % len(names)]
            parts = [each.part for each in self._all if each.name == self._name]
            self._part = shown.part if shown.part in parts else parts[0]
            self._show()

    def action_next_part(self, step: int) -> None:
        """Show the next role, or whole blocks, by the same score."""
        if (shown := self._shown) is not None:
            parts = [each.part for each in self._all if each.name == shown.name]
            self._name, self._part = shown.name, parts[(parts.index(shown.part) + step) % len(parts)]
            self._show()

    @on(ChartPane.Chosen)
    def _go_to(self, event: ChartPane.Chosen) -> None:
        self.dismiss(event.spot.key if isinstance(event.spot.key, int) else None)


def _nth(rank: int) -> str:
    if rank % 100 in (11, 12, 13):
        return f"{rank}th"
    return f"{rank}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th') }"
