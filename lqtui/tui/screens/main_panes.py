"""The main screen's panes: where they go at each size, which one is present, the zoom and the splitter."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events, on
from textual.widgets import Static, Tabs

from lqtui.measure.rounding import small
from lqtui.system.meters import Snapshot
from lqtui.tui.screens.main_importance import MainImportance
from lqtui.tui.widgets.border_words import set_border_words
from lqtui.tui.widgets.budget import fits
from lqtui.tui.widgets.grid_columns import GridFact
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.quantities import size
from lqtui.workbench import Workbench

BROAD = (240, 30)
"""Columns and lines from which the panes beside the layers stand in two columns."""
WIDE = (104, 30)
"""Columns and lines from which all panes are seen at once."""
SPLIT = (104, 18)
"""Columns and lines from which the layers stay in sight, beside one other pane."""
LEAST = (60, 18)
"""Columns and lines below which nothing is legible."""
TALL = 46
"""Lines from which the jobs have more than three."""
PANES = {"layers": "layers", "budget": "budget+chart", "results": "results", "jobs": "jobs"}
"""The panes that a tab leads to, and what stands on it."""
MODES = ("small", "tabs", "split", "wide", "broad")
_LAYERS_LEAST, _SIDE_LEAST = 40, 44
"""Columns that the layers keep, and the panes beside them, wherever the splitter goes."""


def mode_of(width: int, height: int) -> str:
    """How the panes are arranged in a terminal of this size, one of `MODES`."""
    if width < LEAST[0] or height < LEAST[1]:
        return "small"
    for mode, (columns, lines) in (("broad", BROAD), ("wide", WIDE), ("split", SPLIT)):
        if width >= columns and height >= lines:
            return mode
    return "tabs"


class MainPanes(MainImportance):
    """Arranges the panes of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._snapshot: Snapshot | None = None
        self._pane = "layers"
        self._mode = ""
        self._zoomed = False
        self._layers_width: int | None = None
        self._is_splitting = False

    # -- sizes --------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the panes for the new size."""
        width, height = event.size
        self.query_one("#too-small", Static).update(
            f"lqtui needs {LEAST[0]}×{LEAST[1]}.\nThis terminal is {width}×{height}.\n\n"
            f"{self.key('app.quit')} quits."
        )
        self.set_class(height >= TALL, "-tall")
        self._arrange(width, height)

    def _arrange(self, width: int, height: int) -> None:
        mode = mode_of(width, height)
        if self._zoomed and mode != "small":
            mode = "tabs"
        if mode != self._mode:
            self._mode = mode
            for name in MODES:
                self.set_class(name == mode, f"-{name}")
            self._show_pane(self._pane)
            if mode == "small":
                self.set_focus(None)
            elif self.focused is None:
                self.action_pane(self._pane)
        self._place_splitter()

    @property
    def _has_splitter(self) -> bool:
        return self._mode in ("split", "wide", "broad")

    @property
    def layers_width(self) -> int | None:
        """The columns that the person gave to the layers, None where nobody did."""
        return self._layers_width

    @layers_width.setter
    def layers_width(self, columns: int | None) -> None:
        self._layers_width = columns
        self._place_splitter()

    def _place_splitter(self) -> None:
        styles = self.query_one("#layers").styles
        if self._layers_width is None or not self._has_splitter:
            for rule in ("width", "min_width", "max_width"):
                styles.clear_rule(rule)
            return
        most = max(_LAYERS_LEAST, self.size.width - _SIDE_LEAST)
        styles.width = styles.min_width = styles.max_width = min(max(self._layers_width, _LAYERS_LEAST), most)

    def action_resize_layers(self, step: int) -> None:
        """Give the layers more columns, or fewer."""
        if not self._has_splitter:
            self.announce("There is one pane here, which has the whole width.")
            return
        present, most = self.query_one("#layers").size.width + 2, self.size.width - _SIDE_LEAST
        self.layers_width = min(max(present + step, _LAYERS_LEAST), most)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the border between the layers and what is beside them."""
        right = self.query_one("#layers").region.right
        body = self.query_one("#body").region
        if self._has_splitter and event.screen_x in (right - 1, right) and event.screen_y in body.line_range:
            self._is_splitting = True
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the border."""
        if self._is_splitting:
            most = self.size.width - _SIDE_LEAST
            self.layers_width = min(max(event.screen_x + 1, _LAYERS_LEAST), most)

    def on_mouse_up(self) -> None:
        """Let go of the border."""
        if self._is_splitting:
            self._is_splitting = False
            self.release_mouse()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the layers show, for a session to remember."""
        facts = self.query_one(LayerGrid).facts
        return tuple(fact.value for fact in GridFact if fact in facts)

    @columns.setter
    def columns(self, names: Iterable[str]) -> None:
        """Show columns by their names; a name that is none of theirs is passed over."""
        wanted = set(names)
        self.show_facts(frozenset(fact for fact in GridFact if fact.value in wanted))

    def show_facts(self, facts: frozenset[GridFact]) -> None:
        """Show these columns beside the layers' cells."""
        self.query_one(LayerGrid).show_facts(facts)
        self.show_predicted_column()

    # -- panes --------------------------------------------------------------------------------------

    def summarize(self) -> None:
        """Under the layers: the budget in a few words where its pane is out of sight."""
        plan = self.workbench.plan
        brief = f"{plan.shape.block_count} blocks" if plan else ""
        if plan is not None and self._mode == "tabs":
            brief = f"{size(plan.file_bytes)} · {plan.bits_per_weight:.2f} bpw"
            if (kld := self.predicted_kld) is not None:
                brief = f"predicted KLD {small(kld)[0]} · {brief}"
            fit = self.workbench.fit
            if self._snapshot is not None and fit is not None and fit.memory is not None:
                brief += " · fits" if fits(fit.memory, self._snapshot) else " · does not fit"
        set_border_words(self.query_one("#layers"), subtitle=brief)

    def _show_pane(self, pane: str) -> None:
        self._pane = pane
        side = "budget" if self._mode == "split" and pane == "layers" else pane
        for name in PANES:
            self.set_class(name == (side if self._mode == "split" else pane), f"-pane-{name}")
        tabs = self.query_one("#tabs", Tabs)
        with self.prevent(Tabs.TabActivated):
            tabs.active = f"tab-{pane}"
        self.summarize()

    def action_pane(self, pane: str) -> None:
        """Go to a pane."""
        self._show_pane(pane)
        self.call_after_refresh(self._focus_pane)

    def _focus_pane(self) -> None:
        """Give the focus to the present pane: of budget and chart, to the chart."""
        target = {"layers": "#grid", "budget": "#chart"}.get(self._pane, f"#{self._pane}")
        self.set_focus(self.query_one(target) if self._mode != "small" else None)

    def action_next_pane(self, step: int) -> None:
        """Go to the next pane, or the one before."""
        panes = list(PANES)
        here = panes.index(self._pane) if self._pane in panes else 0
        self.action_pane(panes[(here + step) % len(panes)])

    def action_zoom(self) -> None:
        """Give the present pane the whole body, or all of them their places again."""
        natural = mode_of(*self.size)
        if natural == "small":
            return
        self._zoomed = not self._zoomed
        self.set_class(self._zoomed, "-zoomed")
        self._arrange(*self.size)
        if not self._zoomed:
            self.announce("")
        elif natural == "tabs" and self._pane != "budget":
            self.announce("This pane has the whole body already.")
        else:
            zoom, after = self.key("pane.zoom"), self.key("pane.next")
            self.announce(f"Zoomed: {zoom} shows the other panes again, {after} and the tabs go to them.")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A pane that gets the focus by the mouse is the present one."""
        self.query_one(KeyBar).for_grid = event.widget.id == "grid"
        pane = {"grid": "layers", "chart": "budget"}.get(event.widget.id or "", event.widget.id)
        if pane in PANES and pane != self._pane:
            self._show_pane(pane)
        self.explain_cell()
        self.follow_results_cursor()

    def on_descendant_blur(self) -> None:
        """Without the layers' focus their keys do nothing, so the key bar leaves them out."""
        self.query_one(KeyBar).for_grid = self.query_one(LayerGrid).has_focus

    @on(Tabs.TabActivated)
    def _tab_chosen(self, event: Tabs.TabActivated) -> None:
        if event.tab.id:
            self.action_pane(event.tab.id.removeprefix("tab-"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing but leaving works while the terminal is too small."""
        if self._mode == "small":
            return action in ("quit", "run_command") or None
        return True
