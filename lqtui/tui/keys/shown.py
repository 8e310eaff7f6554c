"""The keys as a screen or widget shows them: the person's own, where they gave any."""

from __future__ import annotations

import re
from collections.abc import Mapping

from textual.dom import DOMNode

from lqtui.tui.keys.keymap import first_key, full_keymap
from lqtui.tui.settings import preferences_of

_NAMED = re.compile(r"\{([a-z]+\.[a-z_0-9]+)\}")


def keymap_of(node: DOMNode) -> Mapping[str, str]:
    """The keys of commands, by id, as far as they are not the commands' own."""
    keys = preferences_of(node).keys
    return full_keymap(keys) if keys else keys


def key_of(node: DOMNode, command_id: str) -> str:
    """The first key of a command, as people write it."""
    return first_key(command_id, keymap_of(node))


def with_keys(node: DOMNode, text: str) -> str:
    """A text with the keys of the commands that it names: `{model.open} opens a model`."""
    return _NAMED.sub(lambda match: key_of(node, match[1]), text)
