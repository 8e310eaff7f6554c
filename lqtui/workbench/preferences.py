"""What a person prefers: the values of settings.toml, before any of them is looked up in the app."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

_NONE: Mapping[str, str] = MappingProxyType({})


class Notifications(StrEnum):
    """When the terminal is asked to tell of jobs that have ended."""

    AUTO = "auto"
    """While the terminal is not in front, of jobs that took some seconds."""
    ALWAYS = "always"
    NEVER = "never"


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the app behaves for one person; the defaults are those of a person who has said nothing.

    `theme` is one of Textual's, empty for the one that was chosen last. `ascii` None means as the terminal
    can. `keys` maps ids of commands to keys, several separated by commas. `session` is whether the app begins
    where it was left, and `tour` whether a newcomer gets hints.
    """

    theme: str = ""
    ascii: bool | None = None
    notifications: Notifications = Notifications.AUTO
    tour: bool = True
    session: bool = True
    keys: Mapping[str, str] = _NONE
