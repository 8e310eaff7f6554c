"""The words in a pane's border."""

from __future__ import annotations

from textual.widget import Widget


def set_border_words(pane: Widget, *, title: str | None = None, subtitle: str | None = None) -> None:
    """Say something else in the border above (`title`) or below (`subtitle`), where it is something else.

    Textual paints a whole pane again whenever its border is told anything, the same words too.
    """
    if title is not None and pane.border_title != title:
        pane.border_title = title
    if subtitle is not None and (pane.border_subtitle or "") != subtitle:
        pane.border_subtitle = subtitle
