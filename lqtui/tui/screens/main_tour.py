"""The main screen's part on the tour: a line above the panes that says what to try next."""

from __future__ import annotations

from textual import events, on
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from lqtui.tui.keys.shown import with_keys
from lqtui.tui.screens.main_actions import MainActions
from lqtui.tui.settings import preferences_of
from lqtui.tui.tour import HINTS, next_hint
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench import Change
from lqtui.workbench.touring import TourProgress


class MainTour(MainActions):
    """The tour, in the line of the welcome; it takes no key and asks for nothing."""

    def on_mount(self) -> None:
        """Begin where the tour was left, unless it is over or not wanted."""
        self._stop_listening = self.workbench.subscribe(self._see_change)
        self._show_hint()

    def on_unmount(self) -> None:
        """Listen no more."""
        self._stop_listening()

    # -- what is followed ---------------------------------------------------------------------------

    def _see_change(self, change: Change) -> None:
        if change is Change.JOBS and any(job.kind == "measure" for job in self.workbench.jobs):
            self.followed("measure")
        elif change is Change.MODEL:
            self.call_later(self._show_hint)

    @on(LayerGrid.Assign)
    def _see_assigned(self) -> None:
        self.followed("toggle")
        if self.query_one(LayerGrid).selection.is_range:
            self.followed("range")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The chart is looked at."""
        if event.widget.id == "chart":
            self.followed("chart")

    def followed(self, name: str) -> None:
        """A person did what a hint is about, be it the one that is shown or another."""
        tour = self.workbench.tour
        if tour.over or name in tour.followed:
            return
        followed = (*tour.followed, name)
        is_last = next_hint(followed) is None
        self.workbench.keep_tour(TourProgress(followed, over=is_last))
        self.call_later(self._show_hint)
        if is_last and self._is_wanted:
            self.announce(f"That was the tour; {self.key('app.help')} lists every key.")

    # -- what is shown ------------------------------------------------------------------------------

    @property
    def _is_wanted(self) -> bool:
        return preferences_of(self).tour

    def _show_hint(self) -> None:
        """Show the next hint; the word of welcome, which is one itself, stays until the first is followed."""
        line, tour = self.query_one("#welcome", Static), self.workbench.tour
        found = next_hint(tour.followed)
        if tour.over or not self._is_wanted or found is None or self.workbench.model is None:
            if line.has_class("-tour"):
                line.remove_class("-tour")
                line.display = False
            return
        number, hint = found
        if number == 1 and line.display and not line.has_class("-tour"):
            return
        text = f"{number}/{len(HINTS)}  {with_keys(self, hint.text)}"
        skip = Content.styled(" skip ", "reverse").stylize(Style.from_meta({"@click": "screen.skip_tour"}))
        line.update(Content.assemble((text, "bold $text-accent"), " ", skip))
        line.set_class(True, "-tour")
        line.display = True

    # -- commands -----------------------------------------------------------------------------------

    def action_tour(self) -> None:
        """Begin the tour anew."""
        if self._has_model():
            self.workbench.keep_tour(TourProgress())
            self._show_hint()

    def action_skip_tour(self) -> None:
        """End the tour for good."""
        self.workbench.keep_tour(TourProgress(self.workbench.tour.followed, over=True))
        self._show_hint()
        self.announce("The tour is over; the palette begins it again.")
