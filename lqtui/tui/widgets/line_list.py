"""A list of lines with a cursor, drawn line by line: what the results and the jobs have in common."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.border_words import set_border_words


@dataclass(frozen=True)
class Line:
    """One line: the key of the item that it belongs to (an item may take several), and what it says."""

    key: Hashable
    content: Content


class LineList(ScrollView, can_focus=True):
    """Lines under an optional header that stays; the cursor stays on its item when the order changes.

    Only lines that changed are drawn again.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-list--header",
        "line-list--cursor",
        "line-list--cursor-blurred",
    }

    DEFAULT_CSS = """
    LineList {
        height: 1fr;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 0 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        overflow-x: hidden;

        &:focus {
            border: round $primary;
            border-title-style: bold;
        }

        .line-list--header { text-style: bold; color: $foreground; }
        .line-list--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
        .line-list--cursor-blurred { background: $foreground 10%; }

        &:ansi {
            border: round ansi_bright_black;
            &:focus { border: round $primary; }
            .line-list--cursor-blurred { background: ansi_default; text-style: bold; }
        }
    }
    """

    # The ids are those of the layers, so that who remaps these keys does so for both.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="grid.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="grid.down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="grid.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="grid.page_down"),
        Binding("home,g", "end(False)", "First", show=False, id="grid.first"),
        Binding("end,G", "end(True)", "Last", show=False, id="grid.last"),
        Binding("enter", "choose", "Choose", show=False),
    ]

    empty: ClassVar[str] = ""
    """What to say where there are no lines."""
    keys_hint: ClassVar[str] = ""
    """The keys of the list's own, told while it has the focus."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._header: Content | None = None
        self._lines: list[Line] = []
        self._cursor: Hashable | None = None
        self._strips: dict[int, Strip] = {}
        self._status = ""

    # What a list of its own kind says.

    @property
    def empty_now(self) -> str:
        """What to say as long as there are no lines."""
        return with_keys(self, self.empty)

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The header (None: none) and the lines, for a width in cells."""
        raise NotImplementedError

    def choose(self, key: Hashable) -> None:
        """Act on the item under the cursor: enter, or a click on it."""

    def header_clicked(self, x: int) -> None:
        """Act on a click on the header, `x` cells from its left."""

    def cursor_moved(self) -> None:
        """Act on the cursor's being on another item."""

    # Lines.

    def update_lines(self) -> None:
        """Build the lines again, and draw those that differ."""
        width = self.scrollable_content_region.width
        if not width:
            return
        header, lines = self.build_lines(width)
        count = len(lines) + (header is not None)
        same_layout = len(lines) == len(self._lines) and (header is None) is (self._header is None)
        stale = None
        if same_layout:
            top = 1 if header is not None else 0
            stale = [
                index + top
                for index, (old, new) in enumerate(zip(self._lines, lines, strict=True))
                if old.key != new.key or not old.content.is_same(new.content)
            ]
            if header is not None and self._header is not None and not header.is_same(self._header):
                stale.append(0)
        self._header, self._lines = header, lines
        self.show_status(self._status)
        keys = self.item_keys
        cursor = self._cursor if self._cursor in keys else keys[0] if keys else None
        if cursor != self._cursor:
            self._cursor, stale = cursor, None
            self.cursor_moved()
        if stale is None:
            self._strips.clear()
            self.virtual_size = Size(width, count)
            self.refresh()
        else:
            self._redraw(stale)

    @property
    def item_keys(self) -> list[Hashable]:
        """The items' keys, from the top."""
        return list(dict.fromkeys(line.key for line in self._lines))

    @property
    def cursor(self) -> Hashable | None:
        """The key of the item under the cursor, None for an empty list."""
        return self._cursor

    @property
    def _top(self) -> int:
        return 1 if self._header is not None else 0

    def _redraw(self, rows: Sequence[int]) -> None:
        """Draw rows again, counted with the header as they lie before scrolling."""
        for row in rows:
            self._strips.pop(row, None)
            y = row if row < self._top else row - self.scroll_offset.y
            self.refresh(Region(0, y, self.size.width, 1))

    def _rows_of(self, key: Hashable | None) -> list[int]:
        return [index + self._top for index, line in enumerate(self._lines) if line.key == key]

    def render_line(self, y: int) -> Strip:
        """One line of the screen; finished ones are kept until they change."""
        width = self.scrollable_content_region.width
        row = y if y < self._top else y + self.scroll_offset.y
        if not self._lines:
            return self._empty_line(y, width)
        if row - self._top >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(row)
        if strip is None:
            strip = self._strips[row] = self._draw(row, width)
        return strip

    def _draw(self, row: int, width: int) -> Strip:
        if row < self._top:
            assert self._header is not None
            return self._strip(self._header, width, "line-list--header")
        line = self._lines[row - self._top]
        if line.key != self._cursor:
            return self._strip(line.content, width)
        if self.has_focus:
            # The cursor's own colours: a theme's text colours are not made for its background.
            return self._strip(Content(line.content.plain), width, "line-list--cursor")
        return self._strip(line.content, width, "line-list--cursor-blurred")

    def _strip(self, content: Content, width: int, *classes: str) -> Strip:
        style = self.get_visual_style(*classes)
        fitted = content.truncate(width, ellipsis=True, pad=True)
        strips = Visual.to_strips(self, fitted, width, 1, style, pad=True)
        return strips[0] if strips else Strip.blank(width, style.rich_style)

    def _empty_line(self, y: int, width: int) -> Strip:
        said = self.empty_now.splitlines()
        first = max(0, (self.size.height - len(said)) // 2)
        if not first <= y < first + len(said):
            return Strip.blank(width, self.rich_style)
        text = said[y - first]
        return self._strip(Content.styled(text.center(width)[:width], "dim"), width)

    # The person.

    def move_cursor(self, key: Hashable) -> None:
        """Put the cursor on an item and scroll it into view."""
        if key not in self.item_keys:
            return
        rows = [*self._rows_of(self._cursor), *self._rows_of(key)]
        if key != self._cursor:
            self._cursor = key
            self.cursor_moved()
        self._redraw(rows)
        mine = self._rows_of(key)
        top = self.scroll_offset.y
        room = self.size.height - self._top
        first, last = mine[0] - self._top, mine[-1] - self._top
        if first < top:
            self.scroll_to(y=first, animate=False, immediate=True)
        elif last >= top + room:
            self.scroll_to(y=last - room + 1, animate=False, immediate=True)

    def action_move(self, step: int) -> None:
        """Move the cursor by items."""
        keys = self.item_keys
        if self._cursor in keys:
            index = keys.index(self._cursor) + step
            self.move_cursor(keys[min(len(keys) - 1, max(0, index))])

    def action_page(self, direction: int) -> None:
        """Move the cursor by a page."""
        self.action_move(direction * max(1, self.size.height - self._top - 1))

    def action_end(self, last: bool) -> None:
        """Move the cursor to the first or the last item."""
        if keys := self.item_keys:
            self.move_cursor(keys[-1 if last else 0])

    def action_choose(self) -> None:
        """Choose the item under the cursor."""
        if self._cursor is not None:
            self.choose(self._cursor)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is; a double click chooses."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < self._top:
            self.header_clicked(offset.x)
            return
        index = offset.y - self._top + self.scroll_offset.y
        if index < len(self._lines):
            self.move_cursor(self._lines[index].key)
            if event.chain == 2:
                self.action_choose()

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        self._strips.clear()
        self._lines = []
        self.update_lines()

    def show_status(self, status: str) -> None:
        """Say a few words in the border, after the keys where the list has the focus."""
        self._status = status
        keys = with_keys(self, self.keys_hint) if self.has_focus and self._lines else ""
        set_border_words(self, subtitle=" · ".join(part for part in (keys, status) if part))

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show whether the cursor is the one that keys move."""
        super().watch_has_focus(has_focus)
        self._redraw(self._rows_of(self._cursor))
        self.show_status(self._status)

    def notify_style_update(self) -> None:
        """Forget drawn lines when the theme or the style changes."""
        super().notify_style_update()
        self._strips.clear()
