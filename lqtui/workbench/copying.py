"""A quantized file taken as it is, with its own bytes, beside recipes that are quantized here."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.lifting import lift
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import requested_types, resolve
from lqtui.store.paths import expanded
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.model_file import model_identity
from lqtui.workbench.quantized_files import RecipeFiles
from lqtui.workbench.running import Running
from lqtui.workbench.values import Imported, Job, JobState, OpenModel, WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.messages import ReadQuantized

_KEYS_NAMED = 3


class Copying(Running):
    """The part of the workbench that takes quantized files themselves, not their types alone."""

    def look_through(self, path: Path) -> tuple[Job, list[Imported]]:
        """Look through a quantized file of the open model in the background, as far as it is not known.

        The list then holds the recipe that is the file itself: each of its tensors is copied.
        """
        model, path = self._open_model(), expanded(path)
        found: list[Imported] = []

        async def work(running: RunningJob) -> str:
            found.append(await self._looked_through(model, path, running))
            return "; ".join((_said(found[0], model), *found[0].notices))

        return self._add_job("look through", f"look through {path.name}", work, at_once=True), found

    def use_file(self, path: Path) -> Job:
        """Make a quantized file itself the current recipe once it is looked through: an undoable edit."""
        model, path = self._open_model(), expanded(path)
        asked_in = self._open_history()

        async def work(running: RunningJob) -> str:
            found = await self._looked_through(model, path, running)
            self.use(found.recipe, f"take {path.name}", asked_in)
            return "; ".join((_said(found, model), *found.notices))

        return self._add_job("look through", f"take {path.name}", work, at_once=True)

    # Inside

    async def _read_for(self, find: RecipeFiles) -> None:
        """Look through the file that a recipe names, and of which nothing is known."""
        assert find.unread is not None
        job, found = self.look_through(find.unread)
        job = await self.wait(job)
        if job.state is not JobState.DONE:
            raise WorkbenchError(job.message)
        file = found[0].recipe.file
        assert file is not None
        find.learned(file)

    async def _looked_through(self, model: OpenModel, path: Path, running: RunningJob) -> Imported:
        self._refuse_changed_model()
        if not os.path.exists(path):  # noqa: PTH110 - nor does a file exist whose name is too long
            raise WorkbenchError(f"{path} does not exist")
        identity = model_identity(path)
        known = self._store.get_model_digest(identity)
        task = ReadQuantized(model.path, path, known or "")
        done = await run_task(task, running.log, running.progress_of, running.started)
        assert done.digest is not None and done.shape is not None
        if model_identity(path) != identity:
            raise WorkbenchError(f"{path} has changed while it was read; try again once it is whole")
        if self.model is None or self.model.path != model.path:
            raise WorkbenchError("another model was opened meanwhile")
        self._store.put_model_digest(identity, done.digest)
        types = {tensor.name: tensor.type for tensor in done.shape.tensors}
        file = QuantizedFile(str(path), done.digest, types)
        RecipeFiles(self.paths, path.parent).remember(file)
        try:
            recipe = lift(model.shape, done.shape, path.name).recipe
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        if recipe.base.is_quantized:
            recipe = msgspec.structs.replace(recipe, overrides=requested_types(model.shape, recipe))
        recipe = msgspec.structs.replace(recipe, description=f"{path.name} itself", file=file)
        return Imported(recipe, _notices(done.differing_keys))


def _said(imported: Imported, model: OpenModel) -> str:
    copied = len(resolve(model.shape, imported.recipe).copied)
    return f"{copied} tensors are copied from {imported.recipe.name}"


def _notices(keys: list[str]) -> tuple[str, ...]:
    if not keys:
        return ()
    more = f" and {len(keys) - _KEYS_NAMED} more" if len(keys) > _KEYS_NAMED else ""
    named = ", ".join(keys[:_KEYS_NAMED])
    return (f"its header differs in {named}{more}: it is measured with that of the base model",)
