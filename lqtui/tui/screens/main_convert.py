"""The main screen's way from a model in safetensors to one that is open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from textual import work

from lqtui.store.paths import is_directory
from lqtui.tui.screens.main_actions import MainActions
from lqtui.workbench import Job, JobState
from lqtui.workbench.converting import convertible


class MainConvert(MainActions):
    """Conversions, over the workbench of the main screen."""

    def _open_chosen(self, path: Path | Literal["hub"] | None) -> None:
        if isinstance(path, Path) and is_directory(path):
            self._offer_conversion(path)
        else:
            super()._open_chosen(path)

    @work(exit_on_error=False, exclusive=True, group="convert")
    async def _offer_conversion(self, folder: Path) -> None:
        """Ask where the GGUF of a model in safetensors is to go, and make it."""
        from lqtui.tui.screens.convert import ConvertScreen

        with self.refusals_told():
            found = await asyncio.to_thread(convertible, folder)
            in_cache = found.name != folder.name  # where other tools do not look for what lqtui would add
            default_dir = Path.cwd() if in_cache else folder.absolute().parent
            asked = await self.app.push_screen_wait(ConvertScreen(found, default_dir))
            if asked is not None:
                job = self.workbench.convert(folder, asked.out, asked.out_type)
                stop = f"{self.key('jobs.cancel')} in the jobs cancels it"
                self.announce(f"Started: {job.title}. It is opened when it is done; {stop}.")
                self._open_when_done(job, asked.out)

    @work(exit_on_error=False, group="conversion")
    async def _open_when_done(self, job: Job, out: Path) -> None:
        """Open a model once it is converted, unless that would cost what was begun meanwhile."""
        if (await self.workbench.wait(job)).state is JobState.DONE:
            self.open_unless_busy(out, f"{self.key('model.open')} opens it")
