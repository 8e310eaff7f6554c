"""Which parts of a model were measured alone on a text, and which mixes: the questions, without the answers.

The answers are in the database, by the digests of recipes, from which nobody can tell the recipe. What is not
there is not remembered until it is asked for again, and then nothing needs to be measured.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from lqtui.recipe.types import TensorType
from lqtui.store.estimates import EstimatesKey
from lqtui.store.kept import load_kept, save_kept

_VERSION = 1
"""Raised with every change to what is kept."""


class Asked(msgspec.Struct, frozen=True):
    """What was measured to learn which tensors deserve the bits."""

    singles: frozenset[tuple[str, TensorType]] = frozenset()
    """Each unit's label, `blk.3` or `blk.3.attn_v`, and the type that was asked for."""
    chunks: int = 1
    """The most chunks that singles were measured on."""
    mixes: tuple[dict[str, TensorType], ...] = ()
    """What each mix changes of the base model: the types of tensors, by name."""

    def with_more(self, other: Asked) -> Asked:
        """What was asked in either."""
        mixes = [*self.mixes, *(mix for mix in other.mixes if mix not in self.mixes)]
        return Asked(self.singles | other.singles, max(self.chunks, other.chunks), tuple(mixes))


def load_asked(folder: Path, key: EstimatesKey) -> Asked | None:
    """What was measured of a model on a text; None where nothing is remembered."""
    return load_kept(folder, "asked", _VERSION, key, Asked)


def save_asked(folder: Path, key: EstimatesKey, asked: Asked) -> None:
    """Remember what was measured, beside what is remembered already; StoreError where that fails."""
    known = load_asked(folder, key) or Asked()
    if (both := known.with_more(asked)) != known:
        save_kept(folder, "asked", _VERSION, key, both)
