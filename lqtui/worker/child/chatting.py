"""Have models answer a prompt side by side.

They take turns, one token each, so that both texts are seen to grow at once, and neither is slowed down by
the other while it is timed. That takes the memory of both; where there is too little of it, they answer one
after the other.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lqtui.llama import runtime
from lqtui.llama.chat_prompt import ChatPrompt, chat_prompt
from lqtui.llama.errors import EngineError, LoadFailed
from lqtui.llama.generation import Choice, Speaker
from lqtui.llama.gguf import BaseModel
from lqtui.llama.native import engine_name
from lqtui.llama.quantize import fill_pool
from lqtui.llama.sources import Sources
from lqtui.recipe.imatrix import Encoding
from lqtui.store.pool import Pool
from lqtui.worker.chat_messages import Chat, ChatAgreed, ChatBegun, ChatEnded, ChatToken, Reason
from lqtui.worker.child.tasks import Send
from lqtui.worker.messages import Progress

_BATCH = 512


def chat(task: Chat, send: Send) -> None:
    """Do a Chat task; the pool's entry is held alone while its files are written or opened."""
    with runtime.backend(), BaseModel(task.model) as base, Sources(task.files) as sources:
        with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
            prompts = [chat_prompt(vocabulary, side.turns) for side in task.sides]
        dialogue = _Dialogue(task, base, sources, prompts, send)
        with dialogue.entry.in_use():
            dialogue.run()


class _Dialogue:
    """One prompt, and what each side has answered by now."""

    def __init__(
        self, task: Chat, base: BaseModel, sources: Sources, prompts: Sequence[ChatPrompt], send: Send
    ) -> None:
        self._task, self._base, self._sources, self._prompts, self._send = task, base, sources, prompts, send
        self.entry = Pool(task.pool).entry(task.model_digest, engine_name(), task.label)
        self._choose = Choice(task.temperature, task.seed)
        self._answers: list[list[int]] = [[] for _ in prompts]
        self._max_tokens = task.max_tokens
        longest = max(len(prompt.tokens) for prompt in prompts)
        if trained := base.shape.context_length:
            if longest >= trained:
                raise EngineError(
                    f"this conversation of {longest} tokens fills the model's context of {trained}; "
                    f"begin a new one"
                )
            self._max_tokens = min(task.max_tokens, trained - longest)
        self._n_ctx = longest + self._max_tokens

    def run(self) -> None:
        """Have all sides answer, together where they can."""
        indices = list(range(len(self._task.sides)))
        together = len(indices) == 1 or self._file_bytes(indices) <= self._task.memory
        if together:
            try:
                self._answer(indices, self._task.gpu_layers, together=True)
                return
            except LoadFailed:
                if len(indices) == 1 and not self._task.gpu_layers:
                    raise
        for index in indices:
            runtime.with_layers_that_fit(
                self._task.gpu_layers,
                self._base.shape.block_count,
                lambda layers, index=index: self._answer([index], layers, together=False),  # type: ignore[misc]
            )

    def _file_bytes(self, indices: Sequence[int]) -> int:
        tensors = self._base.shape.tensors
        sides = [self._task.sides[index] for index in indices]
        return sum(t.bytes_as(side.encodings[t.name].type) for side in sides for t in tensors)

    def _answer(self, indices: Sequence[int], gpu_layers: int, *, together: bool) -> None:
        """Load some sides and let them speak by turns until all have ended; LoadFailed where that fails."""
        with contextlib.ExitStack() as opened:
            speakers = {index: self._speaker(index, gpu_layers, opened) for index in indices}
            if not any(self._answers):
                self._send(ChatBegun(self._prompts[0].note, together))
            voices = [self._voice(index, speaker) for index, speaker in speakers.items()]
            while voices:
                voices = [voice for voice in voices if voice.goes_on()]
            for index, speaker in speakers.items():
                if index and (said := self._answers[0]):
                    self._tell("comparing", "answers", 0, 1)
                    same = speaker.agreement(self._prompts[0].tokens, said, self._choose)
                    self._send(ChatAgreed(index, same, len(said)))

    def _speaker(self, index: int, gpu_layers: int, opened: contextlib.ExitStack) -> Speaker:
        with self._files(self._task.sides[index].encodings) as files:
            self._tell("loading", "model", 0, 1)
            model = opened.enter_context(runtime.loaded_model(files, gpu_layers))
        made = runtime.context(model, self._n_ctx, _BATCH, self._task.threads)
        return Speaker(model, opened.enter_context(made))

    @contextlib.contextmanager
    def _files(self, encodings: Mapping[str, Encoding]) -> Iterator[Sequence[Path]]:
        """The model's own files, or shards of the pool that stay in place while they are opened."""
        if all(tensor.type is encodings[tensor.name].type for tensor in self._base.shape.tensors):
            yield [self._base.first_part]
            return
        with self.entry.lock(on_wait=partial(self._tell, "waiting", "another lqtui", 0, 1)):
            yield fill_pool(
                self._base,
                encodings,
                self.entry,
                self._task.threads,
                lambda done, total: self._tell("quantizing", "MiB", done >> 20, total >> 20),
                sources=self._sources,
            )

    def _voice(self, index: int, speaker: Speaker) -> _Voice:
        speaker.read(self._prompts[index].tokens, partial(self._tell, "reading the prompt", "tokens"))
        at_most: Reason = "context" if self._max_tokens < self._task.max_tokens else "length"
        return _Voice(
            index, speaker, self._choose, self._answers[index], self._max_tokens, at_most, self._send
        )

    def _tell(self, stage: str, unit: str, done: int, total: int) -> None:
        self._send(Progress(stage, done, total, unit))


@dataclass
class _Voice:
    """One side's answer while it is spoken: tokens are added to `said`, `most` of them at the most."""

    side: int
    speaker: Speaker
    choose: Choice
    said: list[int]
    most: int
    at_most: Reason
    send: Send

    def __post_init__(self) -> None:
        """Characters come to an end with the token that has their last byte."""
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def goes_on(self) -> bool:
        """Say one more token; tells whether there are more to come."""
        if self.said:
            self.speaker.say(self.said[-1])
        token = self.choose(self.speaker.logits, len(self.said))
        if token is None:
            return self._end("broken")
        is_end = self.speaker.ends(token)
        text = "" if is_end else self._text.decode(self.speaker.bytes_of(token))
        self.send(ChatToken(self.side, token, text, self.speaker.seconds if self.said else 0.0))
        self.said.append(token)
        if is_end:
            return self._end("end")
        return len(self.said) < self.most or self._end(self.at_most)

    def _end(self, reason: Reason) -> bool:
        self.send(ChatEnded(self.side, reason, self._text.decode(b"", final=True)))
        return False
