"""A command: what a person can do, its keys, and how keys are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from textual.binding import Binding
from textual.keys import format_key


@dataclass(frozen=True)
class Command:
    """Something a person can do: its keys, what it is called, and one sentence that says what it does.

    `hint` is the word beside the key in the key bar; a command without one is in the help and palette only.
    """

    id: str
    keys: str
    action: str
    name: str
    help: str
    group: str
    hint: str = ""

    @property
    def binding(self) -> Binding:
        """The Textual binding; its id is what a keymap remaps."""
        return Binding(self.keys, self.action, self.name, show=False, tooltip=self.help, id=self.id)

    def shown_keys(self, keymap: Mapping[str, str] | None = None) -> str:
        """The keys as people write them: `up k`; `keymap` maps command ids to other keys."""
        keys = (keymap or {}).get(self.id, self.keys)
        return " ".join(shown_key(key) for key in keys.split(","))


_NAMES = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "escape": "esc",
    "space": "space",
    "enter": "enter",
    "tab": "tab",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "slash": "/",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


@lru_cache(maxsize=512)
def shown_key(key: str) -> str:
    """A key's name as it stands on a keyboard."""
    key = key.strip()
    if key.startswith("shift+"):
        return f"shift+{shown_key(key.removeprefix('shift+'))}"
    if key.startswith("ctrl+"):
        return f"ctrl+{shown_key(key.removeprefix('ctrl+'))}"
    if len(key) > 1 and key[0] == "f" and key[1:].isdigit():
        return key.upper()
    return _NAMES.get(key) or (key if len(key) == 1 else format_key(key))
