"""Recipes made into files: the quantized model itself, and the script that makes it elsewhere."""

from __future__ import annotations

from pathlib import Path

from lqtui.export.script import export_script
from lqtui.recipe.recipe import Plan
from lqtui.store.paths import expanded, is_directory
from lqtui.workbench.asked import AskedWriting
from lqtui.workbench.expectations import writing
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import refuse_without_imatrix
from lqtui.workbench.model_file import protect_model
from lqtui.workbench.quantized_files import check_files, protect_source, refuse_copied
from lqtui.workbench.running import Running
from lqtui.workbench.values import Job, WorkbenchError
from lqtui.workbench.wording import measured_lines
from lqtui.worker.client import run_task
from lqtui.worker.messages import WriteModel


class Writing(Running):
    """The part of the workbench that writes quantized models, and the scripts that make them."""

    def quantize(self, out: Path) -> Job:
        """Write the current recipe's GGUF file in the background."""
        return self.quantize_plan(self._current_plan(), out)

    def quantize_plan(self, plan: Plan, out: Path) -> Job:
        """Write a plan's GGUF file in the background."""
        model = self._open_model()
        out = expanded(out)
        protect_model(model.path, out)
        protect_source(plan, out)
        if is_directory(out):
            raise WorkbenchError(f"{out} is a folder; give the name of a file")
        refuse_without_imatrix(plan)

        async def work(running: RunningJob) -> str:
            self._refuse_changed_model()
            await check_files([plan.file], self._store, running.log, running.progress_of, running.started)
            now = self._open_model()
            running.expect(writing(now.shape))
            task = WriteModel(
                model.path,
                plan.encodings,
                plan.file_type.number,
                out,
                self.paths.pool,
                now.digest or "",
                self.settings.threads_used,
                plan.imatrix,
                plan.file,
            )
            done = await run_task(task, running.log, running.progress_of, running.started)
            return f"wrote {out} ({done.bytes:,} bytes)"

        asked = AskedWriting(plan.recipe, out)
        return self._add_job("quantize", f"write {out.name}", work, asked=asked)

    def script(self) -> str:
        """The shell script with which stock llama.cpp makes the current recipe's file, bit for bit."""
        return self.script_for(self._current_plan())

    def script_for(self, plan: Plan) -> str:
        """The export script of a plan, with what was measured of it in its header."""
        model = self._open_model()
        refuse_copied(plan)
        refuse_without_imatrix(plan)
        lines = measured_lines(self.result(plan), self.settings, self.corpus_name)
        return export_script(plan, model.path.name, lines)

    def save_script(self, path: Path) -> None:
        """Write the export script, executable, in place of what was there."""
        self.write_script(path, self.script())

    def write_script(self, path: Path, script: str) -> None:
        """Write a script, executable, in place of what was there."""
        self._write(path, script, executable=True)
