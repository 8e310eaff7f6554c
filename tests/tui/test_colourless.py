"""NO_COLOR: not one colour is sent, and what the screen means is still all there."""

from __future__ import annotations

import pytest
from driving import running, screen_text
from fakes import FakeWorkbench
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from lqtui.tui.terminal.colourless import Colourless
from lqtui.tui.widgets.layer_grid import LayerGrid


def segments(pilot) -> list[Segment]:
    return [segment for strip in pilot.app.screen._compositor.render_strips() for segment in strip]


def reversed_text(pilot) -> list[str]:
    """What stands out, but for the scroll bars."""
    reverse = (
        s for s in segments(pilot) if s.style and s.style.reverse and "@mouse.down" not in s.style.meta
    )
    return [text for segment in reverse if (text := segment.text.strip())]


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
async def test_no_colour_is_sent_and_the_cursor_and_the_selection_are_reversed(
    workbench: FakeWorkbench, monkeypatch, theme
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(workbench) as pilot:
        pilot.app.theme = theme
        await pilot.press("4", "down", "8", "up")
        await pilot.pause()
        styles = {segment.style for segment in segments(pilot) if segment.style}
        assert all(not c or c.is_default for s in styles for c in (s.color, s.bgcolor))
        assert reversed_text(pilot) == ["0"], "the block's own cells are told by letters, not by a background"
        await pilot.press("]", "v", "down")
        await pilot.pause()
        assert reversed_text(pilot) == ["4", "8"], "what is selected"
        assert "┃" in screen_text(pilot) and "▶" in screen_text(pilot)
        header = pilot.app.main.query_one(LayerGrid).render_line(1)
        assert [s.text for s in header if s.style and s.style.underline] == ["q"]
        await pilot.press("p")
        await pilot.pause()
        assert "baseline_fp16" in " ".join(reversed_text(pilot)), "the line of a list that the cursor is on"


def test_what_was_faint_is_dim_and_what_was_bold_stays_so() -> None:
    line = [
        Segment("faint", Style.parse("#606060 on #121212")),
        Segment("bold", Style.parse("bold #e0e0e0 on #1e1e1e")),
        Segment("cursor", Style.parse("#ffffff on #0178d4")),
    ]
    faint, bold, cursor = Colourless(Color.parse("#121212")).apply(line, Color.parse("#121212"))
    assert faint.style.dim and not faint.style.reverse
    assert bold.style.bold and not bold.style.dim and not bold.style.reverse
    assert cursor.style.reverse
