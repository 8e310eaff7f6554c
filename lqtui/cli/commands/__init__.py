"""The commands and their options; what they do stands in the modules beside this folder.

Help lists them in the order of these imports.
"""

from lqtui.cli.app import app

from lqtui.cli.commands import (  # isort: skip
    recipe,
    measuring,
    types,
    chatting,
    importance,
    imatrices,
    interchange,
    models,
    converting,
    serving,
    upkeep,
)

__all__ = [
    "app",
    "chatting",
    "converting",
    "imatrices",
    "importance",
    "interchange",
    "measuring",
    "models",
    "recipe",
    "serving",
    "types",
    "upkeep",
]
