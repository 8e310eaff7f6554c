"""Every key, from the bindings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.tui.keys.commands import COMMANDS
from lqtui.tui.keys.keyless import KEYLESS_COMMANDS
from lqtui.tui.keys.panes import PANE_COMMANDS
from lqtui.tui.keys.shown import keymap_of
from lqtui.tui.widgets.choices import Pages
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK

_KEYS_WIDTH = 16
_LEAST_WIDTH = 20
_READING = (
    ("blk", "a transformer block; embd and out are the embedding and the output"),
    ("8 4k F", "a cell's type: digits are bits per weight, letters tell variants apart"),
    (FALLBACK_MARK, "llama.cpp wrote another type than asked: rows must divide into its blocks"),
    ("MiB, bpw", "the file that llama-quantize would write, to the byte; bits per weight"),
    ("KLD", "how far the next token's probabilities are from the base's, in nats; lower is better"),
    ("PPL", "perplexity on the corpus, lower is better; Δ is the change against the base"),
    ("top-1", "how often recipe and base find the same token the likeliest"),
    ("±", "the standard error; digits that it makes meaningless are not shown"),
    ("verdict", "KLD chunk by chunk, 95 % sure, against the recipe in the grid, or else the best"),
    ("█▌ ▁▃▆", "importance: KLD with a block or tensor lowered alone; each step is twice as much"),
    ("Σ sum", "a block's importance as the sum of its tensors', each measured alone"),
    ("⣿⡇ est.", "importance that is only estimated: where it ranks, not how much it is"),
    ("● ○ ◆ ◇", "in the chart, solid is measured and hollow is predicted; diamonds are this recipe"),
    ("A │ B *", "recipes side by side, the one in the grid reversed; * was edited since it was named"),
    ("knee", "the recipe on the frontier beyond which more bytes save little"),
    ("▸ ◐", "the recipe in the grid; a measurement that some chunks are missing of"),
)


def help_sections(keymap: Mapping[str, str] | None = None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles, each with its keys and what they do."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for command in (*COMMANDS, *chain.from_iterable(PANE_COMMANDS.values())):
        sections.setdefault(command.group, []).append((command.shown_keys(keymap), command.help))
    palette = next(command for command in COMMANDS if command.id == "app.palette").shown_keys(keymap)
    for command in KEYLESS_COMMANDS:
        sections.setdefault(command.group, []).append((palette, command.help))
    sections["How to read the screen"] = list(_READING)
    return list(sections.items())


class HelpScreen(ModalScreen[None]):
    """All keys by group, and how to read the screen."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > Pages {
        width: 90%; max-width: 92; height: 90%; padding: 0 2;
        border: round $primary; background: $surface; scrollbar-size-vertical: 1;
    }
    HelpScreen Static { height: auto; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "Close", show=False),
    ]

    def compose(self) -> ComposeResult:
        """The sections in one scrolling column."""
        with Pages() as box:
            box.border_title = "lqtui: keys"
            box.border_subtitle = "↑ ↓ scroll · esc close"
            for _ in help_sections(keymap_of(self)):
                yield Static()

    def on_resize(self) -> None:
        """Wrap sentences beside their keys, and not under them."""
        width = self.query_one(Pages).scrollable_content_region.width
        sections = help_sections(keymap_of(self))
        for line, (title, rows) in zip(self.query(Static), sections, strict=True):
            line.update(_section(title, rows, width))


def _section(title: str, rows: list[tuple[str, str]], width: int) -> Content:
    lines = [Content.styled(title, "bold $text-primary")]
    for keys, text in rows:
        first, *others = wrap(text, max(_LEAST_WIDTH, width - _KEYS_WIDTH - 2))
        lines.append(Content.assemble((f"  {keys:<{_KEYS_WIDTH}}", "bold $text-accent"), first))
        lines += [Content(" " * (_KEYS_WIDTH + 2) + other) for other in others]
    return Content("\n").join(lines)
