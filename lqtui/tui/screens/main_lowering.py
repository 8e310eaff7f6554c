"""The main screen's part on the lowering curves."""

from __future__ import annotations

from lqtui.recipe.types import TensorType
from lqtui.tui.screens.lowering import LOWEST, LoweringScreen
from lqtui.tui.screens.main_actions import MainActions
from lqtui.workbench import Workbench


class MainLowering(MainActions):
    """The lowering curves, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._lowered_to = LOWEST

    def action_lowering(self) -> None:
        """Show how long quality lasts as blocks are lowered one by one."""

        def keep(to: TensorType | None) -> None:
            self._lowered_to = to or self._lowered_to

        if self._has_model():
            self.app.push_screen(LoweringScreen(self.workbench, self._lowered_to), keep)
