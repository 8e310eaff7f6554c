"""Recipes side by side, each with a letter and a history of its own."""

from __future__ import annotations

from collections.abc import Sequence

from lqtui.workbench.history import RecipeHistory

LETTERS = "ABCDEFGHI"
"""What slots go by; there are never more."""


class Histories:
    """The histories of one model's recipes by their letters, never none, and which of them is active.

    A letter stays with its recipe as long as that is there; a closed one's is free again.
    """

    def __init__(self, histories: Sequence[RecipeHistory], active: int = 0) -> None:
        self.by_letter = dict(zip(LETTERS, histories, strict=False))
        self.letter = tuple(self.by_letter)[active]

    @property
    def active(self) -> RecipeHistory:
        """The one that edits belong to."""
        return self.by_letter[self.letter]

    @property
    def free_letter(self) -> str | None:
        """The letter that the next slot gets, None where all are taken."""
        return next((letter for letter in LETTERS if letter not in self.by_letter), None)

    def add(self, letter: str, history: RecipeHistory) -> None:
        """Put a recipe at its letter's place, and make it the active one."""
        self.by_letter = dict(sorted({**self.by_letter, letter: history}.items()))
        self.letter = letter

    def close(self, letter: str) -> None:
        """Forget a recipe; where it was the active one, that is the next, or else the last."""
        others = [other for other in self.by_letter if other != letter]
        if letter == self.letter:
            self.letter = next((other for other in others if other > letter), others[-1])
        del self.by_letter[letter]

    def letter_of(self, history: RecipeHistory) -> str | None:
        """The letter of a history, None where it was closed."""
        return next((letter for letter, held in self.by_letter.items() if held is history), None)
