"""The main screen's chat: what is asked of the recipe in the grid, and of the base model beside it."""

from __future__ import annotations

from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.workbench import Workbench
from lqtui.workbench.conversation import Conversation, Sampling


class MainChat(MainActions):
    """A conversation that goes on where it was as long as the recipe stays the same."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._conversation: Conversation | None = None
        self._sampling = Sampling()

    @after_edits
    def action_chat(self) -> None:
        """Ask the recipe something."""
        from lqtui.tui.screens.chat import ChatScreen

        plan = self.workbench.plan
        if not self._has_model() or plan is None:
            return
        with self.refusals_told():
            known = self._conversation
            if (
                known is None
                or known.plans[-1].digest != plan.digest
                or known.plans[0].shape is not plan.shape
            ):
                known = self._conversation = self.workbench.converse()
            self.app.push_screen(ChatScreen(self.workbench, known, self._sampling), self._keep_sampling)

    def _keep_sampling(self, sampling: Sampling | None) -> None:
        self._sampling = sampling or self._sampling
