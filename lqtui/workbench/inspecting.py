"""Inspecting a tensor: what each type would make of it, without any effect on the recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lqtui.recipe.block_codes import RUNS
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Recipe, encoding
from lqtui.recipe.rules import fitting_type, is_quantizable, requires_imatrix
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.spelling import nearest
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.errors import StoreError
from lqtui.workbench.importance import Importance
from lqtui.workbench.jobs import new_log
from lqtui.workbench.matrix_files import files_of
from lqtui.workbench.quantized_files import check_files
from lqtui.workbench.values import WorkbenchError
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.inspect_messages import InspectEvent, InspectTensor, TensorInspected, TypeInspected
from lqtui.worker.messages import Event

WINDOW = 1 << 14
"""Weights around the block that is looked at of which all is told, so that one can walk among them."""


class Inspecting(Importance):
    """The part of the workbench that looks into a tensor."""

    def tensor_named(self, name: str) -> TensorInfo:
        """The tensor of a name, with `.weight` or without; WorkbenchError that offers the nearest."""
        shape = self._open_model().shape
        for wording in (name.strip(), f"{name.strip()}.weight"):
            if wording in shape.by_name:
                return shape.by_name[wording]
        short = {each.removesuffix(".weight"): each for each in shape.by_name}
        near = nearest(name.strip().removesuffix(".weight"), short, 0.5)
        hint = f"did you mean {near}?" if near else f"its first is {next(iter(short))}"
        raise WorkbenchError(f"{shape.name} has no tensor {name!r}; {hint}")

    def why_not(self, tensor: TensorInfo, wanted: TensorType, recipe: Recipe | None = None) -> str:
        """Why a tensor cannot be written as a type, by what a recipe is made with; empty where it can."""
        shape = self._open_model().shape
        if wanted is tensor.type:
            return ""
        if not is_quantizable(shape, tensor):
            return f"llama-quantize never changes {tensor.name}: it stays {tensor.type}"
        try:
            fitting = fitting_type(tensor, wanted)
        except RecipeError as error:
            return str(error)
        if fitting is not wanted:
            return (
                f"{wanted} needs rows divisible by {wanted.block_size}: the rows of {tensor.columns} of "
                f"{tensor.name} fall back to {fitting}"
            )
        if recipe is not None and encoding(recipe, tensor, wanted).file:
            return ""
        if requires_imatrix(tensor, wanted, imatrix=recipe.imatrix if recipe else None):
            return f"{wanted} needs an importance matrix for {tensor.name}"
        return ""

    def inspectable_types(self, tensor: TensorInfo) -> tuple[TensorType, ...]:
        """The types at which a tensor can be inspected now, from the most bits to the fewest."""
        recipe = self._current_plan().recipe
        return tuple(each for each in TARGET_TYPES if not self.why_not(tensor, each, recipe))

    async def inspect(
        self,
        tensor: TensorInfo,
        types: Sequence[TensorType],
        hear: Callable[[InspectEvent], None],
        *,
        block: int = 0,
        sampled: int = 0,
    ) -> None:
        """Tell how a tensor's weights spread, and then what each type makes of them, in their order.

        Args:
            tensor: A tensor of the open model.
            types: Types that it can have. The current recipe makes them, by its importance matrix or out of
                its quantized file.
            hear: Told of the tensor, and of each type as it is done.
            block: The run of weights with one scale, of the first type, to look at: those around it are told
                of too.
            sampled: Errors are told over about so many weights; 0 is all of them.

        Raises:
            WorkbenchError: A type that the tensor cannot have, or a model that cannot be read.
        """
        model, recipe = self._open_model(), self._current_plan().recipe
        for wanted in types:
            if reason := self.why_not(tensor, wanted, recipe):
                raise WorkbenchError(reason)
        run = RUNS.get(types[0], 1) if types else 1
        runs = -(-tensor.n_weights // run)
        if not 0 <= block < runs:
            raise WorkbenchError(
                f"{tensor.name} has {types[0]} blocks 0 to {runs - 1:,}, and {block:,} is none"
            )
        self._refuse_changed_model()
        encodings = [encoding(recipe, tensor, each) for each in types]
        copied = [recipe.file] if any(each.file for each in encodings) else []
        task = InspectTensor(
            model.path,
            tensor.name,
            encodings,
            block * run,
            min(WINDOW, tensor.n_weights),
            self.settings.threads_used,
            sampled,
            files_of([recipe]),
        )

        def pass_on(event: Event) -> None:
            if isinstance(event, TensorInspected | TypeInspected):
                hear(event)

        try:
            log = new_log(self.paths.logs, "inspect")
            await check_files(copied, self._store, log)
            await run_task(task, log, pass_on)
        except (JobFailed, StoreError) as error:
            raise WorkbenchError(str(error)) from None
        log.unlink(missing_ok=True)

    async def recall_estimates(self) -> None:
        """Wait for what earlier sessions estimated of the open model to be there, if anything."""
        self.recall_importance()
        if self._recalling is not None:
            await asyncio.wait([self._recalling])

    def weighted_error(self, name: str, tensor_type: TensorType) -> float | None:
        """The estimated error of a tensor's output at a type, as a share of it; None where unknown."""
        estimate = self.importance.tensors.get(name)
        output = (estimate.product or estimate.lookup) if estimate else None
        return output.relative(tensor_type) if output and tensor_type in output.errors else None
