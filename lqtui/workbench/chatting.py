"""Chat for a sanity check: one prompt, the base model's answer beside a recipe's."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.workbench.conversation import Answer, Conversation, Exchange, Sampling, said
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import files_of, refuse_without_imatrix
from lqtui.workbench.quantized_files import check_files
from lqtui.workbench.running import Running
from lqtui.workbench.values import Job, WorkbenchError
from lqtui.worker.chat_messages import Chat, ChatEvent, ChatSide
from lqtui.worker.client import run_task
from lqtui.worker.messages import Event

_TITLE_LENGTH = 32


class Chatting(Running):
    """The part of the workbench that lets a person talk to a recipe, with the base model beside it."""

    def converse(self, plan: Plan | None = None) -> Conversation:
        """A new conversation with the base model and a plan, the current one unless another is given."""
        plan = plan or self._current_plan()
        refuse_without_imatrix(plan)
        if plan.pruned:
            raise WorkbenchError(f"{plan.recipe.name} leaves blocks out of the model, so it cannot speak")
        base = resolve(plan.shape, base_recipe(plan.shape))
        return Conversation((base,) if plan.unchanged else (base, plan))

    def ask(
        self, conversation: Conversation, prompt: str, sampling: Sampling, changed: Callable[[], None]
    ) -> Job:
        """Have both sides answer a prompt in the background; `changed` is called as their words come.

        The exchange is the conversation's last from now on. If it is cancelled, it keeps what was said.
        """
        model = self._open_model()
        if conversation.plans[0].shape is not model.shape:
            raise WorkbenchError("another model was opened meanwhile; begin a new conversation")
        prompt = _checked(prompt)
        exchange = Exchange(prompt, tuple(Answer() for _ in conversation.plans), sampling)
        sides = [
            ChatSide(plan.encodings, conversation.turns(side, prompt))
            for side, plan in enumerate(conversation.plans)
        ]

        def hear(running: RunningJob, event: Event) -> None:
            if isinstance(event, ChatEvent):
                exchange.hear(event)
                changed()
            else:
                running.progress_of(event)

        async def work(running: RunningJob) -> str:
            digest = await self._fingerprinted(running)
            copied = [plan.file for plan in conversation.plans]
            await check_files(copied, self._store, running.log, running.progress_of, running.started)
            task = Chat(
                model=model.path,
                sides=sides,
                pool=self.paths.pool,
                model_digest=digest,
                label=model.shape.name,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=sampling.seed,
                threads=self.settings.threads_used,
                memory=int(psutil.virtual_memory().available),
                gpu_layers=self.settings.gpu_layers,
                files=files_of(conversation.plans),
            )
            try:
                await run_task(task, running.log, lambda event: hear(running, event), running.started)
            finally:
                exchange.stop()
                changed()
            return said(exchange, conversation.names) or "answered"

        title = prompt if len(prompt) <= _TITLE_LENGTH else f"{prompt[: _TITLE_LENGTH - 1]}…"
        job = self._add_job("chat", f"chat: {' '.join(title.split())}", work)
        conversation.exchanges.append(exchange)
        return job


def _checked(prompt: str) -> str:
    """A prompt that a model can be given."""
    prompt = prompt.strip("\n")
    if not prompt.strip():
        raise WorkbenchError("the prompt is empty; write something")
    if "\0" in prompt:
        raise WorkbenchError("the prompt has a zero byte in it; leave that out")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise WorkbenchError("the prompt is not valid Unicode; write it in UTF-8") from None
    return prompt
