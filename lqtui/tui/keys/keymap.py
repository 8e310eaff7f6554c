"""Which keys a person gave to commands, checked against the commands that there are and each other."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain, combinations

from textual.binding import Binding
from textual.keys import Keys, key_to_character

from lqtui.recipe.spelling import did_you_mean
from lqtui.tui.keys.command import Command, shown_key
from lqtui.tui.keys.commands import COMMANDS, GRID_COMMANDS, SCREEN_COMMANDS
from lqtui.tui.keys.panes import PANE_COMMANDS

ALL_COMMANDS: tuple[Command, ...] = (*COMMANDS, *chain.from_iterable(PANE_COMMANDS.values()))
"""Every command that can be given other keys."""

_BY_ID = {command.id: command for command in ALL_COMMANDS}
_LIST_MOVES = tuple(_BY_ID[f"grid.{way}"] for way in ("up", "down", "page_up", "page_down", "first", "last"))
"""The commands of the layers that the lists have too, under the same ids."""
_CONTEXTS: Mapping[str, tuple[Command, ...]] = {
    "the layers": (*GRID_COMMANDS, *SCREEN_COMMANDS),
    **{f"the {pane}": (*_LIST_MOVES, *own, *SCREEN_COMMANDS) for pane, own in PANE_COMMANDS.items()},
}
"""Where keys are pressed, and the commands that hear them there."""
_ALWAYS_QUITS = "ctrl+q"
_TAKEN = {
    _ALWAYS_QUITS: "always leaves lqtui",
    "ctrl+c": "copies what is selected",
    "ctrl+z": "stops programs in a terminal",
    "ctrl+i": "is the same as tab to a terminal",
    "ctrl+m": "is the same as enter to a terminal",
}
_OTHER_NAMES = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "del": "delete",
    "ins": "insert",
}
_NAMED = frozenset(key.value for key in Keys if key.value.replace("+", "").isidentifier())


def keymap_problems(keys: Mapping[str, str]) -> list[str]:
    """What is wrong with a keymap of command ids to keys, a sentence each; with none it can be used."""
    problems = []
    for id, of_command in keys.items():
        if id not in _BY_ID:
            problems.append(f"there is no command {id!r}{did_you_mean(id, tuple(_BY_ID))}")
        problems += [f"{id}: {problem}" for problem in _key_problems(id, of_command)]
    return problems or list(_clashes(keys))


def first_key(command_id: str, keys: Mapping[str, str] | None = None) -> str:
    """The first key of a command, as people write it, under a keymap."""
    return _BY_ID[command_id].shown_keys(keys).split(" ")[0]


def full_keymap(keys: Mapping[str, str]) -> dict[str, str]:
    """A keymap for Textual, in which leaving keeps the key that it always has."""
    quits = keys.get("app.quit")
    always = {"app.quit": ",".join(dict.fromkeys((*_keys(quits), _ALWAYS_QUITS)))} if quits else {}
    return {**keys, **always}


def _key_problems(id: str, keys: str) -> Iterator[str]:
    for key in (part.strip() for part in keys.split(",")):
        if not key:
            yield "a key is missing; name one at least, and the comma itself as 'comma'"
        elif key in _TAKEN and (id, key) != ("app.quit", _ALWAYS_QUITS):
            yield f"{key} {_TAKEN[key]}; choose another key"
        elif key not in _NAMED and not _is_character(key):
            yield f"there is no key {key!r}{_meant(key)}"


def _is_character(key: str) -> bool:
    """Whether a key is a printable character, or the name by which the presses of one are known."""
    return key == "comma" or key in _punctuation() or (len(key) == 1 and key.isprintable())


@cache
def _punctuation() -> Mapping[str, str]:
    """Characters by their keys' names: `minus` is `-`."""
    return {_keys(character)[0]: character for character in string.punctuation if character != ","}


def _meant(key: str) -> str:
    """The end of the sentence about an unknown key."""
    lower = key.lower()
    if lower.startswith("shift+") and len(key) == len("shift+") + 1:
        return f"; did you mean {key[-1].upper()!r}?"
    character = key_to_character(key)
    if character is not None:
        return f"; did you mean {character!r}?"
    if lower in _NAMED or lower in _OTHER_NAMES:
        return f"; did you mean {_OTHER_NAMES.get(lower, lower)!r}?"
    return did_you_mean(lower, sorted(_NAMED))


def _clashes(keys: Mapping[str, str]) -> Iterator[str]:
    """Commands that would share a key in one place, where they do not by their own keys."""
    told = set()
    own = {command.id: set(_keys(command.keys)) for command in ALL_COMMANDS}
    now = {id: set(_keys(keys[id])) if id in keys else of_command for id, of_command in own.items()}
    for place, commands in _CONTEXTS.items():
        for one, other in combinations((command.id for command in commands), 2):
            if (one in keys or other in keys) and (one, other) not in told:
                for key in sorted((now[one] & now[other]) - (own[one] & own[other])):
                    told.add((one, other))
                    yield f"{one} and {other} both have the key {shown_key(key)!r} in {place}"


def _keys(keys: str) -> tuple[str, ...]:
    """The single keys, as Textual names their presses."""
    return tuple(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))
