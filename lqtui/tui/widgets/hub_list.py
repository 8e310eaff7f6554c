"""Models and repositories of the Hub in a list: what is here, what was found, what there is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message

from lqtui.hub.values import CachedModel, Fitness, FoundRepository, HubModel
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import shortened, size

_FOR = {
    Fitness.BASE: ("base", "$text-success"),
    Fitness.QUANTIZED: ("quantized", "$text-warning"),
    Fitness.UNKNOWN: ("unknown", "dim"),
    Fitness.COMPANION: ("no model", "dim"),
}
_HERE, _BEGUN, _REFERENCE = "✓", "◐", "★"


@dataclass(frozen=True)
class Reference:
    """The model to begin with, where it is not on this machine yet."""

    repository: str
    file: str
    type: str
    bytes: int


Entry = CachedModel | FoundRepository | HubModel | Reference


class HubList(LineList):
    """One line for each entry of one kind."""

    BORDER_TITLE = ""

    class Chosen(Message):
        """An entry was chosen."""

        def __init__(self, entry: Entry) -> None:
            super().__init__()
            self.entry = entry

    class Moved(Message):
        """The cursor is on another entry."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries: dict[Hashable, Entry] = {}

    def show(self, entries: Sequence[Entry], at: Hashable | None = None) -> None:
        """Show entries, with the cursor on the first, or on one that was shown before."""
        self._entries = {key_of(entry): entry for entry in entries}
        self.update_lines()
        if entries:
            self.move_cursor(at if at in self._entries else key_of(entries[0]))
        self.post_message(self.Moved())

    @property
    def entry(self) -> Entry | None:
        """The entry under the cursor."""
        return self._entries.get(self.cursor)

    def choose(self, key: Hashable) -> None:
        """Tell which entry was chosen."""
        self.post_message(self.Chosen(self._entries[key]))

    def cursor_moved(self) -> None:
        """Tell that another entry is under the cursor."""
        self.post_message(self.Moved())

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The titles, and one line an entry."""
        if not self._entries:
            return None, []
        of_files = not any(isinstance(entry, FoundRepository) for entry in self._entries.values())
        head = _file_heading(width) if of_files else _repository_heading(width)
        return Content(head), [Line(key, _line(entry, width)) for key, entry in self._entries.items()]


def key_of(entry: Entry) -> Hashable:
    """What tells an entry from others."""
    match entry:
        case CachedModel():
            return entry.repository, entry.name
        case FoundRepository():
            return entry.id
        case HubModel():
            return entry.name
        case Reference():
            return entry.repository, entry.file


def compact(count: int) -> str:
    """A count in four characters: `812`, `12k`, `3.4M`, `7.6B`."""
    for unit, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1000, "k")):
        if count >= unit:
            value = count / unit
            return f"{value:.1f}{letter}" if value < 10 else f"{value:.0f}{letter}"
    return str(count)


def _line(entry: Entry, width: int) -> Content:
    match entry:
        case FoundRepository():
            return _repository_line(entry, width)
        case CachedModel():
            return _file_line(_HERE, entry.name, entry.type, entry.bytes, entry.fitness, width)
        case Reference():
            return _file_line(_REFERENCE, entry.file, entry.type, entry.bytes, Fitness.BASE, width)
        case HubModel():
            mark = _HERE if entry.here else _BEGUN if entry.partial else " "
            return _file_line(mark, entry.name, entry.type, entry.bytes, entry.fitness, width)


_FILE_COLUMNS = 31
_REPOSITORY_COLUMNS = 34


def _file_heading(width: int) -> str:
    return f"  {'file'.ljust(width - _FILE_COLUMNS - 2)}  {'type':<8} {'size':>9}  {'for':<9}"


def _file_line(mark: str, name: str, kind: str, n_bytes: int, fitness: Fitness, width: int) -> Content:
    room = max(8, width - _FILE_COLUMNS - 2)
    said, style = _FOR[fitness]
    return Content.assemble(
        (f"{mark} ", "bold $text-success" if mark == _HERE else "bold $text-accent"),
        shortened(name, room).ljust(room),
        f"  {kind or '?':<8} {size(n_bytes):>9}  ",
        (f"{said:<9}", style),
    )


def _repository_heading(width: int) -> str:
    name = "repository".ljust(max(8, width - _REPOSITORY_COLUMNS))
    return f"{name}  {'pulls':>5} {'likes':>5}  {'updated':<10}"


def _repository_line(entry: FoundRepository, width: int) -> Content:
    room = max(8, width - _REPOSITORY_COLUMNS)
    mark = "gated" if entry.gated else "private" if entry.private else ""
    return Content.assemble(
        shortened(entry.id, room).ljust(room),
        f"  {compact(entry.downloads):>5} {compact(entry.likes):>5}  ",
        (f"{entry.updated:<10}  ", "dim"),
        (f"{mark:<7}", "$text-warning"),
    )
