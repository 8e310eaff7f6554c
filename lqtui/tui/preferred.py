"""What the person at this app prefers, for any screen or widget of it."""

from __future__ import annotations

from textual.dom import DOMNode

from lqtui.workbench.preferences import Preferences

_NONE = Preferences()


def preferences_of(node: DOMNode) -> Preferences:
    """The preferences of the app that a screen or widget is part of; the defaults in an app without."""
    found = getattr(node.app, "preferences", None)
    return found if isinstance(found, Preferences) else _NONE
