"""The words in a pane's border."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


def set_border_words(pane: Widget, *, title: str | None = None, subtitle: str | None = None) -> None:
    """Say something else in the border above (`title`) or below (`subtitle`), where it is something else.

    Brackets in it are brackets: names and keys may hold them, and markup that Textual does not understand
    ends the app. It paints a whole pane again whenever its border is told anything, the same words too.
    """
    if title is not None and pane.border_title != Content(title).markup:
        pane.border_title = Content(title)
    if subtitle is not None and (pane.border_subtitle or "") != Content(subtitle).markup:
        pane.border_subtitle = Content(subtitle)
