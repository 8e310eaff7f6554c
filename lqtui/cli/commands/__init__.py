"""The commands and their options; what they do stands in the modules beside this folder.

Help lists them in the order of these imports.
"""

from lqtui.cli.app import app

from lqtui.cli.commands import recipe, measuring, chatting, importance, interchange, models, upkeep  # isort: skip

__all__ = ["app", "chatting", "importance", "interchange", "measuring", "models", "recipe", "upkeep"]
