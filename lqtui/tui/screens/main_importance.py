"""The main screen's part on which layers deserve the bits: what matters, budgets, the frontier, and why."""

from __future__ import annotations

from pathlib import Path

from lqtui.recipe.imatrix import matrix_digest
from lqtui.recipe.recipe import Plan, Recipe
from lqtui.tui.screens.fit_budget import BudgetChoices, BudgetScreen, Kept
from lqtui.tui.screens.main_actions import after_edits
from lqtui.tui.screens.main_results import MainResults
from lqtui.tui.screens.sensitivity import AskedSensitivity, SensitivityScreen
from lqtui.tui.widgets.border_words import set_border_words
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.cell_sentence import sentences
from lqtui.tui.widgets.grid_columns import GridFact
from lqtui.tui.widgets.grid_selection import Scope
from lqtui.tui.widgets.importance import ScoreKind, column_of, known_kinds
from lqtui.tui.widgets.importance_sentence import agreement, with_importance
from lqtui.tui.widgets.jobs import JobsPane
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.workbench import ImportanceView, Job, Workbench


class MainImportance(MainResults):
    """Importance, budgets and the frontier, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._importance: ImportanceView | None = None
        self._importance_is_of = self._text
        self._score: ScoreKind | None = None
        self._score_is_chosen = False
        self._asked_sensitivity = AskedSensitivity()
        self._budget_choices = BudgetChoices()

    # -- what is shown ------------------------------------------------------------------------------

    def show_importance(self) -> None:
        """Show what is known now of what matters, and what follows from it."""
        self._importance = self.workbench.importance
        self._importance_is_of = self._text
        self._show_column()
        self.show_prediction()
        self.explain_cell(moved=False)
        self.show_chart_soon()

    def follow_text(self) -> None:
        """Show what is known on the text, and by the matrix, of now; what is remembered comes soon."""
        self.workbench.recall_importance()
        if self._text != self._importance_is_of:
            self.show_importance()

    @property
    def _text(self) -> tuple[str | None, Path | None, int, str]:
        model, settings, plan = self.workbench.model, self.workbench.settings, self.workbench.plan
        imatrix = matrix_digest(plan.recipe.imatrix) if plan else ""
        return model.digest if model else None, settings.corpus, settings.n_ctx, imatrix

    def _show_column(self) -> None:
        """Show the chosen score; until one is chosen, the most telling of those that are known."""
        grid, view = self.query_one(LayerGrid), self._importance
        if view is None:
            return
        if not self._score_is_chosen:
            self._score = next(iter(known_kinds(view, grid.rows_and_columns)), None)
        shown = column_of(view, self._score, grid.rows_and_columns) if self._score else None
        grid.show_importance(shown)

    def show_prediction(self) -> None:
        """Show what is predicted of the recipe in the grid, beside what was measured of it."""
        plan = self.workbench.plan
        measured = self._measured_kld(plan) if plan else None
        mixes = self.workbench.mixes_counted
        self.query_one(BudgetPane).show_prediction(self.predicted_kld, measured, mixes)
        self.show_predicted_column()

    def show_predicted_column(self) -> None:
        """Show what each row is predicted to cost, where that is among the columns."""
        grid, plan = self.query_one(LayerGrid), self.workbench.plan
        is_asked = plan is not None and GridFact.PREDICTED in grid.facts
        grid.show_predicted(self.workbench.predicted_by_tensor(plan) if plan and is_asked else {})

    @property
    def predicted_kld(self) -> float | None:
        """What is predicted of the recipe in the grid; of the base model nothing needs to be."""
        plan = self.workbench.plan
        return None if plan is None or plan.unchanged else self.workbench.prediction(plan)

    def _measured_kld(self, plan: Plan) -> tuple[float, float | None] | None:
        for result in self.workbench.results:
            if result.digest == plan.digest and result.kld is not None:
                return result.kld, result.kld_se
        return None

    def on_mount(self) -> None:
        """Tell what is under the cursor wherever it goes."""
        self.watch(self.query_one(LayerGrid), "selection", self._follow_cursor, init=False)

    def _follow_cursor(self) -> None:
        self.explain_cell(moved=True)

    def explain_cell(self, *, moved: bool = True) -> None:
        """Tell what is under the cursor of the layers, unless the keys move another one that is told of."""
        plan, grid = self.workbench.plan, self.query_one(LayerGrid)
        if plan is None or grid.plan is None:
            return
        if not isinstance(self.focused, ResultsTable | JobsPane):
            self.query_one(StatusLine).explain(*self._cell_wordings(plan), moved=moved)
        scope = f"{grid.selection.scope} scope"
        title = f"layers · {scope}" + (" · range" if grid.selection.is_range else "")
        if grid.selection.matching is not None:
            title += f" · {grid.filter_said}"
        set_border_words(self.query_one("#layers"), title=title)

    def _cell_wordings(self, plan: Plan) -> list[str]:
        """What is under the cursor, and how much it matters where that is shown."""
        grid = self.query_one(LayerGrid)
        said = sentences(plan, grid.selection)
        if self._importance is None or grid.importance is None:
            return list(said)
        return with_importance(said, self._importance, grid.importance, grid.selection)

    # -- commands -----------------------------------------------------------------------------------

    def action_sensitivity(self) -> None:
        """Ask how to find out what matters, and start it."""
        model = self.workbench.model
        if not self._has_model() or model is None:
            return

        def start(asked: AskedSensitivity | None) -> None:
            if asked is None:
                return
            self._asked_sensitivity = asked
            with self.refusals_told():
                if asked.by is None:
                    job = self.workbench.estimate_importance()
                else:
                    job = self.workbench.measure_sensitivity(asked.by, asked.types, asked.chunks)
                others = f"{self.key('matters.score')} shows other scores"
                self.announce(f"Started: {job.title}. The layers show it; {others}.")

        known = self._importance.scores if self._importance else ()
        n_ctx = self.workbench.settings.n_ctx
        self.app.push_screen(
            SensitivityScreen(model.shape, n_ctx, known, self._asked_sensitivity, self._show_depth), start
        )

    def _show_depth(self) -> None:
        self.call_later(self.run_action, "depth")

    def action_next_score(self) -> None:
        """Show the next score that is known in the layers; after the last, none."""
        grid = self.query_one(LayerGrid)
        known = known_kinds(self._importance, grid.rows_and_columns) if self._importance else ()
        if not known:
            measures = f"{self.key('matters.sensitivity')} measures or estimates it"
            self.announce(f"Nothing is known yet of what matters: {measures}.")
            return
        cycle: list[ScoreKind | None] = [*known, None]
        here = cycle.index(self._score) if self._score in cycle else -1
        self._score, self._score_is_chosen = cycle[(here + 1) % len(cycle)], True
        self._show_column()
        self.explain_cell(moved=False)
        if self._score is None:
            self.announce(f"No score is shown in the layers; {self.key('matters.score')} shows them again.")
        elif self._importance is not None:
            trust = agreement(self._importance, self._score)
            described = f"{self._score.described[0].upper()}{self._score.described[1:]}."
            self.announce(f"{described} {trust}".rstrip(), trust or described)

    @after_edits
    def action_budget(self) -> None:
        """Ask for a budget, and fit a recipe to it."""
        plan = self.workbench.plan
        if not self._has_model() or plan is None:
            return

        def answered(answer: tuple[BudgetChoices, Job | None] | None) -> None:
            if answer is not None:
                self._budget_choices, job = answer
                if job is not None:
                    back = f"{self.key('recipe.undo')} takes it back"
                    self.announce(f"Started: {job.title}. The recipe comes to the grid; {back}.")

        selection = self.query_one(LayerGrid).selection
        kept = Kept(selection.title, {name: plan.by_name[name].requested for name in selection.tensors})
        self.app.push_screen(BudgetScreen(self.workbench, kept, self._budget_choices), answered)

    @after_edits
    def action_frontier(self) -> None:
        """List the best recipe of every size."""
        from lqtui.tui.screens.frontier import FrontierScreen

        def use(recipe: Recipe | None) -> None:
            self._use(recipe)

        if self._has_model():
            self.app.push_screen(FrontierScreen(self.workbench, self._budget_choices), use)

    @after_edits
    def action_why(self) -> None:
        """Say why the fitted recipe gave what is under the cursor its type."""
        from lqtui.tui.screens.why import Reason, WhyScreen

        plan, selection = self.workbench.plan, self.query_one(LayerGrid).selection
        if not self._has_model() or plan is None:
            return
        single = selection.cursor_tensor if selection.scope is Scope.TENSOR else None
        names = (single,) if single else selection.cursor_row.names
        planned = [plan.by_name[name] for name in names]
        why = self.workbench.why(names)
        reasons = [
            Reason(each.tensor.role, each.effective, why.of[each.name])
            for each in planned
            if each.name in why.of
        ]
        title = single.removesuffix(".weight") if single else selection.cursor_row.title
        if not reasons:
            fits = f"{self.key('matters.budget')} fits one to a budget"
            self.announce(f"No recipe was fitted yet that could say why: {fits}.")
        elif len({reason.sentence for reason in reasons}) == 1:
            said = f"{reasons[0].sentence} {why.market}".rstrip()
            self.notify(said, title=f"why {title}", timeout=20, markup=False)
        else:
            self.app.push_screen(WhyScreen(title, reasons, why.market))
