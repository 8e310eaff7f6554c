"""What a person prefers, and the file that says so: settings.toml, read strictly."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from lqtui.recipe.spelling import did_you_mean
from lqtui.recipe.toml_text import NotTomlError, parse_toml
from lqtui.store.reading import read_at_most

_LARGEST = 1 << 20
_NONE: Mapping[str, str] = MappingProxyType({})


class Notifications(StrEnum):
    """When the terminal is asked to tell of jobs that have ended."""

    AUTO = "auto"
    """While the terminal is not in front, of jobs that took some seconds."""
    ALWAYS = "always"
    NEVER = "never"


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the app behaves for one person; the defaults are those of a person who has said nothing.

    `theme` is empty for the one that was chosen last, and `ascii` None as the terminal can. `keys` maps
    ids of commands to keys, several separated by commas; the app knows both.
    """

    theme: Annotated[
        str,
        Meta(
            title="the name of a theme",
            description="The colours at every start; without it, the theme that was chosen last.",
            examples=["textual-light"],
        ),
    ] = ""
    ascii: Annotated[
        bool | None,
        Meta(
            title="true or false",
            description="Draw with ASCII characters alone; without it, where the terminal needs that.",
            examples=[True],
        ),
    ] = None
    notifications: Annotated[
        Notifications,
        Meta(
            title='"auto", "always" or "never"',
            description="Let the terminal tell that a job has ended: auto does so while you look elsewhere.",
            examples=["never"],
        ),
    ] = Notifications.AUTO
    tour: Annotated[
        bool,
        Meta(
            title="true or false",
            description="Show five hints to a newcomer, each until it was followed.",
            examples=[False],
        ),
    ] = True
    session: Annotated[
        bool,
        Meta(
            title="true or false",
            description="Begin where you left: the model, its recipes, the cursor, the settings.",
            examples=[False],
        ),
    ] = True
    cache_gib: Annotated[
        float | None,
        Meta(
            title="a number",
            description="GiB of quantized tensors that are kept; without it, a quarter of their disk's size.",
            examples=[20],
        ),
    ] = None
    keys: Annotated[
        Mapping[str, str],
        Meta(
            title="a table of commands and their keys",
            description="Keys of commands, in place of their own; several are separated by commas.",
        ),
    ] = _NONE


class SettingsRead(NamedTuple):
    """What a settings file says, as far as it can be used, and a sentence for each thing that cannot."""

    preferences: Preferences
    problems: tuple[str, ...] = ()


def read_settings(path: Path) -> SettingsRead:
    """What a person's settings file says; where there is none, the defaults.

    What is wrong with one setting leaves that one at its default. Whether commands, keys and themes are ones
    that there are is for the app to say.
    """
    try:
        raw = read_at_most(path, _LARGEST + 1)
        if len(raw) > _LARGEST:
            return SettingsRead(Preferences(), (f"{path} is too large to be a file of settings",))
        document = parse_toml(raw.decode("utf-8"))
    except FileNotFoundError:
        return SettingsRead(Preferences())
    except OSError as error:
        return SettingsRead(Preferences(), (f"{path} cannot be read: {error.strerror}",))
    except UnicodeDecodeError:
        return SettingsRead(Preferences(), (f"{path} is not UTF-8 text",))
    except NotTomlError as error:
        return SettingsRead(Preferences(), (f"{path} is not valid TOML: {error}",))
    good: dict[str, object] = {}
    problems: list[str] = []
    for name, value in document.items():
        wanted = _FIELDS.get(name)
        if wanted is None:
            problems.append(f"{path} has the unknown setting {name!r}{did_you_mean(name, tuple(_FIELDS))}")
        elif name == "keys" and isinstance(value, dict):
            keys = dict(_flat(value))
            bad = [f"{path}: the keys of {id} must be a text such as \"f6\"" for id, key in keys.items()
                   if not isinstance(key, str)]  # fmt: skip
            problems += bad
            good |= {} if bad else {name: keys}
        else:
            try:
                good[name] = msgspec.convert(value, wanted.type)
            except msgspec.ValidationError:
                problems.append(f"{path}: {name} is {_toml(value)}, but must be {wanted.must_be}")
    return SettingsRead(Preferences(**good), tuple(problems))  # type: ignore[arg-type]


def settings_template(themes: Sequence[str], commands: Sequence[tuple[str, str, str]]) -> str:
    """A settings file that changes nothing: all that can be set, as comments.

    `themes` are the names that there are, and `commands` the ids, keys and sentences of the commands.
    """
    listed = textwrap.wrap(f"There are {', '.join(themes)}.", 100)
    lines = ["# What you prefer, for lqtui. A line takes effect without the # before it.", ""]
    for name, field in _FIELDS.items():
        if name != "keys":
            values = listed if name == "theme" else [f"It is {field.must_be}."]
            lines += [
                *(f"# {line}" for line in (field.description, *values)),
                f"# {name} = {field.example}",
                "",
            ]
    lines += [f"# {_FIELDS['keys'].description}", "[keys]"]
    width = max((len(id) for id, _, _ in commands), default=0) + 2
    lines += [f"# {_toml(id):<{width}} = {_toml(keys):<16} # {sentence}" for id, keys, sentence in commands]
    return "\n".join(lines) + "\n"


class _Field(NamedTuple):
    """What is said of a setting."""

    type: object
    must_be: str
    description: str
    example: str


def _fields() -> dict[str, _Field]:
    fields = {}
    for field in msgspec.structs.fields(Preferences):
        of, meta = field.type.__origin__, field.type.__metadata__[0]
        example = _toml(meta.examples[0]) if meta.examples else ""
        fields[field.name] = _Field(of, meta.title, meta.description, example)
    return fields


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Undo TOML's nesting where a command was written without quotes: `type.q4 = "9"`."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _toml(value: object) -> str:
    """A value as TOML writes it, for texts, truths, numbers and what is made of them."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError):  # a date, which JSON has not, or too long a number
        return "a number of thousands of digits" if isinstance(value, int) else str(value)


_FIELDS = _fields()
