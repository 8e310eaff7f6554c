"""One side of a conversation: prompts, and what one model answers."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lqtui.tui.widgets.quantities import size
from lqtui.workbench.conversation import Answer, Conversation, Exchange, readable

_PARTING = "▸"
_END = "∎"
_ENDINGS = {
    "length": "cut at the length asked for",
    "context": "the model's context is full",
    "broken": "this recipe breaks the model: it gives no probabilities",
    "stopped": "stopped",
}


class AnswerPane(VerticalScroll, can_focus=True):
    """Follows what one side says; once somebody has scrolled up, it stays there until the next prompt."""

    DEFAULT_CSS = """
    AnswerPane {
        width: 1fr; height: 1fr; padding: 0 1;
        border: round $foreground 25%; border-title-color: $foreground; scrollbar-size-vertical: 1;
        &:focus { border: round $primary; border-title-style: bold; }
        &:ansi { border: round ansi_bright_black; }
        &:ansi:focus { border: round $primary; }
    }
    AnswerPane Static { width: 1fr; height: auto; }
    """

    def __init__(self, side: int, *, id: str) -> None:
        super().__init__(id=id)
        self._side = side
        self._exchanges = -1

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static()

    def show(self, conversation: Conversation) -> None:
        """Show all that was said on this side."""
        plan = conversation.plans[self._side]
        self.border_title = Content(f"{plan.recipe.name} · {size(plan.file_bytes)}")
        exchanges = conversation.exchanges
        self.border_subtitle = Content(_pace(exchanges[-1].answers[self._side]) if exchanges else "")
        shown = Content("\n\n").join([_exchange(exchange, self._side) for exchange in exchanges])
        self.query_one(Static).update(shown)
        if len(exchanges) != self._exchanges:
            self._exchanges = len(exchanges)
            self.anchor()


def _pace(answer: Answer) -> str:
    count = len(answer.tokens)
    told = f"{count} token{'s' if count != 1 else ''}"
    return f"{told} · {answer.tokens_per_second:.1f} tok/s" if answer.tokens_per_second else told


def _exchange(exchange: Exchange, side: int) -> Content:
    """The prompt, then the answer with a mark on the first token that differs."""
    answer, parted = exchange.answers[side], exchange.first_difference
    shown = Content.assemble((f"> {readable(exchange.prompt)}", "bold $text-primary"), "\n")
    if parted is None:
        shown += Content(readable(answer.text))
    else:
        before, other, after = (
            readable("".join(pieces))
            for pieces in (
                answer.pieces[:parted],
                answer.pieces[parted : parted + 1],
                answer.pieces[parted + 1 :],
            )
        )
        is_end = answer.ended == "end" and parted == len(answer.tokens) - 1
        mark = _PARTING + (_END if is_end else other)
        shown += Content.assemble(before, (mark, "bold $text-warning reverse"), after)
    if answer.ended in _ENDINGS:
        shown += Content.styled(f"\n· {_ENDINGS[answer.ended]}", "$text-muted")
    return shown
