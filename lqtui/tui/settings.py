"""The person's settings file as the app uses it: commands, keys and themes are ones that there are."""

from __future__ import annotations

from pathlib import Path

import msgspec
from textual.dom import DOMNode
from textual.theme import BUILTIN_THEMES

from lqtui.recipe.spelling import did_you_mean
from lqtui.tui.keys.keymap import ALL_COMMANDS, keymap_problems
from lqtui.workbench.preferences import (
    Preferences,
    SettingsRead,
    read_settings,
    settings_template,
)

_NONE = Preferences()


def preferences_of(node: DOMNode) -> Preferences:
    """The preferences of the app that a screen or widget is part of; the defaults in an app without."""
    found = getattr(node.app, "preferences", None)
    return found if isinstance(found, Preferences) else _NONE


def own_settings(path: Path) -> SettingsRead:
    """What the person prefers, and a sentence naming file and setting for each thing that cannot be.

    A wrong setting keeps its default; so do all keys where one of them is wrong.
    """
    read = read_settings(path)
    preferences, problems = read.preferences, list(read.problems)
    if preferences.theme and preferences.theme not in BUILTIN_THEMES:
        known = tuple(BUILTIN_THEMES)
        near = did_you_mean(preferences.theme, known) or f"; there are {', '.join(known)}"
        problems.append(f"{path}: there is no theme {preferences.theme!r}{near}")
        preferences = msgspec.structs.replace(preferences, theme=_NONE.theme)
    if wrong := keymap_problems(preferences.keys):
        problems += [f"{path}: {problem}" for problem in wrong]
        preferences = msgspec.structs.replace(preferences, keys=_NONE.keys)
    return SettingsRead(preferences, tuple(problems))


def template() -> str:
    """A settings file that changes nothing: all that can be set, as comments."""
    return settings_template(
        tuple(BUILTIN_THEMES), [(command.id, command.keys, command.help) for command in ALL_COMMANDS]
    )
