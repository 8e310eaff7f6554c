"""The memory that recipes need: what contexts take is asked of llama.cpp, in the background, once each."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lqtui.recipe.memory import ContextMemory, MemoryEstimate, estimate_memory
from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench.editing import RecipeEditing
from lqtui.workbench.jobs import new_log
from lqtui.workbench.values import Change, Fit, Settings, WorkbenchError
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.messages import AskMemory

_RETRY_SECONDS = 60.0
"""After so long it is asked again why there was no answer: memory may have been short, or a disk full."""
_SETTLING_SECONDS = 0.05
"""A question is asked when it has stood for so long: keys that repeat pass over many."""


class ContextMemories:
    """llama.cpp's answers so far; `tell` is called when one more is there."""

    def __init__(self, logs: Path, tell: Callable[[], None]) -> None:
        self._logs = logs
        self._tell = tell
        self._answers: dict[AskMemory, ContextMemory | str] = {}
        self._failed: dict[AskMemory, float] = {}
        self._asked: AskMemory | None = None
        self._asking: asyncio.Task[None] | None = None

    def answer(self, question: AskMemory) -> ContextMemory | str | None:
        """What is known: the answer, a sentence on why there is none, or None while it is being asked."""
        return self._answers.get(question)

    def ask(self, question: AskMemory) -> None:
        """Ask in the background, unless that was done; an earlier question that still waits is given up.

        What could not be answered is asked again after a while.
        """
        is_final = time.monotonic() < self._failed.get(question, math.inf) + _RETRY_SECONDS
        if (question in self._answers and is_final) or question == self._asked:
            return
        self._give_up()
        self._asked = question
        self._asking = asyncio.create_task(self._ask(question))

    async def wait(self) -> None:
        """Wait for the answer to the question asked last."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def forget(self) -> None:
        """Forget everything: another model may bear the same name."""
        self._give_up()
        self._answers.clear()
        self._failed.clear()

    async def close(self) -> None:
        """Give up what is being asked."""
        self._give_up()
        await self.wait()

    def _give_up(self) -> None:
        self._asked = None
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, question: AskMemory) -> None:
        await asyncio.sleep(_SETTLING_SECONDS)
        try:
            log = new_log(self._logs, "memory")
            answer: ContextMemory | str | None = (await run_task(question, log)).memory
            assert answer is not None
            self._failed.pop(question, None)
            with contextlib.suppress(OSError):
                log.unlink()
        except (JobFailed, StoreError) as error:
            answer = str(error)
            self._failed[question] = time.monotonic()
        self._answers[question] = answer
        self._asked = None
        self._tell()


class MemoryFitting(RecipeEditing):
    """The part of the workbench that tells what memory a recipe needs, and with which context."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        super().__init__()
        self.paths = paths
        self.settings = settings
        self._contexts = ContextMemories(paths.logs, lambda: self._tell(Change.FIT))
        self._estimated: tuple[Plan, ContextMemory, MemoryEstimate] | None = None

    @property
    def fit(self) -> Fit | None:
        """The memory that the current recipe needs; None without a model.

        Where llama.cpp was not asked yet, it is now, in the background, and a change of FIT tells the answer.
        """
        if self.model is None or self.plan is None:
            return None
        question = self._question()
        self._contexts.ask(question)
        return self._answered(self.plan, question)

    async def known_fit(self, plan: Plan) -> Fit:
        """The memory that a plan on the open model needs, or why it cannot be told."""
        question = self._question()
        self._contexts.ask(question)
        await self._contexts.wait()
        return self._answered(plan, question)

    def fit_to(self, n_ctx: int, type_k: TensorType, type_v: TensorType) -> None:
        """Tell memory for another context length, or other types of its KV cache, from now on."""
        self.settings = replace(self.settings, fit_ctx=n_ctx, type_k=type_k, type_v=type_v)
        self._tell(Change.FIT)

    def _question(self) -> AskMemory:
        if self.model is None:
            raise WorkbenchError("no model is open")
        chosen, own = self.settings, self.model.shape.context_length
        n_ctx = min(chosen.fit_ctx, own) if own else chosen.fit_ctx
        return AskMemory(self.model.path, n_ctx, chosen.type_k, chosen.type_v, chosen.gpu_layers)

    def _answered(self, plan: Plan, question: AskMemory) -> Fit:
        asked = Fit(question.n_ctx, question.type_k, question.type_v)
        answer = self._contexts.answer(question)
        if answer is None:
            return asked
        if isinstance(answer, str):
            return replace(asked, problem=answer)
        last = self._estimated
        if last is None or last[0] is not plan or last[1] is not answer:
            last = self._estimated = (plan, answer, estimate_memory(plan, answer))
        return replace(asked, memory=last[2])
