"""Nothing that a stranger named in a file or on a server makes the terminal do anything."""

from __future__ import annotations

from driving import running, screen_text
from fakes import FakeWorkbench
from model_shapes import llama_shape
from rich.segment import Segment
from textual.color import Color

from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe
from lqtui.tui.terminal.harmless import HarmlessText

HOSTILE = "a\x1b]0;title\x07b\x9b2J\u202ec"


async def test_a_name_of_control_characters_reaches_the_terminal_without_them() -> None:
    workbench = FakeWorkbench(llama_shape(blocks=2))
    async with running(workbench) as pilot:
        workbench.use(Recipe(HOSTILE, FileType.Q4_0, {}), "import")
        pilot.app.main.announce(HOSTILE)
        await pilot.pause()
        sent = screen_text(pilot).replace("\n", "")
        assert "a]0;titleb2Jc" in sent and sent.isprintable()


def test_a_line_stays_as_wide_as_it_was_laid_out() -> None:
    line = [Segment("a\u00a0\u3000\x1bb"), Segment("plain")]
    kept = HarmlessText().apply(line, Color(0, 0, 0))
    assert [s.text for s in kept] == ["a���b", "plain"]
    assert sum(s.cell_length for s in kept) == sum(s.cell_length for s in line)


def test_what_textual_means_as_a_control_code_and_joined_emoji_pass() -> None:
    line = [Segment("\x1b[1;1H", None, [(1,)]), Segment("👩\u200d🔬")]  # type: ignore[list-item]
    assert HarmlessText().apply(line, Color(0, 0, 0)) == line
