"""What recipes refuse, in sentences for the person who wrote them."""

from __future__ import annotations

from lqtui.recipe.printable import shortened


class RecipeError(ValueError):
    """A recipe, type or selector that cannot be used; the message is one clear sentence.

    What it quotes may be as long as a stranger's file, and nobody reads that.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(sentence))
