"""A conversation that the base model and a recipe hold side by side, each with its own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lqtui.recipe.printable import JOINERS, printable
from lqtui.recipe.recipe import Plan
from lqtui.worker.chat_messages import ChatAgreed, ChatBegun, ChatEnded, ChatEvent, ChatToken


@dataclass(frozen=True)
class Sampling:
    """How answers are made: how long they may be, and by what chance.

    At temperature 0 each token is the likeliest, so that what differs is the quantization's alone. Else both
    sides draw with the same noise, which follows from the seed.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0


class Agreement(NamedTuple):
    """How many tokens of the base's answer the recipe would have chosen too, given those before them."""

    same: int
    total: int


@dataclass
class Answer:
    """What one side says, as it comes: its tokens, and the text that each of them completes."""

    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = ""
    """Why it ended: `end`, `length`, `context`, `broken`, `stopped`; empty while it goes on."""

    @property
    def text(self) -> str:
        """All that was said, exactly as the model said it."""
        return "".join(self.pieces)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast it was said, the first token aside, which comes from reading the prompt."""
        return (len(self.tokens) - 1) / self.seconds if self.seconds else None


@dataclass
class Exchange:
    """One prompt, and the answer of each side: the base's, and the recipe's where that differs from it."""

    prompt: str
    answers: tuple[Answer, ...]
    sampling: Sampling
    agreement: Agreement | None = None
    note: str = ""
    """Why no chat template was applied; empty where one was."""
    together: bool = True
    """Whether both answered at the same time, or one after the other for want of memory."""

    @property
    def first_difference(self) -> int | None:
        """The place of the first token that differs, from 0 on; None as long as there is none."""
        if len(self.answers) < 2:
            return None
        mine, its = (answer.tokens for answer in self.answers)
        return next((i for i, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), None)

    @property
    def same_tokens(self) -> int:
        """How many tokens are the same from the beginning on."""
        found = self.first_difference
        return min(len(answer.tokens) for answer in self.answers) if found is None else found

    def hear(self, event: ChatEvent) -> None:
        """Take what the engine tells."""
        match event:
            case ChatBegun():
                self.note, self.together = event.note, event.together
            case ChatToken():
                answer = self.answers[event.side]
                answer.tokens.append(event.token)
                answer.pieces.append(event.text)
                answer.seconds += event.seconds
            case ChatEnded():
                self.answers[event.side].ended = event.reason
                self.answers[event.side].pieces.append(event.text)
            case ChatAgreed():
                self.agreement = Agreement(event.same, event.total)

    def stop(self) -> None:
        """Note that nothing more will come."""
        for answer in self.answers:
            answer.ended = answer.ended or "stopped"


@dataclass
class Conversation:
    """Exchanges with the base model and a recipe on it: `plans` in that order, one where they are equal."""

    plans: tuple[Plan, ...]
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """What the sides are called."""
        return tuple(plan.recipe.name for plan in self.plans)

    def turns(self, side: int, prompt: str) -> list[str]:
        """Prompts and answers by turns as one side knows them, and a new prompt.

        What somebody stopped before it began is left out.
        """
        told = [e for e in self.exchanges if all(answer.text for answer in e.answers)]
        return [*(text for e in told for text in (e.prompt, e.answers[side].text)), prompt]


def readable(text: str) -> str:
    """A model's text without what a terminal would obey: control characters, escapes, text direction."""
    plain = text.replace("\r\n", "\n").replace("\t", "    ")
    return printable(plain, keep="\n" + JOINERS)


def said(exchange: Exchange, names: Sequence[str]) -> str:
    """What one exchange tells of a recipe beside the base, in a sentence or two; empty for the base alone."""
    if len(exchange.answers) < 2 or not all(answer.tokens for answer in exchange.answers):
        return ""
    longest = max(len(answer.tokens) for answer in exchange.answers)
    count, parted = exchange.same_tokens, exchange.first_difference is not None
    if not parted:
        over = all(answer.ended for answer in exchange.answers)
        found = f"all {count} tokens are the same" if over else f"{count} tokens so far, all the same"
    elif not count:
        found = "they differ from the first token on"
    else:
        found = f"the first {count} of {longest} tokens are the same"
    if exchange.agreement and parted:
        same, total = exchange.agreement
        found += f"; given the base's words, {names[1]} would choose {same} of its {total} tokens too"
    return found
