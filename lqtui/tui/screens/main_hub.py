"""The main screen's way to the Hugging Face Hub: what is chosen there is downloaded, and then opened."""

from __future__ import annotations

from pathlib import Path

from textual import work

from lqtui.tui.screens.main_actions import MainActions
from lqtui.workbench import Job, Workbench


class MainHub(MainActions):
    """Models of the Hub, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._to_open: int | None = None

    def action_hub(self) -> None:
        """Search the Hub, or open what was downloaded from it."""
        from lqtui.tui.screens.hub import HubScreen, Wanted

        def take(chosen: Path | Wanted | None) -> None:
            if isinstance(chosen, Wanted):
                with self.refusals_told():
                    job = self.workbench.pull(chosen.repository, chosen.model)
                    self._to_open = job.id
                    stop = f"{self.key('jobs.cancel')} in the jobs cancels it"
                    self.announce(f"Started: {job.title}. It is opened when it is here; {stop}.")
                    self._open_when_here(job)
            elif chosen is not None:
                self.open_model(chosen)

        self.app.push_screen(HubScreen(self.workbench), take)

    @work(exit_on_error=False, group="download")
    async def _open_when_here(self, job: Job) -> None:
        """Open a model once it is downloaded, unless that would cost what was begun meanwhile."""
        done = await self.workbench.wait(job)
        path = self.workbench.pulled(done)
        if path is None or self._to_open != job.id:
            return
        self.open_unless_busy(path, "D, then enter opens it")
