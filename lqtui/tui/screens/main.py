"""The main screen: layers, budget, chart, results and jobs of one workbench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, Tab, Tabs

from lqtui.system.meters import Snapshot
from lqtui.tui.keys.commands import COMMANDS, GRID_COMMANDS, SCREEN_COMMANDS
from lqtui.tui.keys.keyless import KEYLESS_COMMANDS
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.meters_thread import MetersThread
from lqtui.tui.screens.main_chart import MainChart
from lqtui.tui.screens.main_chat import MainChat
from lqtui.tui.screens.main_convert import MainConvert
from lqtui.tui.screens.main_filter import MainFilter
from lqtui.tui.screens.main_hub import MainHub
from lqtui.tui.screens.main_imatrix import MainImatrix
from lqtui.tui.screens.main_interchange import MainInterchange
from lqtui.tui.screens.main_jobs import MainJobs
from lqtui.tui.screens.main_lowering import MainLowering
from lqtui.tui.screens.main_panes import PANES
from lqtui.tui.screens.main_session import MainSession
from lqtui.tui.screens.main_slots import MainSlots
from lqtui.tui.screens.main_tour import MainTour
from lqtui.tui.screens.main_types import MainTypes
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.filter_line import FilterLine
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.jobs import JobsPane
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.legend import Legend
from lqtui.tui.widgets.overview import OverviewStrip
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import Change, Workbench


class WorkbenchChanged(Message):
    """The workbench told of a change."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def can_replace(self, message: Message) -> bool:
        """Several changes of one kind in a row are one."""
        return isinstance(message, WorkbenchChanged) and message.change is self.change


class MetersRead(Message):
    """The machine's meters were read."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class MainScreen(
    MainJobs,
    MainConvert,
    MainChat,
    MainHub,
    MainImatrix,
    MainTypes,
    MainLowering,
    MainSlots,
    MainTour,
    MainFilter,
    MainInterchange,
    MainChart,
    MainSession,
):
    """Everything about one model at once, or pane by pane where the terminal is small."""

    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in SCREEN_COMMANDS]
    AUTO_FOCUS = ""  # on_resize gives the focus, once it is known what there is room for

    def __init__(self, workbench: Workbench, read_meters: Callable[[], Snapshot] | None) -> None:
        super().__init__(workbench)
        self._read_meters = read_meters
        self._meters: MetersThread | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._welcomed_with: Path | None = None

    def compose(self) -> ComposeResult:
        """Header, panes, status and keys; the tabs are seen only where panes do not fit side by side."""
        yield HeaderLine(id="header")
        yield Static(id="welcome")
        yield Tabs(*(Tab(label, id=f"tab-{name}") for name, label in PANES.items()), id="tabs")
        with Horizontal(id="body"):
            with Vertical(id="layers", classes="pane") as layers:
                layers.border_title = "layers"
                with Horizontal():
                    grid = LayerGrid(id="grid")
                    yield grid
                    yield OverviewStrip(grid, id="overview")
                yield Legend(id="legend")
            with Vertical(id="side"):
                with Vertical(id="quality"):
                    yield BudgetPane(id="budget")
                    yield TradeoffChart(id="chart")
                with Vertical(id="measured"):
                    yield ResultsTable(id="results")
                    yield JobsPane(id="jobs")
        yield FilterLine(id="filter")
        yield StatusLine(id="status")
        yield KeyBar(id="keys")
        yield Static(id="too-small")

    # -- life ---------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Show what is there, and listen for what changes."""
        self.query_one("#tabs").can_focus = False
        self._unsubscribe = self.workbench.subscribe(self._hear)
        self.workbench.remember_jobs()
        for show in (self._show_model, self._show_recipe, self.show_jobs, self._show_results):
            show()
        if self._read_meters:
            self._meters = MetersThread(self._read_meters, lambda s: self.post_message(MetersRead(s)))
            self._meters.start()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()
        if self._meters:
            self._meters.stop()

    def welcome(self, text: str) -> None:
        """Say a word of welcome in a line of its own, until a model is opened in place of the first one."""
        line = self.query_one("#welcome", Static)
        line.update(Content.styled(with_keys(self, text), "bold $text-accent"))
        line.display = True
        self._leave_welcome()

    def _leave_welcome(self) -> None:
        model = self.workbench.model
        if model is not None:
            self._welcomed_with = self._welcomed_with or model.path
            if model.path != self._welcomed_with:
                self.query_one("#welcome", Static).display = False

    # -- what the workbench tells -------------------------------------------------------------------

    def _hear(self, change: Change) -> None:
        self.post_message(WorkbenchChanged(change))

    @on(WorkbenchChanged)
    def follow(self, event: WorkbenchChanged) -> None:
        """Show what changed."""
        show = {
            Change.MODEL: self._show_model,
            Change.RECIPE: self._show_recipe,
            Change.JOBS: self.show_jobs,
            Change.RESULTS: self._show_results,
            Change.FIT: self._show_budget,
            Change.IMPORTANCE: self._show_importance,
        }[event.change]
        show()

    def _show_model(self) -> None:
        self._leave_welcome()
        self._show_header()
        self.summarize()

    def _show_header(self) -> None:
        bench = self.workbench
        header = self.query_one(HeaderLine)
        header.show(bench.model, bench.plan, bench.modified, bench.settings, bench.corpus_name)

    def _show_recipe(self) -> None:
        plan = self.workbench.plan
        grid = self.query_one(LayerGrid)
        rows_before = grid.rows_and_columns
        grid.show_plan(plan)
        if grid.rows_and_columns is not rows_before:
            self.place_as_left()
            self.show_importance()
        self._show_header()
        self._show_budget()
        self.show_prediction()
        self.query_one(Legend).show_plan(plan)
        self.follow_text()
        self.explain_cell()
        self.refresh_bindings()
        self.show_slots()
        self.show_measured()
        self.show_chart_soon(rested=True)

    def _show_budget(self) -> None:
        bench = self.workbench
        if bench.plan is None:
            return
        self.query_one(BudgetPane).show_plan(bench.plan, bench.plan.shape.file_bytes, bench.fit)
        self.summarize()

    def _show_results(self) -> None:
        self._show_header()
        self.follow_text()
        self.show_prediction()
        self.show_measured()

    def _show_importance(self) -> None:
        self.show_importance()
        self.summarize()

    @on(MetersRead)
    def show_meters(self, event: MetersRead) -> None:
        """Show how full the machine is."""
        self._snapshot = event.snapshot
        self.query_one(BudgetPane).show_meters(event.snapshot)
        self.summarize()

    # -- commands -----------------------------------------------------------------------------------

    @on(KeyBar.Clicked)
    async def _key_clicked(self, event: KeyBar.Clicked) -> None:
        await self.action_run_command(event.command_id)

    async def action_run_command(self, command_id: str) -> None:
        """Do a command by its id, as the key bar and the palette ask for it."""
        command = next(c for c in (*COMMANDS, *KEYLESS_COMMANDS) if c.id == command_id)
        target = self.query_one(LayerGrid) if command in GRID_COMMANDS else self
        if target is not self:
            self.action_pane("layers")
        await self.app.run_action(command.action, default_namespace=target)
